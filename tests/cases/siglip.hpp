// SigLIP as the tests see it: numbers, one choice of options, a call, what came back. Images are the
// queries of the other losses over similarities, texts their keys.
#pragma once

#include <culoss/siglip.hpp>

#include "tests/cases/similarity_check.hpp"

namespace culoss_test {

struct siglip_numbers : similarity_numbers {
  float bias = 0;
};

struct siglip_choice : similarity_choice {
  using numbers = siglip_numbers;
  using execution = similarity_execution;

  bool positives = true;
  source bias = source::value;
  bool bias_gradient = true;
};

inline siglip_choice without_gradients(siglip_choice c) {
  c.queries = c.keys = false;
  return c;
}
// A loss for each row, and the scale as its logarithm.
inline siglip_choice siglip_of_each_row() {
  siglip_choice c;
  c.log_scale = true;
  c.reduction = culoss::reduction::none;
  return c;
}

inline culoss::similarity_workspace siglip_workspace_of(const siglip_choice& c,
                                                        const similarity_numbers& p) {
  return culoss::siglip_workspace(shape_of(c, p));
}

// Embeddings, ids and weights as those of the other losses; a bias that leaves pairs on both sides.
inline siglip_numbers make_siglip(const siglip_choice& c, const similarity_input& in) {
  siglip_numbers p;
  similarity_input positives = in;  // fewer texts than images are those of a longer batch
  positives.keys = std::max(in.keys, in.rows + in.offset);
  static_cast<similarity_numbers&>(p) = make_similarity(c, positives);
  p.keys = in.keys;
  p.k.resize(static_cast<std::size_t>(in.keys * in.dimension));
  p.key_ids.resize(static_cast<std::size_t>(in.keys));
  p.bias = -2.5f;
  return p;
}

inline std::string describe(const siglip_choice& c, const siglip_numbers& p) {
  return "siglip" + describe(static_cast<const similarity_choice&>(c), p).substr(8) +
         (c.positives ? "" : ", no positives") + ", bias " + std::to_string(p.bias) +
         (c.bias == source::device ? " on the device" : "");
}

template <class T>
class siglip_call : public call_with<siglip_numbers> {
 public:
  siglip_call(const siglip_choice& c, const siglip_numbers& p, const similarity_execution& how)
      : c_(c), how_(how), offset_(p.offset) {
    x_ = matrix_of<T>(p.rows, p.dimension);
    y_ = matrix_of<T>(p.keys, p.dimension);
    const auto gradient = [&](bool wanted, std::int64_t rows, array<T>& same, array<float>& wide) {
      if (wanted && is_wide()) wide = matrix_of<float>(rows, p.dimension);
      if (wanted && !is_wide()) same = matrix_of<T>(rows, p.dimension);
    };
    gradient(c.queries, p.rows, grad_x_, wide_x_);
    gradient(c.keys, p.keys, grad_y_, wide_y_);
    if (c.loss) loss_ = vector_of<real>(c.reduction == culoss::reduction::none ? p.rows : 1);
    if (c.scale_gradient) grad_scale_ = vector_of<real>(1);
    if (c.bias_gradient) grad_bias_ = vector_of<real>(1);
    if (c.counts && c.positives) correct_ = vector_of<std::int64_t>(1);
    if (c.counts) rows_counted_ = vector_of<std::int64_t>(1);
    if (c.masked) {
      image_ids_ = vector_of<std::int64_t>(p.rows);
      text_ids_ = vector_of<std::int64_t>(p.keys);
    }
    if (c.row_weights) row_weights_ = vector_of<float>(p.rows);
    if (c.upstream == source::rows) upstream_rows_ = vector_of<float>(p.rows);
    for (array<float>* a : {&scale_, &bias_, &upstream_, &normalizer_}) *a = vector_of<float>(1);
    if (how.where == space::cuda && how.workspace != kNoWorkspace) {
      const culoss::similarity_workspace w = siglip_workspace_of(c, p);
      scratch_bytes_ = how.workspace == kBestWorkspace    ? w.best
                       : how.workspace == kLeastWorkspace ? w.least
                                                          : static_cast<std::size_t>(how.workspace);
      scratch_ = buffer(how.where, {.row_bytes = scratch_bytes_, .pitch = scratch_bytes_});
    }
    write(p);
  }

  void write(const siglip_numbers& p) override {
    synchronize(how_.where, how_.stream);
    x_.write(p.q);
    y_.write(p.k);
    for (array<T>* a : {&grad_x_, &grad_y_}) prepare(*a);
    for (array<float>* a : {&wide_x_, &wide_y_}) prepare(*a);
    for (array<real>* a : {&loss_, &grad_scale_, &grad_bias_}) a->poison();
    for (array<std::int64_t>* a : {&correct_, &rows_counted_}) a->poison();
    if (image_ids_.given()) image_ids_.write(p.query_ids);
    if (text_ids_.given()) text_ids_.write(p.key_ids);
    if (row_weights_.given()) row_weights_.write(p.row_weights);
    if (upstream_rows_.given()) upstream_rows_.write(p.upstream_rows);
    scale_.write(std::vector<float>{p.scale});
    bias_.write(std::vector<float>{p.bias});
    upstream_.write(std::vector<float>{p.upstream});
    normalizer_.write(std::vector<float>{p.normalizer});
    values_ = {p.scale, p.bias, p.upstream, p.normalizer};
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
    take("grad_queries", grad_x_);
    take("grad_queries", wide_x_);
    take("grad_keys", grad_y_);
    take("grad_keys", wide_y_);
    take("grad_scale", grad_scale_);
    take("grad_bias", grad_bias_);
    take("correct", correct_);
    take("rows_counted", rows_counted_);
    const auto kept = [&r](const char* name, const auto& a) { a.check_unchanged(name, r.damage); };
    kept("images", x_);
    kept("texts", y_);
    kept("image_ids", image_ids_);
    kept("text_ids", text_ids_);
    kept("row_weights", row_weights_);
    kept("upstream_rows", upstream_rows_);
    kept("scale", scale_);
    kept("bias", bias_);
    kept("upstream", upstream_);
    kept("normalizer", normalizer_);
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

  template <class Where>
  culoss::status launch_on(const Where& where) {
    culoss::siglip_outputs<T> out;
    out.loss = loss_.as_vector();
    out.grad_images = gradient_of(grad_x_, wide_x_);
    out.grad_texts = gradient_of(grad_y_, wide_y_);
    out.grad_scale = grad_scale_.as_vector();
    out.grad_bias = grad_bias_.as_vector();
    out.correct = correct_.as_vector();
    out.rows_counted = rows_counted_.as_vector();
    const auto [scale, bias, upstream, normalizer] = values_;
    culoss::siglip_options o;
    o.reduction = c_.reduction;
    o.normalize = c_.normalize;
    (c_.log_scale ? o.log_scale : o.temperature) = scalar_of(c_.scale, scale, scale_);
    o.bias = scalar_of(c_.bias, bias, bias_);
    o.positive_offset = offset_;
    o.positives = c_.positives;
    if (image_ids_.given()) o.image_ids = image_ids_.as_vector();
    if (text_ids_.given()) o.text_ids = text_ids_.as_vector();
    if (row_weights_.given()) o.row_weights = row_weights_.as_vector();
    o.normalizer = scalar_of(c_.normalizer, normalizer, normalizer_);
    if (upstream_rows_.given()) {
      o.upstream_rows = upstream_rows_.as_vector();
    } else {
      o.upstream = scalar_of(c_.upstream, upstream, upstream_);
    }
    o.accumulate = c_.accumulate;
    o.allow_tf32 = c_.allow_tf32;
    o.empty = c_.empty;
    return culoss::siglip(where, x_.as_matrix(), y_.as_matrix(), out, o);
  }

  struct values {
    float scale, bias, upstream, normalizer;
  };
  siglip_choice c_;
  similarity_execution how_;
  std::int64_t offset_;
  values values_ = {};
  array<T> x_, y_, grad_x_, grad_y_;
  array<float> wide_x_, wide_y_, row_weights_, upstream_rows_;
  array<float> scale_, bias_, upstream_, normalizer_;
  array<real> loss_, grad_scale_, grad_bias_;
  array<std::int64_t> correct_, rows_counted_, image_ids_, text_ids_;
  buffer scratch_;
  std::size_t scratch_bytes_ = 0;
};

std::unique_ptr<call_with<siglip_numbers>> prepare(const siglip_choice& c, const siglip_numbers& p,
                                                   const similarity_execution& how = {});

}  // namespace culoss_test
