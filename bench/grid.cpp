#include "bench/grid.hpp"

#include <algorithm>
#include <set>

#include "bench/similarity_grid.hpp"

namespace culoss::bench {
namespace {

constexpr int kMaxCopies = 1024;

// The working set that is surely not in a cache of this size.
std::size_t cold_bytes(const device_description& on) { return 5 * on.cache_bytes; }

int matrices(const sweep_row& row) {
  if (row.loss == loss::cross_entropy) return row.mode == mode::forward ? 1 : 2;
  return row.mode == mode::forward ? 2 : 3;
}

struct block {
  std::vector<loss> losses;
  std::vector<mode> modes;
  std::vector<element> types;
  std::vector<std::int64_t> cols, rows;
  std::vector<cache_state> states;
  std::int64_t max_elements;
};

std::vector<sweep_row> rows_of(const block& b) {
  std::vector<sweep_row> all;
  for (const element type : b.types) {
    for (const loss which : b.losses) {
      for (const mode m : b.modes) {
        for (const std::int64_t cols : b.cols) {
          for (const std::int64_t rows : b.rows) {
            for (const cache_state state : b.states) {
              sweep_row row{.loss = which, .mode = m, .type = type, .rows = rows, .cols = cols};
              row.state = state;
              all.push_back(row);
            }
          }
        }
      }
    }
  }
  return all;
}

constexpr std::int64_t kUnlimited = INT64_MAX;

const std::vector<loss> kCrossEntropy{loss::cross_entropy};
const std::vector<loss> kSoftmaxes{loss::softmax, loss::log_softmax};
const std::vector<mode> kModes{mode::forward, mode::backward, mode::fused};
const std::vector<mode> kSoftmaxModes{mode::forward, mode::backward};
const std::vector<std::int64_t> kAllCols{64,    256,   1000,  1024,  2048,   4096,  8192,
                                         32000, 32768, 50257, 65536, 128256, 262144};

std::vector<std::int64_t> powers(std::int64_t step) {  // of `step`, up to 32768
  std::vector<std::int64_t> all;
  for (std::int64_t n = 1; n <= 32768; n *= step) all.push_back(n);
  return all;
}

std::vector<block> cuda_blocks(form wanted) {
  const std::vector<element> types{element::bfloat16, element::float32, element::float16};
  const std::vector<cache_state> cold{cache_state::cold}, hot{cache_state::hot},
      both{cache_state::cold, cache_state::hot};
  if (wanted == form::full) {
    return {{kCrossEntropy, kModes, types, kAllCols, powers(2), both, kUnlimited},
            {kSoftmaxes, kSoftmaxModes, types, kAllCols, powers(2), both, kUnlimited}};
  }
  const std::vector<std::int64_t> cols{1000, 4096, 32000, 50257, 65536, 128256};
  return {
      {kCrossEntropy, kModes, {element::bfloat16}, kAllCols, {8192}, cold, kUnlimited},
      {kCrossEntropy, kModes, {element::bfloat16}, kAllCols, powers(8), cold, kUnlimited},
      {kCrossEntropy, kModes, {element::bfloat16}, {1000, 32000}, powers(8), hot, kUnlimited},
      {kCrossEntropy, kModes, types, cols, {8192}, cold, kUnlimited},
      {kSoftmaxes, kSoftmaxModes, {element::bfloat16}, cols, {8192}, cold, kUnlimited},
  };
}

// The reference computes in double, far from the cache's and the memory's limits: one state.
std::vector<block> cpu_blocks(form wanted) {
  const std::vector<element> types{element::float32, element::bfloat16, element::float64,
                                   element::float16};
  const std::vector<cache_state> hot{cache_state::hot};
  const block baseline{kCrossEntropy, {mode::fused}, {element::float32}, {32000},
                       {4096},        hot,           kUnlimited};
  if (wanted == form::full) {
    return {baseline,
            {kCrossEntropy, kModes, types, kAllCols, powers(2), hot, std::int64_t{1} << 27},
            {kSoftmaxes, kSoftmaxModes, types, kAllCols, powers(2), hot, std::int64_t{1} << 25}};
  }
  const std::vector<std::int64_t> cols{64, 1024, 8192, 32000, 128256};
  return {
      baseline,
      {kCrossEntropy, kModes, {element::float32}, cols, powers(4), hot, std::int64_t{1} << 23},
      {kCrossEntropy, kModes, {element::bfloat16}, cols, powers(8), hot, std::int64_t{1} << 21},
      {kSoftmaxes, kSoftmaxModes, {element::float32}, {1024, 32000}, {64}, hot, kUnlimited},
      {kCrossEntropy, kModes, {element::float64}, {1024, 32000}, {64}, hot, kUnlimited},
  };
}

}  // namespace

const char* name_of(loss value) {
  constexpr const char* kNames[] = {"cross_entropy", "softmax",        "log_softmax",
                                    "info_nce",      "info_nce_queue", "clip"};
  return kNames[static_cast<int>(value)];
}
const char* name_of(mode value) {
  return value == mode::forward ? "forward" : value == mode::backward ? "backward" : "fused";
}
const char* name_of(cache_state value) { return value == cache_state::cold ? "cold" : "hot"; }
const char* name_of(room value) {
  return value == room::best ? "best" : value == room::recompute ? "recompute" : "reference";
}

std::string sweep_row::name() const {
  std::string name =
      std::string(name_of(loss)) + "/" + name_of(mode) + "/" + culoss_test::format_of(type).name;
  if (!over_similarities()) {
    return name + "/rows:" + std::to_string(rows) + "/cols:" + std::to_string(cols) + "/" +
           name_of(state);
  }
  name += "/batch:" + std::to_string(rows);
  if (cols != rows) name += "/keys:" + std::to_string(cols);
  return name + "/negatives:" + std::to_string(negatives) + "/dim:" + std::to_string(dimension) +
         "/" + name_of(room);
}

std::size_t sweep_row::matrix_bytes() const {
  return static_cast<std::size_t>(rows * cols * culoss_test::format_of(type).bytes);
}

std::size_t sweep_row::floor_bytes() const {
  const std::size_t matrices = static_cast<std::size_t>(bench::matrices(*this)) * matrix_bytes();
  if (loss != loss::cross_entropy) return matrices;
  const std::size_t real = type == element::float64 ? 8 : 4;
  const auto n = static_cast<std::size_t>(rows);
  // int64 labels; the scalar loss, or the four statistics of each row that a backward reads.
  return matrices + 8 * n + (mode == mode::backward ? 4 * real * n : real);
}

int sweep_row::copies(const device_description& on) const {
  if (state == cache_state::hot) return 1;
  const std::size_t set = std::max<std::size_t>(floor_bytes(), 1);
  return static_cast<int>(std::min<std::size_t>((cold_bytes(on) + set - 1) / set, kMaxCopies));
}

transfer sweep_row::yardstick() const {
  return loss == loss::cross_entropy && mode == mode::forward ? transfer::read : transfer::copy;
}

std::size_t matrix_region_bytes(const std::vector<sweep_row>& rows, const device_description& on) {
  std::size_t most = 0;
  for (const sweep_row& row : rows) {
    if (row.over_similarities()) {
      most = std::max(most, similarity_region_bytes(row, on));
      continue;
    }
    most = std::max(most, (row.matrix_bytes() + 256) * static_cast<std::size_t>(row.copies(on)));
    // The yardstick moves as many bytes, half of them read and half written, or all read.
    const std::size_t moved = row.floor_bytes() / (row.yardstick() == transfer::read ? 1 : 2);
    most = std::max(most, (moved + 256) * static_cast<std::size_t>(row.copies(on)));
  }
  return most;
}

std::vector<sweep_row> grid(form wanted, const device_description& on, int* left_out) {
  std::vector<sweep_row> rows;
  std::set<std::string> seen;
  *left_out = 0;
  const auto add = [&](const sweep_row& row) {
    if (kRegions * matrix_region_bytes({row}, on) > on.memory_bytes) {
      ++*left_out;
    } else {
      rows.push_back(row);
    }
  };
  for (const block& b : on.cuda ? cuda_blocks(wanted) : cpu_blocks(wanted)) {
    for (const sweep_row& row : rows_of(b)) {
      if (row.rows * row.cols > b.max_elements || !seen.insert(row.name()).second) continue;
      // Calls too small to get out of the cache in that many copies take their latency, hot or
      // cold.
      const auto copies = static_cast<std::size_t>(row.copies(on));
      if (row.state == cache_state::cold && copies * row.floor_bytes() < cold_bytes(on)) continue;
      add(row);
    }
  }
  for (const sweep_row& row : similarity_rows(wanted, on)) {
    if (seen.insert(row.name()).second) add(row);
  }
  return rows;
}

}  // namespace culoss::bench
