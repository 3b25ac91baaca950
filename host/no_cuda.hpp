// What the `cuda` functions of a build without CUDA answer.
#pragma once

#include "host/status.hpp"

namespace culoss::detail {

inline status without_cuda(const char* function) noexcept {
  return failure(status_code::unsupported, function, "this build is without CUDA");
}

}  // namespace culoss::detail
