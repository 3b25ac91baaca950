// Cross-entropy of a linear classifier: rows chunk by chunk, their logits in float from cuBLAS, the
// row kernels of cross-entropy on them, and two more products from their gradient.
//
// Moves, per logit: 4 bytes written by the product (4 more written and read with a bias), 4 read by
// the row kernel, 8 where a row does not fit on chip; with gradients s of the inputs' type written
// and s read by each of the two products. Operations: 2 D a logit and product. Each chunk adds to the
// float gradient of the weights, 8 V D bytes.
#include "host/linear_cross_entropy.hpp"

#include "host/gemm.hpp"
#include "host/labeled_launches.hpp"
#include "host/linear_plan.hpp"
#include "kernels/embedding_rows.cuh"
#include "kernels/linear_rows.cuh"

namespace culoss {
namespace {

using namespace detail;

// What of a call decides how much memory it takes.
struct linear_extent {
  std::int64_t rows = 0, classes = 0, dimension = 0;
  int element_bytes = 0;
  bool hidden_gradient = false, weight_gradient = false, bias_gradient = false;

  bool gradients() const { return hidden_gradient || weight_gradient || bias_gradient; }
  bool narrow() const { return element_bytes == 2; }
  std::int64_t pitch() const { return ceil_to(classes, 8); }  // of logits and their gradients
};

struct linear_memory {
  labeled_memory rows;
  kernels::call_numbers* numbers;
  float *hidden_norms, *weight_norms;
  float* logits;   // of a chunk
  void* g;         // their gradient, where it is not float and stands in their place
  float* dh;       // sums that make the gradients: of a chunk's hidden states
  float *dw, *db;  // of all classes

  std::size_t carve(void* base, const linear_extent& e, std::int64_t chunk) noexcept {
    carver c(base);
    const bool gradients = e.gradients();
    rows.take(c, e.rows);
    numbers = c.take<kernels::call_numbers>(1);
    hidden_norms = c.take<float>(gradients && e.narrow() ? e.rows : 0);
    weight_norms = c.take<float>(gradients && e.narrow() ? e.classes : 0);
    logits = c.take<float>(chunk * e.pitch());
    g = c.take<std::uint16_t>(gradients && e.narrow() ? chunk * e.pitch() : 0);
    dh = c.take<float>(e.hidden_gradient ? chunk * e.dimension : 0);
    dw = c.take<float>(e.weight_gradient ? e.classes * e.dimension : 0);
    db = c.take<float>(e.bias_gradient ? e.classes : 0);
    return c.used();
  }
};
std::size_t bytes_of(const linear_extent& e, std::int64_t chunk) noexcept {
  return linear_memory{}.carve(nullptr, e, chunk);
}

template <class T>
class linear_rows {
 public:
  linear_rows(const device_context& context, const labeled_call& call,
              const matrix<const T>& hidden, const matrix<const T>& weight, const float* bias,
              const gradient_matrix<T>& grad_hidden, const gradient_matrix<T>& grad_weight,
              float* grad_bias, const linear_cross_entropy_options& options) noexcept
      : context_(context),
        call_(call),
        hidden_(hidden),
        weight_(weight),
        bias_(bias),
        grad_hidden_(grad_hidden),
        grad_weight_(grad_weight),
        grad_bias_(grad_bias),
        accumulate_(options.accumulate),
        allow_tf32_(options.allow_tf32) {}

  status run(const cuda& where) noexcept {
    status s = check_sizes();
    if (!s.ok()) return s;
    if (rows() == 0) {
      s = finish_no_labels(context_, call_);
      return s.ok() ? finish_weights(false) : s;
    }
    s = blas_.open(context_, *where.blas, allow_tf32_);
    if (!s.ok()) return s;
    const linear_extent e = extent();
    // Without a workspace any plan can be had from the pool: the best.
    const bool given = where.workspace.data != nullptr;
    const auto needed = [&](std::int64_t n) { return bytes_of(e, n); };
    const std::int64_t chunk =
        choose_chunk(rows(), e.pitch(), given ? where.workspace.bytes : SIZE_MAX, needed);
    scratch memory;
    s = memory.get(context_, where.workspace, needed(chunk));
    if (!s.ok()) return s;
    m_.carve(memory.data(), e, chunk);

    auto a = arguments_of<float>(call_, m_.rows, where.faults);
    const bool gradients = e.gradients();
    s = count_labels(context_, call_, a.all, m_.rows, gradients);
    if (s.ok() && gradients) s = prepare(a);
    if (gradients || wants_rows(a)) {
      for (std::int64_t row = 0; row < rows() && s.ok(); row += chunk) {
        s = run_chunk(a, row, std::min(chunk, rows() - row), gradients, where.faults);
      }
    }
    if (s.ok()) s = finish_weights(true);
    if (s.ok()) s = finish_labels(context_, call_, a, m_.rows);
    return s.ok() ? memory.release(context_) : s;
  }

 private:
  static constexpr bool kNarrow = sizeof(T) == 2;

  std::int64_t rows() const noexcept { return hidden_.rows; }
  int dimension() const noexcept { return static_cast<int>(hidden_.cols); }
  int classes() const noexcept { return static_cast<int>(weight_.rows); }
  T* gradient_of_logits() const noexcept {
    if constexpr (kNarrow) {
      return static_cast<T*>(m_.g);
    } else {
      return m_.logits;
    }
  }
  operand<T> hidden_from(std::int64_t row) const noexcept {
    return {hidden_.data + row * hidden_.ld, hidden_.ld};
  }

  linear_extent extent() const noexcept {
    return {rows(),
            weight_.rows,
            weight_.cols,
            static_cast<int>(sizeof(T)),
            !grad_hidden_.empty(),
            !grad_weight_.empty(),
            grad_bias_ != nullptr};
  }

  // Sizes that cuBLAS and the kernels count in 32 bits.
  status check_sizes() const noexcept {
    status s = check_width(context_, "weight.rows", weight_.rows);
    if (s.ok()) s = check_width(context_, "classes", call_.options.classes);
    if (s.ok()) s = check_width(context_, "hidden.cols", hidden_.cols);
    if (s.ok()) s = check_width(context_, "hidden.ld", hidden_.ld);
    if (s.ok()) s = check_width(context_, "weight.ld", weight_.ld);
    return s;
  }

  // The numbers by which gradients are made and finished.
  status prepare(const kernels::cross_entropy_arguments<float>& a) noexcept {
    kernels::linear_arguments l{};
    l.by = a.scale;
    l.counted = m_.rows.counted;
    l.temperature = a.temperature;
    l.class_weights = a.class_weights;
    l.rows = rows();
    l.cols = weight_.rows;
    l.classes = a.all.classes;
    l.z_loss = a.z_loss;
    l.cap = a.cap.cap;
    l.saved = a.saved;
    l.bias = bias_;
    l.range = 1.0f;
    if constexpr (std::is_same_v<T, __half>) {
      l.range = 16384.0f;
      if (a.z_loss > 0.0f && a.saved == nullptr && a.cap.cap == 0.0f) {
        status s = find_norms(hidden_, m_.hidden_norms);
        if (s.ok()) s = find_norms(weight_, m_.weight_norms);
        if (!s.ok()) return s;
        l.hidden_norms = m_.hidden_norms;
        l.weight_norms = m_.weight_norms;
      }
    } else {
      l.saved = nullptr;  // there is range enough
    }
    return launch(context_, kernels::prepare_linear<kernels::kTotalThreads>, 1,
                  kernels::kTotalThreads, 0, l, m_.numbers);
  }
  status find_norms(const matrix<const T>& m, float* out) noexcept {
    const kernels::norm_jobs<T> job{{embeddings_of(m, 0)}, {static_cast<long long>(m.rows)}, {out}};
    return launch(context_, kernels::inverse_norms<T>, blocks_of(m.rows, kernels::kEmbeddingRows),
                  kernels::kEmbeddingThreads, 0, job);
  }
  static long long blocks_of(std::int64_t items, std::int64_t of_a_block) noexcept {
    return (items + of_a_block - 1) / of_a_block;
  }
  template <class U>
  static kernels::embeddings<U> embeddings_of(const matrix<const U>& m,
                                              std::int64_t first) noexcept {
    return {m.data + first * m.ld, m.ld, static_cast<int>(m.cols)};
  }

  // Rows [row, row + n): logits, what is asked of them, and the gradients that they add to.
  status run_chunk(const kernels::cross_entropy_arguments<float>& all, std::int64_t row,
                   std::int64_t n, bool gradients, fault_record* faults) noexcept {
    const long long pitch = extent().pitch();
    status s = make_logits(row, static_cast<int>(n), pitch);
    if (!s.ok()) return s;
    const auto launch_as = [&]<class R>(std::type_identity<R>, R* g) noexcept {
      auto a = arguments_of<float, R>(call_, m_.rows, faults);
      a.in[0] = {m_.logits, pitch};
      a.out[0] = {g, pitch};
      a.rows = n;
      a.first_row = row;
      if (g != nullptr) {
        // All that is known only when the gradients are finished stays out of them.
        a.scale = all.scale;
        a.scale.upstream = {1.0f, nullptr};
        a.scale.by = {};
        a.scale.unit = &m_.numbers->row_factor;
      }
      return launch_labeled_rows(context_, a);
    };
    if (!gradients) return launch_as(std::type_identity<float>{}, static_cast<float*>(nullptr));
    T* const g = gradient_of_logits();
    s = launch_as(std::type_identity<T>{}, g);
    const operand<T> of_g{g, pitch};
    if (s.ok() && !grad_hidden_.empty()) {
      s = blas_.a_b(static_cast<int>(n), dimension(), classes(), of_g,
                    operand<T>{weight_.data, weight_.ld}, 0.0f, m_.dh, dimension());
      if (s.ok()) s = finish(hidden_, row, n, m_.dh, grad_hidden_);
    }
    if (s.ok() && !grad_weight_.empty()) {
      s = blas_.at_b(classes(), dimension(), static_cast<int>(n), of_g, hidden_from(row),
                     row > 0 ? 1.0f : 0.0f, m_.dw, dimension());
    }
    if (s.ok() && grad_bias_ != nullptr) {
      s = launch(context_, kernels::add_columns<T>, blocks_of(classes(), kernels::kColumnsOfBlock),
                 kernels::kColumnThreads, 0, static_cast<const T*>(g), pitch, static_cast<int>(n),
                 classes(), m_.db, row == 0);
    }
    return s;
  }

  status make_logits(std::int64_t row, int n, long long pitch) noexcept {
    if (bias_ != nullptr) {
      const long long runs = blocks_of(classes(), kernels::kRepeatColumns);
      const status s = launch(context_, kernels::repeat_row<kernels::kRepeatThreads>,
                              runs * blocks_of(n, kernels::kRepeatRows), kernels::kRepeatThreads, 0,
                              bias_, classes(), m_.logits, pitch, n, static_cast<int>(runs));
      if (!s.ok()) return s;
    }
    return blas_.a_bt(n, classes(), dimension(), hidden_from(row),
                      operand<T>{weight_.data, weight_.ld}, m_.logits, pitch,
                      bias_ != nullptr ? 1.0f : 0.0f);
  }

  // Rows [first, first + n) of a gradient, from sums whose row 0 is row `first`; null: 0.
  template <class U>
  status finish(const matrix<const U>& of, std::int64_t first, std::int64_t n, const float* sums,
                const gradient_matrix<U>& out) noexcept {
    if (out.empty() || n == 0) return {};
    const std::int64_t element = out.wide ? 4 : sizeof(U);
    const kernels::gradient_jobs<U> job{
        {{embeddings_of(of, first), static_cast<long long>(n), nullptr, sums,
          static_cast<char*>(out.data) + first * out.ld * element, out.wide,
          static_cast<long long>(out.ld)}}};
    return launch(context_, kernels::finish_gradients<U>, blocks_of(n, kernels::kEmbeddingRows),
                  kernels::kEmbeddingThreads, 0, job,
                  static_cast<const kernels::call_numbers*>(m_.numbers), accumulate_);
  }
  status finish_weights(bool any_rows) noexcept {
    status s = finish(weight_, 0, weight_.rows, any_rows ? m_.dw : nullptr, grad_weight_);
    if (!s.ok() || grad_bias_ == nullptr) return s;
    const matrix<float> bias(grad_bias_, weight_.rows, 1);
    return finish(matrix<const float>(bias), 0, weight_.rows, any_rows ? m_.db : nullptr,
                  gradient_matrix<float>(bias));
  }

  const device_context& context_;
  const labeled_call& call_;
  matrix<const T> hidden_, weight_;
  const float* bias_;
  gradient_matrix<T> grad_hidden_, grad_weight_;
  float* grad_bias_;
  bool accumulate_, allow_tf32_;
  gemm blas_;
  linear_memory m_ = {};
};

template <class T, class Outputs>
status run(const cuda& where, const char* function, const matrix<const T>& hidden,
           const matrix<const T>& weight, const vector<const float>& bias, const label_view& labels,
           const row_statistics<float>* saved, const Outputs& out,
           const linear_cross_entropy_options& options) noexcept {
  status s = check_blas(function, where);
  device_context context;
  if (s.ok()) s = open(function, where, context);
  context.row_kernels = row_kernels::proven;  // its chunks' rows are planned for those
  if (!s.ok()) return s;
  labeled_call call;
  call.function = function;
  call.rows = hidden.rows;
  call.cols = weight.rows;
  call.labels = labels;
  call.saved = saved;
  call.options = row_options_of(options);
  if constexpr (requires { out.loss; }) call.set_outputs(out);
  return linear_rows<T>(context, call, hidden, weight, bias.data, out.grad_hidden, out.grad_weight,
                        out.grad_bias.data, options)
      .run(where);
}

template <class T>
status forward(const cuda& where, const matrix<const T>& hidden, const matrix<const T>& weight,
               const vector<const float>& bias, const label_view& labels,
               const linear_cross_entropy_outputs<T>& out,
               const linear_cross_entropy_options& options) noexcept {
  const status s = check_linear_cross_entropy(where, hidden, weight, bias, labels, out, options);
  if (!s.ok()) return s;
  return run(where, "linear_cross_entropy", hidden, weight, bias, labels, nullptr, out, options);
}

template <class T>
status backward(const cuda& where, const matrix<const T>& hidden, const matrix<const T>& weight,
                const vector<const float>& bias, const label_view& labels,
                const vector<const row_statistics<float>>& statistics,
                const linear_cross_entropy_backward_outputs<T>& out,
                const linear_cross_entropy_options& options) noexcept {
  const status s = check_linear_cross_entropy_backward(where, hidden, weight, bias, labels,
                                                       statistics, out, options);
  if (!s.ok()) return s;
  return run(where, "linear_cross_entropy_backward", hidden, weight, bias, labels, statistics.data,
             out, options);
}

// A shape that no call accepts needs nothing; nor does one with more elements than addresses.
bool possible(const linear_cross_entropy_shape& s) noexcept {
  constexpr std::int64_t kMost = std::int64_t{1} << 48;
  return s.dimension > 0 && s.dimension <= kMost && s.element_bytes > 0 && s.rows > 0 &&
         s.classes > 0 && s.rows <= kMost / s.dimension && s.classes <= kMost / s.dimension;
}

}  // namespace

linear_cross_entropy_plan linear_cross_entropy_workspace(
    const linear_cross_entropy_shape& shape) noexcept {
  linear_cross_entropy_plan plan;
  if (!possible(shape)) return plan;
  const linear_extent e{shape.rows,          shape.classes,         shape.dimension,
                        shape.element_bytes, shape.hidden_gradient, shape.weight_gradient,
                        shape.bias_gradient};
  plan.least_rows = least_chunk(e.rows);
  plan.least = bytes_of(e, plan.least_rows);
  plan.best_rows = best_chunk(e.rows, e.pitch());
  plan.best = bytes_of(e, plan.best_rows);
  return plan;
}

status linear_cross_entropy(const cuda& where, matrix<const float> hidden,
                            matrix<const float> weight, vector<const float> bias, label_view labels,
                            const linear_cross_entropy_outputs<float>& outputs,
                            const linear_cross_entropy_options& options) noexcept {
  return forward(where, hidden, weight, bias, labels, outputs, options);
}
status linear_cross_entropy(const cuda& where, matrix<const half> hidden, matrix<const half> weight,
                            vector<const float> bias, label_view labels,
                            const linear_cross_entropy_outputs<half>& outputs,
                            const linear_cross_entropy_options& options) noexcept {
  return forward(where, hidden, weight, bias, labels, outputs, options);
}
status linear_cross_entropy(const cuda& where, matrix<const bf16> hidden, matrix<const bf16> weight,
                            vector<const float> bias, label_view labels,
                            const linear_cross_entropy_outputs<bf16>& outputs,
                            const linear_cross_entropy_options& options) noexcept {
  return forward(where, hidden, weight, bias, labels, outputs, options);
}

status linear_cross_entropy_backward(const cuda& where, matrix<const float> hidden,
                                     matrix<const float> weight, vector<const float> bias,
                                     label_view labels,
                                     vector<const row_statistics<float>> statistics,
                                     const linear_cross_entropy_backward_outputs<float>& outputs,
                                     const linear_cross_entropy_options& options) noexcept {
  return backward(where, hidden, weight, bias, labels, statistics, outputs, options);
}
status linear_cross_entropy_backward(const cuda& where, matrix<const half> hidden,
                                     matrix<const half> weight, vector<const float> bias,
                                     label_view labels,
                                     vector<const row_statistics<float>> statistics,
                                     const linear_cross_entropy_backward_outputs<half>& outputs,
                                     const linear_cross_entropy_options& options) noexcept {
  return backward(where, hidden, weight, bias, labels, statistics, outputs, options);
}
status linear_cross_entropy_backward(const cuda& where, matrix<const bf16> hidden,
                                     matrix<const bf16> weight, vector<const float> bias,
                                     label_view labels,
                                     vector<const row_statistics<float>> statistics,
                                     const linear_cross_entropy_backward_outputs<bf16>& outputs,
                                     const linear_cross_entropy_options& options) noexcept {
  return backward(where, hidden, weight, bias, labels, statistics, outputs, options);
}

}  // namespace culoss
