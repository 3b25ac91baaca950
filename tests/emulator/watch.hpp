// The memory watch, as the rest of the emulator sees it: null where it is not linked in.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <string>

namespace simt::watch {

#define SIMT_WEAK __attribute__((weak))
SIMT_WEAK void begin_launch(const std::string& kernel, unsigned cluster_blocks);
SIMT_WEAK void begin_cluster(const uint3* blocks);
// Ends a launch; the messages it gave rise to, empty if none.
SIMT_WEAK std::string end_launch();
// Device memory comes to life, with its bytes not yet written, or dies.
SIMT_WEAK void allocated(const void*, std::size_t);
SIMT_WEAK void freed(const void*, std::size_t);
// Device memory is written by a copy, a memset or cuBLAS.
SIMT_WEAK void written(const void*, std::size_t);
// A copy within device memory hands on which bytes were ever written.
SIMT_WEAK void copied(const void* to, const void* from, std::size_t);
// Offset of the first byte that was never written, or n.
SIMT_WEAK std::size_t first_unwritten(const void*, std::size_t n);
// Accesses of host code to device memory since the last call.
SIMT_WEAK std::string take_host_errors();
#undef SIMT_WEAK

}  // namespace simt::watch
