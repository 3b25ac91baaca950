// InfoNCE and CLIP as a training step calls them: normalized embeddings, a temperature of 0.07, the
// mean, gradients in the embeddings' type.
#include <cmath>
#include <culoss/info_nce.hpp>

#include "bench/operation_support.hpp"
#include "bench/similarity_grid.hpp"
#include "bench/similarity_reference.hpp"
#include "tests/harness/arithmetic.hpp"

namespace culoss::bench {
namespace {

constexpr float kTemperature = 0.07f;
constexpr double kScale = 1 / static_cast<double>(kTemperature);

template <class T>
class similarity_operation final : public operation {
  using real = real_of<T>;
  using storage = culoss_test::storage_of<T>;

 public:
  similarity_operation(const sweep_row& row, data_pool& pool)
      : row_(row),
        pool_(pool),
        losses_(pool.on(), static_cast<std::size_t>(1 + row.rows + row.cols) * sizeof(real)),
        where_(pool.on().where()) {
    if (auto* gpu = std::get_if<cuda>(&where_)) {
      gpu->workspace = {pool.region(kWorkspace), work_of(row).workspace_bytes};
    }
  }

  void call(int) override {
    const bool fused = row_.mode == mode::fused;
    if (symmetric()) {
      clip_outputs<T> outputs{.loss = {mean_loss(), 1}};
      if (fused) outputs.grad_images = gradient(0, row_.rows);
      if (fused) outputs.grad_texts = gradient(row_.rows, row_.cols);
      call_on<T>(where_, [&](const auto& where) {
        return clip(where, queries(), keys(), outputs,
                    {.temperature = kTemperature, .plan = asked()});
      });
    } else {
      info_nce_outputs<T> outputs{.loss = {mean_loss(), 1}};
      if (fused) outputs.grad_queries = gradient(0, row_.rows);
      if (fused) outputs.grad_keys = gradient(row_.rows, row_.cols);
      info_nce_options options{.temperature = kTemperature};
      options.in_batch = in_batch();
      options.plan = asked();
      call_info_nce(queries(), keys(), outputs, options);
    }
  }

  check_result check() override {
    pool_.on().fill(pool_.region(kGradients), 0xff, work_of(row_).output_bytes);
    pool_.on().fill(losses_.data(), 0xff, losses_.bytes());
    call(0);
    find_row_losses();

    const embedding_table queries(pool_, 0, row_.rows, row_.dimension);
    const embedding_table columns(pool_, row_.rows, row_.cols + row_.negatives, row_.dimension);
    checker checker;
    check_mean(checker);
    check_queries(queries, columns, checker);
    if (symmetric() || row_.mode == mode::fused) check_keys(queries, columns, checker);
    checker.describe(description());
    return checker.result();
  }

 private:
  static constexpr int kEmbeddings = 0, kGradients = 1, kWorkspace = 2;  // regions

  bool symmetric() const { return row_.loss == loss::clip; }
  similarity_plan asked() const { return work_of(row_).asked; }
  bool in_batch() const { return row_.loss != loss::info_nce_queue; }
  double weight() const {  // of a row's loss in each direction
    return (symmetric() ? 0.5 : 1) / static_cast<double>(row_.rows);
  }

  // Rows of this dimension, one after another: queries, keys, negatives; or the first two's
  // gradients.
  matrix<T> rows_of(int region, std::int64_t first, std::int64_t count) const {
    if (count == 0) return {};
    storage* const data = static_cast<storage*>(pool_.region(region)) + first * row_.dimension;
    return {reinterpret_cast<T*>(data), count, row_.dimension};
  }
  matrix<const T> embeddings(std::int64_t first, std::int64_t count) const {
    return rows_of(kEmbeddings, first, count);
  }
  matrix<T> gradient(std::int64_t first, std::int64_t count) const {
    return rows_of(kGradients, first, count);
  }
  matrix<const T> queries() const { return embeddings(0, row_.rows); }
  matrix<const T> keys() const { return embeddings(row_.rows, row_.cols); }
  real* mean_loss() const { return losses_.as<real>(); }

  void call_info_nce(const matrix<const T>& q, const matrix<const T>& k,
                     const info_nce_outputs<T>& outputs, const info_nce_options& options) const {
    const auto negatives = embeddings(row_.rows + row_.cols, row_.negatives);
    call_on<T>(where_, [&](const auto& where) {
      return info_nce(where, q, k, negatives, outputs, options);
    });
  }

  // The losses of all queries, and of all keys among the queries if the loss is symmetric.
  void find_row_losses() {
    info_nce_options options{.reduction = reduction::none, .temperature = kTemperature};
    options.in_batch = in_batch();
    real* const of_keys = mean_loss() + 1 + row_.rows;
    call_info_nce(queries(), keys(), {.loss = {mean_loss() + 1, row_.rows}}, options);
    if (symmetric()) call_info_nce(keys(), queries(), {.loss = {of_keys, row_.cols}}, options);
    std::vector<real> all(losses_.bytes() / sizeof(real));
    pool_.on().download(all.data(), losses_.data(), losses_.bytes());
    mean_ = static_cast<double>(all[0]);
    query_losses_.assign(all.begin() + 1, all.begin() + 1 + row_.rows);
    if (symmetric()) key_losses_.assign(all.begin() + 1 + row_.rows, all.end());
  }

  // How the device computes: side 0 is a softmax of a row, 1 of a column of the symmetric loss.
  culoss_test::similarity_arithmetic arithmetic(int side) const {
    const bool on_device = pool_.on().description().cuda;
    auto a = culoss_test::similarity_arithmetic_of(
        on_device ? culoss_test::space::cuda : culoss_test::space::cpu, row_.type);
    a.shared_shift = on_device && side == 1;
    if (on_device && side == 1) a.slice = 32;
    return a;
  }
  // Likewise, of what becomes of it in a gradient.
  culoss_test::similarity_arithmetic gradient_arithmetic(int side) const {
    const auto a = arithmetic(side);
    return row_.room == room::kept ? culoss_test::with_kept(a, row_.type, side == 1) : a;
  }
  worst_side worst(int side) const {
    const std::int64_t columns = row_.cols + row_.negatives;
    return {std::max(columns, row_.rows), kScale, row_.dimension, arithmetic(side)};
  }
  double rounding(double value) const {
    return culoss_test::real_format(row_.type).rounding(value);
  }
  // Of a loss that find_row_losses() found.
  double loss_error(double loss) const {
    return worst(0).loss_error + 2 * arithmetic(0).u * loss + rounding(loss);
  }

  // The scalar against the losses of all rows.
  void check_mean(checker& checker) const {
    double sum = 0, bound = 0;
    for (const auto* losses : {&query_losses_, &key_losses_}) {
      for (const double loss : *losses) {
        sum += weight() * loss;
        bound += weight() * (loss_error(loss) + worst(1).loss_error);
      }
    }
    const double summing = static_cast<double>(row_.rows) * 0x1p-53 + 6 * arithmetic(0).u;
    checker.compare("mean loss", mean_, sum, bound + summing * sum + rounding(sum));
  }

  // Compares the sampled rows' losses with the exact ones, and their gradients.
  void check_side(const char* name, const sampled_similarities& s, int side,
                  const std::vector<double>& losses, std::int64_t first_gradient,
                  const sampled_similarities::derivative& of_others, checker& checker) const {
    const culoss_test::similarity_arithmetic a = arithmetic(side);
    std::vector<culoss_test::side_bounds> own;
    for (std::size_t i = 0; i < s.size() && !losses.empty(); ++i) {
      const std::int64_t target = s.row(i);
      const auto l = [&](std::int64_t j) { return s.l(i, j); };
      const auto error = [&](std::int64_t j) {
        return similarity_error(s.l(i, j), kScale, row_.dimension, a);
      };
      const auto absent = [&](std::int64_t j) { return !in_batch() && j < row_.cols; };
      own.emplace_back(s.columns(), target, l, error, absent, kScale, a);
      const double exact = own.back().loss;
      checker.compare("loss", losses[static_cast<std::size_t>(target)], exact,
                      own.back().loss_error + 2 * a.u * exact + rounding(exact));
    }
    for (std::size_t i = 0; i < s.size(); ++i) checker.count_row();
    if (row_.mode != mode::fused) return;

    const auto dl = [&](std::size_t i, std::int64_t j) {
      const bool positive = j == s.row(i);
      similarity_derivative d = of_others(i, j);
      if (!own.empty() && (positive || in_batch() || j >= row_.cols)) {
        const culoss_test::side_bounds& o = own[i];
        const double l = s.l(i, j);
        d.value += weight() * (positive ? -o.q : o.p(l));
        d.error +=
            weight() * (positive ? o.q * (o.q_error + 6 * a.u) + a.flush
                                 : o.p_error(l, similarity_error(l, kScale, row_.dimension, a),
                                             gradient_arithmetic(side)));
      }
      d.in_tile = !positive || in_batch();
      return d;
    };
    const auto exact = s.gradients_of(dl, 2 * weight(), a);
    const auto dimension = static_cast<std::size_t>(row_.dimension);
    for (std::size_t i = 0; i < s.size(); ++i) {
      std::vector<storage> bits(dimension);
      pool_.on().download(bits.data(), gradient(first_gradient + s.row(i), 1).data,
                          bits.size() * sizeof(storage));
      for (std::size_t d = 0; d < dimension; ++d) {
        const std::size_t at = i * dimension + d;
        checker.compare(
            name, culoss_test::decode<T>(bits[d]), exact.values[at],
            exact.errors[at] + culoss_test::format_of(row_.type).rounding(exact.values[at]));
      }
    }
  }

  // From the softmaxes of the other side's rows, whose losses are known: target[j] is row j's
  // similarity to its own positive.
  sampled_similarities::derivative from_losses(const sampled_similarities& s, int side,
                                               const std::vector<double>& losses,
                                               const std::vector<double>& target) const {
    return [&, a = gradient_arithmetic(side), w = worst(side)](std::size_t i, std::int64_t j) {
      similarity_derivative d;
      const auto k = static_cast<std::size_t>(j);
      if (k >= losses.size()) return d;
      const bool positive = j == s.row(i);
      if (!positive && !in_batch()) return d;
      const double of_loss = loss_error(losses[k]);
      const double p = std::exp((positive ? 0 : s.l(i, j) - target[k]) - losses[k]);
      const double q = -std::expm1(-losses[k]);
      d.value = weight() * (positive ? -q : p);
      d.error = weight() *
                    (positive ? q * (w.q_error + 6 * a.u) : p * (w.p_error + a.kept) + q * a.lost) +
                weight() * (p * of_loss + a.flush);
      return d;
    };
  }

  void check_queries(const embedding_table& queries, const embedding_table& columns,
                     checker& checker) const {
    const sampled_similarities s(queries, columns, sample(row_.rows), kScale);
    std::vector<double> targets;
    if (symmetric()) targets = paired_similarities(queries, columns, row_.rows, kScale);
    check_side("query gradient", s, 0, query_losses_, 0, from_losses(s, 1, key_losses_, targets),
               checker);
  }
  void check_keys(const embedding_table& queries, const embedding_table& columns,
                  checker& checker) const {
    const sampled_similarities s(columns, queries, sample(row_.cols), kScale);
    const std::vector<double> targets = paired_similarities(queries, columns, row_.rows, kScale);
    check_side("key gradient", s, 1, key_losses_, row_.rows,
               from_losses(s, 0, query_losses_, targets), checker);
  }

  static std::vector<std::int64_t> sample(std::int64_t count) {
    constexpr std::int64_t kSamples = 4;
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < std::min(count, kSamples); ++i) {
      rows.push_back(i * (count - 1) / std::max<std::int64_t>(1, std::min(count, kSamples) - 1));
    }
    return rows;
  }
  std::string description() const {
    std::string how = "mean loss against the losses of all rows; of sampled rows, losses";
    if (row_.mode == mode::fused) {
      how += symmetric() ? " and gradients of both sides" : " and gradients of queries and keys";
      how += ", from all similarities in double; softmaxes of the other side by their losses";
    } else {
      how += " from all similarities in double";
    }
    return how;
  }

  sweep_row row_;
  data_pool& pool_;
  buffer losses_;  // the mean; of the queries; of the keys
  std::variant<cpu, cuda> where_;
  double mean_ = 0;
  std::vector<double> query_losses_, key_losses_;
};

}  // namespace

std::unique_ptr<operation> make_similarity(const sweep_row& row, data_pool& pool) {
  return culoss_test::with_type(row.type,
                                [&]<class T>(std::type_identity<T>) -> std::unique_ptr<operation> {
                                  return std::make_unique<similarity_operation<T>>(row, pool);
                                });
}

}  // namespace culoss::bench
