// Every mistake in the arguments of siglip, in memory of either execution space: its exact message,
// and that nothing was launched and nothing written.
#include <gtest/gtest.h>

#include <cstdio>
#include <limits>

#include "tests/cases/siglip_expected.hpp"

namespace culoss_test {
namespace {

using culoss::matrix;
using culoss::reduction;
using culoss::status_code;

constexpr std::int64_t kImages = 4, kTexts = 6, kDimension = 5, kLd = 8;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

std::string misaligned(const char* name, const void* p, int to) {
  char text[128];
  std::snprintf(text, sizeof text, "%s.data is %p, must be a multiple of %d bytes", name, p, to);
  return text;
}

// The memory of a call with everything given, and the call.
template <class Where, class T>
struct arguments {
  using real = culoss::real_of<T>;
  static constexpr bool kOnDevice = std::is_same_v<Where, culoss::cuda>;
  static constexpr space kSpace = kOnDevice ? space::cuda : space::cpu;

  struct memory {
    array<T> x{kSpace, kImages, kDimension, kLd - kDimension, 0};
    array<T> y{kSpace, kTexts, kDimension, kLd - kDimension, 0};
    array<T> dx{kSpace, kImages, kDimension, kLd - kDimension, 0};
    array<T> dy{kSpace, kTexts, kDimension, kLd - kDimension, 0};
    array<float> ones{kSpace, 64, 0};
    array<real> reals{kSpace, 64, 0};
    array<std::int64_t> ids{kSpace, 64, 0}, counts{kSpace, 64, 0}, scratch{kSpace, 1 << 16, 0};

    memory() {
      for (array<T>* a : {&x, &y}) {
        a->write(std::vector<double>(static_cast<std::size_t>(a->size()), 0.5));
      }
      ones.write(std::vector<float>(64, 1.0f));
      ids.write(std::vector<int>(64, 1));
    }
    std::string changes() const {
      std::string text;
      synchronize(kSpace);
      for (const array<T>* a : {&x, &y, &dx, &dy}) a->check_unchanged("a matrix", text);
      ones.check_unchanged("ones", text);
      reals.check_unchanged("reals", text);
      for (const auto* a : {&ids, &counts, &scratch}) a->check_unchanged("integers", text);
      return text;
    }
  };

  Where where;
  matrix<const T> images, texts;
  culoss::siglip_outputs<T> out;
  culoss::siglip_options options;

  explicit arguments(const memory& m)
      : images(m.x.as_matrix()),
        texts(m.y.as_matrix()),
        out{.loss = {m.reals.data(), 1},
            .grad_images = m.dx.as_matrix(),
            .grad_texts = m.dy.as_matrix(),
            .grad_scale = {m.reals.data() + 8, 1},
            .grad_bias = {m.reals.data() + 16, 1},
            .correct = {m.counts.data(), 1},
            .rows_counted = {m.counts.data() + 8, 1}} {
    if constexpr (kOnDevice) {
      where = {.workspace = {m.scratch.data(), m.scratch.span_bytes()}, .blas = &shared_blas()};
    }
    options.temperature = 1.0f;
    options.bias = -1.0f;
    options.row_weights = {m.ones.data(), kImages};
    options.image_ids = {m.ids.data(), kImages};
    options.text_ids = {m.ids.data() + 8, kTexts};
  }
  culoss::status call() const { return culoss::siglip(where, images, texts, out, options); }
};

template <class Args, class Change>
void refused(const typename Args::memory& m, const Change& change, const std::string& message,
             status_code code = status_code::invalid_argument) {
  Args a(m);
  change(a);
  const std::uint64_t launches = simt::count().launches;
  const culoss::status s = a.call();
  EXPECT_EQ(s.message(), "siglip: " + message);
  EXPECT_EQ(static_cast<int>(s.code()), static_cast<int>(code)) << message;
  EXPECT_EQ(simt::count().launches, launches) << message;
  EXPECT_EQ(m.changes(), "") << message;
}

template <class Where, class T>
void check_scalars() {
  using args = arguments<Where, T>;
  const typename args::memory m;
  const float* const null = nullptr;
  const auto refuse = [&](const auto& change, const std::string& message) {
    refused<args>(m, change, message);
  };
  refuse([](args& a) { a.options.temperature = {}; }, "neither temperature nor log_scale is given");
  refuse([](args& a) { a.options.log_scale = 1.0f; }, "both temperature and log_scale are given");
  refuse([](args& a) { a.options.temperature = -1.0f; },
         "temperature is -1, must be positive, finite and not subnormal");
  refuse([=](args& a) { a.options.temperature = null; }, "temperature was given as a null pointer");
  refuse(
      [](args& a) {
        a.options.temperature = {};
        a.options.log_scale = 88.5f;
      },
      "log_scale is 88.5, must be at most 88");
  refuse([](args& a) { a.options.bias = {}; }, "bias is not given");
  refuse([=](args& a) { a.options.bias = null; }, "bias was given as a null pointer");
  const float* const odd =
      reinterpret_cast<const float*>(reinterpret_cast<const char*>(m.ones.data()) + 1);
  refuse([=](args& a) { a.options.bias = odd; }, misaligned("bias", odd, 4));
  for (const auto& [value, text] : {std::pair{kInfinity, "inf"}, {kNotANumber, "nan"}}) {
    refuse([v = value](args& a) { a.options.bias = v; },
           std::string("bias is ") + text + ", must be finite");
  }
  refuse([](args& a) { a.options.reduction = static_cast<reduction>(3); },
         "reduction must be none, mean or sum");
  refuse([](args& a) { a.options.empty = static_cast<culoss::empty_batch>(2); },
         "empty must be zero or nan");
  refuse([](args& a) { a.options.upstream = {}; }, "upstream is not given");
  refuse(
      [&](args& a) {
        a.options.upstream_rows = {m.ones.data(), kImages};
      },
      "upstream_rows is given, but reductions mean and sum take a scalar upstream");
  refuse(
      [](args& a) {
        a.options.reduction = reduction::none;
        a.options.normalizer = 1.0f;
      },
      "normalizer is given, but reduction none divides by nothing");
  refuse([](args& a) { a.options.row_weights.size = 3; },
         "row_weights.size is 3, must be 4 (one for each row)");
}

template <class Where, class T>
void check_views() {
  using args = arguments<Where, T>;
  const typename args::memory m;
  const auto refuse = [&](const auto& change, const std::string& message) {
    refused<args>(m, change, message);
  };
  refuse([](args& a) { a.images.data = nullptr; }, "images.data is null, but images is 4 x 5");
  refuse([](args& a) { a.images.rows = -4; }, "images.rows is -4, must not be negative");
  refuse([](args& a) { a.images.cols = 0; }, "images.cols is 0, must be positive");
  refuse([](args& a) { a.images.ld = 4; }, "images.ld is 4, must be at least cols (5)");
  refuse([](args& a) { a.texts.cols = 4; }, "texts.cols is 4, must be 5 (images.cols)");
  refuse([](args& a) { a.texts.data = nullptr; }, "texts.data is null, but texts is 6 x 5");
  refuse([](args& a) { a.options.positive_offset = 3; },
         "positive_offset is 3: the positives of 4 rows must lie among 6 keys");
  refuse([](args& a) { a.options.positive_offset = -1; },
         "positive_offset is -1: the positives of 4 rows must lie among 6 keys");
  refuse([](args& a) { a.texts.rows = 3; },
         "positive_offset is 0: the positives of 4 rows must lie among 3 keys");
  refuse([](args& a) { a.options.positives = false; },
         "correct is asked for, but there are no positives");
  refuse([](args& a) { a.options.image_ids.size = 3; },
         "image_ids.size is 3, must be 4 (images.rows, as ids are given)");
  refuse([](args& a) { a.options.image_ids = {}; },
         "image_ids.size is 0, must be 4 (images.rows, as ids are given)");
  refuse([](args& a) { a.options.text_ids = {}; },
         "text_ids.size is 0, must be 6 (texts.rows, as ids are given)");
  refuse([](args& a) { a.out.loss.size = 2; },
         "loss.size is 2, must be 1 (reduction is mean or sum)");
  refuse([](args& a) { a.options.reduction = reduction::none; },
         "loss.size is 1, must be 4 (images.rows, as reduction is none)");
  refuse([](args& a) { a.out.grad_images.rows = 3; },
         "grad_images.rows is 3, must be 4 (images.rows)");
  refuse([](args& a) { a.out.grad_texts.cols = 4; },
         "grad_texts.cols is 4, must be 5 (texts.cols)");
  refuse([](args& a) { a.out.grad_scale.size = 2; },
         "grad_scale.size is 2, must be 1 (it is one number)");
  refuse([](args& a) { a.out.grad_bias.size = 0; },
         "grad_bias.size is 0, must be 1 (it is one number)");
  refuse([](args& a) { a.out.correct.size = 4; }, "correct.size is 4, must be 1 (it is one count)");
  refuse([](args& a) { a.out.rows_counted.size = 0; },
         "rows_counted.size is 0, must be 1 (it is one count)");
  refuse([](args& a) { a.out = {}; }, "no output is given");
  // In place, and two outputs in one place.
  refuse([](args& a) { a.out.grad_images.data = const_cast<T*>(a.images.data); },
         "grad_images overlaps images");
  refuse([](args& a) { a.out.grad_texts.data = const_cast<T*>(a.images.data); },
         "grad_texts overlaps images");
  refuse([](args& a) { a.out.grad_texts.data = a.out.grad_images.data; },
         "grad_texts overlaps grad_images");
  refuse([](args& a) { a.out.grad_bias.data = a.out.grad_scale.data; },
         "grad_bias overlaps grad_scale");
  if constexpr (std::is_same_v<culoss::real_of<T>, float>) {
    refuse([](args& a) { a.options.bias = a.out.loss.data; }, "loss overlaps bias");
  }
  if constexpr (sizeof(storage_of<T>) == 2) {
    refuse([](args& a) { a.options.accumulate = true; },
           "accumulate is set, but a gradient is not float: it would be rounded again and again");
  }
}

template <class T>
void check_device() {
  using args = arguments<culoss::cuda, T>;
  const typename args::memory m;
  const culoss::cublas empty;
  refused<args>(
      m, [](args& a) { a.where.blas = nullptr; }, "blas is null");
  refused<args>(
      m, [&](args& a) { a.where.blas = const_cast<culoss::cublas*>(&empty); },
      "blas is empty: create() or borrow() comes first");
  const std::size_t least =
      culoss::siglip_workspace({.queries = kImages,
                                .keys = kTexts,
                                .dimension = kDimension,
                                .element_bytes = static_cast<int>(sizeof(storage_of<T>))})
          .least;
  ASSERT_LE(least, m.scratch.span_bytes());
  refused<args>(
      m, [&](args& a) { a.where.workspace.bytes = least - 1; },
      "workspace.bytes is " + std::to_string(least - 1) + ", must be at least " +
          std::to_string(least),
      status_code::workspace_too_small);
  const auto pitch = [&m](auto matrix_of, const char* what) {
    refused<args>(
        m,
        [&](args& a) {
          (a.*matrix_of).ld = std::int64_t{1} << 31;
          a.images.rows = 1;
          a.texts.rows = 1;
          a.options = {};
          a.options.temperature = a.options.bias = 1.0f;
          a.out.grad_images = {};
          a.out.grad_texts = {};
        },
        std::string(what) + " is 2147483648, the kernels take at most 2147418112",
        status_code::unsupported);
  };
  pitch(&args::images, "the pitch of queries");
  pitch(&args::texts, "the pitch of keys or negatives");
}

class siglip_arguments : public on_each_space {};

TEST_P(siglip_arguments, are_refused_by_name) {
  const auto check = []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    check_scalars<W, T>();
    check_views<W, T>();
    if constexpr (std::is_same_v<W, culoss::cuda>) check_device<T>();
    // What all of them are changes of.
    const typename arguments<W, T>::memory m;
    const culoss::status accepted = arguments<W, T>(m).call();
    EXPECT_TRUE(accepted.ok()) << accepted.message();
    synchronize(arguments<W, T>::kSpace);
  };
  const auto on = [&]<class W>(std::type_identity<W> w) {
    check(w, std::type_identity<float>{});
    check(w, std::type_identity<culoss::half>{});
    check(w, std::type_identity<culoss::bf16>{});
  };
  if (GetParam() == space::cpu) {
    on(std::type_identity<culoss::cpu>{});
    check(std::type_identity<culoss::cpu>{}, std::type_identity<double>{});
  } else {
    on(std::type_identity<culoss::cuda>{});
  }
}

CULOSS_ON_EACH_SPACE(siglip_arguments);

// Shapes that no call accepts need nothing.
TEST(siglip_workspace, of_impossible_shapes_is_nothing) {
  for (const culoss::similarity_shape& s :
       {culoss::similarity_shape{.queries = 1, .keys = 1, .dimension = 0},
        {.queries = -1, .keys = 1, .dimension = 1},
        {.queries = 1, .keys = std::int64_t{1} << 62, .dimension = 4},
        {.queries = 1, .keys = 1, .dimension = 1, .element_bytes = 0},
        {.queries = 1, .keys = 1, .dimension = 1, .element_bytes = 1 << 30}}) {
    EXPECT_EQ(culoss::siglip_workspace(s).best, 0u);
    EXPECT_EQ(culoss::siglip_workspace(s).least, 0u);
  }
}

}  // namespace
}  // namespace culoss_test
