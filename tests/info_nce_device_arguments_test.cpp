// Every mistake in the arguments of info_nce and clip, in memory of either execution space: its
// exact message, and that nothing was launched and nothing written.
#include <gtest/gtest.h>

#include <cstdio>
#include <limits>
#include <string>

#include "tests/cases/similarity_check.hpp"

namespace culoss_test {
namespace {

using culoss::matrix;
using culoss::reduction;
using culoss::status_code;

constexpr std::int64_t kRows = 4, kKeys = 6, kNegatives = 3, kOwn = 2, kDimension = 5, kLd = 8;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();

std::string misaligned(const char* name, const void* p, int to) {
  char text[128];
  std::snprintf(text, sizeof text, "%s.data is %p, must be a multiple of %d bytes", name, p, to);
  return text;
}

// The memory of a call with everything given.
template <class Where, class T>
struct memory {
  using real = culoss::real_of<T>;
  static constexpr bool kOnDevice = std::is_same_v<Where, culoss::cuda>;
  static constexpr space kSpace = kOnDevice ? space::cuda : space::cpu;

  array<T> q{kSpace, kRows, kDimension, kLd - kDimension, 0};
  array<T> k{kSpace, kKeys, kDimension, kLd - kDimension, 0};
  array<T> n{kSpace, kNegatives, kDimension, kLd - kDimension, 0};
  array<T> own{kSpace, kRows* kOwn, kDimension, kLd - kDimension, 0};
  array<T> down{kSpace, kRows* kOwn, kDimension, kLd - kDimension, 0};
  array<T> dq{kSpace, kRows, kDimension, kLd - kDimension, 0};
  array<T> dk{kSpace, kKeys, kDimension, kLd - kDimension, 0};
  array<T> dn{kSpace, kNegatives, kDimension, kLd - kDimension, 0};
  array<float> ones{kSpace, 64, 0};
  array<real> reals{kSpace, 64, 0};
  array<std::uint8_t> mask{kSpace, kRows, kKeys + kNegatives + kOwn, 2, 1};
  array<std::int64_t> ids{kSpace, 64, 0}, counts{kSpace, 64, 0}, scratch{kSpace, 1 << 15, 0};

  memory() {
    for (array<T>* a : {&q, &k, &n, &own}) {
      a->write(std::vector<double>(static_cast<std::size_t>(a->size()), 0.5));
    }
    ones.write(std::vector<float>(64, 1.0f));
    ids.write(std::vector<int>(64, 1));
    mask.write(std::vector<int>(static_cast<std::size_t>(mask.size()), 1));
  }
  std::string changes() const {
    std::string text;
    synchronize(kSpace);
    for (const array<T>* a : {&q, &k, &n, &own, &dq, &dk, &dn, &down})
      a->check_unchanged("a matrix", text);
    ones.check_unchanged("ones", text);
    reals.check_unchanged("reals", text);
    ids.check_unchanged("ids", text);
    mask.check_unchanged("mask", text);
    counts.check_unchanged("counts", text);
    scratch.check_unchanged("scratch", text);
    return text;
  }
  Where where() const {
    if constexpr (kOnDevice) {
      return {.workspace = {scratch.data(), scratch.span_bytes()}, .blas = &shared_blas()};
    } else {
      return {};
    }
  }
};

template <class Where, class T>
struct info_nce_arguments {
  static constexpr const char* kFunction = "info_nce";
  Where where;
  matrix<const T> queries, keys, negatives, own;
  culoss::info_nce_outputs<T> out;
  culoss::info_nce_options options;

  explicit info_nce_arguments(const memory<Where, T>& m)
      : where(m.where()),
        queries(m.q.as_matrix()),
        keys(m.k.as_matrix()),
        negatives(m.n.as_matrix()),
        own(m.own.as_matrix()),
        out{.loss = {m.reals.data(), 1},
            .grad_queries = m.dq.as_matrix(),
            .grad_keys = m.dk.as_matrix(),
            .grad_negatives = m.dn.as_matrix(),
            .grad_row_negatives = m.down.as_matrix(),
            .grad_scale = {m.reals.data() + 8, 1},
            .correct = {m.counts.data(), 1},
            .rows_counted = {m.counts.data() + 8, 1}} {
    options.temperature = 1.0f;
    options.row_weights = {m.ones.data(), kRows};
    options.query_ids = {m.ids.data(), kRows};
    options.key_ids = {m.ids.data() + 8, kKeys};
    options.negative_ids = {m.ids.data() + 16, kNegatives};
    options.mask = m.mask.as_matrix();
  }
  culoss::status call() const {
    return culoss::info_nce(where, queries, keys, negatives, own, out, options);
  }
};

template <class Where, class T>
struct clip_arguments {
  static constexpr const char* kFunction = "clip";
  Where where;
  matrix<const T> images, texts;
  culoss::clip_outputs<T> out;
  culoss::clip_options options;

  explicit clip_arguments(const memory<Where, T>& m)
      : where(m.where()),
        images(m.q.as_matrix()),
        texts(m.k.data(), kRows, kDimension, kLd),
        out{.loss = {m.reals.data(), 1},
            .grad_images = m.dq.as_matrix(),
            .grad_texts = matrix<T>(m.dk.data(), kRows, kDimension, kLd),
            .grad_scale = {m.reals.data() + 8, 1},
            .correct_images = {m.counts.data(), 1},
            .correct_texts = {m.counts.data() + 8, 1},
            .rows_counted = {m.counts.data() + 16, 1}} {
    options.log_scale = 1.0f;
    options.row_weights = {m.ones.data(), kRows};
    options.ids = {m.ids.data(), kRows};
    options.mask = {m.mask.data(), kRows, kRows, kKeys + kNegatives + kOwn + 2};
  }
  culoss::status call() const { return culoss::clip(where, images, texts, out, options); }
};

// refused(change, message): the call with that change is refused.
template <class Arguments, class Memory>
auto refusal(const Memory& m) {
  return [&m](const auto& change, const std::string& message,
              status_code code = status_code::invalid_argument) {
    Arguments a(m);
    change(a);
    const std::uint64_t launches = simt::count().launches;
    const culoss::status s = a.call();
    EXPECT_EQ(s.message(), std::string(Arguments::kFunction) + ": " + message);
    EXPECT_EQ(static_cast<int>(s.code()), static_cast<int>(code)) << message;
    EXPECT_EQ(simt::count().launches, launches) << message;
    EXPECT_EQ(m.changes(), "") << message;
  };
}

// Runs f<Where, T>() for the types of the execution space.
template <class F>
void for_each_type(space where, const F& f) {
  const auto on = [&]<class Where>(std::type_identity<Where> w) {
    f(w, std::type_identity<float>{});
    f(w, std::type_identity<culoss::half>{});
    f(w, std::type_identity<culoss::bf16>{});
  };
  if (where == space::cpu) {
    on(std::type_identity<culoss::cpu>{});
    f(std::type_identity<culoss::cpu>{}, std::type_identity<double>{});
  } else {
    on(std::type_identity<culoss::cuda>{});
  }
}

class info_nce_device_arguments : public on_each_space {};

// What both losses refuse in the same words; `rows` is what the first matrix is called.
template <class Args, class T, class Memory>
void check_common(const Memory& m, const std::string& rows) {
  const auto refused = refusal<Args>(m);
  const float* const null = nullptr;
  const float* const odd =
      reinterpret_cast<const float*>(reinterpret_cast<const char*>(m.ones.data()) + 1);
  constexpr bool kNarrow = sizeof(storage_of<T>) == 2;

  refused([](Args& a) { a.options.log_scale = a.options.temperature = {}; },
          "neither temperature nor log_scale is given");
  refused([](Args& a) { a.options.log_scale = a.options.temperature = 1.0f; },
          "both temperature and log_scale are given");
  const std::pair<float, const char*> temperatures[] = {
      {0.0f, "0"}, {-1.0f, "-1"}, {1e-39f, "1e-39"}, {kInfinity, "inf"}, {kNotANumber, "nan"}};
  for (const auto& [value, text] : temperatures) {
    refused(
        [t = value](Args& a) {
          a.options.log_scale = {};
          a.options.temperature = t;
        },
        std::string("temperature is ") + text + ", must be positive, finite and not subnormal");
  }
  refused(
      [=](Args& a) {
        a.options.log_scale = {};
        a.options.temperature = null;
      },
      "temperature was given as a null pointer");
  refused(
      [=](Args& a) {
        a.options.temperature = {};
        a.options.log_scale = null;
      },
      "log_scale was given as a null pointer");
  refused(
      [=](Args& a) {
        a.options.temperature = {};
        a.options.log_scale = odd;
      },
      misaligned("log_scale", odd, 4));
  for (const float value : {kInfinity, -kInfinity, kNotANumber}) {
    refused([=](Args& a) { a.options.margin = value; }, std::string("margin is ") +
                                                            (value > 0   ? "inf"
                                                             : value < 0 ? "-inf"
                                                                         : "nan") +
                                                            ", must be finite");
  }
  refused([](Args& a) { a.options.mask.data = nullptr; },
          "mask.data is null, but mask is 4 x " + std::to_string(Args(m).options.mask.cols));
  refused([](Args& a) { a.options.mask.rows = 3; },
          "mask.rows is 3, must be 4 (" + rows + ".rows)");
  refused(
      [](Args& a) { a.options.mask.ld = 3; },
      "mask.ld is 3, must be at least cols (" + std::to_string(Args(m).options.mask.cols) + ")");
  refused(
      [](Args& a) {
        a.out.loss.data = reinterpret_cast<typename Memory::real*>(
            const_cast<std::uint8_t*>(a.options.mask.data) + 7);
      },
      "loss overlaps mask");
  refused([](Args& a) { a.options.row_weights.size = 3; },
          "row_weights.size is 3, must be 4 (one for each row)");
  refused([](Args& a) { a.options.row_weights.data = nullptr; },
          "row_weights.data is null, but row_weights.size is 4");
  refused([](Args& a) { a.options.reduction = static_cast<reduction>(3); },
          "reduction must be none, mean or sum");
  refused([](Args& a) { a.options.empty = static_cast<culoss::empty_batch>(2); },
          "empty must be zero or nan");
  refused([=](Args& a) { a.options.normalizer = null; }, "normalizer was given as a null pointer");
  refused(
      [](Args& a) {
        a.options.reduction = reduction::none;
        a.options.normalizer = 1.0f;
      },
      "normalizer is given, but reduction none divides by nothing");
  refused([](Args& a) { a.options.upstream = {}; }, "upstream is not given");
  refused(
      [&](Args& a) {
        a.options.upstream_rows = {m.ones.data(), kRows};
      },
      "upstream_rows is given, but reductions mean and sum take a scalar upstream");
  refused(
      [&](Args& a) {
        a.options.reduction = reduction::none;
        a.out.loss.size = kRows;
        a.options.upstream_rows = {m.ones.data(), 5};
      },
      "upstream_rows.size is 5, must be 4 (one for each row)");
  refused([](Args& a) { a.out.loss.size = 2; },
          "loss.size is 2, must be 1 (reduction is mean or sum)");
  refused([](Args& a) { a.options.reduction = reduction::none; },
          "loss.size is 1, must be 4 (" + rows + ".rows, as reduction is none)");
  refused([](Args& a) { a.out.loss.data = nullptr; }, "loss.data is null, but loss.size is 1");
  refused([](Args& a) { a.out.grad_scale.size = 2; },
          "grad_scale.size is 2, must be 1 (it is one number)");
  refused([](Args& a) { a.out.rows_counted.size = 0; },
          "rows_counted.size is 0, must be 1 (it is one count)");
  refused([](Args& a) { a.out.grad_scale.data = a.out.loss.data; }, "grad_scale overlaps loss");
  refused([](Args& a) { a.out = {}; }, "no output is given");
  refused([](Args& a) { a.options.plan = culoss::similarity_plan::forward_only; },
          "plan is forward_only, but gradients of embeddings are asked for");
  if constexpr (kNarrow) {
    refused([](Args& a) { a.options.accumulate = true; },
            "accumulate is set, but a gradient is not float: it would be rounded again and again");
  } else {
    refused(
        [](Args& a) { a.options.plan = culoss::similarity_plan::kept; },
        "plan is kept, which is for embeddings in half or bf16: others are not kept in 16 bits");
  }

  if constexpr (Memory::kOnDevice) {
    const culoss::cublas empty;
    refused([](Args& a) { a.where.blas = nullptr; }, "blas is null");
    refused([&](Args& a) { a.where.blas = const_cast<culoss::cublas*>(&empty); },
            "blas is empty: create() or borrow() comes first");
    refused(
        [](Args& a) { a.where.workspace.data = nullptr; },
        "workspace.data is null, but workspace.bytes is " + std::to_string(m.scratch.span_bytes()));
    const auto* const base = reinterpret_cast<const char*>(m.scratch.data());
    refused([&](Args& a) { a.where.workspace.data = const_cast<char*>(base) + 8; },
            misaligned("workspace", base + 8, 16));
    refused([&](Args& a) { a.out.loss.data = reinterpret_cast<float*>(m.scratch.data()); },
            "loss overlaps workspace");
  } else {
    refused([](Args& a) { a.where.threads = -1; }, "cpu.threads is -1, must not be negative");
  }
}

TEST_P(info_nce_device_arguments, of_info_nce) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    using args = info_nce_arguments<W, T>;
    const memory<W, T> m;
    const auto refused = refusal<args>(m);
    check_common<args, T>(m, "queries");
    refused([](args& a) { a.queries.data = nullptr; },
            "queries.data is null, but queries is 4 x 5");
    refused([](args& a) { a.queries.rows = -4; }, "queries.rows is -4, must not be negative");
    refused([](args& a) { a.queries.cols = 0; }, "queries.cols is 0, must be positive");
    refused([](args& a) { a.queries.ld = 4; }, "queries.ld is 4, must be at least cols (5)");
    refused([](args& a) { a.queries.rows = a.queries.ld = std::int64_t{1} << 40; },
            "queries.rows (1099511627776) times queries.ld (1099511627776) does not fit 64 bits");
    refused([](args& a) { a.keys.cols = 4; }, "keys.cols is 4, must be 5 (queries.cols)");
    refused([](args& a) { a.keys.data = nullptr; }, "keys.data is null, but keys is 6 x 5");
    refused([](args& a) { a.negatives.cols = 6; }, "negatives.cols is 6, must be 5 (queries.cols)");
    refused([](args& a) { a.negatives.ld = 0; }, "negatives.ld is 0, must be at least cols (5)");
    refused([](args& a) { a.options.positive_offset = 3; },
            "positive_offset is 3: the positives of 4 rows must lie among 6 keys");
    refused([](args& a) { a.options.positive_offset = -1; },
            "positive_offset is -1: the positives of 4 rows must lie among 6 keys");
    refused([](args& a) { a.keys.rows = 3; },
            "positive_offset is 0: the positives of 4 rows must lie among 3 keys");
    refused([](args& a) { a.options.query_ids.size = 3; },
            "query_ids.size is 3, must be 4 (queries.rows)");
    refused([](args& a) { a.options.key_ids = {}; }, "key_ids.size is 0, must be 6 (keys.rows)");
    refused([](args& a) { a.options.negative_ids.size = 4; },
            "negative_ids.size is 4, must be 3 (negatives.rows)");
    refused([](args& a) { a.options.query_ids = {}; },
            "key_ids or negative_ids are given, but query_ids are not");
    refused([](args& a) { a.options.mask.cols = 8; },
            "mask.cols is 8, must be 11 (keys.rows + negatives.rows + negatives of a row)");
    refused(
        [](args& a) {
          a.own = {};
          a.out.grad_row_negatives = {};
        },
        "mask.cols is 11, must be 9 (keys.rows + negatives.rows)");
    refused(
        [](args& a) {
          a.own = {};
          a.out.grad_row_negatives = {};
          a.options.in_batch = false;
        },
        "mask.cols is 11, must be 3 (negatives.rows, as in_batch is false)");
    refused(
        [](args& a) {
          a.options.in_batch = false;
          a.options.mask.cols = 9;
        },
        "mask.cols is 9, must be 5 (negatives.rows + negatives of a row, as in_batch is false)");
    refused([](args& a) { a.own.rows = 7; },
            "row_negatives.rows is 7, must be a multiple of 4 (queries.rows)");
    refused([](args& a) { a.own.cols = 4; }, "row_negatives.cols is 4, must be 5 (queries.cols)");
    refused([](args& a) { a.own.data = nullptr; },
            "row_negatives.data is null, but row_negatives is 8 x 5");
    refused([](args& a) { a.own.ld = 4; }, "row_negatives.ld is 4, must be at least cols (5)");
    refused([](args& a) { a.own = {}; }, "mask.cols is 11, must be 9 (keys.rows + negatives.rows)");
    refused(
        [](args& a) {
          a.own = {};
          a.options.mask = {};
        },
        "grad_row_negatives is given, but row_negatives are not");
    refused([](args& a) { a.out.grad_row_negatives.rows = 4; },
            "grad_row_negatives.rows is 4, must be 8 (row_negatives.rows)");
    refused([](args& a) { a.out.grad_row_negatives.data = const_cast<T*>(a.own.data); },
            "grad_row_negatives overlaps row_negatives");
    refused([](args& a) { a.out.grad_queries.data = const_cast<T*>(a.own.data); },
            "grad_queries overlaps row_negatives");
    refused(
        [](args& a) {
          a.queries.rows = 0;
          a.options.row_weights = {};
          a.options.query_ids = {};
        },
        "row_negatives.rows is 8, must be a multiple of 0 (queries.rows)");
    refused([](args& a) { a.out.grad_queries.rows = 3; },
            "grad_queries.rows is 3, must be 4 (queries.rows)");
    refused([](args& a) { a.out.grad_keys.cols = 4; },
            "grad_keys.cols is 4, must be 5 (keys.cols)");
    refused([](args& a) { a.out.grad_negatives.data = nullptr; },
            "grad_negatives.data is null, but grad_negatives is 3 x 5");
    refused(
        [](args& a) {
          a.negatives = {};
          a.options.negative_ids = {};
          a.options.mask = {};
        },
        "grad_negatives is given, but negatives are not");
    refused([](args& a) { a.out.correct.size = 4; },
            "correct.size is 4, must be 1 (it is one count)");
    refused([](args& a) { a.out.grad_queries.data = const_cast<T*>(a.queries.data); },
            "grad_queries overlaps queries");
    refused([](args& a) { a.out.grad_keys.data = a.out.grad_queries.data; },
            "grad_keys overlaps grad_queries");
    refused([](args& a) { a.out.grad_negatives.data = const_cast<T*>(a.negatives.data); },
            "grad_negatives overlaps negatives");
    if constexpr (memory<W, T>::kOnDevice) {
      const std::size_t least =
          culoss::info_nce_workspace({.queries = kRows,
                                      .keys = kKeys,
                                      .negatives = kNegatives,
                                      .dimension = kDimension,
                                      .row_negatives = kOwn,
                                      .element_bytes = static_cast<int>(sizeof(storage_of<T>)),
                                      .negative_gradients = true})
              .least;
      ASSERT_LE(least, m.scratch.span_bytes());
      refused([&](args& a) { a.where.workspace.bytes = least - 1; },
              "workspace.bytes is " + std::to_string(least - 1) + ", must be at least " +
                  std::to_string(least),
              status_code::workspace_too_small);
      // One row and one key, whose pitch nobody needs, but 32 bits must hold.
      const auto pitch = [&refused](auto matrix_of, const char* what) {
        refused(
            [&](args& a) {
              a.queries.rows = a.keys.rows = 1;
              (a.*matrix_of).ld = std::int64_t{1} << 31;
              a.negatives = a.own = {};
              a.out = {.loss = a.out.loss};
              a.options = {};
              a.options.temperature = 1.0f;
            },
            std::string(what) + " is 2147483648, the kernels take at most 2147418112",
            status_code::unsupported);
      };
      pitch(&args::queries, "the pitch of queries");
      pitch(&args::keys, "the pitch of keys or negatives");
    }
    EXPECT_EQ(args(m).call().message(), std::string());
    synchronize(memory<W, T>::kSpace);
  });
}

TEST_P(info_nce_device_arguments, of_clip) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    using args = clip_arguments<W, T>;
    const memory<W, T> m;
    const auto refused = refusal<args>(m);
    check_common<args, T>(m, "images");
    refused([](args& a) { a.images.cols = 0; }, "images.cols is 0, must be positive");
    refused([](args& a) { a.texts.rows = 3; }, "texts.rows is 3, must be 4 (images.rows)");
    refused([](args& a) { a.texts.cols = 4; }, "texts.cols is 4, must be 5 (images.cols)");
    refused([](args& a) { a.texts.data = nullptr; }, "texts.data is null, but texts is 4 x 5");
    refused([](args& a) { a.options.ids.size = 6; }, "ids.size is 6, must be 4 (images.rows)");
    refused([](args& a) { a.options.mask.cols = 5; }, "mask.cols is 5, must be 4 (texts.rows)");
    refused([](args& a) { a.out.grad_images.cols = 4; },
            "grad_images.cols is 4, must be 5 (images.cols)");
    refused([](args& a) { a.out.grad_texts.ld = 4; },
            "grad_texts.ld is 4, must be at least cols (5)");
    refused([](args& a) { a.out.correct_images.size = 2; },
            "correct_images.size is 2, must be 1 (it is one count)");
    refused([](args& a) { a.out.correct_texts.data = a.out.correct_images.data; },
            "correct_texts overlaps correct_images");
    refused([](args& a) { a.out.grad_texts.data = const_cast<T*>(a.images.data); },
            "grad_texts overlaps images");
    EXPECT_EQ(args(m).call().message(), std::string());
    synchronize(memory<W, T>::kSpace);
  });
}

CULOSS_ON_EACH_SPACE(info_nce_device_arguments);

}  // namespace
}  // namespace culoss_test
