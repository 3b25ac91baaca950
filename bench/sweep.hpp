// Measures the rows of the sweep: check against the reference, then time, then the yardstick.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "bench/data_pool.hpp"
#include "bench/grid.hpp"
#include "bench/operation.hpp"
#include "bench/similarity_grid.hpp"
#include "bench/statistics.hpp"

namespace culoss::bench {

enum class outcome {
  measured,
  ran,     // called and checked, not timed: a smoke test
  wrong,   // not within the error bound; not timed
  failed,  // a call returned an error; not timed
};

struct measurement {
  sweep_row row;
  culoss::bench::outcome outcome = outcome::failed;
  std::string message;  // why it was not timed
  check_result check;
  quartiles seconds;           // of one call
  int samples = 0, calls = 0;  // calls: a sample's, timed together
  // Bytes that must move, or operations of the plan, in a second; and those of the yardstick: a
  // plain read or copy of as many bytes, or a plain matrix product.
  double rate = 0, limit = 0;

  double percent_of_limit() const { return 100 * rate / limit; }
};

class sweep {
 public:
  // `smoke`: two calls a row, which show that everything runs; no times are kept.
  sweep(device& on, const std::vector<sweep_row>& rows, bool smoke)
      : on_(on), pool_(on, regions_of(rows, on.description())), smoke_(smoke) {}

  measurement measure(const sweep_row& row);

 private:
  int calls_of(const sweep_row& row) const;
  bench::effort effort() const;
  double limit(const sweep_row& row, int calls);
  double bandwidth_limit(const sweep_row& row, int calls);
  double product_limit(const sweep_row& row);

  device& on_;
  data_pool pool_;
  bool smoke_;
  std::map<std::tuple<transfer, std::size_t, cache_state>, double> bandwidths_;
  std::map<std::tuple<element, std::int64_t, std::int64_t, std::int64_t>, double> products_;
};

}  // namespace culoss::bench
