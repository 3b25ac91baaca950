// The arguments that info_nce and clip refuse: each with a message that names it, and nothing is
// written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <culoss/info_nce.hpp>
#include <limits>
#include <string>
#include <vector>

#include "tests/harness/element.hpp"

namespace culoss_test {
namespace {

using culoss::matrix;
using culoss::reduction;
using culoss::vector;
using ::testing::Each;
using ::testing::HasSubstr;

// A call that is right, with everything asked for, until something in it is changed.
template <class T>
struct arguments {
  static constexpr std::int64_t kRows = 2, kKeys = 3, kNegatives = 4, kDimension = 5;

  static storage_of<T> seven() { return encode<T>(7); }
  matrix<T> rows_of(std::int64_t rows) {
    buffers.emplace_back(static_cast<std::size_t>(rows * kDimension), seven());
    return {reinterpret_cast<T*>(buffers.back().data()), rows, kDimension};
  }

  std::vector<std::vector<storage_of<T>>> buffers;
  std::vector<culoss::real_of<T>> losses = {7, 7}, scale = {7};
  std::vector<std::int64_t> counts = {7, 7, 7}, ids = {1, 2, 3, 4};
  std::vector<float> floats = {1, 2, 3};
};

template <class T>
struct info_nce_arguments : arguments<T> {
  using base = arguments<T>;
  info_nce_arguments() {
    queries = this->rows_of(base::kRows);
    keys = this->rows_of(base::kKeys);
    negatives = this->rows_of(base::kNegatives);
    out = {.loss = {this->losses.data(), 1},
           .grad_queries = this->rows_of(base::kRows),
           .grad_keys = this->rows_of(base::kKeys),
           .grad_negatives = this->rows_of(base::kNegatives),
           .grad_scale = {this->scale.data(), 1},
           .correct = {&this->counts[0], 1},
           .rows_counted = {&this->counts[1], 1}};
    options.temperature = 1;
  }
  culoss::status call() const {
    return culoss::info_nce(where, queries, keys, negatives, out, options);
  }
  culoss::cpu where;
  matrix<const T> queries, keys, negatives;
  culoss::info_nce_outputs<T> out;
  culoss::info_nce_options options;
};

template <class T>
struct clip_arguments : arguments<T> {
  using base = arguments<T>;
  clip_arguments() {
    images = this->rows_of(base::kRows);
    texts = this->rows_of(base::kRows);
    out = {.loss = {this->losses.data(), 1},
           .grad_images = this->rows_of(base::kRows),
           .grad_texts = this->rows_of(base::kRows),
           .grad_scale = {this->scale.data(), 1},
           .correct_images = {&this->counts[0], 1},
           .correct_texts = {&this->counts[1], 1},
           .rows_counted = {&this->counts[2], 1}};
    options.log_scale = 1;
  }
  culoss::status call() const { return culoss::clip(where, images, texts, out, options); }
  culoss::cpu where;
  matrix<const T> images, texts;
  culoss::clip_outputs<T> out;
  culoss::clip_options options;
};

template <class Arguments, class Change>
void expect_refused(const char* function, const std::string& message, const Change& change) {
  Arguments a;
  change(a);
  const culoss::status s = a.call();
  EXPECT_EQ(s.code(), culoss::status_code::invalid_argument) << message;
  EXPECT_THAT(s.message(), ::testing::AllOf(HasSubstr(function), HasSubstr(message)));
  for (const auto& buffer : a.buffers) EXPECT_THAT(buffer, Each(Arguments::seven()));
  EXPECT_THAT(a.losses, Each(7));
  EXPECT_THAT(a.scale, Each(7));
  EXPECT_THAT(a.counts, Each(7));
}

template <class T = float, class Change>
void refused(const std::string& message, const Change& change) {
  expect_refused<info_nce_arguments<T>>("info_nce", message, change);
}
template <class T = float, class Change>
void clip_refused(const std::string& message, const Change& change) {
  expect_refused<clip_arguments<T>>("clip", message, change);
}

constexpr float kNotFinite = std::numeric_limits<float>::infinity();

TEST(InfoNceArguments, AreRightToBeginWith) {
  EXPECT_EQ(info_nce_arguments<float>().call().message(), std::string());
  EXPECT_EQ(info_nce_arguments<culoss::half>().call().message(), std::string());
  EXPECT_EQ(clip_arguments<double>().call().message(), std::string());
  EXPECT_EQ(clip_arguments<culoss::bf16>().call().message(), std::string());
}

TEST(InfoNceArguments, Shapes) {
  refused("queries.cols is 0, must be positive", [](auto& a) { a.queries.cols = 0; });
  refused("queries.rows is -2", [](auto& a) { a.queries.rows = -2; });
  refused("queries.data is null", [](auto& a) { a.queries.data = nullptr; });
  refused("queries.ld is 4", [](auto& a) { a.queries.ld = 4; });
  refused("keys.cols is 4, must be 5 (queries.cols)", [](auto& a) { a.keys.cols = 4; });
  refused("keys.data is null", [](auto& a) { a.keys.data = nullptr; });
  refused("negatives.cols is 3, must be 5 (queries.cols)", [](auto& a) { a.negatives.cols = 3; });
  refused("loss.size is 1, must be 2", [](auto& a) { a.options.reduction = reduction::none; });
  refused("loss.size is 2, must be 1", [](auto& a) { a.out.loss.size = 2; });
  refused("grad_queries.rows is 1, must be 2", [](auto& a) { a.out.grad_queries.rows = 1; });
  refused("grad_keys.cols is 4, must be 5", [](auto& a) { a.out.grad_keys.cols = 4; });
  refused("grad_negatives.rows is 3, must be 4", [](auto& a) { a.out.grad_negatives.rows = 3; });
  refused("grad_scale.size is 2, must be 1", [](auto& a) { a.out.grad_scale.size = 2; });
  refused("correct.size is 0, must be 1", [](auto& a) { a.out.correct.size = 0; });
  refused("rows_counted.data is null", [](auto& a) { a.out.rows_counted.data = nullptr; });
  clip_refused("texts.rows is 1, must be 2", [](auto& a) { a.texts.rows = 1; });
  clip_refused("texts.cols is 4, must be 5", [](auto& a) { a.texts.cols = 4; });
  clip_refused("images.cols is 0, must be positive", [](auto& a) { a.images.cols = 0; });
  clip_refused("grad_images.rows is 1, must be 2", [](auto& a) { a.out.grad_images.rows = 1; });
  clip_refused("grad_texts.ld is 4", [](auto& a) { a.out.grad_texts.ld = 4; });
  clip_refused("correct_images.size is 2", [](auto& a) { a.out.correct_images.size = 2; });
  clip_refused("correct_texts.size is 2", [](auto& a) { a.out.correct_texts.size = 2; });
}

TEST(InfoNceArguments, PlansFitTheTypeAndTheOutputs) {
  using culoss::similarity_plan;
  const auto with = [](similarity_plan plan) { return [=](auto& a) { a.options.plan = plan; }; };
  constexpr const char* kKept =
      "plan is kept, which is for embeddings in half or bf16: others are not kept in 16 bits";
  constexpr const char* kForward =
      "plan is forward_only, but gradients of embeddings are asked for";
  constexpr const char* kUnknown =
      "plan must be automatic, forward_only, one_visit, recompute or kept";
  for (const int value : {-1, 5, 1 << 20}) {
    refused(kUnknown, with(static_cast<similarity_plan>(value)));
    clip_refused(kUnknown, with(static_cast<similarity_plan>(value)));
  }
  refused<float>(kKept, with(similarity_plan::kept));
  refused<double>(kKept, with(similarity_plan::kept));
  clip_refused<double>(kKept, with(similarity_plan::kept));
  refused<culoss::half>(kForward, with(similarity_plan::forward_only));
  clip_refused(kForward, with(similarity_plan::forward_only));
  // A gradient of the negatives is one, too.
  refused(kForward, [](auto& a) {
    a.options.plan = similarity_plan::forward_only;
    a.out.grad_queries = a.out.grad_keys = {};
  });
  const auto accepted = [&]<class Arguments>(Arguments a, similarity_plan plan) {
    a.options.plan = plan;
    EXPECT_EQ(a.call().message(), std::string());
  };
  for (const similarity_plan plan :
       {similarity_plan::automatic, similarity_plan::one_visit, similarity_plan::recompute}) {
    accepted(info_nce_arguments<double>(), plan);
    accepted(clip_arguments<float>(), plan);
  }
  accepted(info_nce_arguments<culoss::half>(), similarity_plan::kept);
  accepted(clip_arguments<culoss::bf16>(), similarity_plan::kept);
  info_nce_arguments<float> forward;
  forward.out.grad_queries = forward.out.grad_keys = forward.out.grad_negatives = {};
  accepted(forward, similarity_plan::forward_only);
}

TEST(InfoNceArguments, PositivesLieAmongTheKeys) {
  refused("positive_offset is 2: the positives of 2 rows must lie among 3 keys",
          [](auto& a) { a.options.positive_offset = 2; });
  refused("positive_offset is -1", [](auto& a) { a.options.positive_offset = -1; });
  refused("positive_offset is 9223372036854775807",
          [](auto& a) { a.options.positive_offset = std::numeric_limits<std::int64_t>::max(); });
  info_nce_arguments<float> last;
  last.options.positive_offset = 1;
  EXPECT_TRUE(last.call().ok());
}

TEST(InfoNceArguments, OneScale) {
  refused("neither temperature nor log_scale is given",
          [](auto& a) { a.options.temperature = {}; });
  refused("both temperature and log_scale are given", [](auto& a) { a.options.log_scale = 0; });
  for (const float bad : {0.0f, -1.0f, 1e-40f, kNotFinite}) {
    refused("temperature is", [&](auto& a) { a.options.temperature = bad; });
  }
  clip_refused("log_scale is inf, must be finite",
               [](auto& a) { a.options.log_scale = kNotFinite; });
  clip_refused("log_scale is 89, must be at most 88", [](auto& a) { a.options.log_scale = 89; });
  clip_refused("log_scale was given as a null pointer",
               [](auto& a) { a.options.log_scale = static_cast<const float*>(nullptr); });
  clip_refused("both temperature and log_scale are given",
               [](auto& a) { a.options.temperature = 1; });
}

TEST(InfoNceArguments, Ids) {
  const auto ids = [](auto& a, std::int64_t size) {
    return vector<const std::int64_t>(a.ids.data(), size);
  };
  refused("query_ids.size is 3, must be 2", [&](auto& a) { a.options.query_ids = ids(a, 3); });
  refused("key_ids.size is 0, must be 3", [&](auto& a) { a.options.query_ids = ids(a, 2); });
  refused("negative_ids.size is 0, must be 4", [&](auto& a) {
    a.options.query_ids = ids(a, 2);
    a.options.key_ids = ids(a, 3);
  });
  refused("query_ids are not", [&](auto& a) { a.options.key_ids = ids(a, 3); });
  refused("query_ids are not", [&](auto& a) { a.options.negative_ids = ids(a, 4); });
  clip_refused("ids.size is 3, must be 2", [&](auto& a) { a.options.ids = ids(a, 3); });
  info_nce_arguments<float> without_batch;  // whose keys' ids mask nothing
  without_batch.options.in_batch = false;
  without_batch.options.query_ids = ids(without_batch, 2);
  without_batch.options.negative_ids = ids(without_batch, 4);
  EXPECT_TRUE(without_batch.call().ok());
}

TEST(InfoNceArguments, Options) {
  refused("row_weights.size is 3", [](auto& a) { a.options.row_weights = {a.floats.data(), 3}; });
  refused("reduction must be none, mean or sum",
          [](auto& a) { a.options.reduction = static_cast<reduction>(3); });
  refused("normalizer is given, but reduction none", [](auto& a) {
    a.options.reduction = reduction::none;
    a.options.normalizer = 2;
  });
  refused("upstream is not given", [](auto& a) { a.options.upstream = {}; });
  refused("upstream_rows is given", [](auto& a) {
    a.options.upstream_rows = {a.floats.data(), 2};
  });
  refused("empty must be zero or nan",
          [](auto& a) { a.options.empty = static_cast<culoss::empty_batch>(2); });
  refused("cpu.threads is -1", [](auto& a) { a.where.threads = -1; });
  clip_refused("row_weights.size is 1", [](auto& a) {
    a.options.row_weights = {a.floats.data(), 1};
  });
  clip_refused("upstream_rows.size is 3", [](auto& a) {
    a.options.reduction = reduction::none;
    a.out.loss.size = 2;
    a.options.upstream_rows = {a.floats.data(), 3};
  });
}

TEST(InfoNceArguments, Gradients) {
  refused("grad_negatives is given, but negatives are not", [](auto& a) { a.negatives = {}; });
  refused<culoss::half>("accumulate is set, but a gradient is not float",
                        [](auto& a) { a.options.accumulate = true; });
  clip_refused<culoss::bf16>("accumulate is set, but a gradient is not float",
                             [](auto& a) { a.options.accumulate = true; });
  refused("no output is given", [](auto& a) { a.out = {}; });
  clip_refused("no output is given", [](auto& a) { a.out = {}; });
}

TEST(InfoNceArguments, Overlap) {
  refused("grad_queries overlaps queries", [](auto& a) {
    a.queries = matrix<const float>(static_cast<const float*>(a.out.grad_queries.data), 2, 5);
  });
  refused("grad_negatives overlaps grad_keys", [](auto& a) {
    a.out.grad_keys.data = static_cast<float*>(a.out.grad_negatives.data) + 1;
  });
  clip_refused("grad_texts overlaps grad_images",
               [](auto& a) { a.out.grad_texts = a.out.grad_images; });
}

}  // namespace
}  // namespace culoss_test
