"""Bugs in what mines triplets in the batch, and in their gradients."""

from .mutant import Mutant

TILES = 'kernels/mining_tiles.cuh'
ROWS = 'kernels/mined_rows.cuh'
GRADIENT = 'kernels/mined_gradient.cuh'
ALL = 'kernels/batch_all.cuh'
HOST = 'host/mining.hpp'
CALL = 'host/mining_call.hpp'
REFERENCE = 'host/reference/mined_triplet.cpp'

MUTANTS = [
    # The tiles.
    Mutant('mining-trusts-the-product', TILES, 'bounds are the rounded distances themselves',
           'return {both * (1.0f - error.relative) - 2.0f * x - error.least,\n'
           '            both * (1.0f + error.relative) - 2.0f * x + error.least};',
           'return {both - 2.0f * x, both - 2.0f * x};'),
    Mutant('anchor-is-its-own-positive', TILES, 'an anchor is a positive of itself',
           't.positives && index != t.row_index + row + i', 't.positives',
           'mined_triplet mined_triplet_plan'),
    Mutant('ignored-columns-are-mined', TILES, 'ignored rows are negatives',
           '      if (col_label == t.ignore_index) continue;\n', ''),
    Mutant('infinite-bound-is-kept', TILES, 'a product out of range bounds a distance',
           'near[i].insert(isfinite(v.low) ? v.low : -INFINITY, index);',
           'near[i].insert(v.low, index);'),
    Mutant('last-column-is-not-mined', TILES, 'the last column of a split is no candidate',
           'if (j >= end) break;', 'if (j >= end - 1) break;'),
    Mutant('32-bit-mining-offset', TILES, 'row * pitch of a tile in 32 bits',
           't.s + (row + i) * t.ld + first;', 't.s + (row + i) * static_cast<int>(t.ld) + first;',
           'tile_pitch', first='tests/tile_pitch.cu'),

    # The choice.
    Mutant('mined-ties-to-the-last', ROWS, 'of equal candidates the last one is chosen',
           'v < best.value || (v == best.value && j < best.index)',
           'v < best.value || (v == best.value && j > best.index)'),
    Mutant('never-all-candidates', ROWS, 'what a row does not keep is never looked at',
           'if (!kept.full() || static_cast<double>(kept.last_bound()) > best.value) return best;',
           'return best;'),
    Mutant('semi-hard-at-the-positive', ROWS, 'a negative as far as the positive is farther',
           '!rule.semi_hard || v > value', '!rule.semi_hard || v >= value'),
    Mutant('semi-hard-at-the-margin', ROWS, 'a negative at the margin is within it',
           'anchor.to_negative < anchor.to_positive + rule.margin;',
           'anchor.to_negative <= anchor.to_positive + rule.margin;'),
    Mutant('anchor-read-after-write', ROWS, 'an anchor is written while lanes still read it',
           '  __syncwarp();  // all lanes have read the anchor\n', '', 'mined_triplet.watch'),
    Mutant('cosine-of-zero', ROWS, 'a zero vector is half as far from all others',
           '    if (cosine && (a == 0.0 || b == 0.0)) return 1.0;\n', ''),
    Mutant('labels-in-32-bits', ROWS, 'labels are compared by their low halves',
           'wide_labels[row] = label;', 'wide_labels[row] = static_cast<int>(label);'),
    Mutant('hinge-at-zero', ROWS, 'a triplet at the margin has a gradient',
           'slope = z > 0.0 ? 1.0 : 0.0;', 'slope = z >= 0.0 ? 1.0 : 0.0;'),
    Mutant('finite-forgotten', ROWS, 'an embedding that is not finite is no candidate',
           'if (!finite) atomicOr(not_finite, 1);', ''),

    # The gradient.
    Mutant('entries-in-any-order', GRADIENT, 'entries are summed as they come',
           'merge_lanes<32>(mine, [](unsigned x, unsigned y) { return x < y ? x : y; });',
           '__shfl_sync(kAllLanes, mine, static_cast<int>(k));', 'mined_triplet_plan'),
    Mutant('many-entries-dropped', GRADIENT, 'a row that many chose forgets the last of them',
           'for (long long first = 0; first < p.rows; first += 32) {\n    const long long a',
           'for (long long first = 0; first + 32 < p.rows; first += 32) {\n    const long long a'),
    Mutant('distance-zero-divides', GRADIENT, 'equal points divide 0 by 0',
           'distance == 0.0 ? (isnan(weight) ? weight : 0.0) : weight / distance',
           'weight / distance'),
    Mutant('negatives-attract', GRADIENT, 'a row is pulled to those that it was a negative of',
           'add(negative ? pull_of(m, i, anchor, -w, a.to_negative)',
           'add(negative ? pull_of(m, i, anchor, w, a.to_negative)'),
    Mutant('chosen-begin-late', GRADIENT, 'rows beyond the first chunk begin at 0',
           'if (i <= p.rows) p.begins[i] = before + at;', 'if (i <= p.rows) p.begins[i] = at;'),
    Mutant('mined-gradient-not-added', GRADIENT, 'a gradient that is to be added to is overwritten',
           'if (accumulate) v += static_cast<double>(to_float(out));', ''),

    # All triplets.
    Mutant('all-divided-per-panel', ALL, 'the gradient is not divided by the triplets that count',
           ': divisor == 0.0 ? 0.0',
           ': divisor != 0.0 ? sum'),
    Mutant('panels-begin-anew', ALL, 'a panel forgets what earlier ones added',
           'sum[k] = p.begins || d >= m.x.dimension ? 0.0 : sums[d];', 'sum[k] = 0.0;',
           'mined_triplet_plan'),
    Mutant('all-triplets-count', ALL, 'triplets that are 0 count',
           'if (!rule.soft && !(z > 0.0)) return;', ''),
    Mutant('pairs-without-barrier', ALL, 'a tile of embeddings is overwritten while it is read',
           '    }\n    __syncthreads();\n  }\n  const long long j = col + x;',
           '    }\n  }\n  const long long j = col + x;', 'mined_triplet.watch'),

    # The host.
    Mutant('tf32-error-forgotten', HOST, 'products in TF32 are taken for those of floats',
           '(tf32 ? 1.01f * 0x1p-9f : 0.0f)', '0.0f'),
    Mutant('semi-hard-multiplies-never-again', HOST, 'the second sweep reads the last tile only',
           'fold(row, false, true, plan_.cols < rows())', 'fold(row, false, true, false)',
           'mined_triplet_plan', narrow=True),
    Mutant('mean-of-what-was-not-counted', CALL, 'a mean divides by nothing that was counted',
           'if (p_.counts_divisor) by_.by.counted = of_rows_.counted;\n', ''),

    # The reference.
    Mutant('reference-counts-loss-only', REFERENCE, 'anchors without a negative count',
           'if (r.negative == kNobody) return {};', 'if (r.negative == kNobody) { r.counts = 1; '
           'return r; }'),
    Mutant('reference-pulls-one-end', REFERENCE, 'a pair has a gradient at its anchor only',
           '        add_distance_gradient(options.distance, x, j, a, d, weight, row_of(j));\n', ''),
]
