// A row's bits depend on its values, width, type, options and address modulo 16, and on nothing
// else: not on the other rows, not on the order in which threads run, not on where scratch memory
// comes from. Options that change nothing change no bit.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <numeric>

#include "tests/cases/all.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/plans.hpp"

namespace culoss_test {
namespace {

results must_run(const loss_case& c, const problem& p, const execution& how) {
  results r = run(c, p, how);
  EXPECT_TRUE(r.status.ok()) << r.status.message();
  EXPECT_EQ(r.damage, "") << describe(c, p, how);
  return r;
}

// The elements that complete rows of `cols` to a multiple of 16 bytes: every row is then aligned
// alike.
std::int64_t even_padding(std::int64_t cols, element type) {
  const std::int64_t size = culoss::detail::kPackBytes / format_of(type).bytes;
  return (size - cols % size) % size;
}

cross_entropy_choice of_rows(float smoothing, bool weighted) {
  cross_entropy_choice c;
  c.name = "cross_entropy_of_rows";
  c.reduction = culoss::reduction::none;
  c.smoothing = smoothing;
  c.class_weights = c.row_weights = weighted;
  c.temperature = weighted ? 0.7f : 1.0f;
  return c;
}

// Everything that has a result for each row.
case_list row_cases() {
  case_list list;
  for (const auto& c : softmax_choices()) {
    if (!c.temperature_on_device) continue;
    list.push_back(std::make_shared<softmax_case>(c));
  }
  append<cross_entropy_case>(
      list, std::vector{of_rows(0, false), of_rows(0.1f, true), full_cross_entropy()});
  append<cross_entropy_targets_case>(list, std::vector{full_cross_entropy_targets()});
  softmax_focal_choice focal;
  sigmoid_focal_choice sigmoid;
  nll_choice nll = nll_of_probabilities();
  entropy_choice entropy(culoss::entropy_input::logits), of_probabilities;
  kl_choice kl;
  multi_hinge_choice hinge;
  distillation_choice distillation;
  for (row_choice* c :
       {static_cast<row_choice*>(&kl), static_cast<row_choice*>(&hinge),
        static_cast<row_choice*>(&distillation), static_cast<row_choice*>(&focal),
        static_cast<row_choice*>(&sigmoid), static_cast<row_choice*>(&nll),
        static_cast<row_choice*>(&entropy), static_cast<row_choice*>(&of_probabilities)}) {
    c->reduction = culoss::reduction::none;
  }
  append<softmax_focal_case>(list, std::vector{focal});
  append<sigmoid_focal_case>(list, std::vector{sigmoid});
  append<nll_case>(list, std::vector{nll});
  append<entropy_case>(list, std::vector{entropy, of_probabilities});
  append<kl_case>(list, std::vector{kl});
  append<multi_hinge_case>(list, std::vector{hinge});
  append<distillation_case>(list, std::vector{distillation});
  for (embedding_choice c : plain_embedding_choices()) {
    c.reduction = culoss::reduction::none;
    append<embedding_case>(list, std::vector{c});
  }
  return list;
}

// In a reduced run each case has one type, in turn.
bool left_out(std::size_t turn, element type) {
  const std::span<const element> types = device_elements();
  return reduced_run() && types[turn % types.size()] != type;
}

class invariance : public on_each_space {};

// Four rows, first alone, then at the first and last places of larger batches, among random
// neighbors and neighbors of NaN.
TEST_P(invariance, of_a_row_in_any_batch) {
  std::size_t turn = 0;
  constexpr std::int64_t kRows = 4;
  for (const auto& c : row_cases()) {
    ++turn;
    for (const element type : device_elements()) {
      if (left_out(turn, type)) continue;
      for (const std::int64_t cols : width_of_each_plan(type)) {
        if (cols > 4000 && reduced_run()) continue;
        const std::int64_t most = (reduced_run() ? 20000 : 72000) / cols;
        const problem neighbors = c->make({.type = type,
                                           .rows = std::clamp<std::int64_t>(most, 2, 300),
                                           .cols = cols,
                                           .seed = 21});
        const problem own = c->make({.type = type, .rows = kRows, .cols = cols, .seed = 22});
        for (const std::int64_t offset : {0, 1}) {
          if (offset == 1 && cols > 4000) continue;
          const execution how{
              .where = GetParam(), .offset = offset, .padding = even_padding(cols, type)};
          std::vector<std::vector<output>> alone;
          for (std::int64_t k = 0; k < kRows; ++k) {
            alone.push_back(must_run(*c, select_rows(own, {k}), how).outputs);
          }
          for (const std::int64_t rows : {2, 16, 17, 300}) {
            if (rows > neighbors.rows) continue;
            for (const bool nan : {false, true}) {
              std::vector<std::int64_t> all(static_cast<std::size_t>(rows));
              std::iota(all.begin(), all.end(), 0);
              problem p = select_rows(neighbors, all);
              if (nan) {
                std::fill(p.x.begin(), p.x.end(), std::numeric_limits<double>::quiet_NaN());
              }
              // The rows under test move by one place where the neighbors are NaN.
              std::vector<std::int64_t> places;
              for (std::int64_t k = 0; k < std::min(kRows, rows); ++k) {
                const std::int64_t place =
                    (k * (rows - 1) / kRows + (nan ? 1 : 0) + (k == kRows - 1 ? rows / kRows : 0)) %
                    rows;
                places.push_back(place);
                std::copy_n(own.row(k), cols, p.row(place));
                if (!own.g.empty()) {
                  std::copy_n(own.g.data() + k * cols, cols, p.g.data() + place * cols);
                }
                if (!own.h.empty()) {
                  std::copy_n(own.h.data() + k * cols, cols, p.h.data() + place * cols);
                }
                const auto i = static_cast<std::size_t>(place), o = static_cast<std::size_t>(k);
                p.labels[i] = own.labels[o];
                p.row_weights[i] = own.row_weights[o];
              }
              p.class_weights = own.class_weights;
              const results r = must_run(*c, p, how);
              for (std::size_t k = 0; k < places.size(); ++k) {
                if (std::count(places.begin(), places.end(), places[k]) != 1) continue;
                EXPECT_EQ(
                    difference(rows_of(r.outputs, rows, {places[k]}), rows_of(alone[k], 1, {0})),
                    "")
                    << describe(*c, p, how) << ", row " << places[k] << (nan ? " among NaN" : "");
              }
            }
          }
        }
      }
    }
  }
}

// Odd pitches: rows are aligned alike only every few rows, and a single row is a matrix of its own.
TEST_P(invariance, of_a_row_at_equal_alignment) {
  std::size_t turn = 0;
  constexpr std::int64_t kRows = 17;
  for (const auto& c : row_cases()) {
    ++turn;
    for (const element type : device_elements()) {
      if (left_out(turn, type)) continue;
      const std::int64_t period = culoss::detail::kPackBytes / format_of(type).bytes;
      for (const std::int64_t cols : {9, 255, 513, 1281, 2303, 2561, 4501}) {
        if (cols > 600 && (reduced_run() || type == element::bfloat16)) continue;
        const problem p = c->make({.type = type, .rows = kRows, .cols = cols, .seed = 23});
        for (const mode m : c->modes()) {
          if (m != mode::fused && m != mode::forward && m != mode::backward) continue;
          const execution how{.where = GetParam(), .mode = m};
          const results all = must_run(*c, p, how);
          for (const std::int64_t first : {std::int64_t{0}, period, 2 * period}) {
            for (const std::int64_t rows : {1, 3}) {
              std::vector<std::int64_t> which;
              for (std::int64_t k = first; k < std::min(first + rows, kRows); ++k) {
                which.push_back(k);
              }
              if (which.empty()) continue;
              std::vector<std::int64_t> every(which.size());
              std::iota(every.begin(), every.end(), 0);
              const results some = must_run(*c, select_rows(p, which), how);
              const auto size = static_cast<std::int64_t>(which.size());
              EXPECT_EQ(difference(rows_of(all.outputs, kRows, which),
                                   rows_of(some.outputs, size, every)),
                        "")
                  << describe(*c, p, how) << ", rows from " << first;
            }
          }
        }
      }
    }
  }
}

TEST_P(invariance, of_two_runs_and_of_where_scratch_comes_from) {
  std::size_t turn = 0;
  for (const auto& c : all_cases()) {
    const element type = kDeviceElements[++turn % std::size(kDeviceElements)];
    const problem p = c->make({.type = type, .rows = 9, .cols = 77, .seed = 24});
    std::size_t of_case = 0;
    for (const mode m : c->modes()) {
      if (reduced_run() && ++of_case % 2 != turn % 2) continue;
      const execution how{.where = GetParam(), .mode = m};
      execution without = how;
      without.workspace = false;
      without.threads = 1;
      const results first = must_run(*c, p, how);
      EXPECT_EQ(difference(must_run(*c, p, how).outputs, first.outputs), "")
          << describe(*c, p, how) << ", again";
      EXPECT_EQ(difference(must_run(*c, p, without).outputs, first.outputs), "")
          << describe(*c, p, how) << ", without a workspace";
    }
  }
}

// Two stages of sums over the rows.
TEST_P(invariance, of_sums_over_many_rows) {
  cross_entropy_choice choice = plain_cross_entropy();
  choice.class_weights = true;
  const cross_entropy_case c(choice);
  const problem p = c.make({.rows = 20001, .cols = 3, .seed = 25});
  const results first = must_run(c, p, {.where = GetParam()});
  const results again = must_run(c, p, {.where = GetParam(), .workspace = false, .threads = 1});
  EXPECT_EQ(difference(first.outputs, again.outputs), "");
}

// The emulated device runs threads in many orders; the real one chooses for itself.
TEST(invariance_of_schedule, holds_for_every_case) {
  CULOSS_NEEDS_CUDA();
  using simt::schedule;
  if (!simt::present()) GTEST_SKIP() << "this device's schedule cannot be chosen";
  simt::settings settings = simt::get_settings();
  const auto check = [&](const loss_case& c, const problem& p, const execution& how) {
    std::vector<output> first;
    for (const schedule order : {schedule::in_order, schedule::reversed, schedule::random,
                                 schedule::warp_priority, schedule::random}) {
      settings.order = order;
      ++settings.seed;
      const simt::scoped_settings scope(settings);
      const results r = must_run(c, p, how);
      if (first.empty()) first = r.outputs;
      EXPECT_EQ(difference(r.outputs, first), "")
          << describe(c, p, how) << ", schedule " << static_cast<int>(order);
    }
  };
  for (const auto& c : all_cases()) {
    const problem p = c->make({.type = element::bfloat16, .rows = 5, .cols = 203, .seed = 26});
    for (const mode m : c->modes()) {
      if (m == mode::fused || m == mode::split) check(*c, p, {.mode = m});
    }
  }
  for (const auto& c : plain_cases()) {
    for (const element type : device_elements()) {
      for (const std::int64_t cols : width_of_each_plan(type)) {
        if (cols > (reduced_run() ? 2000 : 10000)) continue;
        check(*c, c->make({.type = type, .rows = 3, .cols = cols, .seed = 27}), {.offset = 1});
      }
    }
  }
  const cross_entropy_case of_many(plain_cross_entropy());
  const problem many = of_many.make({.rows = 8200, .cols = 2, .seed = 28});
  check(of_many, many, {});
}

// What a neutral option does to a choice, and to the numbers of both calls.
struct neutral_option {
  const char* name;
  std::function<void(cross_entropy_choice&)> with;
  std::function<void(problem&)> numbers = [](problem&) {};
};

TEST_P(invariance, under_options_that_change_nothing) {
  using culoss::reduction;
  const std::vector<neutral_option> options = {
      {"class weights of one", [](auto& c) { c.class_weights = true; },
       [](problem& p) { std::fill(p.class_weights.begin(), p.class_weights.end(), 1.0f); }},
      {"row weights of one", [](auto& c) { c.row_weights = true; },
       [](problem& p) { std::fill(p.row_weights.begin(), p.row_weights.end(), 1.0f); }},
      {"a temperature on the device", [](auto& c) { c.temperature_source = source::device; }},
      {"an upstream on the device", [](auto& c) { c.upstream = source::device; }},
      {"fewer outputs", [](auto& c) { c.more_outputs = false; }},
      {"labels of 32 bits", [](auto& c) { c.wide_labels = false; }},
      {"upstream rows of one",
       [](auto& c) {
         if (c.reduction == reduction::none) c.upstream = source::rows;
       },
       [](problem& p) { std::fill(p.upstream_rows.begin(), p.upstream_rows.end(), 1.0f); }},
      {"the number of rows as normalizer",
       [](auto& c) {
         if (c.reduction == reduction::mean) c.normalizer_source = source::device;
       },
       [](problem& p) {
         p.labels = std::vector<std::int64_t>(p.labels.size(), 2);  // all count
         p.normalizer = static_cast<float>(p.rows);
       }},
      {"a normalizer of one for a sum",
       [](auto& c) {
         if (c.reduction == reduction::sum) c.normalizer_source = source::value;
       }},
      {"another answer to an empty batch", [](auto& c) { c.empty = culoss::empty_batch::nan; }},
  };
  std::size_t turn = 0;
  for (const neutral_option& option : options) {
    for (const reduction r : {reduction::none, reduction::mean, reduction::sum}) {
      for (const float smoothing : {0.0f, 0.1f}) {
        cross_entropy_choice choice = plain_cross_entropy();
        choice.reduction = r;
        choice.smoothing = smoothing;
        cross_entropy_choice other = choice;
        option.with(other);
        const cross_entropy_case without(choice), with(other);
        for (const std::int64_t cols : {17, 303, 2305}) {
          if (cols > 1000 && reduced_run()) continue;
          const element type = kDeviceElements[++turn % std::size(kDeviceElements)];
          problem p = without.make({.type = type, .rows = 6, .cols = cols, .seed = 29});
          option.numbers(p);
          for (const mode m : {mode::fused, mode::split}) {
            const execution how{.where = GetParam(), .mode = m};
            EXPECT_EQ(difference(must_run(with, p, how).outputs, must_run(without, p, how).outputs),
                      "")
                << option.name << ", reduction " << static_cast<int>(r) << ", smoothing "
                << smoothing << ": " << describe(without, p, how);
          }
        }
      }
    }
  }
}

TEST_P(invariance, of_softmax_under_a_temperature_on_the_device) {
  for (const softmax_choice& choice : softmax_choices()) {
    if (choice.temperature_on_device) continue;
    softmax_choice other = choice;
    other.temperature_on_device = true;
    const softmax_case without(choice), with(other);
    for (const element type : device_elements()) {
      for (const std::int64_t cols : {17, 303, 2305}) {
        const problem p = without.make({.type = type, .rows = 3, .cols = cols, .seed = 30});
        const execution how{.where = GetParam()};
        EXPECT_EQ(difference(must_run(with, p, how).outputs, must_run(without, p, how).outputs), "")
            << describe(without, p, how);
      }
    }
  }
}

CULOSS_ON_EACH_SPACE(invariance);

}  // namespace
}  // namespace culoss_test
