// The rows of the sweep over losses of rows and elements.
#include "bench/row_grid.hpp"

#include <algorithm>

#include "bench/row_losses.hpp"

namespace culoss::bench {
namespace {

struct block {
  std::vector<const row_loss*> losses;
  std::vector<mode> modes;
  std::vector<element> types;
  std::vector<std::int64_t> cols, rows;  // of strided logits, images
  std::vector<cache_state> states;
  std::int64_t max_elements = INT64_MAX;
  std::int64_t inner = 0;
};

std::vector<sweep_row> rows_of(const block& b) {
  std::vector<sweep_row> all;
  for (const element type : b.types) {
    for (const row_loss* which : b.losses) {
      for (const mode m : b.modes) {
        for (const std::int64_t cols : b.cols) {
          for (const std::int64_t rows : b.rows) {
            for (const cache_state state : b.states) {
              sweep_row row{.entry = which, .mode = m, .type = type, .rows = rows, .cols = cols};
              row.state = state;
              row.inner = b.inner;
              if (b.inner > 0) row.rows *= b.inner;
              if (row.rows * row.cols <= b.max_elements) all.push_back(row);
            }
          }
        }
      }
    }
  }
  return all;
}

const std::vector<const row_loss*> kCrossEntropy{row_loss_named("cross_entropy")};
const std::vector<const row_loss*> kSoftmaxes{row_loss_named("softmax"),
                                              row_loss_named("log_softmax")};
const std::vector<mode> kModes{mode::forward, mode::backward, mode::fused};
const std::vector<mode> kSoftmaxModes{mode::forward, mode::backward};
const std::vector<std::int64_t> kAllCols{64,    256,   1000,  1024,  2048,   4096,  8192,
                                         32000, 32768, 50257, 65536, 128256, 262144};

std::vector<std::int64_t> powers(std::int64_t step) {  // of `step`, up to 32768
  std::vector<std::int64_t> all;
  for (std::int64_t n = 1; n <= 32768; n *= step) all.push_back(n);
  return all;
}

// Sizes of the losses other than plain cross-entropy and softmax.
struct loss_sizes {
  std::vector<std::int64_t> cols, rows;  // of few classes and a vocabulary
  std::vector<std::int64_t> few_rows;
  std::vector<std::int64_t> one_width;  // for what differs by an option
  // Of detection: rows of 80 or 91 classes, rows of 1203, elements alone.
  std::vector<std::int64_t> anchors, many_classes_rows, flat;
  std::vector<std::int64_t> dimensions, pairs;  // of embeddings
  struct images {
    std::int64_t n, classes, inner;
  };
  std::vector<images> strided;
};

// Cityscapes, ADE20K and VOC with their usual crops, and sequences [N, C, L].
const loss_sizes kDeviceSizes{
    .cols = {1000, 32000},
    .rows = {8192},
    .few_rows = {1, 64, 512, 4096},
    .one_width = {32000},
    .anchors = {262144},
    .many_classes_rows = {32768},
    .flat = {std::int64_t{1} << 26},
    .dimensions = {128, 512, 1024},
    .pairs = {65536},
    .strided = {{8, 19, 512 * 512}, {8, 150, 256 * 256}, {16, 21, 320 * 320}, {8, 32000, 128}}};
const loss_sizes kHostSizes{.cols = {1000, 32000},
                            .rows = {16},
                            .few_rows = {16},
                            .one_width = {32000},
                            .anchors = {2048},
                            .many_classes_rows = {128},
                            .flat = {131072},
                            .dimensions = {512},
                            .pairs = {256},
                            .strided = {{2, 19, 64 * 64}, {1, 150, 32 * 32}, {1, 32000, 8}}};
const loss_sizes kSmokeSizes{.cols = {64, 1000},
                             .rows = {8},
                             .few_rows = {8},
                             .one_width = {1000},
                             .anchors = {16},
                             .many_classes_rows = {8},
                             .flat = {1000},
                             .dimensions = {24, 600},
                             .pairs = {8},
                             .strided = {{2, 19, 36}, {1, 1000, 8}}};

struct shape {
  std::int64_t cols, rows, inner = 0;
};

std::vector<shape> shapes_of(sizes which, const loss_sizes& s) {
  std::vector<shape> all;
  const auto add = [&all](const std::vector<std::int64_t>& cols,
                          const std::vector<std::int64_t>& rows) {
    for (const std::int64_t c : cols) {
      for (const std::int64_t r : rows) all.push_back({c, r});
    }
  };
  switch (which) {
    case sizes::classes:
      add(s.cols, s.rows);
      break;
    case sizes::few_classes:
      add({s.cols[0]}, s.rows);
      break;
    case sizes::few_rows:
      add(s.cols, s.few_rows);
      break;
    case sizes::vocabulary:
      add(s.one_width, s.rows);
      break;
    case sizes::images:
      for (const loss_sizes::images& i : s.strided) all.push_back({i.classes, i.n, i.inner});
      break;
    case sizes::detection:
      add({80, 91}, s.anchors);
      add({1203}, s.many_classes_rows);
      break;
    case sizes::many_classes:
      add({1203}, s.many_classes_rows);
      break;
    case sizes::elements:
      add({1}, s.flat);
      break;
    case sizes::embeddings:
      add(s.dimensions, s.pairs);
      break;
  }
  return all;
}

// The runs of the table.
void append_losses(std::vector<block>& blocks, const loss_sizes& s,
                   const std::vector<element>& types, cache_state state) {
  for (const row_loss& l : row_losses()) {
    for (const row_loss::run& run : l.runs) {
      for (const sizes which : run.sizes) {
        for (const shape& of : shapes_of(which, s)) {
          blocks.push_back({.losses = {&l},
                            .modes = run.modes,
                            .types = types,
                            .cols = {of.cols},
                            .rows = {of.rows},
                            .states = {state},
                            .inner = of.inner});
        }
      }
    }
  }
}

// Negatives of each row's own, of an embedding's width: what a row reads and writes grows with their
// number.
std::vector<sweep_row> own_negatives(const std::vector<element>& types,
                                     const std::vector<std::int64_t>& dimensions,
                                     const std::vector<std::int64_t>& counts, std::int64_t elements,
                                     cache_state state) {
  std::vector<sweep_row> all;
  for (const element type : types) {
    for (const std::int64_t dimension : dimensions) {
      for (const std::int64_t count : counts) {
        for (const mode m : {mode::fused, mode::forward}) {
          sweep_row row{.entry = own_negatives_loss(), .mode = m, .type = type};
          row.negatives = count;
          row.dimension = dimension;
          row.cols = count * dimension;
          row.rows = std::max<std::int64_t>(1, elements / row.cols);
          row.state = state;
          all.push_back(row);
        }
      }
    }
  }
  return all;
}
std::vector<sweep_row> own_negatives(form wanted, bool on_device) {
  const std::vector<element> types{element::bfloat16, element::float32, element::float16};
  const std::vector<element> narrow{element::bfloat16}, single{element::float32};
  if (wanted == form::smoke) {
    return own_negatives({element::bfloat16, element::float32}, {24}, {3, 70}, 4096,
                         cache_state::hot);
  }
  if (!on_device) return own_negatives(single, {128}, {1, 16, 256}, 1 << 16, cache_state::hot);
  if (wanted == form::full) {
    return own_negatives(types, {128, 512, 768},
                         {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096}, std::int64_t{1} << 28,
                         cache_state::cold);
  }
  return own_negatives(narrow, {512}, {1, 4, 16, 64, 256, 1024}, std::int64_t{1} << 28,
                       cache_state::cold);
}

std::vector<block> cuda_blocks(form wanted) {
  const std::vector<element> types{element::bfloat16, element::float32, element::float16};
  const std::vector<element> bf16{element::bfloat16};
  const std::vector<cache_state> cold{cache_state::cold}, hot{cache_state::hot},
      both{cache_state::cold, cache_state::hot};
  std::vector<block> blocks;
  if (wanted == form::full) {
    append_losses(blocks, kDeviceSizes, types, cache_state::cold);
    blocks.push_back({kCrossEntropy, kModes, types, kAllCols, powers(2), both});
    blocks.push_back({kSoftmaxes, kSoftmaxModes, types, kAllCols, powers(2), both});
    return blocks;
  }
  const std::vector<std::int64_t> cols{1000, 4096, 32000, 50257, 65536, 128256};
  blocks.push_back({kCrossEntropy, kModes, bf16, kAllCols, {8192}, cold});
  append_losses(blocks, kDeviceSizes, bf16, cache_state::cold);
  blocks.push_back({kCrossEntropy, kModes, bf16, kAllCols, powers(8), cold});
  blocks.push_back({kCrossEntropy, kModes, bf16, {1000, 32000}, powers(8), hot});
  blocks.push_back({kCrossEntropy, kModes, types, cols, {8192}, cold});
  blocks.push_back({kSoftmaxes, kSoftmaxModes, bf16, cols, {8192}, cold});
  return blocks;
}

// The reference computes in double, far from the cache's and the memory's limits: one state.
std::vector<block> cpu_blocks(form wanted) {
  const std::vector<element> types{element::float32, element::bfloat16, element::float64,
                                   element::float16};
  const std::vector<element> single{element::float32};
  const std::vector<cache_state> hot{cache_state::hot};
  std::vector<block> blocks{{kCrossEntropy, {mode::fused}, single, {32000}, {4096}, hot}};
  if (wanted == form::full) {
    append_losses(blocks, kHostSizes, types, cache_state::hot);
    blocks.push_back({kCrossEntropy, kModes, types, kAllCols, powers(2), hot, 1 << 27});
    blocks.push_back({kSoftmaxes, kSoftmaxModes, types, kAllCols, powers(2), hot, 1 << 25});
    return blocks;
  }
  const std::vector<std::int64_t> cols{64, 1024, 8192, 32000, 128256};
  blocks.push_back({kCrossEntropy, kModes, single, cols, powers(16), hot, 1 << 23});
  append_losses(blocks, kHostSizes, single, cache_state::hot);
  blocks.push_back({kCrossEntropy, kModes, single, cols, powers(4), hot, 1 << 23});
  blocks.push_back({kCrossEntropy, kModes, {element::bfloat16}, cols, powers(8), hot, 1 << 21});
  blocks.push_back({kSoftmaxes, kSoftmaxModes, single, {1024, 32000}, {64}, hot});
  blocks.push_back({kCrossEntropy, kModes, {element::float64}, {1024, 32000}, {64}, hot});
  return blocks;
}

std::vector<block> smoke_blocks() {
  const std::vector<element> types{element::bfloat16, element::float32};
  const std::vector<cache_state> hot{cache_state::hot};
  std::vector<block> blocks{{kCrossEntropy, kModes, types, {64, 1000}, {1, 8}, hot},
                            {kSoftmaxes, kSoftmaxModes, types, {64, 1000}, {8}, hot}};
  append_losses(blocks, kSmokeSizes, types, cache_state::hot);
  return blocks;
}

}  // namespace

std::vector<sweep_row> row_loss_rows(form wanted, const device_description& on) {
  std::vector<sweep_row> all;
  for (const block& b : wanted == form::smoke ? smoke_blocks()
                        : on.cuda             ? cuda_blocks(wanted)
                                              : cpu_blocks(wanted)) {
    const std::vector<sweep_row> rows = rows_of(b);
    all.insert(all.end(), rows.begin(), rows.end());
  }
  const std::vector<sweep_row> own = own_negatives(wanted, on.cuda);
  all.insert(all.end(), own.begin(), own.end());
  return all;
}

}  // namespace culoss::bench
