// More than 2^31 and 2^32 elements, where an index of 32 bits would wrap: equal logits, so that
// every result is known. Every element is checked. Needs a GPU's memory.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/cases/cross_entropy_bounds.hpp"
#include "tests/cases/softmax.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/device_memory.hpp"

namespace culoss_test {
namespace {

struct shape {
  element type;
  std::int64_t rows, cols;
};

std::string text_of(const shape& s) {
  return std::string(format_of(s.type).name) + " " + std::to_string(s.rows) + " x " +
         std::to_string(s.cols);
}

// The labels repeat: row i has label i % cols.
void write_labels(std::int32_t* labels, const shape& s) {
  const std::int64_t chunk = std::max<std::int64_t>(1, (std::int64_t{1} << 24) / s.cols) * s.cols;
  std::vector<std::int32_t> some(static_cast<std::size_t>(std::min(chunk, s.rows)));
  for (std::size_t i = 0; i < some.size(); ++i) {
    some[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) % s.cols);
  }
  for (std::int64_t begin = 0; begin < s.rows; begin += chunk) {
    const auto count = static_cast<std::size_t>(std::min(chunk, s.rows - begin));
    check_cuda(
        cudaMemcpy(labels + begin, some.data(), count * sizeof some[0], cudaMemcpyHostToDevice),
        "cudaMemcpy to the device");
  }
}

// Every element of the matrix is the first row's: `on` at the column row % cols, `off` elsewhere
// (without a target: `off` everywhere).
template <class T>
void expect_pattern(const T* matrix, const shape& s, bool target, double on, double on_bound,
                    double off, double off_bound) {
  using storage = storage_of<T>;
  const auto* raw = reinterpret_cast<const storage*>(matrix);
  const std::vector<storage> first = download(raw, s.cols);
  const storage on_bits = first[0], off_bits = first.back();
  const double largest = format_of(s.type).largest();
  EXPECT_LE(
      error_ratio(decode<T>(on_bits), target ? on : off, target ? on_bound : off_bound, largest), 1)
      << text_of(s) << ": " << decode<T>(on_bits);
  EXPECT_LE(error_ratio(decode<T>(off_bits), off, off_bound, largest), 1)
      << text_of(s) << ": " << decode<T>(off_bits);
  const std::int64_t rows_of_chunk = std::max<std::int64_t>(1, (std::int64_t{1} << 27) / s.cols);
  std::int64_t wrong = 0, first_wrong = -1;
  for (std::int64_t begin = 0; begin < s.rows; begin += rows_of_chunk) {
    const std::int64_t rows = std::min(rows_of_chunk, s.rows - begin);
    const std::vector<storage> some = download(raw + begin * s.cols, rows * s.cols);
    for (std::int64_t i = 0; i < rows; ++i) {
      const storage* row = some.data() + i * s.cols;
      const std::int64_t label = target ? (begin + i) % s.cols : -1;
      std::int64_t here = 0;
      for (std::int64_t j = 0; j < s.cols; ++j) here += row[j] != (j == label ? on_bits : off_bits);
      if (here != 0 && first_wrong < 0) first_wrong = begin + i;
      wrong += here;
    }
  }
  EXPECT_EQ(wrong, 0) << text_of(s) << ", first in row " << first_wrong;
}

class large : public ::testing::TestWithParam<shape> {
 protected:
  void SetUp() override {
    CULOSS_NEEDS_CUDA();
    if (simt::present()) GTEST_SKIP() << "the emulated device has no room for that many elements";
  }
  static bool fits(std::int64_t bytes) {
    std::printf("  %s: %.1f GB\n", text_of(GetParam()).c_str(), static_cast<double>(bytes) * 1e-9);
    return device_has(bytes);
  }
};

template <class T>
void check_softmax(const shape& s) {
  const auto bytes = static_cast<std::size_t>(s.rows * s.cols) * sizeof(storage_of<T>);
  const device_memory memory(bytes);
  const culoss::matrix<T> m(memory.as<T>(), s.rows, s.cols);
  const culoss::status status = culoss::softmax(culoss::cuda{}, m, m);
  ASSERT_TRUE(status.ok()) << status.message();
  synchronize(space::cuda);
  const std::vector<double> zeros(static_cast<std::size_t>(s.cols));
  const arithmetic a = arithmetic_of(space::cuda, s.cols, s.type, 1);
  const double p = 1.0 / static_cast<double>(s.cols);
  const double bound = softmax_bound(softmax_row(zeros.data(), s.cols, 1, -1, a), 0, a) +
                       format_of(s.type).rounding(p);
  expect_pattern<T>(m.data, s, false, 0, 0, p, bound);
}

TEST_P(large, softmax_in_place) {
  const shape& s = GetParam();
  if (!fits(s.rows * s.cols * format_of(s.type).bytes)) GTEST_SKIP() << "not enough memory";
  with_type(s.type, [&]<class T>(std::type_identity<T>) {
    if constexpr (!std::is_same_v<T, double>) check_softmax<T>(s);
  });
}

// Loss log C; gradient 1/C - onehot, as the upstream gradient is the number of rows.
template <class T>
void check_cross_entropy(const shape& s) {
  const auto rows = static_cast<std::size_t>(s.rows);
  const auto elements = static_cast<std::size_t>(s.rows * s.cols);
  const device_memory logits(elements * sizeof(storage_of<T>)), labels(rows * 4), scalars(64);
  const device_memory statistics(rows * sizeof(culoss::row_statistics<float>));
  const std::size_t scratch_bytes = culoss::cross_entropy_workspace_bytes(s.rows, s.cols);
  const device_memory scratch(scratch_bytes);
  write_labels(labels.as<std::int32_t>(), s);
  const culoss::matrix<T> m(logits.as<T>(), s.rows, s.cols);
  const culoss::vector<const std::int32_t> targets(labels.as<std::int32_t>(), s.rows);
  const culoss::vector<culoss::row_statistics<float>> saved(
      statistics.as<culoss::row_statistics<float>>(), s.rows);
  auto* const counts = scalars.as<std::int64_t>() + 1;
  const culoss::cuda gpu{.workspace = {scratch.as<void>(), scratch_bytes}};
  const culoss::cross_entropy_options options{.upstream = static_cast<float>(s.rows)};

  const std::vector<double> zeros(static_cast<std::size_t>(s.cols));
  const arithmetic a = arithmetic_of(space::cuda, s.cols, s.type, 1);
  const cross_entropy_row bounds(zeros.data(), s.cols, 0, {}, a);
  const double p = 1.0 / static_cast<double>(s.cols);
  const format& type = format_of(s.type);
  for (const bool fused : {true, false}) {
    check_cuda(cudaMemset(m.data, 0, elements * sizeof(storage_of<T>)), "cudaMemset");
    culoss::cross_entropy_outputs<T> out{
        .loss = {scalars.as<float>(), 1}, .correct = {counts, 1}, .rows_counted = {counts + 1, 1}};
    if (fused) {
      out.grad_logits = m;
    } else {
      out.statistics = saved;
    }
    culoss::status status = culoss::cross_entropy(gpu, m, targets, out, options);
    if (status.ok() && !fused) {
      status = culoss::cross_entropy_backward(gpu, m, targets, saved, {.grad_logits = m}, options);
    }
    ASSERT_TRUE(status.ok()) << status.message();
    synchronize(space::cuda);
    const double loss = std::log(static_cast<double>(s.cols));
    EXPECT_LE(std::fabs(static_cast<double>(download(scalars.as<float>(), 1)[0]) - loss),
              bounds.loss() + 4 * a.u * loss + real_format(s.type).rounding(loss))
        << text_of(s);
    EXPECT_EQ(download(counts, 2),
              (std::vector<std::int64_t>{(s.rows + s.cols - 1) / s.cols, s.rows}));
    expect_pattern<T>(m.data, s, true, p - 1, bounds.gradient(0) + type.rounding(p - 1), p,
                      bounds.gradient(s.cols - 1) + type.rounding(p));
  }
}

TEST_P(large, cross_entropy_fused_and_backward) {
  const shape& s = GetParam();
  const auto scratch =
      static_cast<std::int64_t>(culoss::cross_entropy_workspace_bytes(s.rows, s.cols));
  if (!fits(s.rows * (s.cols * format_of(s.type).bytes + 4 + 16) + scratch)) {
    GTEST_SKIP() << "not enough memory";
  }
  with_type(s.type, [&]<class T>(std::type_identity<T>) {
    if constexpr (!std::is_same_v<T, double>) check_cross_entropy<T>(s);
  });
}

constexpr std::int64_t rows_beyond(int power, std::int64_t cols) {
  return (std::int64_t{1} << power) / cols + 3;
}

// Rows of a few lanes, of a warp, of a block, of a block that reads twice.
INSTANTIATE_TEST_SUITE_P(beyond_32_bits, large,
                         ::testing::Values(shape{element::bfloat16, rows_beyond(32, 3), 3},
                                           shape{element::float32, rows_beyond(31, 5), 5},
                                           shape{element::float16, rows_beyond(32, 1003), 1003},
                                           shape{element::bfloat16, rows_beyond(32, 32003), 32003},
                                           shape{element::float32, rows_beyond(31, 70001), 70001}));

}  // namespace
}  // namespace culoss_test
