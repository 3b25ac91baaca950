// info_nce, clip, nt_xent and sup_con.
#include <culoss/self_similarity.hpp>

#include "tests/fuzz/similarity.hpp"

namespace culoss_fuzz {
namespace {

// Of `columns` columns; -1: of more than there can be.
inline void judge_mask(predicate& says, const culoss::matrix<const std::uint8_t>& mask,
                       std::int64_t rows, std::int64_t columns) {
  if (mask.empty()) return;
  says.view("mask", mask, access::read);
  says.require(mask.rows == rows && mask.cols == columns, "mask");
}

// Mostly one that the type has.
template <class T>
culoss::similarity_plan some_plan(source& from) {
  using culoss::similarity_plan;
  if (kSizeof<T> == 2 && from.coin()) return similarity_plan::kept;
  return from.byte() < 192 ? similarity_plan::automatic : from.enumerator<similarity_plan>(5);
}
template <class T, class... Gradients>
void judge_plan(predicate& says, culoss::similarity_plan plan, const Gradients&... gradients) {
  const auto number = static_cast<int>(plan);
  constexpr int kForward = 0, kKept = 3, kLast = 4;
  says.require(number >= 0 && number <= kLast, "plan");
  says.require(number != kKept || kSizeof<T> == 2, "plan");
  says.require(number != kForward || (gradients.empty() && ...), "plan");
}

// -1 where there is no such number.
std::int64_t sum_of(std::int64_t a, std::int64_t b) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  return a < 0 || b < 0 || a > kMost - b ? -1 : a + b;
}

std::int64_t some_rows(source& from) { return from.pick<std::int64_t>({3, 1, 2, 0, 4, 5}); }

template <class T>
struct info_nce {
  using real = culoss::real_of<T>;
  culoss::cublas* handle;
  std::int64_t m, k;  // mostly the numbers of keys and negatives
  culoss::info_nce_options options;
  culoss::matrix<const T> queries, keys, negatives, own;
  bool has_own;
  culoss::info_nce_outputs<T> out;

  explicit info_nce(source& from)
      : handle(some_blas(from)),
        m(std::min(kMostRows, std::max<std::int64_t>(0, from.rows()) % 8 + from.byte() % 3)),
        k(from.coin() ? some_rows(from) : 0),
        options(common<culoss::info_nce_options>(from, from.rows())),
        queries(from.matrix<const T>(from.rows(), from.columns())),
        keys(from.matrix<const T>(m, from.columns())),
        negatives(k == 0 ? culoss::matrix<const T>() : from.matrix<const T>(k, from.columns())),
        has_own(from.coin()) {
    // At most as many rows as a slot has room for.
    const std::int64_t rows = std::clamp<std::int64_t>(from.rows(), 0, kMostRows);
    const std::int64_t r = has_own && rows > 0 ? from.byte() % (kMostRows / rows + 1) : 0;
    if (has_own) own = from.matrix<const T>(rows * r, from.columns());
    options.positive_offset = from.integer(
        from.byte() > 128 ? std::max<std::int64_t>(0, m - std::max<std::int64_t>(0, from.rows()))
                          : 0);
    options.in_batch = !from.coin();
    if (from.coin()) {
      options.query_ids = from.vector<const std::int64_t>(from.rows());
      if (options.in_batch != from.odd()) options.key_ids = from.vector<const std::int64_t>(m);
      if ((k > 0) != from.odd()) options.negative_ids = from.vector<const std::int64_t>(k);
    } else if (from.odd()) {
      options.key_ids = from.vector<const std::int64_t>(m);
    }
    if (from.coin()) {
      options.mask =
          from.matrix<const std::uint8_t>(from.rows(), (options.in_batch ? m + k : k) + r);
    }
    out.loss = from.loss<real>(options.reduction, from.rows());
    out.grad_queries = gradient<T>(from, from.rows());
    out.grad_keys = gradient<T>(from, m);
    if (k > 0 || from.odd()) out.grad_negatives = gradient<T>(from, k);
    if (has_own || from.odd()) out.grad_row_negatives = gradient<T>(from, rows * r);
    out.grad_scale = from.optional_vector<real>(1);
    out.correct = from.optional_vector<std::int64_t>(1);
    out.rows_counted = from.optional_vector<std::int64_t>(1);
    options.plan = some_plan<T>(from);
  }

  std::string function() const { return "info_nce"; }
  culoss::cublas* blas() const { return handle; }
  std::size_t scratch() const {
    return culoss::info_nce_workspace(
               {.queries = queries.rows,
                .keys = keys.rows,
                .negatives = negatives.rows,
                .dimension = queries.cols,
                .row_negatives = of_a_row(),
                .element_bytes = static_cast<int>(kSizeof<T>),
                .gradients = !out.grad_queries.empty() || !out.grad_keys.empty(),
                .negative_gradients = !out.grad_negatives.empty(),
                .plan = options.plan})
        .least;
  }
  void judge(predicate& says) const {
    const std::int64_t rows = queries.rows, offset = options.positive_offset;
    says.rows_to_read("queries", queries);
    says.view("keys", keys, access::read);
    says.require(keys.cols == queries.cols, "keys");
    if (!negatives.empty()) {
      says.view("negatives", negatives, access::read);
      says.require(negatives.cols == queries.cols, "negatives");
    }
    if (has_own && !own.empty()) {
      says.view("row_negatives", own, access::read);
      says.require(own.cols == queries.cols, "row_negatives");
      says.require(own.rows == 0 || (rows > 0 && own.rows % rows == 0), "row_negatives");
    }
    says.require(rows >= 0 && offset >= 0 && rows <= keys.rows && offset <= keys.rows - rows,
                 "positive_offset");
    culoss_fuzz::judge(says, options, rows);
    judge_ids(says);
    judge_plan<T>(says, options.plan, out.grad_queries, out.grad_keys, out.grad_negatives);
    const std::int64_t shared =
        options.in_batch ? sum_of(keys.rows, negatives.rows) : negatives.rows;
    judge_mask(says, options.mask, rows, sum_of(shared, of_a_row()));
    says.loss("loss", out.loss, options.reduction, rows);
    judge_gradient(says, "grad_queries", out.grad_queries, queries, options.accumulate);
    judge_gradient(says, "grad_keys", out.grad_keys, keys, options.accumulate);
    judge_gradient(says, "grad_negatives", out.grad_negatives, negatives, options.accumulate);
    says.require(out.grad_negatives.empty() || !negatives.empty(), "grad_negatives");
    judge_gradient(says, "grad_row_negatives", out.grad_row_negatives, own, options.accumulate);
    says.require(out.grad_row_negatives.empty() || !own.empty(), "grad_row_negatives");
    says.optional("grad_scale", out.grad_scale, 1);
    says.optional("correct", out.correct, 1);
    says.optional("rows_counted", out.rows_counted, 1);
    says.some_output(rows, out.loss, out.grad_queries, out.grad_keys, out.grad_negatives,
                     out.grad_row_negatives, out.grad_scale, out.correct, out.rows_counted);
  }
  std::int64_t of_a_row() const { return queries.rows > 0 ? own.rows / queries.rows : 0; }
  // Ids are compared: those of the queries with those of all that is in play.
  void judge_ids(predicate& says) const {
    const bool of_queries = !options.query_ids.empty();
    const auto compared = [&](const char* name, const auto& ids, bool in_play, std::int64_t size) {
      if (of_queries && in_play) {
        says.vector(name, ids, size, access::read);
      } else {
        says.optional(name, ids, size);
      }
      says.require(of_queries || queries.rows == 0 || ids.empty(), name);
    };
    says.optional("query_ids", options.query_ids, queries.rows);
    compared("key_ids", options.key_ids, options.in_batch, keys.rows);
    compared("negative_ids", options.negative_ids, !negatives.empty(), negatives.rows);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return has_own ? culoss::info_nce(where, queries, keys, negatives, own, out, options)
                   : culoss::info_nce(where, queries, keys, negatives, out, options);
  }
};

template <class T>
struct clip {
  using real = culoss::real_of<T>;
  culoss::cublas* handle;
  culoss::clip_options options;
  culoss::matrix<const T> images, texts;
  culoss::clip_outputs<T> out;

  explicit clip(source& from)
      : handle(some_blas(from)),
        options(common<culoss::clip_options>(from, from.rows())),
        images(from.matrix<const T>(from.rows(), from.columns())),
        texts(from.matrix<const T>(from.rows(), from.columns())) {
    options.ids = from.optional_vector<const std::int64_t>(from.rows());
    options.mask = from.optional_matrix<const std::uint8_t>(from.rows(), from.rows());
    out.loss = from.loss<real>(options.reduction, from.rows());
    out.grad_images = gradient<T>(from, from.rows());
    out.grad_texts = gradient<T>(from, from.rows());
    out.grad_scale = from.optional_vector<real>(1);
    out.correct_images = from.optional_vector<std::int64_t>(1);
    out.correct_texts = from.optional_vector<std::int64_t>(1);
    out.rows_counted = from.optional_vector<std::int64_t>(1);
    options.plan = some_plan<T>(from);
  }

  std::string function() const { return "clip"; }
  culoss::cublas* blas() const { return handle; }
  std::size_t scratch() const {
    return culoss::clip_workspace({.queries = images.rows,
                                   .keys = texts.rows,
                                   .dimension = images.cols,
                                   .element_bytes = static_cast<int>(kSizeof<T>),
                                   .gradients = !out.grad_images.empty() || !out.grad_texts.empty(),
                                   .plan = options.plan})
        .least;
  }
  void judge(predicate& says) const {
    const std::int64_t rows = images.rows;
    says.rows_to_read("images", images);
    says.view("texts", texts, images, access::read);
    culoss_fuzz::judge(says, options, rows);
    says.optional("ids", options.ids, rows);
    judge_plan<T>(says, options.plan, out.grad_images, out.grad_texts);
    judge_mask(says, options.mask, rows, rows);
    says.loss("loss", out.loss, options.reduction, rows);
    judge_gradient(says, "grad_images", out.grad_images, images, options.accumulate);
    judge_gradient(says, "grad_texts", out.grad_texts, texts, options.accumulate);
    says.optional("grad_scale", out.grad_scale, 1);
    says.optional("correct_images", out.correct_images, 1);
    says.optional("correct_texts", out.correct_texts, 1);
    says.optional("rows_counted", out.rows_counted, 1);
    says.some_output(rows, out.loss, out.grad_images, out.grad_texts, out.grad_scale,
                     out.correct_images, out.correct_texts, out.rows_counted);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::clip(where, images, texts, out, options);
  }
};

template <class T, bool kLabeled>
struct self_similarity {
  using real = culoss::real_of<T>;
  using options_type =
      std::conditional_t<kLabeled, culoss::sup_con_options, culoss::nt_xent_options>;
  using outputs_type =
      std::conditional_t<kLabeled, culoss::sup_con_outputs<T>, culoss::nt_xent_outputs<T>>;
  culoss::cublas* handle;
  std::int64_t rows;  // mostly an even number
  options_type options;
  culoss::matrix<const T> embeddings;
  culoss::label_view labels;
  outputs_type out;

  explicit self_similarity(source& from)
      : handle(some_blas(from)),
        rows(kLabeled || from.odd() ? from.rows() : from.rows() / 2 * 2),
        options(common<options_type>(from, rows)),
        embeddings(from.matrix<const T>(rows, from.columns())) {
    if constexpr (kLabeled) {
      labels = from.labels(rows);
    } else {
      options.ids = from.optional_vector<const std::int64_t>(rows);
      out.correct = from.optional_vector<std::int64_t>(1);
    }
    out.loss = from.loss<real>(options.reduction, rows);
    out.grad_embeddings = gradient<T>(from, rows);
    out.grad_scale = from.optional_vector<real>(1);
    out.rows_counted = from.optional_vector<std::int64_t>(1);
  }

  std::string function() const { return kLabeled ? "sup_con" : "nt_xent"; }
  culoss::cublas* blas() const { return handle; }
  std::size_t scratch() const {
    const culoss::self_similarity_shape shape{.rows = embeddings.rows,
                                              .dimension = embeddings.cols,
                                              .element_bytes = static_cast<int>(kSizeof<T>),
                                              .gradients = !out.grad_embeddings.empty()};
    return kLabeled ? culoss::sup_con_workspace(shape).least
                    : culoss::nt_xent_workspace(shape).least;
  }
  void judge(predicate& says) const {
    const std::int64_t n = embeddings.rows;
    says.rows_to_read("embeddings", embeddings);
    culoss_fuzz::judge(says, options, n);
    says.loss("loss", out.loss, options.reduction, n);
    judge_gradient(says, "grad_embeddings", out.grad_embeddings, embeddings, options.accumulate);
    says.optional("grad_scale", out.grad_scale, 1);
    says.optional("rows_counted", out.rows_counted, 1);
    if constexpr (kLabeled) {
      says.labels("labels", labels, n);
      says.some_output(n, out.loss, out.grad_embeddings, out.grad_scale, out.rows_counted);
    } else {
      says.require(n % 2 == 0, "embeddings");
      says.optional("ids", options.ids, n);
      says.optional("correct", out.correct, 1);
      says.some_output(n, out.loss, out.grad_embeddings, out.grad_scale, out.correct,
                       out.rows_counted);
    }
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    if constexpr (kLabeled) {
      return culoss::sup_con(where, embeddings, labels, out, options);
    } else {
      return culoss::nt_xent(where, embeddings, out, options);
    }
  }
};
template <class T>
using nt_xent = self_similarity<T, false>;
template <class T>
using sup_con = self_similarity<T, true>;

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return culoss_fuzz::execute<culoss_fuzz::info_nce, culoss_fuzz::clip, culoss_fuzz::nt_xent,
                              culoss_fuzz::sup_con>(data, size);
}
