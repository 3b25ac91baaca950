#include "host/faults.hpp"
#include "host/launch.hpp"

namespace culoss {

status read_faults(const cuda& where, const fault_record* record, faults* out) noexcept {
  constexpr const char* kFunction = "read_faults";
  using detail::checked;
  if (record == nullptr || out == nullptr) {
    return detail::failure(status_code::invalid_argument, kFunction, "%s is null",
                           record == nullptr ? "record" : "out");
  }
  detail::device_context context;
  status s = detail::open(kFunction, where, context);
  if (!s.ok()) return s;
  // Of the thread, not of this call: where the wait fails, the copy may still come.
  thread_local fault_record copy;
  s = checked(kFunction, "cudaMemcpyAsync",
              cudaMemcpyAsync(&copy, record, sizeof copy, cudaMemcpyDeviceToHost, where.stream));
  if (!s.ok()) return s;
  s = checked(kFunction, "cudaStreamSynchronize", cudaStreamSynchronize(where.stream));
  if (s.ok()) *out = detail::decode(copy);
  return s;
}

}  // namespace culoss
