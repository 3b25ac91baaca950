#include "host/self_similarity.hpp"

#include "host/self_sweep.hpp"
#include "host/similarity_call.hpp"

namespace culoss {
namespace {

using namespace detail;

// The embeddings as queries and keys of the sweep.
template <class T, class Outputs, class Options>
similarity_problem<T> problem_of(const matrix<const T>& embeddings, const Outputs& out,
                                 const Options& options) noexcept {
  similarity_problem<T> p;
  p.queries = embeddings;
  p.symmetric = p.self = true;
  p.segments[0].keys = embeddings;
  p.segments[0].gradient = out.grad_embeddings;
  p.segments[0].swept = true;
  set_options(p, options, out.loss);
  p.grad_scale = out.grad_scale.data;
  return p;
}

template <class T>
status check_sizes(const device_context& context, const matrix<const T>& embeddings) noexcept {
  constexpr std::int64_t kMost = (std::int64_t{1} << 31) - (1 << 16);
  const bool pitch = embeddings.ld > kMost;
  if (!pitch && embeddings.rows <= kMost) return {};
  return failure(status_code::unsupported, context.function,
                 "%s is %lld, the kernels take at most %lld",
                 pitch ? "embeddings.ld" : "embeddings.rows",
                 static_cast<long long>(pitch ? embeddings.ld : embeddings.rows),
                 static_cast<long long>(kMost));
}

template <class T>
status nt_xent_of(const cuda& where, const matrix<const T>& embeddings,
                  const nt_xent_outputs<T>& out, const nt_xent_options& options) noexcept {
  constexpr const char* kFunction = "nt_xent";
  status s = check_nt_xent(where, embeddings, out, options);
  if (s.ok()) s = check_blas(kFunction, where);
  device_context context;
  if (s.ok()) s = open(kFunction, where, context);
  if (s.ok()) s = check_sizes(context, embeddings);
  if (!s.ok()) return s;

  similarity_problem<T> p = problem_of(embeddings, out, options);
  p.offset = embeddings.rows / 2;
  p.segments[0].positives = true;
  p.query_ids = p.segments[0].ids = options.ids.data;
  p.correct = out.correct.data;
  return run(self_sweep<T>(context, p, {}), context, where, p, options, out.loss, out.rows_counted);
}

template <class T>
status sup_con_of(const cuda& where, const matrix<const T>& embeddings, const label_view& labels,
                  const sup_con_outputs<T>& out, const sup_con_options& options) noexcept {
  constexpr const char* kFunction = "sup_con";
  status s = check_sup_con(where, embeddings, labels, out, options);
  if (s.ok()) s = check_blas(kFunction, where);
  device_context context;
  if (s.ok()) s = open(kFunction, where, context);
  if (s.ok()) s = check_sizes(context, embeddings);
  if (!s.ok()) return s;

  similarity_problem<T> p = problem_of(embeddings, out, options);
  p.grouped = true;
  const grouping by{labels_of(labels, 0, 0, 0), counts_divisor(options), out.rows_counted.data};
  // The sweep counts the rows itself, if there are any.
  const bool none = embeddings.rows == 0;
  return run(self_sweep<T>(context, p, by), context, where, p, options, out.loss,
             none ? out.rows_counted : vector<std::int64_t>());
}

similarity_workspace workspace_of(const self_similarity_shape& shape, bool grouped) noexcept {
  if (!possible({.queries = shape.rows,
                 .dimension = shape.dimension,
                 .element_bytes = shape.element_bytes})) {
    return {};
  }
  similarity_extent e;
  e.rows = e.keys[0] = e.widths[0] = shape.rows;
  e.dimension = shape.dimension;
  e.gradients = e.key_gradients[0] = shape.gradients;
  e.symmetric = e.self = true;
  e.grouped = grouped;
  e.element_bytes = shape.element_bytes;
  return detail::workspace_of(e);
}

}  // namespace

similarity_workspace nt_xent_workspace(const self_similarity_shape& shape) noexcept {
  return workspace_of(shape, false);
}
similarity_workspace sup_con_workspace(const self_similarity_shape& shape) noexcept {
  return workspace_of(shape, true);
}

status nt_xent(const cuda& where, matrix<const float> embeddings,
               const nt_xent_outputs<float>& outputs, const nt_xent_options& options) noexcept {
  return nt_xent_of(where, embeddings, outputs, options);
}
status nt_xent(const cuda& where, matrix<const half> embeddings,
               const nt_xent_outputs<half>& outputs, const nt_xent_options& options) noexcept {
  return nt_xent_of(where, embeddings, outputs, options);
}
status nt_xent(const cuda& where, matrix<const bf16> embeddings,
               const nt_xent_outputs<bf16>& outputs, const nt_xent_options& options) noexcept {
  return nt_xent_of(where, embeddings, outputs, options);
}

status sup_con(const cuda& where, matrix<const float> embeddings, label_view labels,
               const sup_con_outputs<float>& outputs, const sup_con_options& options) noexcept {
  return sup_con_of(where, embeddings, labels, outputs, options);
}
status sup_con(const cuda& where, matrix<const half> embeddings, label_view labels,
               const sup_con_outputs<half>& outputs, const sup_con_options& options) noexcept {
  return sup_con_of(where, embeddings, labels, outputs, options);
}
status sup_con(const cuda& where, matrix<const bf16> embeddings, label_view labels,
               const sup_con_outputs<bf16>& outputs, const sup_con_options& options) noexcept {
  return sup_con_of(where, embeddings, labels, outputs, options);
}

}  // namespace culoss
