// Cross-entropy of logits that are split over shards of the classes: what merge_statistics makes of
// the shards' records, and the gradients from the merged statistics, against those of whole rows.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/cases/cross_entropy_bounds.hpp"
#include "tests/harness/arrays.hpp"
#include "tests/harness/bits.hpp"
#include "tests/harness/check.hpp"

namespace culoss_test {
namespace {

// A call on the shards of a problem, strided or not.
template <class T>
class sharded_call {
 public:
  using real = culoss::real_of<T>;
  using record = culoss::shard_statistics<real>;

  sharded_call(const cross_entropy_choice& c, const problem& p, space where,
               std::vector<std::int64_t> widths)
      : c_(c), p_(p), where_(where), widths_(std::move(widths)) {}

  results run() {
    results r;
    array<std::int64_t> labels(where_, p_.rows, 0);
    labels.write(p_.labels);
    array<float> class_weights(where_, p_.cols, 0), row_weights(where_, p_.rows, 0),
        upstream_rows(where_, p_.rows, 0);
    class_weights.write(p_.class_weights);
    row_weights.write(p_.row_weights);
    upstream_rows.write(p_.upstream_rows);
    culoss::cross_entropy_options o = c_.reference_options(p_);
    if (c_.class_weights) o.class_weights = class_weights.as_vector();
    if (c_.row_weights) o.row_weights = row_weights.as_vector();
    if (c_.upstream == source::rows) o.upstream_rows = upstream_rows.as_vector();
    o.classes = p_.cols;

    const auto shards = static_cast<std::int64_t>(widths_.size());
    constexpr std::int64_t kWords = sizeof(record) / 8, kPadding = 1;
    array<std::int64_t> memory(where_, shards, p_.rows * kWords, kPadding * kWords, 0);
    auto* const records = reinterpret_cast<record*>(memory.data());
    std::vector<array<T>> logits;
    std::int64_t first = 0;
    for (std::int64_t s = 0; s < shards && r.status.ok(); ++s) {
      const std::int64_t width = widths_[static_cast<std::size_t>(s)];
      std::vector<double> x;
      for (std::int64_t i = 0; i < p_.rows; ++i) {
        x.insert(x.end(), p_.row(i) + first, p_.row(i) + first + width);
      }
      logits.emplace_back(where_, p_.rows, width, c_.inner > 0 ? 0 : 3, 1);
      logits.back().write(c_.inner > 0 ? strided(x, width) : x);
      o.class_offset = first;
      r.status = forward(logits.back(), labels.as_vector(), width,
                         {records + s * (p_.rows + kPadding), p_.rows}, o);
      first += width;
    }
    if (!r.status.ok()) return r;

    o.class_offset = 0;
    const std::int64_t losses = c_.none() ? p_.rows : 1;
    array<real> loss(where_, losses, 0), z_loss(where_, losses, 0), lse(where_, p_.rows, 0),
        entropy(where_, p_.rows, 0), statistics(where_, 4 * p_.rows, 0);
    array<std::int64_t> argmax(where_, p_.rows, 0), correct(where_, 1, 0), counted(where_, 1, 0);
    culoss::merged_outputs<real> merged{
        .loss = loss.as_vector(),
        .lse = lse.as_vector(),
        .statistics = {reinterpret_cast<culoss::row_statistics<real>*>(statistics.data()), p_.rows},
        .argmax = argmax.as_vector(),
        .correct = correct.as_vector(),
        .rows_counted = counted.as_vector(),
        .z_loss = {},
        .entropy = entropy.as_vector()};
    if (c_.z_loss != 0) merged.z_loss = z_loss.as_vector();
    const culoss::matrix<const record> all(records, shards, p_.rows, p_.rows + kPadding);
    r.status = call([&](const auto& where) {
      return culoss::merge_statistics(where, all, labels.as_vector(), merged, o);
    });

    std::vector<double> gradient(p_.x.size());
    first = 0;
    for (std::int64_t s = 0; s < shards && r.status.ok(); ++s) {
      const std::int64_t width = widths_[static_cast<std::size_t>(s)];
      o.class_offset = first;
      const array<T>& x = logits[static_cast<std::size_t>(s)];
      r.status = backward(x, labels.as_vector(), width, merged.statistics, o);
      std::vector<double> part = x.read("grad_logits", r.damage);
      if (c_.inner > 0) part = unstrided(part, width);
      for (std::int64_t i = 0; i < p_.rows; ++i) {
        std::copy_n(part.begin() + i * width, width, gradient.begin() + i * p_.cols + first);
      }
      first += width;
    }
    const auto take = [&r](const char* name, const auto& a) {
      r.outputs.push_back({name, a.read(name, r.damage)});
    };
    take("loss", loss);
    r.outputs.push_back({"grad_logits", gradient});
    take("lse", lse);
    take("statistics", statistics);
    take("argmax", argmax);
    take("correct", correct);
    take("rows_counted", counted);
    take("z_loss", z_loss);
    take("entropy", entropy);
    (void)memory.read("records", r.damage);
    if (c_.z_loss == 0) r.outputs.erase(r.outputs.begin() + kZLossOutput);
    return r;
  }

 private:
  std::int64_t inner() const { return inner_of(c_.inner, p_.rows); }
  std::vector<double> strided(const std::vector<double>& x, std::int64_t width) const {
    std::vector<double> y(x.size());
    for (std::size_t e = 0; e < x.size(); ++e) y[place(e, width)] = x[e];
    return y;
  }
  std::vector<double> unstrided(const std::vector<double>& y, std::int64_t width) const {
    std::vector<double> x(y.size());
    for (std::size_t e = 0; e < x.size(); ++e) x[e] = y[place(e, width)];
    return x;
  }
  std::size_t place(std::size_t e, std::int64_t width) const {
    const auto row = static_cast<std::int64_t>(e) / width;
    const auto column = static_cast<std::int64_t>(e) % width;
    return static_cast<std::size_t>((row / inner() * width + column) * inner() + row % inner());
  }
  template <class F>
  culoss::status call(const F& f) const {
    if (where_ == space::cpu) return f(culoss::cpu{});
    if constexpr (std::is_same_v<T, double>) {
      return {culoss::status_code::unsupported, "double is for the CPU"};
    } else {
      return f(culoss::cuda{.row_kernels = culoss::row_kernels::pipelined});
    }
  }
  culoss::strided_logits<T> view(const array<T>& a, std::int64_t width) const {
    return {a.data(), p_.rows / inner(), width, inner()};
  }
  culoss::status forward(const array<T>& x, culoss::vector<std::int64_t> labels, std::int64_t width,
                         const culoss::vector<record>& records,
                         const culoss::cross_entropy_options& o) const {
    return call([&](const auto& where) {
      if (c_.inner > 0) {
        culoss::cross_entropy_outputs<T, culoss::strided_logits<T>> out;
        out.shards = records;
        return culoss::cross_entropy(where, view(x, width), labels, out, o);
      }
      culoss::cross_entropy_outputs<T> out;
      out.shards = records;
      return culoss::cross_entropy(where, x.as_matrix(), labels, out, o);
    });
  }
  // In place.
  culoss::status backward(const array<T>& x, culoss::vector<std::int64_t> labels,
                          std::int64_t width,
                          const culoss::vector<culoss::row_statistics<real>>& statistics,
                          const culoss::cross_entropy_options& o) const {
    return call([&](const auto& where) {
      if (c_.inner > 0) {
        const culoss::cross_entropy_backward_outputs<T, culoss::strided_logits<T>> out{
            view(x, width)};
        return culoss::cross_entropy_backward(where, view(x, width), labels, statistics, out, o);
      }
      const culoss::cross_entropy_backward_outputs<T> out{x.as_matrix()};
      return culoss::cross_entropy_backward(where, x.as_matrix(), labels, statistics, out, o);
    });
  }

  const cross_entropy_choice& c_;
  const problem& p_;
  space where_;
  std::vector<std::int64_t> widths_;
};

class shards : public on_each_space {
 protected:
  results run_here(const cross_entropy_choice& c, const problem& p,
                   const std::vector<std::int64_t>& widths) const {
    return with_type(p.type, [&]<class T>(std::type_identity<T>) {
      return sharded_call<T>(c, p, GetParam(), widths).run();
    });
  }
  // Whole rows' bounds, with the roundings of the records and of merging them.
  std::vector<expectation> expected(const cross_entropy_choice& c, const problem& p,
                                    std::size_t count) const {
    arithmetic a = arithmetic_of(GetParam(), p.cols, p.type, 1, view_of(c.inner, p.rows));
    const bool floats = GetParam() == space::cpu && p.type != element::float64;
    const double merges = static_cast<double>(count) * (floats ? 2 * 0x1p-24 / a.u : 2);
    a.adds += merges;
    a.rescales += merges;
    a.weight_adds += merges;
    a.batch_adds += merges;
    std::vector<expectation> all = bound_cross_entropy(c, p, a);
    if (c.z_loss == 0) all.erase(all.begin() + kZLossOutput);
    return all;
  }
  void expect_whole(const cross_entropy_choice& c, const problem& p,
                    const std::vector<std::int64_t>& widths) const {
    const results r = run_here(c, p, widths);
    const std::string wrong = complaint(r, compare(r.outputs, expected(c, p, widths.size())));
    EXPECT_EQ(wrong, "") << c.name << ", " << format_of(p.type).name << ", " << widths.size()
                         << " shards";
  }
};

TEST_P(shards, of_any_number_give_whole_rows_for_every_choice_of_options) {
  std::size_t turn = 0;
  const std::vector<std::int64_t> splits[] = {{67}, {30, 37}, {1, 65, 1}, {5, 17, 1, 2, 9, 32, 1}};
  for (const cross_entropy_choice& c : cross_entropy_choices()) {
    ++turn;
    if (reduced_run() && turn % 2 == 0) continue;
    const element type = kDeviceElements[turn % std::size(kDeviceElements)];
    problem p = make_problem({.type = type, .rows = 12, .cols = 67, .seed = turn});
    c.complete(p);
    expect_whole(c, p, splits[turn % std::size(splits)]);
  }
}

TEST_P(shards, hold_for_every_kind_of_input) {
  for (const input_kind kind : kInputKinds) {
    cross_entropy_choice c = full_cross_entropy();
    if (kind == input_kind::offset_1e5) c.softcap = 0;
    problem p = make_problem({.rows = 9, .cols = 50, .kind = kind, .seed = 5});
    c.complete(p);
    expect_whole(c, p, {3, 20, 20, 7});
  }
}

// A record says that its target is elsewhere by +inf; what no record holds, or several, is NaN.
TEST_P(shards, must_hold_each_target_once) {
  cross_entropy_choice c = full_cross_entropy();
  problem p = make_problem({.rows = 4, .cols = 10, .seed = 3});
  p.labels = {1, 9, -100, 5};
  const results whole = run_here(c, p, {4, 6});
  ASSERT_TRUE(whole.status.ok()) << whole.status.message();
  // The second shard alone, twice or under a wrong offset: `classes` says what is missing.
  using record = culoss::shard_statistics<float>;
  array<float> x(GetParam(), 4, 6, 0, 0);
  std::vector<double> columns;
  for (std::int64_t i = 0; i < 4; ++i) columns.insert(columns.end(), p.row(i) + 4, p.row(i) + 10);
  x.write(columns);
  array<std::int64_t> labels(GetParam(), 4, 0), memory(GetParam(), 2 * 4 * sizeof(record) / 8, 0);
  labels.write(p.labels);
  auto* const records = reinterpret_cast<record*>(memory.data());
  culoss::cross_entropy_options o;
  o.reduction = culoss::reduction::none;
  o.classes = 10;
  array<float> loss(GetParam(), 4, 0);
  const auto on = [&](const auto& f) {
    return GetParam() == space::cpu ? f(culoss::cpu{}) : f(culoss::cuda{});
  };
  for (const std::int64_t copies : {1, 2}) {
    o.class_offset = 4;
    for (std::int64_t k = 0; k < copies; ++k) {
      culoss::cross_entropy_outputs<float> out;
      out.shards = {records + 4 * k, 4};
      const culoss::status s = on([&](const auto& where) {
        return culoss::cross_entropy(where, x.as_matrix(), labels.as_vector(), out, o);
      });
      ASSERT_TRUE(s.ok()) << s.message();
    }
    o.class_offset = 0;
    culoss::merged_outputs<float> merged;
    merged.loss = loss.as_vector();
    const culoss::status s = on([&](const auto& where) {
      return culoss::merge_statistics(where, culoss::matrix<const record>(records, copies, 4),
                                      labels.as_vector(), merged, o);
    });
    ASSERT_TRUE(s.ok()) << s.message();
    std::string damage;
    const std::vector<double> l = loss.read("loss", damage);
    EXPECT_TRUE(std::isnan(l[0])) << copies;             // held by none
    EXPECT_EQ(std::isnan(l[1]), copies == 2) << copies;  // by each
    EXPECT_EQ(l[2], 0) << copies;                        // ignored
    EXPECT_EQ(std::isnan(l[3]), copies == 2) << copies;
  }
}

// Of a vocabulary whose rows could be split, merging takes no more than the labels' own scratch.
TEST(merged_shards, need_scratch_for_their_rows_alone) {
  CULOSS_NEEDS_CUDA();
  using record = culoss::shard_statistics<float>;
  constexpr std::int64_t kRows = 5;
  const buffer records(space::cuda,
                       {.row_bytes = kRows * sizeof(record), .pitch = kRows * sizeof(record)});
  array<std::int64_t> labels(space::cuda, kRows, 0);
  array<float> loss(space::cuda, 1, 0);
  const std::size_t bytes = culoss::cross_entropy_workspace_bytes(kRows, 1);
  const buffer scratch(space::cuda, {.row_bytes = bytes, .pitch = bytes});
  culoss::cuda where{.workspace = {scratch.data(), bytes},
                     .row_kernels = culoss::row_kernels::pipelined};
  culoss::cross_entropy_options o;
  o.classes = 100000;
  culoss::merged_outputs<float> merged;
  merged.loss = loss.as_vector();
  const culoss::status s = culoss::merge_statistics(
      where, culoss::matrix<const record>(static_cast<const record*>(records.data()), 1, kRows),
      labels.as_vector(), merged, o);
  EXPECT_TRUE(s.ok()) << s.message();
  synchronize(space::cuda);
}

CULOSS_ON_EACH_SPACE(shards);

}  // namespace
}  // namespace culoss_test
