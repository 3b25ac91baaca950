"""Bugs in the kernels over rows of embeddings, and in what a row of similarities is turned to."""

from .mutant import Mutant

ROWS = 'kernels/embedding_rows.cuh'
NCE = 'kernels/policy/info_nce.cuh'
CALL = 'kernels/similarity_call.cuh'

MUTANTS = [
    Mutant('embedding-pitch-ignored', ROWS, 'embeddings are taken to lie one behind the other',
           'return to_float(data[row * ld + d]);', 'return to_float(data[row * dimension + d]);'),
    Mutant('32-bit-embedding-offset', ROWS, 'row * pitch in 32 bits',
           'return to_float(data[row * ld + d]);',
           'return to_float(data[static_cast<int>(row) * static_cast<int>(ld) + d]);', 'pitch'),
    Mutant('norm-in-float', ROWS, 'squares of large embeddings overflow, of small ones vanish',
           'double sum = 0.0;', 'float sum = 0.0f;'),
    Mutant('zero-vector-is-nan', ROWS, 'a zero vector is divided by its norm',
           'out[row] = sum == 0.0 ? 0.0f : static_cast<float>(1.0 / sqrt(sum));',
           'out[row] = static_cast<float>(1.0 / sqrt(sum));'),
    Mutant('norm-without-tail', ROWS, 'the norm leaves out what is beyond the last 32',
           'for (int d = lane; d < x.dimension; d += 32) {\n    const double v',
           'for (int d = lane; d < x.dimension / 32 * 32; d += 32) {\n    const double v'),
    Mutant('pair-of-the-first-key', ROWS, 'the positive of every row is taken by its query alone',
           'dot += x.at(row, d) * y.at(row, d);', 'dot += x.at(row, d) * y.at(0, d);'),
    Mutant('pair-gradients-swapped', ROWS, 'query and key change places in the pair\'s gradient',
           'du[row * x.dimension + d] = g * y.at(row, d);',
           'du[row * x.dimension + d] = g * x.at(row, d);'),
    Mutant('gradient-along-the-vector', ROWS, 'a normalized row keeps its radial gradient',
           '      if (norms != nullptr) v -= along * (x.at(row, d) * norms[row]);\n', ''),
    Mutant('squared-norm-overflows', ROWS, '1 / |x|^2 is no float for short and for long vectors',
           'v -= along * (x.at(row, d) * norms[row]);', 'v -= along * norms[row] * x.at(row, d);'),
    Mutant('accumulate-ignored', ROWS, 'a gradient that is to be added to is overwritten',
           'from_float<Out>(accumulate ? to_float(o) + v : v)', 'from_float<Out>(v)'),
    Mutant('off-gradient-is-computed', ROWS, 'a divisor of 0 leaves NaN in the gradients',
           'const bool off = sums == nullptr || numbers->off != 0;',
           'const bool off = sums == nullptr;'),
    Mutant('gradient-scale-dropped', ROWS, 'the gradient is not multiplied by the scale',
           'v = scaled(v, numbers->column_rest, numbers->rest);', 'v = v * numbers->column_rest;'),
    Mutant('gradient-scaled-out-of-range', ROWS, 'a gradient vanishes on its way to its scale',
           'return a_first ? x * a * b : x * b * a;', 'return x * a * b;'),

    # The numbers of a call.
    Mutant('scratch-reused-at-once', CALL, 'shared memory is used again without a barrier',
           '    __syncthreads();  // scratch is used again\n', '', 'info_nce_edge.watch'),
    Mutant('log-scale-ignored', CALL, 'a log-scale is taken for a temperature',
           'if (a.logarithm) {', 'if (false) {'),
    Mutant('infinite-log-scale', CALL, 'a log-scale of -inf is the scale 0',
           'scale = isfinite(given) ? expf(given) : NAN;', 'scale = expf(given);'),
    Mutant('scale-gradient-sign', CALL, 'the gradient of a temperature has that of its inverse',
           'of_scale = -1.0f / t;', 'of_scale = 1.0f / t;'),
    Mutant('scale-gradient-unscaled', CALL, 'the scale\'s gradient misses the upstream gradient',
           'n.scale_rest = upstream * of_scale;', 'n.scale_rest = of_scale;'),
    Mutant('nce-upstream-of-one', CALL, 'the upstream gradient is 1',
           'a.by.by.gradient(a.by.upstream_rows != nullptr ? 1.0f : a.by.upstream.get());',
           'a.by.by.gradient(1.0f);'),
    Mutant('half-gradient-flushes', CALL, 'gradients of similarities are not lifted into range',
           'n.row_factor = a.range / row_top;\n', 'n.row_factor = 1.0f / row_top;\n',
           'info_nce_special_values info_nce_accuracy.emulated.random'),
    Mutant('norms-unscaled', CALL, 'gradients of tiny or huge embeddings leave the 16-bit range',
           'const float row_top = power_of_two_above(row);', 'const float row_top = 1.0f;',
           'info_nce_special_values info_nce_accuracy.emulated.random'),
    Mutant('largest-weight-not-undone', CALL, 'weights are scaled down for 16 bits and stay so',
           'n.rest = scale * upstream * top *', 'n.rest = scale * upstream *'),

    # A row's loss and coefficients.
    Mutant('rounded-positive-minus-one', NCE, 'the positive\'s probability is rounded before the 1 '
           'is taken off', 's.coefficients[i] = {shift_of(x.shift), alone && !isnan(d) ? 0.0f : '
           'weight * q / x.sum,\n                       -weight * q, x.best};',
           's.coefficients[i] = {shift_of(x.shift), alone && !isnan(d) ? 0.0f : weight * q / '
           'x.sum,\n                       weight * (to_float(__float2bfloat16_rn(sigmoid(d))) - '
           '1.0f), x.best};', 'info_nce_accuracy.emulated.random'),
    Mutant('moment-about-the-shift', NCE, 'the scale\'s gradient forgets the positive',
           'mean = x.moment / x.sum - above;', 'mean = x.moment / x.sum;'),
    Mutant('margin-in-bits', NCE, 'the margin of the positive is left in powers of two',
           'above * kLn2 - logf(x.sum)', 'above - logf(x.sum)'),
    Mutant('both-directions-whole', NCE, 'the symmetric loss is the sum, not the mean',
           '(both ? 0.5f : 1.0f)', '1.0f'),
    Mutant('columns-take-row-weights-twice', NCE, 'a column\'s loss is that of its row',
           'r = {0.5f * (r.loss + c.loss), 0.5f * (r.scale + c.scale)};',
           'r = {0.5f * (r.loss + r.loss), 0.5f * (r.scale + c.scale)};'),
    Mutant('ties-are-correct', NCE, 'a positive that only ties counts as found',
           'target > x.best || (target == x.best && index < x.index)', 'target >= x.best'),
    Mutant('pair-weights-ignored', NCE, 'the weight of a row is not in its loss',
           'a.loss[i] = a.call.by.weighted(i, r.loss);', 'a.loss[i] = r.loss;'),
    Mutant('nan-rows-are-correct', NCE, 'a row without a number counts as found',
           's.correct[i] = !isnan(d) && (alone ||', 's.correct[i] = (alone || isnan(d) ||'),
]
