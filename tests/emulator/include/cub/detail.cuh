// What the stand-ins for cub share.
#pragma once

#include <cstring>

namespace cub::detail {

// A value that no one may use: NaN, -1, true.
template <typename T>
T undefined() {
  T v;
  std::memset(static_cast<void*>(&v), 0xff, sizeof v);
  return v;
}

inline int rank() {
  return static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
}

inline void check_threads(int threads, simt::where w) {
  if (static_cast<int>(blockDim.x * blockDim.y * blockDim.z) != threads) {
    simt::fault(simt::fault_kind::launch_failure,
                "cub: the block has another number of threads than the template says", w);
  }
}

struct plus {
  template <typename T>
  T operator()(const T& a, const T& b) const {
    return a + b;
  }
};

// The order of a shuffle tree over up to 32 lanes.
template <typename T, typename F>
T tree(const T* x, int lanes, F f) {
  T v[32];
  for (int i = 0; i < lanes; ++i) v[i] = x[i];
  for (int step = 1; step < lanes; step *= 2) {
    for (int i = 0; i + step < lanes; i += 2 * step) v[i] = f(v[i], v[i + step]);
  }
  return v[0];
}

}  // namespace cub::detail
