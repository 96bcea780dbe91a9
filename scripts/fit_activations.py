#!/usr/bin/env python3
"""Fits the polynomials of formats/quant/Constants.cpp (2^f and sin) and prints their f32 coefficients and errors.

Each is the minimax polynomial of its powers by linear programming; coefficients are rounded to f32 one by one, lowest
power first, and the rest is fitted again after each.
"""

import numpy as np
from scipy.optimize import linprog


def fit(name, function, interval, powers, fixed, weight):
    low, high = interval
    x = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * np.arange(4001) / 4000)
    target, scale = function(x), weight(x)
    coefficients = {power: np.float32(value) for power, value in fixed.items()}

    def residual():
        return target - sum(float(c) * x**power for power, c in coefficients.items())

    for power in powers:
        free = [p for p in powers if p not in coefficients]
        columns = np.stack([x**p for p in free], axis=1) * scale[:, None]
        right = residual() * scale
        bound = -np.ones((len(x), 1))
        solution = linprog(
            np.append(np.zeros(len(free)), 1),
            A_ub=np.block([[columns, bound], [-columns, bound]]),
            b_ub=np.concatenate([right, -right]),
            bounds=[(None, None)] * len(free) + [(0, None)],
        ).x
        coefficients[power] = np.float32(solution[0])
    print(f"{name}: largest error {np.max(np.abs(residual() * scale)):.3g}")
    for power, c in coefficients.items():
        print(f"  C{power} {float(c)!r:24} {float(c).hex()} {c.view(np.uint32):08X}")


fit("2^f, relative", np.exp2, (-0.5, 0.5), [1, 2, 3, 4], {0: 1.0}, lambda x: 1 / np.exp2(x))
fit("sin r", np.sin, (0.0, np.pi / 2 * 1.0005), [1, 3, 5, 7], {}, np.ones_like)
fit("2^f precise, relative", np.exp2, (-0.5, 0.5), [1, 2, 3, 4, 5, 6], {0: 1.0}, lambda x: 1 / np.exp2(x))
fit("sin r precise", np.sin, (0.0, np.pi / 2 * 1.0005), [1, 3, 5, 7, 9], {}, np.ones_like)
