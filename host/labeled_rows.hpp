// Softmax rows with a label: cross_entropy and softmax_focal, on either view of the logits. The
// public functions check their arguments and fill one of these.
#pragma once

#include <culoss/cross_entropy.hpp>

#include "host/cross_entropy.hpp"

namespace culoss::detail {

// A call, whatever its logits are.
struct labeled_call {
  const char* function = "";
  std::int64_t rows = 0, cols = 0;
  label_view labels;
  const row_statistics<float>* saved = nullptr;  // backward: instead of a reduction

  // Options. class_weights multiplies the loss of a label; in the divisor of a mean it counts only
  // for cross-entropy.
  cross_entropy_options options;
  float gamma = 0.0f;
  bool weighted_mean = true;

  // Outputs; null: not wanted.
  float* loss = nullptr;
  float* z_loss = nullptr;
  float* lse = nullptr;
  float* entropy = nullptr;
  row_statistics<float>* statistics = nullptr;
  shard_statistics<float>* shards = nullptr;
  std::int64_t* argmax = nullptr;
  std::int64_t* correct = nullptr;
  std::int64_t* rows_counted = nullptr;

  // Those that have the names of cross_entropy's.
  template <class Outputs>
  void set_outputs(const Outputs& out) noexcept {
    loss = out.loss.data;
    z_loss = out.z_loss.data;
    lse = out.lse.data;
    entropy = out.entropy.data;
    statistics = out.statistics.data;
    argmax = out.argmax.data;
    correct = out.correct.data;
    rows_counted = out.rows_counted.data;
    if constexpr (requires { out.shards; }) shards = out.shards.data;
  }
};

template <class T>
struct labeled_rows : labeled_call {
  const T* logits = nullptr;
  T* grad_logits = nullptr;
  std::int64_t ld = 0, grad_ld = 0;  // of matrices
  std::int64_t inner = 0;            // of strided logits; 0: a matrix

  void set(const matrix<const T>& m, const matrix<T>& gradient) noexcept {
    logits = m.data;
    rows = m.rows;
    cols = m.cols;
    ld = m.ld;
    grad_logits = gradient.data;
    grad_ld = gradient.ld;
  }
  void set(const strided_logits<const T>& s, const strided_logits<T>& gradient) noexcept {
    logits = s.data;
    rows = s.n * s.inner;
    cols = s.classes;
    grad_logits = gradient.data;
    ld = grad_ld = s.classes;
    inner = s.inner > 1 ? s.inner : 0;  // with one position an image the classes are innermost
  }
};

// Launches it. For float, half and bf16.
template <class T>
status run_labeled_rows(const cuda& where, const labeled_rows<T>& call) noexcept;

// The same outputs of rows of which each shard of the classes left a record.
status run_merged_rows(const cuda& where, const labeled_call& call,
                       const matrix<const shard_statistics<float>>& shards) noexcept;

std::size_t labeled_rows_workspace_bytes(std::int64_t rows, std::int64_t cols) noexcept;

}  // namespace culoss::detail
