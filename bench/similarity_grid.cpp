#include "bench/similarity_grid.hpp"

#include <algorithm>
#include <culoss/linear_cross_entropy.hpp>
#include <culoss/mined_triplet.hpp>
#include <culoss/self_similarity.hpp>
#include <culoss/siglip.hpp>

namespace culoss::bench {
namespace {

constexpr std::int64_t kDeviceProductSide = 8192, kHostProductSide = 256;

struct block {
  loss which;
  std::vector<mode> modes;
  std::vector<element> types;
  std::vector<std::int64_t> batches, negatives, dimensions;
  std::vector<room> rooms;
  std::int64_t keys = 0;  // 0: as many as the batch has
};

const std::vector<mode> kFused{mode::fused}, kBoth{mode::fused, mode::forward};
const std::vector<element> kBf16{element::bfloat16};
const std::vector<std::int64_t> kNone{0};
constexpr std::int64_t kMillion = std::int64_t{1} << 20;

std::vector<std::int64_t> powers(std::int64_t first, std::int64_t last, std::int64_t step) {
  std::vector<std::int64_t> all;
  for (std::int64_t n = first; n <= last; n *= step) all.push_back(n);
  return all;
}

std::vector<block> cuda_blocks(form wanted) {
  const std::vector<room> best{room::best}, rooms{room::best, room::recompute, room::kept};
  // One size each of what is trained: SimCLR, CLIP, MoCo, BASIC.
  std::vector<block> blocks{
      {loss::info_nce, kFused, kBf16, {8192}, kNone, {128, 512}, best},
      {loss::clip, kFused, kBf16, {32768}, kNone, {512, 768}, best},
      {loss::info_nce_queue, kFused, kBf16, {256}, {65536}, {128}, best},
      {loss::clip, kFused, kBf16, {65536}, kNone, {1024}, best},
      {loss::nt_xent, kFused, kBf16, {8192}, kNone, {128, 512}, best},
      {loss::sup_con, kFused, kBf16, {8192}, kNone, {128, 512}, best},
  };
  // SigLIP's own batch.
  blocks.push_back({loss::siglip, kFused, kBf16, {32768}, kNone, {768}, best});
  // Heads of language models: N tokens, V classes, D wide; 6 N V D operations with gradients.
  const auto heads = [&](const std::vector<mode>& modes, const std::vector<std::int64_t>& tokens,
                         const std::vector<std::int64_t>& widths, std::int64_t classes) {
    blocks.push_back(
        {loss::linear_cross_entropy, modes, kBf16, tokens, kNone, widths, best, classes});
  };
  heads(kBoth, {8192}, {4096}, 128256);
  heads(kFused, {64}, {128}, 1000);
  if (wanted == form::full) {
    for (const std::int64_t classes : {32000, 50257, 128256, 262144}) {
      heads(kBoth, {1024, 4096, 8192, 16384}, {1024, 2048, 4096}, classes);
    }
  } else {
    heads(kFused, {2048, 8192}, {2048}, 32000);
    heads(kFused, {8192}, {768}, 50257);
  }
  if (wanted == form::full) {
    const std::vector<std::int64_t> batches = powers(256, 65536, 2);
    const std::vector<std::int64_t> dimensions{128, 256, 512, 768, 1024};
    const std::vector<element> types{element::bfloat16, element::float16, element::float32};
    // A million keys, in the batch and as negatives.
    blocks.push_back({loss::info_nce, kBoth, kBf16, {4096}, kNone, {512}, best, kMillion});
    for (const loss which : {loss::info_nce, loss::clip, loss::nt_xent, loss::sup_con}) {
      blocks.push_back({which, kBoth, types, batches, kNone, dimensions, rooms});
    }
    blocks.push_back({loss::siglip, kBoth, types, batches, kNone, dimensions, best});
    const std::vector<std::int64_t> negatives = powers(256, kMillion, 4);
    blocks.push_back({loss::info_nce, kBoth, kBf16, {256, 8192}, negatives, dimensions, rooms});
    blocks.push_back(
        {loss::info_nce_queue, kBoth, types, {256, 4096}, negatives, dimensions, rooms});
    blocks.push_back({loss::batch_hard, kBoth, types, batches, kNone, dimensions, best});
    return blocks;
  }
  for (const loss which :
       {loss::info_nce, loss::clip, loss::nt_xent, loss::sup_con, loss::siglip}) {
    blocks.push_back({which, kFused, kBf16, powers(256, 65536, 2), kNone, {512}, best});
  }
  blocks.push_back(
      {loss::info_nce_queue, kFused, kBf16, {256}, powers(256, kMillion, 4), {128}, best});
  blocks.push_back({loss::info_nce, kFused, kBf16, {8192}, {4096, 65536, kMillion}, {512}, best});
  blocks.push_back({loss::batch_hard, kFused, kBf16, powers(256, 65536, 4), kNone, {128}, best});
  for (const loss which : {loss::info_nce, loss::clip}) {
    blocks.push_back({which, kFused, kBf16, {256}, kNone, {512}, rooms});
    blocks.push_back({which, kFused, kBf16, {8192}, kNone, {512, 1024}, rooms});
    blocks.push_back({which, kFused, kBf16, {8192, 32768}, kNone, {128, 256, 768, 1024}, best});
    blocks.push_back({which, {mode::forward}, kBf16, {256, 2048, 8192, 32768}, kNone, {512}, best});
    blocks.push_back(
        {which, kFused, {element::float32, element::float16}, {8192}, kNone, {512}, best});
  }
  return blocks;
}

std::vector<block> cpu_blocks(form wanted) {
  const std::vector<room> none{room::none};
  const std::vector<element> types{element::float32, element::bfloat16, element::float64};
  if (wanted == form::full) {
    const std::vector<std::int64_t> batches = powers(16, 4096, 2), dimensions{128, 512, 1024};
    return {
        {loss::info_nce, kBoth, types, batches, kNone, dimensions, none},
        {loss::clip, kBoth, types, batches, kNone, dimensions, none},
        {loss::batch_hard, kBoth, types, batches, kNone, dimensions, none},
        {loss::nt_xent, kBoth, types, batches, kNone, dimensions, none},
        {loss::sup_con, kBoth, types, batches, kNone, dimensions, none},
        {loss::siglip, kBoth, types, batches, kNone, dimensions, none},
        {loss::info_nce_queue, kBoth, types, {64}, powers(256, 65536, 4), dimensions, none},
    };
  }
  const std::vector<element> single{element::float32};
  return {
      {loss::info_nce, kFused, single, {256}, kNone, {128, 512}, none},
      {loss::clip, kFused, single, {256}, kNone, {128, 512}, none},
      {loss::nt_xent, kFused, single, {256}, kNone, {128, 512}, none},
      {loss::sup_con, kFused, single, {256}, kNone, {128, 512}, none},
      {loss::info_nce_queue, kFused, single, {64}, {4096}, {128}, none},
      {loss::info_nce, kBoth, single, powers(16, 1024, 2), kNone, {128}, none},
      {loss::info_nce_queue, kBoth, single, {64}, powers(256, 16384, 4), {128}, none},
      {loss::clip, kBoth, single, powers(16, 512, 2), kNone, {128}, none},
      {loss::siglip, kBoth, single, powers(16, 512, 2), kNone, {128}, none},
      {loss::info_nce, kFused, types, {64}, kNone, {128}, none},
      {loss::linear_cross_entropy, kBoth, types, {64}, kNone, {128}, none, 1000},
      {loss::batch_hard, kFused, single, powers(64, 1024, 4), kNone, {128}, none},
  };
}

bool is_queue(const sweep_row& row) { return row.loss == loss::info_nce_queue; }
bool is_mined(const sweep_row& row) { return row.loss == loss::batch_hard; }

// Columns of similarities.
std::int64_t width(const sweep_row& row) { return (is_queue(row) ? 0 : row.cols) + row.negatives; }

similarity_plan asked_of(const sweep_row& row) {
  return row.room == room::recompute ? similarity_plan::recompute
         : row.room == room::kept    ? similarity_plan::kept
                                     : similarity_plan::automatic;
}

similarity_workspace workspace_of(const sweep_row& row, similarity_plan plan) {
  const bool fused = row.mode == mode::fused;
  if (row.loss == loss::linear_cross_entropy) {
    const linear_cross_entropy_plan w =
        linear_cross_entropy_workspace({.rows = row.rows,
                                        .classes = row.cols,
                                        .dimension = row.dimension,
                                        .element_bytes = culoss_test::format_of(row.type).bytes,
                                        .hidden_gradient = fused,
                                        .weight_gradient = fused});
    const auto kind = fused ? similarity_plan::one_visit : similarity_plan::forward_only;
    return {w.least, kind, w.best, kind};
  }
  if (row.with_itself()) {
    const self_similarity_shape shape{.rows = row.rows,
                                      .dimension = row.dimension,
                                      .element_bytes = culoss_test::format_of(row.type).bytes,
                                      .gradients = row.mode == mode::fused};
    return row.loss == loss::nt_xent ? nt_xent_workspace(shape) : sup_con_workspace(shape);
  }
  const similarity_shape shape{.queries = row.rows,
                               .keys = row.cols,
                               .negatives = row.negatives,
                               .dimension = row.dimension,
                               .element_bytes = culoss_test::format_of(row.type).bytes,
                               .gradients = fused,
                               .plan = plan};
  if (row.loss == loss::siglip) return siglip_workspace(shape);
  return row.loss == loss::clip ? clip_workspace(shape) : info_nce_workspace(shape);
}

// Whether this plan is another than the one that the library chooses, and there is such a plan.
bool is_another(const sweep_row& row) {
  const similarity_plan plan = asked_of(row);
  if (plan == similarity_plan::automatic) return true;
  if (row.with_itself()) return false;  // takes no plan by name
  return row.mode == mode::fused && workspace_of(row, plan).best > 0 &&
         workspace_of(row, similarity_plan::automatic).best_plan != plan;
}

std::size_t input_bytes(const sweep_row& row) {
  return static_cast<std::size_t>((row.rows + row.cols + row.negatives) * row.dimension *
                                  culoss_test::format_of(row.type).bytes);
}

}  // namespace

std::vector<sweep_row> similarity_rows(form wanted, const device_description& on) {
  std::vector<sweep_row> rows;
  for (const block& b : on.cuda ? cuda_blocks(wanted) : cpu_blocks(wanted)) {
    for (const element type : b.types) {
      for (const mode m : b.modes) {
        for (const std::int64_t dimension : b.dimensions) {
          for (const std::int64_t negatives : b.negatives) {
            for (const std::int64_t batch : b.batches) {
              for (const room space : b.rooms) {
                sweep_row row{.loss = b.which, .mode = m, .type = type, .rows = batch};
                row.cols = b.keys > 0 ? b.keys : batch;
                row.negatives = negatives;
                row.dimension = dimension;
                row.room = space;
                if (is_another(row)) rows.push_back(row);
              }
            }
          }
        }
      }
    }
  }
  return rows;
}

similarity_work work_of(const sweep_row& row) {
  similarity_work work;
  const double nd = 2 * static_cast<double>(row.rows) * static_cast<double>(row.dimension);
  // One half of a symmetric matrix, for each product.
  const double half = row.with_itself() ? 0.5 : 1;
  const double similarities = half * nd * static_cast<double>(width(row));
  const bool fused = row.mode == mode::fused;
  work.least_flop = similarities;
  if (fused && !is_mined(row)) {
    work.least_flop +=
        similarities + (is_queue(row) ? 0 : half * nd * static_cast<double>(row.cols));
  }
  work.flop = work.least_flop;
  work.output_bytes = (row.type == element::float64 ? 8 : 4) +
                      (fused ? static_cast<std::size_t>((row.rows + row.cols) * row.dimension *
                                                        culoss_test::format_of(row.type).bytes)
                             : 0);
  if (row.room == room::none) {
    work.plan = "reference";
    return work;
  }
  if (is_mined(row)) {  // one product, whatever is asked for
    work.plan = name_of(row.loss);
    work.workspace_bytes =
        mined_triplet_workspace({.rows = row.rows, .dimension = row.dimension}).best;
    return work;
  }
  work.asked = asked_of(row);
  const similarity_workspace w = workspace_of(row, work.asked);
  constexpr const char* kNames[] = {"forward_only", "one_visit", "recompute", "kept"};
  work.workspace_bytes = w.best;
  work.plan = kNames[static_cast<int>(w.best_plan)];
  if (w.best_plan == similarity_plan::recompute) work.flop += similarities;
  return work;
}

std::vector<product> products_of(const sweep_row& row, const device_description& on) {
  const std::int64_t most = on.cuda ? kDeviceProductSide : kHostProductSide;
  const std::int64_t n = std::min(row.rows, most), m = std::min(width(row), most);
  std::vector<product> products{{n, m, row.dimension}};
  if (row.mode == mode::fused && !is_mined(row)) {
    products.push_back({n, row.dimension, m});
    if (!is_queue(row)) products.push_back({m, row.dimension, n});
  }
  return products;
}

std::size_t similarity_region_bytes(const sweep_row& row, const device_description& on) {
  constexpr std::size_t kPadding = 3 * 256;  // each matrix begins at a multiple of 256 bytes
  const auto bytes = static_cast<std::size_t>(culoss_test::format_of(row.type).bytes);
  const similarity_work work = work_of(row);
  std::size_t most = std::max({input_bytes(row), work.output_bytes, work.workspace_bytes});
  for (const product& p : products_of(row, on)) {
    most = std::max({most, static_cast<std::size_t>((p.m + p.n) * p.k) * bytes,
                     static_cast<std::size_t>(p.m * p.n) * sizeof(float)});
  }
  return most + kPadding;
}

}  // namespace culoss::bench
