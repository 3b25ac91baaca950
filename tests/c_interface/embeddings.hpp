// The losses of embeddings.
#pragma once

#include <cmath>

#include "tests/c_interface/rows.hpp"

namespace culoss_test::c_interface {

// What all of them have. wide: gradients in float whatever the embeddings are.
template <class T, class Calls>
void similarity_fields(Calls& k, std::int64_t rows) {
  k.shared_fields(rows);
  k.always(k.with(CULOSS_TEST_FIELD(temperature), 0.5f));
  k.field(CULOSS_TEST_FIELD(normalize), 0);
  k.field(CULOSS_TEST_FIELD(temperature), 0.25f);
  // Both are refused.
  k.field(CULOSS_TEST_FIELD(log_scale), 1.5f);
  k.field(CULOSS_TEST_FIELD(accumulate), 1);
  k.field(CULOSS_TEST_FIELD(allow_tf32), 1, {}, true);
}
template <class T, class Calls, class Field>
void gradient(Calls& k, const char* name, const Field& field, std::int64_t rows, bool wide) {
  k.output(name, field, k.random(wide ? CULOSS_FLOAT32 : type_of<T>(), rows, kWidth, 0, 1, 1));
}
template <class T, class Calls>
void row_loss(Calls& k, std::int64_t rows) {
  k.output(CULOSS_TEST_FIELD(loss), &k.make(kReal<T>, 1, 1), &k.make(kReal<T>, 1, rows));
  k.output(CULOSS_TEST_FIELD(grad_scale), k.make(kReal<T>, 1, 1));
  k.output(CULOSS_TEST_FIELD(rows_counted), k.make(CULOSS_INT64, 1, 1));
}
template <class Calls>
block& ids(Calls& k, std::int64_t size) {
  std::vector<double> n(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < n.size(); ++i) n[i] = static_cast<double>(i % 3);
  return k.numbers(CULOSS_INT64, n);
}
template <class Calls>
block& mask(Calls& k, std::int64_t rows, std::int64_t cols) {
  return k.random(CULOSS_UINT8, rows, cols, 0, 2, 1);
}

template <class T>
void call_info_nce(place& p, bool each, bool wide) {
  using outputs = culoss::info_nce_outputs<T>;
  constexpr std::int64_t kKeys = 7, kShared = 4, kOwn = 2;
  pair_of_calls<T, culoss_info_nce_outputs, outputs, culoss_info_nce_options,
                culoss::info_nce_options>
      k(p, "info_nce", "info_nce");
  const block& q = k.matrix(kRows, kWidth);
  const block& keys = k.matrix(kKeys, kWidth);
  const block& n = k.matrix(kShared, kWidth);
  const block& own = k.matrix(kRows * kOwn, kWidth);
  set(k.in.in[0], q);
  set(k.in.in[1], keys);
  set(k.in.in[2], n);
  set(k.in.in[3], own);
  row_loss<T>(k, kRows);
  gradient<T>(k, CULOSS_TEST_FIELD(grad_queries), kRows, wide);
  gradient<T>(k, CULOSS_TEST_FIELD(grad_keys), kKeys, wide);
  gradient<T>(k, CULOSS_TEST_FIELD(grad_negatives), kShared, wide);
  gradient<T>(k, CULOSS_TEST_FIELD(grad_row_negatives), kRows * kOwn, wide);
  k.output(CULOSS_TEST_FIELD(correct), k.make(CULOSS_INT64, 1, 1));
  similarity_fields<T>(k, kRows);
  const auto query_ids = k.with(CULOSS_TEST_FIELD(query_ids), &ids(k, kRows));
  const auto key_ids = k.with(CULOSS_TEST_FIELD(key_ids), &ids(k, kKeys));
  const auto negative_ids = k.with(CULOSS_TEST_FIELD(negative_ids), &ids(k, kShared));
  k.field(CULOSS_TEST_FIELD(positive_offset), 1);
  k.field(CULOSS_TEST_FIELD(in_batch), 0);
  k.field(CULOSS_TEST_FIELD(query_ids), &ids(k, kRows), key_ids + negative_ids);
  k.field(CULOSS_TEST_FIELD(key_ids), &ids(k, kKeys), query_ids + negative_ids);
  k.field(CULOSS_TEST_FIELD(negative_ids), &ids(k, kShared), query_ids + key_ids);
  k.field(CULOSS_TEST_FIELD(mask), &mask(k, kRows, kKeys + kShared + kOwn));
  k.field(CULOSS_TEST_FIELD(margin), 0.25f);
  k.field(CULOSS_TEST_FIELD(plan), int{CULOSS_PLAN_FORWARD_ONLY});
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::info_nce(where, as<input_of<T>>(q), as<input_of<T>>(keys),
                                as<input_of<T>>(n), as<input_of<T>>(own), o, how);
      },
      each);
}

inline std::vector<double> on_the_circle(const std::vector<double>& angles) {
  std::vector<double> rows(angles.size() * kWidth);
  for (std::size_t i = 0; i < angles.size(); ++i) {
    rows[i * kWidth] = std::cos(angles[i]);
    rows[i * kWidth + 1] = std::sin(angles[i]);
  }
  return rows;
}

template <class T>
void call_clip(place& p, bool each, bool wide) {
  using outputs = culoss::clip_outputs<T>;
  pair_of_calls<T, culoss_clip_outputs, outputs, culoss_clip_options, culoss::clip_options> k(
      p, "clip", "clip");
  // By their angles, so that 4 images and 5 texts have each other: image 3 is nearer to text 0, and
  // image and text 5 are far from each other.
  block& x = k.matrix(kRows, kWidth);
  block& y = k.matrix(kRows, kWidth);
  x.write(on_the_circle({0, 1, 2, 0.1, 3, 4}));
  y.write(on_the_circle({0, 1, 2, 0.5, 3, 1.01}));
  set(k.in.in[0], x);
  set(k.in.in[1], y);
  row_loss<T>(k, kRows);
  gradient<T>(k, CULOSS_TEST_FIELD(grad_images), kRows, wide);
  gradient<T>(k, CULOSS_TEST_FIELD(grad_texts), kRows, wide);
  k.output(CULOSS_TEST_FIELD(correct_images), k.make(CULOSS_INT64, 1, 1));
  k.output(CULOSS_TEST_FIELD(correct_texts), k.make(CULOSS_INT64, 1, 1));
  similarity_fields<T>(k, kRows);
  k.field(CULOSS_TEST_FIELD(ids), &ids(k, kRows));
  k.field(CULOSS_TEST_FIELD(mask), &mask(k, kRows, kRows));
  k.field(CULOSS_TEST_FIELD(margin), 0.25f);
  k.field(CULOSS_TEST_FIELD(plan), int{CULOSS_PLAN_FORWARD_ONLY});
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::clip(where, as<input_of<T>>(x), as<input_of<T>>(y), o, how);
      },
      each);
}

template <class T>
void call_siglip(place& p, bool each, bool wide) {
  using outputs = culoss::siglip_outputs<T>;
  constexpr std::int64_t kTexts = 7;
  pair_of_calls<T, culoss_siglip_outputs, outputs, culoss_siglip_options, culoss::siglip_options> k(
      p, "siglip", "siglip");
  const block& x = k.matrix(kRows, kWidth);
  const block& y = k.matrix(kTexts, kWidth);
  set(k.in.in[0], x);
  set(k.in.in[1], y);
  row_loss<T>(k, kRows);
  gradient<T>(k, CULOSS_TEST_FIELD(grad_images), kRows, wide);
  gradient<T>(k, CULOSS_TEST_FIELD(grad_texts), kTexts, wide);
  k.output(CULOSS_TEST_FIELD(grad_bias), k.make(kReal<T>, 1, 1));
  k.output(CULOSS_TEST_FIELD(correct), k.make(CULOSS_INT64, 1, 1));
  similarity_fields<T>(k, kRows);
  k.always(k.with(CULOSS_TEST_FIELD(bias), -1.0f));
  k.field(CULOSS_TEST_FIELD(bias), 0.5f);
  k.field(CULOSS_TEST_FIELD(positive_offset), 1);
  k.field(CULOSS_TEST_FIELD(positives), 0);
  k.field(CULOSS_TEST_FIELD(image_ids), &ids(k, kRows),
          k.with(CULOSS_TEST_FIELD(text_ids), &ids(k, kTexts)));
  k.field(CULOSS_TEST_FIELD(text_ids), &ids(k, kTexts),
          k.with(CULOSS_TEST_FIELD(image_ids), &ids(k, kRows)));
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::siglip(where, as<input_of<T>>(x), as<input_of<T>>(y), o, how);
      },
      each);
}

template <class T>
void call_self_similarity(place& p, bool each, bool wide) {
  using outputs = culoss::nt_xent_outputs<T>;
  pair_of_calls<T, culoss_nt_xent_outputs, outputs, culoss_nt_xent_options, culoss::nt_xent_options>
      k(p, "nt_xent", "nt_xent");
  const block& z = k.matrix(kRows, kWidth);
  set(k.in.in[0], z);
  row_loss<T>(k, kRows);
  gradient<T>(k, CULOSS_TEST_FIELD(grad_embeddings), kRows, wide);
  k.output(CULOSS_TEST_FIELD(correct), k.make(CULOSS_INT64, 1, 1));
  similarity_fields<T>(k, kRows);
  k.field(CULOSS_TEST_FIELD(ids), &k.numbers(CULOSS_INT64, {0, 0, 1, 1, 2, 2}));
  k.run([&](const auto& where, const outputs& o,
            const auto& how) { return culoss::nt_xent(where, as<input_of<T>>(z), o, how); },
        each);

  using supervised = culoss::sup_con_outputs<T>;
  pair_of_calls<T, culoss_sup_con_outputs, supervised, culoss_sup_con_options,
                culoss::sup_con_options>
      s(p, "sup_con", "sup_con");
  const block& labels = s.numbers(CULOSS_INT32, {3, 1, 3, 2, 1, 3});
  s.in = k.in;
  set(s.in.labels, labels);
  row_loss<T>(s, kRows);
  gradient<T>(s, CULOSS_TEST_FIELD(grad_embeddings), kRows, wide);
  similarity_fields<T>(s, kRows);
  s.run(
      [&](const auto& where, const supervised& o, const auto& how) {
        return culoss::sup_con(where, as<input_of<T>>(z), as<culoss::label_view>(labels), o, how);
      },
      each);
}

template <class T>
void call_mined_triplet(place& p, bool each, bool wide) {
  using outputs = culoss::mined_triplet_outputs<T>;
  pair_of_calls<T, culoss_mined_triplet_outputs, outputs, culoss_mined_triplet_options,
                culoss::mined_triplet_options>
      k(p, "mined_triplet", "mined_triplet");
  const block& x = k.matrix(kRows, kWidth);
  const block& labels = k.numbers(CULOSS_INT64, {3, 1, 3, 2, 1, 3});
  set(k.in.in[0], x);
  set(k.in.labels, labels);
  k.output(CULOSS_TEST_FIELD(loss), &k.make(kReal<T>, 1, 1), &k.make(kReal<T>, 1, kRows));
  gradient<T>(k, CULOSS_TEST_FIELD(grad_embeddings), kRows, wide);
  k.output(CULOSS_TEST_FIELD(positives), k.make(CULOSS_INT64, 1, kRows));
  k.output(CULOSS_TEST_FIELD(negatives), k.make(CULOSS_INT64, 1, kRows));
  k.output(CULOSS_TEST_FIELD(rows_counted), k.make(CULOSS_INT64, 1, 1));
  k.shared_fields(kRows);
  k.field(CULOSS_TEST_FIELD(rule), int{CULOSS_MINING_SEMI_HARD});
  k.field(CULOSS_TEST_FIELD(distance), int{CULOSS_DISTANCE_COSINE});
  k.field(CULOSS_TEST_FIELD(margin), 3.0f);
  k.field(CULOSS_TEST_FIELD(soft_margin), 1);
  k.field(CULOSS_TEST_FIELD(ignore_index), 1);
  k.field(CULOSS_TEST_FIELD(accumulate), 1);
  // Changes no choice; that it is read shows in what it may not be.
  k.field(CULOSS_TEST_FIELD(allow_tf32), 1, {}, true, true);
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::mined_triplet(where, as<input_of<T>>(x), as<culoss::label_view>(labels), o,
                                     how);
      },
      each);
}

template <class T>
void call_embeddings(place& p, bool each) {
  for (const bool wide : {false, true}) {
    if (wide && sizeof(storage_of<T>) != 2) continue;
    call_info_nce<T>(p, each && !wide, wide);
    call_clip<T>(p, each && !wide, wide);
    call_siglip<T>(p, each && !wide, wide);
    call_self_similarity<T>(p, each && !wide, wide);
    call_mined_triplet<T>(p, each && !wide, wide);
  }
}

}  // namespace culoss_test::c_interface
