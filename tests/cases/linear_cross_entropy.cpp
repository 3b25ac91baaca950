#include "tests/cases/linear_cross_entropy.hpp"

#include "tests/cases/linear_cross_entropy_check.hpp"

namespace culoss_test {

std::unique_ptr<linear_call_base> prepare(const linear_choice& c, const linear_numbers& p,
                                          const linear_execution& how) {
  return with_type(p.type,
                   [&]<class T>(std::type_identity<T>) -> std::unique_ptr<linear_call_base> {
                     return std::make_unique<linear_call<T>>(c, p, how);
                   });
}

std::vector<expectation> expect(const linear_choice& c, const linear_numbers& p, space where) {
  return linear_expectation(c, p, where).all();
}

}  // namespace culoss_test
