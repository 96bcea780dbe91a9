"""quantization-v1 and the choice of its numbers, for layered tanh networks, written from the text in NumPy.

Shares nothing with the C++ code: what this computes and what the pack computes are compared with ==.
"""

import numpy as np

f32 = np.float32
MAGIC = f32(12582912.0)
# quantization-v1, "Activation functions", tanh.
CLAMP = f32(5.8)
P = [f32(17611.49609375), f32(2023.04248046875), f32(26.782243728637695)]
Q = [f32(17611.908203125), f32(7892.34130859375), f32(310.5999450683594)]


def rounded(v):
    """rnd(v): v + 1.5 * 2^23 in float32 leaves the integer nearest to v in the last bits."""
    return (v + MAGIC).view(np.int32) - np.int32(0x4B400000)


def sat16(codes):
    return np.clip(codes, -32768, 32767).astype(np.int64)


def tanh_core(t, scale):
    t = np.minimum(np.maximum(t, -CLAMP), CLAMP)
    u = t * t
    n = u * (f32(scale) * P[2])
    n = n + f32(scale) * P[1]
    n = n * u
    n = n + f32(scale) * P[0]
    n = n * t
    d = u + Q[2]
    d = d * u
    d = d + Q[1]
    d = d * u
    d = d + Q[0]
    return n / d


class TanhExpert:
    """A quantized network of tanh layers. `layers`: (weights, bias, steepness) in float32."""

    def __init__(self, layers, calibration):
        self.input_scale = f32(8191.0 / np.abs(calibration).max())
        scale = 1.0 / np.float64(self.input_scale)  # real value of one code
        self.layers = []
        for weights, bias, steepness in layers:
            effective = (weights * f32(steepness)).astype(np.float64) * scale
            row_scale = np.abs(effective).max(axis=1) / 127.0
            q = np.rint(effective / row_scale[:, None]).astype(np.int64)
            b = np.rint((bias * f32(steepness)).astype(np.float64) / row_scale).astype(np.int64)
            self.layers.append((q, b, row_scale.astype(f32)))
            scale = 2.0**-13

    def run(self, x):
        v = x * self.input_scale
        v = np.minimum(np.maximum(v, f32(-32768)), f32(32767))
        codes = sat16(rounded(v))
        for i, (q, b, multiplier) in enumerate(self.layers):
            t = (codes @ q.T + b).astype(np.int32).astype(f32) * multiplier
            if i + 1 == len(self.layers):
                return tanh_core(t, 1)
            codes = sat16(rounded(tanh_core(t, 8192)))
