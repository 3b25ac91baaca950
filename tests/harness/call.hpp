// A call's memory: arrays that are filled from a problem, poisoned before a launch and read after
// it, whatever the loss. A loss names its arrays and launches.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/harness/arrays.hpp"
#include "tests/harness/loss_case.hpp"
#include "tests/harness/row_choice.hpp"

namespace culoss_test {

using arrangement = std::function<std::vector<double>(std::vector<double>)>;

// An array of a call. What is not given is not there.
class slot {
 public:
  explicit slot(std::string name) : name(std::move(name)) {}
  virtual ~slot() = default;
  virtual bool given() const = 0;
  virtual void write(const problem&) = 0;
  virtual std::vector<double> read(std::string& damage) const = 0;
  virtual void check_unchanged(std::string& damage) const = 0;

  std::string name;
  bool overwritten = false;  // by an output
};

template <class U>
class array_slot : public slot {
 public:
  array_slot(std::string name, array<U> memory)
      : slot(std::move(name)), memory(std::move(memory)) {}

  array<U> memory;
  std::function<void(array<U>&, const problem&)> fill;  // of an input

  bool given() const override { return memory.given(); }
  void write(const problem& p) override {
    if (!given()) return;
    fill ? fill(memory, p) : memory.poison();
  }
  std::vector<double> read(std::string& damage) const override {
    return memory.read(name.c_str(), damage);
  }
  void check_unchanged(std::string& damage) const override {
    memory.check_unchanged(name.c_str(), damage);
  }
};

// CRTP: Call has `template <class Where> culoss::status launch_on(const Where&)`.
template <class Call, class T>
class loss_call : public invocation {
 public:
  void write(const problem& p) override {
    synchronize(how_.where, how_.stream);
    temperature_value_ = p.temperature;
    upstream_value_ = p.upstream;
    normalizer_value_ = p.normalizer;
    labels_now_ = p.labels;
    for (const auto& s : slots_) s->write(p);
    if (faults_.given()) faults_.write(std::vector<int>(4, 0));
    if (workspace_bytes_ != 0) workspace_.poison();
  }

  culoss::status launch() override {
    Call& call = static_cast<Call&>(*this);
    if (how_.where == space::cpu) {
      return call.launch_on(culoss::cpu{.threads = how_.threads, .faults = fault_record()});
    }
    if constexpr (std::is_same_v<T, double>) {
      return {culoss::status_code::unsupported, "double is for the CPU"};
    } else {
      return call.launch_on(culoss::cuda{.stream = how_.stream,
                                         .workspace = {workspace_.data(), workspace_bytes_},
                                         .faults = fault_record(),
                                         .row_kernels = how_.row_kernels});
    }
  }

  results read(const culoss::status& launched) override {
    results r{.status = launched, .outputs = {}, .faults = {}, .damage = {}};
    synchronize(how_.where, how_.stream);
    for (const result& o : outputs_) {
      if (!o.from->given()) continue;
      std::vector<double> values = o.from->read(r.damage);
      r.outputs.push_back({o.name, o.arrange ? o.arrange(std::move(values)) : std::move(values)});
    }
    for (const auto& s : slots_) {
      if (!s->overwritten) s->check_unchanged(r.damage);
    }
    if (workspace_bytes_ != 0) {
      const std::string outside = workspace_.read(nullptr, false);
      if (!outside.empty()) r.damage += "; workspace: " + outside;
    }
    if (how_.record_faults) read_faults(r);
    return r;
  }

 protected:
  using real = culoss::real_of<T>;

  loss_call(const row_choice& choice, const problem& p, const execution& how)
      : how_(how),
        rows_(p.rows),
        cols_(p.cols),
        choice_(choice),
        labels_(input<std::int32_t>("labels", if_given(choice.labels && !choice.wide_labels, rows_),
                                    &problem::labels)),
        wide_labels_(input<std::int64_t>(
            "labels", if_given(choice.labels && choice.wide_labels, rows_), &problem::labels)),
        class_weights_(input<float>("class_weights", if_given(choice.class_weights, cols_),
                                    &problem::class_weights)),
        row_weights_(input<float>("row_weights", if_given(choice.row_weights, rows_),
                                  &problem::row_weights)),
        upstream_rows_(input<float>("upstream_rows",
                                    if_given(choice.upstream == source::rows, rows_),
                                    &problem::upstream_rows)),
        temperature_(number("temperature", choice.temperature_source, &problem::temperature)),
        upstream_(number("upstream", choice.upstream, &problem::upstream)),
        normalizer_(number("normalizer", choice.normalizer_source, &problem::normalizer)) {
    if (how.record_faults) faults_ = array<std::int64_t>(how.where, 4, 0);
  }

  // -1: not there.
  static std::int64_t if_given(bool given, std::int64_t size) { return given ? size : -1; }

  template <class U>
  array<U> matrix_of() const {
    return {how_.where, rows_, cols_, how_.padding, how_.offset + how_.stagger * matrices_++};
  }
  // Likewise without gaps between its rows.
  template <class U>
  array<U> dense_matrix_of() const {
    return {how_.where, rows_ * cols_, how_.offset + how_.stagger * matrices_++};
  }
  template <class U>
  array<U> vector_of(std::int64_t size) const {
    return size < 0 ? array<U>() : array<U>(how_.where, size, how_.offset);
  }

  // The arrays of a call. The references stay.
  template <class U>
  array_slot<U>& add(std::string name, array<U> memory) {
    auto s = std::make_unique<array_slot<U>>(std::move(name), std::move(memory));
    array_slot<U>& added = *s;
    slots_.push_back(std::move(s));
    return added;
  }
  template <class U, class Numbers>
  const array<U>& input(std::string name, std::int64_t size, Numbers problem::*from) {
    array_slot<U>& s = add(std::move(name), vector_of<U>(size));
    s.fill = [from](array<U>& a, const problem& p) { a.write(p.*from); };
    return s.memory;
  }
  // What the call returns, in this order.
  template <class U>
  void give(std::string name, array_slot<U>& from, arrangement arrange = {}) {
    from.overwritten = true;
    outputs_.push_back({std::move(name), &from, std::move(arrange)});
  }
  template <class U>
  const array<U>& output(std::string name, array<U> memory, arrangement arrange = {}) {
    array_slot<U>& s = add(name, std::move(memory));
    give(std::move(name), s, std::move(arrange));
    return s.memory;
  }
  template <class U>
  const array<U>& output(std::string name, std::int64_t size, arrangement arrange = {}) {
    return output(std::move(name), vector_of<U>(size), std::move(arrange));
  }

  // A matrix that the loss reads, and a gradient, of its own or in the place of such a matrix.
  array_slot<T>& matrix_input(const char* name, std::vector<double> problem::*from) {
    array_slot<T>& s = add(name, matrix_of<T>());
    s.fill = [from](array<T>& a, const problem& p) { a.write(p.*from); };
    return s;
  }
  const array<T>& gradient(const char* name, bool wanted, array_slot<T>* place,
                           arrangement arrange = {}) {
    array_slot<T>& s =
        wanted && place != nullptr ? *place : add(name, wanted ? matrix_of<T>() : array<T>());
    if (!wanted) return s.memory;
    give(name, s, std::move(arrange));
    return s.memory;
  }

  void take_workspace(std::size_t bytes) {
    if (how_.where != space::cuda || !how_.workspace || bytes == 0) return;
    workspace_ = buffer(how_.where, {.row_bytes = bytes, .pitch = bytes});
    workspace_bytes_ = bytes;
  }

  bool has_forward() const { return how_.mode != mode::backward; }
  bool has_backward() const { return how_.mode == mode::backward || how_.mode == mode::split; }
  // Whether the forward call gives more than gradients.
  bool has_values() const {
    return has_forward() && how_.mode != mode::gradient && how_.mode != mode::target_gradient;
  }
  bool in_place() const {
    return how_.mode == mode::in_place || how_.mode == mode::in_place_upstream;
  }
  std::int64_t losses() const { return choice_.none() ? rows_ : 1; }

  culoss::label_view labels() const {
    return choice_.wide_labels ? culoss::label_view(wide_labels_.as_vector())
                               : culoss::label_view(labels_.as_vector());
  }
  // Rows whose label is not the ignored one: the others are not read.
  std::int64_t rows_read() const {
    if (!choice_.labels) return rows_;
    std::int64_t n = 0;
    for (const std::int64_t label : labels_now_) n += label == choice_.ignore_index ? 0 : 1;
    return n;
  }
  std::int64_t row_bytes() const {
    return cols_ * static_cast<std::int64_t>(sizeof(storage_of<T>));
  }
  const std::vector<std::int64_t>& labels_now() const { return labels_now_; }

  // The options that losses share.
  template <class Options>
  void set_shared(Options& o) const {
    o.reduction = choice_.reduction;
    if (row_weights_.given()) o.row_weights = row_weights_.as_vector();
    o.normalizer = scalar_of(choice_.normalizer_source, normalizer_value_, normalizer_);
    if (upstream_rows_.given()) {
      o.upstream_rows = upstream_rows_.as_vector();
    } else {
      o.upstream = scalar_of(choice_.upstream, upstream_value_, upstream_);
    }
    o.empty = choice_.empty;
    if constexpr (requires { o.ignore_index; }) o.ignore_index = choice_.ignore_index;
    if constexpr (requires { o.temperature; }) {
      o.temperature = scalar_of(choice_.temperature_source, temperature_value_, temperature_);
    }
    if constexpr (requires { o.class_weights; }) {
      if (class_weights_.given()) o.class_weights = class_weights_.as_vector();
    }
  }
  const array<float>& class_weights() const { return class_weights_; }

  // Bytes of an array that the kernels load and store.
  template <class U>
  static void moved(std::vector<moved_array>& all, const char* name, const array<U>& a,
                    std::int64_t loads, std::int64_t stores) {
    if (!a.given()) return;
    all.push_back({.name = name,
                   .data = a.data(),
                   .bytes = a.span_bytes(),
                   .loads = loads,
                   .stores = stores});
  }

  execution how_;
  std::int64_t rows_, cols_;
  mutable std::int64_t matrices_ = 0;  // that it has made

 private:
  culoss::fault_record* fault_record() const {
    return reinterpret_cast<culoss::fault_record*>(faults_.data());
  }
  const array<float>& number(const char* name, source where, float problem::*from) {
    array_slot<float>& s = add(name, vector_of<float>(where == source::device ? 1 : -1));
    s.fill = [from](array<float>& a, const problem& p) { a.write(std::vector<float>{p.*from}); };
    return s.memory;
  }
  culoss::scalar scalar_of(source s, float value, const array<float>& device) const {
    if (s == source::device) return static_cast<const float*>(device.data());
    return s == source::value ? culoss::scalar(value) : culoss::scalar();
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

  struct result {
    std::string name;
    const slot* from;
    arrangement arrange;
  };

  row_choice choice_;
  std::vector<std::unique_ptr<slot>> slots_;
  std::vector<result> outputs_;
  float temperature_value_ = 1, upstream_value_ = 1, normalizer_value_ = 1;
  std::vector<std::int64_t> labels_now_;
  const array<std::int32_t>& labels_;
  const array<std::int64_t>& wide_labels_;
  const array<float>&class_weights_, &row_weights_, &upstream_rows_, &temperature_, &upstream_,
      &normalizer_;
  array<std::int64_t> faults_;
  buffer workspace_;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace culoss_test
