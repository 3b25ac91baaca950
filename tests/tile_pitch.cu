#include <cuda_runtime.h>

#include <stdexcept>

#include "kernels/mining_tiles.cuh"
#include "kernels/similarity_tiles.cuh"
#include "tests/tile_pitch.hpp"

namespace culoss_test {
namespace {

using namespace culoss::kernels;

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), const Arguments&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(1);
  config.blockDim = dim3(kFoldThreads);
  if (cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...) != cudaSuccess ||
      cudaDeviceSynchronize() != cudaSuccess) {
    throw std::runtime_error("a kernel over a tile failed");
  }
}

std::vector<float> each(std::size_t size, float first, float step) {
  std::vector<float> values(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = first + step * static_cast<float>(i);
  return values;
}

}  // namespace

std::vector<float> fold_and_gradient(const tile& of, float* g, std::int64_t g_ld) {
  const auto rows = static_cast<std::size_t>(of.rows), cols = static_cast<std::size_t>(of.cols);
  call_numbers numbers{};
  numbers.bits = numbers.row_factor = numbers.column_factor = 1.0f;
  similarity_tile t{};
  t.s = of.s;
  t.ld = of.ld;
  t.rows = of.rows;
  t.cols = of.cols;
  t.numbers = &numbers;
  t.mask = of.mask;
  t.mask_ld = of.mask_ld;
  t.has_positive = true;

  std::vector<side_state> row_states(rows), col_states(cols);
  std::vector<float> results(rows);  // the positives
  fold_outputs out{};
  out.row_states = row_states.data();
  out.col_partials = col_states.data();
  out.targets = results.data();
  out.first = true;
  launch(fold_tile<true>, t, out, of.cols);

  std::vector<side_coefficients> row_coefficients, col_coefficients;
  for (const float shift : each(rows, 2.0f, 0.25f)) {
    row_coefficients.push_back({shift, 0.5f, -1.0f, shift});
  }
  for (const float shift : each(cols, 3.0f, 0.125f)) {
    col_coefficients.push_back({shift, 0.25f, -2.0f, shift});
  }
  const gradient_sides sides{row_coefficients.data(), col_coefficients.data()};
  launch(gradient_tile<float>, t, sides, g, g_ld);

  row_states.insert(row_states.end(), col_states.begin(), col_states.end());
  for (const side_state& s : row_states) {
    results.insert(results.end(), {s.shift, s.sum, s.moment, s.best, static_cast<float>(s.index)});
  }
  return results;
}

std::vector<float> mine(const tile& of) {
  const auto rows = static_cast<std::size_t>(of.rows), cols = static_cast<std::size_t>(of.cols);
  const std::vector<float> row_sizes = each(rows, 4.0f, 0.5f), col_sizes = each(cols, 5.0f, 0.25f);
  std::vector<long long> labels;
  for (std::size_t j = 0; j < cols; ++j) labels.push_back(static_cast<long long>(j % 3));
  mining_tile t{};
  t.s = of.s;
  t.ld = of.ld;
  t.rows = of.rows;
  t.cols = of.cols;
  t.row_sizes = row_sizes.data();
  t.col_sizes = col_sizes.data();
  t.row_labels = t.col_labels = labels.data();
  t.ignore_index = -1;
  t.positives = t.negatives = true;

  std::vector<least_columns> kept(2 * rows);
  launch(mine_tile<kFoldThreads>, t, mining_outputs{kept.data(), kept.data() + rows}, of.cols);
  std::vector<float> results;
  for (const least_columns& s : kept) {
    for (int k = 0; k < kKept; ++k) {
      results.insert(results.end(), {s.bound[k], static_cast<float>(s.index[k])});
    }
  }
  return results;
}

}  // namespace culoss_test
