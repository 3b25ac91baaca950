// What the hooks tell the watch.
#pragma once

#include <cstddef>

namespace simt::watch {

enum class kind { read, write, atomic };

void access(const void*, std::size_t, kind, const void* pc);

}  // namespace simt::watch
