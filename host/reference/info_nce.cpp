// InfoNCE and CLIP on the CPU: first the rows, then each side's gradient, whose similarities are
// computed again, so that nothing of size N M is ever stored. The arithmetic of a row is in
// info_nce.hpp beside this file.
#include "host/reference/info_nce.hpp"

#include "host/info_nce.hpp"
#include "host/reference/similarity_batch.hpp"
#include "host/reference/views.hpp"

namespace culoss {
namespace {

using namespace reference;

// A row in one direction: its loss and what its gradients are made of.
struct row_result {
  double loss = 0;
  double log_scale_gradient = 0;
  logit_gradient gradient{row_statistics<double>{}};
  bool correct = false;
};

std::vector<row_result> run_rows(const cpu& where, const similarities<double>& s) {
  std::vector<row_result> results(s.queries.size());
  const std::size_t columns = s.size();
  for_each_range(
      where, static_cast<std::int64_t>(results.size()),
      static_cast<std::int64_t>(columns * s.queries.dimension()),
      [&](std::int64_t first, std::int64_t last) {
        std::vector<double> l(columns);
        for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(last); ++i) {
          const std::size_t positive = s.among.positive(i);
          s.row(i, l);
          const auto statistics = statistics_of_similarities<double>(l, positive);
          const double loss = info_nce_row<double>(l, positive, statistics);
          const logit_gradient gradient(statistics);
          const double of_scale = log_scale_gradient_row(l, positive, gradient);
          l[positive] = s.similarity(i, positive);  // found or not without the margin
          results[i] = {.loss = loss,
                        .log_scale_gradient = of_scale,
                        .gradient = gradient,
                        .correct = !std::isnan(loss) && index_of_largest<double>(l) == positive};
        }
      });
  return results;
}

// d loss_i / d l_ij
double gradient_of_logit(const similarities<double>& s, const std::vector<row_result>& rows,
                         std::size_t i, std::size_t j, double l) noexcept {
  const logit_gradient& gradient = rows[i].gradient;
  return j == s.among.positive(i) ? gradient.positive() : gradient.negative(l);
}

std::int64_t count_correct(const std::vector<row_result>& rows) noexcept {
  return std::ranges::count_if(rows, &row_result::correct);
}

// The rows' own negatives; zeros for those that the mask takes out, which may hold anything.
template <class T>
embeddings<double> load_own(const matrix<const T>& m, std::int64_t dimension, std::size_t of_a_row,
                            const candidates& among, bool normalize) {
  std::vector<double> values;
  for (std::int64_t row = 0; row < m.rows; ++row) {
    const auto k = static_cast<std::size_t>(row);
    const bool taken = among.contain(k / of_a_row, among.shared + k % of_a_row);
    for (std::int64_t d = 0; d < dimension; ++d) {
      values.push_back(taken ? load(m.data, row * m.ld + d) : 0.0);
    }
  }
  return {std::move(values), static_cast<std::size_t>(dimension), normalize};
}

template <class T>
status run_info_nce(const cpu& where, const matrix<const T>& query_rows,
                    const matrix<const T>& key_rows, const matrix<const T>& negative_rows,
                    const matrix<const T>& own_rows, const info_nce_outputs<T>& out,
                    const info_nce_options& options) noexcept {
  status checked =
      detail::check_info_nce(where, query_rows, key_rows, negative_rows, own_rows, out, options);
  if (!checked.ok()) return checked;
  return without_exceptions("info_nce", [&] {
    const std::int64_t rows = query_rows.rows;
    const similarity_batch b(rows, options);
    const auto queries = load_embeddings<T>(query_rows, {}, options.normalize);
    const auto columns = load_embeddings<T>(key_rows, negative_rows, options.normalize);
    const candidates among = {
        .keys = static_cast<std::size_t>(key_rows.rows),
        .positive_offset = static_cast<std::size_t>(options.positive_offset),
        .in_batch = options.in_batch,
        .query_ids = options.query_ids.data,
        .key_ids = options.key_ids.data,
        .negative_ids = options.negative_ids.data,
        .mask = options.mask.data,
        .mask_row = static_cast<std::size_t>(options.mask.ld),
        .first_masked = static_cast<std::size_t>(options.in_batch ? 0 : key_rows.rows),
        .shared = columns.size()};
    const auto of_a_row =
        static_cast<std::size_t>(detail::negatives_of_a_row(query_rows, own_rows));
    const auto own = load_own(own_rows, query_rows.cols, of_a_row, among, options.normalize);
    const similarities<double> s = {
        queries, columns, among, b.scale(), static_cast<double>(options.margin), &own, of_a_row};
    const std::vector<row_result> results = run_rows(where, s);

    b.write_loss_of(out.loss, [&](std::size_t i) { return results[i].loss; });
    write(out.correct, 0, count_correct(results));
    write(out.rows_counted, 0, rows);
    if (b.empty()) {
      fill_gradient(out.grad_queries, b.gradient_of_empty(), options.accumulate);
      fill_gradient(out.grad_keys, b.gradient_of_empty(), options.accumulate);
      fill_gradient(out.grad_negatives, b.gradient_of_empty(), options.accumulate);
      fill_gradient(out.grad_row_negatives, b.gradient_of_empty(), options.accumulate);
      return write(out.grad_scale, 0, static_cast<real_of<T>>(b.gradient_of_empty()));
    }
    double log_scale_gradient = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      log_scale_gradient +=
          b.gradient_scale(i) * results[static_cast<std::size_t>(i)].log_scale_gradient;
    }
    write(out.grad_scale, 0, static_cast<real_of<T>>(b.scalar_gradient(log_scale_gradient)));

    const auto dl = [&](std::size_t i, std::size_t j) {
      if (!among.contain(i, j)) return 0.0;
      return b.gradient_scale(static_cast<std::int64_t>(i)) *
             gradient_of_logit(s, results, i, j, s.logit(i, j));
    };
    const auto dl_transposed = [&](std::size_t j, std::size_t i) { return dl(i, j); };
    const bool nan = !queries.all_finite();
    write_gradient(
        where, out.grad_queries, queries, 0, s.size(),
        [&](std::size_t i, std::size_t j) { return s.column(i, j); }, b.scale(), false,
        options.accumulate, dl);
    write_gradient(
        where, out.grad_row_negatives, own, 0, 1,
        [&](std::size_t k, std::size_t) { return queries[k / of_a_row]; }, b.scale(), false,
        options.accumulate,
        [&](std::size_t k, std::size_t) {
          return dl(k / of_a_row, columns.size() + k % of_a_row);
        });
    // Without in_batch a key meets no query but the one whose positive it is.
    write_gradient(where, out.grad_keys, columns, 0, queries, b.scale(), nan && options.in_batch,
                   options.accumulate, dl_transposed);
    write_gradient(where, out.grad_negatives, columns, among.keys, queries, b.scale(), nan,
                   options.accumulate, dl_transposed);
  });
}

template <class T>
status run_clip(const cpu& where, const matrix<const T>& image_rows,
                const matrix<const T>& text_rows, const clip_outputs<T>& out,
                const clip_options& options) noexcept {
  status checked = detail::check_clip(where, image_rows, text_rows, out, options);
  if (!checked.ok()) return checked;
  return without_exceptions("clip", [&] {
    const std::int64_t rows = image_rows.rows;
    const similarity_batch b(rows, options);
    const auto images = load_embeddings<T>(image_rows, {}, options.normalize);
    const auto texts = load_embeddings<T>(text_rows, {}, options.normalize);
    candidates among = {.keys = static_cast<std::size_t>(rows),
                        .query_ids = options.ids.data,
                        .key_ids = options.ids.data,
                        .mask = options.mask.data,
                        .mask_row = static_cast<std::size_t>(options.mask.ld)};
    candidates transposed = among;
    std::swap(transposed.mask_row, transposed.mask_column);
    const auto margin = static_cast<double>(options.margin);
    const similarities<double> to_texts = {images, texts, among, b.scale(), margin};
    const similarities<double> to_images = {texts, images, transposed, b.scale(), margin};
    const std::vector<row_result> of_images = run_rows(where, to_texts);
    const std::vector<row_result> of_texts = run_rows(where, to_images);

    b.write_loss_of(out.loss,
                    [&](std::size_t i) { return (of_images[i].loss + of_texts[i].loss) / 2; });
    write(out.correct_images, 0, count_correct(of_images));
    write(out.correct_texts, 0, count_correct(of_texts));
    write(out.rows_counted, 0, rows);
    if (b.empty()) {
      fill_gradient(out.grad_images, b.gradient_of_empty(), options.accumulate);
      fill_gradient(out.grad_texts, b.gradient_of_empty(), options.accumulate);
      return write(out.grad_scale, 0, static_cast<real_of<T>>(b.gradient_of_empty()));
    }
    double log_scale_gradient = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto k = static_cast<std::size_t>(i);
      log_scale_gradient += b.gradient_scale(i) *
                            (of_images[k].log_scale_gradient + of_texts[k].log_scale_gradient) / 2;
    }
    write(out.grad_scale, 0, static_cast<real_of<T>>(b.scalar_gradient(log_scale_gradient)));

    // Half of what image i says of its similarity to text j, and half of what text j says.
    const auto dl = [&](std::size_t i, std::size_t j) {
      if (!among.contain(i, j)) return 0.0;
      const double l = to_texts.logit(i, j);
      return (b.gradient_scale(static_cast<std::int64_t>(i)) *
                  gradient_of_logit(to_texts, of_images, i, j, l) +
              b.gradient_scale(static_cast<std::int64_t>(j)) *
                  gradient_of_logit(to_images, of_texts, j, i, l)) /
             2;
    };
    const auto dl_transposed = [&](std::size_t j, std::size_t i) { return dl(i, j); };
    write_gradient(where, out.grad_images, images, 0, texts, b.scale(), !texts.all_finite(),
                   options.accumulate, dl);
    write_gradient(where, out.grad_texts, texts, 0, images, b.scale(), !images.all_finite(),
                   options.accumulate, dl_transposed);
  });
}

}  // namespace

status info_nce(const cpu& where, matrix<const float> queries, matrix<const float> keys,
                matrix<const float> negatives, const info_nce_outputs<float>& outputs,
                const info_nce_options& options) noexcept {
  return run_info_nce(where, queries, keys, negatives, {}, outputs, options);
}

status info_nce(const cpu& where, matrix<const float> queries, matrix<const float> keys,
                matrix<const float> negatives, matrix<const float> row_negatives,
                const info_nce_outputs<float>& outputs, const info_nce_options& options) noexcept {
  return run_info_nce(where, queries, keys, negatives, row_negatives, outputs, options);
}

status info_nce(const cpu& where, matrix<const half> queries, matrix<const half> keys,
                matrix<const half> negatives, const info_nce_outputs<half>& outputs,
                const info_nce_options& options) noexcept {
  return run_info_nce(where, queries, keys, negatives, {}, outputs, options);
}

status info_nce(const cpu& where, matrix<const half> queries, matrix<const half> keys,
                matrix<const half> negatives, matrix<const half> row_negatives,
                const info_nce_outputs<half>& outputs, const info_nce_options& options) noexcept {
  return run_info_nce(where, queries, keys, negatives, row_negatives, outputs, options);
}

status info_nce(const cpu& where, matrix<const bf16> queries, matrix<const bf16> keys,
                matrix<const bf16> negatives, const info_nce_outputs<bf16>& outputs,
                const info_nce_options& options) noexcept {
  return run_info_nce(where, queries, keys, negatives, {}, outputs, options);
}

status info_nce(const cpu& where, matrix<const bf16> queries, matrix<const bf16> keys,
                matrix<const bf16> negatives, matrix<const bf16> row_negatives,
                const info_nce_outputs<bf16>& outputs, const info_nce_options& options) noexcept {
  return run_info_nce(where, queries, keys, negatives, row_negatives, outputs, options);
}

status info_nce(const cpu& where, matrix<const double> queries, matrix<const double> keys,
                matrix<const double> negatives, const info_nce_outputs<double>& outputs,
                const info_nce_options& options) noexcept {
  return run_info_nce(where, queries, keys, negatives, {}, outputs, options);
}

status info_nce(const cpu& where, matrix<const double> queries, matrix<const double> keys,
                matrix<const double> negatives, matrix<const double> row_negatives,
                const info_nce_outputs<double>& outputs, const info_nce_options& options) noexcept {
  return run_info_nce(where, queries, keys, negatives, row_negatives, outputs, options);
}

status clip(const cpu& where, matrix<const float> images, matrix<const float> texts,
            const clip_outputs<float>& outputs, const clip_options& options) noexcept {
  return run_clip(where, images, texts, outputs, options);
}

status clip(const cpu& where, matrix<const half> images, matrix<const half> texts,
            const clip_outputs<half>& outputs, const clip_options& options) noexcept {
  return run_clip(where, images, texts, outputs, options);
}

status clip(const cpu& where, matrix<const bf16> images, matrix<const bf16> texts,
            const clip_outputs<bf16>& outputs, const clip_options& options) noexcept {
  return run_clip(where, images, texts, outputs, options);
}

status clip(const cpu& where, matrix<const double> images, matrix<const double> texts,
            const clip_outputs<double>& outputs, const clip_options& options) noexcept {
  return run_clip(where, images, texts, outputs, options);
}

}  // namespace culoss
