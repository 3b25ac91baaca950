#include "host/status.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace culoss {

status::status(status_code code, const char* message) noexcept : code_(code) {
  std::snprintf(message_, sizeof message_, "%.*s", static_cast<int>(sizeof message_) - 1, message);
}

namespace detail {

status failure(status_code code, const char* function, const char* format, ...) noexcept {
  char text[sizeof(status)];
  const int used = std::snprintf(text, sizeof text, "%s: ", function);
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text + used, sizeof text - static_cast<std::size_t>(used), format, arguments);
  va_end(arguments);
  return status(code, text);
}

}  // namespace detail
}  // namespace culoss
