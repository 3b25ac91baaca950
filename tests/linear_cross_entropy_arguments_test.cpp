// Every mistake in the arguments of linear_cross_entropy, its backward, merge_statistics and the
// shards of cross_entropy, in memory of either execution space: its exact message, and that nothing
// was launched and nothing written.
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "tests/cases/linear_cross_entropy_check.hpp"

namespace culoss_test {
namespace {

using culoss::matrix;
using culoss::reduction;
using culoss::status_code;

constexpr std::int64_t kRows = 4, kClasses = 6, kDimension = 5, kLd = 8;

// The memory of a call with everything given.
template <class Where, class T>
struct memory {
  using real = culoss::real_of<T>;
  static constexpr bool kOnDevice = std::is_same_v<Where, culoss::cuda>;
  static constexpr space kSpace = kOnDevice ? space::cuda : space::cpu;

  array<T> h{kSpace, kRows, kDimension, kLd - kDimension, 0};
  array<T> w{kSpace, kClasses, kDimension, kLd - kDimension, 0};
  array<T> dh{kSpace, kRows, kDimension, kLd - kDimension, 0};
  array<T> dw{kSpace, kClasses, kDimension, kLd - kDimension, 0};
  array<T> x{kSpace, kRows, kClasses, 0, 0}, dx{kSpace, kRows, kClasses, 0, 0};
  array<real> reals{kSpace, 256, 0}, bias{kSpace, 16, 0};
  array<float> ones{kSpace, 64, 0};
  array<std::int64_t> labels{kSpace, kRows, 0}, counts{kSpace, 64, 0}, records{kSpace, 128, 0};
  array<std::int64_t> scratch{kSpace, 1 << 12, 0};

  memory() {
    for (array<T>* a : {&h, &w, &x}) {
      a->write(std::vector<double>(static_cast<std::size_t>(a->size()), 0.5));
    }
    bias.write(std::vector<double>(16, 0.25));
    ones.write(std::vector<float>(64, 1.0f));
    labels.write(std::vector<int>{0, 1, 5, 3});
  }
  std::string changes() const {
    std::string text;
    synchronize(kSpace);
    for (const array<T>* a : {&h, &w, &dh, &dw, &x, &dx}) a->check_unchanged("a matrix", text);
    reals.check_unchanged("reals", text);
    bias.check_unchanged("bias", text);
    ones.check_unchanged("ones", text);
    for (const array<std::int64_t>* a : {&labels, &counts, &records, &scratch}) {
      a->check_unchanged("integers", text);
    }
    return text;
  }
  Where where() const {
    if constexpr (kOnDevice) {
      return {.workspace = {scratch.data(), scratch.span_bytes()}, .blas = &shared_blas()};
    } else {
      return {};
    }
  }
  template <class U>
  culoss::vector<U> part(int at, std::int64_t size) const {
    return {reinterpret_cast<U*>(reals.data() + at), size};
  }
};

template <class Where, class T>
struct forward_arguments {
  static constexpr const char* kFunction = "linear_cross_entropy";
  using real = culoss::real_of<T>;
  Where where;
  matrix<const T> hidden, weight;
  culoss::vector<const real> bias;
  culoss::label_view labels;
  culoss::linear_cross_entropy_outputs<T> out;
  culoss::linear_cross_entropy_options options;

  explicit forward_arguments(const memory<Where, T>& m)
      : where(m.where()),
        hidden(m.h.as_matrix()),
        weight(m.w.as_matrix()),
        bias(m.bias.data(), kClasses),
        labels(m.labels.as_vector()) {
    out.loss = m.template part<real>(0, 1);
    out.grad_hidden = m.dh.as_matrix();
    out.grad_weight = m.dw.as_matrix();
    out.grad_bias = m.template part<real>(8, kClasses);
    out.lse = m.template part<real>(16, kRows);
    out.statistics = m.template part<culoss::row_statistics<real>>(32, kRows);
    out.argmax = {m.counts.data(), kRows};
    out.correct = {m.counts.data() + 8, 1};
    out.rows_counted = {m.counts.data() + 16, 1};
    out.z_loss = m.template part<real>(64, 1);
    out.entropy = m.template part<real>(72, kRows);
    out.shards = {reinterpret_cast<culoss::shard_statistics<real>*>(m.records.data()), kRows};
    options.z_loss = 0.1f;
    options.class_weights = {m.ones.data(), kClasses};
    options.row_weights = {m.ones.data(), kRows};
  }
  culoss::status call() const {
    return culoss::linear_cross_entropy(where, hidden, weight, bias, labels, out, options);
  }
};

template <class Where, class T>
struct backward_arguments {
  static constexpr const char* kFunction = "linear_cross_entropy_backward";
  using real = culoss::real_of<T>;
  Where where;
  matrix<const T> hidden, weight;
  culoss::vector<const real> bias;
  culoss::label_view labels;
  culoss::vector<const culoss::row_statistics<real>> statistics;
  culoss::linear_cross_entropy_backward_outputs<T> out;
  culoss::linear_cross_entropy_options options;

  explicit backward_arguments(const memory<Where, T>& m)
      : where(m.where()),
        hidden(m.h.as_matrix()),
        weight(m.w.as_matrix()),
        bias(m.bias.data(), kClasses),
        labels(m.labels.as_vector()),
        statistics(m.template part<const culoss::row_statistics<real>>(32, kRows)) {
    out.grad_hidden = m.dh.as_matrix();
    out.grad_weight = m.dw.as_matrix();
    out.grad_bias = m.template part<real>(8, kClasses);
  }
  culoss::status call() const {
    return culoss::linear_cross_entropy_backward(where, hidden, weight, bias, labels, statistics,
                                                 out, options);
  }
};

template <class Where, class T>
struct merge_arguments {
  static constexpr const char* kFunction = "merge_statistics";
  using real = culoss::real_of<T>;
  Where where;
  matrix<const culoss::shard_statistics<real>> shards;
  culoss::label_view labels;
  culoss::merged_outputs<real> out;
  culoss::cross_entropy_options options;

  explicit merge_arguments(const memory<Where, T>& m)
      : where(m.where()),
        shards(reinterpret_cast<const culoss::shard_statistics<real>*>(m.records.data()), 2, kRows),
        labels(m.labels.as_vector()) {
    out.loss = m.template part<real>(0, 1);
    out.lse = m.template part<real>(16, kRows);
    out.statistics = m.template part<culoss::row_statistics<real>>(32, kRows);
    out.correct = {m.counts.data() + 8, 1};
    options.classes = kClasses;
    options.class_weights = {m.ones.data(), kClasses};
  }
  culoss::status call() const {
    return culoss::merge_statistics(where, shards, labels, out, options);
  }
};

// Plain cross-entropy on a shard of the classes.
template <class Where, class T>
struct shard_arguments {
  static constexpr const char* kFunction = "cross_entropy";
  using real = culoss::real_of<T>;
  Where where;
  matrix<const T> logits;
  culoss::label_view labels;
  culoss::cross_entropy_outputs<T> out;
  culoss::cross_entropy_options options;

  explicit shard_arguments(const memory<Where, T>& m)
      : where(m.where()), logits(m.x.as_matrix()), labels(m.labels.as_vector()) {
    out.shards = {reinterpret_cast<culoss::shard_statistics<real>*>(m.records.data()), kRows};
    out.rows_counted = {m.counts.data() + 16, 1};
    options.classes = 10;
    options.class_offset = 4;
    options.class_weights = {m.ones.data(), 10};
  }
  culoss::status call() const { return culoss::cross_entropy(where, logits, labels, out, options); }
};

// refused(change, message): the call with that change is refused.
template <class Arguments, class Memory>
auto refusal(const Memory& m) {
  return [&m](const auto& change, const std::string& message,
              status_code code = status_code::invalid_argument) {
    Arguments a(m);
    change(a);
    const std::uint64_t launches = simt::count().launches;
    const culoss::status s = a.call();
    EXPECT_EQ(s.message(), std::string(Arguments::kFunction) + ": " + message);
    EXPECT_EQ(static_cast<int>(s.code()), static_cast<int>(code)) << message;
    EXPECT_EQ(simt::count().launches, launches) << message;
    EXPECT_EQ(m.changes(), "") << message;
  };
}

template <class F>
void for_each_type(space where, const F& f) {
  if (where == space::cpu) {
    f(std::type_identity<culoss::cpu>{}, std::type_identity<culoss::half>{});
    f(std::type_identity<culoss::cpu>{}, std::type_identity<double>{});
  } else {
    f(std::type_identity<culoss::cuda>{}, std::type_identity<float>{});
    f(std::type_identity<culoss::cuda>{}, std::type_identity<culoss::bf16>{});
  }
}

class linear_arguments : public on_each_space {};

// What the forward and the backward call refuse in the same words.
template <class Args, class T, class Memory>
void check_common(const Memory& m) {
  const auto refused = refusal<Args>(m);
  const float* const null = nullptr;
  constexpr bool kNarrow = sizeof(storage_of<T>) == 2;
  refused([](Args& a) { a.hidden.data = nullptr; }, "hidden.data is null, but hidden is 4 x 5");
  refused([](Args& a) { a.hidden.rows = -4; }, "hidden.rows is -4, must not be negative");
  refused([](Args& a) { a.hidden.cols = 0; }, "hidden.cols is 0, must be positive");
  refused([](Args& a) { a.hidden.ld = 4; }, "hidden.ld is 4, must be at least cols (5)");
  refused([](Args& a) { a.weight.rows = 0; }, "weight.rows is 0, must be positive");
  refused([](Args& a) { a.weight.cols = 4; }, "weight.cols is 4, must be 5 (hidden.cols)");
  refused([](Args& a) { a.weight.data = nullptr; }, "weight.data is null, but weight is 6 x 5");
  refused([](Args& a) { a.bias.size = 5; }, "bias.size is 5, must be 6 (weight.rows)");
  refused([](Args& a) { a.labels.size = 3; }, "labels.size is 3, must be 4 (hidden.rows)");
  refused([](Args& a) { a.labels.data = nullptr; }, "labels.data is null, but labels.size is 4");
  refused([](Args& a) { a.options.classes = -1; }, "classes is -1, must not be negative");
  refused([](Args& a) { a.options.class_offset = 1; },
          "class_offset is 1, but classes is not given");
  for (const std::int64_t offset : {-1, 2, 8, 9}) {
    refused(
        [=](Args& a) {
          a.options.classes = 7;
          a.options.class_offset = offset;
        },
        "class_offset is " + std::to_string(offset) +
            ": 6 classes (weight.rows) from there must lie among 7");
  }
  refused(
      [&](Args& a) {
        a.options.class_weights = {m.ones.data(), 5};
      },
      "class_weights.size is 5, must be 6 (weight.rows)");
  refused(
      [&](Args& a) {
        a.options.classes = 9;
        a.options.class_weights = {m.ones.data(), kClasses};
      },
      "class_weights.size is 6, must be 9 (classes)");
  refused(
      [&](Args& a) {
        a.options.row_weights = {m.ones.data(), 3};
      },
      "row_weights.size is 3, must be 4 (hidden.rows)");
  refused([](Args& a) { a.options.label_smoothing = 1.5f; },
          "label_smoothing is 1.5, must be in [0, 1]");
  refused([](Args& a) { a.options.temperature = 0.0f; },
          "temperature is 0, must be positive, finite and not subnormal");
  refused([](Args& a) { a.options.softcap = -1.0f; },
          "softcap is -1, must be positive, finite and not subnormal");
  refused([](Args& a) { a.options.z_loss = -1.0f; },
          "z_loss is -1, must be finite and not negative");
  refused([](Args& a) { a.options.reduction = static_cast<reduction>(3); },
          "reduction must be none, mean or sum");
  refused([](Args& a) { a.options.empty = static_cast<culoss::empty_batch>(2); },
          "empty must be zero or nan");
  refused([=](Args& a) { a.options.normalizer = null; }, "normalizer was given as a null pointer");
  refused([](Args& a) { a.options.upstream = {}; }, "upstream is not given");
  refused(
      [&](Args& a) {
        a.options.upstream_rows = {m.ones.data(), kRows};
      },
      "upstream_rows is given, but reductions mean and sum take a scalar upstream");
  refused([](Args& a) { a.out.grad_hidden.rows = 3; },
          "grad_hidden.rows is 3, must be 4 (hidden.rows)");
  refused([](Args& a) { a.out.grad_weight.cols = 4; },
          "grad_weight.cols is 4, must be 5 (weight.cols)");
  refused([](Args& a) { a.out.grad_bias.size = 5; },
          "grad_bias.size is 5, must be 6 (weight.rows)");
  refused([](Args& a) { a.bias = {}; }, "grad_bias is given, but bias is not");
  refused([](Args& a) { a.out = {}; }, "no output is given");
  refused([](Args& a) { a.out.grad_hidden.data = const_cast<T*>(a.hidden.data); },
          "grad_hidden overlaps hidden");
  refused([](Args& a) { a.out.grad_weight.data = const_cast<T*>(a.weight.data); },
          "grad_weight overlaps weight");
  refused([](Args& a) { a.out.grad_weight.data = a.out.grad_hidden.data; },
          "grad_weight overlaps grad_hidden");
  refused([](Args& a) { a.out.grad_bias.data = const_cast<typename Args::real*>(a.bias.data); },
          "grad_bias overlaps bias");
  if constexpr (kNarrow) {
    refused([](Args& a) { a.options.accumulate = true; },
            "accumulate is set, but a gradient is not float: it would be rounded again and again");
  }
  if constexpr (Memory::kOnDevice) {
    const culoss::cublas empty;
    refused([](Args& a) { a.where.blas = nullptr; }, "blas is null");
    refused([&](Args& a) { a.where.blas = const_cast<culoss::cublas*>(&empty); },
            "blas is empty: create() or borrow() comes first");
    const std::size_t least = culoss::linear_cross_entropy_workspace(
                                  {.rows = kRows,
                                   .classes = kClasses,
                                   .dimension = kDimension,
                                   .element_bytes = static_cast<int>(sizeof(storage_of<T>)),
                                   .bias_gradient = true})
                                  .least;
    ASSERT_LE(least, m.scratch.span_bytes());
    refused([&](Args& a) { a.where.workspace.bytes = least - 1; },
            "workspace.bytes is " + std::to_string(least - 1) + ", must be at least " +
                std::to_string(least),
            status_code::workspace_too_small);
  }
}

TEST_P(linear_arguments, of_the_forward) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    using args = forward_arguments<W, T>;
    const memory<W, T> m;
    const auto refused = refusal<args>(m);
    check_common<args, T>(m);
    refused([](args& a) { a.out.loss.size = 2; },
            "loss.size is 2, must be 1 (reduction is mean or sum)");
    refused([](args& a) { a.options.reduction = reduction::none; },
            "loss.size is 1, must be 4 (hidden.rows)");
    refused([](args& a) { a.out.lse.size = 3; }, "lse.size is 3, must be 4 (hidden.rows)");
    refused([](args& a) { a.out.statistics.size = 5; },
            "statistics.size is 5, must be 4 (hidden.rows)");
    refused([](args& a) { a.out.argmax.data = nullptr; },
            "argmax.data is null, but argmax.size is 4");
    refused([](args& a) { a.options.z_loss = 0; },
            "output z_loss is given, but the option z_loss is 0");
    refused([](args& a) { a.out.correct.size = 4; },
            "correct.size is 4, must be 1 (it is one count)");
    refused([](args& a) { a.out.rows_counted.size = 0; },
            "rows_counted.size is 0, must be 1 (it is one count)");
    refused([](args& a) { a.out.shards.size = 3; }, "shards.size is 3, must be 4 (hidden.rows)");
    refused([](args& a) { a.out.entropy.data = a.out.lse.data; }, "entropy overlaps lse");
    refused(
        [&](args& a) {
          a.options.classes = 9;
          a.options.class_weights = {m.ones.data(), 9};
        },
        "the columns are not all classes: only shards and rows_counted can be had of them");
    EXPECT_EQ(args(m).call().message(), std::string());
    synchronize(memory<W, T>::kSpace);
  });
}

TEST_P(linear_arguments, of_the_backward) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    using args = backward_arguments<W, T>;
    const memory<W, T> m;
    const auto refused = refusal<args>(m);
    check_common<args, T>(m);
    refused([](args& a) { a.statistics.size = 3; },
            "statistics.size is 3, must be 4 (hidden.rows)");
    refused([](args& a) { a.statistics.data = nullptr; },
            "statistics.data is null, but statistics.size is 4");
  });
}

TEST_P(linear_arguments, of_merging) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    if constexpr (sizeof(storage_of<T>) != 2) {
      using args = merge_arguments<W, T>;
      const memory<W, T> m;
      const auto refused = refusal<args>(m);
      refused([](args& a) { a.shards.rows = 0; }, "shards.rows is 0, must be positive");
      refused([](args& a) { a.shards.ld = 3; }, "shards.ld is 3, must be at least cols (4)");
      refused([](args& a) { a.labels.size = 3; }, "labels.size is 3, must be 4 (shards.cols)");
      refused([](args& a) { a.options.classes = 0; }, "classes is 0, must be positive");
      refused([](args& a) { a.options.class_offset = 1; },
              "class_offset is given, but the merged rows are whole");
      refused([](args& a) { a.options.class_weights.size = 5; },
              "class_weights.size is 5, must be 6 (classes)");
      refused([](args& a) { a.out.loss.size = 4; },
              "loss.size is 4, must be 1 (reduction is mean or sum)");
      refused([](args& a) { a.out.lse.size = 5; }, "lse.size is 5, must be 4 (shards.cols)");
      refused([](args& a) { a.out = {}; }, "no output is given");
      refused(
          [](args& a) {
            using record = culoss::shard_statistics<typename args::real>;
            a.out.lse.data =
                reinterpret_cast<typename args::real*>(const_cast<record*>(a.shards.data));
          },
          "lse overlaps shards");
    }
  });
}

TEST_P(linear_arguments, of_a_shard_of_logits) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    using args = shard_arguments<W, T>;
    const memory<W, T> m;
    const auto refused = refusal<args>(m);
    refused([](args& a) { a.options.class_offset = 5; },
            "class_offset is 5: 6 classes (logits.cols) from there must lie among 10");
    refused([](args& a) { a.options.classes = 5; },
            "class_offset is 4: 6 classes (logits.cols) from there must lie among 5");
    refused([&](args& a) { a.out.loss = m.template part<typename args::real>(0, 1); },
            "the columns are not all classes: only shards and rows_counted can be had of them");
    refused([&](args& a) { a.out.grad_logits = m.dx.as_matrix(); },
            "the columns are not all classes: only shards and rows_counted can be had of them");
    refused([](args& a) { a.out = {}; }, "no output is given");
    EXPECT_EQ(args(m).call().message(), std::string());
    synchronize(memory<W, T>::kSpace);
  });
}

CULOSS_ON_EACH_SPACE(linear_arguments);

}  // namespace
}  // namespace culoss_test
