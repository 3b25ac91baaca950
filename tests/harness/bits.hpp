// Results held against each other bit for bit: equal numbers with equal signs; a NaN is a NaN.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/harness/comparator.hpp"
#include "tests/harness/loss_case.hpp"

namespace culoss_test {

inline bool same_bits(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

inline const output* find_output(const std::vector<output>& all, const std::string& name) {
  for (const output& o : all) {
    if (o.name == name) return &o;
  }
  return nullptr;
}

// The first difference of the outputs that both have, or nothing. To have none in common is one.
inline std::string difference(const std::vector<output>& a, const std::vector<output>& b) {
  bool any = false;
  for (const output& x : a) {
    const output* y = find_output(b, x.name);
    if (y == nullptr) continue;
    any = true;
    if (x.values.size() != y->values.size()) return x.name + ": sizes differ";
    for (std::size_t i = 0; i < x.values.size(); ++i) {
      if (same_bits(x.values[i], y->values[i])) continue;
      std::ostringstream text;
      text.precision(17);
      text << x.name << "[" << i << "] of " << x.values.size() << " is " << x.values[i]
           << " here and " << y->values[i] << " there";
      return text.str();
    }
  }
  return any ? std::string() : "no output in common";
}

// The outputs that have something for each row, with the rows in another order or number.
inline std::vector<output> rows_of(const std::vector<output>& all, std::int64_t rows,
                                   const std::vector<std::int64_t>& which) {
  std::vector<output> taken;
  for (const output& o : all) {
    const auto width = static_cast<std::int64_t>(o.values.size()) / rows;
    if (width * rows != static_cast<std::int64_t>(o.values.size())) continue;
    output t{o.name, {}};
    for (const std::int64_t i : which) {
      t.values.insert(t.values.end(), o.values.begin() + i * width,
                      o.values.begin() + (i + 1) * width);
    }
    taken.push_back(std::move(t));
  }
  return taken;
}

}  // namespace culoss_test
