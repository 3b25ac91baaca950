// The rows of the sweep over similarities: their sizes, operations, workspace and plan.
#pragma once

#include <culoss/info_nce.hpp>
#include <vector>

#include "bench/grid.hpp"

namespace culoss::bench {

std::vector<sweep_row> similarity_rows(form wanted, const device_description& on);

// Of the matrices that are multiplied: similarities are N (M + K) D multiplications and additions,
// each gradient as many; no gradient of the negatives is asked for.
struct similarity_work {
  double least_flop = 0;  // each product once
  double flop = 0;        // by the plan, which may do the first product twice
  const char* plan = "";
  similarity_plan asked = similarity_plan::automatic;  // in the options
  std::size_t workspace_bytes = 0, output_bytes = 0;
};
similarity_work work_of(const sweep_row& row);

// c[m, n] = a[m, k] b[n, k]^T
struct product {
  std::int64_t m, n, k;
};
// The products a row is made of, cut to as many rows and columns as fill the device. The fastest of
// them, on random numbers, is the yardstick.
std::vector<product> products_of(const sweep_row& row, const device_description& on);

// Memory for the row's inputs, its gradients, its workspace, or an operand of the yardstick.
std::size_t similarity_region_bytes(const sweep_row& row, const device_description& on);

}  // namespace culoss::bench
