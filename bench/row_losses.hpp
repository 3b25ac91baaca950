// The losses of rows and elements in the sweep, as a table: which of the tests' losses each is, and
// on what it is called. A loss more is an entry more in row_losses.cpp.
#pragma once

#include <culoss/culoss.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <variant>
#include <vector>

#include "bench/grid.hpp"
#include "tests/harness/loss_case.hpp"
#include "tests/harness/views.hpp"

namespace culoss::bench {

// A call that throws where it fails.
template <class T>
using call_of = std::function<void(const std::variant<cpu, cuda>&,
                                   const culoss_test::loss_views<T>&, culoss::reduction)>;

// A loss of the tests with one choice of options. `inner`: the positions of an image, else 0.
struct tested_loss {
  template <class T>
  using maker = std::function<call_of<T>(std::type_identity<T>, std::int64_t inner)>;
  using makers = std::tuple<maker<float>, maker<half>, maker<bf16>, maker<double>>;

  makers call = {};
  makers backward = {};  // from saved statistics
  std::function<std::size_t(std::int64_t rows, std::int64_t cols)> workspace_bytes = {};
  // The case that knows what a call must return, of a mean over `divisor`.
  std::function<std::unique_ptr<culoss_test::loss_case>(culoss::reduction, double divisor,
                                                        std::int64_t inner)>
      expected = {};
  int matrices = 1;  // that are read
  bool labels = false, class_weights = false;
  bool entropy = false;     // an output
  bool statistics = false;  // has a backward from them
  bool elements = false;    // has a loss for each element
  // none: what a mean costs more is the counting and the sum.
  culoss::reduction reduction = culoss::reduction::mean;
  std::optional<std::int64_t> unlike = {};  // labels are of pairs: 1 and this
};

// The shapes that a loss is called on; row_grid.cpp has them for a device, a CPU and the smoke test.
enum class sizes {
  classes,       // few of them, and a vocabulary
  few_classes,   // few
  few_rows,      // few classes and a vocabulary, of rows that one kernel may do alone
  vocabulary,    // a vocabulary: for what differs by an option
  images,        // strided logits of segmentation
  detection,     // rows of 80, 91 and 1203 classes
  many_classes,  // rows of 1203
  elements,      // one long column
  embeddings,
};

struct row_loss {
  struct run {
    std::vector<bench::sizes> sizes;
    std::vector<mode> modes;
  };

  std::string name;
  tested_loss loss = {};
  tested_loss own_backward = {};  // a function that needs no statistics, if its backward is one
  region input = kNormals, backward_input = kUniforms;
  std::optional<int> sectors = {};  // of memory that it reads of a row, instead of its matrices
  bool scalar = true;               // gives a loss; else one matrix from others
  bool background = false;          // seven labels in eight, as of anchors, and the mean's divisor
  std::vector<run> runs = {};       // beside those of the grid

  const tested_loss& of(mode m) const {
    return m == mode::backward && !loss.statistics ? own_backward : loss;
  }
};

// In the order of importance.
const std::vector<row_loss>& row_losses();
const row_loss* row_loss_named(const std::string& name);
// InfoNCE against negatives of each row's own, which has an operation of its own.
const row_loss* own_negatives_loss();

// Where the input stands, and the second one: target probabilities, targets, an upstream gradient.
inline region input_of(const sweep_row& row) {
  return row.mode == mode::backward && !row.entry->loss.statistics ? row.entry->backward_input
                                                                   : row.entry->input;
}
inline region second_input_of(const sweep_row& row) {
  return input_of(row) == kUniforms ? kNormals : kUniforms;
}
// Matrices that a call reads and writes.
inline int matrices_read(const sweep_row& row) {
  return row.entry->sectors.has_value() ? 0 : row.entry->of(row.mode).matrices;
}
inline int matrices_written(const sweep_row& row) {
  if (!row.entry->scalar) return 1;
  return row.mode == mode::forward ? 0 : row.mode == mode::both ? 2 : 1;
}
inline bool gives_loss(const sweep_row& row) {
  return row.entry->scalar && row.mode != mode::backward;
}

}  // namespace culoss::bench
