"""One planted bug."""

import dataclasses
import fnmatch

# Where a bug of a file is most likely to be found; the whole suite comes after. A name is that of a
# test file without _test, on the emulated device or on the CPU as the file asks; with ".watch" or
# ".asan" it is that variant's.
LIKELY_KILLERS = [
    ('host/reference/*similarity*', 'info_nce_reference info_nce_complex_step'),
    ('host/reference/info_nce*', 'info_nce_reference info_nce_reference_options '
     'info_nce_complex_step info_nce_reference_special_values'),
    ('host/reference/embeddings*', 'info_nce_reference info_nce_complex_step'),
    ('host/reference/*targets*', 'reference_targets cross_entropy_complex_step'),
    ('host/reference/*focal*', 'reference_focal reference_sigmoid_focal classes_complex_step'),
    ('host/reference/regression*', 'reference_elements element_loss'),
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
    ('host/*.cpp', 'arguments softmax_arguments info_nce_arguments'),
    ('host/validate.hpp', 'arguments softmax_arguments info_nce_arguments'),
    ('host/cross_entropy.hpp', 'arguments'),
    ('host/focal.hpp', 'row_loss_arguments'),
    ('host/element_call.hpp', 'row_loss_arguments'),
    ('host/regression.hpp', 'row_loss_arguments'),
    ('host/softmax.hpp', 'softmax_arguments'),
    ('host/info_nce.hpp', 'info_nce_arguments'),
    ('host/*cublas*', 'cublas failures'),
    ('host/gemm.hpp', 'cublas info_nce_edge'),
    ('host/*info_nce*', 'info_nce_edge info_nce_special_values '
     'info_nce_accuracy.emulated.random info_nce_plan'),
    ('host/*similarity*', 'info_nce_edge info_nce_special_values '
     'info_nce_accuracy.emulated.random info_nce_plan'),
    ('kernels/*info_nce*', 'info_nce_edge info_nce_special_values '
     'info_nce_accuracy.emulated.random'),
    ('kernels/*kept*', 'info_nce_kept info_nce_kept.watch'),
    ('kernels/*similarity*', 'info_nce_edge info_nce_special_values '
     'info_nce_accuracy.emulated.random'),
    ('kernels/*embedding*', 'pitch info_nce_edge info_nce_special_values '
     'info_nce_accuracy.emulated.random'),
    ('*', 'lesson divisors special_values accuracy widths'),
]

# These show on the CPU alone, and the library builds fastest there.
ON_THE_CPU = ['host/reference/*', 'host/validate.*', 'host/status.*', 'host/cross_entropy.hpp',
              'host/info_nce.hpp', 'host/softmax.hpp', 'host/focal.hpp', 'host/nll.hpp',
              'host/element_call.hpp', 'host/regression.hpp',
              'host/divergence.hpp']


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

    @property
    def build(self):
        on_cpu = any(fnmatch.fnmatch(self.file, p) for p in ON_THE_CPU) and not self.on_device
        return 'cpu' if on_cpu else 'device'

    def likely(self):
        """The tests to try first, by their ctest names."""
        of_file = next(tests for p, tests in LIKELY_KILLERS if fnmatch.fnmatch(self.file, p))
        return [self.test_name(t) for t in f'{self.tests} {of_file}'.split()]

    def test_name(self, short):
        name, _, variant = short.partition('.')
        if self.build == 'cpu':
            return f'{name}_test'
        return f'{name}_test.{variant or "emulated"}'

    def misfit(self, text):
        """Why it cannot be planted in this text of its file; None if it can."""
        found = text.count(self.old)
        if found != 1:
            return f'its text stands {found} times in {self.file}'
        return None
