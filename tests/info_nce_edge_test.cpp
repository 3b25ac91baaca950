// InfoNCE and CLIP where formulas go wrong: values known in closed form, converged and degenerate
// batches, symmetries.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/cases/similarity_check.hpp"
#include "tests/harness/bits.hpp"

namespace culoss_test {
namespace {

class info_nce_edge : public similarity_fixture {};

// Rows without anything else.
similarity_numbers numbers_of(element type, std::int64_t dimension, const std::vector<double>& q,
                              const std::vector<double>& k, double scale) {
  similarity_numbers p;
  p.type = type;
  p.dimension = dimension;
  p.rows = static_cast<std::int64_t>(q.size()) / dimension;
  p.keys = static_cast<std::int64_t>(k.size()) / dimension;
  p.q = q;
  p.k = k;
  p.scale = static_cast<float>(scale);
  return p;
}
std::vector<double> identity(std::int64_t n) {
  std::vector<double> x(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n; ++i) x[static_cast<std::size_t>(i * n + i)] = 1;
  return x;
}

// The lesson's example: the anchor's positive and three negatives. What a type makes of them moves a
// similarity by `moved` at most, hence the ratio of two probabilities, and with it the loss, by a
// factor of at most e^(2 moved).
TEST_P(info_nce_edge, agrees_with_the_lesson) {
  const auto lesson =
      nlohmann::json::parse(std::ifstream(CULOSS_TEST_DATA "/lesson_examples.json"));
  int found = 0;
  for (const auto& example : lesson["cases"]) {
    if (example["loss"] != "info_nce") continue;
    ++found;
    for (const element type : device_elements()) {
      const auto& inputs = example["inputs"];
      const double temperature = example["options"]["temperature"];
      double moved = 0;
      const auto rounded = [&](const nlohmann::json& x) {  // as the call takes them
        std::vector<double> values = x.get<std::vector<double>>();
        double sum = 0;
        for (double& v : values) {
          const double exact = v;
          v = round_to(type, v);
          sum += std::fabs(v - exact);
        }
        moved = std::max(moved, sum / temperature);
        return values;
      };
      similarity_numbers p =
          numbers_of(type, 2, rounded(inputs["anchor"]), rounded(inputs["positive"]), temperature);
      EXPECT_EQ(p.q, (std::vector<double>{1, 0})) << "else the anchor's rounding counts, too";
      for (const auto& row : inputs["negatives"]) {
        const std::vector<double> n = rounded(row);
        p.n.insert(p.n.end(), n.begin(), n.end());
        ++p.negatives;
      }
      similarity_choice c;
      c.normalize = example["options"]["normalize"];
      const double loss = run_here(c, p)["loss"][0], expected = example["expected"]["loss"];
      const expectation wanted = expect(c, p, GetParam())[0];
      EXPECT_NEAR(wanted.values[0], expected, std::expm1(2 * moved) * expected + 0x1p-50);
      EXPECT_NEAR(loss, expected, wanted.bounds[0] + std::fabs(wanted.values[0] - expected));
      if (type == element::float32) {
        EXPECT_NEAR(std::exp(-loss), example["lesson_prints"]["probability"].get<double>(), 0.0005);
      }
      expect_correct(c, p);
    }
  }
  EXPECT_EQ(found, 1);
}

// All keys equal: log M for every row; softmax and one-hot differ, but along one vector alone.
TEST_P(info_nce_edge, equal_keys_give_log_m_and_no_gradient_of_the_query) {
  for (const bool symmetric : {false, true}) {
    for (const element type : device_elements()) {
      const std::vector<double> ones(8 * 50, 1.0);
      const similarity_numbers p = numbers_of(type, 8, ones, ones, std::log(10.0));
      const results r = run_here(of_each_row(symmetric), p);
      expect_near(r["loss"], std::log(50.0), expect(of_each_row(symmetric), p, GetParam())[0]);
      EXPECT_EQ(r["rows_counted"][0], 50);
      // Ties go to the lowest column, so only row 0 has its positive first.
      EXPECT_EQ(r["correct"][0], 1);
      expect_correct(of_each_row(symmetric), p);
    }
  }
}

TEST_P(info_nce_edge, orthonormal_rows_have_a_closed_form) {
  for (const bool symmetric : {false, true}) {
    for (const double scale : {1.0, 14.0, 100.0}) {
      constexpr std::int64_t kRows = 40;
      const similarity_numbers p =
          numbers_of(element::float32, kRows, identity(kRows), identity(kRows), std::log(scale));
      const results r = run_here(of_each_row(symmetric), p);
      const double given = std::exp(static_cast<double>(p.scale));
      // log(e^s + N - 1) - s, without its cancellation
      const double loss = std::log1p((kRows - 1) * std::exp(-given));
      expect_near(r["loss"], loss, expect(of_each_row(symmetric), p, GetParam())[0]);
      EXPECT_EQ(r["correct"][0], kRows);
      expect_correct(of_each_row(symmetric), p);
    }
  }
}

// All similarities equal: log(1 + (M - 1) e^(scale margin)). The positive ties, and is found or not
// as it would be without the margin: in row 0 alone, whichever way the margin pushes it.
TEST_P(info_nce_edge, a_margin_has_a_closed_form_and_changes_no_count) {
  for (const bool symmetric : {false, true}) {
    for (const bool normalize : {false, true}) {
      for (const float margin : {-0.5f, 0.25f, 6.0f}) {
        for (const element type : device_elements()) {
          const std::vector<double> ones(4 * 50, normalize ? 1.0 : 0.5);
          const similarity_numbers p = numbers_of(type, 4, ones, ones, std::log(10.0));
          similarity_choice c = of_each_row(symmetric);
          c.normalize = normalize;
          c.margin = margin;
          const results r = run_here(c, p);
          const double scale = std::exp(static_cast<double>(p.scale));
          const double loss = std::log1p(49 * std::exp(scale * static_cast<double>(margin)));
          expect_near(r["loss"], loss, expect(c, p, GetParam())[0]);
          EXPECT_EQ(r["correct"][0], 1);
          if (symmetric) {
            EXPECT_EQ(r["correct_columns"][0], 1);
          }
          expect_correct(c, p);
        }
      }
    }
  }
}

// Similarities of the pairs are 1 and the others' 0: found, though a margin of 2 lets every other
// key win.
TEST_P(info_nce_edge, a_margin_does_not_count_against_a_positive) {
  for (const bool in_batch : {true, false}) {
    similarity_numbers p =
        numbers_of(element::float32, 40, identity(40), identity(40), std::log(20.0));
    p.n.assign(40, 0.0);
    p.n[3] = 1;
    p.negatives = 1;
    similarity_choice c = of_each_row(false);
    c.in_batch = in_batch;
    c.margin = 2;
    EXPECT_EQ(run_here(c, p)["correct"][0], 40);  // row 3 ties with the negative behind it
    expect_correct(c, p);
  }
}

TEST_P(info_nce_edge, one_row_and_its_key_have_no_loss) {
  for (const bool symmetric : {false, true}) {
    const similarity_numbers p = numbers_of(element::float32, 3, {1, 2, 3}, {-1, 0.5, 2}, 0.5);
    const results r = run_here(of_each_row(symmetric), p);
    EXPECT_EQ(r["loss"], std::vector<double>{0});
    EXPECT_THAT(r["grad_queries"], ::testing::Each(0.0));
    EXPECT_THAT(r["grad_keys"], ::testing::Each(0.0));
    EXPECT_EQ(r["grad_scale"], std::vector<double>{0});
    EXPECT_EQ(r["correct"], std::vector<double>{1});
  }
}

// Duplicates at a scale of 100, beside rows that are almost zero.
TEST_P(info_nce_edge, duplicates_beside_tiny_rows_at_scale_100) {
  for (const bool symmetric : {false, true}) {
    for (const element type : device_elements()) {
      similarity_choice c = of_each_row(symmetric);
      similarity_numbers p =
          make_similarity(c, {.type = type, .rows = 70, .keys = 70, .dimension = 24});
      p.scale = static_cast<float>(std::log(100.0));
      for (std::size_t i = 0; i < 70; ++i) {
        for (std::size_t d = 0; d < 24; ++d) {
          double& q = p.q[i * 24 + d];
          if (i % 5 == 1) q = p.q[(i - 1) * 24 + d];
          if (i % 5 == 2) q = round_to(type, q * 0x1p-10);
          double& k = p.k[i * 24 + d];
          if (i % 5 < 2) k = p.q[(i - i % 5) * 24 + d];
          if (i % 5 == 3) k = round_to(type, k * 0x1p-10);
        }
      }
      expect_correct(c, p);
    }
  }
}

// Rows whose squares are no floats: |q| |k| alone has to be one.
TEST_P(info_nce_edge, short_rows_meet_long_ones) {
  for (const bool symmetric : {false, true}) {
    for (const element type : {element::float32, element::bfloat16}) {
      const similarity_choice c = of_each_row(symmetric);
      similarity_numbers p =
          make_similarity(c, {.type = type, .rows = 40, .keys = 40, .dimension = 24});
      for (double& x : p.q) x *= 0x1p-80;
      for (double& x : p.k) x *= 0x1p80;
      expect_correct(c, p);
    }
  }
}

// l_ij near -100 for all pairs: any statistic that is not shifted loses the loss.
TEST_P(info_nce_edge, similarities_may_all_be_near_minus_100) {
  for (const bool symmetric : {false, true}) {
    for (const element type : device_elements()) {
      similarity_choice c = of_each_row(symmetric);
      similarity_numbers p =
          make_similarity(c, {.type = type, .rows = 65, .keys = 65, .dimension = 32});
      p.scale = static_cast<float>(std::log(100.0));
      for (std::size_t i = 0; i < p.q.size(); ++i) {
        p.q[i] = round_to(type, i % 32 == 0 ? 8 : 0.25 * p.q[i]);
        p.k[i] = round_to(type, i % 32 == 0 ? -8 : 0.25 * p.k[i]);
      }
      expect_correct(c, p);
    }
  }
}

// A batch that has converged: losses of 1e-10, whose gradients are a difference of ones unless they
// are kept relatively exact.
TEST_P(info_nce_edge, converged_batches_keep_relative_accuracy) {
  for (const bool symmetric : {false, true}) {
    for (const element type : device_elements()) {
      similarity_choice c = of_each_row(symmetric);
      constexpr std::size_t kRows = 48;
      std::vector<double> q = identity(kRows), k = q;
      random_numbers random(3);
      for (std::size_t i = 0; i < q.size(); ++i) {
        q[i] = round_to(type, q[i] + 0.02 * random.normal());
        k[i] = round_to(type, k[i] + 0.02 * random.normal());
      }
      const similarity_numbers p =
          numbers_of(type, static_cast<std::int64_t>(kRows), q, k, std::log(30.0));
      expect_correct(c, p);
      const std::vector<expectation> wanted = expect(c, p, GetParam());
      for (const expectation& e : wanted) {
        if (e.name != "loss") continue;
        for (std::size_t i = 0; i < e.values.size(); ++i) {
          EXPECT_LT(e.values[i], 1e-9);
          EXPECT_LT(e.bounds[i], 1e-3 * e.values[i]);  // the bound asks for it
        }
      }
    }
  }
}

// Clusters whose members differ in their last bits.
TEST_P(info_nce_edge, near_duplicates) {
  for (const element type : device_elements()) {
    const double step = 2 * format_of(type).unit_roundoff();
    similarity_choice c = of_each_row(false);
    similarity_numbers p =
        make_similarity(c, {.type = type, .rows = 66, .keys = 66, .dimension = 16});
    p.scale = static_cast<float>(std::log(50.0));
    for (std::size_t i = 0; i < p.q.size(); ++i) {
      const std::size_t row = i / 16;
      const double base = p.q[(row - row % 11) * 16 + i % 16];
      if (row % 11 != 0) p.q[i] = round_to(type, base * (1 + step * static_cast<double>(row % 3)));
      p.k[i] = round_to(type, base * (1 - step * static_cast<double>(row % 2)));
    }
    expect_correct(c, p);
    c.symmetric = true;
    expect_correct(c, p);
  }
}

// Not normalized, similarities of +-10000.
TEST_P(info_nce_edge, large_rows_that_are_not_normalized) {
  for (const bool symmetric : {false, true}) {
    for (const element type : device_elements()) {
      similarity_choice c = of_each_row(symmetric);
      c.normalize = false;
      similarity_numbers p =
          make_similarity(c, {.type = type, .rows = 60, .keys = 60, .dimension = 25});
      p.scale = 0;
      for (double& x : p.q) x = round_to(type, 60 * x);
      for (double& x : p.k) x = round_to(type, 60 * x);
      expect_correct(c, p);
    }
  }
}

// A query that is not finite: its loss and gradient, all keys' gradients and the scalars are NaN;
// what belongs to other rows keeps its bits.
// A key that is not finite: every row that has it in its denominator.
// k copies of each pair, told apart by their ids alone, are the batch without copies.
TEST_P(info_nce_edge, clip_is_symmetric) {
  const similarity_choice c = of_each_row(true);
  const similarity_numbers p = make_similarity(c, {.rows = 77, .keys = 77, .dimension = 20});
  similarity_numbers swapped = p;
  std::swap(swapped.q, swapped.k);
  const std::vector<expectation> wanted = expect(c, p, GetParam());
  results r = run_here(c, swapped);
  for (output& o : r.outputs) {
    o.name = o.name == "grad_queries"      ? "grad_keys"
             : o.name == "grad_keys"       ? "grad_queries"
             : o.name == "correct"         ? "correct_columns"
             : o.name == "correct_columns" ? "correct"
                                           : o.name;
  }
  std::swap(r.outputs[1], r.outputs[2]);
  std::swap(r.outputs[4], r.outputs[5]);
  EXPECT_EQ(complaint(r, wanted), "");
}

TEST_P(info_nce_edge, rows_may_come_in_any_order) {
  for (const bool symmetric : {false, true}) {
    const similarity_choice c = of_each_row(symmetric);
    constexpr std::int64_t kRows = 77, kDimension = 20;
    const similarity_numbers p =
        make_similarity(c, {.rows = kRows, .keys = kRows, .dimension = kDimension});
    similarity_numbers mixed = p;
    std::vector<std::int64_t> order;
    for (std::int64_t i = 0; i < kRows; ++i) order.push_back(i * 30 % kRows);
    for (std::size_t i = 0; i < order.size(); ++i) {
      for (std::size_t d = 0; d < kDimension; ++d) {
        const std::size_t from = static_cast<std::size_t>(order[i]) * kDimension + d;
        mixed.q[i * kDimension + d] = p.q[from];
        mixed.k[i * kDimension + d] = p.k[from];
      }
    }
    std::vector<expectation> wanted = expect(c, p, GetParam());
    for (expectation& e : wanted) {
      const expectation before = e;
      const std::size_t width = e.values.size() / kRows;
      for (std::size_t i = 0; i < e.values.size() && width > 0; ++i) {
        const std::size_t from = static_cast<std::size_t>(order[i / width]) * width + i % width;
        e.values[i] = before.values[from];
        e.bounds[i] = before.bounds[from];
      }
    }
    EXPECT_EQ(complaint(run_here(c, mixed), wanted), "");
  }
}

// |x| does not matter where x is normalized, so <dx, x> = 0: within the sum of the bounds.
TEST_P(info_nce_edge, gradients_of_normalized_rows_are_orthogonal_to_them) {
  for (const bool symmetric : {false, true}) {
    const similarity_choice c = of_each_row(symmetric);
    const similarity_numbers p = make_similarity(c, {.rows = 50, .keys = 50, .dimension = 30});
    const results r = run_here(c, p);
    const std::vector<expectation> wanted = expect(c, p, GetParam());
    for (const expectation& e : wanted) {
      if (e.name != "grad_queries" && e.name != "grad_keys") continue;
      const std::vector<double>& x = e.name == "grad_queries" ? p.q : p.k;
      for (std::size_t i = 0; i < x.size(); i += 30) {
        double along = 0, bound = 0;
        for (std::size_t d = i; d < i + 30; ++d) {
          along += r[e.name][d] * x[d];
          bound += e.bounds[d] * std::fabs(x[d]);
        }
        EXPECT_LE(std::fabs(along), bound) << e.name << " " << i;
      }
    }
  }
}

// d loss / d log(scale) = sum_i <q_i, dq_i> where nothing is normalized, from two different paths.
TEST_P(info_nce_edge, the_scales_gradient_is_that_of_the_queries_along_themselves) {
  for (const bool symmetric : {false, true}) {
    similarity_choice c = of_each_row(symmetric);
    c.normalize = false;
    const similarity_numbers p = make_similarity(c, {.rows = 50, .keys = 50, .dimension = 30});
    const results r = run_here(c, p);
    double along = 0, bound = 0;
    for (const expectation& e : expect(c, p, GetParam())) {
      if (e.name == "grad_scale") bound += e.bounds[0];
      if (e.name != "grad_queries") continue;
      for (std::size_t i = 0; i < p.q.size(); ++i) {
        along += r["grad_queries"][i] * p.q[i];
        bound += e.bounds[i] * std::fabs(p.q[i]);
      }
    }
    EXPECT_NE(along, 0);
    EXPECT_LE(std::fabs(along - r["grad_scale"][0]), bound);
  }
}

// Float means float products: with TF32 the same call breaks its bound.
TEST_P(info_nce_edge, tf32_is_only_used_where_it_is_allowed) {
  if (GetParam() == space::cpu) GTEST_SKIP() << "the CPU has no TF32";
  for (const bool symmetric : {false, true}) {
    similarity_choice c = of_each_row(symmetric);
    const similarity_numbers p = make_similarity(c, {.rows = 64, .keys = 64, .dimension = 64});
    const std::vector<expectation> wanted = expect(c, p);
    const results exact = run_here(c, p);
    EXPECT_EQ(complaint(exact, wanted), "");
    c.allow_tf32 = true;
    const results fast = run_here(c, p);
    EXPECT_NE(difference(exact.outputs, fast.outputs), "");
    for (const output& o : fast.outputs) {
      for (const expectation& e : wanted) {
        const bool real = o.name.find("grad_") == 0 || o.name == "loss";
        if (e.name != o.name || !real) continue;
        EXPECT_FALSE(compare(o, e).ok()) << o.name;
      }
    }
  }
}

CULOSS_ON_EACH_SPACE(info_nce_edge);

}  // namespace
}  // namespace culoss_test
