"""Debian's libfann and libfixedfann through ctypes: training, and evaluation of fixed-point networks."""
import contextlib
import ctypes
import os
import pathlib

import numpy as np

_float = ctypes.CDLL("libfloatfann.so.2")
_fixed = ctypes.CDLL("libfixedfann.so.2")
_libc = ctypes.CDLL(None)
for _library, _number in ((_float, ctypes.c_float), (_fixed, ctypes.c_int)):
    _library.fann_create_from_file.restype = ctypes.c_void_p
    _library.fann_read_train_from_file.restype = ctypes.c_void_p
    _library.fann_run.restype = ctypes.POINTER(_number)
_float.fann_train_epoch.restype = ctypes.c_float

INCREMENTAL, RPROP, QUICKPROP = 0, 2, 3


class _Open:
    """A network of one of the libraries, until the end of the block."""
    def __init__(self, library, path: pathlib.Path):
        self.library, self.path = library, path

    def __enter__(self):
        handle = self.library.fann_create_from_file(os.fsencode(self.path))
        if not handle:
            raise RuntimeError(f"libfann does not read {self.path}")
        self.handle = ctypes.c_void_p(handle)
        return self.handle

    def __exit__(self, *_):
        self.library.fann_destroy(self.handle)


@contextlib.contextmanager
def _silence():
    """Within, nothing reaches stdout and stderr, from C code either."""
    kept = [os.dup(stream) for stream in (1, 2)]
    with open(os.devnull, "w") as nowhere:
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
    try:
        yield
    finally:
        _libc.fflush(None)
        for stream, copy in zip((1, 2), kept):
            os.dup2(copy, stream)
            os.close(copy)


def train(path: pathlib.Path, data: pathlib.Path, algorithm: int, epochs: int, rate: float, seed: int):
    """Trains the network file in place. Incremental training shuffles the rows before each epoch."""
    with _Open(_float, path) as net:
        rows = ctypes.c_void_p(_float.fann_read_train_from_file(os.fsencode(data)))
        _float.fann_set_training_algorithm(net, algorithm)
        _float.fann_set_learning_rate(net, ctypes.c_float(rate))
        _libc.srand(seed)
        for _ in range(epochs):
            if algorithm == INCREMENTAL:
                _float.fann_shuffle_train_data(rows)
            _float.fann_train_epoch(net, rows)
        _float.fann_save(net, os.fsencode(path))
        _float.fann_destroy_train(rows)


def train_cascade(path: pathlib.Path, data: pathlib.Path, neurons: int, seed: int):
    """Adds up to `neurons` neurons to a shortcut network without hidden neurons."""
    with _Open(_float, path) as net:
        rows = ctypes.c_void_p(_float.fann_read_train_from_file(os.fsencode(data)))
        _float.fann_set_training_algorithm(net, RPROP)
        _libc.srand(seed)
        _float.fann_cascadetrain_on_data(net, rows, neurons, 0, ctypes.c_float(0))
        _float.fann_save(net, os.fsencode(path))
        _float.fann_destroy_train(rows)


def run(path: pathlib.Path, x: np.ndarray) -> np.ndarray:
    """fann_run in float on every row; FANN does not apply scaling parameters by itself."""
    with _Open(_float, path) as net:
        outputs = _float.fann_get_num_output(net)
        return np.array([_float.fann_run(net, (ctypes.c_float * len(row))(*row))[:outputs] for row in x.tolist()])


def run_fixed(path: pathlib.Path, x: np.ndarray) -> np.ndarray:
    """Exports the float network with fann_save_to_fixed and runs the export with libfixedfann, as FANN's manual tells:
    inputs become integers by truncation. What libfixedfann prints about each input above 1 is dropped."""
    export = path.with_suffix(".fixed")
    with _Open(_float, path) as net:
        _float.fann_save_to_fixed(net, os.fsencode(export))
    with _Open(_fixed, export) as net:
        one = 1 << _fixed.fann_get_decimal_point(net)
        outputs = _fixed.fann_get_num_output(net)
        codes = np.trunc(x * one).astype(np.int32).tolist()
        with _silence():
            return np.array([_fixed.fann_run(net, (ctypes.c_int * len(row))(*row))[:outputs] for row in codes]) / one
