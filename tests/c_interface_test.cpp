// The C interface gives what the C++ one gives, bit for bit: every function, called from C, with
// each of its options set alone; and what the C++ interface has not: versions of structs, types that
// are known late, messages of threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <thread>

#include "tests/c_interface/cross_entropy.hpp"
#include "tests/c_interface/elements.hpp"
#include "tests/c_interface/embeddings.hpp"
#include "tests/c_interface/pairs.hpp"
#ifdef CULOSS_TESTS_WITH_CUDA
#include "tests/harness/blas.hpp"
#include "tests/harness/cuda.hpp"
#endif

namespace culoss_test::c_interface {
namespace {

class c_interface : public on_each_space {};

TEST_P(c_interface, rows) {
  place p(GetParam());
  for_types(GetParam(), [&]<class T>(bool each) { call_rows<T>(p, each); });
}
TEST_P(c_interface, cross_entropies) {
  place p(GetParam());
  for_types(GetParam(), [&]<class T>(bool each) { call_all_cross_entropies<T>(p, each); });
}
TEST_P(c_interface, elements) {
  place p(GetParam());
  for_types(GetParam(), [&]<class T>(bool each) { call_elements<T>(p, each); });
}
TEST_P(c_interface, embeddings) {
  place p(GetParam());
  for_types(GetParam(), [&]<class T>(bool each) { call_embeddings<T>(p, each); });
}
TEST_P(c_interface, pairs) {
  place p(GetParam());
  for_types(GetParam(), [&]<class T>(bool each) {
    call_embedding_pairs<T>(p, each);
    call_triplet<T>(p, each);
  });
}
CULOSS_ON_EACH_SPACE(c_interface);

// The headers of the C interface, as one text without comments.
std::string headers() {
  std::ostringstream text;
  for (const auto& f :
       std::filesystem::directory_iterator(CULOSS_TEST_DATA "/../../include/culoss/c")) {
    text << std::ifstream(f.path()).rdbuf();
  }
  return std::regex_replace(text.str(), std::regex("//[^\n]*"), "");
}

std::vector<std::smatch> matches(const std::string& text, const std::string& pattern) {
  static std::map<std::string, std::regex> known;
  const std::regex& r = known.try_emplace(pattern, pattern).first->second;
  std::vector<std::smatch> all;
  for (std::sregex_iterator i(text.begin(), text.end(), r), end; i != end; ++i) all.push_back(*i);
  return all;
}

TEST(c_interface_tests, leave_out_no_function_and_no_option) {
  place p(space::cpu);
  call_rows<float>(p, true);
  call_all_cross_entropies<float>(p, true);
  call_elements<float>(p, true);
  call_embeddings<float>(p, true);
  call_embedding_pairs<float>(p, true);
  call_triplet<float>(p, true);

  const std::string text = headers();
  for (const c_loss* f = c_losses; f->name != nullptr; ++f) {
    EXPECT_TRUE(called().contains(f->name)) << f->name << " is in no test";
  }
  std::set<std::string> structs;
  for (const std::smatch& s :
       matches(text, "typedef struct \\{([^}]*)\\} (culoss_\\w+_options);")) {
    const std::string body = s[1], name = s[2];
    structs.insert(name);
    for (const std::smatch& f : matches(body, "(\\w+)[,;]")) {
      const std::string field = f[1];
      if (field == "size" || field == "reserved") continue;
      EXPECT_TRUE(proven()[name].contains(field)) << name << "." << field << " is in no test";
    }
  }
  std::set<std::string> inits;
  for (const c_init* i = c_inits; i->name != nullptr; ++i) {
    inits.insert("culoss_" + std::string(i->name) + "_options");
  }
  EXPECT_EQ(structs, inits);
}

TEST(c_interface_tests, are_called_from_c_for_every_declaration) {
  std::ostringstream calls;
  calls << std::ifstream(CULOSS_TEST_DATA "/../c_interface/calls.c").rdbuf();
  const std::string text = headers();
  std::size_t functions = 0;
  for (const std::smatch& f : matches(text, "(\\w+ )?\\*?\\b(culoss_\\w+)\\([^;{]*\\);")) {
    const std::string name = f[2];
    ++functions;
    EXPECT_NE(calls.str().find(name + "("), std::string::npos) << name << " is not called";
  }
  EXPECT_GE(functions, 70u);
}

TEST(c_interface_calls, of_what_needs_no_memory) {
  char message[256] = "";
  EXPECT_EQ(c_rest(message, sizeof message), 0);
  EXPECT_EQ(std::string(message), "softmax: execution is null");
}

TEST(c_interface_version, is_that_of_the_project) {
  int major = 0, minor = 0, patch = 0;
  ASSERT_EQ(std::sscanf(CULOSS_PROJECT_VERSION, "%d.%d.%d", &major, &minor, &patch), 3);
  EXPECT_EQ(CULOSS_VERSION, major * 1000000 + minor * 1000 + patch);
}

// A softmax focal loss of two rows on the CPU, whose structs can be spoiled.
struct small_call {
  float logits[6] = {2, 1, -1, 0, 3, 1};
  std::int64_t labels[2] = {0, 2};
  float loss = 0, grad[6] = {};
  culoss_execution where{};
  culoss_const_matrix x = {logits, 2, 3, 3, CULOSS_FLOAT32, CULOSS_LAYOUT_ROWS};
  culoss_const_vector t = {labels, 2, CULOSS_INT64, 0};
  culoss_softmax_focal_outputs outputs{};
  culoss_softmax_focal_options options{};

  small_call() {
    where.size = sizeof where;
    where.device = CULOSS_CPU;
    outputs.size = sizeof outputs;
    outputs.loss = {&loss, 1, CULOSS_FLOAT32, 0};
    outputs.grad_logits = {grad, 2, 3, 3, CULOSS_FLOAT32, CULOSS_LAYOUT_ROWS};
    init_of("softmax_focal").init(&options, sizeof options);
  }
  culoss_status call() { return call_with(&where, &outputs, &options); }
  culoss_status call_with(const culoss_execution* w, const void* o, const void* how) {
    c_call c{};
    c.where = w;
    c.in[0] = x;
    c.labels = t;
    c.outputs = o;
    c.options = how;
    return function("softmax_focal").call(&c);
  }
  void expect_refused(const std::string& message, culoss_status code = CULOSS_INVALID_ARGUMENT) {
    EXPECT_EQ(call(), code);
    EXPECT_EQ(culoss_last_message(), "softmax_focal: " + message);
    EXPECT_EQ(loss, 0.0f) << "written";
    EXPECT_EQ(grad[0], 0.0f) << "written";
  }
};

TEST(c_interface_structs, of_an_older_version_have_the_defaults_for_what_is_not_there) {
  small_call whole;
  whole.options.gamma = 1.0f;
  ASSERT_EQ(whole.call(), CULOSS_SUCCESS);

  small_call cut;
  cut.options.gamma = 1.0f;
  cut.options.size = offsetof(culoss_softmax_focal_options, alpha);
  std::memset(reinterpret_cast<char*>(&cut.options) + cut.options.size, 0xab,
              sizeof cut.options - cut.options.size);
  cut.outputs.size = offsetof(culoss_softmax_focal_outputs, grad_logits);
  cut.where.size = offsetof(culoss_execution, stream);
  ASSERT_EQ(cut.call(), CULOSS_SUCCESS) << culoss_last_message();
  EXPECT_EQ(cut.loss, whole.loss);
  EXPECT_EQ(cut.grad[0], 0.0f);  // beyond the outputs' size
  EXPECT_NE(whole.grad[0], 0.0f);

  small_call without;
  ASSERT_EQ(without.call_with(&without.where, &without.outputs, nullptr), CULOSS_SUCCESS);
  small_call defaults;
  ASSERT_EQ(defaults.call(), CULOSS_SUCCESS);
  EXPECT_EQ(without.loss, defaults.loss);
  EXPECT_NE(without.loss, whole.loss);
}

// Every struct that has a size, with words of a later version behind it.
template <class C>
struct longer {
  C now{};
  std::uint64_t later[3] = {};
};

TEST(c_interface_structs, of_a_later_version_are_refused_unless_the_rest_is_zero) {
  small_call s;
  ASSERT_EQ(s.call(), CULOSS_SUCCESS);
  const float expected = s.loss;
  const auto with = [&](auto& extended, const char* name, const auto& call) {
    extended.now.size = sizeof extended;
    s.loss = 0;
    EXPECT_EQ(call(), CULOSS_SUCCESS) << name << ": " << culoss_last_message();
    EXPECT_EQ(s.loss, expected) << name;
    s.loss = 0;
    extended.later[2] = std::uint64_t{1} << 56;  // its last byte
    EXPECT_EQ(call(), CULOSS_INVALID_ARGUMENT) << name;
    EXPECT_EQ(culoss_last_message(), "softmax_focal: " + std::string(name) + ".size is " +
                                         std::to_string(sizeof extended) +
                                         ", but this version knows " +
                                         std::to_string(sizeof extended.now) + " bytes, and byte " +
                                         std::to_string(sizeof extended - 1) + " is not 0");
    EXPECT_EQ(s.loss, 0.0f) << name;
  };
  longer<culoss_softmax_focal_options> options{s.options};
  with(options, "options", [&] { return s.call_with(&s.where, &s.outputs, &options); });
  longer<culoss_softmax_focal_outputs> outputs{s.outputs};
  with(outputs, "outputs", [&] { return s.call_with(&s.where, &outputs, &s.options); });
  longer<culoss_execution> where{s.where};
  with(where, "execution", [&] { return s.call_with(&where.now, &s.outputs, &s.options); });
}

TEST(c_interface_structs, without_a_size_that_can_be_are_refused) {
  const std::string known = std::to_string(sizeof(culoss_softmax_focal_options));
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{4}, std::uint64_t{12},
                                   std::uint64_t{sizeof(culoss_softmax_focal_options) + 4},
                                   std::uint64_t{4104}, ~std::uint64_t{0} - 7}) {
    small_call s;
    s.options.size = size;
    s.expect_refused("options.size is " + std::to_string(size) +
                     ", must be that of the struct, here " + known);
    culoss_softmax_focal_options untouched{};
    EXPECT_EQ(init_of("softmax_focal").init(&untouched, size), CULOSS_INVALID_ARGUMENT);
    EXPECT_EQ(untouched.gamma, 0.0f);
  }
  small_call s;
  s.outputs.size = 0;
  s.expect_refused("outputs.size is 0, must be that of the struct, here " +
                   std::to_string(sizeof s.outputs));
  EXPECT_EQ(s.call_with(&s.where, nullptr, nullptr), CULOSS_INVALID_ARGUMENT);
  EXPECT_EQ(culoss_last_message(), std::string("softmax_focal: outputs is null"));
}

// All options, with more room and with less.
TEST(c_interface_structs, are_initialized_as_far_as_the_caller_has_them) {
  for (const c_init* i = c_inits; i->name != nullptr; ++i) {
    std::vector<std::byte> more(4096, std::byte{0xab}), less = more;
    ASSERT_EQ(i->init(more.data(), more.size()), CULOSS_SUCCESS) << i->name;
    std::uint64_t size = 0;
    std::memcpy(&size, more.data(), sizeof size);
    EXPECT_EQ(size, more.size());
    EXPECT_TRUE(std::all_of(more.begin() + 1024, more.end(), [](std::byte b) {
      return b == std::byte{0};
    })) << i->name;
    ASSERT_EQ(i->init(less.data(), 16), CULOSS_SUCCESS) << i->name;
    EXPECT_TRUE(std::equal(less.begin() + 8, less.begin() + 16, more.begin() + 8)) << i->name;
    EXPECT_EQ(less[16], std::byte{0xab}) << i->name << " writes behind the struct";
    EXPECT_EQ(i->init(nullptr, 16), CULOSS_INVALID_ARGUMENT);
    EXPECT_EQ(culoss_last_message(), std::string(i->name) + "_options_init: options is null");
  }
}

TEST(c_interface_types, that_do_not_fit_are_refused) {
  const auto refused = [](const auto& spoil, const std::string& message,
                          culoss_status code = CULOSS_INVALID_ARGUMENT) {
    small_call s;
    spoil(s);
    s.expect_refused(message, code);
  };
  refused([](auto& s) { s.x.type = 0; },
          "logits.type is 0 (no type), must be float32, float16, bfloat16 or float64");
  refused([](auto& s) { s.x.type = CULOSS_INT32; },
          "logits.type is 5 (int32), must be float32, float16, bfloat16 or float64");
  refused([](auto& s) { s.x.type = 99; },
          "logits.type is 99 (unknown), must be float32, float16, bfloat16 or float64");
  refused([](auto& s) { s.outputs.grad_logits.type = CULOSS_FLOAT16; },
          "grad_logits.type is 2 (float16), must be 1 (float32)");
  refused([](auto& s) { s.x.type = CULOSS_FLOAT16; },
          "grad_logits.type is 1 (float32), must be 2 (float16)");
  refused([](auto& s) { s.outputs.loss.type = CULOSS_FLOAT64; },
          "loss.type is 4 (float64), must be 1 (float32)");
  refused([](auto& s) { s.t.type = CULOSS_FLOAT32; },
          "labels.type is 1 (float32), must be 5 (int32) or 6 (int64)");
  refused(
      [](auto& s) {
        s.outputs.argmax = {&s, 2, CULOSS_INT32, 0};
      },
      "argmax.type is 5 (int32), must be 6 (int64)");
  refused(
      [](auto& s) {
        s.outputs.statistics = {&s, 2, CULOSS_FLOAT32, 0};
      },
      "statistics.type is 1 (float32), must be 8 (row statistics of float32)");
  refused(
      [](auto& s) {
        s.options.alpha = {s.logits, 3, CULOSS_FLOAT64, 0};
      },
      "alpha.type is 4 (float64), must be 1 (float32)");
  refused([](auto& s) { s.outputs.loss.reserved = 7; }, "loss.reserved is 7, must be 0");
  refused([](auto& s) { s.options.reserved = 7; }, "reserved is 7, must be 0");
  refused([](auto& s) { s.options.upstream.kind = 3; }, "upstream.kind is 3, must be 0, 1 or 2");
  refused([](auto& s) { s.options.upstream = culoss_at(nullptr); },
          "upstream was given as a null pointer");
  refused([](auto& s) { s.options.upstream.kind = 0; }, "upstream is not given");
  refused([](auto& s) { s.options.reduction = 3; }, "reduction must be none, mean or sum");
  refused([](auto& s) { s.x.layout = CULOSS_LAYOUT_STRIDED; },
          "grad_logits.layout is 0, must be 1 (strided, as the logits are)");
  refused([](auto& s) { s.x.layout = 2; }, "logits.layout is 2, must be 0 (rows)");
  refused([](auto& s) { s.where.device = 0; },
          "execution.device is 0, must be 1 (CPU) or 2 (CUDA)");
  refused([](auto& s) { s.where.threads = -1; }, "cpu.threads is -1, must not be negative");
  refused(
      [](auto& s) {
        s.where.device = CULOSS_CUDA;
        s.x.type = CULOSS_FLOAT64;
      },
      "logits is of float64, which only the CPU takes", CULOSS_UNSUPPORTED);
}

TEST(c_interface_messages, belong_to_the_thread) {
  small_call s;
  s.x.type = 0;
  EXPECT_NE(s.call(), CULOSS_SUCCESS);
  const std::string mine = culoss_last_message();
  std::string before = "unset", during, after = "unset";
  std::thread([&] {
    before = culoss_last_message();
    small_call other;
    other.t.size = 1;
    EXPECT_NE(other.call(), CULOSS_SUCCESS);
    during = culoss_last_message();
    other.t.size = 2;
    EXPECT_EQ(other.call(), CULOSS_SUCCESS);
    after = culoss_last_message();
  }).join();
  EXPECT_EQ(before, "");
  EXPECT_EQ(during, "softmax_focal: labels.size is 1, must be 2 (logits.rows)");
  EXPECT_EQ(after, "");
  EXPECT_EQ(culoss_last_message(), mine);
  s.x.type = CULOSS_FLOAT32;
  EXPECT_EQ(s.call(), CULOSS_SUCCESS);
  EXPECT_EQ(culoss_last_message(), std::string());
}

TEST(c_interface_faults, are_recorded_and_read) {
  for (const space where : {space::cpu, space::cuda}) {
    if (where == space::cuda && !cuda_device_present()) continue;
    place p(where);
    block record(where, CULOSS_INT64, 1, 4, 0);
    record.write({0, 0, 0, 0});
    p.c.faults = static_cast<culoss_fault_record*>(record.data());
    block x(where, CULOSS_FLOAT32, 3, 2, 0), labels(where, CULOSS_INT64, 1, 3, 0),
        loss(where, CULOSS_FLOAT32, 1, 1, 0);
    x.write({1, 2, 3, 4, 5, 6});
    labels.write({1, 7, 9});
    culoss_softmax_focal_outputs outputs{};
    outputs.size = sizeof outputs;
    set(outputs.loss, loss);
    c_call c{};
    c.where = &p.c;
    set(c.in[0], x);
    set(c.labels, labels);
    c.outputs = &outputs;
    ASSERT_EQ(function("softmax_focal").call(&c), CULOSS_SUCCESS) << culoss_last_message();
    struct {
      culoss_faults now;
      std::uint64_t behind;
    } f = {{sizeof(culoss_faults), 0, 0, 0, 0}, 5};
    ASSERT_EQ(c_read_faults(&p.c, p.c.faults, &f.now), CULOSS_SUCCESS) << culoss_last_message();
    EXPECT_EQ(f.now.size, sizeof f.now);
    EXPECT_EQ(f.now.count, 2u);
    EXPECT_EQ(f.now.first_row, 1);
    EXPECT_EQ(f.now.label, 7);
    EXPECT_EQ(f.now.flags, 1u);
    f.now = {16, 0, 0, 0, 0};  // of a version that had only the count
    ASSERT_EQ(c_read_faults(&p.c, p.c.faults, &f.now), CULOSS_SUCCESS);
    EXPECT_EQ(f.now.count, 2u);
    EXPECT_EQ(f.now.label, 0);
    EXPECT_EQ(f.behind, 5u);
    EXPECT_EQ(c_read_faults(&p.c, nullptr, &f.now), CULOSS_INVALID_ARGUMENT);
    EXPECT_EQ(c_read_faults(&p.c, p.c.faults, nullptr), CULOSS_INVALID_ARGUMENT);
    EXPECT_EQ(culoss_last_message(), std::string("read_faults: out is null"));
  }
}

TEST(c_interface_workspace, bytes_are_those_of_the_functions) {
  const std::map<std::string, std::size_t (*)(std::int64_t, std::int64_t) noexcept> expected = {
      {"cross_entropy", culoss::cross_entropy_workspace_bytes},
      {"softmax_focal", culoss::softmax_focal_workspace_bytes},
      {"nll", culoss::nll_workspace_bytes},
      {"entropy", culoss::entropy_workspace_bytes},
      {"kl_divergence", culoss::kl_divergence_workspace_bytes},
      {"distillation", culoss::distillation_workspace_bytes},
      {"multi_class_hinge", culoss::multi_class_hinge_workspace_bytes},
      {"cosine_embedding", culoss::cosine_embedding_workspace_bytes},
      {"contrastive", culoss::contrastive_workspace_bytes},
      {"triplet", culoss::triplet_workspace_bytes},
      {"regression", culoss::regression_workspace_bytes},
      {"binary_cross_entropy", culoss::binary_cross_entropy_workspace_bytes},
      {"margin", culoss::margin_workspace_bytes},
      {"sigmoid_focal", culoss::sigmoid_focal_workspace_bytes}};
  std::size_t count = 0;
  for (const c_bytes* b = c_bytes_of; b->name != nullptr; ++b, ++count) {
    ASSERT_TRUE(expected.contains(b->name)) << b->name;
    for (const std::int64_t rows : {1, 1000, 100000}) {
      EXPECT_EQ(b->bytes(rows, 777), expected.at(b->name)(rows, 777)) << b->name;
    }
  }
  EXPECT_EQ(count, expected.size());
}

culoss_workspace workspace_of(const std::string& name, const void* shape) {
  culoss_workspace out{};
  out.size = sizeof out;
  for (const c_plan* f = c_plans; f->name != nullptr; ++f) {
    if (f->name != name) continue;
    called().insert(name + "_workspace");
    EXPECT_EQ(f->plan(shape, &out), CULOSS_SUCCESS) << culoss_last_message();
    EXPECT_EQ(f->plan(nullptr, &out), CULOSS_INVALID_ARGUMENT);
    EXPECT_EQ(culoss_last_message(), name + "_workspace: shape is null");
    EXPECT_EQ(f->plan(shape, nullptr), CULOSS_INVALID_ARGUMENT);
    EXPECT_EQ(culoss_last_message(), name + "_workspace: out is null");
    return out;
  }
  ADD_FAILURE() << "no workspace of " << name;
  return out;
}
template <class Plan>
void expect_plan(const culoss_workspace& w, const Plan& p, const std::string& what) {
  EXPECT_EQ(w.least, p.least) << what;
  EXPECT_EQ(w.best, p.best) << what;
  if constexpr (requires { p.least_plan; }) {
    EXPECT_EQ(w.least_plan, static_cast<int>(p.least_plan)) << what;
    EXPECT_EQ(w.best_plan, static_cast<int>(p.best_plan)) << what;
  }
  if constexpr (requires { p.least_rows; }) {
    EXPECT_EQ(w.least_rows, p.least_rows) << what;
    EXPECT_EQ(w.best_rows, p.best_rows) << what;
  }
}

// Every field of a shape, set alone.
TEST(c_interface_workspace, plans_are_those_of_the_functions) {
  const auto similarity = [](const std::string& name, const auto& query) {
    culoss_similarity_shape c{
        sizeof c, 300, 320, 64, 96, 4, CULOSS_FLOAT16, 1, 0, CULOSS_PLAN_AUTOMATIC};
    culoss::similarity_shape s{300, 320, 64, 96, 4, 2, true, false};
    const auto same = [&](const auto& change, const char* what) {
      auto c2 = c;
      auto s2 = s;
      change(c2), change(s2);
      expect_plan(workspace_of(name, &c2), query(s2), name + ", " + what);
    };
    same([](auto&) {}, "as it is");
    same([](auto& x) { x.queries = 200; }, "queries");
    same([](auto& x) { x.keys = 500; }, "keys");
    same([](auto& x) { x.negatives = 700; }, "negatives");
    same([](auto& x) { x.dimension = 32; }, "dimension");
    same([](auto& x) { x.row_negatives = 3000; }, "row_negatives");
    same([](auto& x) { set(x.gradients, 0); }, "gradients");
    same([](auto& x) { set(x.negative_gradients, 1); }, "negative_gradients");
    same([](auto& x) { set(x.plan, int{CULOSS_PLAN_KEPT}); }, "plan");
    same(
        [](auto& x) {
          if constexpr (requires { x.type; }) {
            x.type = CULOSS_FLOAT32;
          } else {
            x.element_bytes = 4;
          }
        },
        "type");
  };
  similarity("info_nce", [](const auto& s) { return culoss::info_nce_workspace(s); });
  similarity("clip", [](const auto& s) { return culoss::clip_workspace(s); });
  similarity("siglip", [](const auto& s) { return culoss::siglip_workspace(s); });

  for (const bool gradients : {false, true}) {
    for (const culoss_dtype type : {CULOSS_FLOAT32, CULOSS_BFLOAT16}) {
      const int bytes = type == CULOSS_FLOAT32 ? 4 : 2;
      const culoss_self_similarity_shape c{sizeof c, 300, 96, type, gradients ? 1 : 0};
      const culoss::self_similarity_shape s{300, 96, bytes, gradients};
      expect_plan(workspace_of("nt_xent", &c), culoss::nt_xent_workspace(s), "nt_xent");
      expect_plan(workspace_of("sup_con", &c), culoss::sup_con_workspace(s), "sup_con");
      for (int flags = 0; flags < 8; ++flags) {
        const culoss_linear_cross_entropy_shape l{
            sizeof l, 300, 500, 96, type, flags & 1, (flags >> 1) & 1, flags >> 2};
        expect_plan(workspace_of("linear_cross_entropy", &l),
                    culoss::linear_cross_entropy_workspace({300, 500, 96, bytes, (flags & 1) != 0,
                                                            (flags & 2) != 0, (flags & 4) != 0}),
                    "linear_cross_entropy");
      }
    }
  }
  for (const int rule : {0, 1, 2}) {
    const culoss_mined_triplet_shape c{sizeof c, 300, 96, rule, 0};
    expect_plan(workspace_of("mined_triplet", &c),
                culoss::mined_triplet_workspace({300, 96, static_cast<culoss::mining_rule>(rule)}),
                "mined_triplet");
  }
  for (const c_plan* f = c_plans; f->name != nullptr; ++f) {
    EXPECT_TRUE(called().contains(std::string(f->name) + "_workspace")) << f->name;
  }
}

#ifdef CULOSS_TESTS_WITH_CUDA

// The stream, the workspace and the handle are those of the call.
TEST(c_interface_execution, is_passed_on) {
  CULOSS_NEEDS_CUDA();
  place p(space::cuda);
  block x(space::cuda, CULOSS_FLOAT32, 300, 40, 0), loss(space::cuda, CULOSS_FLOAT32, 1, 1, 0);
  x.write(std::vector<double>(300 * 40, 0.5));
  culoss_regression_outputs outputs{};
  outputs.size = sizeof outputs;
  set(outputs.loss, loss);
  c_call c{};
  c.where = &p.c;
  set(c.in[0], x);
  set(c.in[1], x);
  c.outputs = &outputs;
  const auto call = [&] { return function("mse").call(&c); };

  const stream s;
  p.c.stream = s.get();
  const graph recorded(s.get(), [&] { EXPECT_EQ(call(), CULOSS_SUCCESS); });
  EXPECT_GT(recorded.count(cudaGraphNodeTypeKernel), 0);
  p.c.stream = nullptr;

  block scratch(space::cuda, CULOSS_UINT8, 1, 16, 0);
  p.c.workspace = scratch.data();
  p.c.workspace_bytes = 1;
  EXPECT_EQ(call(), CULOSS_WORKSPACE_TOO_SMALL) << culoss_last_message();
  p.c.workspace = nullptr;
  EXPECT_EQ(call(), CULOSS_INVALID_ARGUMENT);
  EXPECT_EQ(culoss_last_message(),
            std::string("mse: workspace.data is null, but workspace.bytes is 1"));
  p.c.workspace_bytes = 0;
  EXPECT_EQ(call(), CULOSS_SUCCESS) << culoss_last_message();
}

TEST(c_interface_execution, a_borrowed_handle_is_used) {
  CULOSS_NEEDS_CUDA();
  place p(space::cuda);
  const callers_handle handle;
  block memory(space::cuda, CULOSS_UINT8, 1, 1 << 20, 0);
  culoss_cublas* blas = nullptr;
  EXPECT_EQ(c_cublas_borrow(nullptr, nullptr, 0, &blas), CULOSS_INVALID_ARGUMENT);
  EXPECT_EQ(blas, nullptr);
  EXPECT_EQ(c_cublas_borrow(handle.get(), nullptr, 0, nullptr), CULOSS_INVALID_ARGUMENT);
  EXPECT_EQ(culoss_last_message(), std::string("cublas_borrow: made is null"));
  char* const misaligned = static_cast<char*>(memory.data()) + 16;
  EXPECT_EQ(c_cublas_borrow(handle.get(), misaligned, 256, &blas), CULOSS_INVALID_ARGUMENT);
  ASSERT_EQ(c_cublas_borrow(handle.get(), memory.data(), 1 << 20, &blas), CULOSS_SUCCESS)
      << culoss_last_message();
  culoss_execution where = p.c;
  where.blas = blas;

  block x(space::cuda, CULOSS_FLOAT32, 4, 8, 0), labels(space::cuda, CULOSS_INT64, 1, 4, 0),
      loss(space::cuda, CULOSS_FLOAT32, 1, 1, 0);
  x.write(std::vector<double>(32, 0.5));
  labels.write({0, 1, 0, 1});
  culoss_mined_triplet_outputs outputs{};
  outputs.size = sizeof outputs;
  set(outputs.loss, loss);
  c_call c{};
  c.where = &where;
  set(c.in[0], x);
  set(c.labels, labels);
  c.outputs = &outputs;
  ASSERT_EQ(function("mined_triplet").call(&c), CULOSS_SUCCESS) << culoss_last_message();
  cublasMath_t mode = CUBLAS_DEFAULT_MATH;
  ASSERT_EQ(cublasGetMathMode(handle.get(), &mode), CUBLAS_STATUS_SUCCESS);
  EXPECT_NE(mode, CUBLAS_DEFAULT_MATH);  // a call's own
  synchronize(space::cuda);
  c_cublas_destroy(blas);
}

#endif

}  // namespace
}  // namespace culoss_test::c_interface
