#include "tests/cases/similarity.hpp"

#include "tests/cases/similarity_expected.hpp"

namespace culoss_test {

std::unique_ptr<similarity_call_base> prepare(const similarity_choice& c,
                                              const similarity_numbers& p,
                                              const similarity_execution& how) {
  return with_type(p.type,
                   [&]<class T>(std::type_identity<T>) -> std::unique_ptr<similarity_call_base> {
                     return std::make_unique<similarity_call<T>>(c, p, how);
                   });
}

std::vector<expectation> expect(const similarity_choice& c, const similarity_numbers& p,
                                space where) {
  return similarity_expectation(c, p, where).all();
}

}  // namespace culoss_test
