// Every width near a boundary and the widths of real models, wherever the arrays stand: odd widths,
// rows that are not contiguous, pointers aligned to nothing but their element.
#include <gtest/gtest.h>

#include "tests/cases/all.hpp"
#include "tests/harness/check.hpp"

namespace culoss_test {
namespace {

// The last width before the library changes its plan, the first after it, and their neighbors.
std::vector<std::int64_t> plan_boundaries(element type, int streams) {
  std::vector<std::int64_t> widths;
  const auto plan = [&](std::int64_t cols, bool aligned) {
    return culoss::detail::plan_rows(90, cols, format_of(type).bytes, streams, aligned, true);
  };
  const auto differ = [](const culoss::detail::row_plan& a, const culoss::detail::row_plan& b) {
    return a.kernel != b.kernel || a.lanes != b.lanes || a.packs != b.packs ||
           a.threads != b.threads;
  };
  constexpr std::int64_t kWidest = 131072;
  for (std::int64_t cols = 1; cols < kWidest; ++cols) {
    for (const bool aligned : {false, true}) {
      if (!differ(plan(cols, aligned), plan(cols + 1, aligned))) continue;
      widths.insert(widths.end(), {cols - 1, cols, cols + 1, cols + 2});
    }
  }
  std::sort(widths.begin(), widths.end());
  widths.erase(std::unique(widths.begin(), widths.end()), widths.end());
  return widths;
}

// The cases whose kernels depend on the width in that way.
case_list cases_by(walk w) {
  case_list list;
  for (const auto& c : state_cases()) {
    if (c->walks() == w) list.push_back(c);
  }
  return list;
}

class widths : public on_each_space {
 protected:
  void check(std::int64_t rows, std::int64_t cols, element type, const execution& how) {
    for (const auto& c : state_cases()) check(*c, rows, cols, type, how);
  }
  void check(const loss_case& c, std::int64_t rows, std::int64_t cols, element type,
             const execution& how) {
    problem p = c.make({.type = type,
                        .rows = rows,
                        .cols = cols,
                        .kind = input_kind::spike,
                        .seed = static_cast<std::uint64_t>(cols)});
    execution with = how;
    with.where = GetParam();
    tally_.expect_correct(c, p, with, {mode::fused, mode::forward, mode::backward});
  }
  tally tally_;
};

TEST_P(widths, of_up_to_67_columns) {
  for (const auto& c : state_cases()) {
    const bool plans = c->walks() == walk::rows;
    for (const element type : device_elements()) {
      for (std::int64_t cols = 1; cols <= 67; ++cols) {
        if ((reduced_run() || !plans) && cols > 9 && cols % 8 > 1) continue;
        check(*c, 5, cols, type, {});
      }
    }
  }
}

// Elements are taken by packs, spans of packs and blocks of spans, of a matrix without padding
// through the ends of its rows.
TEST_P(widths, of_elements_in_rows_and_in_one_run) {
  const std::int64_t span = 32 * culoss::detail::kElementPacks * culoss::detail::kPackBytes;
  const std::int64_t block = span * culoss::detail::kElementThreads / 32;
  for (const auto& c : cases_by(walk::elements)) {
    for (const element type : device_elements()) {
      const std::int64_t bytes = format_of(type).bytes;
      for (const std::int64_t size : {span / bytes, block / bytes}) {
        if (size * bytes == block && reduced_run() && type != element::float32) continue;
        for (const std::int64_t cols : {size - 1, size, size + 1}) {
          for (const std::int64_t padding : {0, 3}) {
            check(*c, 2, cols, type, {.offset = cols % 2, .padding = padding});
          }
        }
      }
      for (const std::int64_t rows : {2, 67}) {
        for (const std::int64_t cols : {1, 2, 3, 7, 17}) check(*c, rows, cols, type, {.offset = 1});
      }
    }
  }
}

// Images of any number of positions, classes for one thread, for a group and more than one batch.
TEST_P(widths, of_strided_logits) {
  for (const element type : device_elements()) {
    for (const std::int64_t inner : {1, 7, 32, 33, 100, 257}) {
      softmax_focal_choice focal;
      const cross_entropy_case plain(strided(plain_cross_entropy(), inner));
      const cross_entropy_case full(strided(full_cross_entropy(), inner));
      const softmax_focal_case of_focal(strided(focal, inner));
      const loss_case* const cases[] = {&plain, &full, &of_focal};
      std::size_t turn = static_cast<std::size_t>(inner);
      for (const std::int64_t classes : {1, 2, 5, 19, 33, 150, 1003}) {
        const loss_case& c = *cases[++turn % std::size(cases)];
        if (classes == 1003 && (inner > 33 || reduced_run())) continue;
        check(c, inner * (inner < 100 ? 3 : 1), classes, type, {.offset = inner % 2});
      }
    }
  }
}

TEST_P(widths, where_the_plan_changes) {
  for (const element type : device_elements()) {
    for (const auto& c : cases_by(walk::rows)) {
      for (const std::int64_t cols : plan_boundaries(type, c->streams())) {
        if (cols > (reduced_run() ? 5000 : 20000) && cols % 2 == 0) continue;
        if (cols > 20000 && reduced_run()) continue;
        check(*c, cols < 2000 ? 3 : 1, cols, type, {});
      }
    }
  }
}

TEST_P(widths, of_real_models) {
  for (const element type : device_elements()) {
    for (const std::int64_t cols : {1000, 1003, 4097, 32003, 50257, 128257}) {
      if (reduced_run() && cols != 4097 && cols != 128257) continue;
      for (const auto& c : cases_by(walk::rows)) check(*c, cols < 5000 ? 3 : 1, cols, type, {});
    }
  }
}

// Each array begins `offset` elements behind a boundary of 256 bytes and its rows are `padding`
// elements apart: every combination of a row's alignment and its first element's.
TEST_P(widths, at_any_offset_and_pitch) {
  for (const element type : device_elements()) {
    for (const std::int64_t cols : {3, 37, 301, 1031, 4200}) {
      if (reduced_run() && cols > 1000 && type == element::float16) continue;
      for (const std::int64_t offset : {0, 1, 3}) {
        for (const std::int64_t padding : {0, 1, 5}) {
          if (reduced_run() && offset + padding == 6) continue;
          check(3, cols, type, {.offset = offset, .padding = padding});
        }
      }
    }
  }
}

// No two matrices of a call begin at the same place in their 16 bytes: neither inputs nor outputs
// nor the losses of elements.
TEST_P(widths, where_no_two_matrices_begin_alike) {
  case_list cases = state_cases();
  sigmoid_focal_choice focal = sigmoid_focal_choice();
  element_choice weighted = element_choice(element_function::mse);
  weighted.weights = true;
  focal.reduction = weighted.reduction = culoss::reduction::none;
  append<sigmoid_focal_case>(cases, std::vector{focal});
  append<element_case>(cases, std::vector{weighted});
  for (const auto& c : cases) {
    for (const element type : device_elements()) {
      for (const std::int64_t cols : {13, 301, 1100}) {
        const std::int64_t stagger = cols == 301 ? 3 : 1;
        check(*c, 3, cols, type, {.padding = stagger, .stagger = stagger});
      }
    }
  }
}

// A gradient whose rows begin elsewhere in their 16 bytes than the logits' do, by every shift.
TEST_P(widths, with_an_output_of_another_alignment) {
  const auto check_type = [&]<class T>(std::type_identity<T>) {
    const element type = element_of<T>;
    for (const std::int64_t cols : {13, 259, 1100, 4300}) {
      const softmax_case c({.function = softmax_function::log_softmax_backward});
      const problem p = c.make({.type = type, .rows = 3, .cols = cols, .seed = 6});
      const std::vector<expectation> expected = c.expect(p, {.where = GetParam()});
      for (const std::int64_t shift : {1, 2, 7}) {
        array<T> input(GetParam(), p.rows, cols, 3, 0);
        array<T> upstream(GetParam(), p.rows, cols, 1, shift);
        const array<T> out(GetParam(), p.rows, cols, 2, shift + 1);
        input.write(p.x);
        upstream.write(p.g);
        culoss::status s;
        if (GetParam() == space::cpu) {
          s = culoss::log_softmax_backward(culoss::cpu{.threads = 1}, input.as_matrix(),
                                           upstream.as_matrix(), out.as_matrix());
        } else {
          s = culoss::log_softmax_backward(culoss::cuda{}, input.as_matrix(), upstream.as_matrix(),
                                           out.as_matrix());
        }
        ASSERT_TRUE(s.ok()) << s.message();
        synchronize(GetParam());
        std::string damage;
        const verdict v = compare({{"output", out.read("output", damage)}}, expected);
        EXPECT_TRUE(v.ok() && damage.empty()) << format_of(type).name << " " << cols << " shift "
                                              << shift << ": " << v.message << damage;
      }
    }
  };
  check_type(std::type_identity<float>{});
  check_type(std::type_identity<culoss::half>{});
  check_type(std::type_identity<culoss::bf16>{});
}

CULOSS_ON_EACH_SPACE(widths);

}  // namespace
}  // namespace culoss_test
