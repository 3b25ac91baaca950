// Linear cross-entropy as the tests see it: numbers, one choice of options, a call, what came back.
#pragma once

#include <culoss/linear_cross_entropy.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/cases/cross_entropy_bounds.hpp"
#include "tests/cases/similarity.hpp"

namespace culoss_test {

// Hidden states, weights and biases, exact in their types, beside the rows' labels and weights; the
// rows' logits are the exact products.
struct linear_numbers {
  element type = element::float32;
  problem rows;
  std::int64_t dimension = 0;
  std::vector<double> h, w, bias;

  std::int64_t classes() const { return rows.cols; }
  void find_logits(bool with_bias) {
    rows.x.assign(static_cast<std::size_t>(rows.rows * rows.cols), 0.0);
    for (std::int64_t i = 0; i < rows.rows; ++i) {
      for (std::int64_t j = 0; j < rows.cols; ++j) {
        double sum = 0;
        for (std::int64_t d = 0; d < dimension; ++d) {
          sum += h[static_cast<std::size_t>(i * dimension + d)] *
                 w[static_cast<std::size_t>(j * dimension + d)];
        }
        rows.row(i)[j] = sum + (with_bias ? bias[static_cast<std::size_t>(j)] : 0.0);
      }
    }
  }
};

// How the gradients are had.
enum class linear_mode {
  fused,   // in the forward call
  split,   // by the backward, from the statistics that the forward left
  shards,  // likewise of each shard of the classes, from the merged statistics
};

struct linear_numbers;
struct linear_execution;

struct linear_choice : cross_entropy_choice {
  using numbers = linear_numbers;
  using execution = linear_execution;

  linear_mode mode = linear_mode::fused;
  std::vector<std::int64_t> shards;  // their widths, under shards
  bool bias = true;
  bool wide = false;  // gradients in float
  bool accumulate = false;
  bool allow_tf32 = false;
  // What is asked for, beside what cross_entropy_choice says.
  bool loss = true, statistics = true, grad_hidden = true, grad_weight = true, grad_bias = true;

  bool gradients() const { return grad_hidden || grad_weight || (grad_bias && bias); }
};

struct linear_execution {
  space where = space::cuda;
  std::int64_t offset = 0;   // elements by which each pointer is off a 256-byte boundary
  std::int64_t padding = 0;  // elements between rows
  std::int64_t workspace = kBestWorkspace;
  bool zeros_in_workspace = false;  // instead of poison
  bool record_faults = false;
  CUstream_st* stream = nullptr;
  culoss::cublas* blas = nullptr;  // null: one that all tests share
  int threads = 0;                 // on the CPU
};

inline culoss::linear_cross_entropy_shape shape_of(const linear_choice& c,
                                                   const linear_numbers& p) {
  return {.rows = p.rows.rows,
          .classes = p.classes(),
          .dimension = p.dimension,
          .element_bytes = format_of(p.type).bytes,
          .hidden_gradient = c.grad_hidden,
          .weight_gradient = c.grad_weight,
          .bias_gradient = c.grad_bias && c.bias};
}

class linear_call_base : public call_with<linear_numbers> {
 public:
  virtual std::size_t workspace_bytes() const = 0;
};

template <class T>
class linear_call : public linear_call_base {
 public:
  linear_call(const linear_choice& c, const linear_numbers& p, const linear_execution& how)
      : c_(c), how_(how), rows_(p.rows.rows), classes_(p.classes()), dimension_(p.dimension) {
    if (c.mode == linear_mode::shards) {
      widths_ = c.shards;
    } else {
      widths_ = {classes_};
    }
    h_ = matrix_of<T>(rows_, dimension_);
    w_ = matrix_of<T>(classes_, dimension_);
    if (c.bias) bias_ = vector_of<real>(classes_);
    if (c.wide_labels) {
      wide_labels_ = vector_of<std::int64_t>(rows_);
    } else {
      labels_ = vector_of<std::int32_t>(rows_);
    }
    if (c.class_weights) class_weights_ = vector_of<float>(classes_);
    if (c.row_weights) row_weights_ = vector_of<float>(rows_);
    if (c.upstream == source::rows) upstream_rows_ = vector_of<float>(rows_);
    for (array<float>* a : {&temperature_, &upstream_, &normalizer_}) *a = vector_of<float>(1);
    const std::int64_t losses = c.none() ? rows_ : 1;
    if (c.loss) loss_ = vector_of<real>(losses);
    if (c.z_loss_output) z_loss_ = vector_of<real>(losses);
    if (c.entropy) entropy_ = vector_of<real>(rows_);
    if (c.more_outputs) {
      lse_ = vector_of<real>(rows_);
      argmax_ = vector_of<std::int64_t>(rows_);
      correct_ = vector_of<std::int64_t>(1);
      rows_counted_ = vector_of<std::int64_t>(1);
    }
    if (c.statistics || c.mode != linear_mode::fused) statistics_ = vector_of<real>(4 * rows_);
    if (is_sharded()) {
      shards_ = {how.where, size() * rows_ * kRecordWords, 0};
    }
    for (std::size_t s = 0; s < widths_.size() && c.grad_hidden; ++s) {
      if (is_wide()) {
        wide_dh_.push_back(matrix_of<float>(rows_, dimension_));
      } else {
        dh_.push_back(matrix_of<T>(rows_, dimension_));
      }
    }
    if (c.grad_weight && is_wide()) wide_dw_ = matrix_of<float>(classes_, dimension_);
    if (c.grad_weight && !is_wide()) dw_ = matrix_of<T>(classes_, dimension_);
    if (c.grad_bias && c.bias) db_ = vector_of<real>(classes_);
    if (how.record_faults) faults_ = {how.where, 4, 0};
    if (how.where == space::cuda && how.workspace != kNoWorkspace && rows_ > 0) {
      scratch_bytes_ = bytes_for(p);
      scratch_ = buffer(how.where, {.row_bytes = scratch_bytes_, .pitch = scratch_bytes_});
    }
    write(p);
  }

  void write(const linear_numbers& p) override {
    synchronize(how_.where, how_.stream);
    h_.write(p.h);
    w_.write(p.w);
    if (bias_.given()) bias_.write(p.bias);
    if (c_.wide_labels) {
      wide_labels_.write(p.rows.labels);
    } else {
      labels_.write(p.rows.labels);
    }
    if (class_weights_.given()) class_weights_.write(p.rows.class_weights);
    if (row_weights_.given()) row_weights_.write(p.rows.row_weights);
    if (upstream_rows_.given()) upstream_rows_.write(p.rows.upstream_rows);
    temperature_.write(std::vector<float>{p.rows.temperature});
    upstream_.write(std::vector<float>{p.rows.upstream});
    normalizer_.write(std::vector<float>{p.rows.normalizer});
    temperature_value_ = p.rows.temperature;
    upstream_value_ = p.rows.upstream;
    normalizer_value_ = p.rows.normalizer;
    for (array<real>* a : {&loss_, &z_loss_, &entropy_, &lse_, &statistics_}) a->poison();
    for (array<std::int64_t>* a : {&argmax_, &correct_, &rows_counted_, &shards_}) a->poison();
    for (array<T>& a : dh_) prepare(a);
    for (array<float>& a : wide_dh_) prepare(a);
    prepare(dw_);
    prepare(wide_dw_);
    prepare(db_);
    if (faults_.given()) faults_.write(std::vector<int>(4, 0));
    if (scratch_bytes_ != 0) scratch_.poison();
    if (how_.zeros_in_workspace) scratch_.write(std::vector<std::byte>(scratch_bytes_).data());
  }

  culoss::status launch() override {
    if (how_.where == space::cpu) {
      return launch_on(culoss::cpu{.threads = how_.threads, .faults = fault_record()});
    }
    if constexpr (std::is_same_v<T, double>) {
      return {culoss::status_code::unsupported, "double is for the CPU"};
    } else {
      return launch_on(culoss::cuda{.stream = how_.stream,
                                    .workspace = {scratch_.data(), scratch_bytes_},
                                    .faults = fault_record(),
                                    .blas = how_.blas != nullptr ? how_.blas : &shared_blas()});
    }
  }

  results read(const culoss::status& launched) override {
    results r{.status = launched, .outputs = {}, .faults = {}, .damage = {}};
    synchronize(how_.where, how_.stream);
    const auto take = [&r](const char* name, const auto& a) {
      if (a.given()) r.outputs.push_back({name, a.read(name, r.damage)});
    };
    take("loss", loss_);
    take_hidden(r);
    take("grad_weight", dw_);
    take("grad_weight", wide_dw_);
    take("grad_bias", db_);
    take("lse", lse_);
    if (statistics_.given()) {
      std::vector<double> four = statistics_.read("statistics", r.damage);
      if (c_.statistics) r.outputs.push_back({"statistics", four});
    }
    take("argmax", argmax_);
    take("correct", correct_);
    take("rows_counted", rows_counted_);
    take("z_loss", z_loss_);
    take("entropy", entropy_);
    if (shards_.given()) (void)shards_.read("shards", r.damage);
    h_.check_unchanged("hidden", r.damage);
    w_.check_unchanged("weight", r.damage);
    bias_.check_unchanged("bias", r.damage);
    labels_.check_unchanged("labels", r.damage);
    wide_labels_.check_unchanged("labels", r.damage);
    class_weights_.check_unchanged("class_weights", r.damage);
    row_weights_.check_unchanged("row_weights", r.damage);
    upstream_rows_.check_unchanged("upstream_rows", r.damage);
    temperature_.check_unchanged("temperature", r.damage);
    upstream_.check_unchanged("upstream", r.damage);
    normalizer_.check_unchanged("normalizer", r.damage);
    if (scratch_bytes_ != 0) {
      const std::string outside = scratch_.read(nullptr, false);
      if (!outside.empty()) r.damage += "; workspace: " + outside;
    }
    if (how_.record_faults) read_faults(r);
    return r;
  }
  std::size_t workspace_bytes() const override { return scratch_bytes_; }

 private:
  using real = culoss::real_of<T>;
  using record = culoss::shard_statistics<real>;
  static constexpr bool kNarrow = sizeof(storage_of<T>) == 2;
  static constexpr std::int64_t kRecordWords = sizeof(record) / 8;

  bool is_sharded() const { return c_.mode == linear_mode::shards; }
  // Parts of a gradient are added up: in float.
  bool is_wide() const { return kNarrow && (c_.wide || is_sharded()); }
  std::int64_t size() const { return static_cast<std::int64_t>(widths_.size()); }
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
  // Of the widest shard.
  std::size_t bytes_for(const linear_numbers& p) const {
    if (how_.workspace >= 0) return static_cast<std::size_t>(how_.workspace);
    std::size_t most = 0;
    for (const std::int64_t width : widths_) {
      culoss::linear_cross_entropy_shape shape = shape_of(c_, p);
      shape.classes = width;
      const culoss::linear_cross_entropy_plan w = culoss::linear_cross_entropy_workspace(shape);
      most = std::max(most, how_.workspace == kBestWorkspace ? w.best : w.least);
    }
    return most;
  }
  static culoss::scalar scalar_of(source s, float value, const array<float>& device) {
    if (s == source::device) return static_cast<const float*>(device.data());
    return s == source::value ? culoss::scalar(value) : culoss::scalar();
  }
  culoss::label_view labels() const {
    return c_.wide_labels ? culoss::label_view(wide_labels_.as_vector())
                          : culoss::label_view(labels_.as_vector());
  }
  culoss::fault_record* fault_record() const {
    return reinterpret_cast<culoss::fault_record*>(faults_.data());
  }
  void read_faults(results& r) {
    const culoss::status s =
        how_.where == space::cpu
            ? culoss::read_faults(culoss::cpu{}, fault_record(), &r.faults)
            : culoss::read_faults(culoss::cuda{.stream = how_.stream}, fault_record(), &r.faults);
    if (!s.ok()) r.damage += std::string("; read_faults: ") + s.message();
  }
  // The sum of the shards' parts; what stood there before was added to each.
  void take_hidden(results& r) {
    std::vector<double> sum;
    const auto add = [&](const auto& parts) {
      for (const auto& a : parts) {
        const std::vector<double> part = a.read("grad_hidden", r.damage);
        if (sum.empty()) sum.assign(part.size(), 0.0);
        for (std::size_t i = 0; i < part.size(); ++i) {
          const bool again = c_.accumulate && &a != &parts.front();
          sum[i] += part[i] - (again ? standing(static_cast<std::int64_t>(i)) : 0.0);
        }
      }
    };
    add(dh_);
    add(wide_dh_);
    if (c_.grad_hidden) r.outputs.push_back({"grad_hidden", sum});
  }

  template <class Options>
  Options options() const {
    Options o;
    o.reduction = c_.reduction;
    o.label_smoothing = c_.smoothing;
    o.ignore_index = c_.ignore_index;
    o.temperature = scalar_of(c_.temperature_source, temperature_value_, temperature_);
    o.softcap = c_.softcap;
    o.z_loss = c_.z_loss;
    if (class_weights_.given()) o.class_weights = class_weights_.as_vector();
    if (row_weights_.given()) o.row_weights = row_weights_.as_vector();
    o.normalizer = scalar_of(c_.normalizer_source, normalizer_value_, normalizer_);
    if (upstream_rows_.given()) {
      o.upstream_rows = upstream_rows_.as_vector();
    } else {
      o.upstream = scalar_of(c_.upstream, upstream_value_, upstream_);
    }
    o.empty = c_.empty;
    if (is_sharded()) o.classes = classes_;
    return o;
  }
  culoss::linear_cross_entropy_options linear_options(std::int64_t first_class) const {
    auto o = options<culoss::linear_cross_entropy_options>();
    o.accumulate = c_.accumulate;
    o.allow_tf32 = c_.allow_tf32;
    o.class_offset = first_class;
    return o;
  }
  template <class Outputs>
  void set_rows(Outputs& out) const {
    out.loss = loss_.as_vector();
    out.lse = lse_.as_vector();
    out.statistics = saved();
    out.argmax = argmax_.as_vector();
    out.correct = correct_.as_vector();
    out.rows_counted = rows_counted_.as_vector();
    out.z_loss = z_loss_.as_vector();
    out.entropy = entropy_.as_vector();
  }
  culoss::vector<culoss::row_statistics<real>> saved() const {
    return {reinterpret_cast<culoss::row_statistics<real>*>(statistics_.data()),
            statistics_.given() ? rows_ : 0};
  }

  // Classes [first, first + width).
  culoss::matrix<const T> weight(std::int64_t first, std::int64_t width) const {
    const culoss::matrix<T> all = w_.as_matrix();
    return culoss::matrix<T>(from(all.data, first * all.ld), width, all.cols, all.ld);
  }
  culoss::vector<const real> bias(std::int64_t first, std::int64_t width) const {
    if (!bias_.given()) return {};
    return culoss::vector<real>(bias_.data() + first, width);
  }
  template <class U>
  static U* from(U* data, std::int64_t elements) {
    using bits = storage_of<U>;
    return reinterpret_cast<U*>(reinterpret_cast<bits*>(data) + elements);
  }
  template <class U>
  static culoss::matrix<U> part(const array<U>& a, std::int64_t first, std::int64_t rows) {
    const culoss::matrix<U> all = a.as_matrix();
    return {from(all.data, first * all.ld), rows, all.cols, all.ld};
  }
  template <class Outputs>
  void set_gradients(Outputs& out, std::size_t shard, std::int64_t first,
                     std::int64_t width) const {
    if (c_.grad_hidden && is_wide()) set(out.grad_hidden, wide_dh_[shard].as_matrix());
    if (c_.grad_hidden && !is_wide()) out.grad_hidden = dh_[shard].as_matrix();
    if (wide_dw_.given()) set(out.grad_weight, part(wide_dw_, first, width));
    if (dw_.given()) out.grad_weight = part(dw_, first, width);
    if (db_.given()) out.grad_bias = {db_.data() + first, width};
  }
  static void set(culoss::gradient_matrix<T>& to, const culoss::matrix<float>& m) {
    if constexpr (kNarrow) to = m;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) {
    const culoss::matrix<const T> h = h_.as_matrix();
    if (!is_sharded()) {
      culoss::linear_cross_entropy_outputs<T> out;
      set_rows(out);
      if (c_.mode == linear_mode::fused) set_gradients(out, 0, 0, classes_);
      const culoss::status s = culoss::linear_cross_entropy(
          where, h, weight(0, classes_), bias(0, classes_), labels(), out, linear_options(0));
      if (!s.ok() || c_.mode == linear_mode::fused) return s;
      return launch_backward(where, 0, 0, classes_);
    }
    auto* const records = reinterpret_cast<record*>(shards_.data());
    std::int64_t first = 0;
    culoss::status s;
    for (std::size_t k = 0; k < widths_.size() && s.ok(); ++k) {
      culoss::linear_cross_entropy_outputs<T> out;
      out.shards = {records + static_cast<std::int64_t>(k) * rows_, rows_};
      s = culoss::linear_cross_entropy(where, h, weight(first, widths_[k]), bias(first, widths_[k]),
                                       labels(), out, linear_options(first));
      first += widths_[k];
    }
    if (!s.ok()) return s;
    culoss::merged_outputs<real> merged;
    set_rows(merged);
    s = culoss::merge_statistics(where, culoss::matrix<const record>(records, size(), rows_),
                                 labels(), merged, options<culoss::cross_entropy_options>());
    first = 0;
    for (std::size_t k = 0; k < widths_.size() && s.ok() && c_.gradients(); ++k) {
      s = launch_backward(where, k, first, widths_[k]);
      first += widths_[k];
    }
    return s;
  }
  template <class Where>
  culoss::status launch_backward(const Where& where, std::size_t shard, std::int64_t first,
                                 std::int64_t width) {
    culoss::linear_cross_entropy_backward_outputs<T> out;
    set_gradients(out, shard, first, width);
    return culoss::linear_cross_entropy_backward(where, h_.as_matrix(), weight(first, width),
                                                 bias(first, width), labels(), saved(), out,
                                                 linear_options(first));
  }

  linear_choice c_;
  linear_execution how_;
  std::int64_t rows_, classes_, dimension_;
  std::vector<std::int64_t> widths_;
  float temperature_value_ = 1, upstream_value_ = 1, normalizer_value_ = 1;
  array<T> h_, w_, dw_;
  array<real> bias_, db_, loss_, z_loss_, entropy_, lse_, statistics_;
  std::vector<array<T>> dh_;  // of each shard
  std::vector<array<float>> wide_dh_;
  array<float> wide_dw_, class_weights_, row_weights_, upstream_rows_;
  array<float> temperature_, upstream_, normalizer_;
  array<std::int32_t> labels_;
  array<std::int64_t> wide_labels_, argmax_, correct_, rows_counted_, shards_, faults_;
  buffer scratch_;
  std::size_t scratch_bytes_ = 0;
};

std::unique_ptr<linear_call_base> prepare(const linear_choice& c, const linear_numbers& p,
                                          const linear_execution& how = {});

}  // namespace culoss_test
