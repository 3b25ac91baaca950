// The losses of rows and elements as a training step calls them: int64 labels, a mean.
#include <algorithm>
#include <cmath>
#include <random>

#include "bench/operation_support.hpp"
#include "bench/row_losses.hpp"
#include "bench/row_sample.hpp"

namespace culoss::bench {
namespace {

using culoss_test::expectation;
using culoss_test::loss_views;
using culoss_test::problem;
using culoss_test::real_format;

template <class T>
class row_operation final : public operation {
  using real = real_of<T>;
  using storage = culoss_test::storage_of<T>;

 public:
  row_operation(const sweep_row& row, data_pool& pool)
      : row_(row),
        of_(row.entry->loss),
        pool_(pool),
        copies_(row.copies(pool.on().description())),
        stride_((row.rows * row.cols + kAlignment - 1) / kAlignment * kAlignment),
        losses_(row.entry->loss.reduction == reduction::none ? row.rows : 1),
        loss_(pool.on(), static_cast<std::size_t>(losses_) * sizeof(real)),
        where_(pool.on().where()) {
    const auto make = [&row](const tested_loss::makers& makers) {
      return std::get<tested_loss::maker<T>>(makers)(std::type_identity<T>(), row.inner);
    };
    const bool saved_backward = row.mode == mode::backward && of_.statistics;
    loss_call_ = make(row.entry->of(row.mode).call);
    call_ = saved_backward ? make(of_.backward) : loss_call_;
    if (of_.labels) choose_labels();
    if (of_.class_weights) choose_class_weights();
    if (of_.entropy) entropies_ = device_array<real>(row.rows);
    if (auto* gpu = std::get_if<cuda>(&where_)) {
      workspace_ = buffer(pool.on(), of_.workspace_bytes(row.rows, row.cols));
      gpu->workspace = {workspace_.data(), workspace_.bytes()};
    }
    for (int copy = 0; copy < copies_; ++copy) restore_input(copy);
    if (saved_backward) save_statistics();
  }

  void call(int copy) override { call_(where_, arrays(copy), of_.reduction); }

  check_result check() override {
    poison_outputs();
    call(0);
    const std::vector<std::int64_t> rows = sampled_rows(row_);
    const problem sample = sampled(rows);
    checker checker;
    const std::vector<expectation> all = expect(sample, of_.reduction);
    if (matrices_written(row_) > 0) {
      compare(checker, gradient_of(all, 0), read(kOutput, rows));
    }
    if (row_.mode == mode::both) {
      compare(checker, gradient_of(all, 1), read(kSecond, rows));
    }
    if (gives_loss(row_) && of_.reduction == reduction::none) {
      compare(checker, of(all, {"loss"}), losses_of(rows));
    } else if (gives_loss(row_)) {
      check_losses(checker, rows, sample, of(all, {"loss"}).bounds[0]);
    }
    for (std::size_t i = 0; i < rows.size(); ++i) checker.count_row();
    return checker.result();
  }

 private:
  static constexpr std::int64_t kAlignment = 256 / sizeof(storage);

  std::size_t index(std::int64_t row) const { return static_cast<std::size_t>(row); }
  storage* set(int region, int copy) const {
    return static_cast<storage*>(pool_.region(region)) + copy * stride_;
  }
  matrix<T> as_matrix(int region, int copy) const {
    return {reinterpret_cast<T*>(set(region, copy)), row_.rows, row_.cols};
  }
  template <class U>
  buffer device_array(std::int64_t size) const {
    return buffer(pool_.on(), index(size) * sizeof(U));
  }

  // The set whose first input is a call's third: another one where there are several.
  int third(int copy) const { return (copy + 1) % copies_; }
  // Any class, or mostly the background, one beyond them.
  void choose_labels() {
    labels_.resize(index(row_.rows * copies_));
    std::mt19937_64 generator(static_cast<std::uint64_t>(row_.rows * 262147 + row_.cols));
    std::uniform_int_distribution<std::int64_t> any_class(0, row_.cols - 1), eighth(0, 7);
    for (std::int64_t& label : labels_) {
      if (of_.unlike.has_value()) {
        label = eighth(generator) < 4 ? 1 : *of_.unlike;
      } else {
        const bool background = row_.entry->background && eighth(generator) != 0;
        label = background ? row_.cols : any_class(generator);
      }
    }
    label_buffer_ = device_array<std::int64_t>(row_.rows * copies_);
    pool_.on().upload(label_buffer_.data(), labels_.data(), label_buffer_.bytes());
  }
  // Multiples of 1/2, whose sum is a float.
  void choose_class_weights() {
    for (std::int64_t j = 0; j < row_.cols; ++j) {
      class_weights_.push_back(0.5f * static_cast<float>(1 + j % 4));
    }
    weight_buffer_ = device_array<float>(row_.cols);
    pool_.on().upload(weight_buffer_.data(), class_weights_.data(), weight_buffer_.bytes());
  }
  double divisor() const {
    const auto first = labels_.begin(), last = first + (of_.labels ? row_.rows : 0);
    if (row_.entry->background) {
      return static_cast<double>(
          std::count_if(first, last, [&](std::int64_t label) { return label < row_.cols; }));
    }
    if (of_.class_weights) {
      double sum = 0;
      for (auto at = first; at != last; ++at) sum += class_weights_[index(*at)];
      return sum;
    }
    const std::int64_t columns = of_.elements ? row_.cols : 1;
    return static_cast<double>(row_.rows) * static_cast<double>(columns);
  }

  // In place, the input stands where the gradient goes.
  void restore_input(int copy) {
    if (row_.mode != mode::in_place) return;
    pool_.on().copy(set(kOutput, copy), set(input_of(row_), copy), row_.matrix_bytes());
  }
  void poison_outputs() {
    restore_input(0);
    const std::size_t bytes = row_.matrix_bytes();
    if (matrices_written(row_) > 0 && row_.mode != mode::in_place) {
      pool_.on().fill(set(kOutput, 0), 0xff, bytes);
    }
    if (row_.mode == mode::both) pool_.on().fill(set(kSecond, 0), 0xff, bytes);
    pool_.on().fill(loss_.data(), 0xff, loss_.bytes());
    if (of_.entropy) pool_.on().fill(entropies_.data(), 0xff, entropies_.bytes());
  }

  // The inputs alone.
  loss_views<T> inputs(int copy) const {
    loss_views<T> v;
    v.in[0] = as_matrix(row_.mode == mode::in_place ? kOutput : input_of(row_), copy);
    if (matrices_read(row_) >= 2) v.in[1] = as_matrix(second_input_of(row_), copy);
    if (matrices_read(row_) == 3) v.in[2] = as_matrix(input_of(row_), third(copy));
    if (of_.labels) {
      const std::int64_t* const first = label_buffer_.as<std::int64_t>() + copy * row_.rows;
      v.labels = vector<const std::int64_t>(first, row_.rows);
    }
    if (of_.class_weights) v.class_weights = {weight_buffer_.as<float>(), row_.cols};
    return v;
  }
  loss_views<T> arrays(int copy) const {
    loss_views<T> v = inputs(copy);
    if (matrices_written(row_) > 0) v.out[0] = as_matrix(kOutput, copy);
    if (row_.mode == mode::both) v.out[1] = as_matrix(kSecond, copy);
    if (gives_loss(row_)) v.loss = {loss_.as<real>(), losses_};
    if (gives_loss(row_) && of_.entropy) v.entropy = {entropies_.as<real>(), row_.rows};
    if (row_.mode == mode::backward && of_.statistics) v.statistics = saved(copy);
    return v;
  }
  vector<row_statistics<real>> saved(int copy) const {
    return {statistics_.as<row_statistics<real>>() + copy * row_.rows, row_.rows};
  }
  void save_statistics() {
    statistics_ = device_array<row_statistics<real>>(row_.rows * copies_);
    for (int copy = 0; copy < copies_; ++copy) {
      loss_views<T> v = inputs(copy);
      v.statistics = saved(copy);
      loss_call_(where_, v, reduction::mean);
    }
  }

  problem sampled(const std::vector<std::int64_t>& rows) const {
    problem p;
    p.type = row_.type;
    p.rows = static_cast<std::int64_t>(rows.size());
    p.cols = row_.cols;
    for (const std::int64_t i : rows) {
      for (std::int64_t j = 0; j < row_.cols; ++j) {
        const std::size_t at = index(place(row_, i, j));
        p.x.push_back(pool_.value(input_of(row_), at));
        if (matrices_read(row_) >= 2) p.g.push_back(pool_.value(second_input_of(row_), at));
        if (matrices_read(row_) == 3) {
          p.h.push_back(pool_.value(input_of(row_), at + index(third(0) * stride_)));
        }
      }
      if (of_.labels) p.labels.push_back(labels_[index(i)]);
    }
    p.class_weights = class_weights_;
    p.normalizer = static_cast<float>(divisor());
    return p;
  }
  std::vector<expectation> expect(const problem& p, reduction reduction) const {
    const auto space =
        pool_.on().description().cuda ? culoss_test::space::cuda : culoss_test::space::cpu;
    return row_.entry->of(row_.mode)
        .expected(reduction, divisor(), row_.inner)
        ->expect(p, {.where = space, .mode = culoss_test::mode::fused});
  }
  // Gradients stand in the order of their inputs.
  static const expectation& gradient_of(const std::vector<expectation>& all, int which) {
    for (const expectation& e : all) {
      const bool gradient = e.name.rfind("grad_", 0) == 0 || e.name == "output";
      if (gradient && which-- == 0) return e;
    }
    throw std::logic_error("nothing is known of a gradient");
  }
  // The one of these names that there is.
  static const expectation& of(const std::vector<expectation>& all,
                               std::initializer_list<const char*> names) {
    for (const expectation& e : all) {
      if (std::find(names.begin(), names.end(), e.name) != names.end()) return e;
    }
    throw std::logic_error(std::string("nothing is known of ") + *names.begin());
  }
  static void compare(checker& checker, const expectation& e, const std::vector<double>& actual) {
    for (std::size_t k = 0; k < actual.size(); ++k) {
      checker.compare(e.name.c_str(), actual[k], e.values[k], e.bounds[k]);
    }
  }

  // Rows of set 0. Downloads a run of rows, or an image, at once.
  std::vector<double> read(int region, const std::vector<std::int64_t>& rows) const {
    std::vector<double> values;
    std::vector<storage> bits;
    std::int64_t held = -1, first = 0;  // rows [first, held) are in `bits`
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (rows[r] < first || rows[r] >= held) {
        std::size_t last = r;
        while (last + 1 < rows.size() && rows[last + 1] == rows[last] + 1) ++last;
        first = row_.inner > 0 ? rows[r] / row_.inner * row_.inner : rows[r];
        held = row_.inner > 0 ? first + row_.inner : rows[last] + 1;
        bits.resize(index((held - first) * row_.cols));
        pool_.on().download(bits.data(), set(region, 0) + first * row_.cols,
                            bits.size() * sizeof(storage));
      }
      for (std::int64_t j = 0; j < row_.cols; ++j) {
        values.push_back(culoss_test::decode<T>(bits[index(place(row_, rows[r] - first, j))]));
      }
    }
    return values;
  }

  std::vector<double> losses_of(const std::vector<std::int64_t>& rows) const {
    std::vector<real> all(index(losses_));
    pool_.on().download(all.data(), loss_.data(), loss_.bytes());
    std::vector<double> some;
    for (const std::int64_t i : rows) some.push_back(all[index(i)]);
    return some;
  }
  // The scalar is checked against the losses of all rows or elements, those against the reference
  // by sample. `sample_bound`: of the sample's part of the scalar.
  void check_losses(checker& checker, const std::vector<std::int64_t>& rows, const problem& sample,
                    double sample_bound) {
    real mean_loss{};
    pool_.on().download(&mean_loss, loss_.data(), sizeof mean_loss);
    std::vector<real> entropies(of_.entropy ? index(row_.rows) : 0);
    if (of_.entropy) pool_.on().download(entropies.data(), entropies_.data(), entropies_.bytes());

    const bool elements = of_.elements;
    const std::int64_t width = elements ? row_.cols : 1;  // losses of a row
    const buffer memory = device_array<real>(row_.rows * width);
    pool_.on().fill(memory.data(), 0xff, memory.bytes());
    restore_input(0);
    loss_views<T> v = inputs(0);
    if (elements) {
      v.losses = {memory.as<real>(), row_.rows, row_.cols};
    } else {
      v.loss = {memory.as<real>(), row_.rows};
    }
    call_(where_, v, reduction::none);
    std::vector<real> losses(index(row_.rows * width));
    pool_.on().download(losses.data(), memory.data(), memory.bytes());

    std::vector<double> actual, actual_entropies;
    for (const std::int64_t i : rows) {
      for (std::int64_t j = 0; j < width; ++j) actual.push_back(losses[index(i * width + j)]);
      if (of_.entropy) actual_entropies.push_back(entropies[index(i)]);
    }
    const std::vector<expectation> none = expect(sample, reduction::none);
    compare(checker, of(none, {"loss", "losses"}), actual);
    if (of_.entropy) compare(checker, of(none, {"entropy"}), actual_entropies);

    double sum = 0, sizes = 0;
    for (const real loss : losses) {
      sum += loss;
      sizes += std::fabs(loss);
    }
    // Both calls keep every row within its bound, of which the sample gives the mean; the losses
    // are rounded, then summed in double.
    const double mean = sum / divisor();
    const double share = static_cast<double>(row_.rows) / static_cast<double>(rows.size());
    const double summing =
        static_cast<double>(losses.size()) * 0x1p-53 + real_format(row_.type).unit_roundoff();
    checker.compare("mean loss", mean_loss, mean,
                    2 * share * sample_bound + summing * sizes / divisor() +
                        real_format(row_.type).rounding(mean));
  }

  sweep_row row_;
  const tested_loss& of_;
  data_pool& pool_;
  call_of<T> call_, loss_call_;  // what is timed; the loss that it is a backward of
  int copies_;
  std::int64_t stride_;  // elements between the sets of a region
  std::int64_t losses_;  // of a call
  std::vector<std::int64_t> labels_;
  std::vector<float> class_weights_;
  buffer label_buffer_, weight_buffer_, statistics_, entropies_, loss_, workspace_;
  std::variant<cpu, cuda> where_;
};

}  // namespace

std::unique_ptr<operation> make_row_operation(const sweep_row& row, data_pool& pool) {
  return culoss_test::with_type(row.type,
                                [&]<class T>(std::type_identity<T>) -> std::unique_ptr<operation> {
                                  return std::make_unique<row_operation<T>>(row, pool);
                                });
}

std::unique_ptr<operation> make_operation(const sweep_row& row, data_pool& pool) {
  pool.hold(kNormals, row.type);
  if (row.over_similarities()) {
    if (row.loss == loss::linear_cross_entropy) return make_linear(row, pool);
    if (row.loss == loss::batch_hard) return make_mining(row, pool);
    if (row.with_itself()) return make_self_similarity(row, pool);
    if (row.loss == loss::siglip) return make_siglip(row, pool);
    return make_similarity(row, pool);
  }
  if (row.negatives > 0) return make_own_negatives(row, pool);
  if (regions_of({row}, pool.on().description())[kUniforms] > 0) pool.hold(kUniforms, row.type);
  return make_row_operation(row, pool);
}

}  // namespace culoss::bench
