// What the CPU and the CUDA side of mined_triplet share: the check of the arguments.
#pragma once

#include <culoss/mined_triplet.hpp>

#include "host/info_nce.hpp"
#include "host/validate.hpp"

namespace culoss::detail {

template <class Where, class T>
status check_mined_triplet(const Where& where, const matrix<const T>& embeddings,
                           const label_view& labels, const mined_triplet_outputs<T>& outputs,
                           const mined_triplet_options& options) noexcept {
  validator v("mined_triplet");
  v.check(where);
  v.check("embeddings", embeddings, role::input);
  v.positive("embeddings.cols", embeddings.cols);
  const std::int64_t rows = embeddings.rows;
  v.check("labels", labels, rows, "embeddings.rows");
  const bool all = options.rule == mining_rule::batch_all;
  v.require(
      all || options.rule == mining_rule::batch_hard || options.rule == mining_rule::semi_hard,
      "rule must be batch_hard, semi_hard or batch_all");
  v.require(options.distance == triplet_distance::euclidean ||
                options.distance == triplet_distance::squared_euclidean ||
                options.distance == triplet_distance::cosine,
            "distance must be euclidean, squared_euclidean or cosine");
  v.not_negative("margin", options.margin);
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows, rows);
  v.empty(options.empty);
  v.check_if_given("row_weights", options.row_weights, rows, "one for each row", role::input);
  v.row_loss("loss", outputs.loss, options.reduction, rows,
             "embeddings.rows, as reduction is none");
  check_gradient(v, "grad_embeddings", outputs.grad_embeddings, "embeddings", embeddings,
                 options.accumulate);
  v.require(!all || (outputs.positives.empty() && outputs.negatives.empty()),
            "positives or negatives are given, but batch_all has more than one of an anchor");
  v.check_if_given("positives", outputs.positives, rows, "embeddings.rows", role::output);
  v.check_if_given("negatives", outputs.negatives, rows, "embeddings.rows", role::output);
  v.check_if_given("rows_counted", outputs.rows_counted, 1, "it is one count", role::output);
  v.require(rows == 0 || !outputs.loss.empty() || !outputs.grad_embeddings.empty() ||
                !outputs.positives.empty() || !outputs.negatives.empty() ||
                !outputs.rows_counted.empty(),
            "no output is given");
  return v.finish();
}

}  // namespace culoss::detail
