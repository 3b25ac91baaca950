// One execution: a call made from the fuzzer's bytes, in each execution space that has its type,
// against what the predicate says of it.
#pragma once

#include <cstdint>
#include <cstdio>
#include <culoss/culoss.hpp>
#include <string>
#include <type_traits>

#include "tests/emulator/probe.hpp"
#include "tests/fuzz/predicate.hpp"
#include "tests/fuzz/source.hpp"

namespace culoss_fuzz {

// double is a type of the CPU's functions only.
template <class Where, class T>
concept on = std::is_same_v<Where, culoss::cpu> || !std::is_same_v<T, double>;

// Whether there is a device, an emulated one.
inline bool with_device() { return simt::present(); }

inline culoss::cublas& default_blas() {
  static culoss::cublas handle;
  static const culoss::status made = with_device() ? handle.create() : culoss::status();
  require(made.ok(), made.message());
  return handle;
}

// Everything enqueued is done, and well.
inline void finish_device(const std::string& function) {
#ifdef CULOSS_TESTS_WITH_CUDA
  const cudaError_t error = cudaDeviceSynchronize();
  require(error == cudaSuccess && simt::last_report().empty(),
          function + ": " + cudaGetErrorString(error) + ": " + simt::last_report());
#else
  (void)function;
#endif
}

// Says at the end how many calls were legal: a fuzzer that makes none of these proves little.
struct tally {
  std::uint64_t accepted = 0, refused = 0;
  ~tally() {
    if (accepted + refused == 0) return;
    std::fprintf(stderr, "calls: %llu accepted, %llu refused\n",
                 static_cast<unsigned long long>(accepted),
                 static_cast<unsigned long long>(refused));
  }
};

inline tally calls;

// What the predicate says, and what the library did.
struct outcome {
  bool made = false, ok = false;
  bool certain = false;  // the execution space's own arguments leave no doubt
};

// A call is a class template of the element type:
//   explicit call(source&)            takes its arguments
//   std::string function() const      by its name in messages
//   void judge(predicate&) const      what the headers ask of them
//   std::size_t scratch() const       what a workspace must have
//   template <class Where> culoss::status operator()(const Where&) const
template <class Call, class Where>
outcome execute(const std::uint8_t* data, std::size_t size) {
  constexpr bool kDevice = std::is_same_v<Where, culoss::cuda>;
  static memory m(kDevice ? space::cuda : space::cpu);
  source from(data, size, m);
  const Call call(from);
  Where where;
  bool short_workspace = false;
  if constexpr (kDevice) {
    const std::size_t bytes = call.scratch();
    where = from.cuda(bytes);
    where.blas = &default_blas();
    if constexpr (requires { call.blas(); }) where.blas = call.blas();
    short_workspace = where.workspace.data != nullptr && where.workspace.bytes < bytes;
  } else {
    where = from.cpu();
  }
  predicate says(call.function());
  call.judge(says);
  const bool right_arguments = says.accepts();
  says.where(where);
  if constexpr (kDevice && requires { call.blas(); }) {
    says.require(where.blas != nullptr && where.blas->handle() != nullptr, "blas");
  }
  m.take();  // behind the last view
  if (!says.judge(m)) return {};

  m.upload();
  if (says.accepts()) m.permit(says.regions());
  const std::uint64_t launches = simt::count().launches;
  const std::size_t alive = simt::live().total();
  const culoss::status s = call(where);
  // What a call needs at most is known, so a smaller workspace may still do.
  const bool unable = (short_workspace && s.code() == culoss::status_code::workspace_too_small) ||
                      (kDevice && says.wide() && s.code() == culoss::status_code::unsupported);
  const std::string said = says.function() + (kDevice ? " (cuda)" : " (cpu)") + " said '" +
                           s.message() + "', faults known: " + says.listed_faults();
  require(s.ok() == says.accepts() || (says.accepts() && unable), said);
  if constexpr (kDevice) finish_device(said);
  m.permit_all();
  require(m.unchanged_but(s.ok() ? says.regions() : std::vector<region>{}),
          "memory was changed: " + said);
  if (!s.ok()) {
    require(simt::count().launches == launches, "a refused call launched: " + said);
    require(unable || s.code() == culoss::status_code::invalid_argument, "wrong code: " + said);
    require(unable ? says.is_named(s.message()) : says.explains(s.message()),
            "unclear message: " + said);
  }
  require(simt::live().total() == alive, "a leak: " + said);
  ++(s.ok() ? calls.accepted : calls.refused);
  return {true, s.ok(), right_arguments == says.accepts() && !unable};
}

template <class Call>
void execute_on_both(const std::uint8_t* data, std::size_t size) {
  const outcome on_cpu = execute<Call, culoss::cpu>(data, size);
  if constexpr (requires(const Call& call, const culoss::cuda& where) { call(where); }) {
    if (!with_device()) return;
    const outcome on_device = execute<Call, culoss::cuda>(data, size);
    require(on_cpu.ok == on_device.ok || !on_cpu.certain || !on_device.certain ||
                on_cpu.made != on_device.made,
            "the CPU and the device do not agree");
  }
}

// The fuzzer's entry: the first byte chooses the call and its element type.
template <template <class> class... Calls>
int execute(const std::uint8_t* data, std::size_t size) {
  const std::size_t chosen = size > 0 ? *data++ % (4 * sizeof...(Calls)) : 0;
  size -= size > 0 ? 1 : 0;
  culoss_test::with_type(
      static_cast<culoss_test::element>(chosen % 4), [&]<class T>(std::type_identity<T>) {
        std::size_t call = 0;
        ((call++ == chosen / 4 ? execute_on_both<Calls<T>>(data, size) : void()), ...);
      });
  return 0;
}

}  // namespace culoss_fuzz
