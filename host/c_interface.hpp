// How the C interface calls the C++ one: structs that may be of another version, views whose types
// are known when they are used, and the choice of the overload. A loss has one `fields` function for
// each of its structs, which says once what becomes of what, and one short function.
#pragma once

#include <culoss/culoss.h>

#include <concepts>
#include <culoss/culoss.hpp>
#include <type_traits>
#include <utility>

#include "host/status.hpp"

struct culoss_cublas {
  culoss::cublas blas;
};

// In a `fields` function: the field of this name in both.
#define CULOSS_FIELD(name) f(#name, c.name, o.name)

namespace culoss::c_interface {

template <class T>
inline constexpr culoss_dtype kType = 0;
template <>
inline constexpr culoss_dtype kType<float> = CULOSS_FLOAT32;
template <>
inline constexpr culoss_dtype kType<half> = CULOSS_FLOAT16;
template <>
inline constexpr culoss_dtype kType<bf16> = CULOSS_BFLOAT16;
template <>
inline constexpr culoss_dtype kType<double> = CULOSS_FLOAT64;
template <>
inline constexpr culoss_dtype kType<std::int64_t> = CULOSS_INT64;
template <>
inline constexpr culoss_dtype kType<std::uint8_t> = CULOSS_UINT8;
template <>
inline constexpr culoss_dtype kType<row_statistics<float>> = CULOSS_ROW_STATISTICS_FLOAT32;
template <>
inline constexpr culoss_dtype kType<row_statistics<double>> = CULOSS_ROW_STATISTICS_FLOAT64;
template <>
inline constexpr culoss_dtype kType<shard_statistics<float>> = CULOSS_SHARD_STATISTICS_FLOAT32;
template <>
inline constexpr culoss_dtype kType<shard_statistics<double>> = CULOSS_SHARD_STATISTICS_FLOAT64;

// Which C struct a `fields` function is of, whether it is read or filled.
template <class C, class Struct>
concept is = std::same_as<std::remove_const_t<C>, Struct>;

// Makes a status the calling thread's message.
culoss_status report(const status& s) noexcept;

// C to C++. Keeps the first thing that is wrong; what it gives after that means nothing.
class reader {
 public:
  explicit reader(const char* function) noexcept : function_(function) {}
  const char* function() const noexcept { return function_; }
  bool ok() const noexcept { return wrong_.ok(); }
  const status& wrong() const noexcept { return wrong_; }

  template <class T>
  void operator()(const char* name, const culoss_vector& c, vector<T>& o) noexcept {
    check_vector(name, c.data, c.size, c.type, c.reserved, kType<T>);
    o = {static_cast<T*>(c.data), c.size};
  }
  template <class T>
  void operator()(const char* name, const culoss_const_vector& c, vector<const T>& o) noexcept {
    check_vector(name, c.data, c.size, c.type, c.reserved, kType<T>);
    o = {static_cast<const T*>(c.data), c.size};
  }
  template <class T>
  void operator()(const char* name, const culoss_matrix& c, matrix<T>& o) noexcept {
    check_matrix(name, view(c), kType<T>, CULOSS_LAYOUT_ROWS);
    o = {static_cast<T*>(c.data), c.rows, c.cols, c.ld};
  }
  template <class T>
  void operator()(const char* name, const culoss_const_matrix& c, matrix<const T>& o) noexcept {
    check_matrix(name, c, kType<T>, CULOSS_LAYOUT_ROWS);
    o = {static_cast<const T*>(c.data), c.rows, c.cols, c.ld};
  }
  template <class T>
  void operator()(const char* name, const culoss_matrix& c, strided_logits<T>& o) noexcept {
    check_matrix(name, view(c), kType<T>, CULOSS_LAYOUT_STRIDED);
    o = {static_cast<T*>(c.data), c.rows, c.cols, c.ld};
  }
  template <class T>
  void operator()(const char* name, const culoss_const_matrix& c,
                  strided_logits<const T>& o) noexcept {
    check_matrix(name, c, kType<T>, CULOSS_LAYOUT_STRIDED);
    o = {static_cast<const T*>(c.data), c.rows, c.cols, c.ld};
  }
  template <class T>
  void operator()(const char* name, const culoss_matrix& c, gradient_matrix<T>& o) noexcept {
    if constexpr (std::is_same_v<T, half> || std::is_same_v<T, bf16>) {
      if (c.type == CULOSS_FLOAT32) {
        matrix<float> wide;
        (*this)(name, c, wide);
        o = wide;
        return;
      }
    }
    matrix<T> own;
    (*this)(name, c, own);
    o = own;
  }
  void operator()(const char* name, const culoss_const_vector& c, label_view& o) noexcept;
  void operator()(const char* name, const culoss_scalar& c, scalar& o) noexcept;
  void operator()(const char* name, std::int32_t c, bool& o) noexcept;
  void operator()(const char*, std::int32_t c, int& o) noexcept { o = c; }
  void operator()(const char*, std::int64_t c, std::int64_t& o) noexcept { o = c; }
  void operator()(const char*, float c, float& o) noexcept { o = c; }
  template <class E>
  requires std::is_enum_v<E>
  void operator()(const char*, std::int32_t c, E& o) noexcept { o = static_cast<E>(c); }
  void reserved(const char* name, std::int32_t c) noexcept;
  void element_bytes(const char* name, culoss_dtype c, int& o) noexcept;  // of embeddings

  // A view that is an argument of its own.
  template <class View, class C>
  View view_of(const char* name, const C& c) noexcept {
    View o;
    (*this)(name, c, o);
    return o;
  }

  // A struct of the caller's, as this version has it.
  template <class C>
  C known(const char* name, const C* given, C defaults) noexcept {
    copy(name, given, &defaults, sizeof(C));
    return defaults;
  }
  template <class O, class C>
  O outputs(const C* given) noexcept;
  template <class O, class C>
  O options(const C* given) noexcept;

  // Where to run, as both devices name it.
  struct place {
    culoss_device device = 0;
    culoss::cpu cpu;
    culoss::cuda cuda;
  };
  place where(const culoss_execution* given) noexcept;
  // Only some types run on a device.
  void refuse_type(const char* argument, culoss_dtype type, culoss_device device) noexcept;
  void refuse(status_code code, const char* format, ...) noexcept
      __attribute__((format(printf, 3, 4)));

 private:
  static culoss_const_matrix view(const culoss_matrix& m) noexcept {
    return {m.data, m.rows, m.cols, m.ld, m.type, m.layout};
  }
  void check_vector(const char* name, const void* data, std::int64_t size, culoss_dtype type,
                    std::int32_t reserved, culoss_dtype expected) noexcept;
  void check_matrix(const char* name, const culoss_const_matrix& m, culoss_dtype expected,
                    culoss_layout layout) noexcept;
  // Over `to`, which has the defaults, what the caller gives of it. Null gives nothing.
  void copy(const char* name, const void* given, void* to, std::uint64_t known) noexcept;

  const char* function_;
  status wrong_;
};

// C++ to C: the defaults of options, whose views are empty.
class writer {
 public:
  template <class C, class T>
  void operator()(const char*, C& c, const vector<T>&) noexcept {
    c = {};
  }
  template <class C, class T>
  void operator()(const char*, C& c, const matrix<T>&) noexcept {
    c = {};
  }
  void operator()(const char*, culoss_const_vector& c, const label_view&) noexcept { c = {}; }
  void operator()(const char*, culoss_scalar& c, const scalar& o) noexcept {
    c = o.given() ? culoss_value(o.value()) : culoss_scalar{};
  }
  void operator()(const char*, std::int32_t& c, bool o) noexcept { c = o ? 1 : 0; }
  void operator()(const char*, std::int32_t& c, int o) noexcept { c = o; }
  void operator()(const char*, std::int64_t& c, std::int64_t o) noexcept { c = o; }
  void operator()(const char*, float& c, float o) noexcept { c = o; }
  template <class E>
  requires std::is_enum_v<E>
  void operator()(const char*, std::int32_t& c, E o) noexcept { c = static_cast<std::int32_t>(o); }
  void reserved(const char*, std::int32_t& c) noexcept { c = 0; }
};

// The options' `fields` of what all losses have, and of what those of embeddings have.
template <class F, class C, class O>
void shared_fields(F& f, C& c, O& o) {
  CULOSS_FIELD(reduction);
  CULOSS_FIELD(row_weights);
  CULOSS_FIELD(normalizer);
  CULOSS_FIELD(upstream);
  CULOSS_FIELD(upstream_rows);
  CULOSS_FIELD(empty);
}

template <class C, class O>
C default_options() noexcept {
  C c{};
  c.size = sizeof c;
  const O o;
  writer f;
  fields(f, c, o);
  return c;
}

template <class O, class C>
O reader::outputs(const C* given) noexcept {
  if (given == nullptr) refuse(status_code::invalid_argument, "outputs is null");
  C c{};
  c.size = sizeof c;
  c = known("outputs", given, c);
  O o;
  if (ok()) fields(*this, std::as_const(c), o);
  return o;
}

template <class O, class C>
O reader::options(const C* given) noexcept {
  const C c = known("options", given, default_options<C, O>());
  O o;
  if (ok()) fields(*this, c, o);
  return o;
}

// Fills a struct of the caller's of so many bytes, of whatever version; its first field is its size.
culoss_status fill(const char* function, const char* name, void* to, std::uint64_t size,
                   const void* from, std::uint64_t known) noexcept;
template <class O, class C>
culoss_status init(const char* function, C* options, std::uint64_t size) noexcept {
  const C defaults = default_options<C, O>();
  return fill(function, "options", options, size, &defaults, sizeof defaults);
}
// A struct that says itself how large it is.
template <class C>
culoss_status give(const char* function, C* out, const C& result) noexcept {
  return fill(function, "out", out, out == nullptr ? 0 : out->size, &result, sizeof result);
}

// The scratch that `query` finds for a shape, whose fields have no defaults.
template <class Shape, class C, class Query>
culoss_status plan(const char* function, const C* shape, culoss_workspace* out,
                   const Query& query) noexcept {
  reader read(function);
  if (shape == nullptr) read.refuse(status_code::invalid_argument, "shape is null");
  const C c = read.known("shape", shape, C{});
  Shape s;
  if (read.ok()) fields(read, c, s);
  if (!read.ok()) return report(read.wrong());
  return give(function, out, query(s));
}

// call.operator()<T>(reader, culoss::cpu or culoss::cuda), where T is the type of `argument`.
template <class Call>
culoss_status run(const char* function, const culoss_execution* execution, const char* argument,
                  culoss_dtype type, const Call& call) noexcept {
  reader read(function);
  const reader::place p = read.where(execution);
  if (!read.ok()) return report(read.wrong());
  const bool cpu = p.device == CULOSS_CPU;
  const auto with = [&]<class T>() {
    return report(cpu ? call.template operator()<T>(read, p.cpu)
                      : call.template operator()<T>(read, p.cuda));
  };
  switch (type) {
    case CULOSS_FLOAT32:
      return with.template operator()<float>();
    case CULOSS_FLOAT16:
      return with.template operator()<half>();
    case CULOSS_BFLOAT16:
      return with.template operator()<bf16>();
    case CULOSS_FLOAT64:
      if (cpu) return report(call.template operator()<double>(read, p.cpu));
      [[fallthrough]];
    default:
      read.refuse_type(argument, type, p.device);
      return report(read.wrong());
  }
}

// call.operator()<Input, Gradient>() with the views that the layout of the logits asks for.
template <class T, class Call>
status with_layout(const culoss_const_matrix& logits, const Call& call) {
  if (logits.layout == CULOSS_LAYOUT_STRIDED) {
    return call.template operator()<strided_logits<const T>, strided_logits<T>>();
  }
  return call.template operator()<matrix<const T>, matrix<T>>();
}

}  // namespace culoss::c_interface
