// Cross-entropy with labels, as a case: every option, every way to call it.
#pragma once

#include <culoss/cross_entropy.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/cases/cross_entropy_bounds.hpp"
#include "tests/harness/arrays.hpp"
#include "tests/harness/loss_case.hpp"

namespace culoss_test {

// A call's memory and views.
template <class T>
class cross_entropy_invocation : public invocation {
 public:
  cross_entropy_invocation(const cross_entropy_choice& choice, const problem& p,
                           const execution& how)
      : choice_(choice), how_(how), rows_(p.rows), cols_(p.cols) {
    const space where = how.where;
    const bool none = choice.reduction == culoss::reduction::none;
    logits_ = matrix_of<T>();
    if (choice.wide_labels) {
      wide_labels_ = vector_of<std::int64_t>(rows_);
    } else {
      labels_ = vector_of<std::int32_t>(rows_);
    }
    if (choice.class_weights) class_weights_ = vector_of<float>(cols_);
    if (choice.row_weights) row_weights_ = vector_of<float>(rows_);
    if (choice.upstream == source::rows) upstream_rows_ = vector_of<float>(rows_);
    temperature_ = vector_of<float>(1);
    upstream_ = vector_of<float>(1);
    normalizer_ = vector_of<float>(1);
    if (writes_gradient() && how.mode != mode::in_place) grad_logits_ = matrix_of<T>();
    if (has_forward() && how.mode != mode::gradient) {
      loss_ = vector_of<real>(none ? rows_ : 1);
      if (choice.more_outputs) {
        lse_ = vector_of<real>(rows_);
        argmax_ = vector_of<std::int64_t>(rows_);
        correct_ = vector_of<std::int64_t>(1);
        rows_counted_ = vector_of<std::int64_t>(1);
      }
    }
    if (has_backward() || loss_.given()) statistics_ = vector_of<real>(4 * rows_);
    if (how.record_faults) faults_ = array<std::int64_t>(where, 4, 0);
    if (where == space::cuda && how.workspace) {
      const std::size_t bytes = culoss::cross_entropy_workspace_bytes(rows_, cols_);
      workspace_ = buffer(where, {.row_bytes = bytes, .pitch = bytes});
      workspace_bytes_ = bytes;
    }
    write(p);
  }

  void write(const problem& p) override {
    synchronize(how_.where, how_.stream);
    logits_.write(p.x);
    if (choice_.wide_labels) {
      wide_labels_.write(p.labels);
    } else {
      labels_.write(p.labels);
    }
    if (class_weights_.given()) class_weights_.write(p.class_weights);
    if (row_weights_.given()) row_weights_.write(p.row_weights);
    if (upstream_rows_.given()) upstream_rows_.write(p.upstream_rows);
    temperature_.write(std::vector<float>{p.temperature});
    upstream_.write(std::vector<float>{p.upstream});
    normalizer_.write(std::vector<float>{p.normalizer});
    values_ = {p.temperature, p.upstream, p.normalizer};
    for (array<real>* a : {&loss_, &lse_, &statistics_}) a->poison();
    for (array<std::int64_t>* a : {&argmax_, &correct_, &rows_counted_}) a->poison();
    grad_logits_.poison();
    if (faults_.given()) faults_.write(std::vector<int>(4, 0));
    if (workspace_bytes_ != 0) workspace_.poison();
    if (how_.mode == mode::backward) {
      statistics_.write(exact_cross_entropy(choice_, p)[kStatisticsOutput].values);
    }
  }

  culoss::status launch() override {
    if (how_.where == space::cpu) {
      return launch_on(culoss::cpu{.threads = how_.threads, .faults = fault_record()});
    }
    if constexpr (std::is_same_v<T, double>) {
      return {culoss::status_code::unsupported, "double is for the CPU"};
    } else {
      return launch_on(culoss::cuda{.stream = how_.stream,
                                    .workspace = {workspace_.data(), workspace_bytes_},
                                    .faults = fault_record()});
    }
  }

  results read(const culoss::status& launched) override {
    results r{.status = launched, .outputs = {}, .faults = {}, .damage = {}};
    synchronize(how_.where, how_.stream);
    const auto take = [&r](const char* name, const auto& a) {
      if (a.given()) r.outputs.push_back({name, a.read(name, r.damage)});
    };
    take("loss", loss_);
    if (writes_gradient()) take("grad_logits", gradient());
    take("lse", lse_);
    if (how_.mode == mode::backward) {
      statistics_.check_unchanged("statistics", r.damage);
    } else {
      take("statistics", statistics_);
      for (output& o : r.outputs) {
        if (o.name == "statistics") o.values = canonical_statistics(o.values);
      }
    }
    take("argmax", argmax_);
    take("correct", correct_);
    take("rows_counted", rows_counted_);
    if (how_.mode != mode::in_place) logits_.check_unchanged("logits", r.damage);
    labels_.check_unchanged("labels", r.damage);
    wide_labels_.check_unchanged("labels", r.damage);
    class_weights_.check_unchanged("class_weights", r.damage);
    row_weights_.check_unchanged("row_weights", r.damage);
    upstream_rows_.check_unchanged("upstream_rows", r.damage);
    temperature_.check_unchanged("temperature", r.damage);
    upstream_.check_unchanged("upstream", r.damage);
    normalizer_.check_unchanged("normalizer", r.damage);
    if (workspace_bytes_ != 0) {
      const std::string outside = workspace_.read(nullptr, false);
      if (!outside.empty()) r.damage += "; workspace: " + outside;
    }
    if (how_.record_faults) read_faults(r);
    return r;
  }

  std::vector<moved_array> moves() const override {
    std::int64_t read = 0;
    for (const std::int64_t label : labels_read()) read += label == choice_.ignore_index ? 0 : 1;
    const std::int64_t row = cols_ * static_cast<std::int64_t>(sizeof(storage_of<T>));
    const bool fused = has_forward() && !has_backward();
    int reads = has_backward() ? 1 : 0;
    if (has_forward()) {
      reads += reads_of_row(cols_, element_of<T>, 1, how_, fused && writes_gradient());
    }
    std::vector<moved_array> arrays;
    const std::int64_t stores = writes_gradient() ? rows_ * row : 0;
    arrays.push_back({.name = "logits",
                      .data = logits_.data(),
                      .bytes = logits_.span_bytes(),
                      .loads = reads * read * row,
                      .stores = how_.mode == mode::in_place ? stores : 0});
    if (grad_logits_.given()) {
      arrays.push_back({.name = "grad_logits",
                        .data = grad_logits_.data(),
                        .bytes = grad_logits_.span_bytes(),
                        .loads = 0,
                        .stores = stores});
    }
    return arrays;
  }

 private:
  using real = culoss::real_of<T>;

  template <class U>
  array<U> matrix_of() const {
    return {how_.where, rows_, cols_, how_.padding, how_.offset};
  }
  template <class U>
  array<U> vector_of(std::int64_t size) const {
    return {how_.where, size, how_.offset};
  }
  bool has_forward() const { return how_.mode != mode::backward; }
  bool has_backward() const { return how_.mode == mode::backward || how_.mode == mode::split; }
  bool writes_gradient() const { return how_.mode != mode::forward; }
  const array<T>& gradient() const { return how_.mode == mode::in_place ? logits_ : grad_logits_; }
  culoss::fault_record* fault_record() const {
    return reinterpret_cast<culoss::fault_record*>(faults_.data());
  }
  std::vector<std::int64_t> labels_read() const {
    std::string ignored;
    const std::vector<double> numbers = choice_.wide_labels ? wide_labels_.read("labels", ignored)
                                                            : labels_.read("labels", ignored);
    return {numbers.begin(), numbers.end()};
  }

  culoss::scalar scalar_of(source s, float value, const array<float>& device) const {
    if (s == source::device) return static_cast<const float*>(device.data());
    return s == source::value ? culoss::scalar(value) : culoss::scalar();
  }
  culoss::cross_entropy_options options() const {
    culoss::cross_entropy_options o;
    o.reduction = choice_.reduction;
    o.label_smoothing = choice_.smoothing;
    o.ignore_index = choice_.ignore_index;
    o.temperature = scalar_of(choice_.temperature_source, values_[0], temperature_);
    if (class_weights_.given()) o.class_weights = class_weights_.as_vector();
    if (row_weights_.given()) o.row_weights = row_weights_.as_vector();
    o.normalizer = scalar_of(choice_.normalizer_source, values_[2], normalizer_);
    if (upstream_rows_.given()) {
      o.upstream_rows = upstream_rows_.as_vector();
    } else {
      o.upstream = scalar_of(choice_.upstream, values_[1], upstream_);
    }
    o.empty = choice_.empty;
    return o;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) {
    const culoss::label_view labels = choice_.wide_labels
                                          ? culoss::label_view(wide_labels_.as_vector())
                                          : culoss::label_view(labels_.as_vector());
    const culoss::vector<culoss::row_statistics<real>> statistics(
        reinterpret_cast<culoss::row_statistics<real>*>(statistics_.data()),
        statistics_.given() ? rows_ : 0);
    if (has_forward()) {
      culoss::cross_entropy_outputs<T> outputs;
      outputs.loss = loss_.as_vector();
      if (writes_gradient() && !has_backward()) outputs.grad_logits = gradient().as_matrix();
      outputs.lse = lse_.as_vector();
      outputs.statistics = statistics;
      outputs.argmax = argmax_.as_vector();
      outputs.correct = correct_.as_vector();
      outputs.rows_counted = rows_counted_.as_vector();
      const culoss::status s =
          culoss::cross_entropy(where, logits_.as_matrix(), labels, outputs, options());
      if (!s.ok() || !has_backward()) return s;
    }
    return culoss::cross_entropy_backward(
        where, logits_.as_matrix(), labels, statistics,
        culoss::cross_entropy_backward_outputs<T>{gradient().as_matrix()}, options());
  }

  void read_faults(results& r) {
    culoss::status s;
    if (how_.where == space::cpu) {
      s = culoss::read_faults(culoss::cpu{}, fault_record(), &r.faults);
    } else {
      s = culoss::read_faults(culoss::cuda{.stream = how_.stream}, fault_record(), &r.faults);
    }
    if (!s.ok()) r.damage += std::string("; read_faults: ") + s.message();
  }

  cross_entropy_choice choice_;
  execution how_;
  std::int64_t rows_, cols_;
  std::array<float, 3> values_{};
  array<T> logits_, grad_logits_;
  array<std::int32_t> labels_;
  array<std::int64_t> wide_labels_, argmax_, correct_, rows_counted_, faults_;
  array<float> class_weights_, row_weights_, upstream_rows_, temperature_, upstream_, normalizer_;
  array<real> loss_, lse_, statistics_;
  buffer workspace_;
  std::size_t workspace_bytes_ = 0;
};

class cross_entropy_case : public loss_case {
 public:
  explicit cross_entropy_case(const cross_entropy_choice& choice) : choice_(choice) {}

  const cross_entropy_choice& choice() const { return choice_; }
  std::string name() const override { return choice_.name; }
  std::vector<mode> modes() const override {
    return {mode::fused,    mode::forward,  mode::gradient,
            mode::in_place, mode::backward, mode::split};
  }
  problem make(const problem_shape& shape) const override {
    problem p = make_problem(shape);
    p.temperature = choice_.temperature;
    p.upstream = choice_.upstream_value;
    p.normalizer = choice_.normalizer;
    // The fourth row is ignored, unless it is the only kind of row there is.
    for (std::size_t i = 3; i < p.labels.size(); i += 7) p.labels[i] = choice_.ignore_index;
    return p;
  }
  std::unique_ptr<invocation> prepare(const problem& p, const execution& how) const override {
    return with_type(p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<invocation> {
      return std::make_unique<cross_entropy_invocation<T>>(choice_, p, how);
    });
  }
  std::vector<expectation> expect(const problem& p, const execution& how) const override {
    return expect_cross_entropy(choice_, p, how);
  }

 private:
  cross_entropy_choice choice_;
};

}  // namespace culoss_test
