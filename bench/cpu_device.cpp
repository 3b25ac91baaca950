// The sweep on the CPU: the reference behind culoss::cpu, timed by the steady clock.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <thread>

#include "bench/device.hpp"

namespace culoss::bench {
namespace {

using clock = std::chrono::steady_clock;

// First number in a file of the kernel's, times its unit; 0 where there is none.
std::size_t read_size(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  while (!key.empty() && file >> word && word != key) {
  }
  std::size_t number = 0;
  char unit = 0;
  file >> number >> unit;
  return unit == 'K' || unit == 'k' ? number * 1024 : unit == 'M' ? number << 20 : number;
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string name = "CPU";
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) {
      name = line.substr(line.find(':') + 2);
      break;
    }
  }
  return name + ", " + std::to_string(std::max(1u, std::thread::hardware_concurrency())) +
         " threads";
}

device_description describe() {
  const std::size_t cache = read_size("/sys/devices/system/cpu/cpu0/cache/index3/size", "");
  const std::size_t available = read_size("/proc/meminfo", "MemAvailable:");
  device_description d;
  d.name = processor_name();
  d.cache_bytes = cache > 0 ? cache : std::size_t{32} << 20;
  d.memory_bytes = (available > 0 ? available : std::size_t{4} << 30) / 2;
  return d;
}

// Calls part(begin, end) for slices of [0, words) on `threads` threads.
template <class Part>
void split(std::size_t words, unsigned threads, const Part& part) {
  std::vector<std::thread> others;
  const auto bound = [&](unsigned i) { return words * i / threads; };
  for (unsigned i = 1; i < threads; ++i) {
    others.emplace_back([&part, begin = bound(i), end = bound(i + 1)] { part(begin, end); });
  }
  part(0, bound(1));
  for (std::thread& other : others) other.join();
}

class cpu_device final : public device {
 public:
  cpu_device() : device(describe()) {}

  std::variant<cpu, cuda> where() override { return cpu{}; }

  void* allocate(std::size_t bytes) override {
    void* data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (data == nullptr) throw std::bad_alloc();
    return data;
  }
  void release(void* data) noexcept override { std::free(data); }
  void upload(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void download(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void fill(void* to, unsigned char byte, std::size_t bytes) override {
    std::memset(to, byte, bytes);
  }

  std::vector<double> time(const work& enqueue, int calls, const effort& effort) override {
    const auto sample = [&] {
      const clock::time_point begin = clock::now();
      for (int i = 0; i < calls; ++i) enqueue(i);
      return std::chrono::duration<double>(clock::now() - begin).count() / calls;
    };
    const double warm_up = std::max(sample(), 1e-9);
    const int count = static_cast<int>(std::clamp(effort.seconds / (warm_up * calls),
                                                  static_cast<double>(effort.least),
                                                  static_cast<double>(effort.most)));
    std::vector<double> samples(static_cast<std::size_t>(count));
    std::generate(samples.begin(), samples.end(), sample);
    return samples;
  }

  int yardstick_shapes() const override { return 2; }  // one thread, all threads
  void yardstick(transfer kind, int shape, void* to, const void* from, std::size_t bytes) override {
    const std::size_t words = bytes / sizeof(std::uint64_t);
    const unsigned threads = shape == 0 ? 1 : std::max(1u, std::thread::hardware_concurrency());
    const auto* source = static_cast<const std::uint64_t*>(from);
    auto* target = static_cast<std::uint64_t*>(to);
    if (kind == transfer::copy) {
      split(words, threads, [&](std::size_t begin, std::size_t end) {
        std::memcpy(target + begin, source + begin, (end - begin) * sizeof *source);
      });
    } else {
      split(words, threads, [&](std::size_t begin, std::size_t end) {
        std::uint64_t bits[16] = {};  // independent, so that the loop vectorizes
        for (; begin + 16 <= end; begin += 16) {
          for (std::size_t i = 0; i < 16; ++i) bits[i] ^= source[begin + i];
        }
        std::uint64_t all = 0;
        for (const std::uint64_t b : bits) all ^= b;
        for (; begin < end; ++begin) all ^= source[begin];
        *const_cast<volatile std::uint64_t*>(&bits[0]) = all;  // the reads may not be dropped
      });
    }
  }

  // Plain loops in double on all threads, as the reference computes.
  void multiply(culoss_test::element type, std::int64_t m, std::int64_t n, std::int64_t k, float* c,
                const void* a, const void* b) override {
    const auto rows = static_cast<std::size_t>(m), cols = static_cast<std::size_t>(n),
               inner = static_cast<std::size_t>(k);
    const std::vector<double> left = decoded(type, a, rows * inner);
    const std::vector<double> right = decoded(type, b, cols * inner);
    std::vector<double> transposed(right.size());
    for (std::size_t j = 0; j < cols; ++j) {
      for (std::size_t p = 0; p < inner; ++p) transposed[p * cols + j] = right[j * inner + p];
    }
    split(rows, std::max(1u, std::thread::hardware_concurrency()),
          [&](std::size_t begin, std::size_t end) {
            std::vector<double> sums(cols);
            for (std::size_t i = begin; i < end; ++i) {
              std::fill(sums.begin(), sums.end(), 0.0);
              for (std::size_t p = 0; p < inner; ++p) {
                const double x = left[i * inner + p];
                const double* const y = &transposed[p * cols];
                for (std::size_t j = 0; j < cols; ++j) sums[j] += x * y[j];
              }
              for (std::size_t j = 0; j < cols; ++j) c[i * cols + j] = static_cast<float>(sums[j]);
            }
          });
  }

 private:
  static std::vector<double> decoded(culoss_test::element type, const void* data,
                                     std::size_t count) {
    return culoss_test::with_type(type, [&]<class T>(std::type_identity<T>) {
      const auto* bits = static_cast<const culoss_test::storage_of<T>*>(data);
      std::vector<double> values(count);
      std::transform(bits, bits + count, values.begin(), culoss_test::decode<T>);
      return values;
    });
  }
};

}  // namespace

std::unique_ptr<device> open_cpu() { return std::make_unique<cpu_device>(); }

}  // namespace culoss::bench
