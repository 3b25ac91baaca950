#include "tests/cases/kl_divergence.hpp"

namespace culoss_test {

std::unique_ptr<invocation> kl_case::prepare(const problem& p, const execution& how) const {
  return with_type(p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<invocation> {
    return std::make_unique<kl_invocation<T>>(choice_, p, how);
  });
}

std::vector<expectation> kl_case::bound(const problem& p, space where) const {
  return bound_kl(choice_, p, where);
}

}  // namespace culoss_test
