#include "tests/cases/sigmoid_focal.hpp"

namespace culoss_test {

std::unique_ptr<invocation> sigmoid_focal_case::prepare(const problem& p,
                                                        const execution& how) const {
  return with_type(p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<invocation> {
    return std::make_unique<sigmoid_focal_invocation<T>>(choice_, p, how);
  });
}

std::vector<expectation> sigmoid_focal_case::bound(const problem& p, space where) const {
  return bound_sigmoid_focal(choice_, p, where);
}

}  // namespace culoss_test
