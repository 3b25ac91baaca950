#include "bench/similarity_reference.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "host/reference/parallel.hpp"

namespace culoss::bench {
namespace {

using culoss::reference::for_each_range;

constexpr std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

// <x_s, y> for samples x_0, x_1, ... whose elements alternate: one loop over y for all of them.
template <std::size_t count>
void dot_products(const double* x, std::span<const double> y, double* out) {
  double sums[count] = {};
  for (std::size_t d = 0; d < y.size(); ++d) {
    for (std::size_t s = 0; s < count; ++s) sums[s] += x[d * count + s] * y[d];
  }
  std::copy_n(sums, count, out);
}

double inner(std::span<const double> x, std::span<const double> y) {
  double sum = 0;
  for (std::size_t d = 0; d < x.size(); ++d) sum += x[d] * y[d];
  return sum;
}

}  // namespace

embedding_table::embedding_table(const data_pool& pool, std::int64_t first, std::int64_t count,
                                 std::int64_t dimension)
    : pool_(pool),
      first_(first),
      count_(count),
      dimension_(dimension),
      inverse_norms_(index(count)) {
  for_each_range({}, count, dimension, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> row(index(dimension));
    for (std::int64_t i = begin; i < end; ++i) {
      read(i, row);
      inverse_norms_[index(i)] = 1 / std::sqrt(inner(row, row));
    }
  });
}

void embedding_table::read(std::int64_t i, std::span<double> row) const {
  pool_.read(index((first_ + i) * dimension_), row);
}

double embedding_table::largest_inverse_norm() const {
  return *std::max_element(inverse_norms_.begin(), inverse_norms_.end());
}

std::vector<double> paired_similarities(const embedding_table& x, const embedding_table& y,
                                        std::int64_t count, double scale) {
  std::vector<double> l(index(count));
  for_each_range({}, count, x.dimension(), [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> a(index(x.dimension())), b(a.size());
    for (std::int64_t i = begin; i < end; ++i) {
      x.read(i, a);
      y.read(i, b);
      l[index(i)] = scale * x.inverse_norm(i) * y.inverse_norm(i) * inner(a, b);
    }
  });
  return l;
}

sampled_similarities::sampled_similarities(const embedding_table& x, const embedding_table& y,
                                           std::vector<std::int64_t> rows, double scale)
    : x_(x), y_(y), rows_(std::move(rows)), scale_(scale), l_(size() * index(y.count())) {
  constexpr std::size_t kGroup = 4;
  const std::size_t dimension = index(x.dimension());
  samples_.resize(size() * dimension);
  for (std::size_t s = 0; s < size(); ++s) {
    x.read(rows_[s], std::span(samples_).subspan(s * dimension, dimension));
  }
  const std::size_t groups = (size() + kGroup - 1) / kGroup;
  std::vector<double> alternating(groups * kGroup * dimension);  // zeros where no sample is left
  for (std::size_t s = 0; s < size(); ++s) {
    for (std::size_t d = 0; d < dimension; ++d) {
      alternating[(s / kGroup * dimension + d) * kGroup + s % kGroup] = samples_[s * dimension + d];
    }
  }
  for_each_range({}, y.count(), x.dimension(), [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> row(dimension), dots(groups * kGroup);
    for (std::int64_t j = begin; j < end; ++j) {
      y.read(j, row);
      for (std::size_t g = 0; g < groups; ++g) {
        dot_products<kGroup>(&alternating[g * dimension * kGroup], row, &dots[g * kGroup]);
      }
      for (std::size_t s = 0; s < size(); ++s) {
        l_[s * index(y.count()) + index(j)] =
            scale * x.inverse_norm(rows_[s]) * y.inverse_norm(j) * dots[s];
      }
    }
  });
}

// As culoss_test's bounds: G = dl / (|x| |y|) has the derivative's error and its own rounding, each
// gradient the error of G and that of a sum of products, and the projection passes both on.
sampled_similarities::gradients sampled_similarities::gradients_of(
    const derivative& dl, double largest, const culoss_test::similarity_arithmetic& a) const {
  const std::size_t dimension = index(x_.dimension());
  const double columns = static_cast<double>(y_.count());
  const double summing = (2 * columns + static_cast<double>(dimension) / 32 + 24) * a.u;
  // The library takes norms from the largest's power of two.
  const double least =
      a.tile_least * 4 * x_.largest_inverse_norm() * y_.largest_inverse_norm() * largest;
  gradients g{std::vector<double>(samples_.size()), std::vector<double>(samples_.size())};
  std::mutex merging;
  for_each_range({}, y_.count(), x_.dimension(), [&](std::int64_t begin, std::int64_t end) {
    gradients part{std::vector<double>(samples_.size()), std::vector<double>(samples_.size())};
    std::vector<double> row(dimension);
    for (std::int64_t j = begin; j < end; ++j) {
      y_.read(j, row);
      for (std::size_t s = 0; s < size(); ++s) {
        const similarity_derivative of_l = dl(s, j);
        if (of_l.value == 0 && of_l.error == 0) continue;
        const double norms = x_.inverse_norm(rows_[s]) * y_.inverse_norm(j);
        const double value = norms * of_l.value, magnitude = std::fabs(value);
        double error = norms * of_l.error + magnitude * (6 * a.u + summing);
        if (of_l.in_tile) error += magnitude * a.tile + least;
        double *const v = &part.values[s * dimension], *const e = &part.errors[s * dimension];
        for (std::size_t d = 0; d < dimension; ++d) v[d] += value * row[d];
        for (std::size_t d = 0; d < dimension; ++d) e[d] += error * std::fabs(row[d]);
      }
    }
    const std::lock_guard lock(merging);
    for (std::size_t i = 0; i < samples_.size(); ++i) {
      g.values[i] += part.values[i];
      g.errors[i] += part.errors[i];
    }
  });
  const culoss_test::embedding_rows x(samples_, static_cast<std::int64_t>(size()), x_.dimension(),
                                      true);
  culoss_test::project_error(x, scale_, g.errors);
  for (std::size_t s = 0; s < size(); ++s) {
    const std::span row = std::span(samples_).subspan(s * dimension, dimension);
    const std::span v = std::span(g.values).subspan(s * dimension, dimension);
    const double r = x_.inverse_norm(rows_[s]), along = inner(v, row) * r * r;
    for (std::size_t d = 0; d < dimension; ++d) v[d] = scale_ * (v[d] - along * row[d]);
  }
  return g;
}

worst_side::worst_side(std::int64_t columns, double scale, std::int64_t dimension,
                       const culoss_test::similarity_arithmetic& a) {
  const double count = static_cast<double>(columns), log_count = std::log(count);
  const double far = a.shared_shift ? 2 * scale : 0, z = 2 * scale + far;
  const double error = similarity_error(scale, scale, dimension, a);
  const double merges = count / a.slice + 16;
  const double of_e = a.exp_error + (8 + merges) * a.u + merges * (a.exp_error + a.u) + 2 * a.u * z;
  const double lost = a.shared_shift ? 0x1p-34 : 0;
  const double delta = of_e + error + count * a.flush + lost;  // the sum is at least 1
  const double d = 2 * scale + log_count;                      // |d| at most
  const double d_error =
      error + delta + 3 * a.u * z + (a.library + a.u) * (log_count + far) + a.u * d;
  q_error = d_error + 2 * a.library + 4 * a.u;
  p_error = q_error + delta + error + a.exp_error + 2 * a.u * z + 6 * a.u;
  // min(p, 1 - p) <= 1/2, and log(1 + exp(-|d|)) <= log 2 < 1.
  loss_error = d_error + 1.5 * a.library + a.u * (d + 1) + 2 * a.flush;
}

}  // namespace culoss::bench
