// A loss with one choice of options, as every test of a promise and the benchmark see it: how its
// inputs are made, how it is called, what it must return and what it must move.
#pragma once

#include <culoss/core.hpp>
#include <memory>
#include <string>
#include <vector>

#include "host/tuning.hpp"
#include "tests/harness/memory.hpp"
#include "tests/harness/problem.hpp"
#include "tests/harness/results.hpp"
#include "tests/harness/row_choice.hpp"

namespace culoss_test {

// Which of its outputs a call is asked for, and where they go.
enum class mode {
  fused,              // everything at once
  forward,            // no gradient
  gradient,           // nothing but the gradient, of two the first
  target_gradient,    // nothing but the second
  in_place,           // fused, the gradient over the input (of two: over the first)
  in_place_upstream,  // over the second; of two gradients, each over the other's input
  backward,           // the separate backward alone, from the reference's statistics
  split,              // the forward, then the backward from the statistics that it left
};

inline const char* name_of(mode m) {
  static constexpr const char* kNames[] = {"fused",           "forward",  "gradient",
                                           "target_gradient", "in_place", "in_place_upstream",
                                           "backward",        "split"};
  return kNames[static_cast<int>(m)];
}

// Where and how a case is called.
struct execution {
  space where = space::cuda;
  culoss_test::mode mode = culoss_test::mode::fused;
  std::int64_t offset = 0;     // elements by which each pointer is off a 256-byte boundary
  std::int64_t padding = 0;    // elements between the rows of a matrix
  std::int64_t stagger = 0;    // elements by which each matrix is further off than the one before
  bool workspace = true;       // exactly as large as asked for, and poisoned; else none
  bool record_faults = false;  // hand over a fault record
  culoss::row_kernels row_kernels = culoss::row_kernels::proven;
  CUstream_st* stream = nullptr;
  int threads = 0;  // on the CPU
};

// Bytes of one array that the kernels of a call load and store; where how often a pack is read
// depends on where it begins, the most that may be loaded.
struct moved_array {
  std::string name;
  const void* data = nullptr;  // on the device
  std::size_t bytes = 0;       // from its first element to its last, padding included
  std::int64_t loads = 0;      // bytes
  std::int64_t stores = 0;     // bytes
  bool at_most = false;        // of the loads
};

// With what its kernels move.
class invocation : public call_with<problem> {
 public:
  virtual std::vector<moved_array> moves() const = 0;
};

// How the kernels of a loss go over a matrix: row by row, by a plan for its width; across rows whose
// columns are not innermost; over its elements.
enum class walk { rows, strided, elements };

class loss_case {
 public:
  virtual ~loss_case() = default;
  virtual std::string name() const = 0;
  virtual std::string function() const = 0;  // the public one, but for a `_backward`
  virtual const row_choice* rows() const { return nullptr; }  // its shared options, if it has them
  virtual int streams() const { return 1; }                   // matrices that it reads
  virtual walk walks() const { return walk::rows; }
  virtual bool gradients_sum_to_zero() const { return false; }  // along a row of grad_logits
  // Other values of the scalars that a replayed call reads anew.
  virtual void change_device_scalars(problem& p, float factor) const {
    if (rows() != nullptr) rows()->change_device_scalars(p, factor);
  }
  virtual std::vector<mode> modes() const = 0;
  virtual problem make(const problem_shape& shape) const = 0;
  virtual std::unique_ptr<invocation> prepare(const problem& numbers,
                                              const execution& how) const = 0;
  // Every output, from the CPU functions in double, with the bound of contract and device beside
  // each value; and whether a mode asks for it.
  virtual std::vector<expectation> bound(const problem& numbers, space where) const = 0;
  virtual bool returns(std::size_t output, mode m) const = 0;

  // What a call must return.
  std::vector<expectation> expect(const problem& numbers, const execution& how) const {
    return choose(bound(numbers, how.where), how.mode);
  }
  std::vector<expectation> choose(const std::vector<expectation>& all, mode m) const {
    std::vector<expectation> chosen;
    for (std::size_t k = 0; k < all.size(); ++k) {
      if (returns(k, m)) chosen.push_back(all[k]);
    }
    return chosen;
  }
};

// What the modes that have no gradient, no second gradient, or nothing but gradients leave out.
inline bool returns_values(mode m) {
  return m != mode::gradient && m != mode::target_gradient && m != mode::backward;
}
inline bool returns_gradient(mode m) { return m != mode::forward && m != mode::target_gradient; }
inline bool returns_second_gradient(mode m) { return m != mode::forward && m != mode::gradient; }

// Of the device, which the library's plans depend on.
inline int capability_of(const execution& how) {
  int capability = 90;
#ifdef CULOSS_TESTS_WITH_CUDA
  if (how.where == space::cuda) {
    int device = 0, major = 0, minor = 0;
    check_cuda(cudaGetDevice(&device), "cudaGetDevice");
    check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
               "cudaDeviceGetAttribute");
    check_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device),
               "cudaDeviceGetAttribute");
    capability = 10 * major + minor;
  }
#else
  (void)how;
#endif
  return capability;
}

// The plan that the library makes for rows of this shape, and so how often it reads them.
inline int reads_of_row(std::int64_t cols, element type, int streams, const execution& how,
                        bool writes) {
  const int bytes = format_of(type).bytes;
  const bool aligned = how.offset * bytes % culoss::detail::kPackBytes == 0 &&
                       (cols + how.padding) * bytes % culoss::detail::kPackBytes == 0;
  const culoss::detail::row_plan plan =
      culoss::detail::plan_rows(capability_of(how), cols, bytes, streams, aligned, writes);
  return writes && plan.kernel == culoss::detail::row_kernel::two_reads ? 2 : 1;
}
inline int reads_of_strided_row(std::int64_t cols, element type, const execution& how,
                                bool writes) {
  const culoss::detail::strided_plan plan =
      culoss::detail::plan_strided(capability_of(how), cols, format_of(type).bytes, writes);
  return writes && !plan.on_chip ? 2 : 1;
}

inline results run(const loss_case& c, const problem& numbers, const execution& how) {
  const std::unique_ptr<invocation> call = c.prepare(numbers, how);
  const culoss::status launched = call->launch();
  return call->read(launched);
}

}  // namespace culoss_test
