// In place = out of place, bit for bit; inputs, padding and everything around the arrays stay as
// they were.
#include <gtest/gtest.h>

#include "tests/cases/all.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/plans.hpp"

namespace culoss_test {
namespace {

class aliasing : public on_each_space {
 protected:
  // Whatever the case can do in place, against the same out of place.
  static void check(const loss_case& c, const problem& p, const execution& how) {
    std::vector<output> expected;
    for (const mode m : c.modes()) {
      if (m != mode::fused && m != mode::in_place && m != mode::in_place_upstream) continue;
      execution with = how;
      with.mode = m;
      const results r = run(c, p, with);
      ASSERT_TRUE(r.status.ok()) << r.status.message();
      EXPECT_EQ(r.damage, "") << describe(c, p, with);
      if (m == mode::fused) {
        expected = r.outputs;
      } else {
        EXPECT_EQ(difference(r.outputs, expected), "") << describe(c, p, with);
      }
    }
  }
};

TEST_P(aliasing, holds_for_every_choice_of_options) {
  for (const auto& c : all_cases()) {
    for (const element type : device_elements()) {
      const problem p = c->make({.type = type, .rows = 5, .cols = 131, .seed = 11});
      check(*c, p, {.where = GetParam(), .offset = 1, .padding = 2});
    }
  }
}

TEST_P(aliasing, holds_for_every_kernel_and_alignment) {
  for (const auto& c : plain_cases()) {
    for (const element type : device_elements()) {
      for (const std::int64_t cols : width_of_each_plan(type)) {
        if (cols > 20000 && (reduced_run() || type == element::bfloat16)) continue;
        for (const auto& [offset, padding] :
             {std::pair<std::int64_t, std::int64_t>{0, 7}, {0, 0}, {1, 0}, {3, 5}}) {
          if (cols > 2000 && offset == 1) continue;
          const problem p = c->make({.type = type, .rows = 3, .cols = cols, .seed = 12});
          check(*c, p, {.where = GetParam(), .offset = offset, .padding = padding});
        }
      }
    }
  }
}

// Rows that the kernels do not read, but still write: ignored ones, and those with a bad label.
TEST_P(aliasing, holds_for_rows_that_are_skipped) {
  const cross_entropy_case c(plain_cross_entropy());
  for (const element type : device_elements()) {
    for (const std::int64_t cols : {7, 301, 2001}) {
      problem p = c.make({.type = type, .rows = 4, .cols = cols, .seed = 13});
      p.labels = {-100, 3, cols, 0};
      check(c, p, {.where = GetParam(), .offset = 1, .padding = 1});
    }
  }
}

template <class Where, class T>
void backward_over_the_logits(space at, const Where& where, std::int64_t cols,
                              std::int64_t offset) {
  const cross_entropy_case c(plain_cross_entropy());
  const problem p = c.make({.type = element_of<T>, .rows = 3, .cols = cols, .seed = 14});
  using real = culoss::real_of<T>;
  array<T> logits(at, p.rows, cols, 3, offset), gradient(at, p.rows, cols, 3, offset);
  array<std::int64_t> labels(at, p.rows, 0);
  array<real> saved(at, 4 * p.rows, 0);
  logits.write(p.x);
  labels.write(p.labels);
  const culoss::vector<culoss::row_statistics<real>> statistics(
      reinterpret_cast<culoss::row_statistics<real>*>(saved.data()), p.rows);
  culoss::cross_entropy_outputs<T> forward;
  forward.statistics = statistics;
  culoss::status s = culoss::cross_entropy(where, logits.as_matrix(), labels.as_vector(), forward);
  ASSERT_TRUE(s.ok()) << s.message();
  for (array<T>* out : {&gradient, &logits}) {
    s = culoss::cross_entropy_backward(where, logits.as_matrix(), labels.as_vector(), statistics,
                                       culoss::cross_entropy_backward_outputs<T>{out->as_matrix()});
    ASSERT_TRUE(s.ok()) << s.message();
  }
  synchronize(at);
  std::string damage;
  const std::vector<output> apart = {{"grad_logits", gradient.read("gradient", damage)}};
  const std::vector<output> over = {{"grad_logits", logits.read("logits", damage)}};
  EXPECT_EQ(difference(over, apart), "") << format_of(element_of<T>).name << " " << cols;
  EXPECT_EQ(damage, "");
}

TEST_P(aliasing, holds_for_the_separate_backward) {
  const auto check_type = [&]<class T>(std::type_identity<T>) {
    for (const std::int64_t cols : {5, 130, 1101, 4500}) {
      for (const std::int64_t offset : {0, 1}) {
        if (GetParam() == space::cpu) {
          backward_over_the_logits<culoss::cpu, T>(GetParam(), {}, cols, offset);
        } else {
          backward_over_the_logits<culoss::cuda, T>(GetParam(), {}, cols, offset);
        }
      }
    }
  };
  check_type(std::type_identity<float>{});
  check_type(std::type_identity<culoss::half>{});
  check_type(std::type_identity<culoss::bf16>{});
}

CULOSS_ON_EACH_SPACE(aliasing);

}  // namespace
}  // namespace culoss_test
