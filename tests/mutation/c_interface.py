"""Bugs in what the C interface makes of its arguments."""

from .mutant import Mutant

COMMON = 'host/c_interface.cpp'
READER = 'host/c_interface.hpp'
ROWS = 'host/c_interface_rows.cpp'
CE = 'host/c_interface_cross_entropy.cpp'
ELEMENTS = 'host/c_interface_elements.cpp'
EMBEDDINGS = 'host/c_interface_embeddings.cpp'
PAIRS = 'host/c_interface_pairs.cpp'
DIVERGENCE = 'host/c_interface_divergence.cpp'

MUTANTS = [
    Mutant('c-row-weights-dropped', READER, 'the weights of rows do not arrive',
           '  CULOSS_FIELD(row_weights);\n', ''),
    Mutant('c-empty-dropped', READER, 'what an empty batch gives does not arrive',
           '  CULOSS_FIELD(empty);\n', ''),
    Mutant('c-normalizer-for-upstream', READER, 'the upstream gradient is the normalizer',
           '  CULOSS_FIELD(upstream);\n', '  f("upstream", c.normalizer, o.upstream);\n'),
    Mutant('c-flag-inverted', READER, 'every flag is the other',
           '  void operator()(const char*, std::int32_t& c, bool o) noexcept { c = o ? 1 : 0; }',
           '  void operator()(const char*, std::int32_t& c, bool o) noexcept { c = o ? 0 : 1; }'),
    Mutant('c-default-scalars-absent', READER, 'a default number is not given',
           'c = o.given() ? culoss_value(o.value()) : culoss_scalar{};', 'c = culoss_scalar{};'),
    Mutant('c-pitch-is-the-width', READER, 'inputs are dense',
           '''    check_matrix(name, c, kType<T>, CULOSS_LAYOUT_ROWS);
    o = {static_cast<const T*>(c.data), c.rows, c.cols, c.ld};''',
           '''    check_matrix(name, c, kType<T>, CULOSS_LAYOUT_ROWS);
    o = {static_cast<const T*>(c.data), c.rows, c.cols, c.cols};'''),
    Mutant('c-wide-gradient-refused', READER, 'half inputs have no float gradients',
           'if (c.type == CULOSS_FLOAT32) {', 'if (false) {'),
    Mutant('c-strided-refused', READER, 'logits are rows, whatever they say',
           'if (logits.layout == CULOSS_LAYOUT_STRIDED) {', 'if (false) {'),
    Mutant('c-half-as-bf16', READER, 'half is taken for bf16',
           '      return with.template operator()<half>();',
           '      return with.template operator()<bf16>();'),
    Mutant('c-outputs-may-be-null', READER, 'no outputs at all pass for empty ones',
           'if (given == nullptr) refuse(status_code::invalid_argument, "outputs is null");', ''),
    Mutant('c-message-of-the-process', COMMON, 'threads share one message',
           'thread_local char last_message[sizeof(status)];', 'char last_message[sizeof(status)];'),
    Mutant('c-message-stays', COMMON, 'a success leaves the message of the last failure',
           '  std::snprintf(last_message, sizeof last_message, "%s", s.message());\n',
           '  if (!s.ok()) std::snprintf(last_message, sizeof last_message, "%s", s.message());\n'),
    Mutant('c-later-fields-ignored', COMMON, 'options that this version does not know are dropped',
           'for (std::uint64_t i = known; ok() && i < size; ++i) {',
           'for (std::uint64_t i = size; ok() && i < size; ++i) {'),
    Mutant('c-last-byte-unread', COMMON, 'the last byte that is not known is not looked at',
           'for (std::uint64_t i = known; ok() && i < size; ++i) {',
           'for (std::uint64_t i = known; ok() && i + 1 < size; ++i) {'),
    Mutant('c-older-structs-read-whole', COMMON, 'what lies behind an older struct is read',
           'if (ok()) std::memcpy(to, given, size < known ? size : known);',
           'if (ok()) std::memcpy(to, given, known);'),
    Mutant('c-init-writes-behind', COMMON, 'defaults are written behind an older struct',
           '  std::memcpy(to, from, size < known ? size : known);\n',
           '  std::memcpy(to, from, known);\n'),
    Mutant('c-any-size', COMMON, 'a size that is none passes',
           'if (size >= sizeof size && size % 8 == 0 && size <= kLargestStruct) return {};',
           'if (size <= kLargestStruct) return {};'),
    Mutant('c-types-unchecked', COMMON, 'a view of another type passes',
           '  if (type != expected) {\n', '  if (false) {\n'),
    Mutant('c-layout-unchecked', COMMON, 'a view with another layout passes',
           '  if (m.layout != layout) {\n', '  if (false) {\n'),
    Mutant('c-labels-narrow', COMMON, 'int64 labels are read as int32',
           'o.wide = c.type == CULOSS_INT64;', 'o.wide = false;'),
    Mutant('c-device-scalar-by-value', COMMON, 'a number on the device is that of the struct',
           '      o = scalar(c.device);\n', '      o = scalar(c.value);\n'),
    Mutant('c-threads-dropped', COMMON, 'the number of threads does not arrive',
           '.cpu = {.threads = e.threads, .faults = record},', '.cpu = {.faults = record},'),
    Mutant('c-faults-dropped', COMMON, 'the fault record does not arrive',
           '.cpu = {.threads = e.threads, .faults = record},', '.cpu = {.threads = e.threads},'),
    Mutant('c-stream-dropped', COMMON, 'every call is on the default stream',
           '.stream = e.stream,\n', '', on_device=True),
    Mutant('c-workspace-dropped', COMMON, 'the workspace does not arrive',
           '.workspace = {e.workspace, e.workspace_bytes},\n', '', on_device=True),
    Mutant('c-handle-dropped', COMMON, 'the cuBLAS handle does not arrive',
           '.blas = e.blas == nullptr ? nullptr : &e.blas->blas', '.blas = nullptr',
           on_device=True),
    Mutant('c-first-row-and-label', COMMON, 'row and label of a fault are swapped',
           'f.first_row, f.label, f.flags', 'f.label, f.first_row, f.flags'),
    Mutant('c-softcap-for-z-loss', CE, 'softcap and z-loss are swapped in the linear classifier',
           '''  CULOSS_FIELD(softcap);
  CULOSS_FIELD(z_loss);
  CULOSS_FIELD(class_weights);
  CULOSS_FIELD(class_offset);
  CULOSS_FIELD(classes);
  CULOSS_FIELD(accumulate);''',
           '''  f("softcap", c.z_loss, o.softcap);
  f("z_loss", c.softcap, o.z_loss);
  CULOSS_FIELD(class_weights);
  CULOSS_FIELD(class_offset);
  CULOSS_FIELD(classes);
  CULOSS_FIELD(accumulate);'''),
    Mutant('c-tf32-dropped', CE, 'TF32 is never allowed', '  CULOSS_FIELD(allow_tf32);\n', '',
           on_device=True),
    Mutant('c-targets-for-logits', CE, 'the two gradients of a soft backward are swapped',
           '.grad_logits = read.view_of<matrix<T>>("grad_logits", grad_logits),',
           '.grad_logits = read.view_of<matrix<T>>("grad_logits", grad_targets),'),
    Mutant('c-bias-gradient-unasked', CE, 'room for the gradient of the bias is not counted',
           '  CULOSS_FIELD(bias_gradient);\n', '', on_device=True),
    Mutant('c-focal-alpha-dropped', ROWS, 'the factors of classes do not arrive',
           '  CULOSS_FIELD(alpha);\n', ''),
    Mutant('c-log-softmax-is-softmax', ROWS, 'log_softmax calls softmax',
           'return read.ok() ? log_softmax(where, x, l, how) : read.wrong();',
           'return read.ok() ? softmax(where, x, l, how) : read.wrong();'),
    Mutant('c-counts-swapped', ROWS, 'correct and counted rows of softmax focal are swapped',
           '''  CULOSS_FIELD(correct);
  CULOSS_FIELD(rows_counted);''',
           '''  f("correct", c.rows_counted, o.correct);
  f("rows_counted", c.correct, o.rows_counted);'''),
    Mutant('c-background-ignored', ELEMENTS, 'background and ignored label are swapped',
           '''  CULOSS_FIELD(mean_over);
  CULOSS_FIELD(background);
  CULOSS_FIELD(ignore_index);''',
           '''  CULOSS_FIELD(mean_over);
  f("background", c.ignore_index, o.background);
  f("ignore_index", c.background, o.ignore_index);'''),
    Mutant('c-mse-is-mae', ELEMENTS, 'mse calls mae',
           'return read.ok() ? mse(where, x, t, out, how) : read.wrong();',
           'return read.ok() ? mae(where, x, t, out, how) : read.wrong();'),
    Mutant('c-element-weights-dropped', ELEMENTS, 'the weights of elements do not arrive',
           '  CULOSS_FIELD(weights);\n', ''),
    Mutant('c-keys-for-queries', EMBEDDINGS, 'the ids of queries are those of keys',
           '  CULOSS_FIELD(query_ids);\n', '  f("query_ids", c.key_ids, o.query_ids);\n'),
    Mutant('c-own-negatives-shared', EMBEDDINGS, 'a row\'s own negatives are dropped',
           'info_nce(where, q, k, n, r, out, how)', 'info_nce(where, q, k, n, out, how)'),
    Mutant('c-images-for-texts', EMBEDDINGS, 'correct images and texts are swapped',
           '''  CULOSS_FIELD(correct_images);
  CULOSS_FIELD(correct_texts);''',
           '''  f("correct_images", c.correct_texts, o.correct_images);
  f("correct_texts", c.correct_images, o.correct_texts);'''),
    Mutant('c-best-for-least', EMBEDDINGS, 'the best workspace is given as the least',
           '  w.least = s.least;\n', '  w.least = s.best;\n', on_device=True),
    Mutant('c-kl-inputs-swapped', DIVERGENCE, 'what p and q are given as is swapped',
           '''  CULOSS_FIELD(p_input);
  CULOSS_FIELD(q_input);''',
           '''  f("p_input", c.q_input, o.p_input);
  f("q_input", c.p_input, o.q_input);'''),
    Mutant('c-distillation-labels-dropped', DIVERGENCE, 'labels of distillation do not arrive',
           '  CULOSS_FIELD(labels);\n', ''),
    Mutant('c-teacher-is-student', DIVERGENCE, 'student and teacher are swapped',
           'distillation(where, x, y, out, how)', 'distillation(where, y, x, out, how)'),
    Mutant('c-factor-dropped', PAIRS, 'the factor of contrastive does not arrive',
           '  CULOSS_FIELD(factor);\n', ''),
    Mutant('c-swap-is-soft-margin', PAIRS, 'swap and soft margin are swapped',
           '''  CULOSS_FIELD(swap);
  CULOSS_FIELD(soft_margin);''',
           '''  f("swap", c.soft_margin, o.swap);
  f("soft_margin", c.swap, o.soft_margin);'''),
    Mutant('c-negatives-for-positives', PAIRS, 'positives and negatives are swapped',
           'triplet(where, a, p, n, out, how)', 'triplet(where, a, n, p, out, how)'),
]
