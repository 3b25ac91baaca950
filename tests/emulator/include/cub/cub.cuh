// Stand-in for the parts of cub that kernels use.
#pragma once

#include "block/block_reduce.cuh"
#include "block/block_scan.cuh"
#include "warp/warp_reduce.cuh"
