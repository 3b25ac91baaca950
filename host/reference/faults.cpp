// The fault record in host memory.
#include "host/faults.hpp"

#include "host/status.hpp"

namespace culoss {

status read_faults(const cpu&, const fault_record* record, faults* out) noexcept {
  if (record == nullptr) {
    return detail::failure(status_code::invalid_argument, "read_faults", "record is null");
  }
  if (out == nullptr) {
    return detail::failure(status_code::invalid_argument, "read_faults", "out is null");
  }
  *out = detail::decode(*record);
  return {};
}

}  // namespace culoss
