from typing import Callable, Optional

import numpy as np
from numpy.typing import NDArray

class Error(Exception):
    number: int
    name: str
    kind: str

class Layer:
    def __init__(
        self, weights: NDArray[np.float32], bias: NDArray[np.float32], activation: str, steepness: float
    ) -> None: ...

class ExpertSpec:
    id: str
    name: str
    domain: str
    specialization: str
    task: str
    labels: list[str]
    file: Optional[str]
    layers: list[Layer]
    calibration: Optional[NDArray[np.float32]]
    test_inputs: Optional[NDArray[np.float32]]
    test_targets: Optional[NDArray[np.float32]]
    input_range: list[tuple[float, float]]
    confidence_threshold: float
    accuracy: dict[str, float]
    head: str
    temperature: float
    def __init__(self) -> None: ...

def compile_manifest(
    path: str,
    strict: bool,
    jobs: int,
    apply_scaling: bool,
    enforce_budgets: bool,
    accuracy: dict[str, float],
    progress: Optional[Callable[[str, int, int], None]],
) -> tuple[bytes, str, str]: ...
def compile_experts(
    name: str,
    experts: list[ExpertSpec],
    strict: bool,
    jobs: int,
    apply_scaling: bool,
    enforce_budgets: bool,
    accuracy: dict[str, float],
    progress: Optional[Callable[[str, int, int], None]],
) -> tuple[bytes, str, str]: ...

class Pack:
    def __init__(
        self, bytes: bytes, engine: str, resident_bonus: float, is_timed: bool, memory: int, cache_policy: str
    ) -> None: ...
    @staticmethod
    def open_file(
        path: str, engine: str, resident_bonus: float, is_timed: bool, memory: int, cache_policy: str
    ) -> Pack: ...
    def info(self) -> dict: ...
    def expert_info(self, expert: int) -> dict: ...
    def metadata(self) -> str: ...
    def run(self, expert: int, x: NDArray[np.float32]) -> NDArray[np.float32]: ...
    def bind(self, expert: int, x: NDArray[np.float32], is_row: bool) -> Callable[[], NDArray[np.float32]]: ...
    def memory_usage(self) -> dict[str, int]: ...
    def experience(self, expert: int) -> tuple[float, float, float, float, int]: ...
    def export_history(self) -> bytes: ...
    def import_history(self, bytes: bytes) -> None: ...
    def explain(
        self, x: NDArray[np.float32], count: int
    ) -> tuple[
        list[tuple[int, float, float]], NDArray[np.float32], list[tuple[float, float, float, float, int]]
    ]: ...
    def plan(self, experts: list[int]) -> dict: ...
    def run_routed(
        self, x: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.float32], tuple[list[tuple[int, float, float]], NDArray[np.float32]]]: ...
