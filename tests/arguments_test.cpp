// Every mistake in the arguments of cross_entropy: its code, its exact message, and that nothing
// was launched and nothing written.
#include <gtest/gtest.h>

#include <culoss/culoss.hpp>
#include <utility>

#include "tests/harness/refusal.hpp"

namespace culoss_test {
namespace {

template <class Where, class T>
struct cross_entropy_arguments {
  using real = culoss::real_of<T>;
  Where where;
  culoss::matrix<const T> logits;
  culoss::label_view labels;
  culoss::vector<const culoss::row_statistics<real>> saved;  // of the backward
  culoss::cross_entropy_outputs<T> out;
  culoss::cross_entropy_options options;

  explicit cross_entropy_arguments(const memory<Where, T>& m)
      : logits(m.x.as_matrix()),
        labels(m.labels.as_vector()),
        saved(m.statistics(), kRows),
        out{.loss = {m.reals.data(), 1},
            .grad_logits = m.out.as_matrix(),
            .lse = {m.reals.data() + 8, kRows},
            .statistics = {m.statistics(), kRows},
            .argmax = {m.counts.data(), kRows},
            .correct = {m.counts.data() + 8, 1},
            .rows_counted = {m.counts.data() + 9, 1}} {
    options.class_weights = {m.ones.data(), kCols};
    options.row_weights = {m.ones.data() + 8, kRows};
  }
  culoss::status forward() const {
    return culoss::cross_entropy(where, logits, labels, out, options);
  }
  culoss::status backward() const {
    return culoss::cross_entropy_backward(
        where, logits, labels, saved, culoss::cross_entropy_backward_outputs<T>{out.grad_logits},
        options);
  }
};

class arguments : public on_each_space {};

TEST_P(arguments, of_cross_entropy) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    using args = cross_entropy_arguments<W, T>;
    using culoss::reduction;
    const memory<W, T> m;
    constexpr int kBytes = static_cast<int>(sizeof(storage_of<T>));
    constexpr int kReal = static_cast<int>(sizeof(culoss::real_of<T>));
    const auto both = [&](const auto& change, const std::string& message) {
      args a(m);
      change(a);
      expect_refused(
          m, [&] { return a.forward(); }, "cross_entropy: " + message);
      a.out.statistics = {};
      expect_refused(
          m, [&] { return a.backward(); }, "cross_entropy_backward: " + message);
    };
    const auto forward = [&](const auto& change, const std::string& message) {
      args a(m);
      change(a);
      expect_refused(
          m, [&] { return a.forward(); }, "cross_entropy: " + message);
    };
    const auto backward = [&](const auto& change, const std::string& message) {
      args a(m);
      change(a);
      expect_refused(
          m, [&] { return a.backward(); }, "cross_entropy_backward: " + message);
    };

    // Shapes and pointers of the inputs.
    both([](args& a) { a.logits.data = nullptr; }, "logits.data is null, but logits is 4 x 5");
    both([](args& a) { a.logits.rows = -4; }, "logits.rows is -4, must not be negative");
    both([](args& a) { a.logits.cols = -5; }, "logits.cols is -5, must not be negative");
    both([](args& a) { a.logits.ld = 4; }, "logits.ld is 4, must be at least cols (5)");
    both([](args& a) { a.logits.ld = -1; }, "logits.ld is -1, must be at least cols (5)");
    both([](args& a) { a.logits.rows = a.logits.ld = std::int64_t{1} << 40; },
         "logits.rows (1099511627776) times logits.ld (1099511627776) does not fit 64 bits");
    // Elements that 64 bits count, but not their bytes.
    both([](args& a) { a.logits.rows = a.logits.ld = std::int64_t{1} << 31; },
         "logits.rows (2147483648) times logits.ld (2147483648) does not fit 64 bits");
    both([](args& a) { a.logits.cols = 0; }, "logits.cols is 0, must be positive");
    both([](args& a) { a.logits.data = moved(a.logits.data, 1); },
         misaligned("logits", moved(m.x.data(), 1), kBytes));
    both([](args& a) { a.labels.size = 3; }, "labels.size is 3, must be 4 (logits.rows)");
    both([](args& a) { a.labels.size = -1; }, "labels.size is -1, must be 4 (logits.rows)");
    both([](args& a) { a.labels.data = nullptr; }, "labels.data is null, but labels.size is 4");
    both([](args& a) { a.labels.data = moved(static_cast<const char*>(a.labels.data), 4); },
         misaligned("labels", moved(m.labels.data(), 4), 8));
    both([](args& a) { a.options.class_weights.size = 4; },
         "class_weights.size is 4, must be 5 (logits.cols)");
    both([](args& a) { a.options.class_weights.data = nullptr; },
         "class_weights.data is null, but class_weights.size is 5");
    both([](args& a) { a.options.row_weights.size = 5; },
         "row_weights.size is 5, must be 4 (logits.rows)");
    both([&](args& a) { a.options.row_weights.data = moved(m.ones.data(), 2); },
         misaligned("row_weights", moved(m.ones.data(), 2), 4));
    backward([](args& a) { a.saved.size = 1; }, "statistics.size is 1, must be 4 (logits.rows)");
    backward([](args& a) { a.saved = {}; }, "statistics.size is 0, must be 4 (logits.rows)");
    backward([](args& a) { a.saved.data = nullptr; },
             "statistics.data is null, but statistics.size is 4");

    // Options.
    both([](args& a) { a.options.label_smoothing = -0.1f; },
         "label_smoothing is -0.1, must be in [0, 1]");
    both([](args& a) { a.options.label_smoothing = 1.1f; },
         "label_smoothing is 1.1, must be in [0, 1]");
    both([](args& a) { a.options.label_smoothing = kNotANumber; },
         "label_smoothing is nan, must be in [0, 1]");
    const std::pair<float, const char*> temperatures[] = {
        {0.0f, "0"},       {-1.0f, "-1"}, {kNotANumber, "nan"},
        {1e-39f, "1e-39"}, {-0.0f, "-0"}, {std::numeric_limits<float>::infinity(), "inf"}};
    for (const auto& [value, text] : temperatures) {
      both([t = value](args& a) { a.options.temperature = t; },
           std::string("temperature is ") + text + ", must be positive, finite and not subnormal");
    }
    const float* const null = nullptr;
    both([](args& a) { a.options.temperature = {}; }, "temperature is not given");
    both([=](args& a) { a.options.temperature = null; }, "temperature was given as a null pointer");
    both([&](args& a) { a.options.temperature = moved(std::as_const(m.ones).data(), 1); },
         misaligned("temperature", moved(m.ones.data(), 1), 4));
    both([](args& a) { a.options.reduction = static_cast<reduction>(3); },
         "reduction must be none, mean or sum");
    both([](args& a) { a.options.reduction = static_cast<reduction>(-1); },
         "reduction must be none, mean or sum");
    both([](args& a) { a.options.empty = static_cast<culoss::empty_batch>(2); },
         "empty must be zero or nan");
    both([=](args& a) { a.options.normalizer = null; }, "normalizer was given as a null pointer");
    both(
        [](args& a) {
          a.options.reduction = reduction::none;
          a.options.normalizer = 1.0f;
        },
        "normalizer is given, but reduction none divides by nothing");
    both([](args& a) { a.options.upstream = {}; }, "upstream is not given");
    both([=](args& a) { a.options.upstream = null; }, "upstream was given as a null pointer");
    both(
        [&](args& a) {
          a.options.upstream_rows = {m.ones.data(), kRows};
        },
        "upstream_rows is given, but reductions mean and sum take a scalar upstream");
    both(
        [&](args& a) {
          a.options.reduction = reduction::none;
          a.options.upstream_rows = {m.ones.data(), 1};
        },
        "upstream_rows.size is 1, must be 4 (one for each row)");

    // Outputs.
    forward([](args& a) { a.out.loss.size = kRows; },
            "loss.size is 4, must be 1 (reduction is mean or sum)");
    forward([](args& a) { a.options.reduction = reduction::none; },
            "loss.size is 1, must be 4 (logits.rows)");
    forward([](args& a) { a.out.loss.data = nullptr; }, "loss.data is null, but loss.size is 1");
    forward([](args& a) { a.out.loss.data = moved(a.out.loss.data, 2); },
            misaligned("loss", moved(m.reals.data(), 2), kReal));
    both([](args& a) { a.out.grad_logits.rows = 3; },
         "grad_logits.rows is 3, must be 4 (logits.rows)");
    both([](args& a) { a.out.grad_logits.cols = 4; },
         "grad_logits.cols is 4, must be 5 (logits.cols)");
    both([](args& a) { a.out.grad_logits.ld = 4; },
         "grad_logits.ld is 4, must be at least cols (5)");
    both([](args& a) { a.out.grad_logits.data = nullptr; },
         "grad_logits.data is null, but grad_logits is 4 x 5");
    backward([](args& a) { a.out.grad_logits = {}; },
             "grad_logits.rows is 0, must be 4 (logits.rows)");
    forward([](args& a) { a.out.lse.size = 1; }, "lse.size is 1, must be 4 (logits.rows)");
    forward([](args& a) { a.out.statistics.size = 16; },
            "statistics.size is 16, must be 4 (logits.rows)");
    forward([](args& a) { a.out.statistics.data = moved(a.out.statistics.data, 2); },
            misaligned("statistics", moved(m.statistics(), 2), kReal));
    forward([](args& a) { a.out.argmax.size = 0; }, "argmax.size is 0, must be 4 (logits.rows)");
    forward([](args& a) { a.out.correct.size = 4; },
            "correct.size is 4, must be 1 (it is one count)");
    forward([](args& a) { a.out.rows_counted.data = nullptr; },
            "rows_counted.data is null, but rows_counted.size is 1");
    forward([](args& a) { a.out = {}; }, "no output is given");

    // Overlap, exact or in part, of an output with anything.
    both([&](args& a) { a.out.grad_logits.data = moved(m.x.data(), kBytes); },
         "grad_logits overlaps logits");
    both([&](args& a) { a.out.grad_logits.data = moved(m.x.data(), kLd * kBytes); },
         "grad_logits overlaps logits");
    // From the padding behind one row into the next.
    both([&](args& a) { a.out.grad_logits.data = moved(m.x.data(), (kCols + 1) * kBytes); },
         "grad_logits overlaps logits");
    both(
        [&](args& a) {  // the same place, but rows of another pitch
          a.out.grad_logits = {m.x.data(), kRows, kCols, kCols};
        },
        "grad_logits overlaps logits");
    both(
        [&](args& a) {
          a.options.temperature = std::as_const(m.ones).data(),
          a.out.grad_logits.data = reinterpret_cast<T*>(m.ones.data());
        },
        "grad_logits overlaps class_weights");
    forward(
        [&](args& a) {
          a.out.lse = {m.reals.data() + 2, kRows}, a.out.loss = {m.reals.data() + 5, 1};
        },
        "lse overlaps loss");
    forward([&](args& a) { a.out.correct.data = m.counts.data() + 3; }, "correct overlaps argmax");
    forward([&](args& a) { a.out.argmax = {m.labels.data(), kRows}; }, "argmax overlaps labels");
    if constexpr (kReal == 4) {
      forward([&](args& a) { a.options.upstream = a.out.loss.data; }, "loss overlaps upstream");
    }
    forward(
        [&](args& a) {
          a.where.faults = reinterpret_cast<culoss::fault_record*>(m.counts.data() + 8);
        },
        "correct overlaps faults");
    backward([&](args& a) { a.out.grad_logits.data = reinterpret_cast<T*>(m.reals.data() + 32); },
             "grad_logits overlaps statistics");

    // Where it runs.
    both(
        [&](args& a) {
          a.where.faults = moved(reinterpret_cast<culoss::fault_record*>(m.counts.data()), 4);
        },
        misaligned("faults", moved(m.counts.data(), 4), 8));
    if constexpr (std::is_same_v<W, culoss::cpu>) {
      both([](args& a) { a.where.threads = -1; }, "cpu.threads is -1, must not be negative");
    } else {
      both(
          [](args& a) {
            a.where.workspace = {nullptr, 8};
          },
          "workspace.data is null, but workspace.bytes is 8");
      both(
          [&](args& a) {
            a.where.workspace = {moved(m.scratch.data(), 8), 256};
          },
          misaligned("workspace", moved(m.scratch.data(), 8), 16));
      both(
          [&](args& a) {
            a.where.workspace = {m.out.data(), 256};
          },
          "grad_logits overlaps workspace");
    }
  });
}

// The workspace is as large as the function says, or one byte too small.
TEST(arguments_of_cuda, a_workspace_that_is_too_small) {
  CULOSS_NEEDS_CUDA();
  const memory<culoss::cuda, float> m;
  cross_entropy_arguments<culoss::cuda, float> a(m);
  const std::size_t bytes = culoss::cross_entropy_workspace_bytes(kRows, kCols);
  ASSERT_GT(bytes, 0u);
  ASSERT_LE(bytes, m.scratch.span_bytes());
  const std::string sizes = "workspace.bytes is " + std::to_string(bytes - 1) +
                            ", must be at least " + std::to_string(bytes);
  // The kernels that need the most.
  a.where.row_kernels = culoss::row_kernels::pipelined;
  a.where.workspace = {m.scratch.data(), bytes - 1};
  expect_refused(
      m, [&] { return a.forward(); }, "cross_entropy: " + sizes, status_code::workspace_too_small);
  a.out.statistics = {};
  expect_refused(
      m, [&] { return a.backward(); }, "cross_entropy_backward: " + sizes,
      status_code::workspace_too_small);
  a.where.workspace.bytes = bytes;
  const culoss::status s = a.forward();
  EXPECT_TRUE(s.ok()) << s.message();
  synchronize(space::cuda);
}

#ifdef CULOSS_TESTS_WITH_CUDA
TEST(arguments_of_cuda, a_stream_of_another_device) {
  CULOSS_NEEDS_CUDA();
  int devices = 0;
  check_cuda(cudaGetDeviceCount(&devices), "cudaGetDeviceCount");
  if (devices < 2) GTEST_SKIP() << "there is one device only";
  const memory<culoss::cuda, float> m;
  cross_entropy_arguments<culoss::cuda, float> a(m);
  check_cuda(cudaSetDevice(1), "cudaSetDevice");
  check_cuda(cudaStreamCreate(&a.where.stream), "cudaStreamCreate");
  check_cuda(cudaSetDevice(0), "cudaSetDevice");
  expect_refused(
      m, [&] { return a.forward(); },
      "cross_entropy: stream belongs to device 1, but device 0 is current");
  check_cuda(cudaStreamDestroy(a.where.stream), "cudaStreamDestroy");
}
#endif

CULOSS_ON_EACH_SPACE(arguments);

}  // namespace
}  // namespace culoss_test
