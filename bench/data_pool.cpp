#include "bench/data_pool.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <type_traits>

namespace culoss::bench {

using culoss_test::encode;
using culoss_test::storage_of;

void* data_pool::region(int i) {
  buffer& b = regions_[i];
  if (b.data() == nullptr) b = buffer(on_, bytes_[static_cast<std::size_t>(i)]);
  return b.data();
}

void data_pool::read(std::size_t first, std::span<double> out) const {
  const std::vector<double>& period = numbers_[kNormals].period;
  for (std::size_t done = 0; done < out.size();) {
    const std::size_t from = (first + done) % period.size();
    const std::size_t n = std::min(out.size() - done, period.size() - from);
    std::copy_n(&period[from], n, &out[done]);
    done += n;
  }
}

void data_pool::hold(bench::region which, culoss_test::element type) {
  numbers& held = numbers_[which];
  if (held.type == type) return;
  // A prime below 2^22: rows of up to 2^18 columns all begin at another place of the period, and
  // the host knows every element of gigabytes of device memory.
  constexpr std::size_t kPeriod = 4194301;
  std::mt19937_64 generator(20240607 + which);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  held.period.resize(kPeriod);
  const std::size_t bytes = bytes_[which];
  culoss_test::with_type(type, [&]<class T>(std::type_identity<T>) {
    std::vector<storage_of<T>> bits(kPeriod);
    for (std::size_t i = 0; i < kPeriod; ++i) {
      bits[i] = encode<T>(which == kNormals ? normal(generator) : uniform(generator));
      held.period[i] = culoss_test::decode<T>(bits[i]);
    }
    auto* data = static_cast<std::byte*>(region(which));
    std::size_t filled = std::min(kPeriod * sizeof bits[0], bytes);
    on_.upload(data, bits.data(), filled);
    while (filled < bytes) {  // multiples of the period
      const std::size_t more = std::min(filled, bytes - filled);
      on_.copy(data + filled, data, more);
      filled += more;
    }
  });
  held.type = type;
}

}  // namespace culoss::bench
