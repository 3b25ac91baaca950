// The throughput sweep. Each row is checked against the CPU reference in double, then timed, then
// set beside a plain read or copy of as many bytes on the same device.
//
// The losses over similarities come last and have their share of the time. On the CPU all of this
// is the reference.
//
//   sweep [--long] [--filter REGEX] [--seconds S] [--out DIR] [--json] [--commit ID]
//         [--pipelined] [--smoke] and the options of Google Benchmark
//
// --json writes the results to the standard output as well, and the table to standard error.
// --pipelined runs row losses by the kernels of that name where there are any.
// --smoke calls and checks small rows of every function and times nothing.
// Ends with 1 where a row was wrong or failed, with 2 where it was called wrongly.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <regex>
#include <string_view>

#include "bench/report.hpp"

namespace culoss::bench {
namespace {

using clock = std::chrono::steady_clock;

struct arguments {
  culoss::bench::form form = form::standard;
  std::string filter = ".", out = "build/bench-results", commit = "unknown";
  double seconds = 0;  // 0: the form's own
  bool json = false;
  culoss::row_kernels row_kernels = culoss::row_kernels::proven;
};

[[noreturn]] void usage(const std::string& why) {
  std::fprintf(stderr,
               "sweep: %s\nusage: sweep [--long] [--filter REGEX] [--seconds S] [--out DIR] "
               "[--json] [--commit ID] [--pipelined] [--smoke]\n",
               why.c_str());
  std::exit(2);
}

arguments parse(int argc, char** argv) {
  arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == argc) usage(std::string(option) + " needs a value");
      return argv[++i];
    };
    if (option == "--long") {
      a.form = form::full;
    } else if (option == "--json") {
      a.json = true;
    } else if (option == "--pipelined") {
      a.row_kernels = culoss::row_kernels::pipelined;
    } else if (option == "--smoke") {
      a.form = form::smoke;
    } else if (option == "--filter") {
      a.filter = value();
    } else if (option == "--out") {
      a.out = value();
    } else if (option == "--commit") {
      a.commit = value();
    } else if (option == "--seconds") {
      a.seconds = std::atof(value().c_str());
      if (!(a.seconds > 0)) usage("--seconds must be positive");
    } else {
      usage("unknown option " + std::string(option));
    }
  }
  if (a.seconds == 0) {
    a.seconds = a.form == form::full ? std::numeric_limits<double>::infinity() : 100;
  }
  return a;
}

std::vector<sweep_row> matching(const std::vector<sweep_row>& rows, const std::string& filter) {
  std::vector<sweep_row> kept;
  try {
    const std::regex pattern(filter);
    for (const sweep_row& row : rows) {
      if (std::regex_search(row.name(), pattern)) kept.push_back(row);
    }
  } catch (const std::regex_error&) {
    usage("--filter is no regular expression: " + filter);
  }
  if (kept.empty()) usage("no row matches " + filter);
  return kept;
}

std::string now() {
  const std::time_t time = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&time));
  return text;
}

// Prints a line as each row ends; the rows themselves come from the measurements.
class progress final : public benchmark::BenchmarkReporter {
 public:
  progress(std::FILE* to, const std::vector<measurement>& done, std::size_t total,
           clock::time_point start)
      : to_(to), done_(done), total_(total), start_(start) {}

  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>&) override {
    if (done_.size() == printed_) return;  // out of time
    const sweep_row& row = done_.back().row;
    if (printed_ == 0 || row.over_similarities() != done_[printed_ - 1].row.over_similarities()) {
      const int margin = std::snprintf(nullptr, 0, "[%4d/%zu %4d s] ", 0, total_, 0);
      std::fprintf(to_, "%*s%s\n", margin, "", table_header(row).c_str());
    }
    printed_ = done_.size();
    const double elapsed = std::chrono::duration<double>(clock::now() - start_).count();
    std::fprintf(to_, "[%4zu/%zu %4.0f s] %s\n", printed_, total_, elapsed,
                 table_line(done_.back()).c_str());
    std::fflush(to_);
  }

 private:
  std::FILE* to_;
  const std::vector<measurement>& done_;
  std::size_t total_, printed_ = 0;
  clock::time_point start_;
};

bool is_over_similarities(const sweep_row& row) { return row.over_similarities(); }

void show(benchmark::State& state, const measurement& m) {
  if (m.outcome != outcome::measured) {
    state.SkipWithError(m.outcome == outcome::ran ? "not timed" : m.message.c_str());
    return;
  }
  for (auto _ : state) state.SetIterationTime(m.seconds.median);
  if (!m.row.over_similarities()) {
    state.SetBytesProcessed(static_cast<std::int64_t>(m.row.floor_bytes()));
  }
  state.counters["lower_quartile_s"] = m.seconds.lower;
  state.counters["upper_quartile_s"] = m.seconds.upper;
  state.counters[m.row.over_similarities() ? "GFLOP/s" : "GB/s"] = m.rate * 1e-9;
  state.counters["limit"] = m.limit * 1e-9;
  state.counters["percent_of_limit"] = m.percent_of_limit();
  state.counters["error_over_bound"] = m.check.worst;
}

int run(int argc, char** argv) {
  const clock::time_point start = clock::now();
  benchmark::Initialize(&argc, argv);  // takes its own options out
  const arguments a = parse(argc, argv);
  std::FILE* const table = a.json ? stderr : stdout;

  std::unique_ptr<device> on = open_cuda(a.row_kernels);
  if (on == nullptr) on = open_cpu();
  run_description description{
      .device = on->description(),
      .form = a.form == form::smoke  ? "smoke"
              : a.form == form::full ? "long"
                                     : "standard",
      .commit = a.commit,
      .row_kernels = a.row_kernels == culoss::row_kernels::pipelined ? "pipelined" : "proven",
      .date = now()};
  if (description.device.cuda) {
    std::fprintf(table, "culoss on %s\n", description.device.name.c_str());
  } else {
    std::printf(
        "No CUDA device: this is the CPU reference, on %s. Nothing below is a GPU figure.\n",
        description.device.name.c_str());
  }

  const std::vector<sweep_row> rows =
      matching(grid(a.form, description.device, &description.left_out), a.filter);
  // What the row losses leave to the losses over similarities, where there are both.
  const bool both = std::any_of(rows.begin(), rows.end(), &is_over_similarities) &&
                    !std::all_of(rows.begin(), rows.end(), &is_over_similarities);
  const double share_of_rows = both ? (description.device.cuda ? 0.6 : 0.8) : 1;
  sweep sweep(*on, rows, a.form == form::smoke);
  std::vector<measurement> done;
  for (const sweep_row& row : rows) {
    benchmark::RegisterBenchmark(
        row.name().c_str(),
        [&, row](benchmark::State& state) {
          const double until = a.seconds * (row.over_similarities() ? 1 : share_of_rows);
          if (std::chrono::duration<double>(clock::now() - start).count() > until) {
            ++description.out_of_time;
            state.SkipWithError("out of time");
            return;
          }
          done.push_back(sweep.measure(row));
          show(state, done.back());
        })
        ->Iterations(1)
        ->UseManualTime();
  }
  progress progress(table, done, rows.size(), start);
  benchmark::RunSpecifiedBenchmarks(&progress);
  benchmark::Shutdown();

  std::filesystem::create_directories(a.out);
  const std::string path = a.out + "/sweep.json";
  std::ofstream file(path);
  write_json(file, description, done);
  if (!file.flush()) {
    std::fprintf(stderr, "sweep: cannot write %s\n", path.c_str());
    return 1;
  }
  if (a.json) write_json(std::cout, description, done);
  const auto bad = std::count_if(done.begin(), done.end(), [](const measurement& m) {
    return m.outcome == outcome::wrong || m.outcome == outcome::failed;
  });
  std::printf(
      "%zu rows, each checked before it was timed; %lld of them wrong or failed; %d without "
      "time, %d without memory. %s\n",
      done.size(), static_cast<long long>(bad), description.out_of_time, description.left_out,
      path.c_str());
  return bad == 0 ? 0 : 1;
}

}  // namespace
}  // namespace culoss::bench

int main(int argc, char** argv) {
  try {
    return culoss::bench::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sweep: %s\n", error.what());
    return 1;
  }
}
