// Every mistake in the arguments of the other losses with a row or an element: its exact message,
// and that nothing was launched and nothing written. What all losses share is asked of each.
#include <gtest/gtest.h>

#include <culoss/culoss.hpp>
#include <utility>

#include "tests/harness/refusal.hpp"

namespace culoss_test {
namespace {

using culoss::reduction;

// A call of each function with everything given. `run` calls it.
template <class Where, class T>
struct call_arguments {
  using real = culoss::real_of<T>;
  explicit call_arguments(const memory<Where, T>& m)
      : logits(m.x.as_matrix()), targets(m.g.as_matrix()), labels(m.labels.as_vector()) {}

  Where where;
  culoss::matrix<const T> logits, targets;
  culoss::label_view labels;
};

template <class Where, class T>
struct target_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "cross_entropy";
  static constexpr const char* kInput = "logits";
  explicit target_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_logits = m.out.as_matrix();
    out.grad_targets = m.g.as_matrix();
    out.lse = {m.reals.data() + 8, kRows};
    out.statistics = {m.statistics(), kRows};
    out.argmax = {m.counts.data(), kRows};
    out.entropy = {m.reals.data() + 16, kRows};
    options.class_weights = {m.ones.data(), kCols};
  }
  culoss::status run() const {
    return culoss::cross_entropy(this->where, this->logits, this->targets, out, options);
  }
  culoss::cross_entropy_soft_outputs<T> out;
  culoss::cross_entropy_options options;
};

template <class Where, class T>
struct softmax_focal_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "softmax_focal";
  static constexpr const char* kInput = "logits";
  explicit softmax_focal_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_logits = m.out.as_matrix();
    out.correct = {m.counts.data() + 8, 1};
    options.alpha = {m.ones.data(), kCols};
  }
  culoss::status run() const {
    return culoss::softmax_focal(this->where, this->logits, this->labels, out, options);
  }
  culoss::softmax_focal_outputs<T> out;
  culoss::softmax_focal_options options;
};

template <class Where, class T>
struct sigmoid_focal_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "sigmoid_focal";
  static constexpr const char* kInput = "logits";
  explicit sigmoid_focal_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_logits = m.out.as_matrix();
  }
  culoss::status run() const {
    return culoss::sigmoid_focal(this->where, this->logits, this->targets, out, options);
  }
  culoss::status run_labels() const {
    return culoss::sigmoid_focal(this->where, this->logits, this->labels, of_labels, options);
  }
  culoss::sigmoid_focal_outputs<T> out;
  culoss::sigmoid_focal_label_outputs<T> of_labels;
  culoss::sigmoid_focal_options options;
};

template <class Where, class T>
struct nll_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "nll";
  static constexpr const char* kInput = "input";
  explicit nll_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_input = m.out.as_matrix();
    out.rows_counted = {m.counts.data(), 1};
  }
  culoss::status run() const {
    return culoss::nll(this->where, this->logits, this->labels, out, options);
  }
  culoss::nll_outputs<T> out;
  culoss::nll_options options;
};

template <class Where, class T>
struct entropy_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "entropy";
  static constexpr const char* kInput = "input";
  explicit entropy_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_input = m.out.as_matrix();
  }
  culoss::status run() const { return culoss::entropy(this->where, this->logits, out, options); }
  culoss::entropy_outputs<T> out;
  culoss::entropy_options options;
};

template <class Where, class T>
struct kl_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "kl_divergence";
  static constexpr const char* kInput = "p";
  explicit kl_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_p = m.out.as_matrix();
    out.grad_q = m.g.as_matrix();
  }
  culoss::status run() const {
    return culoss::kl_divergence(this->where, this->logits, this->targets, out, options);
  }
  culoss::kl_divergence_outputs<T> out;
  culoss::kl_divergence_options options;
};

template <class Where, class T>
struct distillation_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "distillation";
  static constexpr const char* kInput = "student";
  explicit distillation_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_student = m.out.as_matrix();
    out.grad_teacher = m.g.as_matrix();
    out.rows_counted = {m.counts.data(), 1};
    options.labels = this->labels;
  }
  culoss::status run() const {
    return culoss::distillation(this->where, this->logits, this->targets, out, options);
  }
  culoss::distillation_outputs<T> out;
  culoss::distillation_options options;
};

template <class Where, class T>
struct multi_hinge_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "multi_class_hinge";
  static constexpr const char* kInput = "scores";
  explicit multi_hinge_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_scores = m.out.as_matrix();
    out.rows_counted = {m.counts.data(), 1};
    options.class_weights = {m.ones.data(), kCols};
  }
  culoss::status run() const {
    return culoss::multi_class_hinge(this->where, this->logits, this->labels, out, options);
  }
  culoss::multi_class_hinge_outputs<T> out;
  culoss::multi_class_hinge_options options;
};

template <class Where, class T>
struct huber_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "huber";
  static constexpr const char* kInput = "predictions";
  explicit huber_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_predictions = m.out.as_matrix();
    out.grad_targets = m.g.as_matrix();
    options.weights = {m.ones.data(), kRows, kCols};
  }
  culoss::status run() const {
    return culoss::huber(this->where, this->logits, this->targets, out, options);
  }
  culoss::regression_outputs<T> out;
  culoss::huber_options options;
};

template <class Where, class T>
struct binary_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "binary_cross_entropy";
  static constexpr const char* kInput = "logits";
  explicit binary_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_logits = m.out.as_matrix();
    options.pos_weight = {m.ones.data(), kCols};
  }
  culoss::status run() const {
    return culoss::binary_cross_entropy(this->where, this->logits, this->targets, out, options);
  }
  culoss::binary_cross_entropy_outputs<T> out;
  culoss::binary_cross_entropy_options options;
};

template <class Where, class T>
struct probability_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "binary_cross_entropy_probabilities";
  static constexpr const char* kInput = "probabilities";
  explicit probability_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_probabilities = m.out.as_matrix();
  }
  culoss::status run() const {
    return culoss::binary_cross_entropy_probabilities(this->where, this->logits, this->targets, out,
                                                      options);
  }
  culoss::binary_cross_entropy_probabilities_outputs<T> out;
  culoss::binary_cross_entropy_probabilities_options options;
};

template <class Where, class T>
struct hinge_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "hinge";
  static constexpr const char* kInput = "scores";
  explicit hinge_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_scores = m.out.as_matrix();
  }
  culoss::status run() const {
    return culoss::hinge(this->where, this->logits, this->targets, out, options);
  }
  culoss::margin_outputs<T> out;
  culoss::hinge_options options;
};

template <class Where, class T>
struct soft_margin_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "soft_margin";
  static constexpr const char* kInput = "scores";
  explicit soft_margin_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_scores = m.out.as_matrix();
  }
  culoss::status run() const {
    return culoss::soft_margin(this->where, this->logits, this->labels, out, options);
  }
  culoss::margin_outputs<T> out;
  culoss::soft_margin_options options;
};

template <class Where, class T>
struct pair_arguments : call_arguments<Where, T> {
  static constexpr const char* kInput = "x1";
  explicit pair_arguments(const memory<Where, T>& m) : call_arguments<Where, T>(m) {
    out.loss = {m.reals.data(), 1};
    out.grad_x1 = m.out.as_matrix();
    out.grad_x2 = m.g.as_matrix();
    out.rows_counted = {m.counts.data(), 1};
  }
  culoss::pair_outputs<T> out;
};
template <class Where, class T>
struct cosine_embedding_arguments : pair_arguments<Where, T> {
  static constexpr const char* kFunction = "cosine_embedding";
  using pair_arguments<Where, T>::pair_arguments;
  culoss::status run() const {
    return culoss::cosine_embedding(this->where, this->logits, this->targets, this->labels,
                                    this->out, options);
  }
  culoss::cosine_embedding_options options;
};
template <class Where, class T>
struct contrastive_arguments : pair_arguments<Where, T> {
  static constexpr const char* kFunction = "contrastive";
  using pair_arguments<Where, T>::pair_arguments;
  culoss::status run() const {
    return culoss::contrastive(this->where, this->logits, this->targets, this->labels, this->out,
                               options);
  }
  culoss::contrastive_options options;
};

template <class Where, class T>
struct triplet_arguments : call_arguments<Where, T> {
  static constexpr const char* kFunction = "triplet";
  static constexpr const char* kInput = "anchors";
  explicit triplet_arguments(const memory<Where, T>& m)
      : call_arguments<Where, T>(m), negatives(m.x.as_matrix()) {
    out.loss = {m.reals.data(), 1};
    out.grad_anchors = m.out.as_matrix();
    out.grad_negatives = m.g.as_matrix();
  }
  culoss::status run() const {
    return culoss::triplet(this->where, this->logits, this->targets, negatives, out, options);
  }
  culoss::matrix<const T> negatives;
  culoss::triplet_outputs<T> out;
  culoss::triplet_options options;
};

// f(expect) where expect(change, message) makes the change in a good call.
template <class Arguments, class Where, class T, class F>
void with_mistakes(const memory<Where, T>& m, const F& f) {
  f([&](const auto& change, const std::string& message) {
    Arguments a(m);
    change(a);
    expect_refused(
        m, [&] { return a.run(); }, Arguments::kFunction + (": " + message));
  });
}

// What each loss asks of its matrix, of the shared options and of where it runs.
template <class Arguments, class Where, class T>
void refuses_what_all_refuse(const memory<Where, T>& m) {
  with_mistakes<Arguments>(m, [&](const auto& expect) {
    using args = Arguments;
    const std::string x = Arguments::kInput;
    constexpr int kBytes = static_cast<int>(sizeof(storage_of<T>));
    expect([](args& a) { a.logits.data = nullptr; }, x + ".data is null, but " + x + " is 4 x 5");
    expect([](args& a) { a.logits.rows = -4; }, x + ".rows is -4, must not be negative");
    expect([](args& a) { a.logits.ld = 4; }, x + ".ld is 4, must be at least cols (5)");
    expect([](args& a) { a.logits.data = moved(a.logits.data, 1); },
           misaligned(x.c_str(), moved(m.x.data(), 1), kBytes));
    expect([](args& a) { a.options.reduction = static_cast<reduction>(3); },
           "reduction must be none, mean or sum");
    expect([](args& a) { a.options.empty = static_cast<culoss::empty_batch>(2); },
           "empty must be zero or nan");
    const float* const null = nullptr;
    expect([=](args& a) { a.options.normalizer = null; }, "normalizer was given as a null pointer");
    expect(
        [](args& a) {
          a.options.reduction = reduction::none;
          a.options.normalizer = 1.0f;
          a.out.loss = {};
        },
        "normalizer is given, but reduction none divides by nothing");
    expect([](args& a) { a.options.upstream = {}; }, "upstream is not given");
    expect(
        [&](args& a) {
          a.options.upstream_rows = {m.ones.data(), kRows};
        },
        "upstream_rows is given, but reductions mean and sum take a scalar upstream");
    expect(
        [&](args& a) {
          a.options.row_weights = {m.ones.data(), 3};
        },
        "row_weights.size is 3, must be 4 (" + x + ".rows)");
    expect([](args& a) { a.out.loss.size = kRows; },
           "loss.size is 4, must be 1 (reduction is mean or sum)");
    expect(
        [&](args& a) {
          a.where.faults = moved(reinterpret_cast<culoss::fault_record*>(m.counts.data()), 4);
        },
        misaligned("faults", moved(m.counts.data(), 4), 8));
    if constexpr (std::is_same_v<Where, culoss::cpu>) {
      expect([](args& a) { a.where.threads = -1; }, "cpu.threads is -1, must not be negative");
    } else {
      expect(
          [](args& a) {
            a.where.workspace = {nullptr, 8};
          },
          "workspace.data is null, but workspace.bytes is 8");
    }
    expect([](args& a) { a.out = {}; }, "no output is given");
  });
}

class row_loss_arguments : public on_each_space {};

TEST_P(row_loss_arguments, of_every_loss) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    const memory<W, T> m;
    refuses_what_all_refuse<target_arguments<W, T>>(m);
    refuses_what_all_refuse<softmax_focal_arguments<W, T>>(m);
    refuses_what_all_refuse<sigmoid_focal_arguments<W, T>>(m);
    refuses_what_all_refuse<huber_arguments<W, T>>(m);
    refuses_what_all_refuse<binary_arguments<W, T>>(m);
    refuses_what_all_refuse<probability_arguments<W, T>>(m);
    refuses_what_all_refuse<hinge_arguments<W, T>>(m);
    refuses_what_all_refuse<soft_margin_arguments<W, T>>(m);
    refuses_what_all_refuse<nll_arguments<W, T>>(m);
    refuses_what_all_refuse<entropy_arguments<W, T>>(m);
    refuses_what_all_refuse<kl_arguments<W, T>>(m);
    refuses_what_all_refuse<multi_hinge_arguments<W, T>>(m);
    refuses_what_all_refuse<distillation_arguments<W, T>>(m);
    refuses_what_all_refuse<cosine_embedding_arguments<W, T>>(m);
    refuses_what_all_refuse<contrastive_arguments<W, T>>(m);
    refuses_what_all_refuse<triplet_arguments<W, T>>(m);
  });
}

TEST_P(row_loss_arguments, of_cross_entropy_with_targets) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    using args = target_arguments<W, T>;
    const memory<W, T> m;
    with_mistakes<args>(m, [&](const auto& expect) {
      expect([](args& a) { a.logits.cols = 0; }, "logits.cols is 0, must be positive");
      expect([](args& a) { a.targets.rows = 3; }, "targets.rows is 3, must be 4 (logits.rows)");
      expect([](args& a) { a.targets.cols = 4; }, "targets.cols is 4, must be 5 (logits.cols)");
      expect([](args& a) { a.targets.data = nullptr; },
             "targets.data is null, but targets is 4 x 5");
      expect([](args& a) { a.out.grad_targets.rows = 3; },
             "grad_targets.rows is 3, must be 4 (targets.rows)");
      expect([&](args& a) { a.out.grad_targets = m.out.as_matrix(); },
             "grad_targets overlaps grad_logits");
      expect([&](args& a) { a.out.grad_targets.data = moved(m.g.data(), kLd * 2); },
             "grad_targets overlaps targets");
      expect([&](args& a) { a.out.entropy.data = m.reals.data() + 10; }, "entropy overlaps lse");
      expect([](args& a) { a.options.z_loss = -1.0f; },
             "z_loss is -1, must be finite and not negative");
      expect([](args& a) { a.options.z_loss = kNotANumber; },
             "z_loss is nan, must be finite and not negative");
      expect([](args& a) { a.options.softcap = -2.0f; },
             "softcap is -2, must be positive, finite and not subnormal");
      expect([](args& a) { a.options.softcap = 1e-39f; },
             "softcap is 1e-39, must be positive, finite and not subnormal");
      expect(
          [&](args& a) {
            a.out.z_loss = {m.reals.data() + 1, 1};
          },
          "output z_loss is given, but the option z_loss is 0");
      expect([](args& a) { a.options.label_smoothing = 1.5f; },
             "label_smoothing is 1.5, must be in [0, 1]");
    });
  });
}

TEST_P(row_loss_arguments, of_the_focal_losses) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    const memory<W, T> m;
    using focal = softmax_focal_arguments<W, T>;
    with_mistakes<focal>(m, [&](const auto& expect) {
      expect([](focal& a) { a.logits.cols = 0; }, "logits.cols is 0, must be positive");
      expect([](focal& a) { a.labels.size = 3; }, "labels.size is 3, must be 4 (logits.rows)");
      expect([](focal& a) { a.options.gamma = -0.5f; },
             "gamma is -0.5, must be finite and not negative");
      expect([](focal& a) { a.options.alpha.size = 4; },
             "alpha.size is 4, must be 5 (logits.cols)");
      expect([](focal& a) { a.options.temperature = 0.0f; },
             "temperature is 0, must be positive, finite and not subnormal");
      expect([&](focal& a) { a.out.grad_logits.data = moved(m.x.data(), kLd * 2); },
             "grad_logits overlaps logits");
    });
    using sigmoid = sigmoid_focal_arguments<W, T>;
    with_mistakes<sigmoid>(m, [&](const auto& expect) {
      expect([](sigmoid& a) { a.options.gamma = kNotANumber; },
             "gamma is nan, must be finite and not negative");
      expect([](sigmoid& a) { a.options.alpha = 1.5f; }, "alpha is 1.5, must be in [0, 1]");
      expect([](sigmoid& a) { a.options.alpha = kNotANumber; }, "alpha is nan, must be in [0, 1]");
      expect([](sigmoid& a) { a.options.mean_over = culoss::focal_mean::positives; },
             "mean_over is positives, which only labels tell");
      expect([](sigmoid& a) { a.options.mean_over = static_cast<culoss::focal_mean>(2); },
             "mean_over must be elements or positives");
      expect([](sigmoid& a) { a.options.reduction = reduction::none; },
             "loss is given, but reduction none writes losses");
      expect([](sigmoid& a) { a.targets.cols = 4; }, "targets.cols is 4, must be 5 (logits.cols)");
    });
    sigmoid a(m);
    a.of_labels.positives = {m.counts.data(), 2};
    expect_refused(
        m, [&] { return a.run_labels(); },
        "sigmoid_focal: positives.size is 2, must be 1 (it is one count)");
    a.of_labels = {};
    expect_refused(
        m, [&] { return a.run_labels(); }, "sigmoid_focal: no output is given");
    a.labels.size = 5;
    expect_refused(
        m, [&] { return a.run_labels(); },
        "sigmoid_focal: labels.size is 5, must be 4 (logits.rows)");
  });
}

TEST_P(row_loss_arguments, of_regression) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    using args = huber_arguments<W, T>;
    const memory<W, T> m;
    with_mistakes<args>(m, [&](const auto& expect) {
      expect([](args& a) { a.targets.rows = 3; },
             "targets.rows is 3, must be 4 (predictions.rows)");
      expect([](args& a) { a.targets.data = nullptr; },
             "targets.data is null, but targets is 4 x 5");
      expect([](args& a) { a.options.delta = 0.0f; },
             "delta is 0, must be positive, finite and not subnormal");
      expect([](args& a) { a.options.delta = kNotANumber; },
             "delta is nan, must be positive, finite and not subnormal");
      expect([](args& a) { a.options.mean_over = static_cast<culoss::weighted_mean>(2); },
             "mean_over must be elements or weights");
      expect([](args& a) { a.options.weights.cols = 4; },
             "weights.cols is 4, must be 5 (predictions.cols)");
      expect([](args& a) { a.options.weights.data = nullptr; },
             "weights.data is null, but weights is 4 x 5");
      expect([](args& a) { a.options.upstream_elements = a.options.weights; },
             "upstream_elements is given, but reductions mean and sum take a scalar upstream");
      const auto none = [&](args& a) {
        a.options.reduction = reduction::none;
        a.out.loss = {};
      };
      expect(
          [&](args& a) {
            none(a);
            a.options.upstream_elements = a.options.weights;
            a.options.upstream_rows = {m.ones.data(), kRows};
          },
          "upstream_elements and upstream_rows are both given");
      expect(
          [&](args& a) {
            none(a);
            a.options.upstream_elements = a.options.weights;
            a.options.upstream_elements.ld = 4;
          },
          "upstream_elements.ld is 4, must be at least cols (5)");
      expect([](args& a) { a.options.reduction = reduction::none; },
             "loss is given, but reduction none writes losses");
      expect(
          [&](args& a) {
            a.out.losses = {m.reals.data() + 8, kRows, kCols};
          },
          "losses is given, but only reduction none writes it");
      expect([&](args& a) { a.out.grad_targets = m.out.as_matrix(); },
             "grad_targets overlaps grad_predictions");
      expect([](args& a) { a.out.grad_predictions.cols = 4; },
             "grad_predictions.cols is 4, must be 5 (predictions.cols)");
      expect([&](args& a) { a.out.grad_targets.data = moved(m.g.data(), kLd * 2); },
             "grad_targets overlaps targets");
      if constexpr (std::is_same_v<T, float>) {
        expect(
            [&](args& a) {
              a.out.grad_predictions = {const_cast<float*>(a.options.weights.data), kRows, kCols};
            },
            "grad_predictions overlaps weights");
      }
    });
    const W where;
    const culoss::matrix<const T> x = m.x.as_matrix(), t = m.g.as_matrix();
    const culoss::regression_outputs<T> out{.loss = {m.reals.data(), 1}};
    for (const auto& refused :
         {std::pair{-1.0f, "beta is -1, must be finite and not negative"},
          {1e-39f, "beta is 1e-39, must be positive, finite and not subnormal"}}) {
      expect_refused(
          m, [&] { return culoss::smooth_l1(where, x, t, out, {.beta = refused.first}); },
          std::string("smooth_l1: ") + refused.second);
    }
    expect_refused(
        m, [&] { return culoss::mse(where, x, t, {}); }, "mse: no output is given");
    expect_refused(
        m, [&] { return culoss::mae(where, x, {}, out); },
        "mae: targets.rows is 0, must be 4 (predictions.rows)");
  });
}

TEST_P(row_loss_arguments, of_binary_cross_entropy_and_margins) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    const memory<W, T> m;
    using binary = binary_arguments<W, T>;
    with_mistakes<binary>(m, [&](const auto& expect) {
      expect([](binary& a) { a.options.pos_weight.size = 4; },
             "pos_weight.size is 4, must be 5 (logits.cols)");
      expect([](binary& a) { a.options.label_smoothing = 1.5f; },
             "label_smoothing is 1.5, must be in [0, 1]");
      expect([](binary& a) { a.options.label_smoothing = kNotANumber; },
             "label_smoothing is nan, must be in [0, 1]");
      expect([](binary& a) { a.targets.cols = 4; }, "targets.cols is 4, must be 5 (logits.cols)");
      expect(
          [&](binary& a) {
            a.options.weights = {m.ones.data(), 3, kCols};
          },
          "weights.rows is 3, must be 4 (logits.rows)");
      expect([&](binary& a) { a.out.grad_targets = m.out.as_matrix(); },
             "grad_targets overlaps grad_logits");
    });
    using probability = probability_arguments<W, T>;
    with_mistakes<probability>(m, [&](const auto& expect) {
      expect([](probability& a) { a.targets.rows = 3; },
             "targets.rows is 3, must be 4 (probabilities.rows)");
      expect([](probability& a) { a.out.grad_probabilities.cols = 4; },
             "grad_probabilities.cols is 4, must be 5 (probabilities.cols)");
    });
    using hinge = hinge_arguments<W, T>;
    with_mistakes<hinge>(m, [&](const auto& expect) {
      expect([](hinge& a) { a.options.power = 3; }, "power must be 1 or 2");
      expect([](hinge& a) { a.options.power = 0; }, "power must be 1 or 2");
      expect([](hinge& a) { a.options.margin = kNotANumber; }, "margin is nan, must be finite");
      expect([](hinge& a) { a.options.margin = -std::numeric_limits<float>::infinity(); },
             "margin is -inf, must be finite");
      expect([](hinge& a) { a.targets.data = nullptr; },
             "targets.data is null, but targets is 4 x 5");
      expect([](hinge& a) { a.options.reduction = reduction::none; },
             "loss is given, but reduction none writes losses");
    });
    using soft = soft_margin_arguments<W, T>;
    with_mistakes<soft>(m, [&](const auto& expect) {
      expect([](soft& a) { a.labels.size = 3; }, "labels.size is 3, must be 4 (scores.rows)");
      expect([](soft& a) { a.logits.cols = 0; }, "scores.cols is 0, must be positive");
      expect([](soft& a) { a.labels.data = nullptr; }, "labels.data is null, but labels.size is 4");
    });
  });
}

TEST_P(row_loss_arguments, of_nll_entropy_and_smooth_labels) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    const memory<W, T> m;
    using nll = nll_arguments<W, T>;
    with_mistakes<nll>(m, [&](const auto& expect) {
      expect([](nll& a) { a.logits.cols = 0; }, "input.cols is 0, must be positive");
      expect([](nll& a) { a.labels.data = nullptr; }, "labels.data is null, but labels.size is 4");
      expect([](nll& a) { a.options.input = static_cast<culoss::nll_input>(2); },
             "input must be log_probabilities or probabilities");
      expect(
          [&](nll& a) {
            a.options.class_weights = {m.ones.data(), 4};
          },
          "class_weights.size is 4, must be 5 (input.cols)");
      expect([&](nll& a) { a.out.grad_input.data = moved(m.x.data(), kLd * 2); },
             "grad_input overlaps input");
    });
    using entropy = entropy_arguments<W, T>;
    with_mistakes<entropy>(m, [&](const auto& expect) {
      expect([](entropy& a) { a.options.input = static_cast<culoss::entropy_input>(2); },
             "input must be probabilities or logits");
      expect([](entropy& a) { a.options.temperature = 2.0f; },
             "temperature is given, but probabilities have none");
      expect([](entropy& a) { a.options.temperature = 0.0f; },
             "temperature is 0, must be positive, finite and not subnormal");
    });
    using kl = kl_arguments<W, T>;
    with_mistakes<kl>(m, [&](const auto& expect) {
      expect([](kl& a) { a.logits.cols = 0; }, "p.cols is 0, must be positive");
      expect([](kl& a) { a.targets.rows = 3; }, "q.rows is 3, must be 4 (p.rows)");
      expect([](kl& a) { a.targets.cols = 4; }, "q.cols is 4, must be 5 (p.cols)");
      expect([](kl& a) { a.options.p_input = static_cast<culoss::kl_input>(2); },
             "p_input must be probabilities or log_probabilities");
      expect([](kl& a) { a.options.q_input = static_cast<culoss::kl_input>(-1); },
             "q_input must be probabilities or log_probabilities");
      expect([](kl& a) { a.options.direction = static_cast<culoss::kl_direction>(2); },
             "direction must be forward or reverse");
      expect([&](kl& a) { a.out.grad_q = m.out.as_matrix(); }, "grad_q overlaps grad_p");
      expect([&](kl& a) { a.out.grad_q.data = moved(m.g.data(), kLd * 2); }, "grad_q overlaps q");
      expect([](kl& a) { a.out.grad_q.rows = 3; }, "grad_q.rows is 3, must be 4 (q.rows)");
    });
    using hinge = multi_hinge_arguments<W, T>;
    with_mistakes<hinge>(m, [&](const auto& expect) {
      expect([](hinge& a) { a.logits.cols = 0; }, "scores.cols is 0, must be positive");
      expect([](hinge& a) { a.labels.size = 3; }, "labels.size is 3, must be 4 (scores.rows)");
      expect([](hinge& a) { a.options.form = static_cast<culoss::hinge_form>(2); },
             "form must be sum or max");
      expect([](hinge& a) { a.options.margin = kNotANumber; }, "margin is nan, must be finite");
      expect([](hinge& a) { a.options.power = 3; }, "power must be 1 or 2");
      expect([](hinge& a) { a.options.class_weights.size = 4; },
             "class_weights.size is 4, must be 5 (scores.cols)");
      expect([&](hinge& a) { a.out.grad_scores.data = moved(m.x.data(), kLd * 2); },
             "grad_scores overlaps scores");
      expect([](hinge& a) { a.out.rows_counted.size = 2; },
             "rows_counted.size is 2, must be 1 (it is one count)");
    });
    using distillation = distillation_arguments<W, T>;
    with_mistakes<distillation>(m, [&](const auto& expect) {
      using args = distillation;
      expect([](args& a) { a.logits.cols = 0; }, "student.cols is 0, must be positive");
      expect([](args& a) { a.targets.rows = 3; }, "teacher.rows is 3, must be 4 (student.rows)");
      expect([](args& a) { a.targets.ld = 4; }, "teacher.ld is 4, must be at least cols (5)");
      expect([](args& a) { a.options.direction = static_cast<culoss::distillation_direction>(3); },
             "direction must be forward, reverse or jensen_shannon");
      expect([](args& a) { a.options.beta = 1.5f; }, "beta is 1.5, must be in [0, 1]");
      expect([](args& a) { a.options.beta = kNotANumber; }, "beta is nan, must be in [0, 1]");
      expect([](args& a) { a.options.temperature = 0.0f; },
             "temperature is 0, must be positive, finite and not subnormal");
      expect([](args& a) { a.options.labels.size = 3; },
             "labels.size is 3, must be 4 (student.rows)");
      expect([](args& a) { a.options.labels.data = nullptr; },
             "labels.data is null, but labels.size is 4");
      expect([&](args& a) { a.out.grad_teacher = m.out.as_matrix(); },
             "grad_teacher overlaps grad_student");
      expect([&](args& a) { a.out.grad_teacher.data = moved(m.g.data(), kLd * 2); },
             "grad_teacher overlaps teacher");
      expect([](args& a) { a.out.rows_counted.size = 2; },
             "rows_counted.size is 2, must be 1 (it is one count)");
    });
    const W where;
    const culoss::matrix<const T> in = m.x.as_matrix();
    const culoss::label_view labels = m.labels.as_vector();
    culoss::matrix<T> out = m.out.as_matrix();
    expect_refused(
        m, [&] { return culoss::smooth_labels(where, in, out, {.smoothing = 1.5f}); },
        "smooth_labels: smoothing is 1.5, must be in [0, 1]");
    expect_refused(
        m, [&] { return culoss::smooth_labels_backward(where, in, out, {.smoothing = -1.0f}); },
        "smooth_labels_backward: smoothing is -1, must be in [0, 1]");
    expect_refused(
        m, [&] { return culoss::smooth_labels(where, culoss::label_view(), out); },
        "smooth_labels: labels.size is 0, must be 4 (smoothed.rows)");
    out.rows = 3;
    expect_refused(
        m, [&] { return culoss::smooth_labels(where, in, out); },
        "smooth_labels: smoothed.rows is 3, must be 4 (targets.rows)");
    out = {};
    expect_refused(
        m, [&] { return culoss::smooth_labels(where, labels, out); },
        "smooth_labels: smoothed.cols is 0, must be positive");
  });
}

TEST_P(row_loss_arguments, of_embedding_pairs) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    const memory<W, T> m;
    using cosine = cosine_embedding_arguments<W, T>;
    with_mistakes<cosine>(m, [&](const auto& expect) {
      expect([](cosine& a) { a.logits.cols = 0; }, "x1.cols is 0, must be positive");
      expect([](cosine& a) { a.targets.rows = 3; }, "x2.rows is 3, must be 4 (x1.rows)");
      expect([](cosine& a) { a.targets.cols = 4; }, "x2.cols is 4, must be 5 (x1.cols)");
      expect([](cosine& a) { a.labels.size = 3; }, "labels.size is 3, must be 4 (x1.rows)");
      expect([](cosine& a) { a.labels.data = nullptr; },
             "labels.data is null, but labels.size is 4");
      expect([](cosine& a) { a.options.margin = 1.5f; }, "margin is 1.5, must be in [-1, 1]");
      expect([](cosine& a) { a.options.margin = kNotANumber; },
             "margin is nan, must be in [-1, 1]");
      expect([](cosine& a) { a.out.grad_x2.cols = 4; }, "grad_x2.cols is 4, must be 5 (x2.cols)");
      expect([&](cosine& a) { a.out.grad_x2 = m.out.as_matrix(); }, "grad_x2 overlaps grad_x1");
      expect([&](cosine& a) { a.out.grad_x1.data = moved(m.x.data(), kLd * 2); },
             "grad_x1 overlaps x1");
      expect([](cosine& a) { a.out.rows_counted.size = 2; },
             "rows_counted.size is 2, must be 1 (it is one count)");
    });
    using pair = contrastive_arguments<W, T>;
    with_mistakes<pair>(m, [&](const auto& expect) {
      expect([](pair& a) { a.targets.data = nullptr; }, "x2.data is null, but x2 is 4 x 5");
      expect([](pair& a) { a.options.margin = -1.0f; },
             "margin is -1, must be finite and not negative");
      expect([](pair& a) { a.options.margin = std::numeric_limits<float>::infinity(); },
             "margin is inf, must be finite and not negative");
      expect([](pair& a) { a.options.factor = kNotANumber; },
             "factor is nan, must be finite and not negative");
    });
    using triple = triplet_arguments<W, T>;
    with_mistakes<triple>(m, [&](const auto& expect) {
      expect([](triple& a) { a.logits.cols = 0; }, "anchors.cols is 0, must be positive");
      expect([](triple& a) { a.targets.cols = 4; },
             "positives.cols is 4, must be 5 (anchors.cols)");
      expect([](triple& a) { a.negatives.rows = 3; },
             "negatives.rows is 3, must be 4 (anchors.rows)");
      expect([](triple& a) { a.negatives.data = nullptr; },
             "negatives.data is null, but negatives is 4 x 5");
      expect([](triple& a) { a.options.margin = -0.5f; },
             "margin is -0.5, must be finite and not negative");
      expect([](triple& a) { a.options.distance = static_cast<culoss::triplet_distance>(3); },
             "distance must be euclidean, squared_euclidean or cosine");
      expect([&](triple& a) { a.out.grad_positives = m.g.as_matrix(); },
             "grad_negatives overlaps grad_positives");
      expect([](triple& a) { a.out.grad_negatives.rows = 3; },
             "grad_negatives.rows is 3, must be 4 (negatives.rows)");
    });
  });
}

TEST_P(row_loss_arguments, of_strided_logits) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    const memory<W, T> m;
    using view = culoss::strided_logits<T>;
    struct args {
      culoss::strided_logits<const T> logits;
      culoss::label_view labels;
      culoss::cross_entropy_outputs<T, view> out;
    };
    const auto refuse = [&](const auto& change, const std::string& message) {
      args a{view(m.x.data(), 2, 3, 2), m.labels.as_vector(), {}};
      a.out.grad_logits = view(m.out.data(), 2, 3, 2);
      change(a);
      expect_refused(
          m, [&] { return culoss::cross_entropy(W{}, a.logits, a.labels, a.out); },
          "cross_entropy: " + message);
    };
    refuse([](args& a) { a.logits.data = nullptr; },
           "logits.data is null, but logits is 2 x 3 x 2");
    refuse([](args& a) { a.logits.n = -1; }, "logits.n is -1, must not be negative");
    refuse([](args& a) { a.logits.inner = -1; }, "logits.inner is -1, must not be negative");
    refuse([](args& a) { a.logits.n = std::int64_t{1} << 62; },
           "logits: 4611686018427387904 x 3 x 2 does not fit 64 bits");
    refuse([](args& a) { a.logits.classes = 0; }, "logits.classes is 0, must be positive");
    refuse([](args& a) { a.labels.size = 3; },
           "labels.size is 3, must be 4 (logits.n * logits.inner)");
    refuse([](args& a) { a.out.grad_logits.classes = 2; },
           "grad_logits.classes is 2, must be 3 (logits.classes)");
    refuse([&](args& a) { a.out.grad_logits.data = moved(m.x.data(), 8); },
           "grad_logits overlaps logits");
    refuse([](args& a) { a.out = {}; }, "no output is given");
  });
}

CULOSS_ON_EACH_SPACE(row_loss_arguments);

}  // namespace
}  // namespace culoss_test
