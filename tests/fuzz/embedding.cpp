// cosine_embedding, contrastive and triplet.
#include <culoss/embedding.hpp>

#include "tests/fuzz/execute.hpp"

namespace culoss_fuzz {
namespace {

using culoss::matrix;

template <class T, class Options>
struct pair {
  Options options;
  matrix<const T> x1, x2;
  culoss::label_view labels;
  culoss::pair_outputs<T> out;

  explicit pair(source& from)
      : x1(from.shaped<matrix<const T>>()),
        x2(from.shaped<matrix<const T>>()),
        labels(from.labels(from.rows())) {
    from.reduction(options, from.rows());
    options.margin = from.number(0.5f);
    options.ignore_index = from.pick<std::int64_t>({-100, 0, 1, -1, 69});
    out = {.loss = from.loss<culoss::real_of<T>>(options.reduction, from.rows()),
           .grad_x1 = from.optional_shaped<matrix<T>>(),
           .grad_x2 = from.optional_shaped<matrix<T>>(),
           .rows_counted = from.optional_vector<std::int64_t>(1)};
  }

  void judge_pair(predicate& says) const {
    says.rows_to_read("x1", x1);
    says.view("x2", x2, x1, access::read);
    says.labels("labels", labels, x1.rows);
    says.reduction(options, x1.rows);
    says.loss("loss", out.loss, options.reduction, x1.rows);
    says.optional("grad_x1", out.grad_x1, x1);
    says.optional("grad_x2", out.grad_x2, x2);
    for (const char* output : {"grad_x1", "grad_x2"}) {
      for (const char* input : {"x1", "x2"}) says.in_place(output, input);
    }
    says.optional("rows_counted", out.rows_counted, 1);
    says.some_output(x1.rows, out.loss, out.grad_x1, out.grad_x2, out.rows_counted);
  }
};

template <class T>
struct cosine_embedding : pair<T, culoss::cosine_embedding_options> {
  using pair<T, culoss::cosine_embedding_options>::pair;
  std::string function() const { return "cosine_embedding"; }
  std::size_t scratch() const {
    return culoss::cosine_embedding_workspace_bytes(this->x1.rows, this->x1.cols);
  }
  void judge(predicate& says) const {
    this->judge_pair(says);
    says.require(this->options.margin >= -1 && this->options.margin <= 1, "margin");
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::cosine_embedding(where, this->x1, this->x2, this->labels, this->out,
                                    this->options);
  }
};

template <class T>
struct contrastive : pair<T, culoss::contrastive_options> {
  explicit contrastive(source& from) : pair<T, culoss::contrastive_options>(from) {
    this->options.factor = from.number(0.5f);
  }
  std::string function() const { return "contrastive"; }
  std::size_t scratch() const {
    return culoss::contrastive_workspace_bytes(this->x1.rows, this->x1.cols);
  }
  void judge(predicate& says) const {
    this->judge_pair(says);
    for (const auto& [name, number] :
         {std::pair{"margin", this->options.margin}, {"factor", this->options.factor}}) {
      says.require(std::isfinite(number) && number >= 0, name);
    }
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::contrastive(where, this->x1, this->x2, this->labels, this->out, this->options);
  }
};

template <class T>
struct triplet {
  culoss::triplet_options options;
  matrix<const T> anchors, positives, negatives;
  culoss::triplet_outputs<T> out;

  explicit triplet(source& from)
      : anchors(from.shaped<matrix<const T>>()),
        positives(from.shaped<matrix<const T>>()),
        negatives(from.shaped<matrix<const T>>()) {
    from.reduction(options, from.rows());
    options.distance = from.enumerator<culoss::triplet_distance>(3);
    options.margin = from.number(0.5f);
    options.swap = from.coin();
    options.soft_margin = from.coin();
    out = {.loss = from.loss<culoss::real_of<T>>(options.reduction, from.rows()),
           .grad_anchors = from.optional_shaped<matrix<T>>(),
           .grad_positives = from.optional_shaped<matrix<T>>(),
           .grad_negatives = from.optional_shaped<matrix<T>>()};
  }

  std::string function() const { return "triplet"; }
  std::size_t scratch() const {
    return culoss::triplet_workspace_bytes(anchors.rows, anchors.cols);
  }
  void judge(predicate& says) const {
    says.rows_to_read("anchors", anchors);
    says.view("positives", positives, anchors, access::read);
    says.view("negatives", negatives, anchors, access::read);
    says.reduction(options, anchors.rows);
    says.one_of("distance", options.distance, 3);
    says.require(std::isfinite(options.margin) && options.margin >= 0, "margin");
    says.loss("loss", out.loss, options.reduction, anchors.rows);
    says.optional("grad_anchors", out.grad_anchors, anchors);
    says.optional("grad_positives", out.grad_positives, positives);
    says.optional("grad_negatives", out.grad_negatives, negatives);
    for (const char* output : {"grad_anchors", "grad_positives", "grad_negatives"}) {
      for (const char* input : {"anchors", "positives", "negatives"}) says.in_place(output, input);
    }
    says.some_output(anchors.rows, out.loss, out.grad_anchors, out.grad_positives,
                     out.grad_negatives);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::triplet(where, anchors, positives, negatives, out, options);
  }
};

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return culoss_fuzz::execute<culoss_fuzz::cosine_embedding, culoss_fuzz::contrastive,
                              culoss_fuzz::triplet>(data, size);
}
