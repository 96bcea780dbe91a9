"""W8A8 as ONNX Runtime and TFLite do it by default: weights of 8 bits with a scale per output channel from the largest
weight, symmetric; activations of 8 bits with one scale and zero point per tensor from the range on calibration data;
biases of 32 bits at the scale of the sums. This is an implementation of its own in NumPy.

Where tools differ it takes the side that costs nothing: sums reach the activation function without rounding, functions
are exact, and the network's outputs are not rounded to 8 bits. A layer that reads several layers reads their
concatenation, which has one scale.
"""
import numpy as np

from network import Network


def _range(values):
    """(scale, zero point) of uint8 for the range of `values`, widened to contain 0."""
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    scale = (high - low) / 255 or 1.0
    return scale, np.rint(-low / scale)


def run(net: Network, calibration: np.ndarray, x: np.ndarray) -> np.ndarray:
    exact = net.values(net.scaled_inputs(calibration))
    v = np.ones((len(x), len(net.functions)))
    v[:, :net.inputs] = net.scaled_inputs(x)
    for layer in net.layers():
        rows, reads, matrix = net.dense(layer)
        isBias = np.array([n >= net.inputs and not len(net.sources[n]) for n in reads])
        weights, bias = matrix[:, ~isBias], matrix[:, isBias].sum(1)
        reads = reads[~isBias]
        scale = abs(weights).max(1) / 127
        scale[scale == 0] = 1
        q = np.rint(weights / scale[:, None])
        step, zero = _range(exact[:, reads])
        codes = np.clip(np.rint(v[:, reads] / step) + zero, 0, 255) - zero
        unit = scale * step
        sums = codes @ q.T + np.clip(np.rint(bias / unit), -2**31, 2**31 - 1)
        v[:, rows] = net.activate(rows, sums * unit)
    return net.unscaled_outputs(v[:, net.output_range()])
