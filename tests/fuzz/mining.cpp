// mined_triplet.
#include <culoss/mined_triplet.hpp>

#include "tests/fuzz/execute.hpp"

namespace culoss_fuzz {
namespace {

using culoss::mining_rule;

template <class T>
struct mined_triplet {
  using real = culoss::real_of<T>;
  culoss::cublas* handle;
  culoss::mined_triplet_options options;
  culoss::matrix<const T> embeddings;
  culoss::label_view labels;
  culoss::mined_triplet_outputs<T> out;

  explicit mined_triplet(source& from) : handle(some_blas(from)) {
    from.reduction(options, from.rows());
    options.rule = from.enumerator<mining_rule>(3);
    options.distance = from.enumerator<culoss::triplet_distance>(3);
    options.margin = from.number(0.5f);
    options.soft_margin = from.coin();
    options.ignore_index = from.pick<std::int64_t>({-100, 0, 1, -1, 69});
    options.accumulate = from.byte() > 224;
    options.allow_tf32 = from.coin();
    embeddings = from.matrix<const T>(from.rows(), from.columns());
    labels = from.labels(from.rows());
    out.loss = from.loss<real>(options.reduction, from.rows());
    out.grad_embeddings = gradient(from);
    if ((options.rule != mining_rule::batch_all) != from.odd()) {
      out.positives = from.optional_vector<std::int64_t>(from.rows());
      out.negatives = from.optional_vector<std::int64_t>(from.rows());
    }
    out.rows_counted = from.optional_vector<std::int64_t>(1);
  }
  static culoss::cublas* some_blas(source& from) {
    static culoss::cublas none;
    if (!from.odd()) return &default_blas();
    return from.coin() ? &none : nullptr;
  }
  // In the type of the embeddings, or in float.
  static culoss::gradient_matrix<T> gradient(source& from) {
    if (!from.coin()) return {};
    if constexpr (kNarrow) {
      if (from.coin()) return from.matrix<float>(from.rows(), from.columns());
    }
    return from.matrix<T>(from.rows(), from.columns());
  }

  std::string function() const { return "mined_triplet"; }
  // batch_all needs none.
  culoss::cublas* blas() const { return all() ? &default_blas() : handle; }
  std::size_t scratch() const {
    return culoss::mined_triplet_workspace(
               {.rows = embeddings.rows, .dimension = embeddings.cols, .rule = options.rule})
        .least;
  }
  void judge(predicate& says) const {
    const std::int64_t rows = embeddings.rows;
    says.rows_to_read("embeddings", embeddings);
    says.labels("labels", labels, rows);
    says.one_of("rule", options.rule, 3);
    says.one_of("distance", options.distance, 3);
    says.require(std::isfinite(options.margin) && options.margin >= 0, "margin");
    says.reduction(options, rows);
    says.loss("loss", out.loss, options.reduction, rows);
    const auto& g = out.grad_embeddings;
    const auto gradient_of = [&]<class U>(U* data) {
      says.view("grad_embeddings", culoss::matrix<U>(data, g.rows, g.cols, g.ld), embeddings,
                access::write);
    };
    if (!g.empty() && g.wide) {
      gradient_of(static_cast<float*>(g.data));
    } else if (!g.empty()) {
      gradient_of(static_cast<T*>(g.data));
    }
    says.require(g.empty() || g.wide || !kNarrow || !options.accumulate, "accumulate");
    says.optional("positives", out.positives, rows);
    says.optional("negatives", out.negatives, rows);
    says.require(!all() || (out.positives.empty() && out.negatives.empty()), "positives");
    says.optional("rows_counted", out.rows_counted, 1);
    says.some_output(rows, out.loss, out.grad_embeddings, out.positives, out.negatives,
                     out.rows_counted);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::mined_triplet(where, embeddings, labels, out, options);
  }

 private:
  static constexpr bool kNarrow = kSizeof<T> == 2;
  bool all() const { return options.rule == mining_rule::batch_all; }
};

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return culoss_fuzz::execute<culoss_fuzz::mined_triplet>(data, size);
}
