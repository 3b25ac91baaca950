// Calls and kernels of the emulated device, counted by their names.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/emulator/probe.hpp"

namespace culoss_test {

// What the emulated device was asked to do since this was made.
class recorded_work {
 public:
  recorded_work() : first_call_(simt::call_count()), first_launch_(simt::count().launches) {}

  std::int64_t calls(const std::string& name) const {
    std::int64_t n = 0;
    for (std::uint64_t i = first_call_; i < simt::call_count(); ++i) {
      n += simt::call_name(i).find(name) != std::string::npos ? 1 : 0;
    }
    return n;
  }
  std::int64_t kernels(const std::string& name) const {
    const std::vector<std::string> all = simt::launched();
    const std::size_t count = simt::count().launches - first_launch_;
    EXPECT_LE(count, all.size()) << "more kernels than the device remembers";
    std::int64_t n = 0;
    for (std::size_t i = all.size() - std::min(count, all.size()); i < all.size(); ++i) {
      n += all[i].find(name) != std::string::npos ? 1 : 0;
    }
    return n;
  }

 private:
  std::uint64_t first_call_;
  std::uint64_t first_launch_;
};

}  // namespace culoss_test
