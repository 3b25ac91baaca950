// Few combinations of many options such that every two levels of every two options meet at least
// once (Cohen, Dalal, Fredman and Patton, "The AETG system", 1997): most mistakes need one or two
// options, not all of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "tests/harness/problem.hpp"

namespace culoss_test {

using combination = std::vector<int>;  // a level for each option

// Which pairs of levels have not met.
class missing_pairs {
 public:
  explicit missing_pairs(const std::vector<int>& levels) {
    for (const int n : levels) {
      first_.push_back(total_);
      total_ += static_cast<std::size_t>(n);
    }
    missing_.assign(total_ * total_, 0);
    for (std::size_t a = 0; a < levels.size(); ++a) {
      for (std::size_t b = a + 1; b < levels.size(); ++b) {
        for (int i = 0; i < levels[a]; ++i) {
          for (int j = 0; j < levels[b]; ++j) at(a, i, b, j) = 1;
        }
      }
    }
  }
  int count(const combination& c) const {
    int n = 0;
    for (std::size_t a = 0; a < c.size(); ++a) {
      for (std::size_t b = a + 1; b < c.size(); ++b) n += at(a, c[a], b, c[b]);
    }
    return n;
  }
  void meet(const combination& c) {
    for (std::size_t a = 0; a < c.size(); ++a) {
      for (std::size_t b = a + 1; b < c.size(); ++b) at(a, c[a], b, c[b]) = 0;
    }
  }
  char& at(std::size_t a, int i, std::size_t b, int j) {
    return missing_[(first_[a] + static_cast<std::size_t>(i)) * total_ + first_[b] +
                    static_cast<std::size_t>(j)];
  }
  char at(std::size_t a, int i, std::size_t b, int j) const {
    return missing_[(first_[a] + static_cast<std::size_t>(i)) * total_ + first_[b] +
                    static_cast<std::size_t>(j)];
  }

 private:
  std::vector<std::size_t> first_;
  std::size_t total_ = 0;
  std::vector<char> missing_;
};

// `levels[k]` is the number of levels of option k; a combination counts only where `allowed`. Takes
// each pair that is missing in turn, tries random combinations that have it, improves them option
// by option, and keeps the one with the most new pairs. A pair that no trial has is not allowed.
template <class Allowed>
std::vector<combination> pairwise_cover(const std::vector<int>& levels, const Allowed& allowed) {
  constexpr int kTrials = 60, kDraws = 40;
  const std::size_t options = levels.size();
  missing_pairs missing(levels);
  random_numbers random(1);
  std::vector<combination> chosen;

  const auto trial = [&](std::size_t a, int i, std::size_t b, int j) {
    combination c(options);
    for (int draw = 0; draw < kDraws; ++draw) {
      for (std::size_t k = 0; k < options; ++k) c[k] = static_cast<int>(random.below(levels[k]));
      c[a] = i;
      c[b] = j;
      if (allowed(c)) break;
      if (draw == kDraws - 1) return combination{};
    }
    for (std::size_t k = 0; k < options; ++k) {
      if (k == a || k == b) continue;
      combination other = c;
      int most = missing.count(c);
      for (other[k] = 0; other[k] < levels[k]; ++other[k]) {
        const int n = missing.count(other);
        if (n <= most || !allowed(other)) continue;
        most = n;
        c = other;
      }
    }
    return c;
  };
  for (std::size_t a = 0; a < options; ++a) {
    for (std::size_t b = a + 1; b < options; ++b) {
      for (int i = 0; i < levels[a]; ++i) {
        for (int j = 0; j < levels[b]; ++j) {
          if (missing.at(a, i, b, j) == 0) continue;
          combination best;
          int most = 0;
          for (int t = 0; t < kTrials; ++t) {
            const combination c = trial(a, i, b, j);
            if (c.empty()) continue;
            const int n = missing.count(c);
            if (n <= most) continue;
            most = n;
            best = c;
          }
          if (best.empty()) continue;
          missing.meet(best);
          chosen.push_back(best);
        }
      }
    }
  }
  return chosen;
}

}  // namespace culoss_test
