#!/usr/bin/env python3
"""Calls the C interface by ctypes: cross-entropy with its gradient of NumPy arrays and, where PyTorch
with CUDA is there, of CUDA tensors; each held against the formula.

    python3 bench/ctypes_demo.py <libculoss.so>    one that was built with BUILD_SHARED_LIBS=ON
"""

import ctypes
import sys
from ctypes import POINTER, Structure, byref, c_float, c_int32, c_int64, c_uint64, c_void_p

try:
    import numpy as np
except ImportError:
    print('NumPy is not here')
    sys.exit(77)

CPU, CUDA, FLOAT32, INT64, SUM = 1, 2, 1, 6, 2


class Vector(Structure):
    _fields_ = [('data', c_void_p), ('size', c_int64), ('type', c_int32), ('reserved', c_int32)]


class Matrix(Structure):
    _fields_ = [('data', c_void_p), ('rows', c_int64), ('cols', c_int64), ('ld', c_int64),
                ('type', c_int32), ('layout', c_int32)]


class Scalar(Structure):
    _fields_ = [('device', c_void_p), ('value', c_float), ('kind', c_int32)]


class Execution(Structure):
    _fields_ = [('size', c_uint64), ('device', c_int32), ('threads', c_int32), ('stream', c_void_p)]


class Outputs(Structure):  # as far as this caller needs them; so the options
    _fields_ = [('size', c_uint64), ('loss', Vector), ('grad_logits', Matrix)]


class Options(Structure):
    _fields_ = [('size', c_uint64), ('reduction', c_int32), ('label_smoothing', c_float),
                ('ignore_index', c_int64), ('temperature', Scalar)]


def cross_entropy(lib, where, n, c, logits, labels, loss, grad):
    """The pointers are to float [n, c], int64 [n], float [1] and float [n, c], densely."""
    options = Options()
    lib.culoss_cross_entropy_options_init(byref(options), ctypes.sizeof(options))
    options.reduction, options.label_smoothing, options.temperature.value = SUM, 0.1, 0.5
    outputs = Outputs(ctypes.sizeof(Outputs), Vector(loss, 1, FLOAT32),
                      Matrix(grad, n, c, c, FLOAT32))
    if lib.culoss_cross_entropy(byref(where), Matrix(logits, n, c, c, FLOAT32),
                                Vector(labels, n, INT64), byref(outputs), byref(options)) != 0:
        sys.exit(lib.culoss_last_message().decode())


def check(name, logits, labels, loss, grad):
    y = logits.astype(np.float64) / 0.5
    p = np.exp(y - y.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    q = 0.9 * np.eye(y.shape[1])[labels] + 0.1 / y.shape[1]
    expected = -(q * np.log(p)).sum()
    error = max(abs(loss[0] - expected) / expected, np.abs(grad - (p - q) / 0.5).max())
    print(f'{name}: loss {loss[0]:.6f}, by the formula {expected:.6f}, largest error {error:.1e}')
    if not error < 1e-5:
        sys.exit('too large')


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    lib = ctypes.CDLL(sys.argv[1])
    lib.culoss_last_message.restype = ctypes.c_char_p
    lib.culoss_cross_entropy.argtypes = [POINTER(Execution), Matrix, Vector, POINTER(Outputs),
                                         POINTER(Options)]
    lib.culoss_cross_entropy_options_init.argtypes = [POINTER(Options), c_uint64]
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(64, 1000)).astype(np.float32)
    labels = rng.integers(0, 1000, 64)
    loss, grad = np.zeros(1, np.float32), np.zeros_like(logits)
    cross_entropy(lib, Execution(ctypes.sizeof(Execution), CPU), *logits.shape,
                  *(a.ctypes.data for a in (logits, labels, loss, grad)))
    check('NumPy, on the CPU', logits, labels, loss, grad)

    try:
        import torch
        missing = '' if torch.cuda.is_available() else 'PyTorch finds no CUDA device'
    except ImportError:
        missing = 'PyTorch is not here'
    if missing:
        print(f'CUDA tensors: left out, {missing}')
        return
    tensors = [torch.from_numpy(a).cuda() for a in (logits, labels, np.zeros(1, np.float32), 0 * grad)]
    stream = torch.cuda.current_stream().cuda_stream
    cross_entropy(lib, Execution(ctypes.sizeof(Execution), CUDA, 0, stream), *logits.shape,
                  *(t.data_ptr() for t in tensors))
    check('PyTorch, on the GPU', logits, labels, *(t.cpu().numpy() for t in tensors[2:]))


if __name__ == '__main__':
    main()
