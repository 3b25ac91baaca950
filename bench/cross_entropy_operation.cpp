// Cross-entropy as a training step calls it: int64 labels, mean, default options.
#include <culoss/cross_entropy.hpp>
#include <random>

#include "bench/operation_support.hpp"

namespace culoss::bench {
namespace {

using culoss_test::format_of;
using culoss_test::real_format;

template <class T>
class cross_entropy_operation final : public operation {
  using real = real_of<T>;
  static constexpr int kLogits = 0, kGradient = 1;

 public:
  cross_entropy_operation(const sweep_row& row, data_pool& pool)
      : row_(row),
        pool_(pool),
        copies_(row.copies(pool.on().description())),
        matrices_(row, pool),
        labels_(static_cast<std::size_t>(row.rows * copies_)),
        label_buffer_(pool.on(), labels_.size() * sizeof(std::int64_t)),
        losses_(pool.on(), static_cast<std::size_t>(row.rows + 1) * sizeof(real)),
        workspace_(pool.on(), pool.on().description().cuda
                                  ? cross_entropy_workspace_bytes(row.rows, row.cols)
                                  : 0),
        where_(pool.on().where()) {
    std::mt19937_64 generator(static_cast<std::uint64_t>(row.rows * 262147 + row.cols));
    std::uniform_int_distribution<std::int64_t> any_class(0, row.cols - 1);
    for (std::int64_t& label : labels_) label = any_class(generator);
    pool.on().upload(label_buffer_.data(), labels_.data(), label_buffer_.bytes());
    if (auto* gpu = std::get_if<cuda>(&where_)) {
      gpu->workspace = {workspace_.data(), workspace_.bytes()};
    }
    if (row.mode == mode::backward) save_statistics();
  }

  void call(int copy) override {
    if (row_.mode == mode::backward) {
      call_on<T>(where_, [&](const auto& where) {
        return cross_entropy_backward(
            where, logits(copy), labels(copy), vector<const row_statistics<real>>(saved(copy)),
            cross_entropy_backward_outputs<T>{matrices_.set(kGradient, copy)});
      });
      return;
    }
    cross_entropy_outputs<T> outputs{.loss = {mean_loss(), 1}};
    if (row_.mode == mode::fused) outputs.grad_logits = matrices_.set(kGradient, copy);
    enqueue(copy, outputs, {});
  }

  check_result check() override {
    const bool writes_gradient = row_.mode != mode::forward;
    const bool writes_loss = row_.mode != mode::backward;
    if (writes_gradient) matrices_.poison(kGradient, 0);
    pool_.on().fill(losses_.data(), 0xff, losses_.bytes());
    call(0);
    // The scalar is checked against the losses of all rows, those against the reference by sample.
    std::vector<real> losses(static_cast<std::size_t>(row_.rows + 1));
    if (writes_loss) {
      enqueue(0, {.loss = {row_losses(), row_.rows}}, {.reduction = reduction::none});
      pool_.on().download(losses.data(), losses_.data(), losses_.bytes());
    }

    checker checker;
    double sum_of_bounds = 0;
    for (const std::int64_t i : sampled_rows(row_.rows, row_.cols)) {
      const reference_row exact(*this, i);
      if (writes_loss) {
        const double bound = exact.bounds.loss() + real_format(row_.type).rounding(exact.loss);
        checker.compare("loss", losses[static_cast<std::size_t>(i) + 1], exact.loss, bound);
        sum_of_bounds += bound;
      }
      if (writes_gradient) {
        const std::vector<double> actual = matrices_.download_row(kGradient, i);
        for (std::size_t j = 0; j < actual.size(); ++j) {
          checker.compare("gradient", actual[j], exact.gradient[j],
                          exact.bounds.gradient(static_cast<std::int64_t>(j)) +
                              format_of(row_.type).rounding(exact.gradient[j]));
        }
      }
      checker.count_row();
    }
    if (writes_loss) {
      double sum = 0;
      for (std::size_t i = 1; i < losses.size(); ++i) sum += losses[i];
      const double mean = sum / static_cast<double>(row_.rows);
      // Both calls keep every row within its bound, of which the sample gives the mean; the losses,
      // which are positive, are summed in double and the mean is rounded once.
      const double row_bound = sum_of_bounds / static_cast<double>(checker.result().rows_checked);
      const double summing = static_cast<double>(row_.rows) * 0x1p-53 * mean;
      checker.compare("mean loss", losses[0], mean,
                      2 * row_bound + summing + real_format(row_.type).rounding(mean));
    }
    return checker.result();
  }

 private:
  // One row from the reference in double, its gradient as part of the mean over all rows.
  struct reference_row {
    std::vector<double> logits, gradient;
    double loss = 0;
    culoss_test::cross_entropy_row bounds;

    reference_row(const cross_entropy_operation& of, std::int64_t i)
        : logits(of.matrices_.input_row(i)),
          gradient(logits.size()),
          bounds(logits.data(), of.row_.cols, of.labels_[static_cast<std::size_t>(i)],
                 {.gradient_scale = 1 / static_cast<double>(of.row_.rows)},
                 culoss_test::arithmetic_of(of.space(), of.row_.cols, of.row_.type, 1)) {
      expect_ok(
          cross_entropy(cpu{.threads = 1}, matrix<const double>(logits.data(), 1, of.row_.cols),
                        vector<const std::int64_t>(&of.labels_[static_cast<std::size_t>(i)], 1),
                        {.loss = {&loss, 1}, .grad_logits = {gradient.data(), 1, of.row_.cols}},
                        {.reduction = reduction::none}));
      for (double& g : gradient) g /= static_cast<double>(of.row_.rows);
    }
  };

  void enqueue(int copy, const cross_entropy_outputs<T>& outputs,
               const cross_entropy_options& options) {
    call_on<T>(where_, [&](const auto& where) {
      return cross_entropy(where, logits(copy), labels(copy), outputs, options);
    });
  }
  void save_statistics() {
    statistics_ = buffer(pool_.on(), labels_.size() * sizeof(row_statistics<real>));
    for (int copy = 0; copy < copies_; ++copy) enqueue(copy, {.statistics = saved(copy)}, {});
  }

  culoss_test::space space() const {
    return pool_.on().description().cuda ? culoss_test::space::cuda : culoss_test::space::cpu;
  }
  matrix<const T> logits(int copy) const { return matrices_.set(kLogits, copy); }
  vector<const std::int64_t> labels(int copy) const {
    return {label_buffer_.as<std::int64_t>() + copy * row_.rows, row_.rows};
  }
  vector<row_statistics<real>> saved(int copy) const {
    return {statistics_.as<row_statistics<real>>() + copy * row_.rows, row_.rows};
  }
  real* mean_loss() const { return losses_.as<real>(); }
  real* row_losses() const { return losses_.as<real>() + 1; }

  sweep_row row_;
  data_pool& pool_;
  int copies_;
  matrix_sets<T> matrices_;
  std::vector<std::int64_t> labels_;
  buffer label_buffer_, statistics_, losses_, workspace_;
  std::variant<cpu, cuda> where_;
};

}  // namespace

std::unique_ptr<operation> make_cross_entropy(const sweep_row& row, data_pool& pool) {
  return culoss_test::with_type(row.type,
                                [&]<class T>(std::type_identity<T>) -> std::unique_ptr<operation> {
                                  return std::make_unique<cross_entropy_operation<T>>(row, pool);
                                });
}

}  // namespace culoss::bench
