"""One planted bug."""

import dataclasses
import fnmatch
import functools
import pathlib

# Where a bug of a file is most likely to be found; the whole suite comes after. A name is that of a
# test file without _test, on the emulated device or on the CPU as the file asks; with ".watch",
# ".asan" or ".cpu" it is that variant's, with ".emulated.*" that of the schedule after its first.
# "row_ring.watch:*clusters*" are those tests of a slow file alone.
LIKELY_KILLERS = [
    ('host/c_interface*', 'c_interface'),
    ('host/reference/linear*', 'linear_cross_entropy_reference linear_cross_entropy_accuracy'),
    ('host/reference/shards*', 'linear_cross_entropy_reference linear_cross_entropy_accuracy '
     'linear_cross_entropy_special_values'),
    ('host/linear*', 'linear_cross_entropy_accuracy linear_cross_entropy_special_values '
     'linear_cross_entropy_plan'),
    ('kernels/linear*', 'linear_cross_entropy_accuracy linear_cross_entropy_special_values '
     'linear_cross_entropy_plan'),
    ('host/reference/self_similarity*', 'self_similarity_reference'),
    ('host/self_similarity.hpp', 'self_similarity_arguments'),
    ('*self_s*', 'self_similarity_edge self_similarity_special_values self_similarity_plan'),
    ('kernels/similarity_positives*', 'self_similarity_edge self_similarity_plan'),
    ('host/reference/*similarity*', 'info_nce_reference info_nce_complex_step'),
    ('host/reference/mined*', 'mined_triplet_reference'),
    ('host/reference/siglip*', 'siglip_reference'),
    ('host/reference/info_nce*', 'info_nce_reference info_nce_reference_options '
     'info_nce_complex_step info_nce_reference_special_values'),
    ('host/reference/embedding.*', 'embedding_reference embedding'),
    ('host/reference/embeddings*', 'info_nce_reference info_nce_complex_step'),
    ('host/reference/*targets*', 'reference_targets cross_entropy_complex_step'),
    ('host/reference/*focal*', 'reference_focal reference_sigmoid_focal classes_complex_step'),
    ('host/reference/regression*', 'reference_elements element_loss'),
    ('host/reference/binary*', 'reference_elements element_loss'),
    ('host/reference/margin*', 'reference_elements element_loss'),
    ('host/reference/elements*', 'reference_elements element_loss reference_sigmoid_focal'),
    ('host/reference/nll*', 'reference_nll classes_complex_step'),
    ('host/reference/divergence*', 'reference_entropy classes_complex_step'),
    ('host/reference/views*', 'reference reference_strided pitch'),
    ('host/reference/cross_entropy*', 'reference cross_entropy_complex_step reference_options '
     'reference_special_values'),
    ('host/reference/softmax*', 'reference_softmax complex_step reference '
     'reference_special_values'),
    ('host/reference/scalar*', 'scalar_types reference_softmax'),
    ('host/reference/*', 'reference reference_softmax complex_step scalar_types '
     'reference_special_values'),
    ('host/*.cpp', 'arguments softmax_arguments info_nce_arguments.cpu'),
    ('host/validate.hpp', 'arguments softmax_arguments info_nce_arguments.cpu'),
    ('host/cross_entropy.hpp', 'arguments'),
    ('host/focal.hpp', 'row_loss_arguments'),
    ('host/element_call.hpp', 'row_loss_arguments'),
    ('host/regression.hpp', 'row_loss_arguments'),
    ('host/binary.hpp', 'row_loss_arguments'),
    ('host/margin.hpp', 'row_loss_arguments'),
    ('host/softmax.hpp', 'softmax_arguments'),
    ('host/info_nce.hpp', 'info_nce_arguments.cpu info_nce_device_arguments'),
    ('host/siglip.hpp', 'siglip_arguments'),
    ('host/siglip.cu', 'siglip_edge siglip_plan siglip_accuracy.emulated.*'),
    ('host/*cublas*', 'cublas failures'),
    ('host/gemm.hpp', 'cublas info_nce_edge'),
    ('host/*min*', 'mined_triplet mined_triplet_plan mined_triplet_device_arguments'),
    ('host/batch_all*', 'mined_triplet mined_triplet_plan'),
    ('host/*info_nce*', 'info_nce_edge info_nce_special_values '
     'info_nce_accuracy.emulated.* info_nce_plan'),
    ('host/*similarity*', 'info_nce_edge info_nce_special_values '
     'info_nce_accuracy.emulated.* info_nce_plan'),
    ('kernels/*siglip*', 'siglip_edge siglip_accuracy.emulated.*'),
    ('kernels/*info_nce*', 'info_nce_edge info_nce_special_values '
     'info_nce_accuracy.emulated.*'),
    ('kernels/min*', 'mined_triplet mined_triplet_plan'),
    ('kernels/batch_all*', 'mined_triplet mined_triplet_plan'),
    ('kernels/*kept*', 'info_nce_kept info_nce_kept.watch'),
    ('kernels/*similarity*', 'info_nce_edge info_nce_special_values '
     'info_nce_accuracy.emulated.*'),
    ('kernels/row_negatives*', 'info_nce_row_negatives'),
    ('kernels/embedding_pairs.cuh', 'embedding lesson accuracy aliasing'),
    ('kernels/policy/embedding.cuh', 'embedding lesson accuracy'),
    ('host/embedding.hpp', 'row_loss_arguments'),
    ('host/embedding.cu', 'embedding lesson accuracy'),
    ('kernels/*embedding*', 'pitch info_nce_edge info_nce_special_values '
     'info_nce_accuracy.emulated.*'),
    ('kernels/policy/cross_entropy.cuh', 'lesson accuracy special_values divisors'),
    ('kernels/policy/softmax*', 'lesson accuracy special_values'),
    ('kernels/policy/*', 'lesson accuracy row_loss_special_values divisors'),
    ('kernels/elementwise.cuh', 'lesson accuracy widths aliasing'),
    ('kernels/row_ring.cuh', 'row_ring row_ring.watch row_ring.asan'),
    ('kernels/row_parts.cuh', 'row_ring row_ring.watch row_ring.asan'),
    ('kernels/row_copies.cuh', 'row_ring row_ring.watch row_ring.asan'),
    ('kernels/whole_call.cuh', 'row_ring row_ring.watch row_ring.asan'),
    ('kernels/row_softmax.cuh', 'lesson widths aliasing accuracy'),
    ('kernels/vector_io.cuh', 'lesson widths aliasing accuracy'),
    ('host/labeled_rows.cu', 'lesson accuracy divisors'),
    ('host/nll.cu', 'lesson accuracy divisors'),
    ('*', 'lesson accuracy divisors special_values widths'),
]

# The source that a bug of a header is first planted in alone, and there only in what is for float:
# it compiles fast, and takes most of what the header has. A policy's own is the one that includes it.
FIRST_SOURCES = [
    ('kernels/min*', 'host/mined_triplet.cu'),
    ('kernels/batch_all*', 'host/mined_triplet.cu'),
    ('host/min*', 'host/mined_triplet.cu'),
    ('host/batch_all*', 'host/mined_triplet.cu'),
    ('host/self_s*', 'host/self_similarity.cu'),
    ('kernels/policy/self_similarity.cuh', 'host/self_similarity.cu'),
    ('kernels/similarity_positives.cuh', 'host/self_similarity.cu'),
    ('host/labeled_rows.cu', 'host/labeled_rows.cu'),
    ('kernels/policy/cross_entropy.cuh', 'host/labeled_rows.cu'),
    ('kernels/embedding_pairs.cuh', 'host/embedding.cu'),
    ('host/embedding.cu', 'host/embedding.cu'),
    ('kernels/policy/element_loss.cuh', 'host/regression.cu'),
    ('host/regression.cu', 'host/regression.cu'),
    ('host/binary.cu', 'host/binary.cu'),
    ('host/margin.cu', 'host/margin.cu'),
    ('kernels/policy/siglip.cuh', 'host/siglip.cu'),
    ('host/siglip.cu', 'host/siglip.cu'),
    ('host/cross_entropy_targets.cu', 'host/cross_entropy_targets.cu'),
    ('host/softmax.cu', 'host/softmax.cu'),
    ('host/divergence.cu', 'host/divergence.cu'),
    ('host/nll.cu', 'host/nll.cu'),
    ('host/sigmoid_focal.cu', 'host/sigmoid_focal.cu'),
    ('kernels/row_extras.cuh', 'host/labeled_rows.cu'),
    ('kernels/row_strided.cuh', 'host/labeled_rows.cu'),
    ('kernels/row_constants.hpp', 'host/sigmoid_focal.cu'),
    ('kernels/row_ring.cuh', 'host/softmax.cu'),
    ('kernels/row_softmax.cuh', 'host/softmax.cu'),
    ('kernels/vector_io.cuh', 'host/softmax.cu'),
    ('kernels/warp.cuh', 'host/softmax.cu'),
    ('kernels/online_softmax.cuh', 'host/softmax.cu'),
    ('kernels/math.cuh', 'host/labeled_rows.cu'),
    ('kernels/divisor.cuh', 'host/nll.cu'),
    ('kernels/elementwise.cuh', 'host/sigmoid_focal.cu'),
    ('kernels/labels.cuh', 'host/nll.cu'),
    ('kernels/reduce.cuh', 'host/nll.cu'),
    ('host/elements.hpp', 'host/regression.cu'),
    ('host/launch.hpp', 'host/nll.cu'),
    ('host/workspace.hpp', 'host/nll.cu'),
    ('host/rows.hpp', 'host/divergence.cu'),
    ('host/tuning.hpp', 'host/softmax.cu'),
    ('host/labeled_launches.hpp', 'host/labeled_rows.cu'),
    ('host/softmax_focal.cu', 'host/softmax_focal.cu'),
    ('host/linear*', 'host/linear_cross_entropy.cu'),
    ('kernels/linear_rows.cuh', 'host/linear_cross_entropy.cu'),
    ('host/info_nce*', 'host/info_nce.cu'),
    ('host/similarity*', 'host/info_nce.cu'),
    ('host/gemm.hpp', 'host/info_nce.cu'),
    ('kernels/policy/info_nce.cuh', 'host/info_nce.cu'),
    ('kernels/similarity_*', 'host/info_nce.cu'),
    ('kernels/kept_exponentials.cuh', 'host/info_nce.cu'),
    ('kernels/row_negatives.cuh', 'host/info_nce.cu'),
    ('kernels/embedding_rows.cuh', 'host/info_nce.cu'),
    # Headers of the reference that are not named as their source is.
    ('host/reference/batch.hpp', 'host/reference/cross_entropy.cpp'),
    ('host/reference/views.hpp', 'host/reference/cross_entropy.cpp'),
    ('host/reference/labeled*.hpp', 'host/reference/cross_entropy.cpp'),
    ('host/reference/shards.hpp', 'host/reference/linear_cross_entropy.cpp'),
    ('host/reference/embeddings.hpp', 'host/reference/info_nce.cpp'),
    ('host/reference/similarity_batch.hpp', 'host/reference/info_nce.cpp'),
    ('host/reference/scalar_types.hpp', 'host/reference/softmax.cpp'),
    ('host/reference/parallel.hpp', 'host/reference/softmax.cpp'),
    ('host/reference/focal.hpp', 'host/reference/softmax_focal.cpp'),
    ('host/reference/elements.hpp', 'host/reference/regression.cpp'),
]

# The losses that a bug of a file can change, by the beginnings of their cases' names.
CASES = [
    ('host/softmax.cu', 'softmax_T softmax_backward log_softmax'),
    ('host/labeled_rows.cu', 'cross_entropy softmax_focal'),
    ('host/cross_entropy_targets.cu', 'cross_entropy_targets'),
    ('host/softmax_focal.cu', 'softmax_focal'),
    ('host/sigmoid_focal.cu', 'sigmoid_focal'),
    ('host/nll.cu', 'nll smooth_labels'),
    ('host/divergence.cu', 'entropy kl_divergence distillation'),
    ('host/embedding.cu', 'cosine_embedding contrastive triplet'),
    ('kernels/embedding_pairs.cuh', 'cosine_embedding contrastive triplet'),
    ('kernels/policy/embedding.cuh', 'cosine_embedding contrastive triplet'),
    ('kernels/policy/softmax*', 'softmax_T softmax_backward log_softmax'),
    ('kernels/policy/cross_entropy_targets.cuh', 'cross_entropy_targets'),
    ('kernels/policy/cross_entropy.cuh', 'cross_entropy softmax_focal'),
    ('kernels/policy/entropy.cuh', 'entropy'),
    ('kernels/policy/kl_divergence.cuh', 'kl_divergence'),
    ('kernels/policy/distillation.cuh', 'distillation'),
    ('kernels/policy/multi_class_hinge.cuh', 'multi_class_hinge'),
    ('kernels/policy/sigmoid_focal.cuh', 'sigmoid_focal'),
    ('kernels/policy/element_loss.cuh', 'mse mae huber smooth_l1 hinge sigmoid_focal'),
    ('kernels/policy/residual.cuh', 'mse mae huber smooth_l1'),
    ('kernels/policy/binary.cuh', 'binary_cross_entropy'),
    ('kernels/policy/margin.cuh', 'hinge soft_margin'),
    ('host/regression.cu', 'mse mae huber smooth_l1'),
    ('host/binary.cu', 'binary_cross_entropy'),
    ('host/margin.cu', 'hinge soft_margin multi_class_hinge'),
    ('kernels/policy/nll.cuh', 'nll'),
    ('kernels/policy/smooth_labels.cuh', 'smooth_labels'),
    ('kernels/elementwise.cuh', 'nll sigmoid_focal smooth_labels mse huber'),
    ('host/elements.hpp', 'nll sigmoid_focal smooth_labels mse huber smooth_l1'),
]

# These show on the CPU alone, and the library builds fastest there.
ON_THE_CPU = ['host/c_interface*', 'host/reference/*', 'host/validate.*', 'host/status.*',
              'host/cross_entropy.hpp',
              'host/info_nce.hpp', 'host/self_similarity.hpp', 'host/siglip.hpp', 'host/softmax.hpp',
              'host/focal.hpp', 'host/nll.hpp', 'host/element_call.hpp', 'host/regression.hpp',
              'host/binary.hpp', 'host/margin.hpp',
              'host/divergence.hpp', 'host/embedding.hpp']


@functools.cache
def source_with(policy):
    """The source that includes a policy; None if there is none, or more than one."""
    line = f'#include "{policy}"'
    host = pathlib.Path(__file__).resolve().parents[2] / 'host'
    users = [p.name for p in host.glob('*.cu') if line in p.read_text()]
    return f'host/{users[0]}' if len(users) == 1 else None


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    file: str
    bug: str  # what it stands for
    old: str  # stands exactly once in the file ...
    new: str  # ... and is replaced by this
    tests: str = ''  # the likeliest killers, before those of the file
    equivalent: str = ''  # the proof that no test can see it
    on_device: bool = False  # though its file is one that shows on the CPU
    first: str = ''  # the source that it is first planted in alone, if not that of its file
    narrow: bool = False  # only 16 bits can show it

    @property
    def build(self):
        on_cpu = any(fnmatch.fnmatch(self.file, p) for p in ON_THE_CPU) and not self.on_device
        return 'cpu' if on_cpu else 'device'

    def source(self):
        """The one source that it is first planted in; None if it takes all from the beginning."""
        of_file = [source for p, source in FIRST_SOURCES if fnmatch.fnmatch(self.file, p)]
        if self.build == 'cpu':
            header = fnmatch.fnmatch(self.file, 'host/reference/*.hpp')
            own = next(iter(of_file), self.file.replace('.hpp', '.cpp')) if header else None
            return self.first or own
        return self.first or next(iter(of_file), None) or source_with(self.file)

    def concerned(self, source, only=''):
        """The environment that chooses those tests of a test file that can see a bug in a source."""
        if self.build == 'cpu' or self.on_device:
            return {'GTEST_FILTER': only} if only else {}
        cases = [c for p, c in CASES if fnmatch.fnmatch(source or self.file, p)]
        return {'GTEST_FILTER': f'{only}-*/cpu', **({'CULOSS_TEST_CASES': cases[0]} if cases else {}),
                **({'CULOSS_TEST_SUBSET': '1'} if source else {})}

    def likely(self):
        """The tests to try first: (pattern of their ctest names, filter within the file)."""
        of_file = next(tests for p, tests in LIKELY_KILLERS if fnmatch.fnmatch(self.file, p))
        named = [t.partition(':') for t in f'{self.tests} {of_file}'.split()]
        return list(dict.fromkeys((self.test_name(test), only) for test, _, only in named))

    def test_name(self, short):
        name, _, variant = short.partition('.')
        if self.build == 'cpu' or variant == 'cpu':
            return f'{name}_test'
        return f'{name}_test.{variant or "emulated"}'

    def misfit(self, text):
        """Why it cannot be planted in this text of its file; None if it can."""
        found = text.count(self.old)
        if found != 1:
            return f'its text stands {found} times in {self.file}'
        return None
