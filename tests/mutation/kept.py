"""Bugs in the plan that keeps exponentials in 16 bits."""

import dataclasses

from .mutant import Mutant

KEPT = 'kernels/similarity_kept.cuh'
NUMBER = 'kernels/kept_exponentials.cuh'
TILES = 'kernels/similarity_tiles.cuh'
SWEEP = 'host/similarity.hpp'
PLAN = 'host/similarity_plan.hpp'

MUTANTS = [
    Mutant('kept-half-in-9-bits', NUMBER, 'half has as few digits as bf16',
           'kIsHalf ? 13 : 15;', 'kIsHalf ? 15 : 15;'),
    Mutant('kept-half-unlifted', NUMBER, 'half loses what lies below 2^-31 of its row',
           'kIsHalf ? 62u : 126u)) << 23', 'kIsHalf ? 31u : 126u)) << 23'),
    Mutant('kept-shift-of-a-lane', TILES, 'each lane has a shift of its own, one is stored',
           'merge_lanes<32>(best, [](float a, float b) { return fmaxf(a, b); })', 'best',
           'info_nce_kept'),
    Mutant('kept-run-unwritten', TILES, 'the last columns of the pitch are read unwritten',
           '(end + 7) / 8 * 8', 'end', 'info_nce_kept.watch'),
    Mutant('kept-statistics-unmerged', TILES, 'only the last 256 columns of a row count',
           'mine[i] = merge(mine[i], side_state{about[i], sum, moment, best, index});',
           'mine[i] = side_state{about[i], sum, moment, best, index};', 'info_nce_kept'),
    Mutant('kept-first-shift-for-all', KEPT, 'all columns of a row have the shift of the first',
           'kept.shifts + chunk * kept.shift_ld + row', 'kept.shifts + row'),
    Mutant('kept-lost-for-good', KEPT, 'a column far below its rows loses its softmax',
           'lost |= most > -number::kNegligible ? 1u << (kSpan * i + k) : 0u;', 'lost |= 0u;'),
    Mutant('kept-row-of-the-lost', KEPT, 'an element is taken again from another row',
           'const int i = row + which / kSpan;', 'const int i = row + which % 4;'),
    Mutant('kept-mask-forgotten', KEPT, 'a masked pair that is looked at again has a gradient',
           'if (t.is_masked(i, j)) return 0.0f;\n', ''),
    Mutant('kept-positive-taken-again', KEPT, 'a positive is taken for a lost element',
           'if (e[k] != 0.0f || slope[k] == 0.0f || t.is_positive(row + i, j)) continue;',
           'if (e[k] != 0.0f || slope[k] == 0.0f) continue;'),
    Mutant('kept-zero-times-infinity', KEPT, 'far above a column of no weight lies NaN',
           'fminf(about[i] - shift[k], 127.0f)', 'about[i] - shift[k]'),
    Mutant('kept-positive-of-one-direction', KEPT, 'a positive\'s gradient is its row\'s alone',
           '(kColumns ? sides.cols[column + k].target : 0.0f)', '0.0f'),
    Mutant('kept-column-direction-dropped', KEPT, 'the columns\' softmax has no gradient',
           'd += slope[k] * (e[k] * exp2_approx(fminf(about[i] - shift[k], 127.0f)));', ''),
    Mutant('kept-tail-of-sixteen', KEPT, 'rows beyond a warp\'s first four are left as they are',
           'row < end; row += kRows) {', 'row < begin + kRows && row < end; row += kRows) {'),
    Mutant('kept-best-never-lost', 'kernels/policy/info_nce.cuh',
           'the largest of a column is not what it says',
           '-weight * q, x.best};', '-weight * q, INFINITY};', 'info_nce_kept'),
    Mutant('kept-shifts-short', SWEEP, 'the workspace lacks the last shifts',
           'elements_of(plan.rows, e.chunks())', 'elements_of(plan.rows, e.chunks() - 1)',
           'info_nce_kept info_nce_plan info_nce_plan.asan'),
    Mutant('kept-rows-on-one-place', SWEEP, 'every tile writes the panel\'s first rows',
           'const std::int64_t r = row % plan_.rows, ld', 'const std::int64_t r = 0, ld',
           'info_nce_plan'),
    Mutant('kept-segments-share-shifts', SWEEP, 'negatives overwrite the shifts of the keys',
           '(segment == 0 ? 0 : chunks_of(widths[0]))', '0', 'info_nce_kept info_nce_plan'),
    Mutant('kept-panel-of-a-tile', SWEEP, 'only a panel\'s first tile of rows has a gradient',
           '      of_a_panel_ = plan_.rows;\n      if', '      if', 'info_nce_plan'),
    Mutant('kept-by-itself', PLAN, 'a plan that nobody has measured is the default',
           '{similarity_plan::kept, false}', '{similarity_plan::kept, true}', 'info_nce_kept'),
    Mutant('kept-tiles-anywhere', PLAN, 'a tile begins between two shifts',
           'is_kept ? kFoldBlockColumns : 8', '8', 'similarity_plan.cpu',
           first='tests/similarity_plan_test.cpp'),
    Mutant('kept-in-float', 'host/info_nce.hpp', 'float embeddings are kept in 16 bits',
           'plan != kept || is_narrow<T>,', 'true,', 'info_nce_arguments'),
]
MUTANTS = [dataclasses.replace(m, narrow=True) for m in MUTANTS]
