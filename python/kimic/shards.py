"""Compiles the shards of an expert set on a cluster: Dask, or whatever else submits calls.

    >>> from dask.distributed import Client
    >>> from kimic.shards import compile_shards, merge
    >>> with Client("tcp://scheduler:8786") as client:
    ...     compile_shards("experts.json", "http://cache:8080", 64, client)
    >>> merge("experts.json", "http://cache:8080", "experts.kpk")

Workers need the manifest with its files under the same path, the store, and the tool `kimic`; not this package.
"""

from __future__ import annotations

import functools
import json
import subprocess
from typing import Any, Mapping, Sequence

__all__ = ["ShardError", "compile_shards", "merge"]

# Nothing changes these by itself: usage, corrupt pack, accuracy, unsupported input, untrusted kernel.
_FINAL_CODES = (2, 3, 4, 5, 6)


class ShardError(RuntimeError):
    """A command that failed, with its messages. `shard` is None for a merge."""

    def __init__(self, shard: int | None, messages: str):
        super().__init__(f"shard {shard}: {messages}" if shard is not None else messages)
        self.shard = shard


def compile_shards(manifest: Any, store: Any, shards: int, client: Any, *, options: Sequence[str] = (),
                   kimic: str = "kimic", retries: int = 3) -> list[Mapping[str, Any]]:
    """Runs `kimic compile MANIFEST --shard i/SHARDS --cas STORE` for every i. Returns the summaries by shard.

    `client` is a dask.distributed.Client, or has `submit` and futures as concurrent.futures.Executor does. A shard whose
    process or worker dies, or that fails with what may be over the next time, is run again, `retries` times; what it
    had stored is not compiled again. ShardError otherwise. `options` go to every command, and to merge() too.
    """
    is_dask = hasattr(client, "scheduler_info")
    submit = functools.partial(client.submit, pure=False) if is_dask else client.submit

    def start(shard: int) -> Any:
        command = [kimic, "compile", str(manifest), f"--shard={shard}/{shards}", f"--cas={store}", "--json", "-q",
                   *options]
        return submit(subprocess.run, command, capture_output=True, text=True)

    futures = {shard: start(shard) for shard in range(shards)}
    summaries = []
    for shard in range(shards):
        for left in reversed(range(retries + 1)):
            try:
                run = futures[shard].result()
                if run.returncode == 0:
                    summaries.append(json.loads(run.stdout))
                    break
                error = ShardError(shard, run.stderr.strip() or f"exit code {run.returncode}")
                is_final = run.returncode in _FINAL_CODES
            except Exception as failure:  # the worker died, whatever its library calls that
                error, is_final = ShardError(shard, f"{type(failure).__name__}: {failure}"), False
            if is_final or left == 0:
                for future in futures.values():
                    future.cancel()
                raise error
            futures[shard] = start(shard)
    return summaries


def merge(manifest: Any, store: Any, output: Any, *, shards: int | None = None, options: Sequence[str] = (),
          kimic: str = "kimic") -> Mapping[str, Any]:
    """Runs `kimic merge`: the pack, byte for byte what a single build writes. Returns what the tool reports."""
    command = [kimic, "merge", str(manifest), f"--cas={store}", "-o", str(output), "--json", "-q", *options]
    if shards is not None:
        command.append(f"--shards={shards}")
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise ShardError(None, run.stderr.strip() or f"exit code {run.returncode}")
    return json.loads(run.stdout)
