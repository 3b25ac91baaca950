// What the losses over similarities have in common in what they are called with.
#pragma once

#include "tests/fuzz/execute.hpp"

namespace culoss_fuzz {

// A handle, mostly one that can be used.
inline culoss::cublas* some_blas(source& from) {
  static culoss::cublas none;
  if (!from.odd()) return &default_blas();
  return from.coin() ? &none : nullptr;
}

// Exactly one of the two, mostly.
template <class Options>
void scale(source& from, Options& o) {
  const int kind = from.byte();
  if (kind < 128 || kind > 244) o.temperature = from.scalar(0.1f);
  if (kind >= 128 && kind < 250) o.log_scale = from.scalar(2.0f);
}

template <class Options>
Options common(source& from, std::int64_t rows) {
  Options o;
  from.reduction(o, rows);
  scale(from, o);
  o.normalize = from.coin();
  o.accumulate = from.byte() > 224;
  o.allow_tf32 = from.coin();
  if constexpr (requires { o.margin; }) o.margin = from.number(0.25f);
  return o;
}

template <class Options>
void judge(predicate& says, const Options& o, std::int64_t rows) {
  says.reduction(o, rows);
  says.require(o.temperature.given() != o.log_scale.given(), "temperature");
  if (o.temperature.given()) says.temperature("temperature", o.temperature);
  const culoss::scalar& l = o.log_scale;
  if (l.given() && !l.on_device()) {
    says.require(std::isfinite(l.value()) && l.value() <= 88, "log_scale");
  }
  says.scalar("log_scale", l);
  if constexpr (requires { o.margin; }) says.require(std::isfinite(o.margin), "margin");
}

// A gradient in the type of the inputs, or in float.
template <class T>
culoss::gradient_matrix<T> gradient(source& from, std::int64_t rows) {
  if (!from.coin()) return {};
  if constexpr (std::is_same_v<T, culoss::half> || std::is_same_v<T, culoss::bf16>) {
    if (from.coin()) return from.matrix<float>(rows, from.columns());
  }
  return from.matrix<T>(rows, from.columns());
}
template <class T>
void judge_gradient(predicate& says, const char* name, const culoss::gradient_matrix<T>& g,
                    const culoss::matrix<const T>& of, bool accumulate) {
  if (g.empty()) return;
  const auto as = [&]<class U>(U* data) {
    says.view(name, culoss::matrix<U>(data, g.rows, g.cols, g.ld), of, access::write);
  };
  constexpr bool kNarrow = kSizeof<T> == 2;
  if (kNarrow && g.wide) {
    as(static_cast<float*>(g.data));
  } else {
    as(static_cast<T*>(g.data));
  }
  says.require(!accumulate || !kNarrow || g.wide, "accumulate");
}

}  // namespace culoss_fuzz
