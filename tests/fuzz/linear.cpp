// linear_cross_entropy, its backward, and merge_statistics.
#include <culoss/linear_cross_entropy.hpp>

#include "tests/fuzz/execute.hpp"

namespace culoss_fuzz {
namespace {

using culoss::matrix;
using culoss::vector;

// A handle, mostly one that can be used.
culoss::cublas* some_blas(source& from) {
  static culoss::cublas none;
  if (!from.odd()) return &default_blas();
  return from.coin() ? &none : nullptr;
}

// Classes of the weights' own number, or of more, among which they stand.
template <class Options>
Options some_options(source& from, std::int64_t columns) {
  Options o;
  from.reduction(o, from.rows());
  o.label_smoothing = from.number(0.1f);
  o.ignore_index = from.pick<std::int64_t>({-100, 0, 1, -1, 69});
  o.temperature = from.scalar(0.7f);
  o.softcap = from.number(0.0f);
  o.z_loss = from.number(1e-3f);
  const std::int64_t before = from.coin() ? from.byte() % 4 : 0, behind = from.byte() % 4;
  if (from.coin()) {
    o.class_offset = from.integer(before);
    o.classes = from.integer(columns + before + behind);
  }
  o.class_weights = from.optional_vector<const float>(o.classes == 0 ? columns : o.classes);
  return o;
}
template <class Options>
void judge_options(predicate& says, const Options& o, std::int64_t rows, std::int64_t columns) {
  says.reduction(o, rows);
  says.require(o.label_smoothing >= 0 && o.label_smoothing <= 1, "label_smoothing");
  says.temperature("temperature", o.temperature);
  says.require(o.softcap == 0 || (std::isnormal(o.softcap) && o.softcap > 0), "softcap");
  says.require(std::isfinite(o.z_loss) && o.z_loss >= 0, "z_loss");
  says.require(o.classes >= 0, "classes");
  says.counted(o.classes);
  const bool among = o.class_offset >= 0 && o.class_offset <= o.classes &&
                     columns <= o.classes - std::max<std::int64_t>(o.class_offset, 0);
  says.require(o.classes == 0 ? o.class_offset == 0 : o.classes < 0 || among, "class_offset");
  says.optional("class_weights", o.class_weights, o.classes == 0 ? columns : o.classes);
}

template <class Out, class Options>
void judge_rows(predicate& says, const Out& out, const Options& o, std::int64_t rows) {
  says.loss("loss", out.loss, o.reduction, rows);
  says.optional("lse", out.lse, rows);
  says.optional("statistics", out.statistics, rows);
  says.optional("argmax", out.argmax, rows);
  says.optional("correct", out.correct, 1);
  says.optional("rows_counted", out.rows_counted, 1);
  says.loss("z_loss", out.z_loss, o.reduction, rows);
  says.require(out.z_loss.empty() || o.z_loss != 0, "z_loss");
  says.optional("entropy", out.entropy, rows);
}

// A gradient in the type of the inputs, or in float.
template <class T>
culoss::gradient_matrix<T> gradient(source& from, std::int64_t rows) {
  if (!from.coin()) return {};
  if constexpr (std::is_same_v<T, culoss::half> || std::is_same_v<T, culoss::bf16>) {
    if (from.coin()) return from.matrix<float>(rows, from.columns());
  }
  return from.matrix<T>(rows, from.columns());
}
template <class T>
void judge_gradient(predicate& says, const char* name, const culoss::gradient_matrix<T>& g,
                    const matrix<const T>& of, bool accumulate) {
  if (g.empty()) return;
  const auto as = [&]<class U>(U* data) {
    says.view(name, matrix<U>(data, g.rows, g.cols, g.ld), of, access::write);
  };
  constexpr bool kNarrow = kSizeof<T> == 2;
  if (kNarrow && g.wide) {
    as(static_cast<float*>(g.data));
  } else {
    as(static_cast<T*>(g.data));
  }
  says.require(!accumulate || !kNarrow || g.wide, "accumulate");
}

// What a forward and a backward call have in common.
template <class T>
struct classifier {
  using real = culoss::real_of<T>;
  culoss::cublas* handle;
  std::int64_t columns;  // mostly the number of weights
  culoss::linear_cross_entropy_options options;
  matrix<const T> hidden, weight;
  vector<const real> bias;
  culoss::label_view labels;

  explicit classifier(source& from)
      : handle(some_blas(from)),
        columns(from.pick<std::int64_t>({3, 1, 2, 4})),
        options(some_options<culoss::linear_cross_entropy_options>(from, columns)),
        hidden(from.matrix<const T>(from.rows(), from.columns())),
        weight(from.matrix<const T>(columns, from.columns())),
        bias(from.optional_vector<const real>(columns)),
        labels(from.labels(from.rows())) {
    options.accumulate = from.byte() > 224;
    options.allow_tf32 = from.coin();
  }
  template <class Out>
  void take_gradients(source& from, Out& out) {
    out.grad_hidden = gradient<T>(from, from.rows());
    out.grad_weight = gradient<T>(from, columns);
    if (!bias.empty() != from.odd()) out.grad_bias = from.optional_vector<real>(columns);
  }
  culoss::cublas* blas() const { return handle; }
  template <class Out>
  std::size_t scratch_for(const Out& out) const {
    return culoss::linear_cross_entropy_workspace({.rows = hidden.rows,
                                                   .classes = weight.rows,
                                                   .dimension = hidden.cols,
                                                   .element_bytes = static_cast<int>(kSizeof<T>),
                                                   .hidden_gradient = !out.grad_hidden.empty(),
                                                   .weight_gradient = !out.grad_weight.empty(),
                                                   .bias_gradient = !out.grad_bias.empty()})
        .least;
  }
  template <class Out>
  void judge_inputs(predicate& says, const Out& out) const {
    says.rows_to_read("hidden", hidden);
    says.view("weight", weight, access::read);
    says.require(weight.rows > 0 && weight.cols == hidden.cols, "weight");
    says.optional("bias", bias, weight.rows);
    says.labels("labels", labels, hidden.rows);
    judge_options(says, options, hidden.rows, weight.rows);
    judge_gradient(says, "grad_hidden", out.grad_hidden, hidden, options.accumulate);
    judge_gradient(says, "grad_weight", out.grad_weight, weight, options.accumulate);
    says.optional("grad_bias", out.grad_bias, weight.rows);
    says.require(out.grad_bias.empty() || !bias.empty(), "grad_bias");
  }
};

template <class T>
struct forward : classifier<T> {
  using base = classifier<T>;
  using real = typename base::real;
  culoss::linear_cross_entropy_outputs<T> out;

  explicit forward(source& from) : base(from) {
    const std::int64_t rows = from.rows();
    const culoss::reduction r = base::options.reduction;
    // Of a shard nothing but its records can be had.
    const bool whole = base::options.classes == 0 || base::options.classes == base::columns;
    if (whole != from.odd()) {
      base::take_gradients(from, out);
      out.loss = from.loss<real>(r, rows);
      out.lse = from.optional_vector<real>(rows);
      out.statistics = from.optional_vector<culoss::row_statistics<real>>(rows);
      out.argmax = from.optional_vector<std::int64_t>(rows);
      out.correct = from.optional_vector<std::int64_t>(1);
      if (from.coin()) out.z_loss = from.loss<real>(r, rows);
      out.entropy = from.optional_vector<real>(rows);
    }
    out.rows_counted = from.optional_vector<std::int64_t>(1);
    out.shards = from.optional_vector<culoss::shard_statistics<real>>(rows);
  }
  std::string function() const { return "linear_cross_entropy"; }
  std::size_t scratch() const { return base::scratch_for(out); }
  void judge(predicate& says) const {
    const std::int64_t rows = base::hidden.rows;
    base::judge_inputs(says, out);
    judge_rows(says, out, base::options, rows);
    says.optional("shards", out.shards, rows);
    const bool rows_wanted = !out.loss.empty() || !out.lse.empty() || !out.statistics.empty() ||
                             !out.argmax.empty() || !out.correct.empty() || !out.z_loss.empty() ||
                             !out.entropy.empty() || !out.grad_hidden.empty() ||
                             !out.grad_weight.empty() || !out.grad_bias.empty();
    const std::int64_t classes = base::options.classes;
    says.require(!rows_wanted || classes == 0 || classes == base::weight.rows, "shards");
    says.require(rows == 0 || rows_wanted || !out.rows_counted.empty() || !out.shards.empty(),
                 "output");
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::linear_cross_entropy(where, base::hidden, base::weight, base::bias, base::labels,
                                        out, base::options);
  }
};

template <class T>
struct backward : classifier<T> {
  using base = classifier<T>;
  using real = typename base::real;
  vector<const culoss::row_statistics<real>> statistics;
  culoss::linear_cross_entropy_backward_outputs<T> out;

  explicit backward(source& from) : base(from) {
    statistics = from.vector<const culoss::row_statistics<real>>(from.rows());
    base::take_gradients(from, out);
  }
  std::string function() const { return "linear_cross_entropy_backward"; }
  std::size_t scratch() const { return base::scratch_for(out); }
  void judge(predicate& says) const {
    base::judge_inputs(says, out);
    says.vector("statistics", statistics, base::hidden.rows, access::read);
    says.some_output(base::hidden.rows, out.grad_hidden, out.grad_weight, out.grad_bias);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::linear_cross_entropy_backward(where, base::hidden, base::weight, base::bias,
                                                 base::labels, statistics, out, base::options);
  }
};

template <class T>
struct merge {
  // Records are float or double.
  using real = culoss::real_of<T>;
  using record = culoss::shard_statistics<real>;
  std::int64_t classes;
  culoss::cross_entropy_options options;
  matrix<const record> shards;
  culoss::label_view labels;
  culoss::merged_outputs<real> out;

  explicit merge(source& from)
      : classes(from.pick<std::int64_t>({5, 1, 70})),
        options(some_options<culoss::cross_entropy_options>(from, classes)),
        shards(some_records(from)),
        labels(from.labels(from.rows())) {
    const std::int64_t rows = from.rows();
    if (!from.odd()) options.classes = classes, options.class_offset = 0;
    if (!from.odd() && !options.class_weights.empty()) options.class_weights.size = options.classes;
    out.loss = from.loss<real>(options.reduction, rows);
    out.lse = from.optional_vector<real>(rows);
    out.statistics = from.optional_vector<culoss::row_statistics<real>>(rows);
    out.argmax = from.optional_vector<std::int64_t>(rows);
    out.correct = from.optional_vector<std::int64_t>(1);
    out.rows_counted = from.optional_vector<std::int64_t>(1);
    if (from.coin()) out.z_loss = from.loss<real>(options.reduction, rows);
    out.entropy = from.optional_vector<real>(rows);
  }
  // As many as a slot of the memory holds.
  static matrix<const record> some_records(source& from) {
    const vector<const record> all = from.vector<const record>(8);
    const std::int64_t rows = from.rows(), count = from.integer(rows > 2 ? 1 : 2);
    return {all.data, count, rows, from.integer(rows)};
  }
  std::string function() const { return "merge_statistics"; }
  std::size_t scratch() const {
    return culoss::cross_entropy_workspace_bytes(shards.cols, options.classes);
  }
  void judge(predicate& says) const {
    says.view("shards", shards, access::read);
    says.require(shards.rows > 0, "shards");
    says.counted(shards.rows);  // the kernels have a limit, the reference none
    says.labels("labels", labels, shards.cols);
    says.require(options.classes > 0, "classes");
    says.require(options.class_offset == 0, "class_offset");
    judge_options(says, options, shards.cols, options.classes);
    judge_rows(says, out, options, shards.cols);
    says.some_output(shards.cols, out.loss, out.lse, out.statistics, out.argmax, out.correct,
                     out.rows_counted, out.z_loss, out.entropy);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::merge_statistics(where, shards, labels, out, options);
  }
};

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return culoss_fuzz::execute<culoss_fuzz::forward, culoss_fuzz::backward, culoss_fuzz::merge>(
      data, size);
}
