// Sizes that the row kernels are built with and that the host plans with. Needs no CUDA header.
#pragma once

namespace culoss::detail {

inline constexpr int kPackBytes = 16;  // one load or store
inline constexpr int kBatch = 4;  // packs folded into a state with one rescale, over all streams
inline constexpr int kLaneThreads = 128;
inline constexpr int kMaxLanePacks = 9;  // packs a lane keeps in registers, at most

}  // namespace culoss::detail
