// InfoNCE against negatives of each row's own: no row meets another, so it is a loss of rows that is
// as fast as its negatives are read and their gradients written.
#include <culoss/info_nce.hpp>

#include "bench/operation_support.hpp"
#include "tests/cases/similarity_expected.hpp"

namespace culoss::bench {
namespace {

using culoss_test::expectation;
using culoss_test::similarity_choice;
using culoss_test::similarity_numbers;

constexpr float kTemperature = 0.07f;

template <class T>
class own_negatives_operation final : public operation {
  using real = real_of<T>;
  using storage = culoss_test::storage_of<T>;

 public:
  own_negatives_operation(const sweep_row& row, data_pool& pool)
      : row_(row),
        pool_(pool),
        stride_((row.rows * row.cols + kAlignment - 1) / kAlignment * kAlignment),
        pairs_(pool.on(), static_cast<std::size_t>(3 * row.rows * row.dimension) * sizeof(storage)),
        losses_(pool.on(), static_cast<std::size_t>(1 + row.rows) * sizeof(real)),
        where_(pool.on().where()) {
    // Queries, then their positives; then the queries' gradients.
    std::vector<storage> bits;
    for (std::int64_t k = 0; k < 2 * row.rows * row.dimension; ++k) {
      bits.push_back(culoss_test::encode<T>(pool.value(kNormals, pair_element(k))));
    }
    pool.on().upload(pairs_.data(), bits.data(), bits.size() * sizeof(storage));
    if (auto* gpu = std::get_if<cuda>(&where_)) {
      workspace_ = buffer(pool.on(), info_nce_workspace({.queries = row.rows,
                                                         .keys = row.rows,
                                                         .dimension = row.dimension,
                                                         .row_negatives = row.negatives,
                                                         .element_bytes = sizeof(storage),
                                                         .gradients = fused()})
                                         .best);
      gpu->workspace = {workspace_.data(), workspace_.bytes()};
    }
  }

  void call(int copy) override { call_with(copy, reduction::mean); }

  check_result check() override {
    pool_.on().fill(losses_.data(), 0xff, losses_.bytes());
    if (fused()) pool_.on().fill(set(kOutput, 0), 0xff, row_.matrix_bytes());
    call(0);
    call_with(0, reduction::none);
    std::vector<real> losses(losses_.bytes() / sizeof(real));
    pool_.on().download(losses.data(), losses_.data(), losses_.bytes());

    checker checker;
    constexpr std::int64_t kSamples = 4;
    const std::int64_t count = std::min(row_.rows, kSamples);
    double bound = 0;  // of a row's loss, at most
    for (std::int64_t s = 0; s < count; ++s) {
      const std::int64_t i = count == 1 ? 0 : s * (row_.rows - 1) / (count - 1);
      bound = std::max(bound, check_row(checker, i, losses[static_cast<std::size_t>(1 + i)]));
      checker.count_row();
    }
    double sum = 0;
    for (std::size_t i = 1; i < losses.size(); ++i) sum += static_cast<double>(losses[i]);
    const double mean = sum / static_cast<double>(row_.rows);
    const culoss_test::format& f = culoss_test::real_format(row_.type);
    checker.compare(
        "mean loss", static_cast<double>(losses[0]), mean,
        2 * bound + (static_cast<double>(row_.rows) * 0x1p-53 + 4 * f.unit_roundoff()) * mean);
    checker.describe(
        "mean loss against the losses of all rows; of sampled rows, losses and "
        "gradients of queries and negatives, in double");
    return checker.result();
  }

 private:
  static constexpr std::int64_t kAlignment = 256 / sizeof(storage);

  bool fused() const { return row_.mode == mode::fused; }
  // Of the pool's numbers: far from where the negatives of set 0 begin.
  std::size_t pair_element(std::int64_t k) const { return static_cast<std::size_t>(k) + 1000003; }
  storage* set(int region, int copy) const {
    return static_cast<storage*>(pool_.region(region)) + copy * stride_;
  }
  matrix<T> rows_at(storage* data, std::int64_t rows) const {
    return {reinterpret_cast<T*>(data), rows, row_.dimension};
  }
  storage* pair(int which) const {
    return pairs_.as<storage>() + which * row_.rows * row_.dimension;
  }

  void call_with(int copy, reduction r) const {
    const std::int64_t negatives = row_.rows * row_.negatives;
    const bool none = r == reduction::none;
    info_nce_outputs<T> out{.loss = {losses_.as<real>() + (none ? 1 : 0), none ? row_.rows : 1}};
    if (fused() && !none) {
      out.grad_queries = rows_at(pair(2), row_.rows);
      out.grad_row_negatives = rows_at(set(kOutput, copy), negatives);
    }
    info_nce_options options{.reduction = r, .temperature = kTemperature};
    options.in_batch = false;
    call_on<T>(where_, [&](const auto& where) {
      return info_nce(where, matrix<const T>(rows_at(pair(0), row_.rows)),
                      matrix<const T>(rows_at(pair(1), row_.rows)), {},
                      matrix<const T>(rows_at(set(kNormals, copy), negatives)), out, options);
    });
  }

  // Returns the bound of its loss.
  double check_row(checker& checker, std::int64_t i, real loss) const {
    similarity_numbers p;
    p.type = row_.type;
    p.rows = p.keys = 1;
    p.dimension = row_.dimension;
    p.of_a_row = row_.negatives;
    p.scale = kTemperature;
    p.normalizer = static_cast<float>(row_.rows);
    for (std::int64_t d = 0; d < row_.dimension; ++d) {
      const std::int64_t at = i * row_.dimension + d;
      p.q.push_back(pool_.value(kNormals, pair_element(at)));
      p.k.push_back(pool_.value(kNormals, pair_element(row_.rows * row_.dimension + at)));
    }
    for (std::int64_t k = 0; k < row_.cols; ++k) {
      p.own.push_back(pool_.value(kNormals, static_cast<std::size_t>(i * row_.cols + k)));
    }
    const auto space =
        pool_.on().description().cuda ? culoss_test::space::cuda : culoss_test::space::cpu;
    similarity_choice choice{.in_batch = false};
    choice.keys = choice.scale_gradient = choice.counts = false;
    choice.queries = choice.row_negatives = fused();
    choice.normalizer = culoss_test::source::value;
    for (const expectation& e : culoss_test::expect(choice, p, space)) {
      if (e.name == "grad_queries") compare(checker, e, pair(2) + i * row_.dimension);
      if (e.name == "grad_row_negatives") compare(checker, e, set(kOutput, 0) + i * row_.cols);
    }
    choice.normalizer = culoss_test::source::absent;
    choice.reduction = reduction::none;
    choice.queries = choice.row_negatives = false;
    const expectation wanted = culoss_test::expect(choice, p, space).at(0);
    checker.compare("loss", static_cast<double>(loss), wanted.values.at(0), wanted.bounds.at(0));
    return wanted.bounds[0];
  }
  void compare(checker& checker, const expectation& e, const storage* data) const {
    std::vector<storage> bits(e.values.size());
    pool_.on().download(bits.data(), data, bits.size() * sizeof(storage));
    for (std::size_t k = 0; k < bits.size(); ++k) {
      checker.compare(e.name.c_str(), culoss_test::decode<T>(bits[k]), e.values[k], e.bounds[k]);
    }
  }

  sweep_row row_;
  data_pool& pool_;
  std::int64_t stride_;  // elements between the sets of a region
  buffer pairs_, losses_, workspace_;
  std::variant<cpu, cuda> where_;
};

}  // namespace

std::unique_ptr<operation> make_own_negatives(const sweep_row& row, data_pool& pool) {
  return culoss_test::with_type(row.type,
                                [&]<class T>(std::type_identity<T>) -> std::unique_ptr<operation> {
                                  return std::make_unique<own_negatives_operation<T>>(row, pool);
                                });
}

}  // namespace culoss::bench
