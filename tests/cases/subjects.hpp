// The cases of all families as one kind of thing, for promises that do not ask what is computed.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/cases/all.hpp"
#include "tests/cases/linear_cross_entropy_check.hpp"
#include "tests/cases/mined_triplet_check.hpp"
#include "tests/cases/self_similarity_check.hpp"
#include "tests/cases/siglip.hpp"
#include "tests/cases/similarity_check.hpp"
#include "tests/harness/check.hpp"
#include "tests/harness/subject.hpp"

namespace culoss_test {

// The public functions that a call makes, in their order.
inline std::vector<std::string> functions_of(const loss_case& c, const execution& how) {
  const std::string forward = c.function(), backward = forward + "_backward";
  if (how.mode == mode::split) return {forward, backward};
  return {how.mode == mode::backward ? backward : forward};
}
inline std::vector<std::string> functions_of(const linear_choice& c, const linear_execution&) {
  const std::string forward = "linear_cross_entropy", backward = forward + "_backward";
  std::vector<std::string> functions(std::max<std::size_t>(1, c.shards.size()), forward);
  if (c.mode == linear_mode::shards) functions.push_back("merge_statistics");
  if (c.mode == linear_mode::split) functions.push_back(backward);
  functions.insert(functions.end(), c.shards.size(), backward);
  return functions;
}
inline std::vector<std::string> functions_of(const similarity_choice& c,
                                             const similarity_execution&) {
  return {c.symmetric ? "clip" : "info_nce"};
}
inline std::vector<std::string> functions_of(const self_choice& c, const similarity_execution&) {
  return {name_of(c.which)};
}
inline std::vector<std::string> functions_of(const siglip_choice&, const similarity_execution&) {
  return {"siglip"};
}
inline std::vector<std::string> functions_of(const mined_choice&, const similarity_execution&) {
  return {"mined_triplet"};
}

template <class Numbers>
subject subject_of(std::unique_ptr<call_with<Numbers>> prepared, const Numbers& p) {
  const std::shared_ptr<call_with<Numbers>> call = std::move(prepared);
  subject s;
  s.write = [call, p] { call->write(p); };
  s.launch = [call] { return call->launch(); };
  s.read = [call] {
    const results r = call->read({});
    return subject::reading{r.outputs, r.damage};
  };
  return s;
}

inline subject subject_of(const loss_case& c, const problem& p, const execution& how) {
  subject s = subject_of<problem>(c.prepare(p, how), p);
  s.what = describe(c, p, how) + (how.workspace ? "" : ", without a workspace");
  s.functions = functions_of(c, how);
  s.stream = how.stream;
  return s;
}

// Of a loss that mixes the rows of a batch.
template <class Choice>
subject subject_of(const Choice& c, const typename Choice::numbers& p,
                   const typename Choice::execution& how) {
  subject s = subject_of<typename Choice::numbers>(prepare(c, p, how), p);
  s.what = describe(c, p) + ", workspace " + std::to_string(how.workspace);
  s.functions = functions_of(c, how);
  s.stream = how.stream;
  return s;
}

// In one call, in two, over shards; everything, and little.
inline std::vector<linear_choice> linear_ways() {
  linear_choice plain = linear(plain_cross_entropy()), split = linear(full_cross_entropy());
  split.mode = linear_mode::split;
  linear_choice shards = split, forward = plain;
  shards.mode = linear_mode::shards;
  shards.shards = {3, 6};
  shards.accumulate = true;
  forward.bias = forward.grad_hidden = forward.grad_weight = forward.grad_bias = false;
  return {plain, split, shards, forward};
}

// The ways through a similarity matrix, and what a call may leave out.
struct similarity_way {
  similarity_choice choice;
  similarity_input input;
};
inline std::vector<similarity_way> similarity_ways() {
  const similarity_choice plain, clip{.symmetric = true};
  similarity_choice masked{.masked = true, .log_scale = true, .row_weights = true, .wide = true};
  masked.reduction = culoss::reduction::none;
  const similarity_choice queue{
      .normalize = false, .in_batch = false, .mask = true, .margin = 0.25f};
  const element half = element::float16;
  return {
      {plain, {.rows = 5, .keys = 9, .negatives = 3, .dimension = 4, .offset = 2}},
      {clip, {.rows = 6, .keys = 6, .dimension = 3}},
      {masked, {.type = half, .rows = 5, .keys = 5, .negatives = 4, .dimension = 8}},
      {queue, {.type = element::bfloat16, .rows = 4, .keys = 4, .negatives = 7, .dimension = 5}},
      {plain, {.type = half, .rows = 3, .keys = 3, .dimension = 5, .of_a_row = 4}},
      {queue, {.rows = 3, .keys = 3, .dimension = 70, .of_a_row = 260}},
      {forward_only(plain), {.rows = 5, .keys = 5, .dimension = 4}},
      {forward_only(clip), {.type = half, .rows = 6, .keys = 6, .dimension = 3}},
  };
}

// The ways to mine a batch, and what a call may leave out.
struct mined_way {
  mined_choice choice;
  mined_input input;
};
inline std::vector<mined_way> mined_ways() {
  const mined_choice hard{.row_weights = true};
  mined_choice semi{.rule = culoss::mining_rule::semi_hard,
                    .distance = culoss::triplet_distance::cosine,
                    .wide = true};
  semi.reduction = culoss::reduction::none;
  const mined_choice all{.rule = culoss::mining_rule::batch_all};
  mined_choice forward = hard, gradient = all;
  forward.gradient = false;
  gradient.loss = gradient.counts = false;
  return {{hard, {.rows = 9, .dimension = 4}},
          {semi, {.type = element::bfloat16, .rows = 11, .dimension = 3, .classes = 5}},
          {all, {.type = element::float16, .rows = 8, .dimension = 5}},
          {forward, {.type = element::float16, .rows = 7, .dimension = 4}},
          {gradient, {.rows = 7, .dimension = 2}}};
}

struct self_way {
  self_choice choice;
  self_input input;
};
inline std::vector<self_way> self_ways() {
  const self_choice pairs, groups{.which = self_loss::sup_con};
  self_choice masked{.masked = true, .log_scale = true, .row_weights = true, .wide = true};
  masked.reduction = culoss::reduction::none;
  self_choice wide{.which = self_loss::sup_con, .normalize = false, .wide_labels = true};
  wide.normalizer = source::value;
  return {{pairs, {.rows = 6, .dimension = 4}},
          {groups, {.rows = 7, .dimension = 3}},
          {masked, {.type = element::float16, .rows = 4, .dimension = 5}},
          {wide, {.type = element::bfloat16, .rows = 5, .dimension = 4, .labels = 2}},
          {forward_only(groups), {.rows = 5, .dimension = 4}}};
}

}  // namespace culoss_test
