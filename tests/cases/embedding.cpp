#include "tests/cases/embedding.hpp"

namespace culoss_test {

std::unique_ptr<invocation> embedding_case::prepare(const problem& p, const execution& how) const {
  return with_type(p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<invocation> {
    return std::make_unique<embedding_invocation<T>>(choice_, p, how);
  });
}

std::vector<expectation> embedding_case::bound(const problem& p, space where) const {
  return bound_embedding_loss(choice_, p, where);
}

}  // namespace culoss_test
