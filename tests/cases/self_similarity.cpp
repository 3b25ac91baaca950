#include "tests/cases/self_similarity.hpp"

#include "tests/cases/self_similarity_expected.hpp"

namespace culoss_test {

std::unique_ptr<call_with<self_numbers>> prepare(const self_choice& c, const self_numbers& p,
                                                 const similarity_execution& how) {
  return with_type(p.type,
                   [&]<class T>(std::type_identity<T>) -> std::unique_ptr<call_with<self_numbers>> {
                     return std::make_unique<self_call<T>>(c, p, how);
                   });
}

std::vector<expectation> expect(const self_choice& c, const self_numbers& p, space where) {
  return self_expectation(c, p, where).all();
}

}  // namespace culoss_test
