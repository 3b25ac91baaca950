// siglip.
#include "tests/fuzz/similarity.hpp"

namespace culoss_fuzz {
namespace {

template <class T>
struct siglip {
  using real = culoss::real_of<T>;
  culoss::cublas* handle;
  std::int64_t m;  // mostly the number of texts
  culoss::siglip_options options;
  culoss::matrix<const T> images, texts;
  culoss::siglip_outputs<T> out;

  explicit siglip(source& from)
      : handle(some_blas(from)),
        m(std::min(kMostRows, std::max<std::int64_t>(0, from.rows()) % 8 + from.byte() % 3)),
        options(common<culoss::siglip_options>(from, from.rows())),
        images(from.matrix<const T>(from.rows(), from.columns())),
        texts(from.matrix<const T>(m, from.columns())) {
    if (!from.odd()) options.bias = from.scalar(-3.0f);
    options.positives = !from.coin();
    options.positive_offset = from.integer(
        from.byte() > 128 ? std::max<std::int64_t>(0, m - std::max<std::int64_t>(0, from.rows()))
                          : 0);
    const bool masked = from.coin();
    if (masked != from.odd()) {
      options.image_ids = from.vector<const std::int64_t>(from.rows());
    }
    if (masked != from.odd()) options.text_ids = from.vector<const std::int64_t>(m);
    out.loss = from.loss<real>(options.reduction, from.rows());
    out.grad_images = gradient<T>(from, from.rows());
    out.grad_texts = gradient<T>(from, m);
    out.grad_scale = from.optional_vector<real>(1);
    out.grad_bias = from.optional_vector<real>(1);
    if (options.positives != from.odd()) out.correct = from.optional_vector<std::int64_t>(1);
    out.rows_counted = from.optional_vector<std::int64_t>(1);
  }

  std::string function() const { return "siglip"; }
  culoss::cublas* blas() const { return handle; }
  std::size_t scratch() const {
    return culoss::siglip_workspace(
               {.queries = images.rows,
                .keys = texts.rows,
                .dimension = images.cols,
                .element_bytes = static_cast<int>(kSizeof<T>),
                .gradients = !out.grad_images.empty() || !out.grad_texts.empty()})
        .least;
  }
  void judge(predicate& says) const {
    const std::int64_t rows = images.rows, offset = options.positive_offset;
    says.rows_to_read("images", images);
    says.view("texts", texts, access::read);
    says.require(texts.cols == images.cols, "texts");
    // The last image's own text is one of them.
    says.require(!options.positives || (rows >= 0 && offset >= 0 && rows <= texts.rows &&
                                        offset <= texts.rows - rows),
                 "positive_offset");
    culoss_fuzz::judge(says, options, rows);
    const culoss::scalar& b = options.bias;
    says.require(b.given() && (b.on_device() || std::isfinite(b.value())), "bias");
    says.scalar("bias", b);
    // Ids of both sides or of none.
    if (!options.image_ids.empty() || !options.text_ids.empty()) {
      says.vector("image_ids", options.image_ids, rows, access::read);
      says.vector("text_ids", options.text_ids, texts.rows, access::read);
    }
    says.loss("loss", out.loss, options.reduction, rows);
    judge_gradient(says, "grad_images", out.grad_images, images, options.accumulate);
    judge_gradient(says, "grad_texts", out.grad_texts, texts, options.accumulate);
    says.optional("grad_scale", out.grad_scale, 1);
    says.optional("grad_bias", out.grad_bias, 1);
    says.optional("correct", out.correct, 1);
    says.require(out.correct.empty() || options.positives, "correct");
    says.optional("rows_counted", out.rows_counted, 1);
    says.some_output(rows, out.loss, out.grad_images, out.grad_texts, out.grad_scale, out.grad_bias,
                     out.correct, out.rows_counted);
  }
  template <class Where>
  requires on<Where, T> culoss::status operator()(const Where& where) const {
    return culoss::siglip(where, images, texts, out, options);
  }
};

}  // namespace
}  // namespace culoss_fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return culoss_fuzz::execute<culoss_fuzz::siglip>(data, size);
}
