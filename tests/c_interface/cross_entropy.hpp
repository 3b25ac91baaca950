// Cross-entropy of logits, of a linear classifier, and of shards.
#pragma once

#include "tests/c_interface/rows.hpp"

namespace culoss_test::c_interface {

template <class T>
using saved_of = culoss::vector<const culoss::row_statistics<culoss::real_of<T>>>;

// Of labels or of target probabilities, which have neither shards nor anything to ignore.
template <class Calls>
void cross_entropy_fields(Calls& k, bool labels, bool gradients = true) {
  k.shared_fields(kRows, gradients);
  k.field(CULOSS_TEST_FIELD(label_smoothing), 0.25f);
  k.field(CULOSS_TEST_FIELD(temperature), 0.75f);
  k.field(CULOSS_TEST_FIELD(softcap), 3.0f);
  k.field(CULOSS_TEST_FIELD(z_loss), 0.05f);
  k.field(CULOSS_TEST_FIELD(class_weights), &k.floats(kCols));
  // Other numbers, or refused for the sake of this field.
  k.field(CULOSS_TEST_FIELD(class_offset), 1);
  k.field(CULOSS_TEST_FIELD(classes), 7, k.with(CULOSS_TEST_FIELD(label_smoothing), 0.25f));
  if (labels) k.field(CULOSS_TEST_FIELD(ignore_index), 2);
}

template <class T, class Calls>
void row_outputs(Calls& k, block& statistics) {
  k.always(k.with(CULOSS_TEST_FIELD(z_loss), 0.01f));
  k.output(CULOSS_TEST_FIELD(loss), &k.make(kReal<T>, 1, 1), &k.make(kReal<T>, 1, kRows));
  k.output(CULOSS_TEST_FIELD(lse), k.make(kReal<T>, 1, kRows));
  k.output(CULOSS_TEST_FIELD(statistics), statistics);
  k.output(CULOSS_TEST_FIELD(argmax), k.make(CULOSS_INT64, 1, kRows));
  k.output(CULOSS_TEST_FIELD(z_loss), &k.make(kReal<T>, 1, 1), &k.make(kReal<T>, 1, kRows));
  k.output(CULOSS_TEST_FIELD(entropy), k.make(kReal<T>, 1, kRows));
}
template <class Calls>
void count_outputs(Calls& k) {
  k.output(CULOSS_TEST_FIELD(correct), k.make(CULOSS_INT64, 1, 1));
  k.output(CULOSS_TEST_FIELD(rows_counted), k.make(CULOSS_INT64, 1, 1));
}

template <class T, template <class> class View>
void call_cross_entropy(place& p, bool each) {
  constexpr bool kStrided = std::is_same_v<View<T>, culoss::strided_logits<T>>;
  using outputs = culoss::cross_entropy_outputs<T, View<T>>;
  pair_of_calls<T, culoss_cross_entropy_outputs, outputs, culoss_cross_entropy_options,
                culoss::cross_entropy_options>
      k(p, "cross_entropy", "cross_entropy");
  const auto make = [](auto& calls) -> block& {
    return kStrided ? calls.strided(type_of<T>(), kRows / 2, kCols, 2) : calls.matrix(kRows, kCols);
  };
  const block& x = make(k);
  const block& labels = k.numbers(kStrided ? CULOSS_INT32 : CULOSS_INT64, some_labels());
  block& statistics = k.make(kStatistics<T>, 1, kRows);
  block& shards = k.make(kShards<T>, 1, kRows);
  set(k.in.in[0], x);
  set(k.in.labels, labels);
  row_outputs<T>(k, statistics);
  count_outputs(k);
  k.output(CULOSS_TEST_FIELD(grad_logits), make(k));
  k.output(CULOSS_TEST_FIELD(shards), shards);
  cross_entropy_fields(k, true);
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::cross_entropy(where, as<View<const T>>(x), as<culoss::label_view>(labels), o,
                                     how);
      },
      each);

  pair_of_calls<T, c_matrices, matrices<View<T>>, culoss_cross_entropy_options,
                culoss::cross_entropy_options>
      b(p, "cross_entropy_backward", "cross_entropy");
  b.in = k.in;
  set(b.in.statistics, k.again(statistics));
  b.output(CULOSS_TEST_FIELD(first), make(b));
  cross_entropy_fields(b, true);
  b.run(
      [&](const auto& where, const auto& o, const auto& how) {
        return culoss::cross_entropy_backward(
            where, as<View<const T>>(x), as<culoss::label_view>(labels),
            as<saved_of<T>>(statistics),
            culoss::cross_entropy_backward_outputs<T, View<T>>{o.first}, how);
      },
      each);
  if (kStrided) return;

  using merged = culoss::merged_outputs<culoss::real_of<T>>;
  pair_of_calls<T, culoss_merged_outputs, merged, culoss_cross_entropy_options,
                culoss::cross_entropy_options>
      m(p, "merge_statistics", "cross_entropy");
  set(m.in.in[0], k.again(shards));
  m.in.labels = k.in.labels;
  row_outputs<T>(m, m.make(kStatistics<T>, 1, kRows));
  count_outputs(m);
  m.always(m.with(CULOSS_TEST_FIELD(classes), int{kCols}));
  cross_entropy_fields(m, true, false);
  m.run(
      [&](const auto& where, const merged& o, const auto& how) {
        using records = culoss::matrix<const culoss::shard_statistics<culoss::real_of<T>>>;
        return culoss::merge_statistics(where, as<records>(shards), as<culoss::label_view>(labels),
                                        o, how);
      },
      each);
}

template <class T>
void call_cross_entropy_soft(place& p, bool each) {
  using outputs = culoss::cross_entropy_soft_outputs<T>;
  pair_of_calls<T, culoss_cross_entropy_soft_outputs, outputs, culoss_cross_entropy_options,
                culoss::cross_entropy_options>
      k(p, "cross_entropy_soft", "cross_entropy");
  const block& x = k.matrix(kRows, kCols);
  const block& q = k.matrix(kRows, kCols, 0, 1);
  block& statistics = k.make(kStatistics<T>, 1, kRows);
  set(k.in.in[0], x);
  set(k.in.in[1], q);
  row_outputs<T>(k, statistics);
  k.output(CULOSS_TEST_FIELD(grad_logits), k.matrix(kRows, kCols));
  k.output(CULOSS_TEST_FIELD(grad_targets), k.matrix(kRows, kCols));
  cross_entropy_fields(k, false);
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::cross_entropy(where, as<input_of<T>>(x), as<input_of<T>>(q), o, how);
      },
      each);

  pair_of_calls<T, c_matrices, matrices<matrix_of<T>>, culoss_cross_entropy_options,
                culoss::cross_entropy_options>
      b(p, "cross_entropy_soft_backward", "cross_entropy");
  b.in = k.in;
  set(b.in.statistics, k.again(statistics));
  b.output(CULOSS_TEST_FIELD(first), b.matrix(kRows, kCols));
  b.output(CULOSS_TEST_FIELD(second), b.matrix(kRows, kCols));
  cross_entropy_fields(b, false);
  b.run(
      [&](const auto& where, const auto& o, const auto& how) {
        return culoss::cross_entropy_backward(
            where, as<input_of<T>>(x), as<input_of<T>>(q), as<saved_of<T>>(statistics),
            culoss::cross_entropy_soft_backward_outputs<T>{o.first, o.second}, how);
      },
      each);
}

// wide: gradients in float whatever the inputs are.
template <class T>
void call_linear_cross_entropy(place& p, bool each, bool wide) {
  using outputs = culoss::linear_cross_entropy_outputs<T>;
  using bias_of = culoss::vector<const culoss::real_of<T>>;
  pair_of_calls<T, culoss_linear_cross_entropy_outputs, outputs,
                culoss_linear_cross_entropy_options, culoss::linear_cross_entropy_options>
      k(p, "linear_cross_entropy", "linear_cross_entropy");
  const block& h = k.matrix(kRows, kWidth);
  const block& w = k.matrix(kCols, kWidth);
  const block& bias = k.random(kReal<T>, 1, kCols, -1, 1);
  const block& labels = k.numbers(CULOSS_INT64, some_labels());
  block& statistics = k.make(kStatistics<T>, 1, kRows);
  set(k.in.in[0], h);
  set(k.in.in[1], w);
  set(k.in.bias, bias);
  set(k.in.labels, labels);
  row_outputs<T>(k, statistics);
  count_outputs(k);
  const auto gradients = [&](auto& calls) {
    const culoss_dtype type = wide ? CULOSS_FLOAT32 : type_of<T>();
    calls.output(CULOSS_TEST_FIELD(grad_hidden), calls.random(type, kRows, kWidth, 0, 1, 1));
    calls.output(CULOSS_TEST_FIELD(grad_weight), calls.random(type, kCols, kWidth, 0, 1, 2));
    calls.output(CULOSS_TEST_FIELD(grad_bias), calls.make(kReal<T>, 1, kCols));
    cross_entropy_fields(calls, true);
    calls.field(CULOSS_TEST_FIELD(accumulate), 1);
    calls.field(CULOSS_TEST_FIELD(allow_tf32), 1, {}, true);
  };
  gradients(k);
  k.output(CULOSS_TEST_FIELD(shards), k.make(kShards<T>, 1, kRows));
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::linear_cross_entropy(where, as<input_of<T>>(h), as<input_of<T>>(w),
                                            as<bias_of>(bias), as<culoss::label_view>(labels), o,
                                            how);
      },
      each);

  using backward = culoss::linear_cross_entropy_backward_outputs<T>;
  pair_of_calls<T, culoss_linear_cross_entropy_backward_outputs, backward,
                culoss_linear_cross_entropy_options, culoss::linear_cross_entropy_options>
      b(p, "linear_cross_entropy_backward", "linear_cross_entropy");
  b.in = k.in;
  set(b.in.statistics, k.again(statistics));
  gradients(b);
  b.run(
      [&](const auto& where, const backward& o, const auto& how) {
        return culoss::linear_cross_entropy_backward(
            where, as<input_of<T>>(h), as<input_of<T>>(w), as<bias_of>(bias),
            as<culoss::label_view>(labels), as<saved_of<T>>(statistics), o, how);
      },
      each);
}

template <class T>
void call_all_cross_entropies(place& p, bool each) {
  call_cross_entropy<T, culoss::matrix>(p, each);
  call_cross_entropy<T, culoss::strided_logits>(p, each);
  call_cross_entropy_soft<T>(p, each);
  call_linear_cross_entropy<T>(p, each, false);
  if (sizeof(storage_of<T>) == 2) call_linear_cross_entropy<T>(p, false, true);
}

}  // namespace culoss_test::c_interface
