// A million keys: embeddings along the axes, so that every similarity is 0 or 1 and every result is
// known. Every element is checked, under the plan that is fastest and under the one that needs
// least. The emulated device takes fewer of them.
#include <gtest/gtest.h>

#include <cstdio>

#include "tests/cases/similarity.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/device_memory.hpp"
#include "tests/harness/similarity_bounds.hpp"

namespace culoss_test {
namespace {

struct shape {
  std::int64_t rows, keys, dimension;  // each a multiple of the next but one
  std::int64_t offset() const { return keys - rows; }
  // Keys that equal a query, and queries that equal a key.
  std::int64_t equal_keys() const { return keys / dimension; }
  std::int64_t equal_rows() const { return rows / dimension; }
};

shape shape_here() {
  if (!simt::present()) return {4096, std::int64_t{1} << 20, 128};
  return reduced_run() ? shape{64, 1024, 8} : shape{128, 8192, 16};
}

template <class T>
std::vector<storage_of<T>> axes(std::int64_t rows, std::int64_t dimension) {
  std::vector<storage_of<T>> x(static_cast<std::size_t>(rows * dimension));
  for (std::int64_t i = 0; i < rows; ++i) {
    x[static_cast<std::size_t>(i * dimension + i % dimension)] = encode<T>(1.0);
  }
  return x;
}

constexpr float kTemperature = 0.25f;
constexpr double kScale = 4;

// What a row of this shape must give, and how far off it may be.
struct expected_row {
  side_bounds side;
  double equal, other;  // dl of a negative that equals the query, and of one that does not
  double equal_error, other_error, positive_error;

  expected_row(const shape& s, const similarity_arithmetic& a)
      : side(
            s.keys, s.keys - 1, [&](std::int64_t j) { return is_equal(s, j) ? kScale : 0.0; },
            [&](std::int64_t j) { return is_equal(s, j) ? 9 * a.u * kScale : 0.0; },
            [](std::int64_t) { return false; }, 0, a),
        equal(side.p(kScale)),
        other(side.p(0)),
        equal_error(side.p_error(kScale, 9 * a.u * kScale, a) + equal * (6 * a.u + a.tile)),
        other_error(side.p_error(0, 0, a) + other * (6 * a.u + a.tile)),
        positive_error(side.q * (side.q_error + 12 * a.u + a.tile)) {}

  // The row whose positive is the last key.
  static bool is_equal(const shape& s, std::int64_t j) {
    return j % s.dimension == s.dimension - 1;
  }
};

// Counts the elements that are not what they must be.
class element_check {
 public:
  explicit element_check(const char* name) : name_(name) {}
  ~element_check() {
    EXPECT_EQ(wrong_, 0) << name_ << ": element " << first_ << " is " << actual_ << ", expected "
                         << expected_ << " +- " << bound_;
  }
  element_check(const element_check&) = delete;
  element_check& operator=(const element_check&) = delete;

  void operator()(std::int64_t i, double actual, double expected, double bound) {
    if (std::fabs(actual - expected) <= bound) return;
    if (wrong_++ > 0) return;
    first_ = i;
    actual_ = actual;
    expected_ = expected;
    bound_ = bound;
  }

 private:
  const char* name_;
  std::int64_t wrong_ = 0, first_ = -1;
  double actual_ = 0, expected_ = 0, bound_ = 0;
};

template <class T>
void check(element type, bool best) {
  const shape s = shape_here();
  const std::int64_t d = s.dimension;
  const culoss::similarity_workspace w =
      culoss::info_nce_workspace({.queries = s.rows,
                                  .keys = s.keys,
                                  .dimension = d,
                                  .element_bytes = static_cast<int>(sizeof(storage_of<T>))});
  const std::size_t scratch_bytes = best ? w.best : w.least;
  const std::int64_t elements = (s.rows + s.keys) * d;
  const auto bytes = elements * static_cast<std::int64_t>(sizeof(storage_of<T>) + 4) +
                     static_cast<std::int64_t>(scratch_bytes);
  std::printf("  %s, %lld keys: %.2f GB\n", format_of(type).name, static_cast<long long>(s.keys),
              static_cast<double>(bytes) * 1e-9);
  if (!device_has(bytes)) GTEST_SKIP() << "not enough memory";

  const auto size_of = [&](std::int64_t rows, std::size_t of_element) {
    return static_cast<std::size_t>(rows * d) * of_element;
  };
  const device_memory queries(size_of(s.rows, sizeof(storage_of<T>)));
  const device_memory keys(size_of(s.keys, sizeof(storage_of<T>)));
  const device_memory grad_queries(size_of(s.rows, 4)), grad_keys(size_of(s.keys, 4));
  const device_memory scalars(64), scratch(scratch_bytes);
  upload(queries.as<storage_of<T>>(), axes<T>(s.rows, d));
  upload(keys.as<storage_of<T>>(), axes<T>(s.keys, d));
  auto* const numbers = scalars.as<float>();
  auto* const counts = reinterpret_cast<std::int64_t*>(numbers + 4);
  const culoss::status status = culoss::info_nce(
      culoss::cuda{.workspace = {scratch.as<void>(), scratch_bytes}, .blas = &shared_blas()},
      culoss::matrix<const T>(queries.as<T>(), s.rows, d),
      culoss::matrix<const T>(keys.as<T>(), s.keys, d), culoss::matrix<const T>(),
      {.loss = {numbers, 1},
       .grad_queries = culoss::matrix<float>(grad_queries.as<float>(), s.rows, d),
       .grad_keys = culoss::matrix<float>(grad_keys.as<float>(), s.keys, d),
       .grad_scale = {numbers + 1, 1},
       .correct = {counts, 1},
       .rows_counted = {counts + 1, 1}},
      {.reduction = culoss::reduction::sum,
       .normalize = false,
       .temperature = kTemperature,
       .positive_offset = s.offset()});
  ASSERT_TRUE(status.ok()) << status.message();
  synchronize(space::cuda);

  const similarity_arithmetic a = similarity_arithmetic_of(space::cuda, type);
  similarity_arithmetic of_rows = a;
  of_rows.shared_shift = false;
  const expected_row row(s, of_rows);
  const auto rows = static_cast<double>(s.rows), u = a.u;
  const auto near = static_cast<double>(s.equal_keys() - 1);  // negatives that equal a query
  const auto far = static_cast<double>(s.keys) - near - 1;

  const std::vector<float> values = download(numbers, 2);
  const double loss = rows * row.side.loss, scale = rows * row.side.scale / kTemperature;
  EXPECT_NEAR(static_cast<double>(values[0]), loss, rows * row.side.loss_error + 6 * u * loss);
  EXPECT_NEAR(static_cast<double>(values[1]), -scale,
              rows * row.side.scale_error / kTemperature + 16 * u * std::fabs(scale));
  // The first key that equals a query is never its positive.
  EXPECT_EQ(download(counts, 2), (std::vector<std::int64_t>{0, s.rows}));

  // A product of k terms: 2 k u of the sum of their sizes.
  const auto product = [&](double terms, double size) { return (2 * terms + 24) * u * size; };
  const double along = kScale * (near * row.equal - row.side.q);
  const double along_error =
      kScale * (near * row.equal_error + row.positive_error +
                product(static_cast<double>(s.keys), near * row.equal + row.side.q));
  const double across = kScale * (far / static_cast<double>(d - 1)) * row.other;
  const double across_error = kScale * far / static_cast<double>(d - 1) * row.other_error +
                              product(static_cast<double>(s.keys), across);
  element_check of_query("grad_queries"), of_key("grad_keys");
  const std::vector<float> dq = download(grad_queries.as<float>(), s.rows * d);
  for (std::int64_t i = 0; i < s.rows * d; ++i) {
    const bool own = i % d == i / d % d;
    of_query(i, static_cast<double>(dq[static_cast<std::size_t>(i)]), own ? along : across,
             own ? along_error : across_error);
  }
  const auto equal_rows = static_cast<double>(s.equal_rows());
  const std::int64_t step = std::max<std::int64_t>(1, (std::int64_t{1} << 26) / d);
  for (std::int64_t begin = 0; begin < s.keys; begin += step) {
    const std::int64_t n = std::min(step, s.keys - begin);
    const std::vector<float> dk = download(grad_keys.as<float>() + begin * d, n * d);
    for (std::int64_t i = 0; i < n * d; ++i) {
      const std::int64_t key = begin + i / d;
      const bool own = i % d == key % d, positive = own && key >= s.offset();
      const double negatives = positive ? equal_rows - 1 : equal_rows;
      const double of_positive = positive ? row.side.q : 0;
      const double p = own ? row.equal : row.other;
      const double size = negatives * p + of_positive;
      of_key(begin * d + i, static_cast<double>(dk[static_cast<std::size_t>(i)]),
             kScale * (negatives * p - of_positive),
             kScale * (negatives * (own ? row.equal_error : row.other_error) +
                       (positive ? row.positive_error : 0) + product(rows, size)));
    }
  }
}

class info_nce_large : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override { CULOSS_NEEDS_CUDA(); }
};

TEST_P(info_nce_large, a_million_keys_in_bf16) {
  check<culoss::bf16>(element::bfloat16, GetParam());
}
TEST_P(info_nce_large, a_million_keys_in_float) { check<float>(element::float32, GetParam()); }

INSTANTIATE_TEST_SUITE_P(workspace, info_nce_large, ::testing::Bool(),
                         [](const auto& tested) { return tested.param ? "best" : "least"; });

}  // namespace
}  // namespace culoss_test
