#include "bench/sweep.hpp"

#include <algorithm>
#include <exception>

namespace culoss::bench {

// Enough work in a sample that its ends do not count: 1 GiB takes a GPU some 250 us.
int sweep::calls_of(const sweep_row& row) const {
  if (smoke_) return 2;
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
    const double limit_bytes_per_second = limit(row, m.calls);
    m.outcome = smoke_ ? outcome::ran : outcome::measured;
    if (smoke_) return m;
    m.samples = static_cast<int>(seconds.size());
    m.seconds = quartiles_of(seconds);
    m.bytes_per_second = static_cast<double>(row.floor_bytes()) / m.seconds.median;
    m.limit_bytes_per_second = limit_bytes_per_second;
  } catch (const std::exception& error) {
    m.outcome = outcome::failed;
    m.message = error.what();
  }
  return m;
}

// The fastest of the yardstick's shapes, at the row's byte count, rotation and cache state.
double sweep::limit(const sweep_row& row, int calls) {
  const transfer kind = row.yardstick();
  const auto [at, is_new] = limits_.try_emplace({kind, row.floor_bytes(), row.state});
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
