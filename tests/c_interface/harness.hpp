// A function of the C interface beside the C++ function that it calls: the same memory, the same
// fields by name, the same bits. Each field of the options is set alone; where that changes nothing
// the test could not see that it was passed on, and fails.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <culoss/culoss.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/c_interface/calls.h"
#include "tests/harness/check.hpp"
#include "tests/harness/memory.hpp"

namespace culoss_test::c_interface {

// A field of a struct in C and of its likeness in C++: for functions that set both.
#define CULOSS_TEST_FIELD(field) \
#field, [](auto& whole) -> auto& { return whole.field; }

constexpr std::int64_t kRows = 6, kCols = 5, kWidth = 8;

inline std::size_t bytes_of(culoss_dtype type) {
  constexpr std::size_t kBytes[] = {0, 4, 2, 2, 8, 4, 8, 1, 16, 32, 40, 64};
  return kBytes[type];
}
template <class T>
constexpr culoss_dtype type_of() {
  if constexpr (std::is_same_v<T, culoss::half>) return CULOSS_FLOAT16;
  if constexpr (std::is_same_v<T, culoss::bf16>) return CULOSS_BFLOAT16;
  return std::is_same_v<T, double> ? CULOSS_FLOAT64 : CULOSS_FLOAT32;
}
template <class T>
constexpr bool kWide = std::is_same_v<T, double>;
template <class T>
constexpr culoss_dtype kReal = kWide<T> ? CULOSS_FLOAT64 : CULOSS_FLOAT32;
template <class T>
constexpr culoss_dtype kStatistics =
    kWide<T> ? CULOSS_ROW_STATISTICS_FLOAT64 : CULOSS_ROW_STATISTICS_FLOAT32;
template <class T>
constexpr culoss_dtype kShards =
    kWide<T> ? CULOSS_SHARD_STATISTICS_FLOAT64 : CULOSS_SHARD_STATISTICS_FLOAT32;

// An array of the execution space; matrices with a pitch of their own.
class block {
 public:
  block(space where, culoss_dtype type, std::int64_t rows, std::int64_t cols, std::int64_t padding)
      : rows(rows),
        cols(cols),
        ld(cols + padding),
        type(type),
        elements_(static_cast<std::size_t>(rows * cols)),
        memory_(where, {.rows = static_cast<std::size_t>(rows),
                        .row_bytes = static_cast<std::size_t>(cols) * bytes_of(type),
                        .pitch = static_cast<std::size_t>(ld) * bytes_of(type)}) {}
  std::int64_t rows, cols, ld;
  culoss_dtype type;
  culoss_layout layout = CULOSS_LAYOUT_ROWS;

  void* data() const { return memory_.data(); }
  void poison() { memory_.poison(); }
  void write(const std::vector<double>& numbers) {
    std::vector<std::byte> dense;
    for (const double n : numbers) {
      switch (type) {
        case CULOSS_FLOAT16:
          append(dense, encode<culoss::half>(n));
          break;
        case CULOSS_BFLOAT16:
          append(dense, encode<culoss::bf16>(n));
          break;
        case CULOSS_FLOAT64:
          append(dense, n);
          break;
        case CULOSS_INT32:
          append(dense, static_cast<std::int32_t>(n));
          break;
        case CULOSS_INT64:
          append(dense, static_cast<std::int64_t>(n));
          break;
        case CULOSS_UINT8:
          append(dense, static_cast<std::uint8_t>(n));
          break;
        default:
          append(dense, static_cast<float>(n));
      }
    }
    memory_.write(dense.data());
  }
  std::vector<std::byte> read(std::string& damage) const {
    std::vector<std::byte> dense(elements_ * bytes_of(type));
    damage += memory_.read(dense.data(), false);
    // The padding before the arg-max means nothing.
    for (std::size_t i = 28; type == CULOSS_SHARD_STATISTICS_FLOAT32 && i < dense.size(); i += 40) {
      std::fill_n(dense.begin() + static_cast<std::ptrdiff_t>(i), 4, std::byte{0});
    }
    return dense;
  }

 private:
  template <class N>
  static void append(std::vector<std::byte>& bytes, N n) {
    const auto* const first = reinterpret_cast<const std::byte*>(&n);
    bytes.insert(bytes.end(), first, first + sizeof n);
  }
  std::size_t elements_;
  buffer memory_;
};

// Sets one field, of C or of C++, to the same thing.
inline void set(culoss_scalar& s, float v) { s = culoss_value(v); }
inline void set(culoss::scalar& s, float v) { s = culoss::scalar(v); }
inline void set(culoss_scalar& s, const float* p) { s = culoss_at(p); }
inline void set(culoss::scalar& s, const float* p) { s = culoss::scalar(p); }
inline void set(float& f, float v) { f = v; }
inline void set(std::int64_t& n, int v) { n = v; }
inline void set(std::int32_t& n, int v) { n = v; }
inline void set(bool& b, int v) { b = v != 0; }
template <class E>
requires std::is_enum_v<E>
void set(E& e, int v) { e = static_cast<E>(v); }
inline void set(culoss_vector& v, const block& b) { v = {b.data(), b.cols, b.type, 0}; }
inline void set(culoss_const_vector& v, const block& b) { v = {b.data(), b.cols, b.type, 0}; }
inline void set(culoss_matrix& m, const block& b) {
  m = {b.data(), b.rows, b.cols, b.ld, b.type, b.layout};
}
inline void set(culoss_const_matrix& m, const block& b) {
  m = {b.data(), b.rows, b.cols, b.ld, b.type, b.layout};
}
template <class T>
void set(culoss::vector<T>& v, const block& b) {
  v = {static_cast<T*>(b.data()), b.cols};
}
template <class T>
void set(culoss::matrix<T>& m, const block& b) {
  m = {static_cast<T*>(b.data()), b.rows, b.cols, b.ld};
}
template <class T>
void set(culoss::strided_logits<T>& s, const block& b) {
  s = {static_cast<T*>(b.data()), b.rows, b.cols, b.ld};
}
template <class T>
void set(culoss::gradient_matrix<T>& m, const block& b) {
  if constexpr (sizeof(storage_of<T>) == 2) {
    if (b.type == CULOSS_FLOAT32) {
      m = culoss::matrix<float>(static_cast<float*>(b.data()), b.rows, b.cols, b.ld);
      return;
    }
  }
  m = culoss::matrix<T>(static_cast<T*>(b.data()), b.rows, b.cols, b.ld);
}
inline void set(culoss::label_view& l, const block& b) {
  l.data = b.data();
  l.size = b.cols;
  l.wide = b.type == CULOSS_INT64;
}
template <class View>
View as(const block& b) {
  View v;
  set(v, b);
  return v;
}

// Where both calls run.
class place {
 public:
  explicit place(space where) : where(where) {
    c.size = sizeof c;
    c.device = where == space::cpu ? CULOSS_CPU : CULOSS_CUDA;
    if (where == space::cpu) return;
    EXPECT_EQ(c_cublas_create(&c.blas), CULOSS_SUCCESS) << culoss_last_message();
    const culoss::status s = blas_.create();
    EXPECT_TRUE(s.ok()) << s.message();
    cuda.blas = &blas_;
  }
  place(const place&) = delete;
  place& operator=(const place&) = delete;
  ~place() { c_cublas_destroy(c.blas); }

  const space where;
  culoss_execution c{};
  culoss::cpu cpu;
  culoss::cuda cuda;

 private:
  culoss::cublas blas_;
};

// For functions whose outputs are matrices of their own.
struct c_matrices {
  culoss_matrix first, second;
};
template <class View>
struct matrices {
  View first, second;
};

template <class Entry>
const Entry& find(const Entry* all, const std::string& name) {
  while (all->name != nullptr && all->name != name) ++all;
  if (all->name == nullptr) throw std::runtime_error("no function " + name);
  return *all;
}
inline const c_loss& function(const std::string& name) { return find(c_losses, name); }
inline const c_init& init_of(const std::string& name) { return find(c_inits, name); }

// What the tests have called, and which fields of which struct they have set alone.
inline std::set<std::string>& called() {
  static std::set<std::string> names;
  return names;
}
inline std::map<std::string, std::set<std::string>>& proven() {
  static std::map<std::string, std::set<std::string>> fields;
  return fields;
}

// A field of a struct with a value. The structs are bytes here, so that little has to be compiled
// for each of them.
struct patch {
  std::size_t offset = 0, size = 0;
  std::byte bytes[64];
};
template <class Struct, class Field, class Value>
patch patch_of(const Field& field, const Value& v) {
  Struct whole{};
  auto& f = field(whole);
  if constexpr (std::is_same_v<Value, block*>) {
    set(f, *v);
  } else {
    set(f, v);
  }
  patch p;
  static_assert(sizeof f <= sizeof p.bytes && std::is_trivially_copyable_v<Struct>);
  p.offset = static_cast<std::size_t>(reinterpret_cast<const char*>(&f) -
                                      reinterpret_cast<const char*>(&whole));
  p.size = sizeof f;
  std::memcpy(p.bytes, &f, sizeof f);
  return p;
}

using raw = std::vector<std::byte>;
template <class Struct>
raw raw_of(const Struct& s) {
  raw bytes(sizeof s);
  std::memcpy(bytes.data(), &s, sizeof s);
  return bytes;
}
inline void apply(raw& bytes, const patch& p) {
  std::memcpy(bytes.data() + p.offset, p.bytes, p.size);
}

struct change {
  std::vector<patch> c = {}, cpp = {};
  bool none = false;  // what is reduced otherwise is not
  friend change operator+(change a, const change& b) {
    a.c.insert(a.c.end(), b.c.begin(), b.c.end());
    a.cpp.insert(a.cpp.end(), b.cpp.begin(), b.cpp.end());
    a.none = a.none || b.none;
    return a;
  }
};

// One function in C and in C++, whatever its types.
class untyped_calls {
 public:
  untyped_calls(place& p, std::string name, std::string options)
      : place_(p), name_(std::move(name)), options_(std::move(options)) {
    in.where = &p.c;
  }
  untyped_calls(const untyped_calls&) = delete;
  untyped_calls& operator=(const untyped_calls&) = delete;

  c_call in{};  // the inputs, for C

  block& make(culoss_dtype type, std::int64_t rows, std::int64_t cols, std::int64_t padding = 0) {
    return *blocks_.emplace_back(std::make_unique<block>(place_.where, type, rows, cols, padding));
  }
  // Numbers in [low, high] that look like no other's.
  block& random(culoss_dtype type, std::int64_t rows, std::int64_t cols, double low, double high,
                std::int64_t padding = 0) {
    block& b = make(type, rows, cols, padding);
    std::vector<double> all(static_cast<std::size_t>(rows * cols));
    for (double& n : all) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      n = low + (high - low) * static_cast<double>(state_ >> 40) / 0x1p24;
    }
    b.write(all);
    return b;
  }
  // [n, classes, inner], dense.
  block& strided(culoss_dtype type, std::int64_t n, std::int64_t classes, std::int64_t inner) {
    block& b = random(type, n, classes * inner, -2, 2);
    b.cols = classes;
    b.ld = inner;
    b.layout = CULOSS_LAYOUT_STRIDED;
    return b;
  }
  block& floats(std::int64_t size) { return random(CULOSS_FLOAT32, 1, size, 0.5, 2); }
  block& numbers(culoss_dtype type, const std::vector<double>& n) {
    block& b = make(type, 1, static_cast<std::int64_t>(n.size()));
    b.write(n);
    return b;
  }
  // What all calls begin with.
  void always(const change& c) { always_ = always_ + c; }
  // This output, as the defaults make it.
  const block& again(const block& b) {
    both("again", {});
    return b;
  }

 protected:
  struct output_field {
    std::string name;
    block *reduced, *none;  // null: not asked for
    patch c[2], cpp[2];     // reduced, none
    block* chosen(bool n) const { return n ? none : reduced; }
  };
  struct test {
    std::string name;
    change before, set;
    bool unread_by_cpu;
    bool changes_no_result = false;
    bool flag = false;    // 0 or 1
    change unknown = {};  // a value that none of its type has
  };
  using cpp_call = std::function<culoss::status(const void* outputs, const void* options)>;

  void run_all(const cpp_call& call, bool each_field, const change& none) {
    called().insert(name_);
    call_ = call;
    const result base = both("the defaults", {});
    EXPECT_EQ(base.code, CULOSS_SUCCESS) << base.message;
    outputs_differ(base);
    if (!each_field) return;
    both("none", none);
    for (const test& t : tests_) {
      proven()["culoss_" + options_ + "_options"].insert(t.name);
      const result before = both("before " + t.name, t.before);
      const result after = both(t.name, t.before + t.set);
      const bool same = t.changes_no_result || (t.unread_by_cpu && place_.where == space::cpu);
      EXPECT_TRUE(same || !(before == after)) << name_ << ": " << t.name << " changes nothing";
      refuses_unknown(t);
    }
  }

  place& place_;
  raw c_outputs_, cpp_outputs_, cpp_options_;  // empty outputs, default options
  std::size_t c_options_size_ = 0;
  bool matrices_ = false;  // the outputs are arguments of their own
  std::vector<output_field> outputs_;
  std::vector<test> tests_;

 private:
  struct result {
    int code = 0;
    std::string message, damage;
    std::vector<raw> outputs;
    bool operator==(const result&) const = default;
  };

  result read(int code, const char* message, bool n) {
    synchronize(place_.where);
    result r{code, message, {}, {}};
    for (const output_field& o : outputs_) {
      if (const block* b = o.chosen(n)) r.outputs.push_back(b->read(r.damage));
    }
    return r;
  }
  void poison() {
    for (const output_field& o : outputs_) {
      if (o.reduced != nullptr) o.reduced->poison();
      if (o.none != nullptr) o.none->poison();
    }
  }
  result from_c(const change& how) {
    raw outputs = c_outputs_, options(c_options_size_);
    for (const output_field& o : outputs_) {
      if (o.chosen(how.none) != nullptr) apply(outputs, o.c[how.none ? 1 : 0]);
    }
    EXPECT_EQ(init_of(options_).init(options.data(), options.size()), CULOSS_SUCCESS);
    for (const patch& p : how.c) apply(options, p);
    c_call call = in;
    call.options = options.data();
    if (matrices_) {
      std::memcpy(call.out, outputs.data(), sizeof call.out);
    } else {
      call.outputs = outputs.data();
    }
    const culoss_status code = function(name_).call(&call);
    EXPECT_EQ(code == CULOSS_SUCCESS, *culoss_last_message() == 0) << culoss_last_message();
    return read(code, culoss_last_message(), how.none);
  }
  result from_cpp(const change& how) {
    raw outputs = cpp_outputs_, options = cpp_options_;
    for (const output_field& o : outputs_) {
      if (o.chosen(how.none) != nullptr) apply(outputs, o.cpp[how.none ? 1 : 0]);
    }
    for (const patch& p : how.cpp) apply(options, p);
    const culoss::status s = call_(outputs.data(), options.data());
    return read(static_cast<int>(s.code()), s.message(), how.none);
  }
  result both(const std::string& what, const change& how) {
    const change all = always_ + how;
    poison();
    result c = from_c(all);
    poison();
    const result cpp = from_cpp(all);
    EXPECT_EQ(c.code, cpp.code) << name_ << ", " << what << ": " << c.message << cpp.message;
    EXPECT_EQ(c.message, cpp.message) << name_ << ", " << what;
    EXPECT_EQ(c.damage, "") << name_ << ", " << what;
    EXPECT_TRUE(c.outputs == cpp.outputs) << name_ << ", " << what << ": other bits";
    return c;
  }
  // In C++ every flag is one of the two.
  void refuses_unknown(const test& t) {
    if (t.unknown.c.empty()) return;
    const change how = t.before + t.unknown;
    const result r = t.flag ? from_c(always_ + how) : both("unknown " + t.name, how);
    EXPECT_EQ(r.code, CULOSS_INVALID_ARGUMENT) << name_ << ": " << t.name << " may be anything";
    if (!t.flag) return;
    EXPECT_EQ(r.message, name_ + ": " + t.name + " is 2, must be 0 or 1");
  }
  // Each was written, and no two hold the same, so that none can stand for another.
  void outputs_differ(const result& r) {
    std::vector<std::string> names;
    for (const output_field& o : outputs_) {
      if (o.reduced != nullptr) names.push_back(o.name);
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
      const raw poison(r.outputs[i].size(), std::byte{0xff});
      EXPECT_TRUE(r.outputs[i] != poison) << name_ << ": " << names[i] << " was not written";
      for (std::size_t j = 0; j < i; ++j) {
        EXPECT_TRUE(r.outputs[i] != r.outputs[j])
            << name_ << ": " << names[i] << " and " << names[j] << " are the same";
      }
    }
  }

  std::string name_, options_;
  std::vector<std::unique_ptr<block>> blocks_;
  change always_;
  cpp_call call_;
  std::uint64_t state_ = 1;
};

// COutputs and Outputs have the outputs' fields in C and in C++, COptions and Options the options',
// whose init function has the name `options`.
template <class T, class COutputs, class Outputs, class COptions, class Options>
class pair_of_calls : public untyped_calls {
 public:
  pair_of_calls(place& p, const std::string& name, const std::string& options)
      : untyped_calls(p, name, options) {
    COutputs c{};
    matrices_ = std::is_same_v<COutputs, c_matrices>;
    if constexpr (requires { c.size; }) c.size = sizeof c;
    c_outputs_ = raw_of(c);
    cpp_outputs_ = raw_of(Outputs{});
    cpp_options_ = raw_of(Options{});
    c_options_size_ = sizeof(COptions);
  }

  block& matrix(std::int64_t rows, std::int64_t cols, double low = -2, double high = 2) {
    return random(type_of<T>(), rows, cols, low, high, 3);
  }

  // An output that is there whatever the options are, or only in some calls.
  template <class Field>
  void output(const char* name, const Field& field, block& b) {
    output(name, field, &b, &b);
  }
  template <class Field>
  void output(const char* name, const Field& field, block* reduced, block* none) {
    output_field o{name, reduced, none, {}, {}};
    for (const int i : {0, 1}) {
      block* const b = i == 0 ? reduced : none;
      if (b == nullptr) continue;
      o.c[i] = patch_of<COutputs>(field, b);
      o.cpp[i] = patch_of<Outputs>(field, b);
    }
    outputs_.push_back(o);
  }

  template <class Field, class Value>
  change with(const char*, const Field& field, const Value& v) {
    return {{patch_of<COptions>(field, v)}, {patch_of<Options>(field, v)}, false};
  }
  change none() {
    change c;
    if constexpr (requires(COptions o) { o.reduction; }) {
      c = with(CULOSS_TEST_FIELD(reduction), int{CULOSS_REDUCTION_NONE});
      c.none = true;
    }
    return c;
  }
  // A field that is tested alone, after `before`. One that the CPU does not read has the same
  // results there.
  template <class Field, class Value>
  void field(const char* name, const Field& f, const Value& v, const change& before = {},
             bool unread_by_cpu = false, bool changes_no_result = false) {
    if constexpr (std::is_same_v<T, float>) {
      using type = std::remove_reference_t<decltype(f(std::declval<Options&>()))>;
      test t{name, before, with(name, f, v), unread_by_cpu};
      t.changes_no_result = changes_no_result;
      t.flag = std::is_same_v<type, bool>;
      if constexpr (std::is_same_v<type, bool>) t.unknown = with(name, f, 2);
      if constexpr (std::is_enum_v<type>) t.unknown = with(name, f, 99);
      tests_.push_back(t);
    }
  }
  // Those that every loss has.
  void shared_fields(std::int64_t rows, bool gradients = true) {
    if constexpr (std::is_same_v<T, float>) {
      field(CULOSS_TEST_FIELD(reduction), int{CULOSS_REDUCTION_SUM});
      field(CULOSS_TEST_FIELD(row_weights), &floats(rows));
      field(CULOSS_TEST_FIELD(normalizer), 3.0f);
      field(CULOSS_TEST_FIELD(empty), int{CULOSS_EMPTY_NAN},
            with(CULOSS_TEST_FIELD(normalizer), 0.0f));
      if (!gradients) return;
      field(CULOSS_TEST_FIELD(upstream), 2.5f);
      field(CULOSS_TEST_FIELD(upstream_rows), &floats(rows), none());
    }
  }

  // call(culoss::cpu or culoss::cuda, outputs, options) in C++.
  template <class Call>
  void run(const Call& call, bool each_field) {
    run_all(
        [this, call](const void* outputs, const void* options) {
          const auto& o = *static_cast<const Outputs*>(outputs);
          const auto& how = *static_cast<const Options*>(options);
          if constexpr (!kWide<T>) {
            if (place_.where == space::cuda) return call(place_.cuda, o, how);
          }
          return call(place_.cpu, o, how);
        },
        each_field, none());
  }
};

// body.operator()<T>(every field?) for each type of the space.
template <class Body>
void for_types(space where, const Body& body) {
  body.template operator()<float>(true);
  body.template operator()<culoss::half>(false);
  body.template operator()<culoss::bf16>(false);
  if (where == space::cpu) body.template operator()<double>(false);
}

}  // namespace culoss_test::c_interface
