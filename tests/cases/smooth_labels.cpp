#include "tests/cases/smooth_labels.hpp"

namespace culoss_test {

std::unique_ptr<invocation> smooth_labels_case::prepare(const problem& p,
                                                        const execution& how) const {
  return with_type(p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<invocation> {
    return std::make_unique<smooth_labels_invocation<T>>(choice_, p, how);
  });
}

}  // namespace culoss_test
