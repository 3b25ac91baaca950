// What a call with its memory is, and what comes back from it.
#pragma once

#include <culoss/core.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/harness/comparator.hpp"

namespace culoss_test {

// What came back. `damage` names what was written that should not have been.
struct results {
  culoss::status status;
  std::vector<output> outputs;
  culoss::faults faults = {};
  std::string damage = {};

  const std::vector<double>& operator[](const std::string& name) const {
    for (const output& o : outputs) {
      if (o.name == name) return o.values;
    }
    throw std::out_of_range("no output " + name);
  }
};

// A call with its memory and views: `launch` does nothing but the call, so it can be captured,
// repeated and timed; the numbers can be changed between launches.
template <class Numbers>
class call_with {
 public:
  virtual ~call_with() = default;
  virtual void write(const Numbers& numbers) = 0;  // of the same shape; also poisons the outputs
  virtual culoss::status launch() = 0;
  virtual results read(const culoss::status& launched) = 0;  // waits for the stream
};

// A choice of options, called once. `prepare` is found beside the choice.
template <class Choice>
results run(const Choice& c, const typename Choice::numbers& p,
            const typename Choice::execution& how = {}) {
  const auto call = prepare(c, p, how);
  const culoss::status launched = call->launch();
  return call->read(launched);
}

}  // namespace culoss_test
