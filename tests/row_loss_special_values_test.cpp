// Special values of the losses beside cross-entropy with labels, by the rules in the public headers
// and against the reference: infinities, zeros, NaN, the ends of a sigmoid.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/cases/all.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/special_rows.hpp"

namespace culoss_test {
namespace {

// The outputs of a call that must succeed.
std::vector<output> outputs_of(const loss_case& c, const problem& p, const execution& how) {
  const results r = run(c, p, how);
  EXPECT_TRUE(r.status.ok()) << r.status.message();
  EXPECT_EQ(r.damage, "");
  return r.outputs;
}
std::vector<double> values_of(const std::vector<output>& all, const char* name) {
  const output* o = find_output(all, name);
  EXPECT_NE(o, nullptr) << name;
  return o != nullptr ? o->values : std::vector<double>{};
}
template <class Choice>
Choice of_rows(Choice c) {
  c.reduction = culoss::reduction::none;
  return c;
}

class row_loss_special_values : public on_each_space {
 protected:
  static std::vector<std::int64_t> widths() { return {5, 45, 700, 3001}; }
  void check(const loss_case& c, const problem& p, const std::string& what = {}) {
    tally_.expect_correct(c, p, {.where = GetParam()}, c.modes(), what);
  }
  tally tally_;
};

// Masked columns, NaN and infinities among the logits of a row with targets: no other row notices.
TEST_P(row_loss_special_values, of_cross_entropy_with_targets) {
  for (const target_choice& choice : {of_rows(target_choice()), full_cross_entropy_targets()}) {
    const cross_entropy_targets_case c(choice);
    for (const element type : device_elements()) {
      for (const std::int64_t cols : widths()) {
        problem p = c.make({.type = type, .rows = 9, .cols = cols, .seed = 81});
        const auto q = [&](std::int64_t i) { return p.g.data() + i * cols; };
        fill(q(0), 0, cols, 0);  // q_j = 0 at -inf contributes 0
        q(0)[1] = 1;
        for (std::int64_t j = 0; j < cols; ++j) {
          if (j != 1) p.row(0)[j] = -kInf;
        }
        fill(p.row(1), cols / 2, cols, -kInf);  // a half masked, with and without mass
        fill(q(1), cols / 2, cols, 0);
        fill(p.row(2), cols / 2, cols, -kInf);
        fill(q(2), 0, cols, 0.125);
        p.row(3)[cols - 1] = kNan;
        p.row(4)[0] = kInf;
        fill(p.row(5), 0, cols, -kInf);
        fill(q(6), 0, cols, 0);  // no mass at all
        fill(p.row(7), 0, cols / 2, -kInf);
        fill(q(7), 0, cols / 2, 0);
        check(c, p);
        const std::vector<output> r = outputs_of(c, p, {.where = GetParam()});
        const std::vector<double> loss = values_of(r, "loss"), dx = values_of(r, "grad_logits"),
                                  dq = values_of(r, "grad_targets");
        const auto at = [&](std::int64_t i, std::int64_t j) {
          return static_cast<std::size_t>(i * cols + j);
        };
        EXPECT_TRUE(std::isfinite(loss[0]) && std::isfinite(loss[1]) && std::isfinite(loss[7]));
        EXPECT_EQ(loss[2], kInf);
        for (const std::size_t i : {3u, 4u, 5u}) EXPECT_TRUE(std::isnan(loss[i])) << i;
        EXPECT_EQ(dx[at(1, cols - 1)], 0);
        EXPECT_EQ(dq[at(1, cols - 1)], 0);
        EXPECT_TRUE(std::isfinite(dx[at(2, cols - 1)]));
        EXPECT_EQ(dq[at(2, cols - 1)], kInf);
        EXPECT_TRUE(std::isnan(dx[at(3, 0)]) && std::isnan(dq[at(3, 0)]));
        EXPECT_TRUE(std::isfinite(dx[at(8, 0)]) && std::isfinite(dq[at(8, 0)]));
      }
    }
  }
}

TEST_P(row_loss_special_values, of_softmax_focal) {
  const std::vector<special_row> rows = special_rows();
  for (const float gamma : {0.0f, 0.5f, 1.0f, 2.0f, 3.7f}) {
    for (const bool in_images : {false, true}) {
      softmax_focal_choice choice = of_rows(softmax_focal_choice());
      choice.gamma = gamma;
      const softmax_focal_case c(in_images ? strided(choice, 19) : choice);
      for (const element type : device_elements()) {
        for (const std::int64_t cols : {5, 45, 3001}) {
          if (cols > 1000 && gamma != 0.5f) continue;
          problem p = c.make({.type = type,
                              .rows = static_cast<std::int64_t>(rows.size()),
                              .cols = cols,
                              .seed = 82});
          for (std::size_t i = 0; i < rows.size(); ++i) {
            p.labels[i] = 2;
            rows[i].set(p.row(static_cast<std::int64_t>(i)), cols, p.labels[i]);
          }
          check(c, p);
          const std::vector<output> r = outputs_of(c, p, {.where = GetParam()});
          const std::vector<double> loss = values_of(r, "loss"), dx = values_of(r, "grad_logits");
          for (std::size_t i = 0; i < rows.size(); ++i) {
            const outcome o = rows[i].expected;
            SCOPED_TRACE(rows[i].what);
            EXPECT_EQ(std::isnan(loss[i]), o == outcome::nan);
            EXPECT_EQ(loss[i] == kInf, o == outcome::infinite);
            if (o == outcome::ignored || o == outcome::zero) {
              EXPECT_EQ(loss[i], 0);
            }
            for (std::int64_t j = 0; j < cols; ++j) {
              const double g = dx[i * static_cast<std::size_t>(cols) + static_cast<std::size_t>(j)];
              ASSERT_EQ(std::isfinite(g), o != outcome::nan) << j;
            }
          }
        }
      }
    }
  }
}

// Where p_t rounds to 1 or to 0 the gradient of a focal loss is its finite limit.
TEST_P(row_loss_special_values, of_confident_focal_losses) {
  for (const float gamma : {0.0f, 0.3f, 0.5f, 0.999f, 1.0f, 2.0f, 5.0f}) {
    softmax_focal_choice softmax = of_rows(softmax_focal_choice());
    sigmoid_focal_choice sigmoid = of_rows(sigmoid_focal_choice());
    softmax.gamma = sigmoid.gamma = gamma;
    const softmax_focal_case of_softmax(softmax);
    const sigmoid_focal_case of_sigmoid(sigmoid);
    for (const element type : device_elements()) {
      problem p = of_softmax.make({.type = type, .rows = 12, .cols = 4, .seed = 83});
      p.g.assign(p.x.size(), 0.0);
      for (std::int64_t i = 0; i < 12; ++i) {
        const double size[] = {10, 30, 80, 88, 104, 1000};
        p.labels[static_cast<std::size_t>(i)] = 1;
        fill(p.row(i), 0, 4, 0);
        p.row(i)[1] = (i < 6 ? 1 : -1) * size[i % 6];
        p.row(i)[2] = -p.row(i)[1];
        p.g[static_cast<std::size_t>(4 * i + 1)] = 1;
      }
      check(of_softmax, p);
      check(of_sigmoid, p);
      for (const loss_case* c : {static_cast<const loss_case*>(&of_softmax),
                                 static_cast<const loss_case*>(&of_sigmoid)}) {
        const std::vector<output> r = outputs_of(*c, p, {.where = GetParam()});
        for (const double g : values_of(r, "grad_logits")) ASSERT_TRUE(std::isfinite(g)) << gamma;
      }
    }
  }
}

// The finite limit where there is one, else infinite; a NaN stays in its element.
TEST_P(row_loss_special_values, of_sigmoid_focal_at_infinity) {
  for (const float gamma : {0.0f, 0.5f, 1.0f, 2.0f, 3.7f}) {
    for (const float alpha : {-1.0f, 0.0f, 0.25f, 1.0f}) {
      sigmoid_focal_choice choice = of_rows(sigmoid_focal_choice());
      choice.gamma = gamma;
      choice.alpha = alpha;
      const sigmoid_focal_case c(choice);
      for (const element type : device_elements()) {
        problem p = c.make({.type = type, .rows = 3, .cols = 8, .seed = 84});
        const double x[] = {kInf, kInf, kInf, -kInf, -kInf, -kInf, kNan, 1};
        const double t[] = {1, 0, 0.5, 1, 0, 0.5, 1, kNan};
        for (std::size_t k = 0; k < p.x.size(); ++k) {
          p.x[k] = x[k % 8];
          p.g[k] = t[k % 8];
        }
        check(c, p);
        const std::vector<output> r = outputs_of(c, p, {.where = GetParam()});
        const std::vector<double> loss = values_of(r, "losses"), dx = values_of(r, "grad_logits");
        EXPECT_EQ(loss[0], 0);
        EXPECT_EQ(loss[4], 0);
        EXPECT_EQ(loss[1], alpha == 1 ? 0 : kInf);  // a factor of 0 switches it off
        EXPECT_EQ(loss[3], alpha == 0 ? 0 : kInf);
        EXPECT_EQ(dx[0], 0);
        EXPECT_EQ(dx[4], 0);
        for (std::size_t k = 0; k < 6; ++k) EXPECT_TRUE(std::isfinite(dx[k])) << k;
        for (const std::size_t k : {6u, 7u}) {
          EXPECT_TRUE(std::isnan(loss[k]) && std::isnan(dx[k])) << k;
        }
      }
    }
  }
}

// Labels of a class, the background as the class after the last, ignored before background, bad.
TEST_P(row_loss_special_values, of_sigmoid_focal_labels) {
  for (const std::int64_t background : {culoss::sigmoid_focal_options::kAfterLastClass,
                                        std::int64_t{-1}, std::int64_t{-100}, std::int64_t{3}}) {
    for (const culoss::reduction reduction : {culoss::reduction::none, culoss::reduction::mean}) {
      sigmoid_focal_choice choice = sigmoid_focal_of_labels();
      choice.reduction = reduction;
      choice.background = background;
      choice.mean_over = culoss::focal_mean::positives;
      const sigmoid_focal_case c(choice);
      for (const std::int64_t cols : {9, 300}) {
        problem p = c.make({.rows = 9, .cols = cols, .seed = 85});
        p.labels = {0, cols, -1, -100, 3, cols - 1, 5, INT32_MIN, -2};
        p.row(3)[0] = kNan;  // of an ignored row nothing is seen
        check(c, p);
        const execution how{.where = GetParam(), .record_faults = true};
        const results r = run(c, p, how);
        const bool after = background == culoss::sigmoid_focal_options::kAfterLastClass;
        const std::uint64_t bad = 2 + (background == -1 ? 0 : 1) + (after ? 0 : 1);
        EXPECT_EQ(r.faults.count, bad) << background;
        EXPECT_EQ(values_of(r.outputs, "positives").at(0), background == 3 ? 3 : 4);
      }
    }
  }
}

TEST_P(row_loss_special_values, of_nll) {
  for (nll_choice choice : {nll_choice(), nll_of_probabilities()}) {
    choice.reduction = culoss::reduction::none;
    choice.class_weights = true;
    const nll_case c(choice);
    for (const element type : device_elements()) {
      for (const std::int64_t cols : {5, 700}) {
        problem p = c.make({.type = type, .rows = 9, .cols = cols, .seed = 86});
        p.labels = {1, 1, 1, 1, 1, 1, -100, cols, 3};
        p.class_weights[3] = 0;
        const double at_label[] = {0, -0.0, -kInf, kInf, kNan, -1, kNan, 1, 0};
        for (std::int64_t i = 0; i < 9; ++i) {
          p.row(i)[p.labels[static_cast<std::size_t>(i)] == 3 ? 3 : 1] = at_label[i];
          p.row(i)[0] = kNan;  // is not seen
        }
        check(c, p);
        if (!choice.probabilities()) continue;
        const std::vector<output> r = outputs_of(c, p, {.where = GetParam()});
        const std::vector<double> loss = values_of(r, "loss"), dp = values_of(r, "grad_input");
        EXPECT_EQ(loss[0], kInf);
        EXPECT_EQ(dp[1], -kInf);
        EXPECT_EQ(dp[0], 0);
        EXPECT_TRUE(std::isnan(loss[5]) && std::isnan(loss[7]));
        EXPECT_EQ(loss[6], 0);
        EXPECT_EQ(loss[8], 0);  // a weight of 0
      }
    }
  }
}

// Each element by itself; where nothing of it is kept, an infinity counts for nothing.
TEST_P(row_loss_special_values, of_smooth_labels) {
  for (const smoothing_form form : {smoothing_form::of_rows, smoothing_form::backward}) {
    for (const float s : {0.0f, 0.1f, 1.0f}) {
      const smooth_labels_case c(smooth_labels_choice(form, s));
      for (const element type : device_elements()) {
        for (const std::int64_t cols : {5, 700}) {
          problem p = c.make({.type = type, .rows = 2, .cols = cols, .seed = 92});
          p.row(0)[0] = kInf;
          p.row(0)[1] = -kInf;
          p.row(0)[2] = kNan;
          check(c, p);
          const std::vector<output> r = outputs_of(c, p, {.where = GetParam()});
          const std::vector<double> y = values_of(r, "output");
          EXPECT_TRUE(s == 1 ? std::isfinite(y[0]) && y[1] == y[0] : y[0] == kInf && y[1] == -kInf);
          EXPECT_TRUE(std::isnan(y[2]));
          for (std::size_t k = 3; k < y.size(); ++k) ASSERT_TRUE(std::isfinite(y[k])) << k;
        }
      }
    }
  }
}

TEST_P(row_loss_special_values, of_entropy) {
  for (const culoss::entropy_input input :
       {culoss::entropy_input::probabilities, culoss::entropy_input::logits}) {
    const entropy_case c(of_rows(entropy_choice(input)));
    for (const element type : device_elements()) {
      for (const std::int64_t cols : widths()) {
        problem p = c.make({.type = type, .rows = 8, .cols = cols, .seed = 87});
        const double none = c.choice().logits() ? -kInf : 0;
        fill(p.row(0), 0, cols, none);
        p.row(0)[cols / 2] = 1;  // certain: entropy 0
        fill(p.row(1), 0, cols / 2, none);
        fill(p.row(2), cols / 2, cols, none);
        p.row(3)[cols - 1] = kNan;
        p.row(4)[0] = kInf;
        fill(p.row(5), 0, cols, none);
        p.row(6)[1] = c.choice().logits() ? -kInf : -0.25;
        check(c, p);
        const std::vector<output> r = outputs_of(c, p, {.where = GetParam()});
        const std::vector<double> loss = values_of(r, "loss"), dx = values_of(r, "grad_input");
        EXPECT_TRUE(same_bits(loss[0], 0)) << loss[0];
        EXPECT_EQ(dx[0], 0);
        EXPECT_TRUE(std::isnan(loss[3]));
        EXPECT_EQ(std::isnan(loss[5]), c.choice().logits());
        EXPECT_EQ(std::isnan(loss[6]), !c.choice().logits());
        EXPECT_TRUE(std::isfinite(loss[7]));
      }
    }
  }
}

// Zeros, negative numbers and NaN in rows of probabilities or of logarithms: each element by itself,
// and the row's loss; no other row notices.
TEST_P(row_loss_special_values, of_kl_divergence) {
  for (const int form : {0, 1, 2, 3}) {
    for (const bool reverse : {false, true}) {
      kl_choice choice = of_rows(kl_choice(form % 2 == 1, form > 1));
      if (reverse) choice.direction = culoss::kl_direction::reverse;
      const kl_case c(choice);
      for (const element type : device_elements()) {
        for (const std::int64_t cols : widths()) {
          if (cols > 1000 && type != element::float32) continue;
          problem p = c.make({.type = type, .rows = 8, .cols = cols, .seed = 93});
          // The first row of the divergence, and the second.
          std::vector<double>&first = reverse ? p.g : p.x, &second = reverse ? p.x : p.g;
          const bool log_p = reverse ? choice.log_q() : choice.log_p();
          const bool log_q = reverse ? choice.log_p() : choice.log_q();
          const double none_p = log_p ? -kInf : 0, none_q = log_q ? -kInf : 0;
          const auto at = [&](std::int64_t i, std::int64_t j) {
            return static_cast<std::size_t>(i * cols + j);
          };
          first[at(0, 1)] = none_p;  // p = 0 < q
          first[at(1, 1)] = none_p;  // p = q = 0
          second[at(1, 1)] = none_q;
          second[at(2, 1)] = none_q;  // q = 0 < p
          first[at(2, 1)] = log_p ? -1 : 0.25;
          first[at(3, cols - 1)] = kNan;
          second[at(4, 0)] = kNan;
          first[at(4, 0)] = none_p;  // of a NaN nothing is hidden
          first[at(5, 2)] = log_p ? kNan : -0.25;
          second[at(6, 2)] = log_q ? kNan : -0.25;
          check(c, p);
          const std::vector<output> r = outputs_of(c, p, {.where = GetParam()});
          const std::vector<double> loss = values_of(r, "loss"),
                                    dp = values_of(r, reverse ? "grad_q" : "grad_p"),
                                    dq = values_of(r, reverse ? "grad_p" : "grad_q");
          // Many columns are 0 in half by themselves.
          for (const std::size_t i : {0u, 1u, 7u}) {
            EXPECT_TRUE(std::isfinite(loss[i]) || cols > 500) << i;
          }
          EXPECT_EQ(loss[2], kInf);
          for (const std::size_t i : {3u, 4u, 5u, 6u}) EXPECT_TRUE(std::isnan(loss[i])) << i;
          for (const std::int64_t i : {0, 1}) {
            EXPECT_EQ(dp[at(i, 1)], 0);
            EXPECT_EQ(dq[at(i, 1)], 0);
          }
          EXPECT_EQ(dp[at(2, 1)], kInf);
          EXPECT_EQ(dq[at(2, 1)] == -kInf, !log_q);
          EXPECT_TRUE(std::isfinite(dp[at(3, 0)]) && std::isfinite(dq[at(3, 0)]));
          EXPECT_TRUE(std::isnan(dp[at(4, 0)]) && std::isnan(dq[at(4, 0)]));
        }
      }
    }
  }
}

// Rows of 16-bit probabilities that differ by a unit in the last place: the logarithm of their
// quotient keeps its digits, as no difference of logarithms does.
TEST_P(row_loss_special_values, of_kl_divergence_of_neighbors) {
  const kl_case c(of_rows(kl_choice()));
  problem p = c.make({.rows = 2, .cols = 64, .seed = 94});
  for (std::int64_t j = 0; j < 64; ++j) {
    const double q = 0x1p-6 * static_cast<double>(1 + j) / 64;
    for (const std::int64_t i : {0, 1}) {
      p.g[static_cast<std::size_t>(64 * i + j)] = q;
      p.x[static_cast<std::size_t>(64 * i + j)] = i == 0 ? q : q * (1 + 0x1p-16);
    }
  }
  check(c, p);
  const std::vector<output> r = outputs_of(c, p, {.where = GetParam()});
  EXPECT_EQ(values_of(r, "loss")[0], 0);
  const double exact = std::log1p(0x1p-16);
  for (std::size_t j = 0; j < 64; ++j) {
    EXPECT_EQ(values_of(r, "grad_p")[j], 1);
    EXPECT_NEAR(values_of(r, "grad_p")[64 + j] - 1, exact, 0x1p-23);
  }
  double size = 0;
  for (std::size_t j = 0; j < 64; ++j) size += p.x[64 + j] * exact;
  EXPECT_NEAR(values_of(r, "loss")[1], size, 24 * 0x1p-24 * size);
}

// Masked columns in both rows or in one, NaN and infinities, rows that are left out.
TEST_P(row_loss_special_values, of_distillation) {
  using culoss::distillation_direction;
  for (const auto direction : {distillation_direction::forward, distillation_direction::reverse,
                               distillation_direction::jensen_shannon}) {
    distillation_choice choice = of_rows(distillation_choice(direction));
    choice.labels = true;
    const distillation_case c(choice);
    const bool forward = direction == distillation_direction::forward;
    const bool reverse = direction == distillation_direction::reverse;
    for (const element type : device_elements()) {
      std::vector<std::int64_t> all = widths();
      if (type == element::float32 && !reduced_run()) all.push_back(29001);  // wider than the chip
      for (const std::int64_t cols : all) {
        problem p = c.make({.type = type, .rows = 13, .cols = cols, .seed = 95});
        const auto student = [&](std::int64_t i) { return p.row(i); };
        const auto teacher = [&](std::int64_t i) { return p.g.data() + i * cols; };
        p.labels.assign(13, 1);
        p.labels[11] = -100;
        p.labels[12] = cols;  // no class
        student(11)[0] = kNan;
        for (double* row : {student(0), teacher(0)}) fill(row, cols / 2, cols, -kInf);
        for (double* row : {student(1), teacher(1)}) fill(row, 0, cols / 2, -kInf);
        student(2)[1] = -kInf;             // q = 0 < p
        teacher(3)[1] = -kInf;             // p = 0 < q
        fill(student(4), 2, cols, -kInf);  // certain of other columns
        fill(teacher(4), 0, cols - 2, -kInf);
        student(5)[cols - 1] = kNan;
        teacher(6)[cols - 1] = kInf;
        fill(student(7), 0, cols, -kInf);
        fill(teacher(8), 0, cols, -kInf);
        std::copy(student(9), student(9) + cols, teacher(9));  // the same
        teacher(10)[0] = 2000;  // so certain that the others' probabilities are 0
        for (const std::int64_t j : {std::int64_t{0}, std::int64_t{1}, cols - 1}) {
          student(10)[j] = -kInf;  // infinite beside the certain column, too
        }
        check(c, p);
        const std::vector<output> r = outputs_of(c, p, {.where = GetParam()});
        const std::vector<double> loss = values_of(r, "loss"), ds = values_of(r, "grad_student"),
                                  dt = values_of(r, "grad_teacher");
        const auto at = [&](std::int64_t i, std::int64_t j) {
          return static_cast<std::size_t>(i * cols + j);
        };
        for (const std::size_t i : {0u, 1u}) EXPECT_TRUE(std::isfinite(loss[i])) << i;
        EXPECT_EQ(ds[at(0, cols - 1)], 0);
        EXPECT_EQ(dt[at(1, 0)], 0);
        EXPECT_EQ(loss[2] == kInf, forward);
        EXPECT_EQ(loss[3] == kInf, reverse);
        EXPECT_EQ(loss[4] == kInf, forward || reverse);
        EXPECT_EQ(loss[10] == kInf, forward);
        EXPECT_EQ(dt[at(2, 1)] == kInf, forward);
        EXPECT_EQ(dt[at(2, 0)] == -kInf, forward);
        EXPECT_EQ(ds[at(3, 1)] == kInf, reverse);
        for (std::int64_t j = 0; j < cols; ++j) {
          ASSERT_TRUE(std::isfinite(forward ? ds[at(2, j)] : dt[at(2, j)]));
        }
        for (const std::int64_t i : {5, 6, 7, 8, 12}) {
          EXPECT_TRUE(std::isnan(loss[static_cast<std::size_t>(i)])) << i;
          EXPECT_TRUE(std::isnan(ds[at(i, 0)]) && std::isnan(dt[at(i, cols - 1)])) << i;
        }
        EXPECT_LT(loss[9], 1e-9);
        EXPECT_TRUE(same_bits(loss[11], 0) && same_bits(ds[at(11, 0)], 0));
      }
    }
  }
}

// Of a student that is nearly the teacher the divergence, some d^2 / 2, keeps its digits: no
// difference of two logarithms of sums could have them.
TEST_P(row_loss_special_values, of_distillation_near_the_teacher) {
  using culoss::distillation_direction;
  for (const auto direction : {distillation_direction::forward, distillation_direction::reverse,
                               distillation_direction::jensen_shannon}) {
    const distillation_case c(of_rows(distillation_choice(direction)));
    for (const std::int64_t cols : {40, 700, 5000}) {
      problem p = c.make({.rows = 1, .cols = cols, .kind = input_kind::normal, .seed = 96});
      for (std::int64_t j = 0; j < cols; ++j) {
        p.g[static_cast<std::size_t>(j)] = round_to(
            element::float32, p.x[static_cast<std::size_t>(j)] + (j % 2 == 0 ? 1e-3 : -1e-3));
      }
      check(c, p);
      const double exact = c.bound(p, space::cpu)[0].values[0];
      const double loss = values_of(outputs_of(c, p, {.where = GetParam()}), "loss")[0];
      EXPECT_NEAR(loss, exact, 5e-3 * exact);
      EXPECT_LT(exact, 1e-6);
    }
  }
}

// Scores at their kink, equal ones, masked columns, infinities and NaN; labels that are ignored or
// none of the classes.
TEST_P(row_loss_special_values, of_multi_class_hinge) {
  for (const auto form : {culoss::hinge_form::sum, culoss::hinge_form::max}) {
    for (const int power : {1, 2}) {
      multi_hinge_choice choice = of_rows(multi_hinge_choice(form));
      choice.power = power;
      const multi_hinge_case c(choice);
      const bool largest = choice.largest();
      for (const element type : device_elements()) {
        for (const std::int64_t cols : widths()) {
          problem p = c.make({.type = type, .rows = 12, .cols = cols, .seed = 97});
          p.labels.assign(12, 2);
          p.labels[10] = -100;
          p.labels[11] = cols;
          for (std::int64_t i = 0; i < 6; ++i) fill(p.row(i), 0, cols, -4);
          p.row(0)[2] = -3;               // all at the kink
          p.row(1)[1] = p.row(1)[3] = 2;  // two of equal size
          p.row(1)[2] = 2.5;
          fill(p.row(2), 3, cols, -kInf);  // masked, and 0 below the label
          p.row(2)[2] = 0;
          p.row(3)[2] = -kInf;
          p.row(3)[0] = -kInf;
          p.row(4)[2] = kInf;
          p.row(5)[1] = kInf;
          p.row(6)[cols - 1] = kNan;
          p.row(7)[2] = kNan;
          p.row(8)[1] = p.row(8)[2] = kInf;
          fill(p.row(9), 0, cols, -kInf);
          p.row(10)[2] = kNan;
          check(c, p);
          const execution how{.where = GetParam(), .record_faults = true};
          const results found = run(c, p, how);
          const std::vector<double> loss = values_of(found.outputs, "loss"),
                                    dx = values_of(found.outputs, "grad_scores");
          const auto at = [&](std::int64_t i, std::int64_t j) {
            return static_cast<std::size_t>(i * cols + j);
          };
          const double share = largest ? 1 : 1 / static_cast<double>(cols);
          EXPECT_EQ(loss[0], 0);
          for (std::int64_t j = 0; j < cols; ++j) ASSERT_EQ(dx[at(0, j)], 0);
          EXPECT_NEAR(loss[1], (largest ? 1 : 2) * (power == 2 ? 0.25 : 0.5) * share, 1e-7);
          EXPECT_NEAR(dx[at(1, 1)], share, 1e-2 * share);  // k z^(k-1) = 1 for both
          EXPECT_EQ(dx[at(1, 3)] == 0, largest);
          EXPECT_NEAR(dx[at(1, 2)], -(largest ? 1 : 2) * share, 1e-2 * share);
          EXPECT_EQ(loss[2], 0);
          EXPECT_EQ(loss[3], kInf);
          EXPECT_EQ(dx[at(3, 0)], 0);
          EXPECT_EQ(std::isfinite(dx[at(3, 1)]), power == 1);
          EXPECT_EQ(loss[4], 0);
          EXPECT_EQ(loss[5], kInf);
          EXPECT_EQ(dx[at(5, 1)] == kInf, power == 2);
          for (const std::int64_t i : {6, 7, 8, 11}) {
            EXPECT_TRUE(std::isnan(loss[static_cast<std::size_t>(i)])) << i;
            for (std::int64_t j = 0; j < cols; ++j) ASSERT_TRUE(std::isnan(dx[at(i, j)])) << i;
          }
          EXPECT_EQ(loss[9], 0);
          EXPECT_TRUE(same_bits(loss[10], 0) && same_bits(dx[at(10, 2)], 0));
          EXPECT_EQ(values_of(found.outputs, "rows_counted").at(0), 11);
          EXPECT_EQ(found.faults.count, 1u);
          EXPECT_EQ(found.faults.first_row, 11);
          EXPECT_EQ(found.faults.label, cols);
        }
      }
    }
  }
}

// A divisor of exactly 0 and batches without a row, of every loss that divides.
TEST_P(row_loss_special_values, of_the_divisor) {
  for (const culoss::empty_batch empty : {culoss::empty_batch::zero, culoss::empty_batch::nan}) {
    const auto each = [&]<class Case, class Choice>(std::type_identity<Case>, Choice choice) {
      choice.empty = empty;
      choice.normalizer_source = source::device;
      choice.normalizer = 0;
      const Case zero(choice);
      choice.normalizer_source = source::absent;
      const Case own(choice);
      const problem p = zero.make({.rows = 5, .cols = 40, .seed = 88});
      check(zero, p, "normalizer 0");
      problem ignored = own.make({.rows = 5, .cols = 40, .seed = 88});
      ignored.labels.assign(5, kIgnored);
      check(own, ignored, "all ignored");
      check(own, own.make({.rows = 0, .cols = 40}), "no rows");
    };
    each(std::type_identity<cross_entropy_targets_case>{}, target_choice());
    each(std::type_identity<softmax_focal_case>{}, softmax_focal_choice());
    each(std::type_identity<sigmoid_focal_case>{}, sigmoid_focal_choice());
    sigmoid_focal_choice positives = sigmoid_focal_of_labels();
    each(std::type_identity<sigmoid_focal_case>{}, positives);
    positives.mean_over = culoss::focal_mean::positives;
    each(std::type_identity<sigmoid_focal_case>{}, positives);
    each(std::type_identity<nll_case>{}, nll_of_probabilities());
    each(std::type_identity<entropy_case>{}, entropy_choice());
    each(std::type_identity<kl_case>{}, kl_choice());
    each(std::type_identity<multi_hinge_case>{}, multi_hinge_choice());
    distillation_choice labeled;
    labeled.labels = true;
    each(std::type_identity<distillation_case>{}, labeled);
  }
}

CULOSS_ON_EACH_SPACE(row_loss_special_values);

}  // namespace
}  // namespace culoss_test
