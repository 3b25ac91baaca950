#include "tests/cases/cross_entropy_targets.hpp"

namespace culoss_test {

std::unique_ptr<invocation> cross_entropy_targets_case::prepare(const problem& p,
                                                                const execution& how) const {
  return with_type(p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<invocation> {
    return std::make_unique<target_invocation<T>>(choice_, p, how);
  });
}

std::vector<expectation> cross_entropy_targets_case::bound(const problem& p, space where) const {
  return bound_cross_entropy_targets(choice_, p, where);
}

}  // namespace culoss_test
