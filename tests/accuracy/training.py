"""Makes the network files of the suite. Seeds are fixed: one machine always makes the same files."""
import contextlib
import inspect
import pathlib
import sys
import warnings

import numpy as np
import sklearn.neural_network
import sklearn.neural_network._base as sklearn_base

import datasets
import libfann
import network
from network import NUMBER
from suite import Fann, Sklearn

# What libfann cannot train is trained as its smooth counterpart and replaced afterwards.
SMOOTH = {NUMBER["threshold"]: NUMBER["sigmoid"], NUMBER["threshold_symmetric"]: NUMBER["sigmoid_symmetric"],
          NUMBER["gaussian_stepwise"]: NUMBER["gaussian"]}
SYMMETRIC = {NUMBER[name] for name in (
    "threshold_symmetric", "sigmoid_symmetric", "sigmoid_symmetric_stepwise", "gaussian_symmetric", "elliot_symmetric",
    "linear_piece_symmetric", "sin_symmetric", "cos_symmetric")}


def trained(case, folder: pathlib.Path) -> pathlib.Path:
    """The network file of `case` in `folder`; trains it unless the same recipe made it before."""
    path, stamp = folder / f"{case.id}.net", folder / f"{case.id}.recipe"
    recipe = repr(case) + "".join(map(inspect.getsource, (sys.modules[__name__], datasets, libfann, network)))
    if not (path.exists() and stamp.exists() and stamp.read_text() == recipe):
        print(f"training {case.id}", file=sys.stderr, flush=True)
        (_train_fann if isinstance(case, Fann) else _train_sklearn)(case, datasets.load(case.data), path)
        stamp.write_text(recipe)
    return path


def targets(case, y):
    """A data set's targets as the outputs of `case` should be: FANN's symmetric functions answer -1 and 1, and
    scikit-learn's classifiers tell two classes apart by one output."""
    if isinstance(case, Fann):
        return 2 * y - 1 if NUMBER[case.output] in SYMMETRIC else y
    return y[:, 1:] if case.data in datasets.CLASSIFICATIONS and y.shape[1] == 2 else y


def _train_fann(case: Fann, data: datasets.Dataset, path: pathlib.Path):
    hidden = [NUMBER[name] for name in case.functions]
    output = NUMBER[case.output]
    isCascade = case.algorithm == "cascade"
    sizes = [data.train_x.shape[1], *(() if isCascade else case.hidden), data.train_y.shape[1]]
    random = np.random.default_rng(case.seed)
    net = network.build(
        sizes, [[SMOOTH.get(f, f) for f in hidden]] * (len(sizes) - 2) + [[SMOOTH.get(output, output)]],
        [case.steepness] * (len(sizes) - 2) + [1.0 if case.output.startswith("linear") else case.steepness],
        lambda l, n, sources: random.uniform(-0.3, 0.3, len(sources)), int(case.kind == "shortcut"),
        0.3 if case.kind == "sparse" else 1.0, seed=case.seed)
    net.write(path)
    rows = path.with_suffix(".train")
    datasets.write_fann(rows, data.train_x, targets(case, data.train_y))
    if isCascade:
        libfann.train_cascade(path, rows, case.hidden[0], case.seed)
    else:
        algorithm = {"rprop": libfann.RPROP, "quickprop": libfann.QUICKPROP, "incremental": libfann.INCREMENTAL}
        libfann.train(path, rows, algorithm[case.algorithm], case.epochs, case.rate, case.seed)
    if SMOOTH.keys() & {output, *hidden}:
        net = network.read(path)
        outputs = net.layers()[-1]
        for layer in net.layers():
            functions = [output] if layer == outputs else hidden
            for i, n in enumerate(layer):
                if len(net.sources[n]):
                    net.functions[n] = functions[i % len(functions)]
        if SMOOTH.keys() & set(hidden):
            _refit_outputs(net, data)
        net.write(path)


def _refit_outputs(net: network.Network, data: datasets.Dataset):
    """Linear outputs by ridge regression on the hidden values."""
    rows, reads, _ = net.dense(net.layers()[-1])
    h = net.values(data.train_x.astype(float))[:, reads]
    weights = np.linalg.solve(h.T @ h + 1e-3 * len(h) * np.eye(len(reads)), h.T @ data.train_y)
    for n, column in zip(rows, weights.T / net.steepness[rows, None]):
        net.sources[n], net.weights[n] = reads, column.astype(np.float32).astype(float)


@contextlib.contextmanager
def _leaky_relu():
    """Within, scikit-learn's "relu" is FANN's leaky one, for scikit-learn has none of its own."""
    def forward(x):
        np.multiply(x, np.where(x < 0, 0.01, 1), out=x)

    def backward(z, delta):
        delta[z < 0] *= 0.01
    tables = (sklearn_base.ACTIVATIONS, forward), (sklearn_base.DERIVATIVES, backward)
    originals = [table["relu"] for table, _ in tables]
    for table, function in tables:
        table["relu"] = function
    try:
        yield
    finally:
        for (table, _), original in zip(tables, originals):
            table["relu"] = original


def _train_sklearn(case: Sklearn, data: datasets.Dataset, path: pathlib.Path):
    isRegression = data.task == "regression"
    train_y = targets(case, data.train_y)

    def moments(values):
        mean, deviation = values.mean(0, np.float64), values.std(0, dtype=np.float64)
        return mean, np.where(deviation > 0, deviation, 1)
    mean, deviation = moments(data.train_x)
    # Only targets that are not of order one are standardised too.
    scales_out = isRegression and np.abs(train_y).max() > 10
    mean_out, deviation_out = moments(train_y) if scales_out else (np.zeros(train_y.shape[1]),
                                                                       np.ones(train_y.shape[1]))
    scale = network.Scale(mean, deviation, mean_out, deviation_out)
    x = (data.train_x - mean) / deviation
    y = (train_y - mean_out) / deviation_out
    if not isRegression:
        y = y.argmax(1) if y.shape[1] > 1 else y[:, 0]
    make = sklearn.neural_network.MLPRegressor if isRegression else sklearn.neural_network.MLPClassifier
    model = make(case.hidden, activation="relu" if case.activation == "leaky" else case.activation, alpha=case.alpha,
                 max_iter=case.epochs, batch_size=64, random_state=case.seed)
    with _leaky_relu() if case.activation == "leaky" else contextlib.nullcontext(), warnings.catch_warnings():
        warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
        model.fit(x, y.ravel() if y.ndim > 1 and y.shape[1] == 1 else y)
        expected = model.predict(x).reshape(len(x), -1)

    # 1 / (1 + exp(-v)) is FANN's sigmoid at steepness 1/2; tanh, both ReLUs and linear are FANN's at 1. Softmax does
    # not change the class, so the outputs are its arguments.
    hidden = {"tanh": ("sigmoid_symmetric", 1), "relu": ("linear_piece_rect", 1), "logistic": ("sigmoid", 0.5),
              "leaky": ("linear_piece_rect_leaky", 1)}[case.activation]
    output = ("sigmoid", 0.5) if model.out_activation_ == "logistic" else ("linear", 1)
    kinds = [hidden] * len(case.hidden) + [output]
    net = network.build([x.shape[1], *case.hidden, model.n_outputs_], [[NUMBER[f]] for f, _ in kinds],
                        [s for _, s in kinds],
                        lambda l, n, _: np.append(model.coefs_[l][:, n], model.intercepts_[l][n]), scale=scale)
    y = net.run(data.train_x.astype(float))
    if isRegression:
        same = np.allclose((y - mean_out) / deviation_out, expected, atol=1e-4)
    else:
        same = np.mean((y.argmax(1) if y.shape[1] > 1 else y[:, 0] > 0.5) == expected[:, 0]) > 0.9999
    assert same, f"{case.id}: the converted network does not answer as scikit-learn does"
    net.write(path)
