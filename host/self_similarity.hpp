// What the CPU and the CUDA side of nt_xent and sup_con share: the check of the arguments.
#pragma once

#include <cstdio>
#include <culoss/self_similarity.hpp>

#include "host/info_nce.hpp"

namespace culoss::detail {

template <class Where, class T>
void check_embeddings(validator& v, const Where& where,
                      const matrix<const T>& embeddings) noexcept {
  v.check(where);
  v.check("embeddings", embeddings, role::input);
  v.positive("embeddings.cols", embeddings.cols);
}

// What both losses return.
template <class T, class Outputs, class Options>
void check_outputs(validator& v, const matrix<const T>& embeddings, const Outputs& outputs,
                   const Options& options) noexcept {
  v.row_loss("loss", outputs.loss, options.reduction, embeddings.rows,
             "embeddings.rows, as reduction is none");
  check_gradient(v, "grad_embeddings", outputs.grad_embeddings, "embeddings", embeddings,
                 options.accumulate);
  v.check_if_given("grad_scale", outputs.grad_scale, 1, "it is one number", role::output);
  v.check_if_given("rows_counted", outputs.rows_counted, 1, "it is one count", role::output);
}

template <class Outputs>
bool wants_any(const Outputs& o) noexcept {
  return !o.loss.empty() || !o.grad_embeddings.empty() || !o.grad_scale.empty() ||
         !o.rows_counted.empty();
}

template <class Where, class T>
status check_nt_xent(const Where& where, const matrix<const T>& embeddings,
                     const nt_xent_outputs<T>& outputs, const nt_xent_options& options) noexcept {
  validator v("nt_xent");
  check_embeddings(v, where, embeddings);
  const std::int64_t rows = embeddings.rows;
  char odd[96];
  std::snprintf(odd, sizeof odd, "embeddings.rows is %lld, must be even: two views of each item",
                static_cast<long long>(rows));
  v.require(rows % 2 == 0, odd);
  check_similarity_options(v, rows, options);
  v.check_if_given("ids", options.ids, rows, "embeddings.rows", role::input);
  check_outputs(v, embeddings, outputs, options);
  v.check_if_given("correct", outputs.correct, 1, "it is one count", role::output);
  v.require(rows == 0 || wants_any(outputs) || !outputs.correct.empty(), "no output is given");
  return v.finish();
}

template <class Where, class T>
status check_sup_con(const Where& where, const matrix<const T>& embeddings,
                     const label_view& labels, const sup_con_outputs<T>& outputs,
                     const sup_con_options& options) noexcept {
  validator v("sup_con");
  check_embeddings(v, where, embeddings);
  const std::int64_t rows = embeddings.rows;
  v.check("labels", labels, rows, "embeddings.rows");
  check_similarity_options(v, rows, options);
  check_outputs(v, embeddings, outputs, options);
  v.require(rows == 0 || wants_any(outputs), "no output is given");
  return v.finish();
}

}  // namespace culoss::detail
