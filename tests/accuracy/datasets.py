"""The data: read from Debian's libfann-doc where it is installed, and from scikit-learn. Nothing is copied into the
repository."""
import dataclasses
import pathlib

import numpy as np
import sklearn.datasets
import sklearn.model_selection

LIBFANN_DOC = pathlib.Path("/usr/share/doc/libfann-dev/examples/datasets")
CLASSIFICATIONS = {"diabetes", "gene", "mushroom", "soybean", "thyroid", "two-spiral"}  # of libfann-doc


@dataclasses.dataclass
class Dataset:
    """Targets of a classification are 0 and 1: one column a class, or one column for two classes."""
    task: str
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def read_fann(path: pathlib.Path):
    numbers = np.array(path.read_text().split(), np.float32)
    rows, inputs, outputs = numbers[:3].astype(int)
    table = numbers[3:3 + rows * (inputs + outputs)].reshape(rows, inputs + outputs)
    return table[:, :inputs], table[:, inputs:]


def write_fann(path: pathlib.Path, x, y):
    with path.open("w") as out:
        out.write(f"{len(x)} {x.shape[1]} {y.shape[1]}\n")
        for inputs, outputs in zip(x.tolist(), y.tolist()):
            out.write(" ".join(f"{v:.9g}" for v in inputs) + "\n" + " ".join(f"{v:.9g}" for v in outputs) + "\n")


def load(name: str) -> Dataset:
    """A set of libfann-doc with its own test rows, or `sklearn-NAME` with a third of the rows held out."""
    if not name.startswith("sklearn-"):
        (train_x, train_y), (test_x, test_y) = (read_fann(LIBFANN_DOC / f"{name}.{part}") for part in ("train", "test"))
        return Dataset("classification" if name in CLASSIFICATIONS else "regression", train_x, train_y, test_x, test_y)
    bunch = getattr(sklearn.datasets, "load_" + name.removeprefix("sklearn-"))()
    isRegression = len(np.unique(bunch.target)) > 20
    y = np.asarray(bunch.target, np.float32)[:, None]
    if not isRegression and y.max() > 1:
        y = (y == np.arange(y.max() + 1)).astype(np.float32)
    train_x, test_x, train_y, test_y = sklearn.model_selection.train_test_split(
        np.asarray(bunch.data, np.float32), y, test_size=1 / 3, random_state=1)
    return Dataset("regression" if isRegression else "classification", train_x, train_y, test_x, test_y)
