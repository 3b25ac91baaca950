// What the CPU and the CUDA side of info_nce and clip share: the check of the arguments.
#pragma once

#include <culoss/info_nce.hpp>

#include <limits>

#include "host/validate.hpp"

namespace culoss::detail {

template <class T>
inline constexpr bool is_narrow = std::is_same_v<T, half> || std::is_same_v<T, bf16>;

// On the CPU too, where a plan changes nothing.
template <class T>
void check_plan(validator& v, similarity_plan plan, bool gradients) noexcept {
  using enum similarity_plan;
  v.require(plan == automatic || plan == forward_only || plan == one_visit || plan == recompute ||
                plan == kept,
            "plan must be automatic, forward_only, one_visit, recompute or kept");
  v.require(
      plan != kept || is_narrow<T>,
      "plan is kept, which is for embeddings in half or bf16: others are not kept in 16 bits");
  v.require(plan != forward_only || !gradients,
            "plan is forward_only, but gradients of embeddings are asked for");
}

// What the options of both losses have in common.
template <class Options>
void check_similarity_options(validator& v, std::int64_t rows, const Options& options) noexcept {
  v.reduction(options.reduction, options.normalizer, options.upstream, options.upstream_rows, rows);
  v.empty(options.empty);
  v.require(options.temperature.given() || options.log_scale.given(),
            "neither temperature nor log_scale is given");
  v.require(!options.temperature.given() || !options.log_scale.given(),
            "both temperature and log_scale are given");
  if (options.temperature.given()) v.temperature("temperature", options.temperature);
  if (options.log_scale.given())
    v.finite("log_scale", options.log_scale, 88.0f);  // e^88 is a float
  v.check_if_given("row_weights", options.row_weights, rows, "one for each row", role::input);
}

inline void check_margin(validator& v, float margin) noexcept {
  v.finite("margin", scalar(margin), std::numeric_limits<float>::max());
}

// Of `cols` columns, as `of` says.
inline void check_mask(validator& v, const matrix<const std::uint8_t>& mask, const char* other,
                       std::int64_t rows, std::int64_t cols, const char* of) noexcept {
  if (mask.empty()) return;
  v.check("mask", mask, role::input);
  v.equal("mask", "rows", mask.rows, other, "rows", rows);
  v.equal("mask", "cols", mask.cols, cols, of);
}

// A sum of sizes; -1 if it is not one.
inline std::int64_t sum_of(std::int64_t a, std::int64_t b) noexcept {
  std::int64_t sum = 0;
  return a < 0 || b < 0 || __builtin_add_overflow(a, b, &sum) ? -1 : sum;
}

template <class T>
void check_gradient(validator& v, const char* name, const gradient_matrix<T>& g, const char* other,
                    const matrix<const T>& o, bool accumulate) noexcept {
  if (g.empty()) return;
  if (g.wide) {
    v.check(name, matrix<float>(static_cast<float*>(g.data), g.rows, g.cols, g.ld), role::output);
  } else {
    v.check(name, matrix<T>(static_cast<T*>(g.data), g.rows, g.cols, g.ld), role::output);
  }
  v.same_shape(name, matrix<const T>(nullptr, g.rows, g.cols, g.ld), other, o);
  v.require(!accumulate || g.wide || !is_narrow<T>,
            "accumulate is set, but a gradient is not float: it would be rounded again and again");
}

// How many negatives of their own the rows have.
template <class T>
std::int64_t negatives_of_a_row(const matrix<const T>& queries,
                                const matrix<const T>& row_negatives) noexcept {
  return queries.rows > 0 ? row_negatives.rows / queries.rows : 0;
}

template <class Where, class T>
status check_info_nce(const Where& where, const matrix<const T>& queries,
                      const matrix<const T>& keys, const matrix<const T>& negatives,
                      const matrix<const T>& row_negatives, const info_nce_outputs<T>& outputs,
                      const info_nce_options& options) noexcept {
  validator v("info_nce");
  v.check(where);
  v.check("queries", queries, role::input);
  v.positive("queries.cols", queries.cols);
  v.check("keys", keys, role::input);
  v.equal("keys", "cols", keys.cols, "queries", "cols", queries.cols);
  const bool has_negatives = !negatives.empty();
  if (has_negatives) {
    v.check("negatives", negatives, role::input);
    v.equal("negatives", "cols", negatives.cols, "queries", "cols", queries.cols);
  }
  const std::int64_t rows = queries.rows;
  const bool has_row_negatives = !row_negatives.empty();
  if (has_row_negatives) {
    v.check("row_negatives", row_negatives, role::input);
    v.equal("row_negatives", "cols", row_negatives.cols, "queries", "cols", queries.cols);
    v.multiple("row_negatives", "rows", row_negatives.rows, "queries", "rows", rows);
  }
  v.positives(options.positive_offset, rows, keys.rows);
  check_similarity_options(v, rows, options);
  check_margin(v, options.margin);
  check_plan<T>(v, options.plan,
                !outputs.grad_queries.empty() || !outputs.grad_keys.empty() ||
                    !outputs.grad_negatives.empty());
  // Ids of the queries need ids of all that they are compared with; others may be given, too.
  const bool masked = !options.query_ids.empty();
  v.check_if_given("query_ids", options.query_ids, rows, "queries.rows", role::input);
  if ((masked && options.in_batch) || !options.key_ids.empty()) {
    v.check("key_ids", options.key_ids, keys.rows, "keys.rows", role::input);
  }
  if ((masked && has_negatives) || !options.negative_ids.empty()) {
    v.check("negative_ids", options.negative_ids, negatives.rows, "negatives.rows", role::input);
  }
  v.require(masked || rows == 0 || (options.key_ids.empty() && options.negative_ids.empty()),
            "key_ids or negative_ids are given, but query_ids are not");
  const std::int64_t of_a_row = negatives_of_a_row(queries, row_negatives);
  if (options.in_batch) {
    check_mask(v, options.mask, "queries", rows,
               sum_of(sum_of(keys.rows, negatives.rows), of_a_row),
               has_row_negatives ? "keys.rows + negatives.rows + negatives of a row"
                                 : "keys.rows + negatives.rows");
  } else {
    check_mask(v, options.mask, "queries", rows, sum_of(negatives.rows, of_a_row),
               has_row_negatives ? "negatives.rows + negatives of a row, as in_batch is false"
                                 : "negatives.rows, as in_batch is false");
  }
  if (options.reduction == reduction::none) {
    v.check_if_given("loss", outputs.loss, rows, "queries.rows, as reduction is none",
                     role::output);
  } else {
    v.check_if_given("loss", outputs.loss, 1, "reduction is mean or sum", role::output);
  }
  check_gradient(v, "grad_queries", outputs.grad_queries, "queries", queries, options.accumulate);
  check_gradient(v, "grad_keys", outputs.grad_keys, "keys", keys, options.accumulate);
  v.require(has_negatives || outputs.grad_negatives.empty(),
            "grad_negatives is given, but negatives are not");
  check_gradient(v, "grad_negatives", outputs.grad_negatives, "negatives", negatives,
                 options.accumulate);
  v.require(has_row_negatives || outputs.grad_row_negatives.empty(),
            "grad_row_negatives is given, but row_negatives are not");
  check_gradient(v, "grad_row_negatives", outputs.grad_row_negatives, "row_negatives",
                 row_negatives, options.accumulate);
  v.check_if_given("grad_scale", outputs.grad_scale, 1, "it is one number", role::output);
  v.check_if_given("correct", outputs.correct, 1, "it is one count", role::output);
  v.check_if_given("rows_counted", outputs.rows_counted, 1, "it is one count", role::output);
  v.require(rows == 0 || !outputs.loss.empty() || !outputs.grad_queries.empty() ||
                !outputs.grad_keys.empty() || !outputs.grad_negatives.empty() ||
                !outputs.grad_row_negatives.empty() || !outputs.grad_scale.empty() ||
                !outputs.correct.empty() || !outputs.rows_counted.empty(),
            "no output is given");
  return v.finish();
}

template <class Where, class T>
status check_clip(const Where& where, const matrix<const T>& images, const matrix<const T>& texts,
                  const clip_outputs<T>& outputs, const clip_options& options) noexcept {
  validator v("clip");
  v.check(where);
  v.check("images", images, role::input);
  v.positive("images.cols", images.cols);
  v.check("texts", texts, role::input);
  v.same_shape("texts", texts, "images", images);
  const std::int64_t rows = images.rows;
  check_similarity_options(v, rows, options);
  check_margin(v, options.margin);
  check_plan<T>(v, options.plan, !outputs.grad_images.empty() || !outputs.grad_texts.empty());
  v.check_if_given("ids", options.ids, rows, "images.rows", role::input);
  check_mask(v, options.mask, "images", rows, texts.rows, "texts.rows");
  if (options.reduction == reduction::none) {
    v.check_if_given("loss", outputs.loss, rows, "images.rows, as reduction is none", role::output);
  } else {
    v.check_if_given("loss", outputs.loss, 1, "reduction is mean or sum", role::output);
  }
  check_gradient(v, "grad_images", outputs.grad_images, "images", images, options.accumulate);
  check_gradient(v, "grad_texts", outputs.grad_texts, "texts", texts, options.accumulate);
  v.check_if_given("grad_scale", outputs.grad_scale, 1, "it is one number", role::output);
  v.check_if_given("correct_images", outputs.correct_images, 1, "it is one count", role::output);
  v.check_if_given("correct_texts", outputs.correct_texts, 1, "it is one count", role::output);
  v.check_if_given("rows_counted", outputs.rows_counted, 1, "it is one count", role::output);
  v.require(rows == 0 || !outputs.loss.empty() || !outputs.grad_images.empty() ||
                !outputs.grad_texts.empty() || !outputs.grad_scale.empty() ||
                !outputs.correct_images.empty() || !outputs.correct_texts.empty() ||
                !outputs.rows_counted.empty(),
            "no output is given");
  return v.finish();
}

}  // namespace culoss::detail
