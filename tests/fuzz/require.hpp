// How a fuzz target says that a promise is broken: the fuzzer keeps the input that shows it.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

namespace culoss_fuzz {

inline void require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s\n", what.c_str());
  std::abort();
}

}  // namespace culoss_fuzz
