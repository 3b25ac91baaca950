// The sigmoid loss of one row of similarities, from the textbook formulas of culoss/siglip.hpp. The
// loss is a template on the scalar S (double, long double, std::complex<double>); the gradient is
// written apart from it, so that a complex step through the loss checks it.
#pragma once

#include <cstdint>
#include <culoss/siglip.hpp>

#include "host/reference/embeddings.hpp"

namespace culoss::reference {

// Which texts an image is paired with, and which of them is its own.
struct sigmoid_pairs {
  bool positives = true;
  std::size_t positive_offset = 0;
  const std::int64_t* image_ids = nullptr;  // or none
  const std::int64_t* text_ids = nullptr;

  bool is_positive(std::size_t image, std::size_t text) const noexcept {
    return positives && text == image + positive_offset;
  }
  bool contain(std::size_t image, std::size_t text) const noexcept {
    if (is_positive(image, text) || image_ids == nullptr) return true;
    return image_ids[image] != text_ids[text];
  }
};

// l_ij = scale <x_i, y_j>, z_ij = l_ij + bias
template <class S>
struct sigmoid_logits {
  const embeddings<S>& images;
  const embeddings<S>& texts;
  const sigmoid_pairs& pairs;
  S scale, bias;

  S similarity(std::size_t i, std::size_t j) const noexcept {
    return scale * dot<S>(images[i], texts[j]);
  }
  // sum_j softplus(-t_ij z_ij)
  S loss(std::size_t i) const noexcept {
    S sum = 0;
    for (std::size_t j = 0; j < texts.size(); ++j) {
      if (!pairs.contain(i, j)) continue;
      const S z = similarity(i, j) + bias;
      sum += softplus(pairs.is_positive(i, j) ? -z : z);
    }
    return sum;
  }
};

// d softplus(-t z) / d z = -t sigmoid(-t z)
inline double sigmoid_loss_gradient(double z, bool positive) noexcept {
  return positive ? -sigmoid(-z) : sigmoid(z);
}

}  // namespace culoss::reference
