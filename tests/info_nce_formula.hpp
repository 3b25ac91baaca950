// The formula of info_nce in any scalar, apart from the calls.
#pragma once

#include <vector>

#include "host/reference/info_nce.hpp"
#include "tests/info_nce_call.hpp"

namespace culoss_test {

using culoss::reference::candidates;

// Embeddings one after another, in the scalar S.
template <class S>
std::vector<S> flat(const embedding_rows& a, const embedding_rows& b = {}) {
  std::vector<S> values;
  for (const embedding_rows* rows : {&a, &b}) {
    for (const auto& row : *rows) values.insert(values.end(), row.begin(), row.end());
  }
  return values;
}

// The losses of all rows.
template <class S>
std::vector<S> losses(const std::vector<S>& queries, const std::vector<S>& columns,
                      std::size_t dimension, bool normalize, const candidates& among, S scale,
                      double margin = 0, const std::vector<S>& own_values = {},
                      std::size_t of_a_row = 0) {
  const culoss::reference::embeddings<S> q(queries, dimension, normalize);
  const culoss::reference::embeddings<S> k(columns, dimension, normalize);
  const culoss::reference::embeddings<S> own(own_values, dimension, normalize);
  const culoss::reference::similarities<S> s = {
      q, k, among, scale, static_cast<culoss::reference::real_part_of<S>>(margin), &own, of_a_row};
  std::vector<S> result, l(s.size());
  for (std::size_t i = 0; i < q.size(); ++i) {
    s.row(i, l);
    const auto statistics = culoss::reference::statistics_of_similarities<S>(l, among.positive(i));
    result.push_back(culoss::reference::info_nce_row<S>(l, among.positive(i), statistics));
  }
  return result;
}

}  // namespace culoss_test
