"""Runs the binary that $KIMIC names, and makes small expert sets for it."""
import ctypes
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fann_header import fann_header

ROOT = pathlib.Path(__file__).resolve().parents[2]
KIMIC = os.environ["KIMIC"]


def run_kimic(*arguments, cwd=None, env=None):
    return subprocess.run([KIMIC, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=300,
                          env={**os.environ, **{key: str(value) for key, value in (env or {}).items()}})


@pytest.fixture
def kimic(tmp_path):
    """kimic(arguments..., code=0): runs in tmp_path, checks the exit code, returns the finished process."""
    def run(*arguments, code=0, env=None, cwd=tmp_path):
        result = run_kimic(*arguments, cwd=cwd, env=env)
        assert result.returncode == code, f"exit code {result.returncode}\n{result.stdout}{result.stderr}"
        return result
    return run


def fann_text(weights, activation=5, steepness=0.5):
    """A layered network in FANN's format. weights: one array [outputs][inputs + 1] a layer, the bias last."""
    sizes = [weights[0].shape[1], *(w.shape[0] + 1 for w in weights)]
    neurons = ["(0, 0, 0.0)"] * sizes[0]
    connections = []
    first = 0
    for layer in weights:
        neurons += [f"({layer.shape[1]}, {activation}, {steepness:.20e})"] * layer.shape[0] + ["(0, 5, 0.0)"]
        connections += [f"({first + k}, {float(w):.20e})" for row in layer for k, w in enumerate(row)]
        first += layer.shape[1]
    lines = [*fann_header(sizes), "scale_included=0",
             f"neurons (num_inputs, activation_function, activation_steepness)={' '.join(neurons)} ",
             f"connections (connected_to_neuron, weight)={' '.join(connections)} "]
    return "\n".join(lines) + "\n"


def random_weights(seed, *sizes):
    random = np.random.default_rng(seed)
    return [random.normal(0, 0.5, (outputs, inputs + 1)).astype(np.float32)
            for inputs, outputs in zip(sizes, sizes[1:])]


def fann_data(inputs, outputs):
    lines = [f"{len(inputs)} {inputs.shape[1]} {outputs.shape[1]}"]
    for x, y in zip(inputs, outputs):
        lines += [" ".join(f"{v:.9g}" for v in x), " ".join(f"{v:.9g}" for v in y)]
    return "\n".join(lines) + "\n"


class Fann:
    """fann_run of Debian's libfann, as an oracle."""
    def __init__(self, name, number):
        self.library = ctypes.CDLL(f"lib{name}.so.2")
        self.number = number
        self.library.fann_create_from_file.restype = ctypes.c_void_p
        self.library.fann_run.restype = ctypes.POINTER(number)

    def run(self, path, rows):
        network = self.library.fann_create_from_file(os.fsencode(path))
        assert network
        network = ctypes.c_void_p(network)
        outputs = self.library.fann_get_num_output(network)
        results = []
        for row in rows:
            x = (self.number * len(row))(*row)
            results.append(self.library.fann_run(network, x)[:outputs])
        self.library.fann_destroy(network)
        return results


@pytest.fixture(scope="session")
def floatfann():
    return Fann("floatfann", ctypes.c_float)


@pytest.fixture(scope="session")
def fixedfann():
    return Fann("fixedfann", ctypes.c_int)


EXPERTS = [{"id": "alpha", "domain": "Reasoning", "labels": ["low", "mid", "high"]},
           {"id": "beta", "domain": "Coding", "labels": ["low", "mid", "high"]},
           {"id": "gamma", "domain": "Planning"}]
SHAPE = (12, 60, 3)


def write_set(folder, experts=EXPERTS, **changes):
    """Three experts, of which two are routed, with data; two have one signature. Returns the manifest's path."""
    random = np.random.default_rng(7)
    inputs = random.uniform(-1, 1, (40, SHAPE[0])).astype(np.float32)
    targets = random.uniform(-1, 1, (40, SHAPE[2])).astype(np.float32)
    (folder / "rows.data").write_text(fann_data(inputs, targets))
    np.save(folder / "rows.npy", inputs)
    for seed, expert in enumerate(experts):
        sizes = SHAPE if expert["id"] != "gamma" else (12, 33, 20, 3)
        (folder / f"{expert['id']}.net").write_text(fann_text(random_weights(seed, *sizes)))
    (folder / "router.net").write_text(fann_text(random_weights(99, SHAPE[0], 20, 2)))
    manifest = {"kimic": 1, "name": "small",
                "experts": [{"network": f"{e['id']}.net", "calibration": "rows.data", "test": "rows.data", **e}
                            for e in experts],
                "router": {"network": "router.net", "experts": ["beta", "alpha"], "top_k": 2, "calibration": "rows.npy"},
                **changes}
    path = folder / "experts.json"
    path.write_text(json.dumps(manifest, indent=1))
    return path


@pytest.fixture
def small_set(tmp_path):
    return write_set(tmp_path)


@pytest.fixture(scope="session")
def pack(tmp_path_factory):
    """The small set compiled, beside its sources."""
    folder = tmp_path_factory.mktemp("pack")
    result = run_kimic("compile", write_set(folder), "-o", folder / "small.kpk")
    assert result.returncode == 0, result.stderr
    return folder / "small.kpk"
