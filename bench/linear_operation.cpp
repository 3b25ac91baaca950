// Cross-entropy of a linear classifier as a language model's head calls it: normal hidden states and
// weights, a temperature that makes logits of a few units, the mean, gradients in the inputs' type.
#include <algorithm>
#include <cmath>
#include <culoss/linear_cross_entropy.hpp>
#include <vector>

#include "bench/operation_support.hpp"
#include "bench/similarity_grid.hpp"
#include "tests/harness/bounds.hpp"

namespace culoss::bench {
namespace {

template <class T>
class linear_operation final : public operation {
  using real = real_of<T>;
  using storage = culoss_test::storage_of<T>;

 public:
  linear_operation(const sweep_row& row, data_pool& pool)
      : row_(row),
        pool_(pool),
        temperature_(static_cast<float>(std::sqrt(static_cast<double>(row.dimension)) / 3)),
        labels_(pool.on(), static_cast<std::size_t>(row.rows) * sizeof(std::int64_t)),
        losses_(pool.on(), static_cast<std::size_t>(1 + 2 * row.rows) * sizeof(real)),
        where_(pool.on().where()) {
    for (std::int64_t i = 0; i < row.rows; ++i) host_labels_.push_back(i * 7919 % row.cols);
    pool.on().upload(labels_.data(), host_labels_.data(), labels_.bytes());
    if (auto* gpu = std::get_if<cuda>(&where_)) {
      gpu->workspace = {pool.region(kWorkspace), work_of(row).workspace_bytes};
    }
  }

  void call(int) override {
    linear_cross_entropy_outputs<T> out;
    out.loss = {losses_.as<real>(), 1};
    if (row_.mode == mode::fused) {
      out.grad_hidden = gradient(0, row_.rows);
      out.grad_weight = gradient(row_.rows, row_.cols);
    }
    call_with(out, reduction::mean);
  }

  check_result check() override {
    pool_.on().fill(pool_.region(kGradients), 0xff, work_of(row_).output_bytes);
    pool_.on().fill(losses_.data(), 0xff, losses_.bytes());
    call(0);
    linear_cross_entropy_outputs<T> out;
    out.loss = {losses_.as<real>() + 1, row_.rows};
    out.lse = {losses_.as<real>() + 1 + row_.rows, row_.rows};
    call_with(out, reduction::none);
    std::vector<real> all(losses_.bytes() / sizeof(real));
    pool_.on().download(all.data(), losses_.data(), losses_.bytes());
    checker checker;
    check_mean(all, checker);
    for (const std::int64_t i : sample(row_.rows)) check_row(i, all, checker);
    for (const std::int64_t j : sample(row_.cols)) check_class(j, all, checker);
    checker.describe(
        "mean loss against the losses of all rows; of sampled rows, losses and hidden "
        "gradients from all logits in double; of sampled classes, weight gradients "
        "from their logits and the log-sums of all rows");
    return checker.result();
  }

 private:
  static constexpr int kInputs = 0, kGradients = 1, kWorkspace = 2;  // regions

  matrix<T> rows_of(int region, std::int64_t first, std::int64_t count) const {
    storage* const data = static_cast<storage*>(pool_.region(region)) + first * row_.dimension;
    return {reinterpret_cast<T*>(data), count, row_.dimension};
  }
  matrix<T> gradient(std::int64_t first, std::int64_t count) const {
    return rows_of(kGradients, first, count);
  }
  void call_with(const linear_cross_entropy_outputs<T>& out, culoss::reduction r) {
    const matrix<const T> hidden = rows_of(kInputs, 0, row_.rows);
    const matrix<const T> weight = rows_of(kInputs, row_.rows, row_.cols);
    const vector<const std::int64_t> labels(labels_.as<std::int64_t>(), row_.rows);
    linear_cross_entropy_options options;
    options.reduction = r;
    options.temperature = temperature_;
    call_on<T>(where_, [&](const auto& where) {
      return linear_cross_entropy(where, hidden, weight, {}, labels, out, options);
    });
  }

  // Row i of hidden states and weights together.
  void read(std::int64_t i, std::vector<double>& to) const {
    to.resize(static_cast<std::size_t>(row_.dimension));
    pool_.read(static_cast<std::size_t>(i * row_.dimension), to);
  }
  culoss_test::arithmetic arithmetic() const {
    const bool on_device = pool_.on().description().cuda;
    const element logits = row_.type == element::float64 ? element::float64 : element::float32;
    auto a = culoss_test::arithmetic_of(
        on_device ? culoss_test::space::cuda : culoss_test::space::cpu, row_.cols, logits, 1);
    a.adds += 4, a.rescales += 4;  // a block's warps, where the bound has a warp's lanes
    return a;
  }
  // The rounding of the logits' gradient, of which none is larger than 1 / (N T).
  double tile(double g) const {
    const auto& f = culoss_test::format_of(row_.type);
    if (!pool_.on().description().cuda || f.bytes != 2) return 0;
    const double lift = row_.type == element::float16 ? 0x1p14 : 1;
    return f.unit_roundoff() * std::fabs(g) + 2 * f.smallest_subnormal() / lift * scale();
  }
  double scale() const {
    return 1 / (static_cast<double>(row_.rows) * static_cast<double>(temperature_));
  }
  double rounding(double value) const {
    return culoss_test::real_format(row_.type).rounding(value);
  }
  // <a, b> and its error.
  std::pair<double, double> logit(const std::vector<double>& a,
                                  const std::vector<double>& b) const {
    double sum = 0, size = 0;
    for (std::size_t d = 0; d < a.size(); ++d) {
      sum += a[d] * b[d];
      size += std::fabs(a[d] * b[d]);
    }
    return {sum, 2 * static_cast<double>(a.size()) * arithmetic_.u * size};
  }

  void check_mean(const std::vector<real>& all, checker& checker) const {
    double sum = 0;
    for (std::int64_t i = 0; i < row_.rows; ++i) {
      sum += static_cast<double>(all[static_cast<std::size_t>(1 + i)]);
    }
    sum /= static_cast<double>(row_.rows);
    // Both calls computed each loss from the same logits by the same kernel or one with other sums.
    const double error = 4 * (arithmetic_.adds + arithmetic_.rescales + 16) * 0x1p-22 * (1 + sum);
    checker.compare("mean loss", static_cast<double>(all[0]), sum, error + rounding(sum));
  }

  void check_row(std::int64_t i, const std::vector<real>& all, checker& checker) const {
    std::vector<double> h, w, x, errors;
    read(i, h);
    for (std::int64_t j = 0; j < row_.cols; ++j) {
      read(row_.rows + j, w);
      const auto [value, error] = logit(h, w);
      x.push_back(value);
      errors.push_back(error);
    }
    const std::int64_t target = host_labels_[static_cast<std::size_t>(i)];
    culoss_test::cross_entropy_factors f;
    f.temperature = static_cast<double>(temperature_);
    f.gradient_scale = scale();
    const culoss_test::cross_entropy_row bounds(x.data(), row_.cols, target, f, arithmetic_,
                                                errors.data());
    double largest = x[0], sum = 0;
    for (const double v : x) largest = std::max(largest, v);
    for (const double v : x) sum += std::exp((v - largest) / f.temperature);
    const auto at = static_cast<std::size_t>(target);
    const double loss = std::log(sum) - (x[at] - largest) / f.temperature;
    checker.compare("loss", static_cast<double>(all[static_cast<std::size_t>(1 + i)]), loss,
                    bounds.loss() + rounding(loss));
    checker.count_row();
    if (row_.mode != mode::fused) return;
    std::vector<double> values(h.size()), bound(h.size());
    const double of_sum = (2 * static_cast<double>(row_.cols) + 24) * arithmetic_.u;
    for (std::int64_t j = 0; j < row_.cols; ++j) {
      read(row_.rows + j, w);
      const double p = std::exp((x[static_cast<std::size_t>(j)] - largest) / f.temperature) / sum;
      const double g = scale() * (p - (j == target ? 1 : 0));
      const double error = bounds.gradient(j) + tile(g) + of_sum * std::fabs(g);
      for (std::size_t d = 0; d < h.size(); ++d) {
        values[d] += g * w[d];
        bound[d] += error * std::fabs(w[d]);
      }
    }
    compare_gradient("hidden gradient", i, values, bound, checker);
  }

  // dx_ij = (exp(x_ij / T - lse_i) - [j = t_i]) / (N T), where lse_i is the library's, which the
  // sampled rows vouch for.
  void check_class(std::int64_t j, const std::vector<real>& all, checker& checker) const {
    if (row_.mode != mode::fused) return;
    std::vector<double> h, w;
    read(row_.rows + j, w);
    std::vector<double> values(w.size()), bound(w.size());
    const double of_sum = (2 * static_cast<double>(row_.rows) + 24) * arithmetic_.u;
    for (std::int64_t i = 0; i < row_.rows; ++i) {
      read(i, h);
      const auto [x, error] = logit(h, w);
      const double lse = static_cast<double>(all[static_cast<std::size_t>(1 + row_.rows + i)]);
      const double t = static_cast<double>(temperature_), p = std::exp(x / t - lse);
      const bool target = host_labels_[static_cast<std::size_t>(i)] == j;
      const double g = scale() * (p - (target ? 1 : 0));
      // Of lse: its own rounding, and the error that the logits' and the sums' bring into p.
      const double of_lse = 4 * arithmetic_.u * (std::fabs(lse) + std::fabs(x / t) + 1) +
                            (arithmetic_.adds + arithmetic_.rescales + 8) * 0x1p-22;
      const double own = scale() * p * (2 * error / t + of_lse) + tile(g) + of_sum * std::fabs(g);
      for (std::size_t d = 0; d < w.size(); ++d) {
        values[d] += g * h[d];
        bound[d] += own * std::fabs(h[d]);
      }
    }
    compare_gradient("weight gradient", row_.rows + j, values, bound, checker);
  }

  void compare_gradient(const char* name, std::int64_t row, const std::vector<double>& values,
                        const std::vector<double>& bound, checker& checker) const {
    std::vector<storage> bits(values.size());
    pool_.on().download(bits.data(), gradient(row, 1).data, bits.size() * sizeof(storage));
    for (std::size_t d = 0; d < bits.size(); ++d) {
      checker.compare(name, culoss_test::decode<T>(bits[d]), values[d],
                      bound[d] + culoss_test::format_of(row_.type).rounding(values[d]));
    }
  }

  static std::vector<std::int64_t> sample(std::int64_t count) {
    constexpr std::int64_t kSamples = 3;
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < std::min(count, kSamples); ++i) {
      rows.push_back(i * (count - 1) / std::max<std::int64_t>(1, std::min(count, kSamples) - 1));
    }
    return rows;
  }

  sweep_row row_;
  data_pool& pool_;
  float temperature_;
  std::vector<std::int64_t> host_labels_;
  buffer labels_, losses_;  // the mean; each row's; each row's log-sum
  std::variant<cpu, cuda> where_;
  culoss_test::arithmetic arithmetic_ = arithmetic();
};

}  // namespace

std::unique_ptr<operation> make_linear(const sweep_row& row, data_pool& pool) {
  return culoss_test::with_type(row.type,
                                [&]<class T>(std::type_identity<T>) -> std::unique_ptr<operation> {
                                  return std::make_unique<linear_operation<T>>(row, pool);
                                });
}

}  // namespace culoss::bench
