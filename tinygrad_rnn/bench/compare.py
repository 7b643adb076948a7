"""Sides that take turns: each a process of its own, so that no thread pool disturbs another."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .workloads import BUILT_IN, WORKLOADS

OURS = ("ours", "ours, numpy", "unroll")
SIDES = (*OURS, "torch.nn", "torch loop", "jax", "jax, hoisted")
TURN = 0.1
"""Seconds of a turn, about."""


class DisagreementError(Exception):
    """Sides that do not compute the same."""


class Measured(NamedTuple):
    """A workload's row: seconds by side."""

    workload: str
    seconds: dict[str, float]

    @property
    def best_peer(self) -> float | None:
        """The shortest time of another library, if there is one."""
        return min([s for side, s in self.seconds.items() if side not in OURS], default=None)

    def ratio(self, side: str) -> float | None:
        """A side's time over that of the best peer."""
        best = self.best_peer
        return self.seconds[side] / best if best and side in self.seconds else None


class Side:
    """A process that takes a turn when asked to."""

    def __init__(
        self, workload: str, who: str, task: str, dtype: str, threads: int, clock: str
    ) -> None:
        environment = dict(os.environ)
        for library in ("OMP", "MKL", "OPENBLAS"):
            environment[f"{library}_NUM_THREADS"] = str(threads)
        environment["TINYGRAD_RNN_SCAN"] = "numpy" if "numpy" in who else ""
        if who == "ours":  # its threads are its own; a second pool beside them would take its place
            environment |= {"TINYGRAD_RNN_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
        environment.setdefault("JAX_PLATFORMS", "cpu")
        root = str(Path(__file__).parents[2])
        environment["PYTHONPATH"] = os.pathsep.join([root, environment.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            [_python(who), "-m", "tinygrad_rnn.bench.sides", who, workload, task, dtype, clock],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        line = self._line()
        if not line:
            raise RuntimeError(f"{who} of {workload} did not start")
        *self.results, self.first = json.loads(line)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def turn(self, times: int) -> float:
        """Seconds of the shortest of some repetitions."""
        time.sleep(0.05)  # until the other side's threads have stopped spinning
        assert self.process.stdin is not None
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        return float(self._line())

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def _python(who: str) -> str:
    """The interpreter of a side: JAX is looked for in $JAX_PYTHON if that is set."""
    return os.environ.get("JAX_PYTHON", sys.executable) if "jax" in who else sys.executable


def installed() -> list[str]:
    """The sides whose libraries are there."""
    found = ["ours, numpy", "unroll"]
    needs = {"ours": "llvmlite", "torch.nn": "torch", "torch loop": "torch", "jax": "jax",
             "jax, hoisted": "jax"}  # fmt: skip
    there: dict[tuple[str, str], bool] = {}
    for who, module in needs.items():
        key = _python(who), module
        if key not in there:
            code = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
            there[key] = not subprocess.run([key[0], "-c", code], check=False).returncode  # noqa: S603
        if there[key]:
            found.append(who)
    return [side for side in SIDES if side in found]


def measured(
    workloads: Sequence[str],
    sides: Sequence[str],
    *,
    task: str = "train",
    dtype: str = "float32",
    threads: int = 1,
    clock: str = "wall",
    repeats: int = 7,
    first: bool = False,
) -> Iterator[Measured]:
    """Row by row. A time is the shortest of all turns: medians say who was unlucky.

    task    "train", "inference" (no record), "stream" (step by step, as inputs come)
    first   the first call instead, in new processes: recording, compiling, one step

    Raises DisagreementError if sides arrive at other results.
    """
    for name in workloads:
        running: dict[str, Side] = {}
        try:
            for side in sides:
                if _takes_part(side, name, task):
                    running[side] = Side(name, side, task, dtype, threads, clock)
            _agree(name, running)
            if first:
                yield Measured(name, {s: one.first for s, one in running.items()})
                continue
            times = {s: max(2, round(TURN / one.turn(3))) for s, one in running.items()}
            turns = [{s: one.turn(times[s]) for s, one in running.items()} for _ in range(repeats)]
            yield Measured(name, {s: min([turn[s] for turn in turns]) for s in running})
        finally:
            for one in running.values():
                one.end()


def _takes_part(side: str, workload: str, task: str) -> bool:
    if task == "stream":
        return side in ("unroll", "torch loop")  # whole sequences are not there to be scanned
    return side != "torch.nn" or WORKLOADS[workload].cell in BUILT_IN


def _agree(workload: str, running: dict[str, Side]) -> None:
    wanted = next(iter(running.values())).results
    for side, one in running.items():
        for a, b in zip(one.results, wanted, strict=True):
            if not math.isclose(a, b, rel_tol=3e-4, abs_tol=3e-2):
                raise DisagreementError(f"{workload}: {side} gives {a}, others {b}")


def mean_ratio(rows: Sequence[Measured], side: str) -> float | None:
    """The geometric mean of a side's ratios."""
    ratios = [r for r in (row.ratio(side) for row in rows) if r is not None]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None
