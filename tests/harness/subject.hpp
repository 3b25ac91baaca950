// Something that launches, with its memory, whatever the loss.
#pragma once

#include <culoss/core.hpp>
#include <functional>
#include <string>
#include <vector>

#include "tests/harness/comparator.hpp"

namespace culoss_test {

struct subject {
  struct reading {
    std::vector<output> outputs;
    std::string damage;
  };

  std::string what;                    // for messages
  std::vector<std::string> functions;  // the public ones that `launch` calls, in their order
  bool keeps_outputs = false;          // as they were, whatever fails
  CUstream_st* stream = nullptr;
  std::function<void()> write;  // the inputs; poisons the outputs
  std::function<culoss::status()> launch;
  std::function<reading()> read;  // waits for the stream
};

}  // namespace culoss_test
