#include "bench/report.hpp"

#include <cmath>
#include <cstdio>
#include <iomanip>

namespace culoss::bench {
namespace {

template <class... Arguments>
std::string format(const char* pattern, Arguments... arguments) {
  char text[512];
  std::snprintf(text, sizeof text, pattern, arguments...);
  return text;
}

std::string duration(double seconds) {
  if (seconds < 1e-3) return format("%.2f us", seconds * 1e6);
  return seconds < 1 ? format("%.3f ms", seconds * 1e3) : format("%.3f s", seconds);
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

// JSON has no infinity and no NaN.
std::string number(double value) { return std::isfinite(value) ? format("%.9g", value) : "null"; }

const char* name_of(outcome value) {
  switch (value) {
    case outcome::measured:
      return "measured";
    case outcome::ran:
      return "ran";
    case outcome::wrong:
      return "wrong";
    default:
      return "failed";
  }
}

const char* limit_of(const sweep_row& row) {
  return row.over_similarities() ? "product" : row.yardstick() == transfer::read ? "read" : "copy";
}

// A GPU's and a CPU's speed are a thousand apart.
bool on_gpu(const sweep_row& row) { return row.room != room::none; }

std::string rates(const measurement& m) {
  const similarity_work work = work_of(m.row);
  const double by_least = work.least_flop / m.seconds.median;
  const auto memory = static_cast<double>(work.workspace_bytes + work.output_bytes);
  const double unit = on_gpu(m.row) ? 1e-12 : 1e-9;
  return format("%9.2f %9.2f %9.2f %6.1f%% %9.1f %-12s", m.rate * unit, by_least * unit,
                m.limit * unit, m.percent_of_limit(), memory / (1 << 20), work.plan);
}

void write_sizes(std::ostream& to, const sweep_row& row) {
  if (!row.over_similarities()) {
    to << "\"rows\": " << row.rows << ", \"cols\": " << row.cols;
    if (row.inner > 0) to << ", \"inner\": " << row.inner;
    if (row.negatives > 0) {
      to << ", \"negatives\": " << row.negatives << ", \"dimension\": " << row.dimension;
    }
    to << ", \"state\": \"" << name_of(row.state) << "\"";
    return;
  }
  const similarity_work work = work_of(row);
  to << "\"batch\": " << row.rows << ", \"keys\": " << row.cols
     << ", \"negatives\": " << row.negatives << ", \"dimension\": " << row.dimension
     << ", \"workspace\": \"" << name_of(row.room) << "\", \"plan\": \"" << work.plan
     << "\", \"workspace_bytes\": " << work.workspace_bytes
     << ", \"peak_bytes\": " << work.workspace_bytes + work.output_bytes;
}

void write_rates(std::ostream& to, const measurement& m) {
  if (!m.row.over_similarities()) {
    to << ", \"bytes\": " << m.row.floor_bytes() << ", \"bytes_per_second\": " << number(m.rate)
       << ", \"limit\": \"" << limit_of(m.row)
       << "\", \"limit_bytes_per_second\": " << number(m.limit);
    return;
  }
  const similarity_work work = work_of(m.row);
  to << ", \"flop\": " << number(work.least_flop) << ", \"plan_flop\": " << number(work.flop)
     << ", \"flop_per_second\": " << number(work.least_flop / m.seconds.median)
     << ", \"plan_flop_per_second\": " << number(m.rate) << ", \"limit\": \"" << limit_of(m.row)
     << "\", \"limit_flop_per_second\": " << number(m.limit);
}

}  // namespace

std::string table_header(const sweep_row& row) {
  if (row.over_similarities()) {
    return format("%-70s %11s %7s %9s %9s %9s %7s %9s %-12s %6s %7s", "", "time", "spread",
                  on_gpu(row) ? "TFLOP/s" : "GFLOP/s", "by least", "product", "of it", "MiB",
                  "plan", "error", "checked");
  }
  return format("%-68s %11s %7s %9s %16s %7s %6s %7s", "", "time", "spread", "GB/s", "limit, GB/s",
                "of it", "error", "checked");
}

std::string table_line(const measurement& m) {
  const bool similarities = m.row.over_similarities();
  const std::string name = format("%-*s ", similarities ? 70 : 68, m.row.name().c_str());
  if (m.outcome == outcome::wrong) return name + "WRONG, not timed: " + m.message;
  if (m.outcome == outcome::failed) return name + "FAILED: " + m.message;
  if (m.outcome == outcome::ran) {
    return name + format("right, not timed; error %.3f, checked %lld", m.check.worst,
                         static_cast<long long>(m.check.rows_checked));
  }
  return name +
         format("%11s %6.1f%% ", duration(m.seconds.median).c_str(),
                50 * (m.seconds.upper - m.seconds.lower) / m.seconds.median) +
         (similarities ? rates(m)
                       : format("%9.2f %9.1f (%s) %6.1f%%", m.rate * 1e-9, m.limit * 1e-9,
                                limit_of(m.row), m.percent_of_limit())) +
         format(" %6.3f %7lld", m.check.worst, static_cast<long long>(m.check.rows_checked));
}

void write_json(std::ostream& to, const run_description& run,
                const std::vector<measurement>& measurements) {
  to << "{\n  \"device\": " << quoted(run.device.name) << ",\n  \"execution\": \""
     << (run.device.cuda ? "cuda" : "cpu") << "\",\n  \"driver\": " << quoted(run.device.driver)
     << ",\n  \"runtime\": " << quoted(run.device.runtime) << ",\n  \"clocks\": \"as found\""
     << ",\n  \"cache_bytes\": " << run.device.cache_bytes << ",\n  \"date\": " << quoted(run.date)
     << ",\n  \"commit\": " << quoted(run.commit)
     << ",\n  \"row_kernels\": " << quoted(run.row_kernels) << ",\n  \"form\": " << quoted(run.form)
     << ",\n  \"rows_without_memory\": " << run.left_out
     << ",\n  \"rows_without_time\": " << run.out_of_time << ",\n  \"rows\": [";
  const char* separator = "\n";
  for (const measurement& m : measurements) {
    to << separator << "    {\"name\": " << quoted(m.row.name()) << ", \"loss\": \""
       << m.row.loss_name() << "\", \"mode\": \"" << name_of(m.row.mode) << "\", \"type\": \""
       << culoss_test::format_of(m.row.type).name << "\", ";
    write_sizes(to, m.row);
    to << ", \"outcome\": \"" << name_of(m.outcome) << "\"";
    separator = ",\n";
    if (m.outcome == outcome::failed) {
      to << ", \"message\": " << quoted(m.message) << "}";
      continue;
    }
    to << ", \"error_over_bound\": " << number(m.check.worst)
       << ", \"rows_checked\": " << m.check.rows_checked;
    if (!m.check.how.empty()) to << ", \"checked\": " << quoted(m.check.how);
    if (m.outcome == outcome::measured) {
      to << ", \"seconds\": " << number(m.seconds.median) << ", \"seconds_quartiles\": ["
         << number(m.seconds.lower) << ", " << number(m.seconds.upper)
         << "], \"samples\": " << m.samples << ", \"calls_per_sample\": " << m.calls;
      write_rates(to, m);
    }
    to << "}";
  }
  to << "\n  ]\n}\n";
}

}  // namespace culoss::bench
