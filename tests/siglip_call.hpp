// One call of siglip on the CPU with everything that it returns, and its formula in any scalar, apart
// from the calls.
#pragma once

#include "host/reference/siglip.hpp"
#include "tests/info_nce_formula.hpp"

namespace culoss_test {

using culoss::reference::sigmoid_pairs;

// T: of the embeddings; G: of their gradients, which hold 7 before the call.
template <class T, class G = T>
struct siglip_call_on_host {
  using real = culoss::real_of<T>;

  siglip_call_on_host(const embedding_rows& images, const embedding_rows& texts,
                      const culoss::siglip_options& options, culoss::cpu where = {})
      : grad_images(size_of(images), dimension(images, texts), 2),
        grad_texts(size_of(texts), dimension(images, texts), 1) {
    const std::int64_t d = dimension(images, texts);
    host_matrix<T> x(images, d, 1), y(texts, d, 2);
    loss.assign(options.reduction == culoss::reduction::none ? images.size() : 1, real{7});
    culoss::siglip_outputs<T> out = {.loss = {loss.data(), static_cast<std::int64_t>(loss.size())},
                                     .grad_images = grad_images.view(),
                                     .grad_texts = grad_texts.view(),
                                     .grad_scale = {&grad_scale, 1},
                                     .grad_bias = {&grad_bias, 1},
                                     .rows_counted = {&rows_counted, 1}};
    if (options.positives) out.correct = {&correct, 1};
    const culoss::status s = culoss::siglip(where, x.view(), y.view(), out, options);
    EXPECT_TRUE(s.ok()) << s.message();
  }

  static std::int64_t dimension(const embedding_rows& images, const embedding_rows& texts) {
    return std::max<std::int64_t>({dimension_of(images), dimension_of(texts), 1});
  }

  std::vector<real> loss;
  host_matrix<G> grad_images, grad_texts;
  real grad_scale = 7, grad_bias = 7;
  std::int64_t correct = 7, rows_counted = 7;
};

// The losses of all rows.
template <class S>
std::vector<S> siglip_losses(const std::vector<S>& images, const std::vector<S>& texts,
                             std::size_t dimension, bool normalize, const sigmoid_pairs& pairs,
                             S scale, S bias) {
  const culoss::reference::embeddings<S> x(images, dimension, normalize);
  const culoss::reference::embeddings<S> y(texts, dimension, normalize);
  const culoss::reference::sigmoid_logits<S> s = {x, y, pairs, scale, bias};
  std::vector<S> result;
  for (std::size_t i = 0; i < x.size(); ++i) result.push_back(s.loss(i));
  return result;
}

// How far rounding can move what siglip computes in double from similarities of at most `size`.
struct siglip_error {
  double dimension, columns, size, bias;

  // z: a similarity (similarity_error above), and its sum with the bias.
  double z() const {
    return similarity_error{dimension, columns, size}.similarity() + kUnit * (size + bias);
  }
  // Of softplus, relative: d log softplus(y) / dy = sigmoid(y) / softplus(y) <= 1, as softplus(y) =
  // -log(1 - sigmoid(y)) >= sigmoid(y); the exponential's argument errs by no rounding, itself,
  // log1p and the sum of `columns` pairs by one each.
  double loss() const { return z() + (columns + 8) * kUnit; }
  // Of sigmoid(y), relative: (log sigmoid)' = sigmoid(-y) <= 1.
  double probability() const { return z() + 8 * kUnit; }
  // Of a gradient that is made of them by `terms` products and sums, and projected.
  double gradient(double terms) const {
    return probability() + (terms + 3 * dimension + 20) * kUnit;
  }
};

}  // namespace culoss_test
