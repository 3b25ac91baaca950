#include "bench/sweep.hpp"

#include <algorithm>
#include <exception>

namespace culoss::bench {

namespace {

// Enough work in a sample that its ends do not count: 1 GiB takes a GPU some 250 us, and so do 2e11
// operations.
int calls_of_work(double flop, const device_description& on) {
  return on.cuda ? static_cast<int>(std::clamp(2e11 / flop, 1.0, 64.0)) : 1;
}

}  // namespace

int sweep::calls_of(const sweep_row& row) const {
  if (smoke_) return 2;
  if (row.over_similarities()) return calls_of_work(work_of(row).flop, on_.description());
  const std::size_t target = std::size_t{1} << (on_.description().cuda ? 30 : 20);
  const std::size_t calls = std::clamp<std::size_t>(target / row.floor_bytes(), 1, 512);
  return std::max(row.copies(on_.description()), static_cast<int>(calls));
}

effort sweep::effort() const {
  if (smoke_) return {0, 1, 1};
  return on_.description().cuda ? bench::effort{0.03, 10, 50} : bench::effort{0.15, 3, 30};
}

measurement sweep::measure(const sweep_row& row) {
  measurement m;
  m.row = row;
  try {
    const std::unique_ptr<operation> operation = make_operation(row, pool_);
    m.check = operation->check();
    if (!m.check.ok()) {
      m.outcome = outcome::wrong;
      m.message = m.check.where + " is off by " + std::to_string(m.check.worst) + " error bounds";
      return m;
    }
    const int copies = row.copies(on_.description());
    m.calls = calls_of(row);
    const std::vector<double> seconds =
        on_.time([&](int i) { operation->call(i % copies); }, m.calls, effort());
    const double limit_of_row = limit(row, m.calls);
    m.outcome = smoke_ ? outcome::ran : outcome::measured;
    if (smoke_) return m;
    m.samples = static_cast<int>(seconds.size());
    m.seconds = quartiles_of(seconds);
    const double work =
        row.over_similarities() ? work_of(row).flop : static_cast<double>(row.floor_bytes());
    m.rate = work / m.seconds.median;
    m.limit = limit_of_row;
  } catch (const std::exception& error) {
    m.outcome = outcome::failed;
    m.message = error.what();
  }
  return m;
}

double sweep::limit(const sweep_row& row, int calls) {
  return row.over_similarities() ? product_limit(row) : bandwidth_limit(row, calls);
}

// The fastest of the products that the row is made of.
double sweep::product_limit(const sweep_row& row) {
  double best = 0;
  for (const product& p : products_of(row, on_.description())) {
    const auto [at, is_new] = products_.try_emplace({row.type, p.m, p.n, p.k});
    if (is_new) {
      const double flop = 2.0 * static_cast<double>(p.m * p.n) * static_cast<double>(p.k);
      const auto* a = static_cast<const std::byte*>(pool_.region(0));
      const auto* b = a + p.m * p.k * culoss_test::format_of(row.type).bytes;
      const auto multiply = [&](int) {
        on_.multiply(row.type, p.m, p.n, p.k, static_cast<float*>(pool_.region(1)), a, b);
      };
      multiply(0);  // loads what cuBLAS chooses before it is captured
      const int calls = smoke_ ? 1 : calls_of_work(flop, on_.description());
      at->second = flop / quartiles_of(on_.time(multiply, calls, effort())).median;
    }
    best = std::max(best, at->second);
  }
  return best;
}

// The fastest of the yardstick's shapes, at the row's byte count, rotation and cache state.
double sweep::bandwidth_limit(const sweep_row& row, int calls) {
  const transfer kind = row.yardstick();
  const auto [at, is_new] = bandwidths_.try_emplace({kind, row.floor_bytes(), row.state});
  if (!is_new) return at->second;
  const std::size_t ways = kind == transfer::read ? 1 : 2;
  const std::size_t bytes = std::max<std::size_t>(row.floor_bytes() / ways / 16 * 16, 16);
  const std::size_t stride = (bytes + 255) / 256 * 256;
  const auto copies = static_cast<std::size_t>(row.copies(on_.description()));
  const auto* from = static_cast<const std::byte*>(pool_.region(0));
  auto* to = static_cast<std::byte*>(pool_.region(1));
  bench::effort each = effort();
  each.seconds /= 2;
  for (int shape = 0; shape < on_.yardstick_shapes(); ++shape) {
    const auto move = [&](int i) {
      const std::size_t offset = static_cast<std::size_t>(i) % copies * stride;
      on_.yardstick(kind, shape, to + offset, from + offset, bytes);
    };
    const double seconds = quartiles_of(on_.time(move, calls, each)).median;
    at->second = std::max(at->second, static_cast<double>(bytes * ways) / seconds);
  }
  return at->second;
}

}  // namespace culoss::bench
