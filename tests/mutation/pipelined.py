"""Bugs in the row kernels that wait to be measured, beside those of the ring: rows in parts, rows by
way of cp.async, images by four positions, calls by one kernel."""

from .mutant import Mutant as AnyMutant

PARTS = 'kernels/row_parts.cuh'
COPIES = 'kernels/row_copies.cuh'
STRIDED = 'kernels/row_strided.cuh'
WHOLE = 'kernels/whole_call.cuh'
ROWS = 'host/rows.hpp'
LABELED = 'host/labeled_rows.cu'
TUNING = 'host/tuning.hpp'


def Mutant(name, file, what, old, new, tests='row_ring'):
    return AnyMutant(name, file, what, old, new, tests, first='host/labeled_rows.cu')


MUTANTS = [
    # Rows in parts.
    Mutant('part-tail-dropped', PARTS, 'the last packs of a part\'s last round are not folded',
           'for (int b = 0; b < kBatch - 1; ++b) {\n      if (k + b * kPartThreads >= end) break;',
           'for (int b = 0; b < kBatch - 2; ++b) {\n      if (k + b * kPartThreads >= end) break;'),
    Mutant('part-warps-missing', PARTS, 'a part\'s last warp is not merged',
           'merge_in_order(policy, states + thread * kPartWarps, kPartWarps)',
           'merge_in_order(policy, states + thread * kPartWarps, kPartWarps - 1)'),
    Mutant('part-groups-missing', PARTS, 'a row\'s last group is not merged',
           'merge_in_order(policy, groups, count)', 'merge_in_order(policy, groups, count - 1)'),
    Mutant('part-states-early', PARTS, 'states are merged before all warps have left theirs',
           '  __syncthreads();\n  state of_part', '  state of_part', 'row_ring.watch'),
    Mutant('part-states-overwritten', PARTS, 'a part\'s state overwrites those of warps still read',
           '  __syncthreads();\n  if (thread < parts_of_block) states[thread] = of_part;',
           '  if (thread < parts_of_block) states[thread] = of_part;', 'row_ring.watch'),
    Mutant('part-of-another-row', PARTS, 'the rows of a batch leave their states in one place',
           'left[row * plan.parts + part] = of_part;', 'left[part] = of_part;', 'row_ring.watch'),
    Mutant('part-written-by-all', PARTS, 'every block of a row writes the row\'s own outputs',
           'if (part == 0) policy.write(s, c);', 'policy.write(s, c);', 'row_ring.watch'),
    Mutant('part-skipped-unfilled', PARTS, 'of a few rows those that are ignored are not filled',
           '    for (int k = begin + thread; k < end; k += kPartThreads) {\n'
           '      r.fill(policy.fill(), r.first.first_column(k));\n    }\n', ''),
    Mutant('part-beyond-the-row', PARTS, 'the last part runs over the end of its row',
           '    const int end = begin + plan.packs < packs ? begin + plan.packs : packs;\n'
           '    const state s', '    const int end = begin + plan.packs;\n    const state s',
           'row_ring.asan row_ring.watch'),
    Mutant('part-memory-short', TUNING, 'too little memory is asked for the states',
           'return (rows < kSplitRows ? rows : kSplitRows) * most * kPartState;',
           'return most * kPartState;'),
    Mutant('part-split-of-many', ROWS, 'more rows are split than there is memory for',
           'a.rows <= kSplitRows ? how.part_states : nullptr;', 'how.part_states;',
           'row_ring.asan row_ring.watch'),

    # Rows by way of cp.async.
    Mutant('copies-not-awaited', COPIES, 'a row is read before it is there',
           '      wait_copies<1>();\n', ''),
    Mutant('copies-of-one-row', COPIES, 'the next row is the same one again',
           ' = load(row + gridDim.x, next);', ' = load(row, next);'),
    Mutant('copies-ends-left-out', COPIES, 'the ends of a row are what stood there before',
           '    end.store(next);\n', ''),
    Mutant('copies-ends-without-warp', COPIES, 'a lane reads ends that others have not written',
           '[at] = value;\n    __syncwarp();\n', '[at] = value;\n', 'row_ring.watch'),
    Mutant('copies-into-one-place', COPIES, 'the next row overwrites this one',
           'uint4* next = chip + packs_of_slot;', 'uint4* next = chip;'),
    Mutant('copies-states-early', COPIES, 'states are merged before all warps have left theirs',
           '      if (lane == 0) states[warp] = s;\n      __syncthreads();\n',
           '      if (lane == 0) states[warp] = s;\n', 'row_ring.watch'),
    Mutant('copies-coefficients-early', COPIES, 'coefficients are read before they are there',
           '      __syncthreads();\n      const typename Policy::coefficients c',
           '      const typename Policy::coefficients c', 'row_ring.watch'),

    # Images by four positions a thread.
    Mutant('four-group-missing', STRIDED, 'the last group of columns is left out',
           'for (int g = 1; g < kGroups; ++g) s = policy.merge(s, states[g * kRows + i]);',
           'for (int g = 1; g < kGroups - 1; ++g) s = policy.merge(s, states[g * kRows + i]);'),
    Mutant('four-tail', STRIDED, 'a column beyond the last enters the row',
           'const bool there = column[b] < cols;\n          if (on_chip',
           'const bool there = column[b] <= cols;\n          if (on_chip', 'row_ring.watch'),
    Mutant('four-chip-overlap', STRIDED, 'positions share their room on chip',
           'chip[column[b] * kPlaces + place] = q[b];',
           'chip[column[b] * (kPlaces - 1) + place] = q[b];'),
    Mutant('four-ignored-rows-written', STRIDED, 'an ignored row gets a gradient',
           'x[v] = constant[v] ? fill[v] : y[0][0];', 'x[v] = y[0][0];'),
    Mutant('four-states-early', STRIDED, 'states are merged before all groups have left theirs',
           'states[group * kRows + rows.in_block(place, v)] = s[v];\n    __syncthreads();\n',
           'states[group * kRows + rows.in_block(place, v)] = s[v];\n', 'row_ring.watch'),
    Mutant('four-coefficients-early', STRIDED, 'coefficients are read before they are there',
           '  if (!writes) return;\n  __syncthreads();\n\n  const Policy policy[4]',
           '  if (!writes) return;\n\n  const Policy policy[4]', 'row_ring.watch'),
    Mutant('four-read-though-ignored', STRIDED, 'four ignored rows are loaded',
           'read = read || (rows.there[v] && !policy[v].skip());', 'read = true;',
           'row_ring.watch'),
    Mutant('four-of-one-image', STRIDED, 'rows that do not lie together are taken for one image\'s',
           'const long long image = row[v] / a.inner;\n      begin[v]',
           'const long long image = row[0] / a.inner;\n      begin[v]'),
    Mutant('four-beyond-the-last', STRIDED, 'rows that are not there are written',
           'if (there[v]) __stcs(', 'if (true) __stcs('),
    Mutant('four-of-two-images', ROWS, 'four positions may lie in two images',
           'a.inner % 4 == 0 && !misaligned', 'a.rows % 4 == 0 && !misaligned'),
    Mutant('four-misaligned', ROWS, 'the alignment of the logits is not looked at',
           '!misaligned(a.in[0].data) && ', ''),
    Mutant('four-gradient-misaligned', ROWS, 'the alignment of the gradient is not looked at',
           ' && !misaligned(a.out[0].data);', ';'),
    Mutant('four-chip-forgotten', ROWS, 'what does not fit on chip is taken so all the same',
           'runs = plan.on_chip == keeps;', 'runs = true;'),

    # Calls by one kernel.
    Mutant('whole-count-of-one-block', 'kernels/divisor.cuh', 'all blocks read the first one\'s count',
           'counted[of_block ? block_index() : 0].sum', 'counted->sum', 'row_ring.watch'),
    Mutant('whole-rows-uncounted', WHOLE, 'the number of rows that count is not written',
           '    if (reports) *call.rows_counted = t.count;\n', ''),
    Mutant('whole-fence-missing', WHOLE, 'a block may end before its losses can be seen',
           '    __threadfence();\n    x.last', '    x.last', 'row_ring.watch'),
    Mutant('whole-ends-without-its-warps', WHOLE, 'a block may end before its warps have',
           '  meet();  // all that the block leaves is written\n', '', 'row_ring.watch'),
    Mutant('whole-last-but-one', WHOLE, 'the last block but one sums the losses',
           '== gridDim.x - 1 ?', '== gridDim.x - 2 ?'),
    Mutant('whole-warp-missing', WHOLE, 'some rows are neither counted nor summed',
           'for (int w = thread / 32; w < whole_exchange::kWarps; w +=',
           'for (int w = thread / 32; w < whole_exchange::kWarps - 1; w +='),
    Mutant('whole-z-loss-is-the-loss', WHOLE, 'the z-loss that is reported is the loss',
           'sum_losses{a.row_z_loss}, a.rows, x', 'sum_losses{a.row_loss}, a.rows, x'),
    Mutant('whole-first-label-unreported', WHOLE, 'nobody says which label was bad',
           '  if (thread == 0) report_first_label(a.faults, a.all, a.rows);\n', ''),
    Mutant('whole-not-cleared', ROWS, 'blocks that have ended are counted from what stood there',
           'return clear(context, whole_call_in(a).ended, 0, sizeof(unsigned));', 'return {};'),
    Mutant('whole-alpha-in-the-divisor', LABELED, 'a focal mean is divided by the alphas',
           'w.weights = call.weighted_mean ? call.options.class_weights.data : nullptr;',
           'w.weights = call.options.class_weights.data;'),
    Mutant('whole-of-more-rows', LABELED, 'any number of rows is left to one kernel',
           'call.rows <= kWholeRows && wants_rows(a)', 'wants_rows(a)'),
]
