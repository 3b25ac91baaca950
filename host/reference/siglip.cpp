// SigLIP on the CPU: first the rows, then each side's gradient, whose similarities are computed
// again, so that nothing of size N M is ever stored. The arithmetic of a row is in siglip.hpp beside
// this file.
#include "host/reference/siglip.hpp"

#include "host/reference/similarity_batch.hpp"
#include "host/reference/views.hpp"
#include "host/siglip.hpp"

namespace culoss {
namespace {

using namespace reference;

struct row_result {
  double loss = 0;
  double log_scale_gradient = 0;
  double bias_gradient = 0;
  bool correct = false;
};

// Whether the row's positive is more similar than all its other texts, or as much as later ones.
bool finds_positive(const sigmoid_logits<double>& s, std::size_t i) {
  if (!s.pairs.positives) return false;
  const std::size_t positive = i + s.pairs.positive_offset;
  const double own = s.similarity(i, positive);
  for (std::size_t j = 0; j < s.texts.size(); ++j) {
    if (j == positive || !s.pairs.contain(i, j)) continue;
    const double l = s.similarity(i, j);
    if (!(l < own || (l == own && positive < j))) return false;
  }
  return !std::isnan(own);
}

std::vector<row_result> run_rows(const cpu& where, const sigmoid_logits<double>& s, bool counts) {
  std::vector<row_result> results(s.images.size());
  for_each_range(
      where, static_cast<std::int64_t>(results.size()),
      static_cast<std::int64_t>(s.texts.size() * s.images.dimension()),
      [&](std::int64_t first, std::int64_t last) {
        for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i) {
          row_result& r = results[i];
          r.loss = s.loss(i);
          for (std::size_t j = 0; j < s.texts.size(); ++j) {
            if (!s.pairs.contain(i, j)) continue;
            const double l = s.similarity(i, j);
            const double dl = sigmoid_loss_gradient(l + s.bias, s.pairs.is_positive(i, j));
            r.log_scale_gradient += dl * l;
            r.bias_gradient += dl;
          }
          r.correct = counts && !std::isnan(r.loss) && finds_positive(s, i);
        }
      });
  return results;
}

double read_bias(const scalar& s) noexcept {
  const float value = read(s);
  return std::isfinite(value) ? static_cast<double>(value) : kNan;
}

template <class T>
status run_siglip(const cpu& where, const matrix<const T>& image_rows,
                  const matrix<const T>& text_rows, const siglip_outputs<T>& out,
                  const siglip_options& options) noexcept {
  status checked = detail::check_siglip(where, image_rows, text_rows, out, options);
  if (!checked.ok()) return checked;
  return without_exceptions("siglip", [&] {
    const std::int64_t rows = image_rows.rows;
    const similarity_batch b(rows, options);
    const auto images = load_embeddings<T>(image_rows, {}, options.normalize);
    const auto texts = load_embeddings<T>(text_rows, {}, options.normalize);
    const sigmoid_pairs pairs = {
        .positives = options.positives,
        .positive_offset = static_cast<std::size_t>(options.positive_offset),
        .image_ids = options.image_ids.data,
        .text_ids = options.text_ids.data};
    const sigmoid_logits<double> s = {images, texts, pairs, b.scale(), read_bias(options.bias)};
    const std::vector<row_result> results = run_rows(where, s, !out.correct.empty());

    b.write_loss_of(out.loss, [&](std::size_t i) { return results[i].loss; });
    write(out.correct, 0, std::ranges::count_if(results, &row_result::correct));
    write(out.rows_counted, 0, rows);
    if (b.empty()) {
      const double nothing = b.gradient_of_empty();
      fill_gradient(out.grad_images, nothing, options.accumulate);
      fill_gradient(out.grad_texts, nothing, options.accumulate);
      write(out.grad_scale, 0, nothing);
      return write(out.grad_bias, 0, nothing);
    }
    double log_scale_gradient = 0, bias_gradient = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      const row_result& r = results[static_cast<std::size_t>(i)];
      log_scale_gradient += b.gradient_scale(i) * r.log_scale_gradient;
      bias_gradient += b.gradient_scale(i) * r.bias_gradient;
    }
    write(out.grad_scale, 0, b.scalar_gradient(log_scale_gradient));
    write(out.grad_bias, 0, bias_gradient);

    const auto dl = [&](std::size_t i, std::size_t j) {
      if (!pairs.contain(i, j)) return 0.0;
      return b.gradient_scale(static_cast<std::int64_t>(i)) *
             sigmoid_loss_gradient(s.similarity(i, j) + s.bias, pairs.is_positive(i, j));
    };
    write_gradient(where, out.grad_images, images, 0, texts, b.scale(), false, options.accumulate,
                   dl);
    write_gradient(where, out.grad_texts, texts, 0, images, b.scale(), !images.all_finite(),
                   options.accumulate, [&](std::size_t j, std::size_t i) { return dl(i, j); });
  });
}

}  // namespace

status siglip(const cpu& where, matrix<const float> images, matrix<const float> texts,
              const siglip_outputs<float>& outputs, const siglip_options& options) noexcept {
  return run_siglip(where, images, texts, outputs, options);
}

status siglip(const cpu& where, matrix<const half> images, matrix<const half> texts,
              const siglip_outputs<half>& outputs, const siglip_options& options) noexcept {
  return run_siglip(where, images, texts, outputs, options);
}

status siglip(const cpu& where, matrix<const bf16> images, matrix<const bf16> texts,
              const siglip_outputs<bf16>& outputs, const siglip_options& options) noexcept {
  return run_siglip(where, images, texts, outputs, options);
}

status siglip(const cpu& where, matrix<const double> images, matrix<const double> texts,
              const siglip_outputs<double>& outputs, const siglip_options& options) noexcept {
  return run_siglip(where, images, texts, outputs, options);
}

}  // namespace culoss
