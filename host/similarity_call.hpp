// What the functions over similarities share around the sweep: from options to its problem, what it
// cannot take, calls without rows.
#pragma once

#include "host/similarity.hpp"

namespace culoss::detail {

// What the options of all of them say in the same words.
template <class T, class Options>
void set_options(similarity_problem<T>& p, const Options& o, const vector<float>& loss) noexcept {
  const bool none = o.reduction == reduction::none;
  p.normalize = o.normalize;
  p.allow_tf32 = o.allow_tf32;
  p.accumulate = o.accumulate;
  if constexpr (requires { o.plan; }) p.plan = o.plan;
  p.call.logarithm = o.log_scale.given();
  p.call.scale = argument(p.call.logarithm ? o.log_scale : o.temperature);
  // A mean divides by the number of rows, whatever their weights.
  p.call.by = scale_of(o, static_cast<double>(p.queries.rows));
  (none ? p.row_loss : p.loss) = loss.data;
}

// Sizes that cuBLAS and the kernels count in 32 bits.
template <class T>
status check_sizes(const device_context& context, const similarity_problem<T>& p) noexcept {
  constexpr std::int64_t kMost = (std::int64_t{1} << 31) - (1 << 16);
  const auto too_large = [&](const char* what, std::int64_t value) {
    return failure(status_code::unsupported, context.function,
                   "%s is %lld, the kernels take at most %lld", what, static_cast<long long>(value),
                   static_cast<long long>(kMost));
  };
  std::int64_t columns = p.of_a_row;
  for (const auto& s : p.segments) {
    columns += s.keys.rows;
    if (s.keys.ld > kMost) return too_large("the pitch of keys or negatives", s.keys.ld);
  }
  if (p.queries.ld > kMost) return too_large("the pitch of queries", p.queries.ld);
  if (p.queries.rows > kMost) return too_large("the number of rows", p.queries.rows);
  if (columns > kMost) return too_large("the number of columns", columns);
  return {};
}

inline status write_row_count(const device_context& context, const vector<std::int64_t>& out,
                              std::int64_t rows) noexcept {
  if (out.data == nullptr) return {};
  if (rows == 0) return clear(context, out.data, 0, sizeof(std::int64_t));
  return launch(context, kernels::write_number<long long>, 1ll, 1, 0,
                reinterpret_cast<long long*>(out.data), static_cast<long long>(rows));
}

// Everything that is launched of a call whose arguments were accepted.
template <class Sweep, class T, class Options>
status run(Sweep&& sweep, const device_context& context, const cuda& where,
           const similarity_problem<T>& p, const Options& options, const vector<float>& loss,
           const vector<std::int64_t>& rows_counted) noexcept {
  status s = check_sizes(context, p);
  if (!s.ok()) return s;
  if (p.queries.rows > 0) {
    s = sweep.run(where);
  } else {
    s = sweep.run_without_rows();
    if (s.ok()) {
      s = write_empty_loss(context, loss.data, options);
    }
    if (s.ok()) s = clear(context, p.grad_scale, 0, sizeof(float));
    if (s.ok()) s = clear(context, p.grad_bias, 0, sizeof(float));
    if (s.ok()) s = clear(context, p.correct, 0, sizeof(std::int64_t));
    if (s.ok()) s = clear(context, p.correct_columns, 0, sizeof(std::int64_t));
  }
  const bool counted = p.queries.rows > 0 && p.row_count != nullptr;  // with the sums
  if (s.ok() && !counted) s = write_row_count(context, rows_counted, p.queries.rows);
  return s;
}

// A shape that no call accepts needs nothing; nor does one with more elements than addresses, of
// which the arithmetic of the plans knows nothing.
inline bool possible(const similarity_shape& s) noexcept {
  constexpr std::int64_t kMost = std::int64_t{1} << 48;
  const bool gradients = s.gradients || s.negative_gradients;
  const bool known =
      s.plan >= similarity_plan::forward_only && s.plan <= similarity_plan::automatic;
  if (!known || (s.element_bytes != 2 && s.element_bytes != 4)) return false;
  if (s.plan == similarity_plan::kept && s.element_bytes != 2) return false;
  if (s.plan == similarity_plan::forward_only && gradients) return false;
  const auto exist = [&](std::int64_t rows) { return rows >= 0 && rows <= kMost / s.dimension; };
  return s.dimension > 0 && s.dimension <= kMost && exist(s.queries) && exist(s.keys) &&
         exist(s.negatives) && exist(s.row_negatives) &&
         (s.row_negatives == 0 || s.queries <= kMost / s.dimension / s.row_negatives);
}

}  // namespace culoss::detail
