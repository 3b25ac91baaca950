// mined_triplet as the tests see it: numbers, one choice of options, a call, what came back.
#pragma once

#include <culoss/mined_triplet.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/cases/similarity.hpp"

namespace culoss_test {

struct mined_numbers {
  element type = element::float32;
  std::int64_t rows = 0, dimension = 0;
  std::vector<double> x;  // exact in the type
  std::vector<std::int64_t> labels;
  std::int64_t ignore_index = -100;
  std::vector<float> row_weights, upstream_rows;
  float upstream = 1, normalizer = 1;
};

// Which options and outputs a call uses.
struct mined_choice {
  using numbers = mined_numbers;
  using execution = similarity_execution;

  culoss::mining_rule rule = culoss::mining_rule::batch_hard;
  culoss::triplet_distance distance = culoss::triplet_distance::euclidean;
  float margin = 0.5f;
  bool soft_margin = false;
  culoss::reduction reduction = culoss::reduction::mean;
  culoss::empty_batch empty = culoss::empty_batch::zero;
  bool row_weights = false;
  source upstream = source::value;  // or device, rows
  source normalizer = source::absent;
  bool accumulate = false;
  bool allow_tf32 = false;
  bool wide = false;  // the gradient in float
  bool wide_labels = true;
  // What is asked for.
  bool loss = true, gradient = true, indices = true, counts = true;

  bool all() const { return rule == culoss::mining_rule::batch_all; }
};

inline culoss::mined_triplet_workspace_bytes workspace_of(const mined_choice& c,
                                                          const mined_numbers& p) {
  return culoss::mined_triplet_workspace(
      {.rows = p.rows, .dimension = p.dimension, .rule = c.rule});
}

template <class T>
class mined_call : public call_with<mined_numbers> {
 public:
  mined_call(const mined_choice& c, const mined_numbers& p, const similarity_execution& how)
      : c_(c), how_(how), ignore_index_(p.ignore_index) {
    x_ = {how.where, p.rows, p.dimension, how.padding, how.offset};
    if (c.gradient && is_wide()) {
      wide_gradient_ = {how.where, p.rows, p.dimension, how.padding, how.offset};
    } else if (c.gradient) {
      gradient_ = {how.where, p.rows, p.dimension, how.padding, how.offset};
    }
    if (c.wide_labels) {
      wide_labels_ = vector_of<std::int64_t>(p.rows);
    } else {
      labels_ = vector_of<std::int32_t>(p.rows);
    }
    if (c.loss) loss_ = vector_of<real>(c.reduction == culoss::reduction::none ? p.rows : 1);
    if (c.indices && !c.all()) {
      positives_ = vector_of<std::int64_t>(p.rows);
      negatives_ = vector_of<std::int64_t>(p.rows);
    }
    if (c.counts) rows_counted_ = vector_of<std::int64_t>(1);
    if (c.row_weights) row_weights_ = vector_of<float>(p.rows);
    if (c.upstream == source::rows) upstream_rows_ = vector_of<float>(p.rows);
    for (array<float>* a : {&upstream_, &normalizer_}) *a = vector_of<float>(1);
    if (how.where == space::cuda && how.workspace != kNoWorkspace) {
      const culoss::mined_triplet_workspace_bytes w = workspace_of(c, p);
      scratch_bytes_ = how.workspace == kBestWorkspace    ? w.best
                       : how.workspace == kLeastWorkspace ? w.least
                                                          : static_cast<std::size_t>(how.workspace);
      scratch_ = buffer(how.where, {.row_bytes = scratch_bytes_, .pitch = scratch_bytes_});
    }
    write(p);
  }

  void write(const mined_numbers& p) override {
    synchronize(how_.where, how_.stream);
    x_.write(p.x);
    if (labels_.given()) labels_.write(p.labels);
    if (wide_labels_.given()) wide_labels_.write(p.labels);
    prepare(gradient_);
    prepare(wide_gradient_);
    loss_.poison();
    for (array<std::int64_t>* a : {&positives_, &negatives_, &rows_counted_}) a->poison();
    if (row_weights_.given()) row_weights_.write(p.row_weights);
    if (upstream_rows_.given()) upstream_rows_.write(p.upstream_rows);
    upstream_.write(std::vector<float>{p.upstream});
    normalizer_.write(std::vector<float>{p.normalizer});
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
                                    .workspace = {scratch_.data(), scratch_bytes_},
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
    take("gradient", gradient_);
    take("gradient", wide_gradient_);
    take("positives", positives_);
    take("negatives", negatives_);
    take("rows_counted", rows_counted_);
    x_.check_unchanged("embeddings", r.damage);
    labels_.check_unchanged("labels", r.damage);
    wide_labels_.check_unchanged("labels", r.damage);
    row_weights_.check_unchanged("row_weights", r.damage);
    upstream_rows_.check_unchanged("upstream_rows", r.damage);
    upstream_.check_unchanged("upstream", r.damage);
    normalizer_.check_unchanged("normalizer", r.damage);
    if (scratch_bytes_ != 0) {
      const std::string outside = scratch_.read(nullptr, false);
      if (!outside.empty()) r.damage += "; workspace: " + outside;
    }
    return r;
  }

 private:
  using real = culoss::real_of<T>;
  static constexpr bool kNarrow = sizeof(storage_of<T>) == 2;

  bool is_wide() const { return kNarrow && c_.wide; }
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
  static culoss::scalar scalar_of(source s, float value, const array<float>& device) {
    if (s == source::device) return static_cast<const float*>(device.data());
    return s == source::value ? culoss::scalar(value) : culoss::scalar();
  }

  template <class Where>
  culoss::status launch_on(const Where& where) {
    culoss::mined_triplet_outputs<T> out;
    out.loss = loss_.as_vector();
    if (gradient_.given()) out.grad_embeddings = gradient_.as_matrix();
    if constexpr (kNarrow) {
      if (wide_gradient_.given()) out.grad_embeddings = wide_gradient_.as_matrix();
    }
    out.positives = positives_.as_vector();
    out.negatives = negatives_.as_vector();
    out.rows_counted = rows_counted_.as_vector();
    culoss::mined_triplet_options o;
    o.rule = c_.rule;
    o.distance = c_.distance;
    o.margin = c_.margin;
    o.soft_margin = c_.soft_margin;
    o.reduction = c_.reduction;
    o.ignore_index = ignore_index_;
    if (row_weights_.given()) o.row_weights = row_weights_.as_vector();
    o.normalizer = scalar_of(c_.normalizer, normalizer_value_, normalizer_);
    if (upstream_rows_.given()) {
      o.upstream_rows = upstream_rows_.as_vector();
    } else {
      o.upstream = scalar_of(c_.upstream, upstream_value_, upstream_);
    }
    o.accumulate = c_.accumulate;
    o.allow_tf32 = c_.allow_tf32;
    o.empty = c_.empty;
    const culoss::label_view labels = c_.wide_labels ? culoss::label_view(wide_labels_.as_vector())
                                                     : culoss::label_view(labels_.as_vector());
    return culoss::mined_triplet(where, x_.as_matrix(), labels, out, o);
  }

  mined_choice c_;
  similarity_execution how_;
  std::int64_t ignore_index_;
  float upstream_value_ = 1, normalizer_value_ = 1;
  array<T> x_, gradient_;
  array<float> wide_gradient_, row_weights_, upstream_rows_, upstream_, normalizer_;
  array<std::int32_t> labels_;
  array<std::int64_t> wide_labels_, positives_, negatives_, rows_counted_;
  array<real> loss_;
  buffer scratch_;
  std::size_t scratch_bytes_ = 0;
};

std::unique_ptr<call_with<mined_numbers>> prepare(const mined_choice& c, const mined_numbers& p,
                                                  const similarity_execution& how = {});

}  // namespace culoss_test
