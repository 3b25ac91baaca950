// The losses of rows but for cross-entropy.
#pragma once

#include "tests/c_interface/harness.hpp"

namespace culoss_test::c_interface {

template <class T>
using matrix_of = culoss::matrix<T>;
template <class T>
using input_of = culoss::matrix<const T>;

// Labels of kRows rows; one of them is the default of ignore_index.
inline std::vector<double> some_labels() { return {0, 2, -100, 4, 1, 2}; }

template <class T>
void call_softmax(place& p, bool each) {
  using calls = pair_of_calls<T, c_matrices, matrices<matrix_of<T>>, culoss_softmax_options,
                              culoss::softmax_options>;
  const auto of = [&](const char* name, bool backward, const auto& call) {
    calls k(p, name, "softmax");
    const block& x = k.matrix(kRows, kCols, backward ? 0.1 : -2, 0.9);
    const block& g = k.matrix(kRows, kCols);
    set(k.in.in[0], x);
    if (backward) set(k.in.in[1], g);
    k.output(CULOSS_TEST_FIELD(first), k.matrix(kRows, kCols));
    k.field(CULOSS_TEST_FIELD(temperature), 0.75f);
    k.run([&, call](const auto& where, const auto& o,
                    const auto& how) { return call(where, x, g, o.first, how); },
          each);
  };
  of("softmax", false, [](const auto& where, auto& x, auto&, const auto& y, const auto& how) {
    return culoss::softmax(where, as<input_of<T>>(x), y, how);
  });
  of("log_softmax", false, [](const auto& where, auto& x, auto&, const auto& y, const auto& how) {
    return culoss::log_softmax(where, as<input_of<T>>(x), y, how);
  });
  of("softmax_backward", true,
     [](const auto& where, auto& x, auto& g, const auto& y, const auto& how) {
       return culoss::softmax_backward(where, as<input_of<T>>(x), as<input_of<T>>(g), y, how);
     });
  of("log_softmax_backward", true,
     [](const auto& where, auto& x, auto& g, const auto& y, const auto& how) {
       return culoss::log_softmax_backward(where, as<input_of<T>>(x), as<input_of<T>>(g), y, how);
     });
}

// The fields of softmax focal, forward and backward.
template <class Calls>
void softmax_focal_fields(Calls& k, std::int64_t rows) {
  k.shared_fields(rows);
  k.field(CULOSS_TEST_FIELD(gamma), 1.5f);
  k.field(CULOSS_TEST_FIELD(alpha), &k.floats(kCols));
  k.field(CULOSS_TEST_FIELD(ignore_index), 2);
  k.field(CULOSS_TEST_FIELD(temperature), 0.75f);
}

template <class T, template <class> class View>
void call_softmax_focal(place& p, bool each) {
  constexpr bool kStrided = std::is_same_v<View<T>, culoss::strided_logits<T>>;
  using outputs = culoss::softmax_focal_outputs<T, View<T>>;
  pair_of_calls<T, culoss_softmax_focal_outputs, outputs, culoss_softmax_focal_options,
                culoss::softmax_focal_options>
      k(p, "softmax_focal", "softmax_focal");
  const auto make = [](auto& calls) -> block& {
    return kStrided ? calls.strided(type_of<T>(), kRows / 2, kCols, 2) : calls.matrix(kRows, kCols);
  };
  const block& x = make(k);
  const block& labels = k.numbers(kStrided ? CULOSS_INT32 : CULOSS_INT64, some_labels());
  block& statistics = k.make(kStatistics<T>, 1, kRows);
  set(k.in.in[0], x);
  set(k.in.labels, labels);
  k.output(CULOSS_TEST_FIELD(loss), &k.make(kReal<T>, 1, 1), &k.make(kReal<T>, 1, kRows));
  k.output(CULOSS_TEST_FIELD(grad_logits), make(k));
  k.output(CULOSS_TEST_FIELD(statistics), statistics);
  k.output(CULOSS_TEST_FIELD(argmax), k.make(CULOSS_INT64, 1, kRows));
  k.output(CULOSS_TEST_FIELD(correct), k.make(CULOSS_INT64, 1, 1));
  k.output(CULOSS_TEST_FIELD(rows_counted), k.make(CULOSS_INT64, 1, 1));
  softmax_focal_fields(k, kRows);
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::softmax_focal(where, as<View<const T>>(x), as<culoss::label_view>(labels), o,
                                     how);
      },
      each);

  pair_of_calls<T, c_matrices, matrices<View<T>>, culoss_softmax_focal_options,
                culoss::softmax_focal_options>
      b(p, "softmax_focal_backward", "softmax_focal");
  b.in = k.in;
  set(b.in.statistics, k.again(statistics));
  b.output(CULOSS_TEST_FIELD(first), make(b));
  softmax_focal_fields(b, kRows);
  b.run(
      [&](const auto& where, const auto& o, const auto& how) {
        using saved = culoss::vector<const culoss::row_statistics<culoss::real_of<T>>>;
        return culoss::softmax_focal_backward(
            where, as<View<const T>>(x), as<culoss::label_view>(labels), as<saved>(statistics),
            culoss::softmax_focal_backward_outputs<T, View<T>>{o.first}, how);
      },
      each);
}

template <class T>
void call_nll(place& p, bool each) {
  using outputs = culoss::nll_outputs<T>;
  pair_of_calls<T, culoss_nll_outputs, outputs, culoss_nll_options, culoss::nll_options> k(p, "nll",
                                                                                           "nll");
  const block& x = k.matrix(kRows, kCols, 0.1, 0.9);
  const block& labels = k.numbers(CULOSS_INT64, some_labels());
  set(k.in.in[0], x);
  set(k.in.labels, labels);
  k.output(CULOSS_TEST_FIELD(loss), &k.make(kReal<T>, 1, 1), &k.make(kReal<T>, 1, kRows));
  k.output(CULOSS_TEST_FIELD(grad_input), k.matrix(kRows, kCols));
  k.output(CULOSS_TEST_FIELD(rows_counted), k.make(CULOSS_INT64, 1, 1));
  k.shared_fields(kRows);
  k.field(CULOSS_TEST_FIELD(input), int{CULOSS_NLL_PROBABILITIES});
  k.field(CULOSS_TEST_FIELD(ignore_index), 2);
  k.field(CULOSS_TEST_FIELD(class_weights), &k.floats(kCols));
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::nll(where, as<input_of<T>>(x), as<culoss::label_view>(labels), o, how);
      },
      each);
}

template <class T>
void call_smooth_labels(place& p, bool each) {
  const auto of = [&](const char* name, bool of_labels, const auto& call) {
    pair_of_calls<T, c_matrices, matrices<matrix_of<T>>, culoss_smooth_labels_options,
                  culoss::smooth_labels_options>
        k(p, name, "smooth_labels");
    const block& x = k.matrix(kRows, kCols);
    const block& labels = k.numbers(CULOSS_INT32, some_labels());
    set(k.in.in[0], x);
    if (of_labels) set(k.in.labels, labels);
    k.output(CULOSS_TEST_FIELD(first), k.matrix(kRows, kCols));
    k.field(CULOSS_TEST_FIELD(smoothing), 0.25f);
    if (of_labels) k.field(CULOSS_TEST_FIELD(ignore_index), 2);
    k.run([&, call](const auto& where, const auto& o,
                    const auto& how) { return call(where, x, labels, o.first, how); },
          each);
  };
  of("smooth_labels", true, [](const auto& where, auto&, auto& t, const auto& y, const auto& how) {
    return culoss::smooth_labels(where, as<culoss::label_view>(t), y, how);
  });
  of("smooth_labels_soft", false,
     [](const auto& where, auto& x, auto&, const auto& y, const auto& how) {
       return culoss::smooth_labels(where, as<input_of<T>>(x), y, how);
     });
  of("smooth_labels_backward", false,
     [](const auto& where, auto& x, auto&, const auto& y, const auto& how) {
       return culoss::smooth_labels_backward(where, as<input_of<T>>(x), y, how);
     });
}

template <class T>
void call_entropy(place& p, bool each) {
  using outputs = culoss::entropy_outputs<T>;
  pair_of_calls<T, culoss_entropy_outputs, outputs, culoss_entropy_options, culoss::entropy_options>
      k(p, "entropy", "entropy");
  const block& x = k.matrix(kRows, kCols, 0.1, 0.9);
  set(k.in.in[0], x);
  k.output(CULOSS_TEST_FIELD(loss), &k.make(kReal<T>, 1, 1), &k.make(kReal<T>, 1, kRows));
  k.output(CULOSS_TEST_FIELD(grad_input), k.matrix(kRows, kCols));
  k.shared_fields(kRows);
  const auto logits = k.with(CULOSS_TEST_FIELD(input), int{CULOSS_ENTROPY_LOGITS});
  k.field(CULOSS_TEST_FIELD(input), int{CULOSS_ENTROPY_LOGITS});
  k.field(CULOSS_TEST_FIELD(temperature), 0.75f, logits);
  k.field(CULOSS_TEST_FIELD(mean_elements), 1);
  k.run([&](const auto& where, const outputs& o,
            const auto& how) { return culoss::entropy(where, as<input_of<T>>(x), o, how); },
        each);
}

template <class T>
void call_kl_divergence(place& p, bool each) {
  using outputs = culoss::kl_divergence_outputs<T>;
  pair_of_calls<T, culoss_kl_divergence_outputs, outputs, culoss_kl_divergence_options,
                culoss::kl_divergence_options>
      k(p, "kl_divergence", "kl_divergence");
  const block& a = k.matrix(kRows, kCols, 0.1, 0.9);
  const block& b = k.matrix(kRows, kCols, 0.1, 0.9);
  set(k.in.in[0], a);
  set(k.in.in[1], b);
  k.output(CULOSS_TEST_FIELD(loss), &k.make(kReal<T>, 1, 1), &k.make(kReal<T>, 1, kRows));
  k.output(CULOSS_TEST_FIELD(grad_p), k.matrix(kRows, kCols));
  k.output(CULOSS_TEST_FIELD(grad_q), k.matrix(kRows, kCols));
  k.shared_fields(kRows);
  k.field(CULOSS_TEST_FIELD(p_input), int{CULOSS_KL_LOG_PROBABILITIES});
  k.field(CULOSS_TEST_FIELD(q_input), int{CULOSS_KL_LOG_PROBABILITIES});
  k.field(CULOSS_TEST_FIELD(direction), int{CULOSS_KL_REVERSE});
  k.field(CULOSS_TEST_FIELD(mean_elements), 1);
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::kl_divergence(where, as<input_of<T>>(a), as<input_of<T>>(b), o, how);
      },
      each);
}

template <class T>
void call_distillation(place& p, bool each) {
  using outputs = culoss::distillation_outputs<T>;
  pair_of_calls<T, culoss_distillation_outputs, outputs, culoss_distillation_options,
                culoss::distillation_options>
      k(p, "distillation", "distillation");
  const block& a = k.matrix(kRows, kCols);
  const block& b = k.matrix(kRows, kCols);
  const block& labels = k.numbers(CULOSS_INT64, some_labels());
  set(k.in.in[0], a);
  set(k.in.in[1], b);
  k.output(CULOSS_TEST_FIELD(loss), &k.make(kReal<T>, 1, 1), &k.make(kReal<T>, 1, kRows));
  k.output(CULOSS_TEST_FIELD(grad_student), k.matrix(kRows, kCols));
  k.output(CULOSS_TEST_FIELD(grad_teacher), k.matrix(kRows, kCols));
  k.output(CULOSS_TEST_FIELD(rows_counted), k.make(CULOSS_INT64, 1, 1));
  k.shared_fields(kRows);
  k.field(CULOSS_TEST_FIELD(direction), int{CULOSS_DISTILLATION_REVERSE});
  k.field(CULOSS_TEST_FIELD(beta), 0.125f,
          k.with(CULOSS_TEST_FIELD(direction), int{CULOSS_DISTILLATION_JENSEN_SHANNON}));
  k.field(CULOSS_TEST_FIELD(temperature), 0.75f);
  k.field(CULOSS_TEST_FIELD(temperature_squared), 1, k.with(CULOSS_TEST_FIELD(temperature), 0.5f));
  k.field(CULOSS_TEST_FIELD(labels), labels, k.with(CULOSS_TEST_FIELD(ignore_index), 2));
  k.field(CULOSS_TEST_FIELD(ignore_index), 2, k.with(CULOSS_TEST_FIELD(labels), labels));
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::distillation(where, as<input_of<T>>(a), as<input_of<T>>(b), o, how);
      },
      each);
}

template <class T>
void call_multi_class_hinge(place& p, bool each) {
  using outputs = culoss::multi_class_hinge_outputs<T>;
  pair_of_calls<T, culoss_multi_class_hinge_outputs, outputs, culoss_multi_class_hinge_options,
                culoss::multi_class_hinge_options>
      k(p, "multi_class_hinge", "multi_class_hinge");
  const block& x = k.matrix(kRows, kCols);
  const block& labels = k.numbers(CULOSS_INT64, some_labels());
  set(k.in.in[0], x);
  set(k.in.labels, labels);
  k.output(CULOSS_TEST_FIELD(loss), &k.make(kReal<T>, 1, 1), &k.make(kReal<T>, 1, kRows));
  k.output(CULOSS_TEST_FIELD(grad_scores), k.matrix(kRows, kCols));
  k.output(CULOSS_TEST_FIELD(rows_counted), k.make(CULOSS_INT64, 1, 1));
  k.shared_fields(kRows);
  k.field(CULOSS_TEST_FIELD(form), int{CULOSS_HINGE_MAX});
  k.field(CULOSS_TEST_FIELD(margin), 0.5f);
  k.field(CULOSS_TEST_FIELD(power), 2);
  k.field(CULOSS_TEST_FIELD(ignore_index), 2);
  k.field(CULOSS_TEST_FIELD(class_weights), &k.floats(kCols));
  k.run(
      [&](const auto& where, const outputs& o, const auto& how) {
        return culoss::multi_class_hinge(where, as<input_of<T>>(x), as<culoss::label_view>(labels),
                                         o, how);
      },
      each);
}

template <class T>
void call_rows(place& p, bool each) {
  call_softmax<T>(p, each);
  call_softmax_focal<T, culoss::matrix>(p, each);
  call_softmax_focal<T, culoss::strided_logits>(p, each);
  call_nll<T>(p, each);
  call_smooth_labels<T>(p, each);
  call_entropy<T>(p, each);
  call_kl_divergence<T>(p, each);
  call_distillation<T>(p, each);
  call_multi_class_hinge<T>(p, each);
}

}  // namespace culoss_test::c_interface
