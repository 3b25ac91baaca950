// Every mistake in the arguments of mined_triplet, in memory of either execution space: its exact
// message, and that nothing was launched and nothing written.
#include <gtest/gtest.h>

#include <cstdio>
#include <limits>
#include <string>

#include "tests/cases/mined_triplet_check.hpp"

namespace culoss_test {
namespace {

using culoss::matrix;
using culoss::reduction;
using culoss::status_code;

constexpr std::int64_t kRows = 4, kDimension = 5, kLd = 8;

std::string misaligned(const char* name, const void* p, int to) {
  char text[128];
  std::snprintf(text, sizeof text, "%s.data is %p, must be a multiple of %d bytes", name, p, to);
  return text;
}

// A call with everything given, and its memory.
template <class Where, class T>
struct memory {
  using real = culoss::real_of<T>;
  static constexpr bool kOnDevice = std::is_same_v<Where, culoss::cuda>;
  static constexpr space kSpace = kOnDevice ? space::cuda : space::cpu;

  array<T> x{kSpace, kRows, kDimension, kLd - kDimension, 0};
  array<T> dx{kSpace, kRows, kDimension, kLd - kDimension, 0};
  array<float> ones{kSpace, 64, 0};
  array<real> reals{kSpace, 64, 0};
  array<std::int64_t> labels{kSpace, 64, 0}, integers{kSpace, 64, 0};
  array<std::int64_t> scratch{kSpace, 1 << 17, 0};

  memory() {
    x.write(std::vector<double>(kRows * kDimension, 0.5));
    ones.write(std::vector<float>(64, 1.0f));
    labels.write(std::vector<int>(64, 1));
  }
  std::string changes() const {
    std::string text;
    synchronize(kSpace);
    x.check_unchanged("embeddings", text);
    dx.check_unchanged("the gradient", text);
    ones.check_unchanged("ones", text);
    reals.check_unchanged("reals", text);
    labels.check_unchanged("labels", text);
    integers.check_unchanged("integers", text);
    scratch.check_unchanged("scratch", text);
    return text;
  }
  Where where() const {
    if constexpr (kOnDevice) {
      return {.workspace = {scratch.data(), scratch.span_bytes()}, .blas = &shared_blas()};
    } else {
      return {};
    }
  }
};

template <class Where, class T>
struct arguments {
  Where where;
  matrix<const T> embeddings;
  culoss::label_view labels;
  culoss::mined_triplet_outputs<T> out;
  culoss::mined_triplet_options options;

  explicit arguments(const memory<Where, T>& m)
      : where(m.where()),
        embeddings(m.x.as_matrix()),
        labels(culoss::vector<const std::int64_t>(m.labels.data(), kRows)),
        out{.loss = {m.reals.data(), 1},
            .grad_embeddings = m.dx.as_matrix(),
            .positives = {m.integers.data(), kRows},
            .negatives = {m.integers.data() + 8, kRows},
            .rows_counted = {m.integers.data() + 16, 1}} {
    options.row_weights = {m.ones.data(), kRows};
  }
  culoss::status call() const {
    return culoss::mined_triplet(where, embeddings, labels, out, options);
  }
};

class mined_triplet_arguments : public on_each_space {};

template <class W, class T>
void check() {
  using args = arguments<W, T>;
  const memory<W, T> m;
  const auto refused = [&m](const auto& change, const std::string& message,
                            status_code code = status_code::invalid_argument) {
    args a(m);
    change(a);
    const std::uint64_t launches = simt::count().launches;
    const culoss::status s = a.call();
    EXPECT_EQ(s.message(), "mined_triplet: " + message);
    EXPECT_EQ(static_cast<int>(s.code()), static_cast<int>(code)) << message;
    EXPECT_EQ(simt::count().launches, launches) << message;
    EXPECT_EQ(m.changes(), "") << message;
  };
  const float* const null = nullptr;
  constexpr bool kNarrow = sizeof(storage_of<T>) == 2;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();

  refused([](args& a) { a.embeddings.data = nullptr; },
          "embeddings.data is null, but embeddings is 4 x 5");
  refused([](args& a) { a.embeddings.rows = -4; }, "embeddings.rows is -4, must not be negative");
  refused([](args& a) { a.embeddings.cols = 0; }, "embeddings.cols is 0, must be positive");
  refused([](args& a) { a.embeddings.ld = 4; }, "embeddings.ld is 4, must be at least cols (5)");
  refused([](args& a) { a.embeddings.rows = a.embeddings.ld = std::int64_t{1} << 40; },
          "embeddings.rows (1099511627776) times embeddings.ld (1099511627776) does not fit 64 "
          "bits");
  refused([](args& a) { a.labels.size = 3; }, "labels.size is 3, must be 4 (embeddings.rows)");
  refused([](args& a) { a.labels.data = nullptr; }, "labels.data is null, but labels.size is 4");
  const auto* const odd = reinterpret_cast<const char*>(m.labels.data()) + 4;
  refused([=](args& a) { a.labels.data = odd; }, misaligned("labels", odd, 8));
  for (const int value : {3, -1}) {
    refused([=](args& a) { a.options.rule = static_cast<culoss::mining_rule>(value); },
            "rule must be batch_hard, semi_hard or batch_all");
    refused([=](args& a) { a.options.distance = static_cast<culoss::triplet_distance>(value); },
            "distance must be euclidean, squared_euclidean or cosine");
  }
  const std::pair<float, const char*> margins[] = {
      {-1.0f, "-1"}, {kInfinity, "inf"}, {std::numeric_limits<float>::quiet_NaN(), "nan"}};
  for (const auto& [value, text] : margins) {
    refused([v = value](args& a) { a.options.margin = v; },
            std::string("margin is ") + text + ", must be finite and not negative");
  }
  refused([](args& a) { a.options.row_weights.size = 3; },
          "row_weights.size is 3, must be 4 (one for each row)");
  refused([](args& a) { a.options.reduction = static_cast<reduction>(3); },
          "reduction must be none, mean or sum");
  refused([](args& a) { a.options.empty = static_cast<culoss::empty_batch>(2); },
          "empty must be zero or nan");
  refused([=](args& a) { a.options.normalizer = null; }, "normalizer was given as a null pointer");
  refused(
      [](args& a) {
        a.options.reduction = reduction::none;
        a.options.normalizer = 1.0f;
      },
      "normalizer is given, but reduction none divides by nothing");
  refused([](args& a) { a.options.upstream = {}; }, "upstream is not given");
  refused(
      [&](args& a) {
        a.options.upstream_rows = {m.ones.data(), kRows};
      },
      "upstream_rows is given, but reductions mean and sum take a scalar upstream");
  refused(
      [&](args& a) {
        a.options.reduction = reduction::none;
        a.out.loss.size = kRows;
        a.options.upstream_rows = {m.ones.data(), 5};
      },
      "upstream_rows.size is 5, must be 4 (one for each row)");
  refused([](args& a) { a.out.loss.size = 2; },
          "loss.size is 2, must be 1 (reduction is mean or sum)");
  refused([](args& a) { a.options.reduction = reduction::none; },
          "loss.size is 1, must be 4 (embeddings.rows, as reduction is none)");
  refused([](args& a) { a.out.grad_embeddings.rows = 3; },
          "grad_embeddings.rows is 3, must be 4 (embeddings.rows)");
  refused([](args& a) { a.out.grad_embeddings.cols = 4; },
          "grad_embeddings.cols is 4, must be 5 (embeddings.cols)");
  refused([](args& a) { a.out.positives.size = 3; },
          "positives.size is 3, must be 4 (embeddings.rows)");
  refused([](args& a) { a.out.negatives.size = 5; },
          "negatives.size is 5, must be 4 (embeddings.rows)");
  refused([](args& a) { a.out.rows_counted.size = 0; },
          "rows_counted.size is 0, must be 1 (it is one count)");
  for (const bool positives : {true, false}) {
    refused(
        [=](args& a) {
          a.options.rule = culoss::mining_rule::batch_all;
          (positives ? a.out.negatives : a.out.positives) = {};
        },
        "positives or negatives are given, but batch_all has more than one of an anchor");
  }
  refused([](args& a) { a.out.grad_embeddings.data = const_cast<T*>(a.embeddings.data); },
          "grad_embeddings overlaps embeddings");
  refused([](args& a) { a.out.positives.data = a.out.negatives.data; },
          "negatives overlaps positives");
  refused([](args& a) { a.out.rows_counted.data = a.out.positives.data + 3; },
          "rows_counted overlaps positives");
  refused(
      [](args& a) {
        a.out.positives.data =
            const_cast<std::int64_t*>(static_cast<const std::int64_t*>(a.labels.data));
      },
      "positives overlaps labels");
  refused([](args& a) { a.out = {}; }, "no output is given");
  if constexpr (kNarrow) {
    refused([](args& a) { a.options.accumulate = true; },
            "accumulate is set, but a gradient is not float: it would be rounded again and again");
  }
  if constexpr (memory<W, T>::kOnDevice) {
    const culoss::cublas empty;
    refused([](args& a) { a.where.blas = nullptr; }, "blas is null");
    refused([&](args& a) { a.where.blas = const_cast<culoss::cublas*>(&empty); },
            "blas is empty: create() or borrow() comes first");
    for (const culoss::mining_rule rule : kMiningRules) {
      const std::size_t least =
          culoss::mined_triplet_workspace({.rows = kRows, .dimension = kDimension, .rule = rule})
              .least;
      ASSERT_LE(least, m.scratch.span_bytes());
      refused(
          [&](args& a) {
            a.options.rule = rule;
            if (rule == culoss::mining_rule::batch_all) a.out.positives = a.out.negatives = {};
            a.where.workspace.bytes = least - 1;
          },
          "workspace.bytes is " + std::to_string(least - 1) + ", must be at least " +
              std::to_string(least),
          status_code::workspace_too_small);
    }
    refused([&](args& a) { a.out.positives.data = m.scratch.data(); },
            "positives overlaps workspace");
  } else {
    refused([](args& a) { a.where.threads = -1; }, "cpu.threads is -1, must not be negative");
  }
  EXPECT_EQ(args(m).call().message(), std::string());
  synchronize(memory<W, T>::kSpace);
}

TEST_P(mined_triplet_arguments, are_refused_each_with_its_reason) {
  if (GetParam() == space::cpu) {
    check<culoss::cpu, float>();
    check<culoss::cpu, culoss::half>();
    check<culoss::cpu, culoss::bf16>();
    check<culoss::cpu, double>();
  } else {
    check<culoss::cuda, float>();
    check<culoss::cuda, culoss::half>();
    check<culoss::cuda, culoss::bf16>();
  }
}

// batch_all multiplies no matrices.
TEST_P(mined_triplet_arguments, need_no_handle_for_batch_all) {
  if (GetParam() == space::cpu) return;
  const memory<culoss::cuda, float> m;
  arguments<culoss::cuda, float> a(m);
  a.options.rule = culoss::mining_rule::batch_all;
  a.out.positives = a.out.negatives = {};
  a.where.blas = nullptr;
  EXPECT_EQ(a.call().message(), std::string());
  synchronize(space::cuda);
}

// What the kernels cannot count.
TEST_P(mined_triplet_arguments, are_counted_in_32_bits_by_the_kernels) {
  if (GetParam() == space::cpu) return;
  const memory<culoss::cuda, float> m;
  arguments<culoss::cuda, float> a(m);
  a.options.row_weights = {};
  a.out = {.loss = a.out.loss};
  a.embeddings.rows = a.labels.size = 1;
  a.embeddings.ld = std::int64_t{1} << 31;
  const culoss::status s = a.call();
  EXPECT_EQ(s.code(), culoss::status_code::unsupported);
  EXPECT_STREQ(s.message(),
               "mined_triplet: embeddings.ld is 2147483648, the kernels take at most 2147418112");
  EXPECT_EQ(m.changes(), "");
}

CULOSS_ON_EACH_SPACE(mined_triplet_arguments);

}  // namespace
}  // namespace culoss_test
