// The fault record in host memory.
#include <culoss/core.hpp>

#include "host/status.hpp"

namespace culoss {

status read_faults(const cpu&, const fault_record* record, faults* out) noexcept {
  if (record == nullptr) {
    return detail::failure(status_code::invalid_argument, "read_faults", "record is null");
  }
  if (out == nullptr) {
    return detail::failure(status_code::invalid_argument, "read_faults", "out is null");
  }
  *out = {};
  if (record->count == 0) return {};
  *out = {.flags = record->flags,
          .count = record->count,
          .first_row = static_cast<std::int64_t>(~record->inverted_first_row),
          .label = record->label};
  return {};
}

}  // namespace culoss
