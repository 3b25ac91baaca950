// Few combinations of many options such that every two levels of every two options meet at least
// once (Cohen, Dalal, Fredman and Patton, "The AETG system", 1997): most mistakes need one or two
// options, not all of them.
#pragma once

#include <cstddef>
#include <vector>

namespace culoss_test {

using combination = std::vector<int>;  // a level for each option

// `levels[k]` is the number of levels of option k; a combination counts only where `allowed`.
template <class Allowed>
std::vector<combination> pairwise_cover(const std::vector<int>& levels, const Allowed& allowed) {
  std::vector<combination> all;
  combination current(levels.size(), 0);
  for (bool more = true; more;) {
    if (allowed(current)) all.push_back(current);
    more = false;
    for (std::size_t k = 0; k < levels.size() && !more; ++k) {
      more = ++current[k] < levels[k];
      if (!more) current[k] = 0;
    }
  }
  std::vector<std::size_t> first(levels.size());  // a number for each level of each option
  std::size_t total = 0;
  for (std::size_t k = 0; k < levels.size(); ++k) {
    first[k] = total;
    total += static_cast<std::size_t>(levels[k]);
  }
  std::vector<char> missing(total * total, 0);
  const auto each_pair = [&](const combination& c, const auto& visit) {
    for (std::size_t a = 0; a < c.size(); ++a) {
      const std::size_t row = (first[a] + static_cast<std::size_t>(c[a])) * total;
      for (std::size_t b = a + 1; b < c.size(); ++b) {
        visit(missing[row + first[b] + static_cast<std::size_t>(c[b])]);
      }
    }
  };
  for (const combination& c : all) each_pair(c, [](char& pair) { pair = 1; });
  std::vector<combination> chosen;
  for (;;) {
    const combination* best = nullptr;
    int most = 0;
    for (const combination& c : all) {
      int count = 0;
      each_pair(c, [&count](char pair) { count += pair; });
      if (count > most) {
        best = &c;
        most = count;
      }
    }
    if (best == nullptr) return chosen;
    chosen.push_back(*best);
    each_pair(*best, [](char& pair) { pair = 0; });
  }
}

}  // namespace culoss_test
