"""A step of our optimisers against PyTorch's, for the parameters of a GRU and its readout.

    python benchmarks/optim.py [H ...] [--repeats N]

Both sides have the same float32 parameters and gradients, run on one thread, take turns in one
process, and must arrive at the same parameters. Theirs is the loop over parameters that torch.optim
runs by default on a CPU, and for Adam also its fused kernel. Measured is the processor time
of the step alone; the ratio is the median over the turns of our time over theirs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import tinygrad_rnn as tg

RULES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {  # options of both, of theirs
    "SGD": ("SGD", {"lr": 1e-3}, {}),
    "SGD, momentum": ("SGD", {"lr": 1e-3, "momentum": 0.9}, {}),
    "Adam": ("Adam", {}, {}),
    "Adam, fused": ("Adam", {}, {"fused": True}),
    "AdamW": ("AdamW", {}, {}),
    "RMSprop": ("RMSprop", {}, {}),
    "Adagrad": ("Adagrad", {}, {}),
}


def both(H: int, rule: str) -> tuple[Callable[[], float], Callable[[], float], Callable[[], None]]:
    """Our step and theirs, which give their time, and a check of the results."""
    rng = np.random.default_rng(0)
    cell = tg.GRUCell(64, H, rng=rng)
    V = tg.Parameter(rng.normal(0, H**-0.5, (H, 64)).astype(np.float32), "V")
    c = tg.Parameter(np.zeros(64, np.float32), "c")
    mine = [*cell.parameters().values(), V, c]
    theirs = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in mine]
    gradients = [rng.normal(0, 0.01, p.shape).astype(np.float32) for p in mine]
    name, options, further = RULES[rule]
    optimiser = getattr(tg.optim, name)(mine, **options)
    oracle = getattr(torch.optim, name)(theirs, **options, **further)

    def ours() -> float:
        for p, g in zip(mine, gradients, strict=True):
            p.grad = g
        start = time.thread_time()
        optimiser.step()
        return time.thread_time() - start

    def other() -> float:
        for q, g in zip(theirs, gradients, strict=True):
            q.grad = torch.from_numpy(g)
        start = time.thread_time()
        oracle.step()
        return time.thread_time() - start

    def check() -> None:
        for p, q in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-3, atol=1e-4)

    return ours, other, check


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", nargs="*", type=int, default=[64, 256], metavar="H")
    parser.add_argument("--repeats", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, numpy {np.__version__}, one thread, float32")
    print(f"{'rule':15} {'H':>4} {'ours us':>9} {'torch us':>9} {'ratio':>6}")
    for H in arguments.sizes:
        for rule in RULES:
            ours, other, check = both(H, rule)
            ours(), other()
            turns = [
                (sum(ours() for _ in range(5)) / 5, sum(other() for _ in range(5)) / 5)
                for _ in range(arguments.repeats)
            ]
            check()
            x, y = (1e6 * float(np.median([t[i] for t in turns])) for i in (0, 1))
            ratio = float(np.median([a / b for a, b in turns]))
            print(f"{rule:15} {H:4} {x:9.1f} {y:9.1f} {ratio:6.2f}", flush=True)


if __name__ == "__main__":
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":  # read when NumPy is loaded: once more
        one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **one})
    main()
