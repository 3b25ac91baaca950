#include "host/siglip.hpp"

#include "host/similarity_call.hpp"

namespace culoss {
namespace {

using namespace detail;

// The sweep of a loss whose pairs need no statistics: each tile is finished before the next.
template <class T>
class siglip_sweep : public similarity_sweep<T> {
  using base = similarity_sweep<T>;
  using base::call_;
  using base::context_;
  using base::m_;
  using base::p_;
  using base::panel;
  using base::plan_;
  using base::rows;

 public:
  using base::base;

  status run(const cuda& where) noexcept {
    scratch memory;
    status s = this->open(where, memory);
    if (s.ok()) s = this->begin();
    for (std::int64_t row = 0; row < rows() && s.ok(); row += plan_.rows) {
      s = pairs(row);
      if (s.ok()) s = finish_panel(row);
    }
    if (s.ok()) s = this->finish_keys();
    if (s.ok()) s = this->finish_scalars();
    return s.ok() ? memory.release(context_) : s;
  }

 private:
  // A panel: its rows' sums, du whole, its part of dv.
  status pairs(std::int64_t row) noexcept {
    bool first = true, started = false;
    T* const g = p_.gradients() ? static_cast<T*>(m_.g) : nullptr;
    status s = this->for_each_tile([&](int segment, std::int64_t col, std::int64_t cols, float* sim,
                                       std::int64_t ld) noexcept {
      status done = this->similarities(row, segment, col, cols, sim, ld);
      if (done.ok()) done = tile(this->tile_of(row, segment, col, cols, sim, ld), row, g, first);
      first = false;
      if (done.ok() && g != nullptr) done = this->products(row, segment, col, cols, g, started);
      return done;
    });
    // No text at all: the sums still have to be written.
    if (s.ok() && first) s = this->merge(m_.pair_sums + row, m_.pair_partials, 0, panel(row), true);
    return s.ok() ? this->finish_queries(row, started) : s;
  }

  status tile(const kernels::similarity_tile& t, std::int64_t row, T* g, bool first) noexcept {
    const tile_grid grid(t.rows, t.cols);
    const auto& by = p_.call.by;
    const kernels::pair_outputs<T> out{
        by.row_weights != nullptr ? by.row_weights + row : nullptr,
        by.upstream_rows != nullptr ? by.upstream_rows + row : nullptr,
        m_.pair_partials,
        m_.targets + row,
        g,
        static_cast<long long>(plan_.cols)};
    const status s = launch(context_, kernels::pair_tile<T>, grid.dim(), kernels::kFoldThreads, 0,
                            t, out, grid.columns_of_split);
    if (!s.ok()) return s;
    return this->merge(m_.pair_sums + row, m_.pair_partials, grid.splits, t.rows, first);
  }

  status finish_panel(std::int64_t row) noexcept {
    kernels::finish_pairs_arguments a{};
    a.call = call_;
    a.sums = m_.pair_sums;
    a.targets = m_.targets;
    a.loss = p_.row_loss != nullptr ? p_.row_loss : p_.loss != nullptr ? m_.row_loss : nullptr;
    a.scale = p_.grad_scale != nullptr ? m_.row_scale : nullptr;
    a.bias = p_.grad_bias != nullptr ? m_.row_bias : nullptr;
    a.correct = p_.correct != nullptr ? m_.row_correct : nullptr;
    a.first_index = static_cast<int>(p_.offset);
    a.begin = row;
    a.end = row + panel(row);
    return launch(context_, kernels::finish_pairs<kernels::kFoldThreads>,
                  base::blocks_of(panel(row), kernels::kFoldThreads), kernels::kFoldThreads, 0, a);
  }
};

template <class T>
status siglip_of(const cuda& where, const matrix<const T>& images, const matrix<const T>& texts,
                 const siglip_outputs<T>& out, const siglip_options& options) noexcept {
  constexpr const char* kFunction = "siglip";
  status s = check_siglip(where, images, texts, out, options);
  if (s.ok()) s = check_blas(kFunction, where);
  device_context context;
  if (s.ok()) s = open(kFunction, where, context);
  if (!s.ok()) return s;

  similarity_problem<T> p;
  p.pairs = true;
  p.queries = images;
  p.grad_queries = out.grad_images;
  p.offset = options.positives ? options.positive_offset : 0;
  p.query_ids = options.image_ids.data;
  p.segments[0] = {texts, out.grad_texts, options.text_ids.data, options.positives, true, 0};
  set_options(p, options, out.loss);
  p.call.bias = argument(options.bias);
  p.grad_scale = out.grad_scale.data;
  p.grad_bias = out.grad_bias.data;
  p.correct = out.correct.data;
  p.row_count = out.rows_counted.data;
  return detail::run(siglip_sweep<T>(context, p), context, where, p, options, out.loss,
                     out.rows_counted);
}

}  // namespace

similarity_workspace siglip_workspace(const similarity_shape& shape) noexcept {
  if (!possible(shape)) return {};
  similarity_extent e;
  e.rows = shape.queries;
  e.dimension = shape.dimension;
  e.keys[0] = e.widths[0] = shape.keys;
  e.key_gradients[0] = e.gradients = shape.gradients;
  e.pairs = true;
  e.element_bytes = shape.element_bytes;
  return workspace_of(e);
}

status siglip(const cuda& where, matrix<const float> images, matrix<const float> texts,
              const siglip_outputs<float>& outputs, const siglip_options& options) noexcept {
  return siglip_of(where, images, texts, outputs, options);
}
status siglip(const cuda& where, matrix<const half> images, matrix<const half> texts,
              const siglip_outputs<half>& outputs, const siglip_options& options) noexcept {
  return siglip_of(where, images, texts, outputs, options);
}
status siglip(const cuda& where, matrix<const bf16> images, matrix<const bf16> texts,
              const siglip_outputs<bf16>& outputs, const siglip_options& options) noexcept {
  return siglip_of(where, images, texts, outputs, options);
}

}  // namespace culoss
