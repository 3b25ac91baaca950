#include "tests/cases/entropy.hpp"

namespace culoss_test {

std::unique_ptr<invocation> entropy_case::prepare(const problem& p, const execution& how) const {
  return with_type(p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<invocation> {
    return std::make_unique<entropy_invocation<T>>(choice_, p, how);
  });
}

std::vector<expectation> entropy_case::bound(const problem& p, space where) const {
  return bound_entropy(choice_, p, where);
}

}  // namespace culoss_test
