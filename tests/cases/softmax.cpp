#include "tests/cases/softmax.hpp"

namespace culoss_test {

std::unique_ptr<invocation> softmax_case::prepare(const problem& p, const execution& how) const {
  return with_type(p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<invocation> {
    return std::make_unique<softmax_invocation<T>>(choice_, p, how);
  });
}

}  // namespace culoss_test
