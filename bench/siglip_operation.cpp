// SigLIP as its training begins: normalized embeddings, a scale of 10 and a bias of -10, the mean,
// gradients in the embeddings' type.
#include <cmath>
#include <culoss/siglip.hpp>

#include "bench/operation_support.hpp"
#include "bench/similarity_grid.hpp"
#include "bench/similarity_reference.hpp"
#include "tests/harness/arithmetic.hpp"
#include "tests/harness/siglip_bounds.hpp"

namespace culoss::bench {
namespace {

constexpr float kTemperature = 0.1f, kBias = -10.0f;
constexpr double kScale = 1 / static_cast<double>(kTemperature);

template <class T>
class siglip_operation final : public operation {
  using real = real_of<T>;
  using storage = culoss_test::storage_of<T>;

 public:
  siglip_operation(const sweep_row& row, data_pool& pool)
      : row_(row),
        pool_(pool),
        losses_(pool.on(), static_cast<std::size_t>(1 + row.rows) * sizeof(real)),
        where_(pool.on().where()) {
    if (auto* gpu = std::get_if<cuda>(&where_)) {
      gpu->workspace = {pool.region(kWorkspace), work_of(row).workspace_bytes};
    }
  }

  void call(int) override {
    siglip_outputs<T> outputs{.loss = {losses_.as<real>(), 1}};
    if (fused()) outputs.grad_images = rows_of(kGradients, 0, row_.rows);
    if (fused()) outputs.grad_texts = rows_of(kGradients, row_.rows, row_.cols);
    call_siglip(outputs, {.temperature = kTemperature, .bias = kBias});
  }

  check_result check() override {
    pool_.on().fill(pool_.region(kGradients), 0xff, work_of(row_).output_bytes);
    pool_.on().fill(losses_.data(), 0xff, losses_.bytes());
    call(0);
    call_siglip({.loss = {losses_.as<real>() + 1, row_.rows}},
                {.reduction = reduction::none, .temperature = kTemperature, .bias = kBias});
    std::vector<real> all(losses_.bytes() / sizeof(real));
    pool_.on().download(all.data(), losses_.data(), losses_.bytes());

    const embedding_table images(pool_, 0, row_.rows, row_.dimension);
    const embedding_table texts(pool_, row_.rows, row_.cols, row_.dimension);
    checker checker;
    check_mean(all, checker);
    check_images(images, texts, all, checker);
    if (fused()) check_gradient("text gradient", texts, images, row_.rows, checker);
    checker.describe(
        std::string("mean loss against the losses of all rows; of sampled rows, losses") +
        (fused() ? " and gradients of both sides" : "") + ", from all similarities in double");
    return checker.result();
  }

 private:
  static constexpr int kEmbeddings = 0, kGradients = 1, kWorkspace = 2;  // regions

  bool fused() const { return row_.mode == mode::fused; }
  matrix<T> rows_of(int region, std::int64_t first, std::int64_t count) const {
    storage* const data = static_cast<storage*>(pool_.region(region)) + first * row_.dimension;
    return {reinterpret_cast<T*>(data), count, row_.dimension};
  }
  void call_siglip(const siglip_outputs<T>& outputs, const siglip_options& options) const {
    const matrix<const T> images = rows_of(kEmbeddings, 0, row_.rows);
    const matrix<const T> texts = rows_of(kEmbeddings, row_.rows, row_.cols);
    call_on<T>(where_,
               [&](const auto& where) { return siglip(where, images, texts, outputs, options); });
  }
  culoss_test::similarity_arithmetic arithmetic() const {
    return culoss_test::similarity_arithmetic_of(
        pool_.on().description().cuda ? culoss_test::space::cuda : culoss_test::space::cpu,
        row_.type);
  }
  double rounding(double value) const {
    return culoss_test::real_format(row_.type).rounding(value);
  }
  culoss_test::sigmoid_pair pair(double l, bool positive) const {
    const auto a = arithmetic();
    return {l, similarity_error(l, kScale, row_.dimension, a), static_cast<double>(kBias), positive,
            a};
  }

  // The scalar against the losses of all rows, each rounded once more than the scalar's terms.
  void check_mean(const std::vector<real>& all, checker& checker) const {
    const auto rows = static_cast<double>(row_.rows);
    double sum = 0, bound = 0;
    for (std::size_t i = 1; i < all.size(); ++i) {
      const auto loss = static_cast<double>(all[i]);
      sum += loss / rows;
      bound += 2 * rounding(loss) / rows;
    }
    const double summing = rows * 0x1p-53 + 6 * arithmetic().u;
    checker.compare("mean loss", static_cast<double>(all[0]), sum,
                    bound + summing * sum + rounding(sum));
  }

  void check_images(const embedding_table& images, const embedding_table& texts,
                    const std::vector<real>& losses, checker& checker) const {
    const sampled_similarities s(images, texts, sample(row_.rows), kScale);
    const culoss_test::similarity_arithmetic a = arithmetic();
    const double way = culoss_test::sigmoid_roundings(row_.cols, a) * a.u;
    for (std::size_t i = 0; i < s.size(); ++i) {
      double loss = 0, error = 0;
      for (std::int64_t j = 0; j < s.columns(); ++j) {
        const culoss_test::sigmoid_pair d = pair(s.l(i, j), j == s.row(i));
        loss += d.loss;
        error += d.loss_error;
      }
      checker.compare("loss", static_cast<double>(losses[static_cast<std::size_t>(1 + s.row(i))]),
                      loss, error + (way + 2 * a.u) * loss + rounding(loss));
      checker.count_row();
    }
    if (fused()) check_gradient("image gradient", s, 0, checker);
  }
  void check_gradient(const char* name, const embedding_table& x, const embedding_table& y,
                      std::int64_t first, checker& checker) const {
    const sampled_similarities s(x, y, sample(x.count()), kScale);
    for (std::size_t i = 0; i < s.size(); ++i) checker.count_row();
    check_gradient(name, s, first, checker);
  }
  // A gradient whose rows begin at `first`; dl is the same from both sides.
  void check_gradient(const char* name, const sampled_similarities& s, std::int64_t first,
                      checker& checker) const {
    const double weight = 1 / static_cast<double>(row_.rows);
    const culoss_test::similarity_arithmetic a = arithmetic();
    const auto dl = [&](std::size_t i, std::int64_t j) {
      const bool positive = j == s.row(i);
      const culoss_test::sigmoid_pair d = pair(s.l(i, j), positive);
      return similarity_derivative{.value = weight * (positive ? -d.size : d.size),
                                   .error = weight * (d.error + 8 * a.u * d.size)};
    };
    const auto exact = s.gradients_of(dl, weight, a);
    const auto dimension = static_cast<std::size_t>(row_.dimension);
    for (std::size_t i = 0; i < s.size(); ++i) {
      std::vector<storage> bits(dimension);
      pool_.on().download(bits.data(), rows_of(kGradients, first + s.row(i), 1).data,
                          bits.size() * sizeof(storage));
      for (std::size_t d = 0; d < dimension; ++d) {
        const std::size_t at = i * dimension + d;
        checker.compare(
            name, culoss_test::decode<T>(bits[d]), exact.values[at],
            exact.errors[at] + culoss_test::format_of(row_.type).rounding(exact.values[at]));
      }
    }
  }

  static std::vector<std::int64_t> sample(std::int64_t count) {
    constexpr std::int64_t kSamples = 4;
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < std::min(count, kSamples); ++i) {
      rows.push_back(i * (count - 1) / std::max<std::int64_t>(1, std::min(count, kSamples) - 1));
    }
    return rows;
  }

  sweep_row row_;
  data_pool& pool_;
  buffer losses_;  // the mean; of the images
  std::variant<cpu, cuda> where_;
};

}  // namespace

std::unique_ptr<operation> make_siglip(const sweep_row& row, data_pool& pool) {
  return culoss_test::with_type(row.type,
                                [&]<class T>(std::type_identity<T>) -> std::unique_ptr<operation> {
                                  return std::make_unique<siglip_operation<T>>(row, pool);
                                });
}

}  // namespace culoss::bench
