// The losses of rows and elements that the sweep calls: what each reads and writes, its options,
// its call, and what it must return.
#pragma once

#include <culoss/culoss.hpp>
#include <limits>
#include <variant>
#include <vector>

#include "bench/grid.hpp"
#include "tests/harness/loss_case.hpp"

namespace culoss::bench {

struct row_loss {
  const char* name;
  int inputs;  // matrices that are read
  region input = kNormals;
  bool labels = true;
  bool scalar = true;       // gives a loss; else one matrix from others
  bool statistics = false;  // has a backward from them
  // Options, beside the defaults.
  float smoothing = 0, z_loss = 0, softcap = 0;
  float gamma = 0;
  bool class_weights = false, entropy = false;
};
const row_loss& properties(loss value);

// The functions that make a matrix of logits.
inline bool is_softmax(loss value) { return value == loss::softmax || value == loss::log_softmax; }

// Those of two or three embeddings; a mean has the gradients of the first two at most.
inline bool is_pair_loss(loss value) {
  return value >= loss::cosine_embedding && value <= loss::triplet;
}

// Those with a loss for each element.
inline bool is_elementwise(loss value) {
  return value >= loss::sigmoid_focal && value <= loss::hinge_labels;
}

// Where the input stands, and the second one: target probabilities, targets, an upstream gradient.
// A backward of softmax takes any numbers as the output of its forward.
inline region input_of(const sweep_row& row) {
  return is_softmax(row.loss) && row.mode == mode::backward ? kUniforms
                                                            : properties(row.loss).input;
}
inline region second_input_of(const sweep_row& row) {
  const bool other = is_softmax(row.loss) || properties(row.loss).input == kUniforms;
  return other ? kNormals : kUniforms;
}
// Matrices that a call reads and writes. Of nll's it reads an element of each row.
int matrices_read(const sweep_row& row);
int matrices_written(const sweep_row& row);
inline bool gives_loss(const sweep_row& row) {
  return properties(row.loss).scalar && row.mode != mode::backward;
}

// What a call is handed. What is empty is not wanted.
template <class T>
struct call_arrays {
  using real = real_of<T>;
  matrix<const T> x, g;        // logits or what stands in their place; targets or upstream
  matrix<const T> h = {};      // the third of three embeddings
  matrix<T> gradient, second;  // of x, or the output; of g
  vector<const std::int64_t> labels = {};
  vector<const float> class_weights = {};
  vector<row_statistics<real>> statistics = {};  // read by a backward, else written
  vector<real> loss = {}, entropy = {};
  matrix<real> losses = {};  // of each element, where there is no loss of a row
  culoss::reduction reduction = culoss::reduction::mean;
};

// Throws where it fails. For float, half, bf16 and double.
template <class T>
void call_loss(const sweep_row& row, const std::variant<cpu, cuda>& where,
               const call_arrays<T>& arrays);
std::size_t workspace_bytes(const sweep_row& row);

// The row's loss as a case of the tests: its expectations for any rows, of a mean over `divisor`.
std::unique_ptr<culoss_test::loss_case> case_of(const sweep_row& row, culoss::reduction reduction,
                                                double divisor);

}  // namespace culoss::bench
