"""FANN networks in Python: reading and writing FANN_FLO_2.1, and evaluation in float64.

An implementation of its own, beside libfann's and kimic's; `run` and `training.py` check them against each other.
"""
import dataclasses
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from fann_header import fann_header

FUNCTIONS = ["linear", "threshold", "threshold_symmetric", "sigmoid", "sigmoid_stepwise", "sigmoid_symmetric",
             "sigmoid_symmetric_stepwise", "gaussian", "gaussian_symmetric", "gaussian_stepwise", "elliot",
             "elliot_symmetric", "linear_piece", "linear_piece_symmetric", "sin_symmetric", "cos_symmetric", "sin",
             "cos", "linear_piece_rect", "linear_piece_rect_leaky"]
NUMBER = {name: number for number, name in enumerate(FUNCTIONS)}

_STEP_AT = np.array([-2.64665246009826660156, -1.47221946716308593750, -0.549306154251098632812,
                     0.549306154251098632812, 1.47221934795379638672, 2.64665293693542480469])
_STEP_TO = np.array([0.00499999988824129104614, 0.0500000007450580596924, 0.25, 0.75, 0.949999988079071044922,
                     0.995000004768371582031])


def _stepwise(t, low):
    y = np.interp(t, _STEP_AT, _STEP_TO * (1 - low) + low)
    return np.where(t < _STEP_AT[0], low, np.where(t >= _STEP_AT[-1], 1, y))


def apply(function: int, t: np.ndarray) -> np.ndarray:
    """FANN's function of t, the clamped product of steepness and sum."""
    with np.errstate(over="ignore"):
        return [lambda: t, lambda: np.where(t < 0, 0.0, 1.0), lambda: np.where(t < 0, -1.0, 1.0),
                lambda: 1 / (1 + np.exp(-2 * t)), lambda: _stepwise(t, 0.0), lambda: np.tanh(t),
                lambda: _stepwise(t, -1.0), lambda: np.exp(-t * t), lambda: 2 * np.exp(-t * t) - 1,
                lambda: np.zeros_like(t), lambda: t / 2 / (1 + abs(t)) + 0.5, lambda: t / (1 + abs(t)),
                lambda: np.clip(t, 0, 1), lambda: np.clip(t, -1, 1), lambda: np.sin(t), lambda: np.cos(t),
                lambda: np.sin(t) / 2 + 0.5, lambda: np.cos(t) / 2 + 0.5, lambda: np.maximum(t, 0),
                lambda: np.where(t < 0, 0.01 * t, t)][function]()


@dataclasses.dataclass
class Scale:
    """What FANN stores to scale data: x' = ((x - mean) / deviation + 1) * 1 - 1, so a z-score; outputs the inverse."""
    mean_in: np.ndarray
    deviation_in: np.ndarray
    mean_out: np.ndarray
    deviation_out: np.ndarray


@dataclasses.dataclass
class Network:
    """Neurons are numbered as in the file, biases included; weights[n] belongs to sources[n]."""
    layer_sizes: list
    functions: np.ndarray
    steepness: np.ndarray
    sources: list
    weights: list
    network_type: int = 0
    connection_rate: float = 1.0
    scale: Scale | None = None

    @property
    def inputs(self):
        return self.layer_sizes[0] - 1

    @property
    def outputs(self):
        return self.layer_sizes[-1] - (self.network_type == 0)

    @property
    def parameters(self):
        return sum(map(len, self.weights))

    def layers(self):
        """Neuron ranges of the layers after the inputs."""
        ends = np.cumsum(self.layer_sizes)
        return [range(begin, end) for begin, end in zip(ends, ends[1:])]

    def dense(self, layer):
        """(neurons of `layer` that have inputs, all neurons that they read, weights [of one, of the other])."""
        rows = [n for n in layer if len(self.sources[n])]
        reads = np.unique(np.concatenate([self.sources[n] for n in rows]))
        matrix = np.zeros((len(rows), len(reads)))
        for r, n in enumerate(rows):
            matrix[r, np.searchsorted(reads, self.sources[n])] = self.weights[n]
        return np.array(rows), reads, matrix

    def activate(self, rows, sums):
        """Values of the neurons `rows` from their sums [samples, len(rows)]."""
        steepness = self.steepness[rows]
        with np.errstate(divide="ignore"):
            t = np.clip(sums * steepness, -150 / steepness, 150 / steepness)
        values = np.empty_like(t)
        for function in np.unique(self.functions[rows]):
            of = self.functions[rows] == function
            values[:, of] = apply(function, t[:, of])
        return values

    def scaled_inputs(self, x):
        return x if self.scale is None else (x - self.scale.mean_in) / self.scale.deviation_in

    def unscaled_outputs(self, y):
        return y if self.scale is None else y * self.scale.deviation_out + self.scale.mean_out

    def values(self, x):
        """Values of all neurons [samples, neurons], from inputs that are scaled already."""
        v = np.ones((len(x), len(self.functions)))
        v[:, :self.inputs] = x
        for layer in self.layers():
            rows, reads, matrix = self.dense(layer)
            v[:, rows] = self.activate(rows, v[:, reads] @ matrix.T)
        return v

    def output_range(self):
        first = sum(self.layer_sizes[:-1])
        return slice(first, first + self.outputs)

    def run(self, x):
        return self.unscaled_outputs(self.values(self.scaled_inputs(x))[:, self.output_range()])

    def write(self, path: pathlib.Path):
        def line(values, format="{:.20e}"):
            return "".join(format.format(v) + " " for v in values)
        text = fann_header(self.layer_sizes, self.connection_rate, self.network_type)
        text.append(f"scale_included={int(self.scale is not None)}")
        if self.scale is not None:
            for side in ("in", "out"):
                mean, deviation = getattr(self.scale, f"mean_{side}"), getattr(self.scale, f"deviation_{side}")
                ones = np.ones(len(mean))
                text += [f"scale_{name}_{side}=" + line(values, "{:.9g}") for name, values in
                         (("mean", mean), ("deviation", deviation), ("new_min", -ones), ("factor", ones))]
        text += ["neurons (num_inputs, activation_function, activation_steepness)=" +
                 line(zip(map(len, self.sources), self.functions, self.steepness), "({0[0]}, {0[1]}, {0[2]:.20e})"),
                 "connections (connected_to_neuron, weight)=" + "".join(
                     line(zip(s, w), "({0[0]}, {0[1]:.20e})") for s, w in zip(self.sources, self.weights))]
        path.write_text("\n".join(text) + "\n")


def read(path: pathlib.Path) -> Network:
    keys = dict(line.split("=", 1) for line in path.read_text().splitlines()[1:])

    def tuples(key, width):
        return np.array(keys[key].translate({40: 32, 41: 32, 44: 32}).split(), float).reshape(-1, width)
    neurons = tuples("neurons (num_inputs, activation_function, activation_steepness)", 3)
    connections = tuples("connections (connected_to_neuron, weight)", 2)
    ends = np.cumsum(neurons[:, 0].astype(int))[:-1]
    scale = None
    if keys["scale_included"] == "1":
        scale = Scale(*(np.array(keys[f"scale_{name}_{side}"].split(), float)
                        for side in ("in", "out") for name in ("mean", "deviation")))
    return Network([int(size) for size in keys["layer_sizes"].split()], neurons[:, 1].astype(int), neurons[:, 2],
                   np.split(connections[:, 0].astype(int), ends), np.split(connections[:, 1], ends),
                   int(keys["network_type"]), float(keys["connection_rate"]), scale)


def build(sizes, functions, steepness, weight, network_type=0, connection_rate=1.0, scale=None, seed=0) -> Network:
    """A network in the form in which libfann makes it: layered, shortcut, or sparse if connection_rate < 1.

    sizes: neurons of the layers without biases. functions: for each layer after the inputs, the numbers that its
    neurons take in turn; steepness: one for each of these layers. weight(layer, neuron in it, sources): the weights.
    """
    random = np.random.default_rng(seed)
    counts = [size + (network_type == 0 or l == 0) for l, size in enumerate(sizes)]
    net = Network(counts, np.zeros(sum(counts), int), np.zeros(sum(counts)), [np.zeros(0, int)] * counts[0],
                  [np.zeros(0)] * counts[0], network_type, connection_rate, scale)
    begin = 0
    for l, layer in enumerate(net.layers()):
        previous = range(begin, layer.start)
        for i, n in enumerate(layer):
            if i >= sizes[l + 1]:
                net.sources.append(np.zeros(0, int))
                net.weights.append(np.zeros(0))
                continue
            net.functions[n] = functions[l][i % len(functions[l])]
            net.steepness[n] = steepness[l]
            if network_type == 1:
                sources = np.arange(layer.start)
            elif connection_rate < 1:
                fan_in = max(1, round(connection_rate * (len(previous) - 1)))
                sources = np.append(previous[-1], random.choice(previous[:-1], fan_in, replace=False))
            else:
                sources = np.array(previous)
            net.sources.append(sources)
            net.weights.append(np.asarray(weight(l, i, sources), np.float32).astype(float))
        begin = layer.start
    return net
