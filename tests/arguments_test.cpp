// Every mistake in the arguments: its code, its exact message, and that nothing was launched and
// nothing written.
#include <gtest/gtest.h>

#include <cstdio>
#include <culoss/culoss.hpp>
#include <limits>
#include <string>
#include <utility>

#include "tests/harness/arrays.hpp"
#include "tests/harness/check.hpp"

namespace culoss_test {
namespace {

using culoss::status_code;

constexpr std::int64_t kRows = 4, kCols = 5, kPadding = 3, kLd = kCols + kPadding;
constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

template <class T>
T* moved(T* p, std::ptrdiff_t bytes) {
  using byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return reinterpret_cast<T*>(reinterpret_cast<byte*>(p) + bytes);
}

std::string misaligned(const char* name, const void* p, int to) {
  char text[128];
  std::snprintf(text, sizeof text, "%s.data is %p, must be a multiple of %d bytes", name, p, to);
  return text;
}

// The memory of a call with everything given, and what a mistake did to it.
template <class Where, class T>
class memory {
 public:
  using real = culoss::real_of<T>;
  static constexpr bool kOnDevice = std::is_same_v<Where, culoss::cuda>;
  static constexpr space kSpace = kOnDevice ? space::cuda : space::cpu;

  memory() {
    x.write(std::vector<double>(static_cast<std::size_t>(kRows * kCols), 0.5));
    g.write(std::vector<double>(static_cast<std::size_t>(kRows * kCols), 0.25));
    labels.write(std::vector<int>(static_cast<std::size_t>(kRows), 1));
    ones.write(std::vector<float>(64, 1.0f));
  }

  std::string changes() const {
    std::string text;
    synchronize(kSpace);
    x.check_unchanged("x", text);
    g.check_unchanged("g", text);
    out.check_unchanged("out", text);
    labels.check_unchanged("labels", text);
    ones.check_unchanged("ones", text);
    reals.check_unchanged("reals", text);
    counts.check_unchanged("counts", text);
    scratch.check_unchanged("scratch", text);
    return text;
  }
  culoss::row_statistics<real>* statistics() const {
    return reinterpret_cast<culoss::row_statistics<real>*>(reals.data() + 32);
  }

  array<T> x{kSpace, kRows, kCols, kPadding, 0}, g{kSpace, kRows, kCols, kPadding, 0},
      out{kSpace, kRows, kCols, kPadding, 0};
  array<std::int64_t> labels{kSpace, kRows, 0};
  array<float> ones{kSpace, 64, 0};
  array<real> reals{kSpace, 64, 0};  // loss, lse, statistics
  array<std::int64_t> counts{kSpace, 64, 0};
  array<std::int64_t> scratch{kSpace, 64, 0};
};

// Launches of an emulated device; of a real one nothing is known.
std::uint64_t launches() { return simt::count().launches; }

// A call that must be refused with this message.
template <class Memory, class Call>
void expect_refused(const Memory& m, const Call& call, const std::string& message,
                    status_code code = status_code::invalid_argument) {
  const std::uint64_t before = launches();
  const culoss::status s = call();
  EXPECT_EQ(s.message(), message);
  EXPECT_EQ(static_cast<int>(s.code()), static_cast<int>(code)) << message;
  EXPECT_EQ(launches(), before) << message;
  EXPECT_EQ(m.changes(), "") << message;
}

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

// Runs f<Where, T>() for the types of the execution space.
template <class F>
void for_each_type(space where, const F& f) {
  const auto on = [&]<class Where>(std::type_identity<Where> w) {
    f(w, std::type_identity<float>{});
    f(w, std::type_identity<culoss::half>{});
    f(w, std::type_identity<culoss::bf16>{});
  };
  if (where == space::cpu) {
    on(std::type_identity<culoss::cpu>{});
    f(std::type_identity<culoss::cpu>{}, std::type_identity<double>{});
  } else {
    on(std::type_identity<culoss::cuda>{});
  }
}

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
            "loss.size is 1, must be 4 (logits.rows, as reduction is none)");
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

TEST_P(arguments, of_softmax_and_its_backward) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    const memory<W, T> m;
    constexpr int kBytes = static_cast<int>(sizeof(storage_of<T>));
    struct args {
      W where;
      culoss::matrix<const T> x, g;
      culoss::matrix<T> out;
      culoss::softmax_options options;
    };
    struct function {
      std::string name, x, g, out, cols;
      bool backward, log;
    };
    const auto call = [](const function& f, const args& a) {
      if (f.backward) {
        return f.log ? culoss::log_softmax_backward(a.where, a.x, a.g, a.out, a.options)
                     : culoss::softmax_backward(a.where, a.x, a.g, a.out, a.options);
      }
      return f.log ? culoss::log_softmax(a.where, a.x, a.out, a.options)
                   : culoss::softmax(a.where, a.x, a.out, a.options);
    };
    const function functions[] = {
        {"softmax", "logits", "", "probabilities", "logits.cols", false, false},
        {"log_softmax", "logits", "", "log_probabilities", "logits.cols", false, true},
        {"softmax_backward", "probabilities", "grad_probabilities", "grad_logits", "cols", true,
         false},
        {"log_softmax_backward", "log_probabilities", "grad_log_probabilities", "grad_logits",
         "cols", true, true}};
    for (const function& f : functions) {
      const auto refused = [&](const auto& change, const std::string& message) {
        args a{{}, m.x.as_matrix(), m.g.as_matrix(), m.out.as_matrix(), {}};
        change(a);
        expect_refused(
            m, [&] { return call(f, a); }, f.name + ": " + message);
      };
      refused([](args& a) { a.x.data = nullptr; }, f.x + ".data is null, but " + f.x + " is 4 x 5");
      refused([](args& a) { a.x.rows = -1; }, f.x + ".rows is -1, must not be negative");
      refused([](args& a) { a.x.cols = -1; }, f.x + ".cols is -1, must not be negative");
      refused([](args& a) { a.x.ld = 4; }, f.x + ".ld is 4, must be at least cols (5)");
      refused([](args& a) { a.x.cols = 0; }, f.cols + " is 0, must be positive");
      refused([](args& a) { a.x.data = moved(a.x.data, 1); },
              misaligned(f.x.c_str(), moved(m.x.data(), 1), kBytes));
      refused([](args& a) { a.out.rows = 3; }, f.out + ".rows is 3, must be 4 (" + f.x + ".rows)");
      refused([](args& a) { a.out.cols = 4; }, f.out + ".cols is 4, must be 5 (" + f.x + ".cols)");
      refused([](args& a) { a.out.ld = 1; }, f.out + ".ld is 1, must be at least cols (5)");
      refused([](args& a) { a.out = {}; }, f.out + ".rows is 0, must be 4 (" + f.x + ".rows)");
      refused([&](args& a) { a.out.data = moved(m.x.data(), kBytes); }, f.out + " overlaps " + f.x);
      for (const float t : {0.0f, -1.0f, kNotANumber, 1e-39f}) {
        char text[96];
        std::snprintf(text, sizeof text,
                      "temperature is %g, must be positive, finite and not subnormal",
                      static_cast<double>(t));
        refused([t](args& a) { a.options.temperature = t; }, text);
      }
      refused([](args& a) { a.options.temperature = {}; }, "temperature is not given");
      refused([](args& a) { a.options.temperature = static_cast<const float*>(nullptr); },
              "temperature was given as a null pointer");
      if constexpr (std::is_same_v<W, culoss::cpu>) {
        refused([](args& a) { a.where.threads = -2; }, "cpu.threads is -2, must not be negative");
      } else {
        refused([](args& a) { a.where.workspace.bytes = 1; },
                "workspace.data is null, but workspace.bytes is 1");
      }
      if (!f.backward) continue;
      refused([](args& a) { a.g.rows = 5; }, f.g + ".rows is 5, must be 4 (" + f.x + ".rows)");
      refused([](args& a) { a.g.data = nullptr; }, f.g + ".data is null, but " + f.g + " is 4 x 5");
      refused([&](args& a) { a.out.data = moved(m.g.data(), 2 * kBytes); },
              f.out + " overlaps " + f.g);
    }
  });
}

TEST_P(arguments, of_read_faults) {
  culoss::fault_record record{};
  culoss::faults faults;
  faults.count = 77;
  const auto refused = [&](const auto& where) {
    EXPECT_STREQ(culoss::read_faults(where, nullptr, &faults).message(),
                 "read_faults: record is null");
    const culoss::status s = culoss::read_faults(where, &record, nullptr);
    EXPECT_STREQ(s.message(), "read_faults: out is null");
    EXPECT_EQ(static_cast<int>(s.code()), static_cast<int>(status_code::invalid_argument));
  };
  GetParam() == space::cpu ? refused(culoss::cpu{}) : refused(culoss::cuda{});
  EXPECT_EQ(faults.count, 77u);
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

// What is none of these mistakes: columns of one wider buffer side by side, the same place, one row
// of any pitch, empty views.
TEST_P(arguments, that_are_fine) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    constexpr space kSpace = memory<W, T>::kSpace;
    array<T> wide(kSpace, kRows, 2 * kCols, 1, 0);
    std::vector<double> numbers(static_cast<std::size_t>(kRows * 2 * kCols));
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<double>(i % 7);
    const auto expect_ok = [](const culoss::status& s) { EXPECT_TRUE(s.ok()) << s.message(); };
    const std::int64_t ld = 2 * kCols + 1;
    const culoss::matrix<T> left(wide.data(), kRows, kCols, ld);
    const culoss::matrix<T> right(
        moved(wide.data(), kCols * static_cast<int>(sizeof(storage_of<T>))), kRows, kCols, ld);
    const auto softmax_of = [&](culoss::matrix<T> from, culoss::matrix<T> to) {
      wide.write(numbers);
      expect_ok(culoss::softmax(W{}, from, to));
      synchronize(kSpace);
      std::string damage;
      std::vector<double> now = wide.read("buffer", damage);
      EXPECT_EQ(damage, "");
      return now;
    };
    const std::vector<double> over = softmax_of(left, left), beside = softmax_of(left, right);
    for (std::size_t i = 0; i < static_cast<std::size_t>(kRows); ++i) {
      for (std::size_t j = 0; j < static_cast<std::size_t>(kCols); ++j) {
        const std::size_t k = i * 2 * kCols + j;
        EXPECT_EQ(beside[k], numbers[k]);
        EXPECT_EQ(over[k + kCols], numbers[k + kCols]);
        EXPECT_EQ(beside[k + kCols], over[k]);
      }
    }
    softmax_of(right, left);
    // Of a single row the pitch means nothing; of no rows the pointer does not either.
    softmax_of({wide.data(), 1, kCols, kCols}, {wide.data(), 1, kCols, ld});
    expect_ok(culoss::softmax(W{}, culoss::matrix<const T>(nullptr, 0, kCols),
                              culoss::matrix<T>(nullptr, 0, kCols)));
    expect_ok(culoss::cross_entropy(W{}, culoss::matrix<const T>(nullptr, 0, kCols),
                                    culoss::vector<const std::int64_t>(), {}));
  });
}

CULOSS_ON_EACH_SPACE(arguments);

}  // namespace
}  // namespace culoss_test
