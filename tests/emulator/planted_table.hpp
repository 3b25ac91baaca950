// Lists of planted kernels.
#pragma once

#include <cstddef>

#include "planted.hpp"

namespace planted {

using kernel = void (*)(float*, int);
struct entry {
  const char* name;
  kernel healthy, buggy;
};
struct table {
  const entry* entries;
  std::size_t count;
};
table memory_kernels();
table order_kernels();
table async_kernels();

}  // namespace planted
