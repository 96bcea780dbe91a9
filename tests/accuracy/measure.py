"""How far outputs are from those of the float original, and the goals."""
import dataclasses
import math

import numpy as np

from suite import HARD, ORDINARY

BOOTSTRAP_SAMPLES = 2000


@dataclasses.dataclass
class Measured:
    sqnr_db: float                       # over all outputs of all rows, after the output's activation
    max_error: float
    cosine: float
    agreement: float | None = None       # classification: fraction of rows with the same class
    accuracy: float | None = None
    accuracy_change: float | None = None
    accuracy_interval: tuple | None = None  # of the change, 95 %, paired bootstrap over the rows
    nmse: float | None = None            # regression: mean squared error / variance of the targets
    nmse_change: float | None = None     # relative to the float network's


def classes(y: np.ndarray, middle: float):
    return y.argmax(1) if y.shape[1] > 1 else (y[:, 0] > middle).astype(int)


def nmse(y, target):
    return np.sum((y - target) ** 2) / np.sum((target - target.mean(0)) ** 2)


def measure(y: np.ndarray, exact: np.ndarray, target: np.ndarray, task: str, middle: float) -> Measured:
    """middle: separates two classes that one output tells apart."""
    y, exact = np.nan_to_num(y.astype(float)), exact.astype(float)
    noise, signal = np.sum((y - exact) ** 2), np.sum(exact**2)
    norms = math.sqrt(signal * np.sum(y**2))
    result = Measured(10 * math.log10(signal / noise) if noise else math.inf, float(np.abs(y - exact).max()),
                      float(np.sum(y * exact) / norms) if norms else 0.0)
    if task == "regression":
        result.nmse = nmse(y, target)
        result.nmse_change = result.nmse / nmse(exact, target) - 1
        return result
    of_y, of_exact, wanted = (classes(v, middle) for v in (y, exact, target))
    change = (of_y == wanted).astype(int) - (of_exact == wanted)
    rows = len(change)
    counts = [np.count_nonzero(change == step) / rows for step in (-1, 0, 1)]
    samples = np.random.default_rng(0).multinomial(rows, counts, BOOTSTRAP_SAMPLES) @ [-1, 0, 1] / rows
    result.agreement = float(np.mean(of_y == of_exact))
    result.accuracy = float(np.mean(of_y == wanted))
    result.accuracy_change = float(change.mean())
    result.accuracy_interval = tuple(np.quantile(samples, (0.025, 0.975)))
    return result


@dataclasses.dataclass
class Goal:
    text: str
    reached: float
    holds: bool
    missed_by: list  # ids


def goals(results: list) -> list:
    """results: dictionaries with id, group, kimic (Measured), weights and weight_bytes."""
    found = []

    def each(group, text, value, worst, ok):
        values = {r["id"]: value(r) for r in results if r["group"] == group and value(r) is not None}
        if values:
            missed = [id for id, v in values.items() if not ok(v)]
            found.append(Goal(f"{group}: {text}", float(worst(values.values())), not missed, missed))

    def mean(group, text, value, ok):
        values = [value(r) for r in results if r["group"] == group and value(r) is not None]
        if values:
            found.append(Goal(f"{group}: {text}", float(np.mean(values)), bool(ok(np.mean(values))), []))

    def of(name, factor=1):
        return lambda r: None if getattr(r["kimic"], name) is None else factor * getattr(r["kimic"], name)

    def change(r):
        return None if r["kimic"].accuracy_change is None else 100 * abs(r["kimic"].accuracy_change)

    def loss(r):
        return None if r["kimic"].accuracy_change is None else -100 * r["kimic"].accuracy_change

    # An exact network has no SQNR; 120 dB is what float32 could show at best.
    def sqnr(r):
        return min(r["kimic"].sqnr_db, 120.0)

    agreement = of("agreement", 100)
    mean(ORDINARY, "mean SQNR >= 50 dB", sqnr, lambda v: v >= 50)
    each(ORDINARY, "every SQNR >= 38 dB", sqnr, min, lambda v: v >= 38)
    mean(ORDINARY, "mean magnitude of accuracy change <= 0.03 pt", change, lambda v: v <= 0.03)
    each(ORDINARY, "every magnitude of accuracy change <= 0.25 pt", change, max, lambda v: v <= 0.25)
    mean(ORDINARY, "mean agreement >= 99.9 %", agreement, lambda v: v >= 99.9)
    each(ORDINARY, "every agreement >= 99.7 %", agreement, min, lambda v: v >= 99.7)
    each(HARD, "every loss of accuracy <= 0.5 pt", loss, max, lambda v: v <= 0.5)
    each(HARD, "every NMSE at most 1 % above float's", of("nmse_change", 100), max, lambda v: v <= 1)
    each(HARD, "every agreement >= 99.7 %", agreement, min, lambda v: v >= 99.7)
    hard = [r for r in results if r["group"] == HARD]
    if hard:
        each_weight = sum(r["weight_bytes"] for r in hard) / sum(r["weights"] for r in hard)
        found.append(Goal(f"{HARD}: bytes per weight <= 1.3", each_weight, each_weight <= 1.3, []))
    return found
