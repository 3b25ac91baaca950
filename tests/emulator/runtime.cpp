// The lock, the errors, the injected faults, and what probe.hpp offers.
#include "runtime.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "watch.hpp"

namespace simt {
namespace {

constexpr std::size_t kNames = 4096;

struct error_state {
  cudaError_t sticky = cudaSuccess;
  std::string report;
  std::uint64_t calls = 0;
  std::uint64_t fail_at = 0;
  int fail_with = 0;
  bool lasting = false;
  const char* names[kNames] = {};
};
error_state& errors() {
  static error_state* e = new error_state;
  return *e;
}
thread_local cudaError_t last_error = cudaSuccess;
bool host_function_runs = false;

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

settings from_environment() {
  settings s;
  s.seed = number_from("CULOSS_EMULATOR_SEED", s.seed);
  s.approximation_seed = number_from("CULOSS_EMULATOR_APPROXIMATION_SEED", s.approximation_seed);
  if (const char* text = std::getenv("CULOSS_EMULATOR_SCHEDULE")) {
    static const char* const kNamesOf[] = {"in_order", "reversed", "random", "warp_priority"};
    s.order = static_cast<schedule>(std::atoi(text) & 3);
    for (int i = 0; i < 4; ++i) {
      if (std::strcmp(text, kNamesOf[i]) == 0) s.order = static_cast<schedule>(i);
    }
  }
  if (const char* text = std::getenv("CULOSS_EMULATOR_LAZY")) {
    static const char* const kNamesOf[] = {"eager", "lazy", "seeded"};
    s.streams = static_cast<stream_mode>(std::min(std::atoi(text), 2));
    for (int i = 0; i < 3; ++i) {
      if (std::strcmp(text, kNamesOf[i]) == 0) s.streams = static_cast<stream_mode>(i);
    }
  }
  return s;
}

// An access that the processor refuses (null, freed memory) fails the kernel, not the test program.
void on_segmentation_fault(int, siginfo_t* info, void*) {
  engine& e = device_engine();
  if (e.current != nullptr && e.on_device_stack(__builtin_frame_address(0))) {
    char place[256];
    std::snprintf(place, sizeof place, "%s", arena::describe(info->si_addr).c_str());
    e.fail(fault_kind::illegal_address, "illegal address %p: %s", info->si_addr, place);
  }
  std::signal(SIGSEGV, SIG_DFL);  // the access is repeated and ends the program
}

void install_handler() {
  if (__asan_poison_memory_region) return;  // ASan says more
  struct sigaction action = {};
  action.sa_sigaction = on_segmentation_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
}

settings probe_get_settings() {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  return current_settings();
}
void probe_set_settings(const settings& s) {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  current_settings() = s;
  device_engine().total.launches = 0;
  restart_random(s.seed);
}
std::string probe_last_report() {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  return errors().report;
}
void probe_reset_errors() {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  arena::check_guards();
  errors().sticky = last_error = cudaSuccess;
  errors().report.clear();
}
void probe_fault(int error) {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  errors().sticky = static_cast<cudaError_t>(error);
}
void probe_fail_call(std::uint64_t n, int error, bool lasting) {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  errors().fail_at = n == 0 ? 0 : errors().calls + n;
  errors().fail_with = error;
  errors().lasting = lasting;
}
std::uint64_t probe_call_count() {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  return errors().calls;
}
std::string probe_call_name(std::uint64_t index) {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  if (index >= errors().calls || index + kNames < errors().calls) return {};
  return errors().names[index % kNames];
}
resources probe_live() {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  return {arena::count_owned(), count_pinned(),      count_streams(),       count_events(),
          count_graphs(),       count_graph_execs(), count_cublas_handles()};
}
counters probe_count() {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  return device_engine().total;
}
bool probe_is_device_pointer(const void* p) { return arena::contains(p); }
std::vector<std::string> probe_launched() {
  const std::lock_guard<std::recursive_mutex> lock(api_lock());
  return launched_kernels();
}

}  // namespace

std::recursive_mutex& api_lock() {
  static auto* lock = new std::recursive_mutex;
  return *lock;
}

settings& current_settings() {
  static settings s = from_environment();
  return s;
}

cudaError_t begin_call(const char* name) {
  static const bool installed = (install_handler(), true);
  static_cast<void>(installed);
  error_state& e = errors();
  e.names[e.calls % kNames] = name;
  ++e.calls;
  if (e.fail_at == 0 || e.calls < e.fail_at) return cudaSuccess;
  if (!e.lasting) e.fail_at = 0;
  return static_cast<cudaError_t>(e.fail_with);
}

cudaError_t sticky_error() { return errors().sticky; }

cudaError_t end_call(cudaError_t e) {
  // "Not ready" is an answer, no error.
  if (e != cudaSuccess && e != cudaErrorNotReady) last_error = e;
  return e;
}

bool in_host_function() { return host_function_runs; }

void run_host_function(const std::function<void()>& f) {
  host_function_runs = true;
  f();
  host_function_runs = false;
}

void set_fault(cudaError_t e, const std::string& report) {
  if (errors().sticky == cudaSuccess) errors().sticky = e;
  errors().report += report;
  if (current_settings().print_reports) std::fprintf(stderr, "simt: %s", report.c_str());
}

void check_guards() {
  const std::string damage = arena::check_guards();
  if (!damage.empty()) set_fault(cudaErrorIllegalAddress, damage);
  if (!watch::take_host_errors) return;
  const std::string messages = watch::take_host_errors();
  if (!messages.empty()) set_fault(cudaErrorIllegalAddress, messages);
}

}  // namespace simt

extern "C" {

const simt::probe_table* simt_probe() {
  static constexpr simt::probe_table table = {simt::probe_get_settings,
                                              simt::probe_set_settings,
                                              simt::probe_last_report,
                                              simt::probe_reset_errors,
                                              simt::probe_fault,
                                              simt::probe_fail_call,
                                              simt::probe_call_count,
                                              simt::probe_call_name,
                                              simt::probe_live,
                                              simt::probe_count,
                                              simt::probe_is_device_pointer,
                                              simt::probe_launched};
  return &table;
}

cudaError_t cudaGetLastError() {
  const std::lock_guard<std::recursive_mutex> lock(simt::api_lock());
  if (simt::sticky_error() != cudaSuccess) return simt::sticky_error();
  return std::exchange(simt::last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
  const std::lock_guard<std::recursive_mutex> lock(simt::api_lock());
  return simt::sticky_error() != cudaSuccess ? simt::sticky_error() : simt::last_error;
}
}
