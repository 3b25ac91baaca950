// Batch-hard triplets as a training step calls them: four rows of each label, one after the other,
// euclidean distances, a margin, the mean, the gradient in the embeddings' type.
#include <cmath>
#include <culoss/mined_triplet.hpp>

#include "bench/operation_support.hpp"
#include "bench/similarity_grid.hpp"
#include "bench/similarity_reference.hpp"
#include "tests/harness/element.hpp"

namespace culoss::bench {
namespace {

constexpr std::int64_t kOfLabel = 4;
constexpr float kMargin = 0.3f;

template <class T>
class mining_operation final : public operation {
  using real = real_of<T>;
  using storage = culoss_test::storage_of<T>;

 public:
  mining_operation(const sweep_row& row, data_pool& pool)
      : row_(row),
        pool_(pool),
        losses_(pool.on(), static_cast<std::size_t>(1 + row.rows) * sizeof(real)),
        integers_(pool.on(), static_cast<std::size_t>(3 * row.rows) * sizeof(std::int64_t)),
        where_(pool.on().where()) {
    if (auto* gpu = std::get_if<cuda>(&where_)) {
      gpu->workspace = {pool.region(kWorkspace), work_of(row).workspace_bytes};
    }
    std::vector<std::int64_t> labels(static_cast<std::size_t>(row.rows));
    for (std::size_t i = 0; i < labels.size(); ++i) {
      labels[i] = static_cast<std::int64_t>(i) / kOfLabel;
    }
    pool.on().upload(integers_.data(), labels.data(), labels.size() * sizeof(std::int64_t));
  }

  void call(int) override { mine({.loss = {mean(), 1}, .grad_embeddings = gradient()}, {}); }

  check_result check() override {
    pool_.on().fill(pool_.region(kGradients), 0xff, work_of(row_).output_bytes);
    pool_.on().fill(losses_.data(), 0xff, losses_.bytes());
    call(0);
    mine({.loss = {mean() + 1, row_.rows},
          .positives = {integers() + row_.rows, row_.rows},
          .negatives = {integers() + 2 * row_.rows, row_.rows}},
         {.reduction = reduction::none});
    std::vector<real> losses(losses_.bytes() / sizeof(real));
    pool_.on().download(losses.data(), losses_.data(), losses_.bytes());
    std::vector<std::int64_t> chosen(integers_.bytes() / sizeof(std::int64_t));
    pool_.on().download(chosen.data(), integers_.data(), integers_.bytes());

    checker checker;
    const double u = culoss_test::format_of(row_.type).bytes == 8 ? 0x1p-53 : 0x1p-24;
    double sum = 0;
    for (std::size_t i = 1; i < losses.size(); ++i) sum += static_cast<double>(losses[i]);
    const auto n = static_cast<double>(row_.rows);
    checker.compare("mean loss", static_cast<double>(losses[0]), sum / n,
                    (2 * u + n * 0x1p-53) * sum / n);
    const embedding_table x(pool_, 0, row_.rows, row_.dimension);
    for (std::int64_t k = 0; k < kSamples && k < row_.rows; ++k) {
      const std::int64_t i =
          k * (row_.rows - 1) / std::max<std::int64_t>(1, std::min(kSamples, row_.rows) - 1);
      check_row(i, x, chosen, losses, u, checker);
      checker.count_row();
    }
    checker.describe(
        "mean loss against the losses of all rows; of sampled rows the triplets against all "
        "distances in double, losses, and gradients by the triplets of all rows");
    return checker.result();
  }

 private:
  static constexpr int kEmbeddings = 0, kGradients = 1, kWorkspace = 2;  // regions
  static constexpr std::int64_t kSamples = 4;

  matrix<T> rows_of(int region) const {
    return {reinterpret_cast<T*>(static_cast<storage*>(pool_.region(region))), row_.rows,
            row_.dimension};
  }
  gradient_matrix<T> gradient() const {
    return row_.mode == mode::fused ? gradient_matrix<T>(rows_of(kGradients))
                                    : gradient_matrix<T>();
  }
  real* mean() const { return losses_.as<real>(); }
  std::int64_t* integers() const { return integers_.as<std::int64_t>(); }

  void mine(const mined_triplet_outputs<T>& outputs, mined_triplet_options options) const {
    options.margin = kMargin;
    const matrix<const T> x = rows_of(kEmbeddings);
    const vector<const std::int64_t> labels(integers(), row_.rows);
    call_on<T>(where_, [&](const auto& where) {
      return mined_triplet(where, x, labels, outputs, options);
    });
  }

  std::vector<double> distances(std::int64_t i, const embedding_table& x) const {
    const auto dimension = static_cast<std::size_t>(row_.dimension);
    std::vector<double> a(dimension), b(dimension), all;
    x.read(i, a);
    for (std::int64_t j = 0; j < row_.rows; ++j) {
      x.read(j, b);
      double sum = 0;
      for (std::size_t d = 0; d < dimension; ++d) sum += (a[d] - b[d]) * (a[d] - b[d]);
      all.push_back(std::sqrt(sum));
    }
    return all;
  }

  void check_row(std::int64_t i, const embedding_table& x, const std::vector<std::int64_t>& chosen,
                 const std::vector<real>& losses, double u, checker& checker) const {
    const auto n = static_cast<std::size_t>(row_.rows), at = static_cast<std::size_t>(i);
    const std::vector<double> d = distances(i, x);
    double farthest = 0, nearest = std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < n; ++j) {
      const bool same = static_cast<std::int64_t>(j) / kOfLabel == i / kOfLabel;
      if (same && j != at) farthest = std::max(farthest, d[j]);
      if (!same) nearest = std::min(nearest, d[j]);
    }
    // Both are chosen by distances in double, and rounded twice to float in the loss.
    const double error = static_cast<double>(row_.dimension + 16) * 0x1p-52 * (farthest + nearest);
    checker.compare("farthest positive", d[static_cast<std::size_t>(chosen[n + at])], farthest,
                    error);
    checker.compare("nearest negative", d[static_cast<std::size_t>(chosen[2 * n + at])], nearest,
                    error);
    const double loss = std::max(0.0, farthest - nearest + static_cast<double>(kMargin));
    checker.compare("loss", static_cast<double>(losses[1 + at]), loss, error + 2 * u * loss);
    if (row_.mode == mode::fused) check_gradient(i, x, chosen, losses, d, u, checker);
  }

  // From the triplets that the row is in.
  void check_gradient(std::int64_t i, const embedding_table& x,
                      const std::vector<std::int64_t>& chosen, const std::vector<real>& losses,
                      const std::vector<double>& d, double u, checker& checker) const {
    const auto dimension = static_cast<std::size_t>(row_.dimension);
    std::vector<double> own(dimension), other(dimension), sum(dimension), size(dimension);
    x.read(i, own);
    const auto pull = [&](std::int64_t j, double sign) {
      x.read(j, other);
      const double by = sign / d[static_cast<std::size_t>(j)] / static_cast<double>(row_.rows);
      for (std::size_t k = 0; k < dimension; ++k) {
        sum[k] += by * (own[k] - other[k]);
        size[k] += std::fabs(by * (own[k] - other[k]));
      }
    };
    const auto n = static_cast<std::size_t>(row_.rows);
    for (std::size_t a = 0; a < n; ++a) {
      if (losses[1 + a] == 0) continue;
      const auto anchor = static_cast<std::int64_t>(a);
      if (anchor == i) {
        pull(chosen[n + a], 1);
        pull(chosen[2 * n + a], -1);
      }
      if (chosen[n + a] == i) pull(anchor, 1);
      if (chosen[2 * n + a] == i) pull(anchor, -1);
    }
    std::vector<storage> bits(dimension);
    const auto* const first = static_cast<const storage*>(pool_.region(kGradients));
    pool_.on().download(bits.data(), first + i * row_.dimension, dimension * sizeof(storage));
    for (std::size_t k = 0; k < dimension; ++k) {
      const double error = 6 * u * size[k];
      checker.compare("gradient", culoss_test::decode<T>(bits[k]), sum[k],
                      error + culoss_test::format_of(row_.type).rounding(sum[k]) + u * size[k]);
    }
  }

  sweep_row row_;
  data_pool& pool_;
  buffer losses_;    // the mean; of the rows
  buffer integers_;  // labels; positives; negatives
  std::variant<cpu, cuda> where_;
};

}  // namespace

std::unique_ptr<operation> make_mining(const sweep_row& row, data_pool& pool) {
  return culoss_test::with_type(row.type,
                                [&]<class T>(std::type_identity<T>) -> std::unique_ptr<operation> {
                                  return std::make_unique<mining_operation<T>>(row, pool);
                                });
}

}  // namespace culoss::bench
