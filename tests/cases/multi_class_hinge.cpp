#include "tests/cases/multi_class_hinge.hpp"

namespace culoss_test {

std::unique_ptr<invocation> multi_hinge_case::prepare(const problem& p,
                                                      const execution& how) const {
  return with_type(p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<invocation> {
    return std::make_unique<multi_hinge_invocation<T>>(choice_, p, how);
  });
}

std::vector<expectation> multi_hinge_case::bound(const problem& p, space where) const {
  return bound_multi_hinge(choice_, p, where);
}

}  // namespace culoss_test
