// NT-Xent and the supervised contrastive loss on the CPU: first the rows, then the gradient, whose
// similarities are computed again, so that nothing of size M^2 is ever stored. The arithmetic of a
// row is in self_similarity.hpp beside this file.
#include "host/reference/self_similarity.hpp"

#include "host/reference/similarity_batch.hpp"
#include "host/reference/views.hpp"
#include "host/self_similarity.hpp"

namespace culoss {
namespace {

using namespace reference;

struct row_result {
  double loss = 0;
  double log_scale_gradient = 0;
};

// result(i) of each row, on all cores.
template <class Row, class Body>
std::vector<Row> run_rows(const cpu& where, const embeddings<double>& z, const Row& none,
                          const Body& result) {
  std::vector<Row> rows(z.size(), none);
  for_each_range(where, static_cast<std::int64_t>(z.size()),
                 static_cast<std::int64_t>(z.size() * z.dimension()),
                 [&](std::int64_t first, std::int64_t last) {
                   for (auto i = static_cast<std::size_t>(first);
                        i < static_cast<std::size_t>(last); ++i) {
                     rows[i] = result(i);
                   }
                 });
  return rows;
}

// What both losses write. dl(i, j) is the gradient of row i's loss, not yet weighted, by l_ij;
// counts(i): whether it has one.
template <class T, class Outputs, class Options, class Counts, class LogitGradient>
void write_results(const cpu& where, const Outputs& out, const Options& options,
                   const similarity_batch& b, const embeddings<double>& z,
                   const std::vector<row_result>& rows, const Counts& counts,
                   const LogitGradient& dl) {
  b.write_loss_of(out.loss, [&](std::size_t i) { return rows[i].loss; });
  if (b.empty()) {
    fill_gradient<T>(out.grad_embeddings, b.gradient_of_empty(), options.accumulate);
    return write(out.grad_scale, 0, static_cast<real_of<T>>(b.gradient_of_empty()));
  }
  const auto weight = [&](std::size_t i) {
    return counts(i) ? b.gradient_scale(static_cast<std::int64_t>(i)) : 0.0;
  };
  double log_scale_gradient = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (counts(i)) log_scale_gradient += weight(i) * rows[i].log_scale_gradient;
  }
  write(out.grad_scale, 0, static_cast<real_of<T>>(b.scalar_gradient(log_scale_gradient)));
  // What i says of its similarity to j, and what j says.
  write_gradient<T>(where, out.grad_embeddings, z, 0, z, b.scale(), !z.all_finite(),
                    options.accumulate, [&](std::size_t i, std::size_t j) {
                      if (i == j) return 0.0;
                      return (counts(i) ? weight(i) * dl(i, j) : 0.0) +
                             (counts(j) ? weight(j) * dl(j, i) : 0.0);
                    });
}

template <class T>
status run_nt_xent(const cpu& where, const matrix<const T>& rows_of_z,
                   const nt_xent_outputs<T>& out, const nt_xent_options& options) noexcept {
  status checked = detail::check_nt_xent(where, rows_of_z, out, options);
  if (!checked.ok()) return checked;
  return without_exceptions("nt_xent", [&] {
    const similarity_batch b(rows_of_z.rows, options);
    const auto z = load_embeddings<T>(rows_of_z, {}, options.normalize);
    const two_views views = {z.size() / 2, options.ids.data};
    struct view_result {
      row_result row;
      logit_gradient gradient{row_statistics<double>{}};
      bool correct = false;
    };
    const auto views_of = run_rows(where, z, view_result{}, [&](std::size_t i) {
      std::vector<double> l(z.size());
      row_of_views<double>(z, views, b.scale(), i, l);
      const std::size_t positive = views.positive(i);
      const auto statistics = statistics_of_similarities<double>(l, positive);
      const double loss = info_nce_row<double>(l, positive, statistics);
      const logit_gradient gradient(statistics);
      return view_result{{loss, log_scale_gradient_row(l, positive, gradient)},
                         gradient,
                         !std::isnan(loss) && index_of_largest<double>(l) == positive};
    });
    std::vector<row_result> rows;
    std::int64_t correct = 0;
    for (const view_result& v : views_of) {
      rows.push_back(v.row);
      correct += v.correct ? 1 : 0;
    }
    write(out.correct, 0, correct);
    write(out.rows_counted, 0, rows_of_z.rows);
    write_results<T>(
        where, out, options, b, z, rows, [](std::size_t) { return true; },
        [&](std::size_t i, std::size_t j) {
          if (!views.contain(i, j)) return 0.0;
          const logit_gradient& g = views_of[i].gradient;
          return j == views.positive(i) ? g.positive()
                                        : g.negative(logit_of<double>(z, b.scale(), i, j));
        });
  });
}

template <class T>
status run_sup_con(const cpu& where, const matrix<const T>& rows_of_z, const label_view& labels,
                   const sup_con_outputs<T>& out, const sup_con_options& options) noexcept {
  status checked = detail::check_sup_con(where, rows_of_z, labels, out, options);
  if (!checked.ok()) return checked;
  return without_exceptions("sup_con", [&] {
    const auto z = load_embeddings<T>(rows_of_z, {}, options.normalize);
    const auto label = [&](std::size_t i) {
      return labels.wide ? static_cast<const std::int64_t*>(labels.data)[i]
                         : std::int64_t{static_cast<const std::int32_t*>(labels.data)[i]};
    };
    struct group_result {
      row_result row;
      labeled_gradient gradient{labeled_row<double>{}};
    };
    const double scale = similarity_batch(rows_of_z.rows, options).scale();
    const auto groups = run_rows(where, z, group_result{}, [&](std::size_t i) {
      const labeled_row<double> row = row_of_labels<double>(z, label, scale, i);
      const labeled_gradient gradient(row);
      return group_result{{sup_con_row(row), gradient.log_scale(row)}, gradient};
    });
    std::vector<row_result> rows;
    std::int64_t counted = 0;
    for (const group_result& g : groups) {
      rows.push_back(g.row);
      counted += g.gradient.counts() ? 1 : 0;
    }
    write(out.rows_counted, 0, counted);
    const similarity_batch b(rows_of_z.rows, options, static_cast<double>(counted));
    write_results<T>(
        where, out, options, b, z, rows, [&](std::size_t i) { return groups[i].gradient.counts(); },
        [&](std::size_t i, std::size_t j) {
          const double l = logit_of<double>(z, scale, i, j);
          const labeled_gradient& g = groups[i].gradient;
          return label(i) == label(j) ? g.positive(l) : g.other(l);
        });
  });
}

}  // namespace

status nt_xent(const cpu& where, matrix<const float> embeddings,
               const nt_xent_outputs<float>& outputs, const nt_xent_options& options) noexcept {
  return run_nt_xent(where, embeddings, outputs, options);
}
status nt_xent(const cpu& where, matrix<const half> embeddings,
               const nt_xent_outputs<half>& outputs, const nt_xent_options& options) noexcept {
  return run_nt_xent(where, embeddings, outputs, options);
}
status nt_xent(const cpu& where, matrix<const bf16> embeddings,
               const nt_xent_outputs<bf16>& outputs, const nt_xent_options& options) noexcept {
  return run_nt_xent(where, embeddings, outputs, options);
}
status nt_xent(const cpu& where, matrix<const double> embeddings,
               const nt_xent_outputs<double>& outputs, const nt_xent_options& options) noexcept {
  return run_nt_xent(where, embeddings, outputs, options);
}

status sup_con(const cpu& where, matrix<const float> embeddings, label_view labels,
               const sup_con_outputs<float>& outputs, const sup_con_options& options) noexcept {
  return run_sup_con(where, embeddings, labels, outputs, options);
}
status sup_con(const cpu& where, matrix<const half> embeddings, label_view labels,
               const sup_con_outputs<half>& outputs, const sup_con_options& options) noexcept {
  return run_sup_con(where, embeddings, labels, outputs, options);
}
status sup_con(const cpu& where, matrix<const bf16> embeddings, label_view labels,
               const sup_con_outputs<bf16>& outputs, const sup_con_options& options) noexcept {
  return run_sup_con(where, embeddings, labels, outputs, options);
}
status sup_con(const cpu& where, matrix<const double> embeddings, label_view labels,
               const sup_con_outputs<double>& outputs, const sup_con_options& options) noexcept {
  return run_sup_con(where, embeddings, labels, outputs, options);
}

}  // namespace culoss
