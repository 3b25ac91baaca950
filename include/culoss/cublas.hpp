// A cuBLAS handle with its own pinned workspace, for the losses that need a matrix product.
//
//   culoss::cublas blas;
//   culoss::status s = blas.create();                 // once per stream and thread
//   culoss::cuda gpu{.stream = stream, .workspace = scratch, .blas = &blas};
//
// Each call that is given a handle sets on it, in this order: the stream, the workspace (setting a
// stream resets it), host pointer mode, no atomics, the math mode; a borrowed handle keeps them.
// cuBLAS promises equal bits for equal calls on one stream with a workspace of its own.
// A handle belongs to the device that was current when it was made: use it with that one current.
// One handle serves one call at a time: use one per host thread and per stream.
#pragma once

#include <culoss/core.hpp>

struct cublasContext;  // *cublasHandle_t

namespace culoss {

class cublas {
 public:
  cublas() noexcept = default;
  cublas(const cublas&) = delete;
  cublas& operator=(const cublas&) = delete;
  CULOSS_API ~cublas();  // destroys what create() made; the work that uses it must be done

  // Makes a handle for the current device, and its workspace: 32 MiB from Hopper on, 4 MiB before.
  // Synchronizes (it allocates); never called within a loss. Replaces what was held before.
  // Errors: out_of_memory (also where cuBLAS says NOT_INITIALIZED, which is what it means at
  // creation), cublas_error and cuda_error, naming the call; unsupported without CUDA in the build.
  CULOSS_API status create() noexcept;

  // Uses the caller's handle, and the caller's memory as its workspace: device memory, a multiple
  // of 256 bytes in address. Without memory cuBLAS uses what it has of its own. Errors:
  // invalid_argument for a null handle or misaligned memory.
  CULOSS_API status borrow(cublasContext* handle, workspace pinned = {}) noexcept;

  cublasContext* handle() const noexcept { return handle_; }  // null before create() or borrow()
  workspace pinned() const noexcept { return pinned_; }       // likewise

 private:
  void release() noexcept;

  cublasContext* handle_ = nullptr;
  workspace pinned_ = {};
  [[maybe_unused]] bool owned_ = false;  // unused in builds without CUDA
};

}  // namespace culoss
