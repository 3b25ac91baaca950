// Every mistake in the arguments of softmax and of read_faults: its code, its exact message, and
// that nothing was launched and nothing written.
#include <gtest/gtest.h>

#include <culoss/culoss.hpp>

#include "tests/harness/refusal.hpp"

namespace culoss_test {
namespace {

class softmax_arguments : public on_each_space {};

TEST_P(softmax_arguments, of_softmax_and_its_backward) {
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
        {"softmax_backward", "probabilities", "grad_probabilities", "grad_logits",
         "probabilities.cols", true, false},
        {"log_softmax_backward", "log_probabilities", "grad_log_probabilities", "grad_logits",
         "log_probabilities.cols", true, true}};
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
        // In place, so that a matrix of any size overlaps nothing.
        const std::int64_t wide = std::int64_t{1} << 31;
        const culoss::matrix<T> row(m.x.data(), 1, wide, wide);
        expect_refused(
            m,
            [&] {
              return call(f, {{}, row, row, row, {}});
            },
            f.name + ": " + f.cols + " is 2147483648, the kernels take at most 2147418112",
            status_code::unsupported);
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

TEST_P(softmax_arguments, of_read_faults) {
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

// What is none of these mistakes: columns of one wider buffer side by side, the same place, one row
// of any pitch, empty views.
TEST_P(softmax_arguments, that_are_fine) {
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

CULOSS_ON_EACH_SPACE(softmax_arguments);

}  // namespace
}  // namespace culoss_test
