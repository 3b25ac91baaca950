// softmax_focal, its backward, and sigmoid_focal of targets and of labels.
#include <culoss/focal.hpp>

#include "tests/fuzz/execute.hpp"

namespace culoss_fuzz {
namespace {

using culoss::matrix;
using culoss::strided_logits;
using culoss::vector;

culoss::softmax_focal_options some_options(source& from, std::int64_t rows) {
  culoss::softmax_focal_options o;
  from.reduction(o, rows);
  o.gamma = from.number(2.0f);
  o.alpha = from.optional_vector<const float>(from.columns());
  o.ignore_index = from.pick<std::int64_t>({-100, 0, 1, -1, 69});
  o.temperature = from.scalar(0.7f);
  return o;
}

template <class View>
void judge_inputs(predicate& says, const culoss::softmax_focal_options& o, const View& logits,
                  const culoss::label_view& labels) {
  says.rows_to_read("logits", logits);
  says.labels("labels", labels, rows_of(logits));
  says.reduction(o, rows_of(logits));
  says.require(std::isfinite(o.gamma) && o.gamma >= 0, "gamma");
  says.optional("alpha", o.alpha, classes_of(logits));
  says.temperature("temperature", o.temperature);
}

template <class View>
std::size_t scratch_of(const View& logits) {
  return culoss::softmax_focal_workspace_bytes(rows_of(logits), classes_of(logits));
}

template <class T, template <class> class View>
struct softmax_focal {
  using real = culoss::real_of<T>;
  std::int64_t rows;
  culoss::softmax_focal_options options;
  View<const T> logits;
  culoss::label_view labels;
  culoss::softmax_focal_outputs<T, View<T>> out;

  explicit softmax_focal(source& from)
      : rows(from.positions<View<T>>()),
        options(some_options(from, rows)),
        logits(from.shaped<View<const T>>()),
        labels(from.labels(rows)),
        out{.loss = from.loss<real>(options.reduction, rows),
            .grad_logits = from.optional_shaped<View<T>>(),
            .statistics = from.optional_vector<culoss::row_statistics<real>>(rows),
            .argmax = from.optional_vector<std::int64_t>(rows),
            .correct = from.optional_vector<std::int64_t>(1),
            .rows_counted = from.optional_vector<std::int64_t>(1)} {}

  std::string function() const { return "softmax_focal"; }
  std::size_t scratch() const { return scratch_of(logits); }
  void judge(predicate& says) const {
    const std::int64_t n = rows_of(logits);
    judge_inputs(says, options, logits, labels);
    says.loss("loss", out.loss, options.reduction, n);
    says.optional("grad_logits", out.grad_logits, logits);
    says.in_place("grad_logits", "logits");
    says.optional("statistics", out.statistics, n);
    says.optional("argmax", out.argmax, n);
    says.optional("correct", out.correct, 1);
    says.optional("rows_counted", out.rows_counted, 1);
    says.some_output(n, out.loss, out.grad_logits, out.statistics, out.argmax, out.correct,
                     out.rows_counted);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::softmax_focal(where, logits, labels, out, options);
  }
};

template <class T, template <class> class View>
struct softmax_focal_backward {
  std::int64_t rows;
  culoss::softmax_focal_options options;
  View<const T> logits;
  culoss::label_view labels;
  vector<const culoss::row_statistics<culoss::real_of<T>>> statistics;
  culoss::softmax_focal_backward_outputs<T, View<T>> out;

  explicit softmax_focal_backward(source& from)
      : rows(from.positions<View<T>>()),
        options(some_options(from, rows)),
        logits(from.shaped<View<const T>>()),
        labels(from.labels(rows)),
        statistics(from.vector<const culoss::row_statistics<culoss::real_of<T>>>(rows)),
        out{.grad_logits = from.shaped<View<T>>()} {}

  std::string function() const { return "softmax_focal_backward"; }
  std::size_t scratch() const { return scratch_of(logits); }
  void judge(predicate& says) const {
    judge_inputs(says, options, logits, labels);
    says.vector("statistics", statistics, rows_of(logits), access::read);
    says.view("grad_logits", out.grad_logits, logits, access::write);
    says.in_place("grad_logits", "logits");
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::softmax_focal_backward(where, logits, labels, statistics, out, options);
  }
};

// With targets, or with labels.
template <class T, bool kLabels>
struct sigmoid_focal {
  using real = culoss::real_of<T>;
  culoss::sigmoid_focal_options options;
  matrix<const T> logits, targets;
  culoss::label_view labels;
  std::conditional_t<kLabels, culoss::sigmoid_focal_label_outputs<T>,
                     culoss::sigmoid_focal_outputs<T>>
      out;

  explicit sigmoid_focal(source& from) : logits(from.shaped<matrix<const T>>()) {
    from.reduction(options, from.rows());
    options.gamma = from.number(2.0f);
    options.alpha = from.number(0.25f);
    options.background = from.pick<std::int64_t>({options.kAfterLastClass, 0, -1, -100, 70});
    options.ignore_index = from.pick<std::int64_t>({-100, 0, 1, -1, 69});
    if (kLabels || from.odd()) options.mean_over = from.enumerator<culoss::focal_mean>(2);
    if constexpr (kLabels) {
      labels = from.labels(from.rows());
      out.positives = from.optional_vector<std::int64_t>(1);
    } else {
      targets = from.shaped<matrix<const T>>();
      out.grad_targets = from.optional_shaped<matrix<T>>();
    }
    const bool none = options.reduction == culoss::reduction::none;
    if (none == from.odd()) out.loss = from.vector<real>(1);
    if (none != from.odd()) out.losses = from.shaped<matrix<real>>();
    out.grad_logits = from.optional_shaped<matrix<T>>();
  }

  std::string function() const { return "sigmoid_focal"; }
  std::size_t scratch() const {
    return culoss::sigmoid_focal_workspace_bytes(logits.rows, logits.cols);
  }
  void judge(predicate& says) const {
    const bool none = options.reduction == culoss::reduction::none;
    says.view("logits", logits, access::read);
    says.reduction(options, logits.rows);
    says.require(std::isfinite(options.gamma) && options.gamma >= 0, "gamma");
    says.require(options.alpha <= 1, "alpha");
    says.one_of("mean_over", options.mean_over, 2);
    says.optional("loss", out.loss, 1);
    says.require(out.loss.empty() || !none, "loss");
    says.optional("losses", out.losses, logits);
    says.require(out.losses.empty() || none, "losses");
    says.optional("grad_logits", out.grad_logits, logits);
    says.in_place("grad_logits", "logits");
    if constexpr (kLabels) {
      says.require(logits.cols > 0, "logits");
      says.labels("labels", labels, logits.rows);
      says.optional("positives", out.positives, 1);
      says.some_output(logits.rows, out.loss, out.losses, out.grad_logits, out.positives);
    } else {
      says.view("targets", targets, logits, access::read);
      says.optional("grad_targets", out.grad_targets, logits);
      says.in_place("grad_targets", "targets");
      says.require(options.mean_over != culoss::focal_mean::positives, "mean_over");
      says.some_output(logits.rows * (logits.cols > 0), out.loss, out.losses, out.grad_logits,
                       out.grad_targets);
    }
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    if constexpr (kLabels) {
      return culoss::sigmoid_focal(where, logits, labels, out, options);
    } else {
      return culoss::sigmoid_focal(where, logits, targets, out, options);
    }
  }
};

template <class T>
using dense = softmax_focal<T, matrix>;
template <class T>
using strided = softmax_focal<T, strided_logits>;
template <class T>
using dense_backward = softmax_focal_backward<T, matrix>;
template <class T>
using strided_backward = softmax_focal_backward<T, strided_logits>;
template <class T>
using of_targets = sigmoid_focal<T, false>;
template <class T>
using of_labels = sigmoid_focal<T, true>;

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace culoss_fuzz;
  return execute<dense, strided, dense_backward, strided_backward, of_targets, of_labels>(data,
                                                                                          size);
}
