#include "host/info_nce.hpp"

#include "host/similarity_call.hpp"

namespace culoss {
namespace {

using namespace detail;

// What only these two have.
template <class T, class Options>
void set_mask_and_margin(similarity_problem<T>& p, const Options& options) noexcept {
  p.mask = options.mask;
  p.call.margin = options.margin;
}

template <class T>
status info_nce_of(const cuda& where, const matrix<const T>& queries, const matrix<const T>& keys,
                   const matrix<const T>& negatives, const matrix<const T>& row_negatives,
                   const info_nce_outputs<T>& out, const info_nce_options& options) noexcept {
  constexpr const char* kFunction = "info_nce";
  status s = check_info_nce(where, queries, keys, negatives, row_negatives, out, options);
  if (s.ok()) s = check_blas(kFunction, where);
  device_context context;
  if (s.ok()) s = open(kFunction, where, context);
  if (!s.ok()) return s;

  similarity_problem<T> p;
  p.queries = queries;
  p.grad_queries = out.grad_queries;
  p.offset = options.positive_offset;
  p.query_ids = options.query_ids.data;
  p.segments[0] = {keys, out.grad_keys, options.key_ids.data, true, options.in_batch, 0, 0};
  const auto index = [](std::int64_t i) {  // a call with more columns is refused
    return static_cast<int>(std::min<std::int64_t>(i, INT32_MAX));
  };
  const std::int64_t columns = options.in_batch ? keys.rows : queries.rows;
  p.segments[1] = {negatives, out.grad_negatives, options.negative_ids.data,       false,
                   true,      index(columns),     options.in_batch ? keys.rows : 0};
  p.row_negatives = row_negatives;
  p.grad_row_negatives = out.grad_row_negatives;
  p.of_a_row = negatives_of_a_row(queries, row_negatives);
  p.first_row_index = index(columns + negatives.rows);
  p.first_row_masked = p.segments[1].first_masked + negatives.rows;
  set_options(p, options, out.loss);
  set_mask_and_margin(p, options);
  p.grad_scale = out.grad_scale.data;
  p.correct = out.correct.data;
  p.row_count = out.rows_counted.data;
  return run(similarity_sweep<T>(context, p), context, where, p, options, out.loss,
             out.rows_counted);
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
  p.segments[0] = {texts, out.grad_texts, options.ids.data, true, true, 0, 0};
  set_options(p, options, out.loss);
  set_mask_and_margin(p, options);
  p.grad_scale = out.grad_scale.data;
  p.correct = out.correct_images.data;
  p.correct_columns = out.correct_texts.data;
  p.row_count = out.rows_counted.data;
  return run(similarity_sweep<T>(context, p), context, where, p, options, out.loss,
             out.rows_counted);
}

similarity_extent extent_of(const similarity_shape& shape, bool symmetric) noexcept {
  similarity_extent e;
  e.rows = shape.queries;
  e.dimension = shape.dimension;
  e.of_a_row = symmetric ? 0 : shape.row_negatives;
  e.keys[0] = e.widths[0] = shape.keys;
  e.keys[1] = e.widths[1] = symmetric ? 0 : shape.negatives;
  e.key_gradients[0] = shape.gradients;
  e.key_gradients[1] = shape.negative_gradients && !symmetric;
  e.gradients = shape.gradients || e.key_gradients[1];
  e.symmetric = symmetric;
  e.element_bytes = shape.element_bytes;
  e.wanted = shape.plan;
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
  return info_nce_of(where, queries, keys, negatives, {}, outputs, options);
}
status info_nce(const cuda& where, matrix<const float> queries, matrix<const float> keys,
                matrix<const float> negatives, matrix<const float> row_negatives,
                const info_nce_outputs<float>& outputs, const info_nce_options& options) noexcept {
  return info_nce_of(where, queries, keys, negatives, row_negatives, outputs, options);
}
status info_nce(const cuda& where, matrix<const half> queries, matrix<const half> keys,
                matrix<const half> negatives, const info_nce_outputs<half>& outputs,
                const info_nce_options& options) noexcept {
  return info_nce_of(where, queries, keys, negatives, {}, outputs, options);
}
status info_nce(const cuda& where, matrix<const half> queries, matrix<const half> keys,
                matrix<const half> negatives, matrix<const half> row_negatives,
                const info_nce_outputs<half>& outputs, const info_nce_options& options) noexcept {
  return info_nce_of(where, queries, keys, negatives, row_negatives, outputs, options);
}
status info_nce(const cuda& where, matrix<const bf16> queries, matrix<const bf16> keys,
                matrix<const bf16> negatives, const info_nce_outputs<bf16>& outputs,
                const info_nce_options& options) noexcept {
  return info_nce_of(where, queries, keys, negatives, {}, outputs, options);
}
status info_nce(const cuda& where, matrix<const bf16> queries, matrix<const bf16> keys,
                matrix<const bf16> negatives, matrix<const bf16> row_negatives,
                const info_nce_outputs<bf16>& outputs, const info_nce_options& options) noexcept {
  return info_nce_of(where, queries, keys, negatives, row_negatives, outputs, options);
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
