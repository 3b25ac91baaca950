#include "tests/cases/mined_triplet.hpp"

#include "tests/cases/mined_triplet_check.hpp"

namespace culoss_test {

std::unique_ptr<call_with<mined_numbers>> prepare(const mined_choice& c, const mined_numbers& p,
                                                  const similarity_execution& how) {
  return with_type(
      p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<call_with<mined_numbers>> {
        return std::make_unique<mined_call<T>>(c, p, how);
      });
}

std::vector<expectation> expect(const mined_choice& c, const mined_numbers& p, space) {
  return mined_expectation(c, p).all();
}

}  // namespace culoss_test
