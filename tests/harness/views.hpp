// What a call of a loss is handed, whatever the loss: the tests and the benchmark call it alike, by
// its choice's call(where, views, set_shared), where set_shared(options) fills in the options that
// the losses share.
#pragma once

#include <culoss/core.hpp>
#include <culoss/cross_entropy.hpp>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/harness/comparator.hpp"
#include "tests/harness/problem.hpp"

namespace culoss_test {

// What is empty is not there, or not wanted.
template <class T>
struct loss_views {
  using real = culoss::real_of<T>;
  culoss::matrix<const T> in[3] = {};  // the x, g and h of a problem
  culoss::matrix<T> out[3] = {};  // their gradients; of what is no loss, the first is its result
  culoss::label_view labels = {};
  culoss::vector<const float> class_weights = {};  // under another name in the options
  culoss::matrix<const float> weights = {}, upstream_elements = {};
  culoss::vector<real> loss = {}, lse = {}, z_loss = {}, entropy = {};
  culoss::matrix<real> losses = {};                              // of the elements
  culoss::vector<culoss::row_statistics<real>> statistics = {};  // a backward reads them
  culoss::vector<std::int64_t> argmax = {}, correct = {}, counted = {};
};

inline constexpr std::vector<double> problem::*kMatrices[] = {&problem::x, &problem::g,
                                                              &problem::h};

// The loss, the gradient of each matrix by its name and, where that has a name, the number of rows
// that count; from the CPU function in double.
template <class Choice>
std::vector<output> exact_loss(const Choice& c, const problem& p,
                               std::initializer_list<const char*> gradients,
                               const char* counted = nullptr) {
  std::vector<double> loss(c.none() ? static_cast<std::size_t>(p.rows) : 1);
  std::vector<output> exact;
  for (const char* name : gradients) {
    exact.push_back({name, std::vector<double>(p.x.size())});
  }
  std::int64_t count = 0;
  loss_views<double> v;
  for (std::size_t k = 0; k < exact.size(); ++k) {
    v.in[k] = {(p.*kMatrices[k]).data(), p.rows, p.cols};
    v.out[k] = {exact[k].values.data(), p.rows, p.cols};
  }
  if (c.labels) v.labels = culoss::vector<const std::int64_t>(p.labels.data(), p.rows);
  v.loss = {loss.data(), static_cast<std::int64_t>(loss.size())};
  if (counted != nullptr) v.counted = {&count, 1};
  const culoss::status s =
      c.call(culoss::cpu{.threads = 1}, v, [&](auto& o) { c.set_reference(o, p); });
  if (!s.ok()) throw std::runtime_error(s.message());
  exact.insert(exact.begin(), {"loss", loss});
  if (counted != nullptr) exact.push_back({counted, {static_cast<double>(count)}});
  return exact;
}

}  // namespace culoss_test
