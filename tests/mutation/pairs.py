"""Bugs in the losses of two or three embeddings a row."""

from .mutant import Mutant

PAIRS = 'kernels/embedding_pairs.cuh'
POLICY = 'kernels/policy/embedding.cuh'
CUDA = 'host/embedding.cu'
CHECKS = 'host/embedding.hpp'
REFERENCE = 'host/reference/embedding.hpp'
ROWS = 'host/reference/embedding.cpp'

MUTANTS = [
    # The sums and what is made of them.
    Mutant('pair-products-in-float', PAIRS, 'products of elements are rounded to float',
           'kCosine ? one * other : difference * difference;',
           'kCosine ? static_cast<float>(one * other) : difference * difference;'),
    Mutant('pair-differences-in-float', PAIRS, 'differences of elements are rounded to float',
           'difference = one - other;',
           'difference = static_cast<float>(one) - static_cast<float>(other);'),
    Mutant('pair-distance-of-a-quotient', PAIRS, '1 - cos is taken from a rounded cosine',
           'fmax(product - s.of_pair[p], 0.0) / product;',
           '1.0 - static_cast<double>(static_cast<float>(s.of_pair[p] / product));'),
    Mutant('pair-part-in-one-float', PAIRS, 'the part along x is removed by a rounded coefficient',
           'fmaf(-along_x[1], x, fmaf(-along_x[0], x, y))', 'fmaf(-along_x[0], x, y)'),
    Mutant('pair-factor-is-a-float', PAIRS, 'a factor out of range is infinite or 0',
           'return {1.0f / inverse, static_cast<float>(c * static_cast<double>(inverse))};',
           'return {1.0f, static_cast<float>(c)};'),
    Mutant('pair-difference-overflows', PAIRS, 'a difference that is no float is infinite',
           'const bool huge = square > 0x1p252;', 'const bool huge = false;'),
    Mutant('pair-zero-vector-divides', PAIRS, 'a zero vector has no cosine',
           'if (product == 0.0) return {0.0, 0.0, 1.0};', ''),
    Mutant('pair-not-finite-is-a-loss', PAIRS, 'a row that is not finite may lose nothing',
           'k.loss = finite ? static_cast<float>(of.loss) : NAN;',
           'k.loss = static_cast<float>(of.loss);'),
    Mutant('pair-norms-may-be-infinite', PAIRS, 'an infinity in one embedding passes',
           'finite = finite && isfinite(s.of_vector[i]);', 'finite = finite;',
           equivalent='what is not finite makes every product with it infinite or NaN, and each '
           'embedding is in a pair whose products are summed'),
    Mutant('pair-scale-forgotten', PAIRS, 'upstream and divisor do not reach the gradient',
           'finite ? of.slope[i] * scale :', 'finite ? of.slope[i] :'),
    Mutant('pair-other-of-the-anchor', PAIRS, 'with swap the anchor gets the positive\'s gradient',
           'dx[0] += k.last != 0.0f ? 0.0f : other;\n        dx[1] += k.last != 0.0f ? other : 0.0f;',
           'dx[0] += other;'),
    Mutant('pair-zero-too-soon', PAIRS, 'a row counts as without gradient if its first pair is',
           'for (int i = 0; i < kVectors - 1; ++i) none = none && k.pulls[i].zero();',
           'for (int i = 0; i < kVectors - 1; ++i) none = none || k.pulls[i].zero();'),
    Mutant('pair-off-forgotten', PAIRS, 'a divisor of 0 leaves a bad row NaN',
           'kind == label_kind::ignored || a.scale.off() ? 0.0f', 'kind == label_kind::ignored ? 0.0f'),
    Mutant('pair-label-in-32-bits', PAIRS, 'labels are compared by their low halves',
           'label == 1 || label == unlike', 'static_cast<int>(label) == 1 || label == unlike'),
    Mutant('pair-ignored-is-bad', PAIRS, 'an ignored pair is one of no kind',
           'return label == ignore_index ? label_kind::ignored : k;', 'return k;'),
    Mutant('pair-first-label-untold', 'kernels/labels.cuh',
           'the record is not told the first bad label',
           '= t.count;\n    report_first_label(faults, all, rows);\n  }\n};\nusing',
           '= t.count;\n  }\n};\nusing', 'embedding faults', first='host/embedding.cu'),

    # The losses.
    Mutant('cosine-margin-forgotten', POLICY, 'unlike pairs lose their whole cosine',
           'pairs[0].cosine - static_cast<double>(margin)', 'pairs[0].cosine'),
    Mutant('contrastive-slope-doubled', POLICY, 'the slope of unlike pairs is twice as steep',
           '-2.0 * c * z / d', '-4.0 * c * z / d'),
    Mutant('contrastive-factor-of-alike', POLICY, 'alike pairs have no factor',
           '{c * square, {2.0 * c}, false}', '{square, {2.0}, false}'),
    Mutant('contrastive-kink', POLICY, 'unlike pairs at the margin or beyond it lose',
           '    if (!(z > 0.0)) return {0.0, {0.0}, false};\n', ''),
    Mutant('triplet-hinge-at-zero', POLICY, 'a triplet at the margin has a gradient',
           'slope = z > 0.0 ? 1.0 : 0.0;', 'slope = z >= 0.0 ? 1.0 : 0.0;'),
    Mutant('triplet-swaps-at-ties', POLICY, 'of equal distances that of the positive is taken',
           'swap && other < far', 'swap && other <= far'),
    Mutant('triplet-swaps-always', POLICY, 'the nearer distance is taken without swap, too',
           'const bool last = swap && other < far;', 'const bool last = other < far;'),
    Mutant('triplet-soft-slope', POLICY, 'the soft slope is that of the other side',
           '(z >= 0.0 ? 1.0 : e) / (1.0 + e)', '(z < 0.0 ? 1.0 : e) / (1.0 + e)'),
    Mutant('triplet-distance-of-zero', POLICY, 'the gradient of a distance of 0 is infinite',
           'return distance == 0.0 ? 0.0 : 1.0 / distance;', 'return 1.0 / distance;'),

    # The calls.
    Mutant('pair-labels-of-the-other', CUDA, 'cosine_embedding takes 0 for -1',
           'labels_of_pairs(labels, options.ignore_index, -1)',
           'labels_of_pairs(labels, options.ignore_index, 0)'),
    Mutant('triplet-squared-is-not', CUDA, 'squared distances are not',
           'options.distance == triplet_distance::squared_euclidean;', 'false;'),
    Mutant('pair-second-is-free', CHECKS, 'the second embeddings may be of any shape',
           '  v.same_shape("x2", x2, "x1", x1);\n', '', 'row_loss_arguments'),
    Mutant('triplet-margin-unchecked', CHECKS, 'a triplet\'s margin may be anything',
           '  v.not_negative("margin", options.margin);\n  check_pair_options',
           '  check_pair_options', 'row_loss_arguments'),

    # The reference.
    Mutant('reference-pair-root', REFERENCE, 'squares are of the numbers as they are',
           'const S z = element(j) / unit;\n    sum += z * z;\n  }\n  return std::sqrt(sum) * unit;',
           'const S z = element(j);\n    sum += z * z;\n  }\n  return std::sqrt(sum);',
           'embedding_reference'),
    Mutant('reference-cosine-gradient', REFERENCE, 'the part along x stays in its gradient',
           'weight * (cos * u - v) / of_x;', 'weight * (u - v) / of_x;', 'embedding_reference'),
    Mutant('reference-contrastive-slope', REFERENCE, 'unlike pairs are pushed half as hard',
           'scale * (-2 * factor * z)', 'scale * (-factor * z)', 'embedding_reference'),
    Mutant('reference-triplet-swap', REFERENCE, 'with swap the anchor is pulled',
           '-weight, swap ? dp : da, dn);', '-weight, da, dn);', 'embedding_reference'),
    Mutant('reference-pair-not-finite', ROWS, 'rows that are not finite have some loss',
           'const double value = finite ? row(i, in, b.gradient_scale(i), dx) : kNan;',
           'const double value = row(i, in, b.gradient_scale(i), dx);', 'embedding'),
]
