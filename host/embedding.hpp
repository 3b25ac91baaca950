// What the CPU and the CUDA side of the losses of embedding pairs share: the check of the arguments.
#pragma once

#include <culoss/embedding.hpp>

#include "host/validate.hpp"

namespace culoss::detail {

// The options that all three have; `rows` is a name, as "x1.rows".
template <class Options, class Loss>
void check_pair_options(validator& v, const Options& options, const Loss& loss, const char* name,
                        std::int64_t rows) noexcept {
  v.check_if_given("row_weights", options.row_weights, rows, name, role::input);
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows, rows);
  v.empty(options.empty);
  v.row_loss("loss", loss, options.reduction, rows, name);
}

template <class Where, class T, class Options>
void check_labeled_pairs(validator& v, const Where& where, const matrix<const T>& x1,
                         const matrix<const T>& x2, const label_view& labels,
                         const pair_outputs<T>& out, const Options& options) noexcept {
  v.check(where);
  v.check("x1", x1, role::in_place_input);
  v.positive("x1.cols", x1.cols);
  v.check("x2", x2, role::in_place_input);
  v.same_shape("x2", x2, "x1", x1);
  v.check("labels", labels, x1.rows, "x1.rows");
  check_pair_options(v, options, out.loss, "x1.rows", x1.rows);
  v.gradient_if_given("grad_x1", out.grad_x1, "x1", x1);
  v.gradient_if_given("grad_x2", out.grad_x2, "x2", x2);
  v.check_if_given("rows_counted", out.rows_counted, 1, "it is one count", role::output);
  v.require(x1.rows == 0 || !out.loss.empty() || !out.grad_x1.empty() || !out.grad_x2.empty() ||
                !out.rows_counted.empty(),
            "no output is given");
}

template <class Where, class T>
status check_cosine_embedding(const Where& where, const matrix<const T>& x1,
                              const matrix<const T>& x2, const label_view& labels,
                              const pair_outputs<T>& out,
                              const cosine_embedding_options& options) noexcept {
  validator v("cosine_embedding");
  check_labeled_pairs(v, where, x1, x2, labels, out, options);
  v.in_range("margin", options.margin, -1.0f, 1.0f);
  return v.finish();
}

template <class Where, class T>
status check_contrastive(const Where& where, const matrix<const T>& x1, const matrix<const T>& x2,
                         const label_view& labels, const pair_outputs<T>& out,
                         const contrastive_options& options) noexcept {
  validator v("contrastive");
  check_labeled_pairs(v, where, x1, x2, labels, out, options);
  v.not_negative("margin", options.margin);
  v.not_negative("factor", options.factor);
  return v.finish();
}

template <class Where, class T>
status check_triplet(const Where& where, const matrix<const T>& anchors,
                     const matrix<const T>& positives, const matrix<const T>& negatives,
                     const triplet_outputs<T>& out, const triplet_options& options) noexcept {
  validator v("triplet");
  v.check(where);
  v.check("anchors", anchors, role::in_place_input);
  v.positive("anchors.cols", anchors.cols);
  v.check("positives", positives, role::in_place_input);
  v.same_shape("positives", positives, "anchors", anchors);
  v.check("negatives", negatives, role::in_place_input);
  v.same_shape("negatives", negatives, "anchors", anchors);
  v.require(options.distance == triplet_distance::euclidean ||
                options.distance == triplet_distance::squared_euclidean ||
                options.distance == triplet_distance::cosine,
            "distance must be euclidean, squared_euclidean or cosine");
  v.not_negative("margin", options.margin);
  check_pair_options(v, options, out.loss, "anchors.rows", anchors.rows);
  v.gradient_if_given("grad_anchors", out.grad_anchors, "anchors", anchors);
  v.gradient_if_given("grad_positives", out.grad_positives, "positives", positives);
  v.gradient_if_given("grad_negatives", out.grad_negatives, "negatives", negatives);
  v.require(anchors.rows == 0 || !out.loss.empty() || !out.grad_anchors.empty() ||
                !out.grad_positives.empty() || !out.grad_negatives.empty(),
            "no output is given");
  return v.finish();
}

}  // namespace culoss::detail
