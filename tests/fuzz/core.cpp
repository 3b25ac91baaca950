// What stands beside the losses: status, read_faults, the cuBLAS handle, and the sizes of
// workspaces, which take any number.
#include <culoss/culoss.hpp>
#include <string>

#include "tests/fuzz/execute.hpp"

namespace culoss_fuzz {
namespace {

void check_status(source& from) {
  const std::string text(from.byte() * 2u, static_cast<char>('a' + from.byte() % 26));
  const culoss::status s(culoss::status_code::cuda_error, text.c_str());
  const std::string kept = s.message();
  require(!s.ok() && text.starts_with(kept) && (kept == text || kept.size() > 200),
          "a status keeps the beginning of its message: " + kept);
}

void check_workspaces(source& from) {
  const std::int64_t rows = from.rows(), columns = from.columns();
  (void)culoss::cross_entropy_workspace_bytes(rows, columns);
  (void)culoss::softmax_focal_workspace_bytes(rows, columns);
  (void)culoss::sigmoid_focal_workspace_bytes(rows, columns);
  (void)culoss::regression_workspace_bytes(rows, columns);
  (void)culoss::binary_cross_entropy_workspace_bytes(rows, columns);
  (void)culoss::margin_workspace_bytes(rows, columns);
  (void)culoss::nll_workspace_bytes(rows, columns);
  (void)culoss::entropy_workspace_bytes(rows, columns);
  culoss::similarity_shape shape{.queries = rows,
                                 .keys = from.integer(rows),
                                 .negatives = from.coin() ? from.integer(rows) : 0,
                                 .dimension = columns,
                                 .element_bytes = static_cast<int>(from.integer(2)),
                                 .gradients = from.coin(),
                                 .negative_gradients = from.coin()};
  using enum culoss::similarity_plan;
  for (const culoss::similarity_plan plan :
       {automatic, forward_only, one_visit, recompute, kept, culoss::similarity_plan{-1}}) {
    shape.plan = plan;
    for (const auto& w : {culoss::info_nce_workspace(shape), culoss::clip_workspace(shape),
                          culoss::siglip_workspace(shape)}) {
      require(w.least <= w.best, "more workspace is needed than is of use: queries " +
                                     std::to_string(shape.queries) + ", keys " +
                                     std::to_string(shape.keys) + ", negatives " +
                                     std::to_string(shape.negatives) + ", dimension " +
                                     std::to_string(shape.dimension) + ", element_bytes " +
                                     std::to_string(shape.element_bytes) + ", plan " +
                                     std::to_string(static_cast<int>(plan)) + ": " +
                                     std::to_string(w.least) + " and " + std::to_string(w.best));
    }
  }
  const culoss::self_similarity_shape self{.rows = rows,
                                           .dimension = columns,
                                           .element_bytes = shape.element_bytes,
                                           .gradients = shape.gradients};
  for (const auto& w : {culoss::nt_xent_workspace(self), culoss::sup_con_workspace(self)}) {
    require(w.least <= w.best, "of one batch: more workspace is needed than is of use");
  }
}

// What the function says where these arguments are wrong, and nothing where they are right.
void expect(const culoss::status& s, const std::string& function,
            std::initializer_list<std::pair<const char*, bool>> right) {
  predicate says(function);
  for (const auto& [argument, good] : right) says.require(good, argument);
  require(s.ok() == says.accepts(), function + " said '" + s.message() + "'");
  require(
      s.ok() || (s.code() == culoss::status_code::invalid_argument && says.explains(s.message())),
      std::string("unclear message: ") + s.message());
}

template <class Where>
void check_read_faults(source from, memory& m) {
  const std::uintptr_t address = m.take();
  culoss::fault_record held{};
  held.count = from.byte();
  held.inverted_first_row = from.coin() ? ~std::uint64_t{from.byte()} : from.byte();
  held.label = from.integer(7);
  held.flags = from.byte();
  m.write(address, &held, sizeof held);
  m.upload();
  const auto* record =
      from.coin() ? reinterpret_cast<const culoss::fault_record*>(address) : nullptr;
  const culoss::faults before{.flags = 99};
  culoss::faults out = before;
  culoss::faults* const target = from.coin() ? &out : nullptr;
  const culoss::status s = culoss::read_faults(Where{}, record, target);
  expect(s, "read_faults", {{"record", record != nullptr}, {"out", target != nullptr}});
  require(s.ok() ? out.flags == held.flags && out.count == held.count : out.flags == before.flags,
          "read_faults: flags or count");
  require(m.unchanged_but({}), "read_faults wrote to the record");
}

void check_borrow(source& from) {
  culoss::cublas other;
  cublasContext* const handle = from.coin() ? default_blas().handle() : nullptr;
  const culoss::workspace own = default_blas().pinned();
  culoss::workspace pinned;
  if (from.coin()) pinned.data = static_cast<char*>(own.data) + from.byte() % 2 * from.byte();
  if (from.coin()) pinned.bytes = own.bytes / 2;
  const bool aligned = reinterpret_cast<std::uintptr_t>(pinned.data) % 256 == 0;
  const culoss::status s = other.borrow(handle, pinned);
  expect(s, "cublas::borrow",
         {{"handle", handle != nullptr},
          {"pinned", aligned && (pinned.data != nullptr || pinned.bytes == 0)}});
  require(other.handle() == (s.ok() ? handle : nullptr), "cublas::borrow: handle()");
}

int execute_core(const std::uint8_t* data, std::size_t size) {
  static memory host(space::cpu);
  source from(data, size, host);
  check_status(from);
  check_workspaces(from);
  check_read_faults<culoss::cpu>(from, host);
  if (with_device()) {
    static memory device(space::cuda);
    device.begin();
    check_read_faults<culoss::cuda>(from, device);
    check_borrow(from);
    finish_device("core");
  }
  return 0;
}

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return culoss_fuzz::execute_core(data, size);
}
