"""Bugs in the losses of one batch of embeddings with itself."""

from .mutant import Mutant

SWEEP = 'host/self_sweep.hpp'
CALL = 'host/self_similarity.cu'
CHECK = 'host/self_similarity.hpp'
STATE = 'kernels/similarity_state.cuh'
TILES = 'kernels/similarity_tiles.cuh'
POSITIVES = 'kernels/similarity_positives.cuh'
POLICY = 'kernels/policy/self_similarity.cuh'
REFERENCE = 'host/reference/self_similarity.hpp'
REFERENCE_CALL = 'host/reference/self_similarity.cpp'
EDGE = 'self_similarity_edge'
PLAN = 'self_similarity_plan'

MUTANTS = [
    Mutant('self-diagonal-counts', TILES, 'a row is compared with itself',
           'return j - i <= row_index - col_index;', 'return j - i < row_index - col_index;',
           EDGE, first=CALL),
    Mutant('self-pairs-twice', TILES, 'what lies below the diagonal enters the statistics too',
           'j < end && !(kSelf && t.is_repeated(row + i, j));', 'j < end;', EDGE, first=CALL),
    Mutant('self-gradient-twice', TILES, 'what lies below the diagonal has a gradient too',
           '} else if (kSelf && t.is_repeated(row + i, j)) {',
           '} else if (kSelf && t.row_index + row + i == t.col_index + j) {', EDGE, first=CALL),
    Mutant('self-one-side-of-positives', TILES, 'a pair has what its row says of it',
           ' +\n                     c.target * sides.col_positives[j].term(l);', ';',
           EDGE, first=CALL),

    Mutant('positives-plain-not-moved', STATE, 'the plain sum stays about the old shift',
           's.plain + (s.shift - shift) * static_cast<float>(s.count);', 's.plain;',
           EDGE, first=CALL),
    Mutant('positives-sum-not-rescaled', STATE, 'sums of positives are added about two shifts',
           'return positive_state{shift, s.sum * by,', 'return positive_state{shift, s.sum,',
           EDGE, first=CALL),
    Mutant('positive-share-after-q', STATE, 'q of the spread instead of the softmax',
           'return (pi - share) - q * pi;', 'return (pi - share) - q * share;', EDGE, first=CALL),

    Mutant('positive-with-itself', POSITIVES, 'a row is its own positive',
           't.has_same_id(row + i, j) && !t.is_repeated(row + i, j)', 't.has_same_id(row + i, j)',
           EDGE),
    Mutant('positives-second-run-missed', POSITIVES,
           'runs of four are looked for in the first half',
           'if ((mask >> (kSpan * i + 4 * run) & 15u) != 0)',
           'if ((mask >> (kSpan * i) & 15u) != 0)', EDGE),
    Mutant('positives-none-not-written', POSITIVES,
           'columns without positive keep what stood there',
           'if (j < end) *partial = positive_state::none();', '', PLAN + ' ' + EDGE),
    Mutant('positives-a-warp-too-few', POSITIVES, 'the last warp\'s columns are left out',
           'for (int w = 1; w < kFoldWarps; ++w)', 'for (int w = 1; w < kFoldWarps - 1; ++w)',
           EDGE),
    Mutant('positives-read-too-early', POSITIVES,
           'warps\' columns are merged before all are written',
           '    __syncthreads();\n', '', EDGE + ' ' + EDGE + '.watch'),
    Mutant('infinite-positive-is-none', POSITIVES, 'an infinite similarity stays one',
           '          l = fmaf(l, 0.0f, l);  // an infinite one is NaN, as in fold_tile\n', '',
           'self_similarity_special_values'),

    Mutant('pairs-one-side', POLICY, 'a row is what lies to the right of the diagonal',
           'merge(a.rows.states[i], a.cols.states[i]), i, other,', 'a.rows.states[i], i, other,',
           EDGE),
    Mutant('pairs-target-of-the-row', POLICY,
           'the second view\'s positive is looked for in its row',
           'a.targets[i < pairs ? i : other]', 'a.targets[i]', EDGE),
    Mutant('pairs-tie-index', POLICY, 'ties are broken by the row\'s own index',
           'i, other,\n', 'i, i,\n', EDGE),
    Mutant('lonely-row-counts', POLICY, 'a row without positive counts',
           'positives.counts[i] = counts;', 'positives.counts[i] = true;', EDGE),
    Mutant('lonely-shift-is-zero', POLICY, '0 times an exponential that is infinite',
           'side_coefficients of_others{shift_of(o.shift), 0.0f, 0.0f, 0.0f};',
           'side_coefficients of_others{0.0f, 0.0f, 0.0f, 0.0f};', EDGE),
    Mutant('single-positive-cancels', POLICY, 'the one positive\'s softmax is computed again',
           'single ? 0.0f : 1.0f / p.sum, single ? q : share,', '1.0f / p.sum, share,', EDGE,
           equivalent='as long as a product that is computed again has the same bits, which nobody '
           'promises: then pi is 2^0 / 1, and (1 - 1) - q is -q'),
    Mutant('spread-forgotten', POLICY, 'the loss of several positives is that of their sum',
           'softplus(-d) + (log_sum - mean * kLn2)', 'softplus(-d)', EDGE),
    Mutant('scale-without-spread', POLICY, 'the scale\'s gradient of several positives is one\'s',
           '(alone ? q : q * (mean_o - mean_pi)) + (mean_pi - mean)',
           '(alone ? q : q * (mean_o - mean_pi))', EDGE),

    Mutant('self-gradient-not-cleared', SWEEP, 'the gradient begins with what stood in memory',
           'if (p_.gradients()) {\n      s = clear(', 'if (false) {\n      s = clear(', EDGE),
    Mutant('self-tiles-too-low', SWEEP, 'a tile ends a row above the diagonal\'s end',
           'std::min(panel(row), col + cols - row)',
           'std::min(panel(row), std::max<std::int64_t>(1, col + cols - row - 2))',
           PLAN + ' ' + EDGE),
    Mutant('self-rows-start-again', SWEEP, 'each tile\'s row states replace those before',
           'grid.splits, t.of_kernel.rows, false);', 'grid.splits, t.of_kernel.rows, true);', PLAN),
    Mutant('self-columns-start-again', SWEEP, 'each panel\'s column states replace those before',
           't.of_kernel.cols, t.row == 0);', 't.of_kernel.cols, true);', PLAN),
    Mutant('self-gradient-of-one-side', SWEEP, 'the columns get nothing of a pair',
           '      if (s.ok()) {\n        s = blas_.at_b(',
           '      if (false) {\n        s = blas_.at_b(',
           EDGE),
    Mutant('self-divides-by-all-rows', SWEEP, 'a mean divides by the rows without positive too',
           'call_.by.by.counted = m_.counted;', '', 'self_similarity_special_values'),

    Mutant('self-ids-ignored', CALL, 'rows with equal ids are not masked',
           'p.query_ids = p.segments[0].ids = options.ids.data;', '', EDGE),
    Mutant('self-odd-rows-taken', CHECK, 'a row without second view is taken',
           '  v.require(rows % 2 == 0, odd);\n', '',
           'self_similarity_arguments'),
    Mutant('self-labels-unchecked', CHECK, 'fewer labels than rows are taken',
           '  v.check("labels", labels, rows, "embeddings.rows");\n', '',
           'self_similarity_arguments'),

    Mutant('reference-compares-with-itself', REFERENCE, 'a row is its own negative',
           'return other != row && (ids == nullptr', 'return (ids == nullptr',
           'self_similarity_reference'),
    Mutant('reference-sum-over-positives', REFERENCE, 'positives are not averaged',
           'below / static_cast<double>(row.positives.size())', 'below',
           'self_similarity_reference'),
    Mutant('reference-self-one-side', REFERENCE_CALL, 'an embedding is on one side of a similarity',
           '(counts(j) ? weight(j) * dl(j, i) : 0.0)', '0.0', 'self_similarity_reference'),
    Mutant('reference-lonely-rows-divide', REFERENCE_CALL, 'a mean divides by all rows',
           'options, static_cast<double>(counted));', 'options);', 'self_similarity_reference'),
]
