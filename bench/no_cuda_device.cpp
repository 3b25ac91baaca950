// A build without CUDA has no CUDA device.
#include "bench/device.hpp"

namespace culoss::bench {

std::unique_ptr<device> open_cuda() { return nullptr; }

}  // namespace culoss::bench
