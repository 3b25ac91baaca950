#include "host/embedding.hpp"

#include "host/row_call.hpp"
#include "kernels/policy/embedding.cuh"

namespace culoss {
namespace {

using namespace detail;

// A call whose arguments are checked. Without labels all rows count.
template <class T, class Loss, class Options>
struct pair_call {
  const char* function;
  const char* width;  // name of the first embedding's number of columns
  Loss loss;
  const Options& options;
  matrix<const T> in[Loss::kVectors];
  matrix<T> out[Loss::kVectors];
  float* scalar_or_rows;  // null: not wanted
  kernels::pair_labels all;
  std::int64_t* rows_counted;  // null: likewise
};

template <class T, class Loss, class Options>
status run(const cuda& where, const pair_call<T, Loss, Options>& call) noexcept {
  device_context context;
  status s = open(call.function, where, context);
  if (s.ok()) s = check_width(context, call.width, call.in[0].cols);
  if (!s.ok()) return s;
  kernels::pair_arguments<T, Loss> a{};
  for (int i = 0; i < Loss::kVectors; ++i) {
    a.in[i] = stream_of(call.in[i]);
    a.out[i] = target_of(call.out[i]);
  }
  a.rows = call.in[0].rows;
  a.cols = call.in[0].cols;
  a.loss = call.loss;
  a.all = call.all;
  return run_rows(where, context, a, call.scalar_or_rows, call.rows_counted, call.options,
                  [&](const auto& pairs) noexcept {
                    return launch_rows<kernels::embedding_pair_policy<T, Loss>>(context, pairs);
                  });
}

kernels::pair_labels labels_of_pairs(const label_view& labels, std::int64_t ignore_index,
                                     std::int64_t unlike) noexcept {
  return {labels_of(labels, ignore_index, 2, ignore_index), unlike};
}

template <class T>
status run_cosine_embedding(const cuda& where, const matrix<const T>& x1, const matrix<const T>& x2,
                            const label_view& labels, const pair_outputs<T>& out,
                            const cosine_embedding_options& options) noexcept {
  const status s = check_cosine_embedding(where, x1, x2, labels, out, options);
  if (!s.ok()) return s;
  return run(where, pair_call<T, kernels::cosine_embedding_loss, cosine_embedding_options>{
                        "cosine_embedding",
                        "x1.cols",
                        {options.margin},
                        options,
                        {x1, x2},
                        {out.grad_x1, out.grad_x2},
                        out.loss.data,
                        labels_of_pairs(labels, options.ignore_index, -1),
                        out.rows_counted.data});
}

template <class T>
status run_contrastive(const cuda& where, const matrix<const T>& x1, const matrix<const T>& x2,
                       const label_view& labels, const pair_outputs<T>& out,
                       const contrastive_options& options) noexcept {
  const status s = check_contrastive(where, x1, x2, labels, out, options);
  if (!s.ok()) return s;
  return run(where, pair_call<T, kernels::contrastive_loss, contrastive_options>{
                        "contrastive",
                        "x1.cols",
                        {options.margin, options.factor},
                        options,
                        {x1, x2},
                        {out.grad_x1, out.grad_x2},
                        out.loss.data,
                        labels_of_pairs(labels, options.ignore_index, 0),
                        out.rows_counted.data});
}

template <class T>
status run_triplet(const cuda& where, const matrix<const T>& a, const matrix<const T>& p,
                   const matrix<const T>& n, const triplet_outputs<T>& out,
                   const triplet_options& options) noexcept {
  const status s = check_triplet(where, a, p, n, out, options);
  if (!s.ok()) return s;
  const auto with = [&]<bool kCosine>(std::bool_constant<kCosine>) noexcept {
    using loss = kernels::triplet_loss_of<kCosine>;
    const bool squared = options.distance == triplet_distance::squared_euclidean;
    return run(where, pair_call<T, loss, triplet_options>{
                          "triplet",
                          "anchors.cols",
                          {options.margin, squared, options.swap, options.soft_margin},
                          options,
                          {a, p, n},
                          {out.grad_anchors, out.grad_positives, out.grad_negatives},
                          out.loss.data,
                          {},
                          nullptr});
  };
  return options.distance == triplet_distance::cosine ? with(std::true_type{})
                                                      : with(std::false_type{});
}

}  // namespace

std::size_t cosine_embedding_workspace_bytes(std::int64_t rows, std::int64_t) noexcept {
  return row_memory_bytes(rows);
}
std::size_t contrastive_workspace_bytes(std::int64_t rows, std::int64_t) noexcept {
  return row_memory_bytes(rows);
}
std::size_t triplet_workspace_bytes(std::int64_t rows, std::int64_t) noexcept {
  return row_memory_bytes(rows);
}

status cosine_embedding(const cuda& where, matrix<const float> x1, matrix<const float> x2,
                        label_view labels, const pair_outputs<float>& outputs,
                        const cosine_embedding_options& options) noexcept {
  return run_cosine_embedding(where, x1, x2, labels, outputs, options);
}
status cosine_embedding(const cuda& where, matrix<const half> x1, matrix<const half> x2,
                        label_view labels, const pair_outputs<half>& outputs,
                        const cosine_embedding_options& options) noexcept {
  return run_cosine_embedding(where, x1, x2, labels, outputs, options);
}
status cosine_embedding(const cuda& where, matrix<const bf16> x1, matrix<const bf16> x2,
                        label_view labels, const pair_outputs<bf16>& outputs,
                        const cosine_embedding_options& options) noexcept {
  return run_cosine_embedding(where, x1, x2, labels, outputs, options);
}

status contrastive(const cuda& where, matrix<const float> x1, matrix<const float> x2,
                   label_view labels, const pair_outputs<float>& outputs,
                   const contrastive_options& options) noexcept {
  return run_contrastive(where, x1, x2, labels, outputs, options);
}
status contrastive(const cuda& where, matrix<const half> x1, matrix<const half> x2,
                   label_view labels, const pair_outputs<half>& outputs,
                   const contrastive_options& options) noexcept {
  return run_contrastive(where, x1, x2, labels, outputs, options);
}
status contrastive(const cuda& where, matrix<const bf16> x1, matrix<const bf16> x2,
                   label_view labels, const pair_outputs<bf16>& outputs,
                   const contrastive_options& options) noexcept {
  return run_contrastive(where, x1, x2, labels, outputs, options);
}

status triplet(const cuda& where, matrix<const float> anchors, matrix<const float> positives,
               matrix<const float> negatives, const triplet_outputs<float>& outputs,
               const triplet_options& options) noexcept {
  return run_triplet(where, anchors, positives, negatives, outputs, options);
}
status triplet(const cuda& where, matrix<const half> anchors, matrix<const half> positives,
               matrix<const half> negatives, const triplet_outputs<half>& outputs,
               const triplet_options& options) noexcept {
  return run_triplet(where, anchors, positives, negatives, outputs, options);
}
status triplet(const cuda& where, matrix<const bf16> anchors, matrix<const bf16> positives,
               matrix<const bf16> negatives, const triplet_outputs<bf16>& outputs,
               const triplet_options& options) noexcept {
  return run_triplet(where, anchors, positives, negatives, outputs, options);
}

}  // namespace culoss
