#include "tests/cases/nll.hpp"

namespace culoss_test {

std::unique_ptr<invocation> nll_case::prepare(const problem& p, const execution& how) const {
  return with_type(p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<invocation> {
    return std::make_unique<nll_invocation<T>>(choice_, p, how);
  });
}

std::vector<expectation> nll_case::bound(const problem& p, space where) const {
  return bound_nll(choice_, p, where);
}

}  // namespace culoss_test
