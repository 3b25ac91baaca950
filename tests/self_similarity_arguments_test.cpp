// Every mistake in the arguments of nt_xent and sup_con, in memory of either execution space: its
// exact message, and that nothing was launched and nothing written.
#include <gtest/gtest.h>

#include "tests/cases/self_similarity_check.hpp"
#include "tests/harness/refusal.hpp"

namespace culoss_test {
namespace {

using culoss::matrix;
using culoss::reduction;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <class Where, class T>
struct self_memory : memory<Where, T> {
  array<std::int64_t> room{self_memory::kSpace, 1 << 15, 0};

  Where where() const {
    if constexpr (self_memory::kOnDevice) {
      return {.workspace = {room.data(), room.span_bytes()}, .blas = &shared_blas()};
    } else {
      return {};
    }
  }
};

// A call that is right until something in it is changed.
template <class Memory, class T, class Outputs, class Options>
struct self_arguments {
  decltype(std::declval<const Memory&>().where()) where;
  matrix<const T> embeddings;
  Outputs out;
  Options options;

  explicit self_arguments(const Memory& m) : where(m.where()), embeddings(m.x.as_matrix()) {
    out.loss = {m.reals.data(), 1};
    out.grad_embeddings = m.out.as_matrix();
    out.grad_scale = {m.reals.data() + 8, 1};
    out.rows_counted = {m.counts.data() + 8, 1};
    options.temperature = 1.0f;
    options.row_weights = {m.ones.data(), kRows};
  }
  // Likewise without rows.
  self_arguments(const self_arguments& a, int) : self_arguments(a) {
    embeddings.rows = 0;
    out.grad_embeddings = {};
    options.row_weights = {};
  }
};
template <class Memory, class T>
struct nt_xent_arguments
    : self_arguments<Memory, T, culoss::nt_xent_outputs<T>, culoss::nt_xent_options> {
  static constexpr const char* kFunction = "nt_xent";
  explicit nt_xent_arguments(const Memory& m) : nt_xent_arguments::self_arguments(m) {
    this->out.correct = {m.counts.data(), 1};
    this->options.ids = {m.labels.data(), kRows};
  }
  nt_xent_arguments(const nt_xent_arguments& a, int) : nt_xent_arguments::self_arguments(a, 0) {
    this->options.ids = {};
  }
  culoss::status call() const {
    return culoss::nt_xent(this->where, this->embeddings, this->out, this->options);
  }
};
template <class Memory, class T>
struct sup_con_arguments
    : self_arguments<Memory, T, culoss::sup_con_outputs<T>, culoss::sup_con_options> {
  static constexpr const char* kFunction = "sup_con";
  culoss::label_view labels;
  explicit sup_con_arguments(const Memory& m)
      : sup_con_arguments::self_arguments(m), labels(m.labels.as_vector()) {}
  sup_con_arguments(const sup_con_arguments& a, int) : sup_con_arguments::self_arguments(a, 0) {}
  culoss::status call() const {
    return culoss::sup_con(this->where, this->embeddings, labels, this->out, this->options);
  }
};

template <class Args, class Memory>
auto refusal_of(const Memory& m) {
  return [&m](const auto& change, const std::string& message,
              status_code code = status_code::invalid_argument) {
    Args a(m);
    change(a);
    expect_refused(
        m, [&] { return a.call(); }, std::string(Args::kFunction) + ": " + message, code);
    std::string room;
    m.room.check_unchanged("room", room);
    EXPECT_EQ(room, "") << message;
  };
}

// What both losses refuse in the same words.
template <class Args, class T, class Memory>
void check_common(const Memory& m) {
  const auto refused = refusal_of<Args>(m);
  const float* const null = nullptr;
  const float* const odd = moved<const float>(m.ones.data(), 1);

  refused([](Args& a) { a.embeddings.data = nullptr; },
          "embeddings.data is null, but embeddings is 4 x 5");
  refused([](Args& a) { a.embeddings.rows = -4; }, "embeddings.rows is -4, must not be negative");
  refused([](Args& a) { a.embeddings.cols = 0; }, "embeddings.cols is 0, must be positive");
  refused([](Args& a) { a.embeddings.ld = 4; }, "embeddings.ld is 4, must be at least cols (5)");
  refused([](Args& a) { a.embeddings.rows = a.embeddings.ld = std::int64_t{1} << 40; },
          "embeddings.rows (1099511627776) times embeddings.ld (1099511627776) does not fit 64 "
          "bits");
  refused([](Args& a) { a.options.log_scale = a.options.temperature = {}; },
          "neither temperature nor log_scale is given");
  refused([](Args& a) { a.options.log_scale = a.options.temperature = 1.0f; },
          "both temperature and log_scale are given");
  const std::pair<float, const char*> temperatures[] = {
      {0.0f, "0"}, {-1.0f, "-1"}, {1e-39f, "1e-39"}, {kInfinity, "inf"}, {kNotANumber, "nan"}};
  for (const auto& [value, text] : temperatures) {
    refused([t = value](Args& a) { a.options.temperature = t; },
            std::string("temperature is ") + text + ", must be positive, finite and not subnormal");
  }
  refused([=](Args& a) { a.options.temperature = null; },
          "temperature was given as a null pointer");
  const auto logarithm = [](float value) {
    return [value](Args& a) {
      a.options.temperature = {};
      a.options.log_scale = value;
    };
  };
  refused(logarithm(kInfinity), "log_scale is inf, must be finite");
  refused(logarithm(88.5f), "log_scale is 88.5, must be at most 88");
  refused(
      [=](Args& a) {
        a.options.temperature = {};
        a.options.log_scale = odd;
      },
      misaligned("log_scale", odd, 4));
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
          "loss.size is 1, must be 4 (embeddings.rows, as reduction is none)");
  refused([](Args& a) { a.out.loss.data = nullptr; }, "loss.data is null, but loss.size is 1");
  refused([](Args& a) { a.out.grad_embeddings.rows = 3; },
          "grad_embeddings.rows is 3, must be 4 (embeddings.rows)");
  refused([](Args& a) { a.out.grad_embeddings.cols = 4; },
          "grad_embeddings.cols is 4, must be 5 (embeddings.cols)");
  refused([](Args& a) { a.out.grad_embeddings.data = nullptr; },
          "grad_embeddings.data is null, but grad_embeddings is 4 x 5");
  refused([](Args& a) { a.out.grad_scale.size = 2; },
          "grad_scale.size is 2, must be 1 (it is one number)");
  refused([](Args& a) { a.out.rows_counted.size = 0; },
          "rows_counted.size is 0, must be 1 (it is one count)");
  refused([](Args& a) { a.out.grad_scale.data = a.out.loss.data; }, "grad_scale overlaps loss");
  refused([](Args& a) { a.out.grad_embeddings.data = const_cast<T*>(a.embeddings.data); },
          "grad_embeddings overlaps embeddings");
  refused([](Args& a) { a.out = {}; }, "no output is given");
  if constexpr (sizeof(storage_of<T>) == 2) {
    refused([](Args& a) { a.options.accumulate = true; },
            "accumulate is set, but a gradient is not float: it would be rounded again and again");
  }

  if constexpr (Memory::kOnDevice) {
    const culoss::cublas empty;
    refused([](Args& a) { a.where.blas = nullptr; }, "blas is null");
    refused([&](Args& a) { a.where.blas = const_cast<culoss::cublas*>(&empty); },
            "blas is empty: create() or borrow() comes first");
    refused(
        [](Args& a) { a.where.workspace.data = nullptr; },
        "workspace.data is null, but workspace.bytes is " + std::to_string(m.room.span_bytes()));
    refused([&](Args& a) { a.where.workspace.data = moved(m.room.data(), 8); },
            misaligned("workspace", moved(m.room.data(), 8), 16));
    refused([&](Args& a) { a.out.loss.data = reinterpret_cast<float*>(m.room.data()); },
            "loss overlaps workspace");
    refused(
        [](Args& a) {
          a = Args(a, 0);
          a.embeddings.ld = std::int64_t{1} << 31;
        },
        "embeddings.ld is 2147483648, the kernels take at most 2147418112",
        status_code::unsupported);
    const culoss::self_similarity_shape shape{
        .rows = kRows, .dimension = kCols, .element_bytes = sizeof(storage_of<T>)};
    const std::size_t least = Args::kFunction[0] == 's' ? culoss::sup_con_workspace(shape).least
                                                        : culoss::nt_xent_workspace(shape).least;
    ASSERT_LE(least, m.room.span_bytes());
    refused([&](Args& a) { a.where.workspace.bytes = least - 1; },
            "workspace.bytes is " + std::to_string(least - 1) + ", must be at least " +
                std::to_string(least),
            status_code::workspace_too_small);
  } else {
    refused([](Args& a) { a.where.threads = -1; }, "cpu.threads is -1, must not be negative");
  }
}

class self_similarity_arguments : public on_each_space {};

TEST_P(self_similarity_arguments, of_nt_xent) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    using args = nt_xent_arguments<self_memory<W, T>, T>;
    const self_memory<W, T> m;
    const auto refused = refusal_of<args>(m);
    check_common<args, T>(m);
    refused([](args& a) { a.embeddings.rows = 3; },
            "embeddings.rows is 3, must be even: two views of each item");
    refused([](args& a) { a.options.ids.size = 3; }, "ids.size is 3, must be 4 (embeddings.rows)");
    refused([](args& a) { a.options.ids.data = nullptr; }, "ids.data is null, but ids.size is 4");
    refused([](args& a) { a.out.correct.size = 4; },
            "correct.size is 4, must be 1 (it is one count)");
    refused([](args& a) { a.out.rows_counted.data = a.out.correct.data; },
            "correct overlaps rows_counted");
    EXPECT_EQ(args(m).call().message(), std::string());
    synchronize(self_memory<W, T>::kSpace);
  });
}

TEST_P(self_similarity_arguments, of_sup_con) {
  for_each_type(GetParam(), []<class W, class T>(std::type_identity<W>, std::type_identity<T>) {
    using args = sup_con_arguments<self_memory<W, T>, T>;
    const self_memory<W, T> m;
    const auto refused = refusal_of<args>(m);
    check_common<args, T>(m);
    refused([](args& a) { a.labels.size = 3; }, "labels.size is 3, must be 4 (embeddings.rows)");
    refused([](args& a) { a.labels.data = nullptr; }, "labels.data is null, but labels.size is 4");
    refused([&](args& a) { a.out.rows_counted.data = m.labels.data(); },
            "rows_counted overlaps labels");
    EXPECT_EQ(args(m).call().message(), std::string());
    synchronize(self_memory<W, T>::kSpace);
  });
}

CULOSS_ON_EACH_SPACE(self_similarity_arguments);

}  // namespace
}  // namespace culoss_test
