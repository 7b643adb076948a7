"""The cost of per-example gradients, `vmap` and `checkpoint` beside plain backward passes.

    python benchmarks/transforms.py

An LSTM in float32; every figure is a ratio to the forward and backward pass of the whole batch,
measured in turns with it: the median over the turns.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

import tinygrad_rnn as tg

TURNS = 7


def seconds(f: Callable[[], Any]) -> float:
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def ratios(plain: Callable[[], Any], others: dict[str, Callable[[], Any]]) -> dict[str, float]:
    turns = []
    for _ in range(TURNS):
        whole = seconds(plain)
        turns.append({name: seconds(f) / whole for name, f in others.items()})
    return {name: median(turn[name] for turn in turns) for name in others}


def peak(f: Callable[[], Any]) -> int:
    tracemalloc.start()
    f()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def of_a_batch(T: int, B: int, H: int) -> None:
    cell = tg.LSTMCell(H, H, rng=0)
    named = cell.parameters()
    parameters = list(named.values())
    xs = np.random.default_rng(0).normal(size=(T, B, H)).astype(np.float32)

    def losses(xs: Any) -> Any:
        return tg.square(tg.unroll(cell, xs).outputs).sum(axis=(0, 2))

    def of_one(xs: Any) -> Any:
        return tg.square(tg.unroll(cell, xs[:, None]).outputs).sum()

    def loop() -> None:
        for b in range(B):
            tg.gradients(losses(xs[:, b : b + 1]).sum(), parameters)

    found = ratios(
        lambda: tg.gradients(losses(xs).sum(), parameters),
        {
            "gradients of each example": lambda: tg.per_example_gradients(losses(xs), named),
            "their norms": lambda: tg.per_example_norms(losses(xs), named),
            "loop over examples": loop,
            "vmap": lambda: tg.gradients(tg.vmap(of_one, 1)(xs).sum(), parameters),
        },
    )
    print(f"T={T} B={B} H={H}: " + ", ".join(f"{name} {x:.1f}" for name, x in found.items()))


def of_a_long_sequence(T: int, B: int, H: int, length: int) -> None:
    cell = tg.LSTMCell(H, H, rng=0)
    parameters = list(cell.parameters().values())
    xs = np.random.default_rng(0).normal(size=(T, B, H)).astype(np.float32)

    def plain(xs: Any, state: Any) -> Any:
        return tg.unroll(cell, xs, state).state

    def run(segment: Callable[..., Any]) -> Any:
        state = cell.initial_state(B)
        for start in range(0, T, length):
            state = segment(xs[start : start + length], state)
        return tg.gradients(tg.square(state.h).sum(), parameters)

    lean = tg.checkpoint(plain)
    found = ratios(lambda: run(plain), {"time": lambda: run(lean)})
    memory = peak(lambda: run(lean)) / peak(lambda: run(plain))
    print(
        f"T={T} B={B} H={H}, checkpoints of {length}: "
        f"time {found['time']:.2f}, peak memory {memory:.2f}"
    )


if __name__ == "__main__":
    of_a_batch(50, 32, 64)
    of_a_batch(50, 32, 128)
    of_a_batch(20, 16, 256)
    of_a_long_sequence(400, 32, 64, 20)
