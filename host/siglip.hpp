// What the CPU and the CUDA side of siglip share: the check of the arguments.
#pragma once

#include <culoss/siglip.hpp>
#include <limits>

#include "host/info_nce.hpp"

namespace culoss::detail {

template <class Where, class T>
status check_siglip(const Where& where, const matrix<const T>& images, const matrix<const T>& texts,
                    const siglip_outputs<T>& outputs, const siglip_options& options) noexcept {
  validator v("siglip");
  v.check(where);
  v.check("images", images, role::input);
  v.positive("images.cols", images.cols);
  v.check("texts", texts, role::input);
  v.equal("texts", "cols", texts.cols, "images", "cols", images.cols);
  const std::int64_t rows = images.rows;
  if (options.positives) v.positives(options.positive_offset, rows, texts.rows);
  check_similarity_options(v, rows, options);
  v.require(options.bias.given(), "bias is not given");
  v.finite("bias", options.bias, std::numeric_limits<float>::max());
  const bool masked = !options.image_ids.empty() || !options.text_ids.empty();
  if (masked) {
    v.check("image_ids", options.image_ids, rows, "images.rows, as ids are given", role::input);
    v.check("text_ids", options.text_ids, texts.rows, "texts.rows, as ids are given", role::input);
  }
  v.row_loss("loss", outputs.loss, options.reduction, rows, "images.rows, as reduction is none");
  check_gradient(v, "grad_images", outputs.grad_images, "images", images, options.accumulate);
  check_gradient(v, "grad_texts", outputs.grad_texts, "texts", texts, options.accumulate);
  v.check_if_given("grad_scale", outputs.grad_scale, 1, "it is one number", role::output);
  v.check_if_given("grad_bias", outputs.grad_bias, 1, "it is one number", role::output);
  v.check_if_given("correct", outputs.correct, 1, "it is one count", role::output);
  v.require(options.positives || outputs.correct.empty(),
            "correct is asked for, but there are no positives");
  v.check_if_given("rows_counted", outputs.rows_counted, 1, "it is one count", role::output);
  v.require(rows == 0 || !outputs.loss.empty() || !outputs.grad_images.empty() ||
                !outputs.grad_texts.empty() || !outputs.grad_scale.empty() ||
                !outputs.grad_bias.empty() || !outputs.correct.empty() ||
                !outputs.rows_counted.empty(),
            "no output is given");
  return v.finish();
}

}  // namespace culoss::detail
