// cross_entropy and its backward, of labels and of target probabilities.
#include <culoss/cross_entropy.hpp>

#include "tests/fuzz/execute.hpp"

namespace culoss_fuzz {
namespace {

using culoss::cross_entropy_options;
using culoss::matrix;
using culoss::strided_logits;
using culoss::vector;

cross_entropy_options some_options(source& from, std::int64_t rows) {
  cross_entropy_options o;
  from.reduction(o, rows);
  o.label_smoothing = from.number(0.1f);
  o.ignore_index = from.pick<std::int64_t>({-100, 0, 1, -1, 69});
  o.temperature = from.scalar(0.7f);
  o.softcap = from.number(0.0f);
  o.z_loss = from.number(1e-3f);
  o.class_weights = from.optional_vector<const float>(from.columns());
  return o;
}

void judge_options(predicate& says, const cross_entropy_options& o, std::int64_t rows,
                   std::int64_t classes) {
  says.reduction(o, rows);
  says.require(o.label_smoothing >= 0 && o.label_smoothing <= 1, "label_smoothing");
  says.temperature("temperature", o.temperature);
  says.require(o.softcap == 0 || (std::isnormal(o.softcap) && o.softcap > 0), "softcap");
  says.require(std::isfinite(o.z_loss) && o.z_loss >= 0, "z_loss");
  says.optional("class_weights", o.class_weights, classes);
}

// What both kinds of targets give.
template <class Out>
void judge_rows(predicate& says, const Out& out, const cross_entropy_options& o,
                std::int64_t rows) {
  says.loss("loss", out.loss, o.reduction, rows);
  says.optional("lse", out.lse, rows);
  says.optional("statistics", out.statistics, rows);
  says.optional("argmax", out.argmax, rows);
  says.loss("z_loss", out.z_loss, o.reduction, rows);
  says.require(out.z_loss.empty() || o.z_loss != 0, "z_loss");
  says.optional("entropy", out.entropy, rows);
}

template <class View>
std::size_t scratch_of(const View& logits) {
  return culoss::cross_entropy_workspace_bytes(rows_of(logits), classes_of(logits));
}

template <class T, template <class> class View>
struct of_labels {
  using real = culoss::real_of<T>;
  std::int64_t rows;
  cross_entropy_options options;
  View<const T> logits;
  culoss::label_view labels;
  culoss::cross_entropy_outputs<T, View<T>> out;

  explicit of_labels(source& from)
      : rows(from.positions<View<T>>()),
        options(some_options(from, rows)),
        logits(from.shaped<View<const T>>()),
        labels(from.labels(rows)),
        out{.loss = from.loss<real>(options.reduction, rows),
            .grad_logits = from.optional_shaped<View<T>>(),
            .lse = from.optional_vector<real>(rows),
            .statistics = from.optional_vector<culoss::row_statistics<real>>(rows),
            .argmax = from.optional_vector<std::int64_t>(rows),
            .correct = from.optional_vector<std::int64_t>(1),
            .rows_counted = from.optional_vector<std::int64_t>(1),
            .z_loss = from.coin() ? from.loss<real>(options.reduction, rows) : vector<real>{},
            .entropy = from.optional_vector<real>(rows)} {}

  std::string function() const { return "cross_entropy"; }
  std::size_t scratch() const { return scratch_of(logits); }
  void judge(predicate& says) const {
    const std::int64_t n = rows_of(logits);
    says.rows_to_read("logits", logits);
    says.labels("labels", labels, n);
    judge_options(says, options, n, classes_of(logits));
    judge_rows(says, out, options, n);
    says.optional("grad_logits", out.grad_logits, logits);
    says.in_place("grad_logits", "logits");
    says.optional("correct", out.correct, 1);
    says.optional("rows_counted", out.rows_counted, 1);
    says.some_output(n, out.loss, out.grad_logits, out.lse, out.statistics, out.argmax, out.correct,
                     out.rows_counted, out.z_loss, out.entropy);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::cross_entropy(where, logits, labels, out, options);
  }
};

template <class T, template <class> class View>
struct backward_of_labels {
  using statistics_view = vector<const culoss::row_statistics<culoss::real_of<T>>>;
  std::int64_t rows;
  cross_entropy_options options;
  View<const T> logits;
  culoss::label_view labels;
  statistics_view statistics;
  culoss::cross_entropy_backward_outputs<T, View<T>> out;

  explicit backward_of_labels(source& from)
      : rows(from.positions<View<T>>()),
        options(some_options(from, rows)),
        logits(from.shaped<View<const T>>()),
        labels(from.labels(rows)),
        statistics(from.vector<const culoss::row_statistics<culoss::real_of<T>>>(rows)),
        out{.grad_logits = from.shaped<View<T>>()} {}

  std::string function() const { return "cross_entropy_backward"; }
  std::size_t scratch() const { return scratch_of(logits); }
  void judge(predicate& says) const {
    const std::int64_t n = rows_of(logits);
    says.rows_to_read("logits", logits);
    says.labels("labels", labels, n);
    says.vector("statistics", statistics, n, access::read);
    judge_options(says, options, n, classes_of(logits));
    says.view("grad_logits", out.grad_logits, logits, access::write);
    says.in_place("grad_logits", "logits");
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::cross_entropy_backward(where, logits, labels, statistics, out, options);
  }
};

// Either gradient may stand in the place of either input.
void judge_targets(predicate& says, const auto& logits, const auto& targets, const auto& out) {
  says.view("targets", targets, logits, access::read);
  says.optional("grad_logits", out.grad_logits, logits);
  says.optional("grad_targets", out.grad_targets, logits);
  for (const char* gradient : {"grad_logits", "grad_targets"}) {
    says.in_place(gradient, "logits");
    says.in_place(gradient, "targets");
  }
}

template <class T>
struct of_targets {
  using real = culoss::real_of<T>;
  cross_entropy_options options;
  matrix<const T> logits, targets;
  culoss::cross_entropy_soft_outputs<T> out;

  explicit of_targets(source& from)
      : options(some_options(from, from.rows())),
        logits(from.shaped<matrix<const T>>()),
        targets(from.shaped<matrix<const T>>()),
        out{.loss = from.loss<real>(options.reduction, from.rows()),
            .grad_logits = from.optional_shaped<matrix<T>>(),
            .grad_targets = from.optional_shaped<matrix<T>>(),
            .lse = from.optional_vector<real>(from.rows()),
            .statistics = from.optional_vector<culoss::row_statistics<real>>(from.rows()),
            .argmax = from.optional_vector<std::int64_t>(from.rows()),
            .z_loss =
                from.coin() ? from.loss<real>(options.reduction, from.rows()) : vector<real>{},
            .entropy = from.optional_vector<real>(from.rows())} {}

  std::string function() const { return "cross_entropy"; }
  std::size_t scratch() const { return scratch_of(logits); }
  void judge(predicate& says) const {
    says.rows_to_read("logits", logits);
    judge_options(says, options, logits.rows, logits.cols);
    judge_rows(says, out, options, logits.rows);
    judge_targets(says, logits, targets, out);
    says.some_output(logits.rows, out.loss, out.grad_logits, out.grad_targets, out.lse,
                     out.statistics, out.argmax, out.z_loss, out.entropy);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::cross_entropy(where, logits, targets, out, options);
  }
};

template <class T>
struct backward_of_targets {
  cross_entropy_options options;
  matrix<const T> logits, targets;
  vector<const culoss::row_statistics<culoss::real_of<T>>> statistics;
  culoss::cross_entropy_soft_backward_outputs<T> out;

  explicit backward_of_targets(source& from)
      : options(some_options(from, from.rows())),
        logits(from.shaped<matrix<const T>>()),
        targets(from.shaped<matrix<const T>>()),
        statistics(from.vector<const culoss::row_statistics<culoss::real_of<T>>>(from.rows())),
        out{.grad_logits = from.optional_shaped<matrix<T>>(),
            .grad_targets = from.optional_shaped<matrix<T>>()} {}

  std::string function() const { return "cross_entropy_backward"; }
  std::size_t scratch() const { return scratch_of(logits); }
  void judge(predicate& says) const {
    says.rows_to_read("logits", logits);
    says.vector("statistics", statistics, logits.rows, access::read);
    judge_options(says, options, logits.rows, logits.cols);
    judge_targets(says, logits, targets, out);
    says.some_output(logits.rows, out.grad_logits, out.grad_targets);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::cross_entropy_backward(where, logits, targets, statistics, out, options);
  }
};

template <class T>
using dense = of_labels<T, matrix>;
template <class T>
using strided = of_labels<T, strided_logits>;
template <class T>
using dense_backward = backward_of_labels<T, matrix>;
template <class T>
using strided_backward = backward_of_labels<T, strided_logits>;

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace culoss_fuzz;
  return execute<dense, strided, of_targets, dense_backward, strided_backward, backward_of_targets>(
      data, size);
}
