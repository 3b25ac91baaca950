#include "bench/grid.hpp"

#include <algorithm>
#include <numeric>
#include <set>

#include "bench/row_grid.hpp"
#include "bench/row_losses.hpp"
#include "bench/similarity_grid.hpp"

namespace culoss::bench {
namespace {

constexpr int kMaxCopies = 1024;

// The working set that is surely not in a cache of this size.
std::size_t cold_bytes(const device_description& on) { return 5 * on.cache_bytes; }

}  // namespace

const char* name_of(loss value) {
  constexpr const char* kNames[] = {"info_nce", "info_nce_queue", "clip",   "batch_hard",
                                    "nt_xent",  "sup_con",        "siglip", "linear_cross_entropy"};
  return kNames[static_cast<int>(value)];
}
const char* name_of(mode value) {
  constexpr const char* kNames[] = {"forward", "backward", "fused", "in_place", "both"};
  return kNames[static_cast<int>(value)];
}
const char* name_of(cache_state value) { return value == cache_state::cold ? "cold" : "hot"; }
const char* name_of(room value) {
  constexpr const char* kNames[] = {"best", "recompute", "kept", "reference"};
  return kNames[static_cast<int>(value)];
}

std::string sweep_row::loss_name() const {
  return over_similarities() ? name_of(loss) : entry->name;
}

std::string sweep_row::name() const {
  std::string name = loss_name() + "/" + name_of(mode) + "/" + culoss_test::format_of(type).name;
  if (inner > 0) {
    return name + "/n:" + std::to_string(rows / inner) + "/cols:" + std::to_string(cols) +
           "/inner:" + std::to_string(inner) + "/" + name_of(state);
  }
  if (!over_similarities() && negatives > 0) {
    return name + "/rows:" + std::to_string(rows) + "/negatives:" + std::to_string(negatives) +
           "/dim:" + std::to_string(dimension) + "/" + name_of(state);
  }
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
  // What memory gives for one element: a sector.
  constexpr std::size_t kSector = 32;
  const tested_loss& of = entry->loss;
  const std::size_t real = type == element::float64 ? 8 : 4;
  const auto n = static_cast<std::size_t>(rows);
  const auto matrices = static_cast<std::size_t>(matrices_read(*this) + matrices_written(*this));
  std::size_t bytes = matrices * matrix_bytes();
  bytes += kSector * n * static_cast<std::size_t>(entry->sectors.value_or(0));
  if (negatives > 0) {  // the query, its positive, its gradient
    const std::size_t vectors = mode == mode::fused ? 3 : 2;
    bytes += vectors * matrix_bytes() / static_cast<std::size_t>(negatives);
  }
  if (of.labels) bytes += sizeof(std::int64_t) * n;
  if (of.class_weights) bytes += sizeof(float) * static_cast<std::size_t>(cols);
  const std::size_t losses = of.reduction == culoss::reduction::none ? n : 1;
  if (gives_loss(*this)) bytes += real * (losses + (of.entropy ? n : 0));
  // The statistics of each row that a backward reads.
  if (of.statistics && mode == mode::backward) bytes += 4 * real * n;
  return bytes;
}

int sweep_row::copies(const device_description& on) const {
  if (state == cache_state::hot) return 1;
  const std::size_t set = std::max<std::size_t>(floor_bytes(), 1);
  return static_cast<int>(std::min<std::size_t>((cold_bytes(on) + set - 1) / set, kMaxCopies));
}

transfer sweep_row::yardstick() const {
  return matrices_written(*this) == 0 ? transfer::read : transfer::copy;
}

region_bytes regions_of(const std::vector<sweep_row>& rows, const device_description& on) {
  region_bytes most{};
  const auto need = [&most](region which, std::size_t bytes) {
    most[which] = std::max(most[which], bytes);
  };
  for (const sweep_row& row : rows) {
    if (row.over_similarities()) {
      const std::size_t bytes = similarity_region_bytes(row, on);
      for (const region which : {kNormals, kOutput, kSecond}) need(which, bytes);
      continue;
    }
    const auto copies = static_cast<std::size_t>(row.copies(on));
    const std::size_t sets = (row.matrix_bytes() + 256) * copies;
    if (row.entry->sectors != 0) need(input_of(row), sets);
    if (matrices_read(row) >= 2) need(second_input_of(row), sets);
    if (matrices_written(row) > 0) need(kOutput, sets);
    if (row.mode == mode::both) need(kSecond, sets);
    // The yardstick moves as many bytes, half of them read and half written, or all read.
    const bool writes = row.yardstick() == transfer::copy;
    const std::size_t moved = (row.floor_bytes() / (writes ? 2 : 1) + 256) * copies;
    need(kNormals, moved);
    if (writes) need(kOutput, moved);
  }
  return most;
}

std::vector<sweep_row> grid(form wanted, const device_description& on, int* left_out) {
  std::vector<sweep_row> rows;
  std::set<std::string> seen;
  *left_out = 0;
  region_bytes taken{};
  const auto add = [&](const sweep_row& row) {
    region_bytes bytes = regions_of({row}, on);
    for (std::size_t i = 0; i < kRegions; ++i) bytes[i] = std::max(bytes[i], taken[i]);
    if (std::accumulate(bytes.begin(), bytes.end(), std::size_t{0}) > on.memory_bytes) {
      ++*left_out;
    } else {
      taken = bytes;
      rows.push_back(row);
    }
  };
  for (const sweep_row& row : row_loss_rows(wanted, on)) {
    if (!seen.insert(row.name()).second) continue;
    // Calls too small to get out of the cache in that many copies take their latency, hot or cold.
    const auto copies = static_cast<std::size_t>(row.copies(on));
    if (row.state == cache_state::cold && copies * row.floor_bytes() < cold_bytes(on)) continue;
    add(row);
  }
  for (const sweep_row& row : similarity_rows(wanted, on)) {
    if (seen.insert(row.name()).second) add(row);
  }
  return rows;
}

}  // namespace culoss::bench
