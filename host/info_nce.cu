#include "host/info_nce.hpp"

#include "host/similarity.hpp"

namespace culoss {
namespace {

using namespace detail;

// What both losses' options say in the same words.
template <class T, class Options>
void set_options(similarity_problem<T>& p, const Options& o, const vector<float>& loss) noexcept {
  const bool none = o.reduction == reduction::none;
  p.normalize = o.normalize;
  p.allow_tf32 = o.allow_tf32;
  p.accumulate = o.accumulate;
  p.call.logarithm = o.log_scale.given();
  p.call.scale = argument(p.call.logarithm ? o.log_scale : o.temperature);
  // A mean divides by the number of rows, whatever their weights.
  p.call.by = scale_of(o, static_cast<double>(p.queries.rows));
  (none ? p.row_loss : p.loss) = loss.data;
}

// Sizes that cuBLAS and the kernels count in 32 bits.
template <class T>
status check_sizes(const device_context& context, const similarity_problem<T>& p) noexcept {
  constexpr std::int64_t kMost = (std::int64_t{1} << 31) - (1 << 16);
  const auto too_large = [&](const char* what, std::int64_t value) {
    return failure(status_code::unsupported, context.function,
                   "%s is %lld, the kernels take at most %lld", what, static_cast<long long>(value),
                   static_cast<long long>(kMost));
  };
  std::int64_t columns = 0;
  for (const auto& s : p.segments) {
    columns += s.keys.rows;
    if (s.keys.ld > kMost) return too_large("the pitch of keys or negatives", s.keys.ld);
  }
  if (p.queries.ld > kMost) return too_large("the pitch of queries", p.queries.ld);
  if (p.queries.rows > kMost) return too_large("the number of rows", p.queries.rows);
  if (columns > kMost) return too_large("the number of columns", columns);
  return {};
}

status write_row_count(const device_context& context, const vector<std::int64_t>& out,
                       std::int64_t rows) noexcept {
  if (out.data == nullptr) return {};
  if (rows == 0) return clear(context, out.data, 0, sizeof(std::int64_t));
  return launch(context, kernels::write_number, 1ll, 1, 0, reinterpret_cast<long long*>(out.data),
                static_cast<long long>(rows));
}

template <class T, class Options>
status run(const device_context& context, const cuda& where, const similarity_problem<T>& p,
           const Options& options, const vector<float>& loss,
           const vector<std::int64_t>& rows_counted) noexcept {
  similarity_sweep<T> sweep(context, p);
  status s = check_sizes(context, p);
  if (!s.ok()) return s;
  if (p.queries.rows > 0) {
    s = sweep.run(where);
  } else {
    s = sweep.run_without_rows();
    if (s.ok()) {
      s = write_empty_loss(context, loss.data, options);
    }
    if (s.ok()) s = clear(context, p.grad_scale, 0, sizeof(float));
    if (s.ok()) s = clear(context, p.correct, 0, sizeof(std::int64_t));
    if (s.ok()) s = clear(context, p.correct_columns, 0, sizeof(std::int64_t));
  }
  if (s.ok()) s = write_row_count(context, rows_counted, p.queries.rows);
  return s;
}

status check_blas(const char* function, const cuda& where) noexcept {
  if (where.blas != nullptr && where.blas->handle() != nullptr) return {};
  return failure(status_code::invalid_argument, function, "blas is %s",
                 where.blas == nullptr ? "null" : "empty: create() or borrow() comes first");
}

template <class T>
status info_nce_of(const cuda& where, const matrix<const T>& queries, const matrix<const T>& keys,
                   const matrix<const T>& negatives, const info_nce_outputs<T>& out,
                   const info_nce_options& options) noexcept {
  constexpr const char* kFunction = "info_nce";
  status s = check_info_nce(where, queries, keys, negatives, out, options);
  if (s.ok()) s = check_blas(kFunction, where);
  device_context context;
  if (s.ok()) s = open(kFunction, where, context);
  if (!s.ok()) return s;

  similarity_problem<T> p;
  p.queries = queries;
  p.grad_queries = out.grad_queries;
  p.offset = options.positive_offset;
  p.query_ids = options.query_ids.data;
  p.segments[0] = {keys, out.grad_keys, options.key_ids.data, true, options.in_batch, 0};
  const std::int64_t columns = options.in_batch ? keys.rows : queries.rows;
  p.segments[1] = {negatives,
                   out.grad_negatives,
                   options.negative_ids.data,
                   false,
                   true,
                   static_cast<int>(std::min<std::int64_t>(columns, INT32_MAX))};
  set_options(p, options, out.loss);
  p.grad_scale = out.grad_scale.data;
  p.correct = out.correct.data;
  return run(context, where, p, options, out.loss, out.rows_counted);
}

template <class T>
status clip_of(const cuda& where, const matrix<const T>& images, const matrix<const T>& texts,
               const clip_outputs<T>& out, const clip_options& options) noexcept {
  constexpr const char* kFunction = "clip";
  status s = check_clip(where, images, texts, out, options);
  if (s.ok()) s = check_blas(kFunction, where);
  device_context context;
  if (s.ok()) s = open(kFunction, where, context);
  if (!s.ok()) return s;

  similarity_problem<T> p;
  p.queries = images;
  p.grad_queries = out.grad_images;
  p.symmetric = true;
  p.query_ids = options.ids.data;
  p.segments[0] = {texts, out.grad_texts, options.ids.data, true, true, 0};
  set_options(p, options, out.loss);
  p.grad_scale = out.grad_scale.data;
  p.correct = out.correct_images.data;
  p.correct_columns = out.correct_texts.data;
  return run(context, where, p, options, out.loss, out.rows_counted);
}

// A shape that no call accepts needs nothing; nor does one with more elements than addresses, of
// which the arithmetic of the plans knows nothing.
bool possible(const similarity_shape& s) noexcept {
  constexpr std::int64_t kMost = std::int64_t{1} << 48;
  const auto exist = [&](std::int64_t rows) { return rows >= 0 && rows <= kMost / s.dimension; };
  return s.dimension > 0 && s.dimension <= kMost && s.element_bytes > 0 && exist(s.queries) &&
         exist(s.keys) && exist(s.negatives);
}

similarity_extent extent_of(const similarity_shape& shape, bool symmetric) noexcept {
  similarity_extent e;
  e.rows = shape.queries;
  e.dimension = shape.dimension;
  e.keys[0] = e.widths[0] = shape.keys;
  e.keys[1] = e.widths[1] = symmetric ? 0 : shape.negatives;
  e.key_gradients[0] = shape.gradients;
  e.key_gradients[1] = shape.negative_gradients && !symmetric;
  e.gradients = shape.gradients || e.key_gradients[1];
  e.symmetric = symmetric;
  e.element_bytes = shape.element_bytes;
  return e;
}

}  // namespace

similarity_workspace info_nce_workspace(const similarity_shape& shape) noexcept {
  return possible(shape) ? workspace_of(extent_of(shape, false)) : similarity_workspace{};
}
similarity_workspace clip_workspace(const similarity_shape& shape) noexcept {
  return possible(shape) ? workspace_of(extent_of(shape, true)) : similarity_workspace{};
}

status info_nce(const cuda& where, matrix<const float> queries, matrix<const float> keys,
                matrix<const float> negatives, const info_nce_outputs<float>& outputs,
                const info_nce_options& options) noexcept {
  return info_nce_of(where, queries, keys, negatives, outputs, options);
}
status info_nce(const cuda& where, matrix<const half> queries, matrix<const half> keys,
                matrix<const half> negatives, const info_nce_outputs<half>& outputs,
                const info_nce_options& options) noexcept {
  return info_nce_of(where, queries, keys, negatives, outputs, options);
}
status info_nce(const cuda& where, matrix<const bf16> queries, matrix<const bf16> keys,
                matrix<const bf16> negatives, const info_nce_outputs<bf16>& outputs,
                const info_nce_options& options) noexcept {
  return info_nce_of(where, queries, keys, negatives, outputs, options);
}

status clip(const cuda& where, matrix<const float> images, matrix<const float> texts,
            const clip_outputs<float>& outputs, const clip_options& options) noexcept {
  return clip_of(where, images, texts, outputs, options);
}
status clip(const cuda& where, matrix<const half> images, matrix<const half> texts,
            const clip_outputs<half>& outputs, const clip_options& options) noexcept {
  return clip_of(where, images, texts, outputs, options);
}
status clip(const cuda& where, matrix<const bf16> images, matrix<const bf16> texts,
            const clip_outputs<bf16>& outputs, const clip_options& options) noexcept {
  return clip_of(where, images, texts, outputs, options);
}

}  // namespace culoss
