// The meaning of a fault record's bytes, for both execution spaces.
#pragma once

#include <culoss/core.hpp>

namespace culoss::detail {

inline faults decode(const fault_record& r) noexcept {
  const bool any = r.inverted_first_row != 0;
  return {r.flags, r.count, any ? static_cast<std::int64_t>(~r.inverted_first_row) : -1,
          any ? r.label : 0};
}

}  // namespace culoss::detail
