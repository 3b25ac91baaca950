// Copies that run beside the threads, and the barriers in shared memory that count them; with
// math.cuh, all PTX of the library.
//
//   cp.async        16 bytes into shared memory by each thread that asks; groups of its own; sm_80
//   bulk copies     one run of memory by one thread: into shared memory counted by a barrier, out
//                   of it in groups of its own; 16-byte aligned at both ends and in size; sm_90
//
// Who must do what:
//   a barrier       init_barrier by one thread, publish_barriers by the same, then __syncthreads
//   a load          expect its bytes before or after it is issued; wait for the phase before the
//                   first read; before the next load into the same memory its readers arrive at a
//                   barrier that the issuer waits for
//   a store         fence_proxy by each thread that wrote, then a barrier, then the store; its
//                   thread waits, for_read before the memory is used again and before the block
//                   ends
// The emulated device answers a violation of any of these with an error.
#pragma once

#include <cstdint>

namespace culoss::kernels {

using barrier = std::uint64_t;  // in shared memory

#ifdef __CUDACC__

__device__ inline std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}
// Built for sm_80, too, where a kernel that needs them is never launched.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define CULOSS_SM90(statement) __trap()
#else
#define CULOSS_SM90(statement) statement
#endif

// For `arrivals` a phase.
__device__ inline void init_barrier(barrier* b, int arrivals) {
  CULOSS_SM90(
      asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals)
                   : "memory"));
}
__device__ inline void publish_barriers() {
  CULOSS_SM90(asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"));
}
__device__ inline void arrive(barrier* b) {
  CULOSS_SM90(asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b))
                           : "memory"));
}
// The phase then also lasts until that many bytes have landed.
__device__ inline void arrive_expecting(barrier* b, int bytes) {
  CULOSS_SM90(asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes)
      : "memory"));
}
// Until the phase of that parity is over; of a barrier that is new the one before the first is.
__device__ inline void wait(barrier* b, int parity) {
  std::uint32_t over = 0;
  do {
    CULOSS_SM90(
        asm volatile("{\n"
                     ".reg .pred p;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, p;\n"
                     "}"
                     : "=r"(over)
                     : "r"(shared_address(b)), "r"(parity)
                     : "memory"));
  } while (over == 0);
}

// What is read or written once leaves the second-level cache first.
__device__ inline std::uint64_t evict_first() {
  std::uint64_t policy = 0;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
}
__device__ inline void load_bulk(void* shared, const void* global, int bytes, barrier* b) {
  CULOSS_SM90(asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1], %2, [%3], %4;" ::"r"(shared_address(shared)),
      "l"(__cvta_generic_to_global(global)), "r"(bytes), "r"(shared_address(b)), "l"(evict_first())
      : "memory"));
}
__device__ inline void store_bulk(void* global, const void* shared, int bytes) {
  CULOSS_SM90(
      asm volatile("cp.async.bulk.global.shared::cta.bulk_group.L2::cache_hint "
                   "[%0], [%1], %2, %3;" ::"l"(__cvta_generic_to_global(global)),
                   "r"(shared_address(shared)), "r"(bytes), "l"(evict_first())
                   : "memory"));
}
__device__ inline void commit_stores() {
  CULOSS_SM90(asm volatile("cp.async.bulk.commit_group;" ::: "memory"));
}
// Until all but the latest kLeft groups have been read; until they have been written.
template <int kLeft>
__device__ void wait_stores_read() {
  CULOSS_SM90(asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(kLeft) : "memory"));
}
template <int kLeft>
__device__ void wait_stores() {
  CULOSS_SM90(asm volatile("cp.async.bulk.wait_group %0;" ::"n"(kLeft) : "memory"));
}
// Bulk copies see what this thread has written to shared memory.
__device__ inline void fence_proxy() {
  CULOSS_SM90(asm volatile("fence.proxy.async.shared::cta;" ::: "memory"));
}

// Blocks of a cluster.
__device__ inline int cluster_rank() {
  std::uint32_t rank = 0;
  CULOSS_SM90(asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank)));
  return static_cast<int>(rank);
}
__device__ inline int cluster_size() {
  std::uint32_t size = 1;
  CULOSS_SM90(asm("mov.u32 %0, %%cluster_nctaid.x;" : "=r"(size)));
  return static_cast<int>(size);
}
// All their threads meet.
__device__ inline void sync_cluster() {
  CULOSS_SM90(
      asm volatile("barrier.cluster.arrive.release;\n"
                   "barrier.cluster.wait.acquire;" ::
                       : "memory"));
}
// The same variable of another block.
template <class T>
__device__ T* of_block(T* p, int rank) {
  std::uint64_t there = 0;
  CULOSS_SM90(asm("mapa.u64 %0, %1, %2;"
                  : "=l"(there)
                  : "l"(reinterpret_cast<std::uint64_t>(p)), "r"(rank)));
  return reinterpret_cast<T*>(there);
}
// At the same barrier of another block, for which wait_for_blocks then waits.
__device__ inline void arrive_at_block(barrier* b, int rank) {
  CULOSS_SM90(
      asm volatile("{\n"
                   ".reg .b32 there;\n"
                   "mapa.shared::cluster.u32 there, %0, %1;\n"
                   "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [there];\n"
                   "}" ::"r"(shared_address(b)),
                   "r"(rank)
                   : "memory"));
}
__device__ inline void wait_for_blocks(barrier* b, int parity) {
  std::uint32_t over = 0;
  do {
    CULOSS_SM90(
        asm volatile("{\n"
                     ".reg .pred p;\n"
                     "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, p;\n"
                     "}"
                     : "=r"(over)
                     : "r"(shared_address(b)), "r"(parity)
                     : "memory"));
  } while (over == 0);
}
#undef CULOSS_SM90

__device__ inline void copy16_async(void* shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)),
               "l"(__cvta_generic_to_global(global))
               : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Until all but the latest kLeft groups of this thread have landed.
template <int kLeft>
__device__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

#else  // the emulated device

using where = simt::where;

inline void init_barrier(barrier* b, int arrivals, where w = where::current()) {
  simt::init_barrier(b, static_cast<unsigned>(arrivals), w);
}
inline void publish_barriers() { simt::publish_barriers(); }
inline void arrive(barrier* b, where w = where::current()) { simt::arrive(b, 0, w); }
inline void arrive_expecting(barrier* b, int bytes, where w = where::current()) {
  simt::arrive(b, static_cast<unsigned>(bytes), w);
}
inline void wait(barrier* b, int parity, where w = where::current()) {
  simt::wait(b, static_cast<unsigned>(parity), w);
}
inline void load_bulk(void* shared, const void* global, int bytes, barrier* b,
                      where w = where::current()) {
  simt::bulk_load(shared, global, static_cast<unsigned>(bytes), b, w);
}
inline void store_bulk(void* global, const void* shared, int bytes, where w = where::current()) {
  simt::bulk_store(global, shared, static_cast<unsigned>(bytes), w);
}
inline void commit_stores() { simt::commit_bulk(); }
template <int kLeft>
void wait_stores_read(where w = where::current()) {
  simt::wait_bulk(kLeft, true, w);
}
template <int kLeft>
void wait_stores(where w = where::current()) {
  simt::wait_bulk(kLeft, false, w);
}
inline void fence_proxy() { simt::fence_proxy(); }
inline int cluster_rank() { return static_cast<int>(simt::cluster_rank()); }
inline int cluster_size() { return static_cast<int>(simt::cluster_size()); }
inline void sync_cluster(where w = where::current()) { simt::cluster_barrier(w); }
template <class T>
T* of_block(T* p, int rank, where w = where::current()) {
  return static_cast<T*>(simt::map_shared_rank(p, static_cast<unsigned>(rank), w));
}
inline void arrive_at_block(barrier* b, int rank, where w = where::current()) {
  simt::arrive(of_block(b, rank, w), 0, w);
}
inline void wait_for_blocks(barrier* b, int parity, where w = where::current()) {
  wait(b, parity, w);
}
inline void copy16_async(void* shared, const void* global, where w = where::current()) {
  simt::copy16(shared, global, w);
}
inline void commit_copies() { simt::commit_copies(); }
template <int kLeft>
void wait_copies(where w = where::current()) {
  simt::wait_copies(kLeft, w);
}

#endif

}  // namespace culoss::kernels
