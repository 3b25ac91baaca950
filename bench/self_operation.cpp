// NT-Xent and the supervised contrastive loss as a training step calls them: normalized embeddings,
// a temperature of 0.07, the mean, the gradient in the embeddings' type; two views of each item, or
// four rows of each label.
#include <cmath>
#include <culoss/self_similarity.hpp>

#include "bench/operation_support.hpp"
#include "bench/similarity_grid.hpp"
#include "bench/similarity_reference.hpp"
#include "host/reference/parallel.hpp"
#include "tests/harness/arithmetic.hpp"
#include "tests/harness/set_bounds.hpp"

namespace culoss::bench {
namespace {

constexpr float kTemperature = 0.07f;
constexpr double kScale = 1 / static_cast<double>(kTemperature);
constexpr std::int64_t kRowsOfALabel = 4;

template <class T>
class self_operation final : public operation {
  using real = real_of<T>;
  using storage = culoss_test::storage_of<T>;

 public:
  self_operation(const sweep_row& row, data_pool& pool)
      : row_(row),
        pool_(pool),
        labels_(pool.on(), static_cast<std::size_t>(row.rows) * sizeof(std::int64_t)),
        losses_(pool.on(), static_cast<std::size_t>(1 + row.rows) * sizeof(real)),
        where_(pool.on().where()) {
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < row.rows; ++i) labels.push_back(i % stride());
    pool.on().upload(labels_.data(), labels.data(), labels_.bytes());
    if (auto* gpu = std::get_if<cuda>(&where_)) {
      gpu->workspace = {pool.region(kWorkspace), work_of(row).workspace_bytes};
    }
  }

  void call(int) override {
    call_with({losses_.as<real>(), 1}, row_.mode == mode::fused, reduction::mean);
  }

  check_result check() override {
    pool_.on().fill(pool_.region(kGradients), 0xff, work_of(row_).output_bytes);
    pool_.on().fill(losses_.data(), 0xff, losses_.bytes());
    call(0);
    call_with({losses_.as<real>() + 1, row_.rows}, false, reduction::none);
    std::vector<real> all(losses_.bytes() / sizeof(real));
    pool_.on().download(all.data(), losses_.data(), losses_.bytes());
    losses_of_rows_.assign(all.begin() + 1, all.end());

    checker checker;
    check_mean(static_cast<double>(all[0]), checker);
    check_rows(checker);
    std::string how = "mean loss against the losses of all rows; of sampled rows, losses";
    if (row_.mode == mode::fused) how += " and gradients";
    checker.describe(how +
                     ", from all similarities in double; other rows' softmaxes by their losses");
    return checker.result();
  }

 private:
  static constexpr int kEmbeddings = 0, kGradients = 1, kWorkspace = 2;  // regions

  bool labeled() const { return row_.loss == loss::sup_con; }
  // Rows of a label, or views of an item, are this far apart.
  std::int64_t stride() const {
    return std::max<std::int64_t>(1, row_.rows / (labeled() ? kRowsOfALabel : 2));
  }
  double weight() const { return 1 / static_cast<double>(row_.rows); }
  bool is_positive(std::int64_t i, std::int64_t j) const {
    return i != j && i % stride() == j % stride();
  }
  std::vector<std::int64_t> positives_of(std::int64_t i) const {
    std::vector<std::int64_t> all;
    for (std::int64_t j = i % stride(); j < row_.rows; j += stride()) {
      if (j != i) all.push_back(j);
    }
    return all;
  }
  matrix<T> rows_of(int region) const {
    return {static_cast<T*>(pool_.region(region)), row_.rows, row_.dimension};
  }

  void call_with(vector<real> loss, bool gradient, reduction r) const {
    const matrix<const T> z = rows_of(kEmbeddings);
    const auto outputs = [&]<class Outputs>(Outputs out) {
      out.loss = loss;
      if (gradient) out.grad_embeddings = rows_of(kGradients);
      return out;
    };
    if (labeled()) {
      const label_view labels = vector<const std::int64_t>(labels_.as<std::int64_t>(), row_.rows);
      call_on<T>(where_, [&](const auto& where) {
        return sup_con(where, z, labels, outputs(sup_con_outputs<T>()),
                       {.reduction = r, .temperature = kTemperature});
      });
    } else {
      call_on<T>(where_, [&](const auto& where) {
        return nt_xent(where, z, outputs(nt_xent_outputs<T>()),
                       {.reduction = r, .temperature = kTemperature});
      });
    }
  }

  culoss_test::similarity_arithmetic arithmetic() const {
    const bool on_device = pool_.on().description().cuda;
    auto a = culoss_test::similarity_arithmetic_of(
        on_device ? culoss_test::space::cuda : culoss_test::space::cpu, row_.type);
    if (on_device) a.slice = 32;
    return a;
  }
  worst_side worst() const { return {row_.rows, kScale, row_.dimension, arithmetic()}; }
  double rounding(double value) const {
    return culoss_test::real_format(row_.type).rounding(value);
  }
  // Of a row's loss that the library returned, at most; with the spread of several positives.
  double loss_error(double loss) const {
    const auto a = arithmetic();
    const double merges = static_cast<double>(row_.rows) / a.slice + 24;
    const double spread =
        labeled() ? 2 * worst().p_error + 4 * kScale * (kRowsOfALabel + 2 * merges) * a.u : 0;
    return worst().loss_error + spread + 4 * a.u * loss + rounding(loss);
  }

  void check_mean(double mean, checker& checker) const {
    double sum = 0, bound = 0;
    for (const double loss : losses_of_rows_) {
      sum += weight() * loss;
      bound += 2 * weight() * loss_error(loss);
    }
    const double summing = static_cast<double>(row_.rows) * 0x1p-53 + 6 * arithmetic().u;
    checker.compare("mean loss", mean, sum, bound + summing * sum + rounding(sum));
  }

  // Of each row's positives: log sum exp(l) and the mean of l.
  struct positives {
    double log_sum = 0, mean = 0;
  };
  std::vector<positives> find_positives(const embedding_table& z) const {
    std::vector<positives> all(static_cast<std::size_t>(row_.rows));
    reference::for_each_range(
        {}, row_.rows, row_.dimension * kRowsOfALabel, [&](std::int64_t first, std::int64_t last) {
          std::vector<double> a(static_cast<std::size_t>(row_.dimension)), b(a.size());
          for (std::int64_t i = first; i < last; ++i) {
            z.read(i, a);
            positives& of = all[static_cast<std::size_t>(i)];
            double sum = 0;
            const std::vector<std::int64_t> members = positives_of(i);
            for (const std::int64_t j : members) {
              z.read(j, b);
              double dot = 0;
              for (std::size_t d = 0; d < a.size(); ++d) dot += a[d] * b[d];
              const double l = kScale * z.inverse_norm(i) * z.inverse_norm(j) * dot;
              of.mean += l / static_cast<double>(members.size());
              sum += std::exp(l - kScale);
            }
            of.log_sum = kScale + std::log(sum);
          }
        });
    return all;
  }

  void check_rows(checker& checker) const {
    const culoss_test::similarity_arithmetic a = arithmetic();
    const embedding_table z(pool_, 0, row_.rows, row_.dimension);
    const std::vector<std::int64_t> which = {0, row_.rows / 3, row_.rows - 1};
    const sampled_similarities s(z, z, which, kScale);
    std::vector<culoss_test::contrast_bounds> own;
    const auto error_of = [&](double l) { return similarity_error(l, kScale, row_.dimension, a); };
    for (std::size_t k = 0; k < s.size(); ++k) {
      const std::int64_t i = s.row(k);
      std::vector<std::int64_t> others;
      for (std::int64_t j = 0; j < row_.rows; ++j) {
        if (j != i && !is_positive(i, j)) others.push_back(j);
      }
      const auto l = [&](std::int64_t j) { return s.l(k, j); };
      const auto error = [&](std::int64_t j) { return error_of(s.l(k, j)); };
      own.emplace_back(culoss_test::set_bounds(positives_of(i), row_.rows, l, error, -INFINITY, a),
                       culoss_test::set_bounds(others, row_.rows, l, error, kScale, a), a);
      const double exact = own.back().loss;
      checker.compare("loss", losses_of_rows_[static_cast<std::size_t>(i)], exact,
                      own.back().loss_error + 2 * a.u * exact + rounding(exact));
      checker.count_row();
    }
    if (row_.mode != mode::fused) return;

    const std::vector<positives> all = find_positives(z);
    const worst_side w = worst();
    // What row j says of its similarity to row i: its softmax follows from its loss.
    const auto of_other = [&](std::int64_t i, std::int64_t j, double l) {
      const auto at = static_cast<std::size_t>(j);
      const double loss = losses_of_rows_[at], share = 1.0 / (labeled() ? kRowsOfALabel - 1 : 1);
      const double p = std::exp(l - all[at].mean - loss);
      similarity_derivative d{p, p * (w.p_error + loss_error(loss)) + a.flush};
      if (is_positive(i, j)) {
        const double pi = std::exp(l - all[at].log_sum);
        d.value = labeled() ? p - share : std::expm1(-loss);
        d.error += labeled() ? 2 * (pi + share) * w.p_error : -d.value * (w.q_error + 6 * a.u);
      }
      return d;
    };
    const auto dl = [&](std::size_t k, std::int64_t j) {
      const std::int64_t i = s.row(k);
      similarity_derivative d{0, 0};
      if (i == j) return d;
      const double l = s.l(k, j);
      const bool positive = is_positive(i, j);
      const culoss_test::contrast_bounds& o = own[k];
      const auto part = positive ? o.positive(l, error_of(l), a) : o.other(l, error_of(l), a);
      double value = part.size;
      if (positive) {
        const double pi = o.single() ? 1 : o.positives.softmax(l);
        value = (pi - 1 / o.positives.count) - o.q * pi;
      }
      const similarity_derivative other = of_other(i, j, l);
      d.value = weight() * (value + other.value);
      d.error = weight() * (part.error + other.error);
      return d;
    };
    const auto exact = s.gradients_of(dl, 2 * weight(), a);
    const auto dimension = static_cast<std::size_t>(row_.dimension);
    for (std::size_t k = 0; k < s.size(); ++k) {
      std::vector<storage> bits(dimension);
      const auto* const data = static_cast<const storage*>(pool_.region(kGradients));
      pool_.on().download(bits.data(), data + s.row(k) * row_.dimension,
                          bits.size() * sizeof(storage));
      for (std::size_t d = 0; d < dimension; ++d) {
        const std::size_t at = k * dimension + d;
        checker.compare(
            "gradient", culoss_test::decode<T>(bits[d]), exact.values[at],
            exact.errors[at] + culoss_test::format_of(row_.type).rounding(exact.values[at]));
      }
    }
  }

  sweep_row row_;
  data_pool& pool_;
  buffer labels_, losses_;  // the mean; of the rows
  std::variant<cpu, cuda> where_;
  std::vector<double> losses_of_rows_;
};

}  // namespace

std::unique_ptr<operation> make_self_similarity(const sweep_row& row, data_pool& pool) {
  return culoss_test::with_type(row.type,
                                [&]<class T>(std::type_identity<T>) -> std::unique_ptr<operation> {
                                  return std::make_unique<self_operation<T>>(row, pool);
                                });
}

}  // namespace culoss::bench
