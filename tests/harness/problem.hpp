// What a loss is fed: the numbers themselves, exactly representable in the element type.
// No single kind of input finds every mistake, so there are a dozen: random logits hide a wrong
// shift, small ones hide a dropped column, and so on.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "tests/harness/element.hpp"

namespace culoss_test {

enum class input_kind {
  near_uniform,
  normal,
  wide_normal,  // 10 times as wide
  top_k,        // some at +88, some at -88: exponentials at the ends of float
  spike,        // one column stands out, at the boundary of a lane, vector, tile or tail
  offset_1e3,   // an unshifted statistic loses its digits
  offset_1e5,
  near_minus_1000,
  sorted_up,  // the running maximum changes at every column
  sorted_down,
  one_large,
  masked_but_one,  // all -inf but one
};

inline constexpr input_kind kInputKinds[] = {
    input_kind::near_uniform, input_kind::normal,          input_kind::wide_normal,
    input_kind::top_k,        input_kind::spike,           input_kind::offset_1e3,
    input_kind::offset_1e5,   input_kind::near_minus_1000, input_kind::sorted_up,
    input_kind::sorted_down,  input_kind::one_large,       input_kind::masked_but_one};

inline const char* name_of(input_kind k) {
  static constexpr const char* kNames[] = {"near_uniform", "normal",          "wide_normal",
                                           "top_k",        "spike",           "offset_1e3",
                                           "offset_1e5",   "near_minus_1000", "sorted_up",
                                           "sorted_down",  "one_large",       "masked_but_one"};
  return kNames[static_cast<int>(k)];
}

// The numbers of one call. Scalars that stand in device memory belong to them; which of the
// optional arrays and scalars are handed over is the case's choice.
struct problem {
  element type = element::float32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<double> x;             // [rows, cols] logits, or what a backward takes in their place
  std::vector<double> g;             // [rows, cols] upstream gradient, where it is a matrix
  std::vector<double> h;             // [rows, cols] a third matrix
  std::vector<std::int64_t> labels;  // [rows]
  std::vector<float> class_weights;  // [cols]
  std::vector<float> row_weights;    // [rows]
  std::vector<float> upstream_rows;  // [rows]
  std::vector<float> weights;        // [rows, cols]
  std::vector<float> upstream_elements;  // [rows, cols]
  float temperature = 1;
  float upstream = 1;
  float normalizer = 1;

  double* row(std::int64_t i) { return x.data() + i * cols; }
  const double* row(std::int64_t i) const { return x.data() + i * cols; }
};

// The same numbers as another type, to which they must be exact.
inline problem as_type(problem p, element type) {
  p.type = type;
  return p;
}

// Some rows of a problem, in the order given.
inline problem select_rows(const problem& p, const std::vector<std::int64_t>& which) {
  problem q = p;
  q.rows = static_cast<std::int64_t>(which.size());
  const auto take = [&which](const auto& from, std::int64_t width) {
    std::remove_cvref_t<decltype(from)> to;
    if (from.empty()) return to;
    for (const std::int64_t i : which) {
      to.insert(to.end(), from.begin() + i * width, from.begin() + (i + 1) * width);
    }
    return to;
  };
  q.x = take(p.x, p.cols);
  q.g = take(p.g, p.cols);
  q.h = take(p.h, p.cols);
  q.labels = take(p.labels, 1);
  q.row_weights = take(p.row_weights, 1);
  q.upstream_rows = take(p.upstream_rows, 1);
  q.weights = take(p.weights, p.cols);
  q.upstream_elements = take(p.upstream_elements, p.cols);
  return q;
}

// splitmix64 (Steele, Lea and Flood, 2014): the same numbers with every compiler.
class random_numbers {
 public:
  explicit random_numbers(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }  // [0, 1)
  std::int64_t below(std::int64_t n) {
    return static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(n));
  }
  double normal() {  // Box and Muller
    const double radius = std::sqrt(-2 * std::log1p(-uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  std::uint64_t state_;
};

// Columns where a lane, a vector, a tile or the tail begins or ends, whatever their sizes: every
// power of two and its neighbors, and the same counted from the end.
inline std::vector<std::int64_t> boundary_columns(std::int64_t cols) {
  std::vector<std::int64_t> columns;
  for (std::int64_t power = 1; power <= cols; power *= 2) {
    for (const std::int64_t c : {power - 1, power, cols - power, cols - power - 1}) {
      if (c >= 0 && c < cols) columns.push_back(c);
    }
  }
  std::sort(columns.begin(), columns.end());
  columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
  return columns;
}

struct problem_shape {
  element type = element::float32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  input_kind kind = input_kind::normal;
  std::uint64_t seed = 1;
};

// Logits of one kind, labels (targets in the spike, at both ends and anywhere), positive weights
// and upstream gradients.
inline problem make_problem(const problem_shape& shape) {
  problem p;
  p.type = shape.type;
  p.rows = shape.rows;
  p.cols = shape.cols;
  const std::int64_t cols = shape.cols;
  random_numbers random(shape.seed);
  const double infinity = std::numeric_limits<double>::infinity();
  const double largest = std::min(1e5, 0.9 * format_of(shape.type).largest());
  const std::vector<std::int64_t> boundaries = boundary_columns(cols);
  // As much weight as a few times all the rest: neither it nor a column of the rest can get lost.
  const double spike = std::log(static_cast<double>(cols)) + 2;
  p.x.resize(static_cast<std::size_t>(shape.rows * cols));
  for (std::int64_t i = 0; i < shape.rows; ++i) {
    double* row = p.row(i);
    const auto boundary = static_cast<std::int64_t>(
        (shape.seed * 7 + static_cast<std::uint64_t>(i)) % boundaries.size());
    const std::int64_t special = shape.kind == input_kind::spike
                                     ? boundaries[static_cast<std::size_t>(boundary)]
                                     : random.below(cols);
    for (std::int64_t j = 0; j < cols; ++j) {
      const double n = random.normal();
      switch (shape.kind) {
        case input_kind::near_uniform:
          row[j] = 0.01 * n;
          break;
        case input_kind::wide_normal:
          row[j] = 10 * n;
          break;
        case input_kind::top_k:
          row[j] = n > 1.5 ? 88 : n < -1.5 ? -88 : n;
          break;
        case input_kind::spike:
          row[j] = n + (j == special ? spike : 0);
          break;
        case input_kind::offset_1e3:
          row[j] = 1e3 + n;
          break;
        case input_kind::offset_1e5:
          row[j] = largest + (shape.type == element::float32 ? n : 40 * n);
          break;
        case input_kind::near_minus_1000:
          row[j] = -1000 + 4 * n;
          break;
        case input_kind::one_large:
          row[j] = n + (j == special ? 1000 : 0);
          break;
        case input_kind::masked_but_one:
          row[j] = j == special ? n : -infinity;
          break;
        default:
          row[j] = 3 * n;
          break;
      }
      row[j] = round_to(shape.type, row[j]);
    }
    if (shape.kind == input_kind::sorted_up) std::sort(row, row + cols);
    if (shape.kind == input_kind::sorted_down) std::sort(row, row + cols, std::greater<>());
    const std::int64_t choice[] = {special, cols - 1, 0, random.below(cols)};
    p.labels.push_back(choice[i % 4]);
    p.row_weights.push_back(static_cast<float>(0.25 + 1.5 * random.uniform()));
    p.upstream_rows.push_back(static_cast<float>(2 * random.normal()));
  }
  for (std::int64_t j = 0; j < cols; ++j) {
    p.class_weights.push_back(static_cast<float>(0.25 + 1.5 * random.uniform()));
  }
  return p;
}

}  // namespace culoss_test
