// InfoNCE and CLIP as the tests see them: numbers, one choice of options, a call, what came back.
#pragma once

#include <culoss/info_nce.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy_choices.hpp"
#include "tests/emulator/probe.hpp"
#include "tests/harness/arrays.hpp"
#include "tests/harness/problem.hpp"
#include "tests/harness/results.hpp"

namespace culoss_test {

// The numbers of a call; clip's images are the queries, its texts the keys.
struct similarity_numbers {
  element type = element::float32;
  std::int64_t rows = 0, keys = 0, negatives = 0, dimension = 0, offset = 0;
  std::int64_t of_a_row = 0;         // negatives of each row's own
  std::vector<double> q, k, n, own;  // exact in the type
  std::vector<std::int64_t> query_ids, key_ids, negative_ids;
  std::vector<std::uint8_t> mask;  // [rows, all_columns()], also of columns that a call leaves out
  std::vector<float> row_weights, upstream_rows;
  float scale = 1;  // the temperature or log-scale, as the choice says
  float upstream = 1, normalizer = 1;

  std::int64_t columns() const { return keys + negatives; }
  std::int64_t all_columns() const { return columns() + of_a_row; }
};

struct similarity_execution;

// Which options and outputs a call uses.
struct similarity_choice {
  using numbers = similarity_numbers;
  using execution = similarity_execution;

  bool symmetric = false;  // clip
  bool normalize = true;
  bool in_batch = true;
  bool masked = false;  // ids are given
  bool mask = false;    // the matrix is
  float margin = 0;
  bool log_scale = false;
  source scale = source::value;
  bool row_weights = false;
  source upstream = source::value;  // or device, rows
  source normalizer = source::absent;
  culoss::reduction reduction = culoss::reduction::mean;
  culoss::empty_batch empty = culoss::empty_batch::zero;
  bool accumulate = false;
  bool allow_tf32 = false;
  bool wide = false;  // gradients in float
  culoss::similarity_plan plan = culoss::similarity_plan::automatic;
  // What is asked for.
  bool loss = true, queries = true, keys = true, negatives = true, scale_gradient = true;
  bool row_negatives = true;  // their gradient
  bool counts = true;
};

inline similarity_choice forward_only(similarity_choice c) {
  c.queries = c.keys = c.negatives = c.row_negatives = false;
  return c;
}

// Bytes of workspace; or one of these.
inline constexpr std::int64_t kBestWorkspace = -1, kLeastWorkspace = -2, kNoWorkspace = -3;

struct similarity_execution {
  space where = space::cuda;
  std::int64_t offset = 0;   // elements by which each pointer is off a 256-byte boundary
  std::int64_t padding = 0;  // elements between rows
  std::int64_t workspace = kBestWorkspace;
  CUstream_st* stream = nullptr;
  culoss::cublas* blas = nullptr;  // null: one that all tests share
};

inline culoss::similarity_shape shape_of(const similarity_choice& c, const similarity_numbers& p) {
  return {.queries = p.rows,
          .keys = p.keys,
          .negatives = p.negatives,
          .dimension = p.dimension,
          .row_negatives = p.of_a_row,
          .element_bytes = format_of(p.type).bytes,
          .gradients = c.queries || c.keys,
          .negative_gradients = c.negatives && p.negatives > 0,
          .plan = c.plan};
}
inline culoss::similarity_workspace workspace_of(const similarity_choice& c,
                                                 const similarity_numbers& p) {
  return c.symmetric ? culoss::clip_workspace(shape_of(c, p))
                     : culoss::info_nce_workspace(shape_of(c, p));
}

// The handle that the tests of this process share. It is never destroyed: the device may be gone
// when static objects are.
inline culoss::cublas& shared_blas() {
  static culoss::cublas* const blas = [] {
    auto* b = new culoss::cublas;
    const culoss::status s = b->create();
    if (!s.ok()) throw std::runtime_error(s.message());
    return b;
  }();
  return *blas;
}

// What gradients hold before a call that adds to them: exact in float.
inline double standing(std::int64_t i) { return static_cast<double>(i % 7 - 3) / 64; }

// A call's memory and views; `launch` does nothing but the call.
class similarity_call_base : public call_with<similarity_numbers> {
 public:
  virtual culoss::workspace workspace() const = 0;
  // What was moved of the rows' own negatives, and of their gradient in their type.
  virtual std::pair<simt::watch::range_traffic, simt::watch::range_traffic> own_traffic() const = 0;
};

template <class T>
class similarity_call : public similarity_call_base {
 public:
  similarity_call(const similarity_choice& c, const similarity_numbers& p,
                  const similarity_execution& how)
      : c_(c), how_(how), rows_(p.rows), offset_(p.offset), has_negatives_(p.negatives > 0) {
    q_ = matrix_of<T>(p.rows, p.dimension);
    k_ = matrix_of<T>(p.keys, p.dimension);
    if (has_negatives_) n_ = matrix_of<T>(p.negatives, p.dimension);
    if (p.of_a_row > 0) own_ = matrix_of<T>(p.rows * p.of_a_row, p.dimension);
    const auto gradient = [&](bool wanted, std::int64_t rows, array<T>& same, array<float>& wide) {
      if (!wanted) return;
      if (is_wide()) {
        wide = matrix_of<float>(rows, p.dimension);
      } else {
        same = matrix_of<T>(rows, p.dimension);
      }
    };
    gradient(c.queries, p.rows, grad_q_, wide_q_);
    gradient(c.keys, p.keys, grad_k_, wide_k_);
    gradient(c.negatives && has_negatives_, p.negatives, grad_n_, wide_n_);
    gradient(c.row_negatives && p.of_a_row > 0, p.rows * p.of_a_row, grad_own_, wide_own_);
    if (c.loss) loss_ = vector_of<real>(c.reduction == culoss::reduction::none ? p.rows : 1);
    if (c.scale_gradient) grad_scale_ = vector_of<real>(1);
    if (c.counts) {
      correct_ = vector_of<std::int64_t>(1);
      if (c.symmetric) correct_columns_ = vector_of<std::int64_t>(1);
      rows_counted_ = vector_of<std::int64_t>(1);
    }
    if (c.masked) {
      query_ids_ = vector_of<std::int64_t>(p.rows);
      if (!c.symmetric && c.in_batch) key_ids_ = vector_of<std::int64_t>(p.keys);
      if (has_negatives_) negative_ids_ = vector_of<std::int64_t>(p.negatives);
    }
    if (c.mask) {
      first_masked_ = c.in_batch ? 0 : p.keys;
      mask_ = matrix_of<std::uint8_t>(p.rows, p.all_columns() - first_masked_);
    }
    if (c.row_weights) row_weights_ = vector_of<float>(p.rows);
    if (c.upstream == source::rows) upstream_rows_ = vector_of<float>(p.rows);
    for (array<float>* a : {&scale_, &upstream_, &normalizer_}) *a = vector_of<float>(1);
    if (how.where == space::cuda && how.workspace != kNoWorkspace) {
      const culoss::similarity_workspace w = workspace_of(c, p);
      const std::size_t bytes = how.workspace == kBestWorkspace ? w.best
                                : how.workspace == kLeastWorkspace
                                    ? w.least
                                    : static_cast<std::size_t>(how.workspace);
      scratch_ = buffer(how.where, {.row_bytes = bytes, .pitch = bytes});
      scratch_bytes_ = bytes;
    }
    write(p);
  }

  void write(const similarity_numbers& p) override {
    synchronize(how_.where, how_.stream);
    q_.write(p.q);
    k_.write(p.k);
    if (has_negatives_) n_.write(p.n);
    if (own_.given()) own_.write(p.own);
    for (array<T>* a : {&grad_q_, &grad_k_, &grad_n_, &grad_own_}) prepare(*a);
    for (array<float>* a : {&wide_q_, &wide_k_, &wide_n_, &wide_own_}) prepare(*a);
    for (array<real>* a : {&loss_, &grad_scale_}) a->poison();
    for (array<std::int64_t>* a : {&correct_, &correct_columns_, &rows_counted_}) a->poison();
    if (query_ids_.given()) query_ids_.write(p.query_ids);
    if (key_ids_.given()) key_ids_.write(p.key_ids);
    if (negative_ids_.given()) negative_ids_.write(p.negative_ids);
    if (mask_.given()) {
      std::vector<std::uint8_t> part;
      for (std::int64_t i = 0; i < p.rows; ++i) {
        const auto row = p.mask.begin() + i * p.all_columns();
        part.insert(part.end(), row + first_masked_, row + p.all_columns());
      }
      mask_.write(part);
    }
    if (row_weights_.given()) row_weights_.write(p.row_weights);
    if (upstream_rows_.given()) upstream_rows_.write(p.upstream_rows);
    scale_.write(std::vector<float>{p.scale});
    upstream_.write(std::vector<float>{p.upstream});
    normalizer_.write(std::vector<float>{p.normalizer});
    scale_value_ = p.scale;
    upstream_value_ = p.upstream;
    normalizer_value_ = p.normalizer;
    if (scratch_bytes_ != 0) scratch_.poison();
  }

  culoss::status launch() override {
    if (how_.where == space::cpu) return launch_on(culoss::cpu{});
    if constexpr (std::is_same_v<T, double>) {
      return {culoss::status_code::unsupported, "double is for the CPU"};
    } else {
      return launch_on(culoss::cuda{.stream = how_.stream,
                                    .workspace = workspace(),
                                    .blas = how_.blas != nullptr ? how_.blas : &shared_blas()});
    }
  }

  results read(const culoss::status& launched) override {
    results r{.status = launched, .outputs = {}, .damage = {}};
    synchronize(how_.where, how_.stream);
    const auto take = [&r](const char* name, const auto& a) {
      if (a.given()) r.outputs.push_back({name, a.read(name, r.damage)});
    };
    take("loss", loss_);
    take("grad_queries", grad_q_);
    take("grad_queries", wide_q_);
    take("grad_keys", grad_k_);
    take("grad_keys", wide_k_);
    take("grad_negatives", grad_n_);
    take("grad_negatives", wide_n_);
    take("grad_row_negatives", grad_own_);
    take("grad_row_negatives", wide_own_);
    take("grad_scale", grad_scale_);
    take("correct", correct_);
    take("correct_columns", correct_columns_);
    take("rows_counted", rows_counted_);
    q_.check_unchanged("queries", r.damage);
    k_.check_unchanged("keys", r.damage);
    n_.check_unchanged("negatives", r.damage);
    own_.check_unchanged("row_negatives", r.damage);
    query_ids_.check_unchanged("query_ids", r.damage);
    key_ids_.check_unchanged("key_ids", r.damage);
    negative_ids_.check_unchanged("negative_ids", r.damage);
    mask_.check_unchanged("mask", r.damage);
    row_weights_.check_unchanged("row_weights", r.damage);
    upstream_rows_.check_unchanged("upstream_rows", r.damage);
    scale_.check_unchanged("scale", r.damage);
    upstream_.check_unchanged("upstream", r.damage);
    normalizer_.check_unchanged("normalizer", r.damage);
    if (scratch_bytes_ != 0) {
      const std::string outside = scratch_.read(nullptr, false);
      if (!outside.empty()) r.damage += "; workspace: " + outside;
    }
    return r;
  }

  culoss::workspace workspace() const override { return {scratch_.data(), scratch_bytes_}; }
  std::pair<simt::watch::range_traffic, simt::watch::range_traffic> own_traffic() const override {
    const auto of = [](const array<T>& a) {
      return a.given() ? simt::watch::count_range(a.data(), a.span_bytes())
                       : simt::watch::range_traffic{};
    };
    return {of(own_), of(grad_own_)};
  }

 private:
  using real = culoss::real_of<T>;
  static constexpr bool kNarrow = sizeof(storage_of<T>) == 2;

  bool is_wide() const { return kNarrow && c_.wide; }
  template <class U>
  array<U> matrix_of(std::int64_t rows, std::int64_t cols) const {
    return {how_.where, rows, cols, how_.padding, how_.offset};
  }
  template <class U>
  array<U> vector_of(std::int64_t size) const {
    return {how_.where, size, how_.offset};
  }
  template <class U>
  void prepare(array<U>& gradient) const {
    if (!gradient.given()) return;
    if (!c_.accumulate) return gradient.poison();
    std::vector<double> before(static_cast<std::size_t>(gradient.size()));
    for (std::size_t i = 0; i < before.size(); ++i) {
      before[i] = standing(static_cast<std::int64_t>(i));
    }
    gradient.write(before);
  }
  culoss::gradient_matrix<T> gradient_of(const array<T>& same, const array<float>& wide) const {
    if constexpr (kNarrow) {
      if (wide.given()) return wide.as_matrix();
    }
    return same.given() ? same.as_matrix() : culoss::matrix<T>();
  }
  static culoss::scalar scalar_of(source s, float value, const array<float>& device) {
    if (s == source::device) return static_cast<const float*>(device.data());
    return s == source::value ? culoss::scalar(value) : culoss::scalar();
  }

  template <class Options>
  void set_options(Options& o) const {
    o.reduction = c_.reduction;
    o.normalize = c_.normalize;
    (c_.log_scale ? o.log_scale : o.temperature) = scalar_of(c_.scale, scale_value_, scale_);
    if (mask_.given()) o.mask = mask_.as_matrix();
    o.margin = c_.margin;
    if (row_weights_.given()) o.row_weights = row_weights_.as_vector();
    o.normalizer = scalar_of(c_.normalizer, normalizer_value_, normalizer_);
    if (upstream_rows_.given()) {
      o.upstream_rows = upstream_rows_.as_vector();
    } else {
      o.upstream = scalar_of(c_.upstream, upstream_value_, upstream_);
    }
    o.accumulate = c_.accumulate;
    o.allow_tf32 = c_.allow_tf32;
    o.plan = c_.plan;
    o.empty = c_.empty;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) {
    if (c_.symmetric) {
      culoss::clip_outputs<T> out;
      out.loss = loss_.as_vector();
      out.grad_images = gradient_of(grad_q_, wide_q_);
      out.grad_texts = gradient_of(grad_k_, wide_k_);
      out.grad_scale = grad_scale_.as_vector();
      out.correct_images = correct_.as_vector();
      out.correct_texts = correct_columns_.as_vector();
      out.rows_counted = rows_counted_.as_vector();
      culoss::clip_options o;
      set_options(o);
      if (query_ids_.given()) o.ids = query_ids_.as_vector();
      return culoss::clip(where, q_.as_matrix(), k_.as_matrix(), out, o);
    }
    culoss::info_nce_outputs<T> out;
    out.loss = loss_.as_vector();
    out.grad_queries = gradient_of(grad_q_, wide_q_);
    out.grad_keys = gradient_of(grad_k_, wide_k_);
    out.grad_negatives = gradient_of(grad_n_, wide_n_);
    out.grad_row_negatives = gradient_of(grad_own_, wide_own_);
    out.grad_scale = grad_scale_.as_vector();
    out.correct = correct_.as_vector();
    out.rows_counted = rows_counted_.as_vector();
    culoss::info_nce_options o;
    set_options(o);
    o.positive_offset = offset_;
    o.in_batch = c_.in_batch;
    if (query_ids_.given()) o.query_ids = query_ids_.as_vector();
    if (key_ids_.given()) o.key_ids = key_ids_.as_vector();
    if (negative_ids_.given()) o.negative_ids = negative_ids_.as_vector();
    const culoss::matrix<const T> negatives = has_negatives_ ? n_.as_matrix() : culoss::matrix<T>();
    if (own_.given()) {
      return culoss::info_nce(where, q_.as_matrix(), k_.as_matrix(), negatives, own_.as_matrix(),
                              out, o);
    }
    return culoss::info_nce(where, q_.as_matrix(), k_.as_matrix(), negatives, out, o);
  }

  similarity_choice c_;
  similarity_execution how_;
  std::int64_t rows_, offset_, first_masked_ = 0;
  bool has_negatives_;
  float scale_value_ = 1, upstream_value_ = 1, normalizer_value_ = 1;
  array<T> q_, k_, n_, own_, grad_q_, grad_k_, grad_n_, grad_own_;
  array<float> wide_q_, wide_k_, wide_n_, wide_own_, row_weights_, upstream_rows_;
  array<float> scale_, upstream_, normalizer_;
  array<real> loss_, grad_scale_;
  array<std::int64_t> correct_, correct_columns_, rows_counted_;
  array<std::int64_t> query_ids_, key_ids_, negative_ids_;
  array<std::uint8_t> mask_;
  buffer scratch_;
  std::size_t scratch_bytes_ = 0;
};

std::unique_ptr<similarity_call_base> prepare(const similarity_choice& c,
                                              const similarity_numbers& p,
                                              const similarity_execution& how = {});

}  // namespace culoss_test
