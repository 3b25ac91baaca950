// Launches an elementwise policy.
#pragma once

#include "host/rows.hpp"
#include "kernels/elementwise.cuh"

namespace culoss::detail {

// Whether a matrix is one sequence of elements; one that is not given does not stand in the way.
template <class T>
bool is_flat(const matrix<T>& m) noexcept {
  return m.data == nullptr || m.ld == m.cols || m.rows <= 1;
}

template <class T, class... Matrices>
status plan_elements(const device_context& context, element_walk& walk, const matrix<T>& first,
                     const Matrices&... others) noexcept {
  const bool flat = is_flat(first) && (is_flat(others) && ...);
  walk = walk_elements(first.rows, first.cols, flat, static_cast<int>(sizeof(T)));
  return flat ? status{} : check_width(context, "cols", first.cols);
}

template <class Policy>
status launch_elements(const device_context& context, const typename Policy::arguments& a,
                       const element_walk& walk) noexcept {
  return launch(context, kernels::elementwise<Policy>, walk.blocks(), kElementThreads, 0, a, walk);
}

}  // namespace culoss::detail
