#include "tests/cases/siglip.hpp"

#include "tests/cases/siglip_expected.hpp"

namespace culoss_test {

std::unique_ptr<call_with<siglip_numbers>> prepare(const siglip_choice& c, const siglip_numbers& p,
                                                   const similarity_execution& how) {
  return with_type(
      p.type, [&]<class T>(std::type_identity<T>) -> std::unique_ptr<call_with<siglip_numbers>> {
        return std::make_unique<siglip_call<T>>(c, p, how);
      });
}

std::vector<expectation> expect(const siglip_choice& c, const siglip_numbers& p, space where) {
  return siglip_expectation(c, p, where).all();
}

}  // namespace culoss_test
