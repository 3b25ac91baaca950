#include "host/mined_triplet.hpp"

#include "host/batch_all.hpp"
#include "host/mining.hpp"
#include "host/similarity_call.hpp"

namespace culoss {
namespace {

using namespace detail;

kernels::distance_kind kind_of(triplet_distance d) noexcept {
  switch (d) {
    case triplet_distance::euclidean:
      return kernels::distance_kind::euclidean;
    case triplet_distance::squared_euclidean:
      return kernels::distance_kind::squared;
    default:
      return kernels::distance_kind::cosine;
  }
}

template <class T>
status mined_triplet_of(const cuda& where, const matrix<const T>& embeddings,
                        const label_view& labels, const mined_triplet_outputs<T>& out,
                        const mined_triplet_options& options) noexcept {
  constexpr const char* kFunction = "mined_triplet";
  status s = check_mined_triplet(where, embeddings, labels, out, options);
  if (s.ok() && options.rule != mining_rule::batch_all) s = check_blas(kFunction, where);
  device_context context;
  if (s.ok()) s = open(kFunction, where, context);
  if (s.ok()) s = check_width(context, "embeddings.rows", embeddings.rows);
  if (s.ok()) s = check_width(context, "embeddings.cols", embeddings.cols);
  if (s.ok()) s = check_width(context, "embeddings.ld", embeddings.ld);
  if (!s.ok()) return s;
  if (embeddings.rows == 0) {
    s = write_empty_loss(context, out.loss.data, options);
    if (s.ok()) s = clear(context, out.rows_counted.data, 0, sizeof(std::int64_t));
    return s;
  }

  mining_problem<T> p;
  p.x = embeddings;
  p.labels = labels_of(labels, options.ignore_index, 0, options.ignore_index);
  p.distance = kind_of(options.distance);
  p.rule = {options.rule == mining_rule::semi_hard, options.soft_margin,
            static_cast<double>(options.margin)};
  p.allow_tf32 = options.allow_tf32;
  p.accumulate = options.accumulate;
  p.by = scale_of(options, 0.0);
  p.counts_divisor = counts_divisor(options);
  p.gradient = out.grad_embeddings;
  (options.reduction == reduction::none ? p.row_loss : p.loss) = out.loss.data;
  p.positives = out.positives.data;
  p.negatives = out.negatives.data;
  p.rows_counted = out.rows_counted.data;
  if (options.rule == mining_rule::batch_all) return batch_all_sweep<T>(context, p).run(where);
  return mining_sweep<T>(context, p).run(where);
}

}  // namespace

mined_triplet_workspace_bytes mined_triplet_workspace(const mined_triplet_shape& shape) noexcept {
  if (!possible({.queries = shape.rows, .dimension = shape.dimension}) || shape.rows == 0)
    return {};
  const similarity_workspace w = shape.rule == mining_rule::batch_all
                                     ? workspace_of(batch_all_extent{shape.rows, shape.dimension})
                                     : workspace_of(mining_extent{shape.rows, shape.dimension});
  return {w.least, w.best};
}

status mined_triplet(const cuda& where, matrix<const float> embeddings, label_view labels,
                     const mined_triplet_outputs<float>& outputs,
                     const mined_triplet_options& options) noexcept {
  return mined_triplet_of(where, embeddings, labels, outputs, options);
}
status mined_triplet(const cuda& where, matrix<const half> embeddings, label_view labels,
                     const mined_triplet_outputs<half>& outputs,
                     const mined_triplet_options& options) noexcept {
  return mined_triplet_of(where, embeddings, labels, outputs, options);
}
status mined_triplet(const cuda& where, matrix<const bf16> embeddings, label_view labels,
                     const mined_triplet_outputs<bf16>& outputs,
                     const mined_triplet_options& options) noexcept {
  return mined_triplet_of(where, embeddings, labels, outputs, options);
}

}  // namespace culoss
