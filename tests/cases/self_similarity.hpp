// NT-Xent and the supervised contrastive loss as the tests see them: numbers, one choice of options,
// a call, what came back.
#pragma once

#include <culoss/self_similarity.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tests/cases/similarity.hpp"

namespace culoss_test {

enum class self_loss { nt_xent, sup_con };
inline constexpr self_loss kSelfLosses[] = {self_loss::nt_xent, self_loss::sup_con};
inline std::string name_of(self_loss l) { return l == self_loss::nt_xent ? "nt_xent" : "sup_con"; }

struct self_numbers {
  element type = element::float32;
  std::int64_t rows = 0, dimension = 0;
  std::vector<double> z;                  // exact in the type
  std::vector<std::int64_t> ids, labels;  // nt_xent's and sup_con's
  std::vector<float> row_weights, upstream_rows;
  float scale = 1;  // the temperature or log-scale, as the choice says
  float upstream = 1, normalizer = 1;
};

// Which options and outputs a call uses.
struct self_choice {
  using numbers = self_numbers;
  using execution = similarity_execution;

  self_loss which = self_loss::nt_xent;
  bool normalize = true;
  bool masked = false;       // ids are given
  bool wide_labels = false;  // int64
  bool log_scale = false;
  source scale = source::value;
  bool row_weights = false;
  source upstream = source::value;  // or device, rows
  source normalizer = source::absent;
  culoss::reduction reduction = culoss::reduction::mean;
  culoss::empty_batch empty = culoss::empty_batch::zero;
  bool accumulate = false;
  bool allow_tf32 = false;
  bool wide = false;  // the gradient in float
  // What is asked for.
  bool loss = true, gradient = true, scale_gradient = true, counts = true;

  bool labeled() const { return which == self_loss::sup_con; }
};

inline self_choice forward_only(self_choice c) {
  c.gradient = false;
  return c;
}

inline culoss::similarity_workspace workspace_of(const self_choice& c, const self_numbers& p) {
  const culoss::self_similarity_shape shape{.rows = p.rows,
                                            .dimension = p.dimension,
                                            .element_bytes = format_of(p.type).bytes,
                                            .gradients = c.gradient};
  return c.labeled() ? culoss::sup_con_workspace(shape) : culoss::nt_xent_workspace(shape);
}

template <class T>
class self_call : public call_with<self_numbers> {
 public:
  self_call(const self_choice& c, const self_numbers& p, const similarity_execution& how)
      : c_(c), how_(how) {
    z_ = {how.where, p.rows, p.dimension, how.padding, how.offset};
    if (c.gradient && is_wide()) {
      wide_ = {how.where, p.rows, p.dimension, how.padding, how.offset};
    } else if (c.gradient) {
      same_ = {how.where, p.rows, p.dimension, how.padding, how.offset};
    }
    if (c.loss) loss_ = vector_of<real>(c.reduction == culoss::reduction::none ? p.rows : 1);
    if (c.scale_gradient) grad_scale_ = vector_of<real>(1);
    if (c.counts) {
      if (!c.labeled()) correct_ = vector_of<std::int64_t>(1);
      rows_counted_ = vector_of<std::int64_t>(1);
    }
    if (c.labeled() && c.wide_labels) labels_ = vector_of<std::int64_t>(p.rows);
    if (c.labeled() && !c.wide_labels) narrow_labels_ = vector_of<std::int32_t>(p.rows);
    if (!c.labeled() && c.masked) ids_ = vector_of<std::int64_t>(p.rows);
    if (c.row_weights) row_weights_ = vector_of<float>(p.rows);
    if (c.upstream == source::rows) upstream_rows_ = vector_of<float>(p.rows);
    for (array<float>* a : {&scale_, &upstream_, &normalizer_}) *a = vector_of<float>(1);
    if (how.where == space::cuda && how.workspace != kNoWorkspace) {
      const culoss::similarity_workspace w = workspace_of(c, p);
      scratch_bytes_ = how.workspace == kBestWorkspace    ? w.best
                       : how.workspace == kLeastWorkspace ? w.least
                                                          : static_cast<std::size_t>(how.workspace);
      scratch_ = buffer(how.where, {.row_bytes = scratch_bytes_, .pitch = scratch_bytes_});
    }
    write(p);
  }

  void write(const self_numbers& p) override {
    synchronize(how_.where, how_.stream);
    z_.write(p.z);
    prepare(same_);
    prepare(wide_);
    for (array<real>* a : {&loss_, &grad_scale_}) a->poison();
    for (array<std::int64_t>* a : {&correct_, &rows_counted_}) a->poison();
    if (ids_.given()) ids_.write(p.ids);
    if (labels_.given()) labels_.write(p.labels);
    if (narrow_labels_.given()) narrow_labels_.write(p.labels);
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
    take("grad_embeddings", same_);
    take("grad_embeddings", wide_);
    take("grad_scale", grad_scale_);
    take("correct", correct_);
    take("rows_counted", rows_counted_);
    z_.check_unchanged("embeddings", r.damage);
    ids_.check_unchanged("ids", r.damage);
    labels_.check_unchanged("labels", r.damage);
    narrow_labels_.check_unchanged("labels", r.damage);
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
  culoss::gradient_matrix<T> gradient() const {
    if constexpr (kNarrow) {
      if (wide_.given()) return wide_.as_matrix();
    }
    return same_.given() ? same_.as_matrix() : culoss::matrix<T>();
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
  }
  template <class Outputs>
  void set_outputs(Outputs& out) const {
    out.loss = loss_.as_vector();
    out.grad_embeddings = gradient();
    out.grad_scale = grad_scale_.as_vector();
    out.rows_counted = rows_counted_.as_vector();
  }

  template <class Where>
  culoss::status launch_on(const Where& where) {
    if (c_.labeled()) {
      culoss::sup_con_outputs<T> out;
      set_outputs(out);
      culoss::sup_con_options o;
      set_options(o);
      const culoss::label_view labels = labels_.given()
                                            ? culoss::label_view(labels_.as_vector())
                                            : culoss::label_view(narrow_labels_.as_vector());
      return culoss::sup_con(where, z_.as_matrix(), labels, out, o);
    }
    culoss::nt_xent_outputs<T> out;
    set_outputs(out);
    out.correct = correct_.as_vector();
    culoss::nt_xent_options o;
    set_options(o);
    if (ids_.given()) o.ids = ids_.as_vector();
    return culoss::nt_xent(where, z_.as_matrix(), out, o);
  }

  self_choice c_;
  similarity_execution how_;
  float scale_value_ = 1, upstream_value_ = 1, normalizer_value_ = 1;
  array<T> z_, same_;
  array<float> wide_, row_weights_, upstream_rows_;
  array<float> scale_, upstream_, normalizer_;
  array<real> loss_, grad_scale_;
  array<std::int64_t> correct_, rows_counted_, ids_, labels_;
  array<std::int32_t> narrow_labels_;
  buffer scratch_;
  std::size_t scratch_bytes_ = 0;
};

std::unique_ptr<call_with<self_numbers>> prepare(const self_choice& c, const self_numbers& p,
                                                 const similarity_execution& how = {});

}  // namespace culoss_test
