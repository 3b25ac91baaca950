// Statuses with a formatted message.
#pragma once

#include <culoss/core.hpp>

namespace culoss::detail {

// "cross_entropy: labels.size is 7, expected 8 (logits.rows)"
[[gnu::format(printf, 3, 4)]] status failure(status_code code, const char* function,
                                             const char* format, ...) noexcept;

}  // namespace culoss::detail
