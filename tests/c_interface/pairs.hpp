// The losses of two or three embeddings a row.
#pragma once

#include "tests/c_interface/rows.hpp"

namespace culoss_test::c_interface {

// cosine_embedding and contrastive: everything but the function, its options and its labels.
template <class T, class COptions, class Options, class Set, class Call>
void call_pairs(place& p, bool each, const char* name, double unlike, const Set& set_own,
                const Call& call) {
  using outputs = culoss::pair_outputs<T>;
  pair_of_calls<T, culoss_pair_outputs, outputs, COptions, Options> k(p, name, name);
  const block& x1 = k.matrix(kRows, kCols, 0.1, 0.9);
  const block& x2 = k.matrix(kRows, kCols, 0.1, 0.9);
  const block& labels = k.numbers(CULOSS_INT64, {1, unlike, -100, unlike, 1, unlike});
  set(k.in.in[0], x1);
  set(k.in.in[1], x2);
  set(k.in.labels, labels);
  k.output(CULOSS_TEST_FIELD(loss), &k.make(kReal<T>, 1, 1), &k.make(kReal<T>, 1, kRows));
  k.output(CULOSS_TEST_FIELD(grad_x1), k.matrix(kRows, kCols));
  k.output(CULOSS_TEST_FIELD(grad_x2), k.matrix(kRows, kCols));
  k.output(CULOSS_TEST_FIELD(rows_counted), k.make(CULOSS_INT64, 1, 1));
  k.shared_fields(kRows);
  k.field(CULOSS_TEST_FIELD(ignore_index), 1);
  set_own(k);
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return call(where, as<input_of<T>>(x1), as<input_of<T>>(x2), as<culoss::label_view>(labels),
                    o, how);
      },
      each);
}

template <class T>
void call_embedding_pairs(place& p, bool each) {
  call_pairs<T, culoss_cosine_embedding_options, culoss::cosine_embedding_options>(
      p, each, "cosine_embedding", -1, [](auto& k) { k.field(CULOSS_TEST_FIELD(margin), 0.25f); },
      [](const auto&... a) { return culoss::cosine_embedding(a...); });
  call_pairs<T, culoss_contrastive_options, culoss::contrastive_options>(
      p, each, "contrastive", 0,
      [](auto& k) {
        k.field(CULOSS_TEST_FIELD(margin), 2.0f);
        k.field(CULOSS_TEST_FIELD(factor), 0.5f);
      },
      [](const auto&... a) { return culoss::contrastive(a...); });
}

template <class T>
void call_triplet(place& p, bool each) {
  using outputs = culoss::triplet_outputs<T>;
  pair_of_calls<T, culoss_triplet_outputs, outputs, culoss_triplet_options, culoss::triplet_options>
      k(p, "triplet", "triplet");
  const block& a = k.matrix(kRows, kCols, 0.1, 0.9);
  const block& b = k.matrix(kRows, kCols, 0.1, 0.9);
  const block& n = k.matrix(kRows, kCols, 0.1, 0.9);
  set(k.in.in[0], a);
  set(k.in.in[1], b);
  set(k.in.in[2], n);
  k.output(CULOSS_TEST_FIELD(loss), &k.make(kReal<T>, 1, 1), &k.make(kReal<T>, 1, kRows));
  k.output(CULOSS_TEST_FIELD(grad_anchors), k.matrix(kRows, kCols));
  k.output(CULOSS_TEST_FIELD(grad_positives), k.matrix(kRows, kCols));
  k.output(CULOSS_TEST_FIELD(grad_negatives), k.matrix(kRows, kCols));
  k.shared_fields(kRows);
  k.field(CULOSS_TEST_FIELD(distance), int{CULOSS_DISTANCE_SQUARED_EUCLIDEAN});
  k.field(CULOSS_TEST_FIELD(margin), 2.0f);
  k.field(CULOSS_TEST_FIELD(swap), 1);
  k.field(CULOSS_TEST_FIELD(soft_margin), 1);
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::triplet(where, as<input_of<T>>(a), as<input_of<T>>(b), as<input_of<T>>(n), o,
                               how);
      },
      each);
}

}  // namespace culoss_test::c_interface
