// Softmax and log-softmax: the forward from logits, the backward from the forward's output and an
// upstream gradient.
#include <culoss/softmax.hpp>
#include <numeric>

#include "bench/operation_support.hpp"

namespace culoss::bench {
namespace {

template <class T>
class softmax_operation final : public operation {
  static constexpr int kRandom = 0, kOutput = 1, kGradient = 2;  // logits, or upstream

 public:
  softmax_operation(const sweep_row& row, data_pool& pool)
      : row_(row), pool_(pool), matrices_(row, pool), where_(pool.on().where()) {
    if (row.mode != mode::backward) return;
    for (int copy = 0; copy < row.copies(pool.on().description()); ++copy) forward(copy);
  }

  void call(int copy) override { row_.mode == mode::forward ? forward(copy) : backward(copy); }

  check_result check() override {
    matrices_.poison(row_.mode == mode::forward ? kOutput : kGradient, 0);
    call(0);
    checker checker;
    for (const std::int64_t i : sampled_rows(row_.rows, row_.cols)) {
      row_.mode == mode::forward ? check_forward(i, checker) : check_backward(i, checker);
      checker.count_row();
    }
    return checker.result();
  }

 private:
  bool log() const { return row_.loss == loss::log_softmax; }

  void forward(int copy) {
    call_on<T>(where_, [&](const auto& where) {
      const matrix<const T> logits = matrices_.set(kRandom, copy);
      const matrix<T> output = matrices_.set(kOutput, copy);
      return log() ? log_softmax(where, logits, output) : softmax(where, logits, output);
    });
  }
  void backward(int copy) {
    call_on<T>(where_, [&](const auto& where) {
      const matrix<const T> output = matrices_.set(kOutput, copy);
      const matrix<const T> upstream = matrices_.set(kRandom, copy);
      const matrix<T> gradient = matrices_.set(kGradient, copy);
      return log() ? log_softmax_backward(where, output, upstream, gradient)
                   : softmax_backward(where, output, upstream, gradient);
    });
  }

  void check_forward(std::int64_t i, checker& checker) const {
    const std::vector<double> x = matrices_.input_row(i);
    std::vector<double> exact(x.size());
    const matrix<const double> logits(x.data(), 1, row_.cols);
    const matrix<double> output(exact.data(), 1, row_.cols);
    expect_ok(log() ? log_softmax(cpu{.threads = 1}, logits, output)
                    : softmax(cpu{.threads = 1}, logits, output));
    const culoss_test::arithmetic a = arithmetic(1);
    const culoss_test::softmax_row row(x.data(), row_.cols, 1, -1, a);
    compare(checker, kOutput, i, exact, [&](std::size_t j) {
      const auto column = static_cast<std::int64_t>(j);
      return log() ? culoss_test::log_softmax_bound(row, column, a)
                   : culoss_test::softmax_bound(row, column, a);
    });
  }

  void check_backward(std::int64_t i, checker& checker) const {
    const std::vector<double> y = matrices_.download_row(kOutput, i);
    const std::vector<double> g = matrices_.input_row(i);
    std::vector<double> exact(y.size());
    const matrix<const double> output(y.data(), 1, row_.cols), upstream(g.data(), 1, row_.cols);
    const matrix<double> gradient(exact.data(), 1, row_.cols);
    expect_ok(log() ? log_softmax_backward(cpu{.threads = 1}, output, upstream, gradient)
                    : softmax_backward(cpu{.threads = 1}, output, upstream, gradient));
    double sum = 0, absolute = 0;  // of g, or of g p
    for (std::size_t j = 0; j < y.size(); ++j) {
      const double term = log() ? g[j] : g[j] * y[j];
      sum += term;
      absolute += std::fabs(term);
    }
    const culoss_test::arithmetic a = arithmetic(2);
    compare(checker, kGradient, i, exact, [&](std::size_t j) {
      return log() ? culoss_test::log_softmax_backward_bound(y[j], g[j], sum, absolute, 1, a)
                   : culoss_test::softmax_backward_bound(y[j], g[j], sum, absolute, 1, a);
    });
  }

  culoss_test::arithmetic arithmetic(int streams) const {
    const auto space =
        pool_.on().description().cuda ? culoss_test::space::cuda : culoss_test::space::cpu;
    return culoss_test::arithmetic_of(space, row_.cols, row_.type, streams);
  }

  template <class Bound>
  void compare(checker& checker, int region, std::int64_t i, const std::vector<double>& exact,
               const Bound& bound) const {
    const std::vector<double> actual = matrices_.download_row(region, i);
    for (std::size_t j = 0; j < exact.size(); ++j) {
      checker.compare(region == kOutput ? "output" : "gradient", actual[j], exact[j],
                      bound(j) + culoss_test::format_of(row_.type).rounding(exact[j]));
    }
  }

  sweep_row row_;
  data_pool& pool_;
  matrix_sets<T> matrices_;
  std::variant<cpu, cuda> where_;
};

}  // namespace

std::unique_ptr<operation> make_softmax(const sweep_row& row, data_pool& pool) {
  return culoss_test::with_type(row.type,
                                [&]<class T>(std::type_identity<T>) -> std::unique_ptr<operation> {
                                  return std::make_unique<softmax_operation<T>>(row, pool);
                                });
}

std::unique_ptr<operation> make_operation(const sweep_row& row, data_pool& pool) {
  pool.hold(row.type);
  if (row.over_similarities()) return make_similarity(row, pool);
  return row.loss == loss::cross_entropy ? make_cross_entropy(row, pool) : make_softmax(row, pool);
}

}  // namespace culoss::bench
