"""Compiles small trained networks ("experts") into one pack for the web, and runs packs with the browser's bits.

    >>> import kimic
    >>> pack = kimic.compile("experts.json")
    >>> pack.save("experts.kpk")
    >>> y = pack.run(x, expert="digits")        # float32, the very bits that browsers compute

Errors are `kimic.Error`, with kimic's own message, `number`, `name` and `kind`.
"""

from __future__ import annotations

import builtins
import json
import os
import re
import tempfile
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional, Sequence, Union

import numpy as np

from . import _kimic
from ._kimic import Error
from ._report import Report

__all__ = ["Choice", "Error", "Experience", "Expert", "Explanation", "Layer", "Pack", "Plan", "PlanStep", "Report",
           "Route", "compile", "open"]

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def _floats(values: Any) -> np.ndarray:
    """`values` as row-major float32; the array itself if it is that already."""
    return np.ascontiguousarray(values, dtype=np.float32)


@dataclass
class Layer:
    """One fully connected layer, in FANN's terms: y = activation(steepness * (weights @ x + bias)).

    `activation` is a name such as "sigmoid_symmetric" (tanh), "sigmoid" (1 / (1 + exp(-2t))), "linear" or
    "linear_piece_rect" (ReLU). As in FANN, t is clamped to +-150/steepness.
    """

    weights: Any  #: outputs x inputs
    bias: Any  #: outputs
    activation: str = "sigmoid_symmetric"
    steepness: float = 1.0


@dataclass
class Expert:
    """A network with what kimic knows about it.

    `network` is the path of a FANN or ruv-FANN file, or a sequence of Layer. `calibration` (rows x inputs) is typical
    data for choosing number ranges; without it state `input_range`, one (lo, hi) or one for each input. `test` is a
    pair of arrays, inputs and targets, on which accuracy is reported. `accuracy` are limits on what compiling may
    cost, with the manifest's keys (docs/accuracy.md). `head` is "softmax", "argmax" or "sigmoid", if the outputs are
    not the expert's answer yet.
    """

    id: str
    network: Union[str, "os.PathLike[str]", Sequence[Layer]]
    calibration: Any = None
    test: Optional[tuple[Any, Any]] = None
    input_range: Sequence[tuple[float, float]] = ()
    domain: str = "Reasoning"
    name: str = ""
    specialization: str = ""
    task: str = ""
    labels: Sequence[str] = field(default_factory=tuple)
    confidence_threshold: float = 0.0
    accuracy: Mapping[str, float] = field(default_factory=dict)
    head: str = ""
    temperature: float = 1.0

    def _spec(self) -> _kimic.ExpertSpec:
        if not _ID.fullmatch(self.id) or self.id == "router":
            raise ValueError(f"expert id {self.id!r}: expected at most 64 letters, digits, '_', '.' and '-', not 'router'")
        spec = _kimic.ExpertSpec()
        spec.id, spec.name, spec.domain = self.id, self.name, self.domain
        spec.specialization, spec.task, spec.labels = self.specialization, self.task, list(self.labels)
        spec.confidence_threshold = self.confidence_threshold
        spec.accuracy, spec.head, spec.temperature = dict(self.accuracy), self.head, self.temperature
        if not 0 <= self.confidence_threshold <= 1:
            raise ValueError(f"expert {self.id!r}: confidence_threshold {self.confidence_threshold} is not in 0..1")
        if isinstance(self.network, (str, os.PathLike)):
            spec.file = os.fspath(self.network)
        else:
            spec.layers = [
                _kimic.Layer(_floats(layer.weights), _floats(layer.bias), layer.activation, layer.steepness)
                for layer in self.network
            ]
        if self.calibration is not None:
            spec.calibration = _floats(self.calibration)
        if self.test is not None:
            spec.test_inputs, spec.test_targets = _floats(self.test[0]), _floats(self.test[1])
        spec.input_range = [(float(lo), float(hi)) for lo, hi in self.input_range]
        return spec


@dataclass(frozen=True)
class Choice:
    """One expert that the router chose."""

    expert: str
    number: int  #: in the pack
    score: float  #: what the router gives it, 0..1
    weight: float  #: its part in a weighted answer


@dataclass(frozen=True)
class Explanation:
    """What the router made of one expert."""

    expert: str
    logit: float  #: of the router's network
    score: float  #: 0..1
    selection: float  #: what decides on the order: score and bias
    threshold: float  #: that the score has to reach
    reason: str  #: "chosen", "outranked", "below-threshold" or "router-abstained"


@dataclass(frozen=True)
class Route:
    choices: tuple[Choice, ...]  #: best first; empty if the router abstains
    scores: np.ndarray  #: of every routed expert, by number
    explanations: tuple[Explanation, ...]  #: of every routed expert, by number


@dataclass(frozen=True)
class PlanStep:
    """One expert of an execution plan."""

    expert: str
    level: int  #: 0: it reads the whole request; else 1 more than the highest level of the experts that it reads
    group: int  #: experts of a group do not read each other and have room in memory side by side
    inputs: int
    outputs: int
    bytes: int  #: of its parameters
    microseconds: float  #: measured, or estimated from the size of the parameters


@dataclass(frozen=True)
class Plan:
    """What an answer takes."""

    experts: tuple[str, ...]  #: that answer
    steps: tuple[PlanStep, ...]  #: every expert that is needed, behind all that it reads
    groups: tuple[tuple[str, ...], ...]
    fallbacks: tuple[tuple[str, ...], ...]  #: for each of `experts` those that stand in for it, one after another
    bytes: int  #: parameters of all steps
    missing_bytes: int  #: that have to be read first
    microseconds: float  #: of all steps, one after another


def _object(text: str) -> dict:
    """The JSON object; an empty one if it is none. Metadata come from outside."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _objects(value: Any, count: int) -> list[dict]:
    """The first `count` elements of a JSON list; empty objects for those that are something else or not there."""
    entries = value[:count] if isinstance(value, list) else []
    return [entry if isinstance(entry, dict) else {} for entry in entries] + [{}] * (count - len(entries))


@dataclass(frozen=True)
class Experience:
    """Moving averages of an expert's runs. The first three are in 0..1, and 0.5 of an expert that is not remembered."""

    success: float  #: share of runs among runs and loads that failed
    confidence: float  #: its largest output, or, of a single one, the larger of it and 1 minus it
    latency: float  #: microseconds / (microseconds + 100)
    microseconds: float
    runs: int  #: and loads that failed; 0: not remembered


class Pack:
    """A pack, in memory or in a file. Threads may share it; they take turns."""

    def __init__(self, native: _kimic.Pack, *, content: Optional[bytes] = None, path: Optional[str] = None,
                 report: Optional[Report] = None) -> None:
        self._native = native
        self._content = content
        self._path = path
        self._report = report
        self.metadata: dict = _object(native.metadata())
        self.info: dict = native.info()
        self._entries = _objects(self.metadata.get("experts"), self.info["experts"])
        names = [entry.get("id") for entry in self._entries]
        self.experts: list[str] = [name if isinstance(name, str) else f"#{i}" for i, name in enumerate(names)]
        self._numbers = {name: i for i, name in enumerate(self.experts)}

    @property
    def report(self) -> Report:
        """What compiling it measured; of a pack that was opened, what its metadata kept of that."""
        if self._report is None:
            kept = self.metadata.get("report")
            if not isinstance(kept, dict) or not isinstance(kept.get("experts"), list):
                kept = {"experts": []}
            entries = _objects(kept["experts"], len(kept["experts"]))
            experts = [{"id": name, **entry} for name, entry in zip(self.experts, entries)]
            self._report = Report({**kept, "experts": experts})
        return self._report

    def _number(self, expert: Union[str, int]) -> int:
        if isinstance(expert, str):
            if expert not in self._numbers:
                raise KeyError(f"the pack has no expert {expert!r}; it has {', '.join(self.experts)}")
            return self._numbers[expert]
        return int(expert)

    def expert_info(self, expert: Union[str, int]) -> dict:
        """Inputs, outputs, parameter bytes, kernel, domain and confidence threshold."""
        return self._native.expert_info(self._number(expert))

    def run(self, x: Any, expert: Union[str, int, None] = None) -> np.ndarray:
        """Outputs for `x`: one row (inputs) or many (rows x inputs), in float32.

        With `expert` that expert runs; without, the pack's router chooses for every row and the answers of the chosen
        are merged as the pack says. A pack of a single expert needs neither.
        """
        rows = _floats(x)
        is_row = rows.ndim == 1
        if is_row:
            rows = rows.reshape(1, -1)
        if expert is None and self.info["router"] is not None:
            y = np.stack([self._native.run_routed(row.reshape(1, -1), 0)[0] for row in rows])
        elif expert is None and self.info["experts"] != 1:
            raise ValueError(f"the pack has no router: name one of its experts ({', '.join(self.experts)})")
        else:
            y = self._native.run(0 if expert is None else self._number(expert), rows)
        return y[0] if is_row else y

    def bind(self, x: np.ndarray, expert: Union[str, int]) -> Callable[[], np.ndarray]:
        """A function that runs `expert` on what `x` holds when it is called: for many calls with little else in them.

        `x` is float32, row-major, inputs or rows x inputs, and is filled anew by the caller. The function always
        returns the same array, whose numbers the next call replaces.

            >>> x = np.empty((1, 64), np.float32)
            >>> run = pack.bind(x, expert="digits")
            >>> x[:] = row
            >>> y = run()
        """
        if not isinstance(x, np.ndarray) or x.dtype != np.float32 or not x.flags.c_contiguous:
            raise TypeError("bind: expected a row-major float32 array; another would be copied, and then stay as it is")
        is_row = x.ndim == 1
        return self._native.bind(self._number(expert), x.reshape(1, -1) if is_row else x, is_row)

    def route(self, x: Any, top_k: int = 0) -> Route:
        """The experts that the router chooses for one row of inputs; `top_k` 0 means as many as the pack says."""
        choices, scores, made = self._native.explain(_floats(x).reshape(1, -1), top_k)
        reasons = ("chosen", "outranked", "below-threshold", "router-abstained")
        return Route(
            tuple(Choice(self.experts[n], n, score, weight) for n, score, weight in choices),
            scores,
            tuple(Explanation(self.experts[n], *numbers, reasons[reason]) for n, (*numbers, reason) in enumerate(made)),
        )

    def plan(
        self,
        x: Any = None,
        experts: Optional[Sequence[Union[str, int]]] = None,
        top_k: int = 0,
        measured: Optional[Mapping[str, float]] = None,
    ) -> Plan:
        """What an answer takes: of the experts that the router chooses for the row `x`, or of `experts`.

        `measured` are microseconds by id, where they are known; others are estimated from the size of the parameters.
        """
        if (x is None) == (experts is None):
            raise ValueError("plan: expected a row, or experts")
        if experts is None:
            numbers = [choice.number for choice in self.route(x, top_k).choices]
        else:
            numbers = [self._number(expert) for expert in experts]
        if experts is None and not numbers:  # the router abstains
            return Plan((), (), (), (), 0, 0, 0.0)
        made = self._native.plan(numbers)
        times = measured or {}
        steps = tuple(
            PlanStep(self.experts[number], *facts, times.get(self.experts[number], microseconds))
            for number, *facts, microseconds in made["steps"]
        )
        return Plan(
            tuple(self.experts[number] for number in numbers),
            steps,
            tuple(
                tuple(step.expert for step in steps if step.group == group)
                for group in sorted({step.group for step in steps})
            ),
            tuple(self._fallbacks(number) for number in numbers),
            made["bytes"],
            made["missing_bytes"],
            sum(step.microseconds for step in steps),
        )

    def _fallbacks(self, number: int) -> tuple[str, ...]:
        """The experts that stand in for one, one after another."""
        chain: list[int] = [number]
        while True:
            number = self._entries[chain[-1]].get("fallback")
            if type(number) is not int or not 0 <= number < len(self._entries) or number in chain:
                return tuple(self.experts[n] for n in chain[1:])
            chain.append(number)

    def to_bytes(self) -> bytes:
        """The pack itself."""
        if self._content is not None:
            return self._content
        assert self._path is not None
        with builtins.open(self._path, "rb") as file:
            return file.read()

    def save(self, path: Union[str, "os.PathLike[str]"]) -> None:
        """Writes the pack; a file that exists is replaced in one step, or not at all."""
        target = os.path.abspath(os.fspath(path))
        descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".kimic-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self.to_bytes())
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, target)
        except BaseException:
            os.unlink(temporary)
            raise

    def experience(self, expert: Union[str, int]) -> Experience:
        """What is remembered of an expert, of a pack that was opened with `history`."""
        return Experience(*self._native.experience(self._number(expert)))

    def export_history(self) -> bytes:
        """What is remembered of all experts, for the next open()."""
        return self._native.export_history()

    def memory_usage(self) -> dict:
        """Bytes that the pack may use (`cap`), uses (`used`) and ever used (`peak`); what they are for (`experts`,
        `compressed`, `scratch`, `host`, `other`); and how many experts are resident and pinned."""
        return self._native.memory_usage()

    def __repr__(self) -> str:
        return f"<kimic.Pack: {self.info['experts']} experts, {self.info['kernels']} kernels, {self.info['bytes']} bytes>"


_MEMORY = 256 << 20  # bytes


def compile(
    source: Union[str, "os.PathLike[str]", Sequence[Expert]],
    *,
    name: str = "experts",
    jobs: int = 0,
    strict: bool = False,
    apply_scaling: bool = True,
    enforce_budgets: bool = True,
    accuracy: Optional[Mapping[str, float]] = None,
    progress: Optional[Callable[[str, int, int], None]] = None,
) -> Pack:
    """Compiles a manifest (its path, or its folder) or a sequence of Expert.

    Every expert gets the cheapest precision that holds its accuracy budget; one that has none is an error, or with
    `enforce_budgets=False` a warning in the report. `accuracy` goes before the limits of manifest and experts.

    `jobs` are threads (0: one per processor); the result does not depend on them. `progress(step, done, total)` is
    called as experts, kernels and the pack are finished; an exception in it, or Ctrl-C, cancels.
    """
    options = dict(strict=strict, jobs=jobs, apply_scaling=apply_scaling, enforce_budgets=enforce_budgets,
                   accuracy=dict(accuracy or {}), progress=progress)
    if isinstance(source, (str, os.PathLike)):
        content, report, page = _kimic.compile_manifest(os.fspath(source), **options)
    else:
        experts = list(source)
        ids = [expert.id for expert in experts]
        if not experts:
            raise ValueError("there is no expert to compile")
        if len(set(ids)) != len(ids):
            raise ValueError("two experts have the same id")
        content, report, page = _kimic.compile_experts(name, [expert._spec() for expert in experts], **options)
    return Pack(_kimic.Pack(content, "native", 0, False, _MEMORY, "lru"), content=content, report=Report(json.loads(report), page))


def open(
    source: Union[str, "os.PathLike[str]", bytes],
    *,
    engine: str = "native",
    resident_bonus: float = 0,
    history: Union[bool, bytes] = False,
    memory: int = _MEMORY,
    cache_policy: str = "lru",
) -> Pack:
    """Opens a pack: a file, read on demand, or its bytes.

    With the engine "native", kernels are compiled for this processor when they are first needed and kept on disk;
    "reference" evaluates without compiling. Their results are equal to the last bit.

    `resident_bonus`, 0 to 1, is added to the scores of experts in memory when all but the best one are chosen: fewer
    loads, but answers that depend on earlier ones.

    With `history`, True or what Pack.export_history() gave earlier, every run is timed and remembered.

    `memory` is a hard cap, in bytes. When it is short, experts make room: with the `cache_policy` "lru" those used
    longest ago, with "score" those with the lowest moving average of the router's scores, and "adaptive" (ARC)
    balances experts that were used once and those that were used again.
    """
    how = (engine, resident_bonus, bool(history), memory, cache_policy)
    if isinstance(source, bytes):
        pack = Pack(_kimic.Pack(source, *how), content=source)
    else:
        path = os.fspath(source)
        pack = Pack(_kimic.Pack.open_file(path, *how), path=path)
    if isinstance(history, bytes):
        pack._native.import_history(history)
    return pack
