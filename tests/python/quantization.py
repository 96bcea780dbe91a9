"""Packs of one layered tanh network, read and computed in NumPy from the texts of the specifications.

Shares nothing with the C++ code: what this computes and what the pack computes are compared with ==.
"""

import struct

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


def up(number, multiple):
    return -(-number // multiple) * multiple


def lz4_decoded(block):
    """The bytes of an LZ4 block."""
    out, at = bytearray(), 0

    def length(nibble):
        nonlocal at
        total = nibble
        while nibble == 15:
            more = block[at]
            at += 1
            total += more
            if more != 255:
                break
        return total

    while True:
        token = block[at]
        at += 1
        literals = length(token >> 4)
        out += block[at : at + literals]
        at += literals
        if at == len(block):
            return bytes(out)
        offset = block[at] | block[at + 1] << 8
        at += 2
        for _ in range(length(token & 15) + 4):
            out.append(out[-offset])


def sparse_decoded(block, raw_length):
    """pack-v1, "Codecs": the differences from weights of zero."""
    g, v, pairs = block[0] & 7, block[0] >> 3 & 15, block[0] >> 7
    out = bytearray(0x80 if pairs and i % 2 == 0 else 0 for i in range(raw_length))
    at = 8  # in bits

    def bits(count):
        nonlocal at
        value = sum((block[(at + i) // 8] >> (at + i) % 8 & 1) << i for i in range(count))
        at += count
        return value

    def rice(k):
        quotient = 0
        while bits(1):
            quotient += 1
        return (quotient << k) + bits(k)

    i = 0
    while i < raw_length:
        i += rice(g)
        if i == raw_length:
            break
        d = bits(8) if v == 8 else 1 + rice(v)
        out[i] = (out[i] + (d if v == 8 else (d >> 1) ^ -(d & 1))) % 256
        i += 1
    return bytes(out)


def parameter_block(pack):
    """pack-v1: the only data block of a pack of one expert, whose leaf is stored."""
    (raw_length,) = struct.unpack_from("<Q", pack, 48)
    root, first, leaves, data = struct.unpack_from("<4Q", pack, 56)
    leaf = up(up(640 + root, 64) + first, 64)
    begin = up(leaf + leaves, 64)
    stored = pack[begin : begin + data]
    at = leaf
    for _ in range(4):  # kernel, place, stored, saved
        while pack[at] & 0x80:
            at += 1
        at += 1
    codec = pack[at]
    return [lambda: stored, lambda: lz4_decoded(stored), lambda: sparse_decoded(stored, raw_length)][codec]()


class TanhExpert:
    """An expert with 8-bit weights, read from its parameter block as kernel-abi-v1 lays it out."""

    def __init__(self, pack, sizes):
        self.block = parameter_block(pack)
        self.at = up(11 * 4, 16)  # the Tanh table
        self.bounds = self.floats(2)
        self.input_scale = self.floats(up(sizes[0], 8))[: sizes[0]]
        self.layers = []
        for layer, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
            weights, bias = self.blocks(inputs, outputs)
            if layer + 2 < len(sizes):
                self.floats(2)  # code bounds, which tanh does not use
            self.layers.append((weights, bias, self.floats(up(outputs, 4))[:outputs]))
        assert self.at == len(self.block)

    def floats(self, count):
        values = np.frombuffer(self.block, "<f4", count, self.at)
        self.at = up(self.at + 4 * count, 16)
        return values

    def blocks(self, inputs, outputs):
        pairs, rows = (inputs + 1) // 2, outputs % 8
        blocked = outputs - rows
        weights, biases = np.zeros((outputs, 2 * pairs), np.int64), np.zeros(outputs, np.int64)
        for first in range(0, blocked, 32):
            size = min(32, blocked - first)
            bias = np.frombuffer(self.block, "<i4", size, self.at).astype(np.int64).reshape(-1, 2, 4)
            low = (bias[:, 0] - (bias[:, 1] << 8) + 2**31) % 2**32 - 2**31
            biases[first : first + size] = np.stack([low, bias[:, 1]], 1).reshape(-1)
            self.at += 4 * size
            # pair, group, lane, k of the pair, low or high
            q = np.frombuffer(self.block, np.uint8, pairs * size * 2, self.at).reshape(pairs, size // 8, 4, 2, 2).copy()
            q[..., 0] ^= 0x80
            q = q.view(np.int8).transpose(1, 4, 2, 0, 3)  # group, low or high, lane, pair, k
            weights[first : first + size] = q.reshape(size, 2 * pairs)
            self.at += pairs * size * 2
        biases[blocked:] = np.frombuffer(self.block, "<i4", rows, self.at)
        self.at += 4 * rows
        weights[blocked:, :inputs] = np.frombuffer(self.block, np.int8, rows * inputs, self.at).reshape(rows, inputs)
        self.at = up(self.at + rows * inputs, 16)
        return weights[:, :inputs], biases

    def run(self, x):
        v = x * self.input_scale
        v = np.minimum(np.maximum(v, self.bounds[0]), self.bounds[1])
        codes = sat16(rounded(v))
        for i, (q, b, multiplier) in enumerate(self.layers):
            t = (codes @ q.T + b).astype(np.int32).astype(f32) * multiplier
            if i + 1 == len(self.layers):
                return tanh_core(t, 1)
            codes = sat16(rounded(tanh_core(t, 8192)))
