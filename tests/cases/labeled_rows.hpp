// The memory of a call on softmax rows with labels, cross_entropy or softmax_focal, on either view
// of the logits.
#pragma once

#include <culoss/cross_entropy.hpp>
#include <vector>

#include "tests/cases/cross_entropy_bounds.hpp"
#include "tests/harness/call.hpp"

namespace culoss_test {

// Element (i, c, k) of [n, classes, inner] is element c of row i * inner + k.
inline std::vector<double> to_strided(const std::vector<double>& rows, std::int64_t classes,
                                      std::int64_t inner) {
  std::vector<double> v(rows.size());
  for (std::size_t e = 0; e < v.size(); ++e) {
    const auto row = static_cast<std::int64_t>(e) / classes;
    const auto column = static_cast<std::int64_t>(e) % classes;
    v[static_cast<std::size_t>((row / inner * classes + column) * inner + row % inner)] = rows[e];
  }
  return v;
}
inline std::vector<double> from_strided(const std::vector<double>& v, std::int64_t classes,
                                        std::int64_t inner) {
  std::vector<double> rows(v.size());
  for (std::size_t e = 0; e < v.size(); ++e) {
    const auto row = static_cast<std::int64_t>(e) / classes;
    const auto column = static_cast<std::int64_t>(e) % classes;
    rows[e] = v[static_cast<std::size_t>((row / inner * classes + column) * inner + row % inner)];
  }
  return rows;
}

// Call has saved_statistics(problem), for a backward alone.
template <class Call, class Choice, class T>
class labeled_rows_call : public loss_call<Call, T> {
  using base = loss_call<Call, T>;

 public:
  using real = culoss::real_of<T>;

  void write(const problem& p) override {
    base::write(p);
    if (how_.mode == mode::backward) {
      statistics_.memory.write(static_cast<Call&>(*this).saved_statistics(p));
    }
  }

  std::vector<moved_array> moves() const override {
    const bool fused = this->has_forward() && !this->has_backward();
    int reads = this->has_backward() ? 1 : 0;
    if (this->has_forward()) {
      const bool writes = fused && writes_gradient();
      reads += inner_ > 1 ? reads_of_strided_row(cols_, element_of<T>, how_, writes)
                          : reads_of_row(cols_, element_of<T>, 1, how_, writes);
    }
    const std::int64_t loads = reads * this->rows_read() * this->row_bytes();
    const std::int64_t stores = writes_gradient() ? rows_ * this->row_bytes() : 0;
    std::vector<moved_array> all;
    this->moved(all, "logits", logits_.memory, loads, this->in_place() ? stores : 0);
    if (!this->in_place()) this->moved(all, "grad_logits", gradient_, 0, stores);
    return all;
  }

  template <class Where>
  culoss::status launch_on(const Where& where) const {
    loss_views<T> v;
    v.in[0] = rows_of(logits_.memory);
    v.labels = this->labels();
    v.class_weights = this->class_weights().as_vector();
    if (statistics_.memory.given()) {
      auto* const rows = reinterpret_cast<culoss::row_statistics<real>*>(statistics_.memory.data());
      v.statistics = {rows, rows_};
    }
    const auto set_shared = [this](auto& o) { this->set_shared(o); };
    if (this->has_forward()) {
      v.loss = loss_.as_vector();
      if (!this->has_backward()) v.out[0] = rows_of(gradient_);
      v.lse = lse_.as_vector();
      v.argmax = argmax_.as_vector();
      v.correct = correct_.as_vector();
      v.counted = rows_counted_.as_vector();
      v.z_loss = z_loss_.as_vector();
      v.entropy = entropy_.as_vector();
      const culoss::status s = choice_.call(where, v, set_shared);
      if (!s.ok() || !this->has_backward()) return s;
    }
    v.out[0] = rows_of(gradient_);
    return choice_.call_backward(where, v, set_shared);
  }

 protected:
  // What of the outputs is wanted beside loss, gradient and statistics.
  struct wanted_outputs {
    bool argmax, correct, rows_counted, lse, z_loss, entropy;
  };

  labeled_rows_call(const Choice& choice, const wanted_outputs& wanted, const problem& p,
                    const execution& how)
      : base(choice, p, how),
        choice_(choice),
        inner_(inner_of(choice.inner, p.rows)),
        logits_(make_logits()),
        loss_(this->template output<real>("loss", at(this->losses()))),
        gradient_(this->gradient("grad_logits", writes_gradient(),
                                 this->in_place() ? &logits_ : make_gradient(), from_view())),
        lse_(this->template output<real>("lse", at(rows_, wanted.lse))),
        statistics_(make_statistics()),
        argmax_(this->template output<std::int64_t>("argmax", at(rows_, wanted.argmax))),
        correct_(this->template output<std::int64_t>("correct", at(1, wanted.correct))),
        rows_counted_(
            this->template output<std::int64_t>("rows_counted", at(1, wanted.rows_counted))),
        z_loss_(this->template output<real>("z_loss", at(this->losses(), wanted.z_loss))),
        entropy_(this->template output<real>("entropy", at(rows_, wanted.entropy))) {
    this->take_workspace(choice.workspace_bytes(rows_, cols_));
  }

  bool writes_gradient() const { return how_.mode != mode::forward; }

  using base::cols_;
  using base::how_;
  using base::rows_;
  const Choice choice_;
  const std::int64_t inner_;  // 0: a matrix
  array_slot<T>& logits_;
  const array<real>& loss_;
  const array<T>& gradient_;
  const array<real>& lse_;
  array_slot<real>& statistics_;
  const array<std::int64_t>&argmax_, &correct_, &rows_counted_;
  const array<real>&z_loss_, &entropy_;

 private:
  // The size of an output of the forward call, where it is wanted.
  std::int64_t at(std::int64_t size, bool wanted = true) const {
    return wanted && this->has_values() ? size : -1;
  }
  array<T> elements() const {
    return inner_ > 0 ? this->template dense_matrix_of<T>() : this->template matrix_of<T>();
  }
  array_slot<T>& make_logits() {
    array_slot<T>& s = this->add("logits", elements());
    s.fill = [this](array<T>& a, const problem& p) {
      a.write(inner_ > 0 ? to_strided(p.x, cols_, inner_) : p.x);
    };
    return s;
  }
  array_slot<T>* make_gradient() {
    return writes_gradient() ? &this->add("grad_logits", elements()) : nullptr;
  }
  arrangement from_view() const {
    if (inner_ == 0) return {};
    return [this](const std::vector<double>& v) { return from_strided(v, cols_, inner_); };
  }
  // An output of the forward call; in a backward alone, its input.
  array_slot<real>& make_statistics() {
    const bool there = this->has_backward() || this->has_values();
    array_slot<real>& s =
        this->add("statistics", this->template vector_of<real>(there ? 4 * rows_ : -1));
    if (how_.mode != mode::backward) this->give("statistics", s);
    return s;
  }

  // Of images, as rows of their memory.
  culoss::matrix<T> rows_of(const array<T>& a) const {
    if (inner_ == 0 || !a.given()) return a.as_matrix();
    return {a.data(), rows_, cols_};
  }
};

}  // namespace culoss_test
