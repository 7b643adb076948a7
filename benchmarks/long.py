"""Time and memory of long sequences, ours beside PyTorch's: `python benchmarks/long.py [T ...]`.

An Elman cell (I = 1, H = 8, B = 1, float32), L = mean of s_t^2, one backward pass; and the same
with H = 64, B = 16. Each entry is a process of its own with one thread: microseconds per step, and
the resident memory at its peak above that after the imports and the making of the inputs. PyTorch
runs its own cell in a loop: plain, with torch.utils.checkpoint over sqrt(T) segments, and detached
every 50 steps. The last columns are the ratios to the peer that computes the same.

`python benchmarks/long.py orders` measures the cost of a step of every method of `tg.online`
against H, and prints the exponent beside the published one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import pairwise

WINDOW = 50
SIZES = {"small": (1, 8, 1), "middle": (1, 64, 16)}
KINDS = {  # and the peer that computes the same
    "plain": "torch plain",
    "truncated": "torch detached",
    "checkpointed sqrt": "torch checkpoint",
    "checkpointed 100 slots": "torch checkpoint",
    "checkpointed 64MB": "torch checkpoint",
    "rtrl": None,
    "torch plain": None,
    "torch detached": None,
    "torch checkpoint": None,
}
LONGEST = {"plain": 10**5, "torch plain": 10**5, "checkpointed 100 slots": 10**5, "rtrl": 10**4}


def resident() -> int:
    """Bytes of this process's memory at its peak since it was last reset."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    raise OSError("no VmHWM in /proc/self/status")


def ours(kind: str, T: int, size: str):
    import numpy as np

    import tinygrad_rnn as tg

    inputs, hidden, batch = SIZES[size]
    cell = tg.ElmanCell(inputs, hidden, rng=0)
    xs = np.random.default_rng(0).normal(size=(T, batch, inputs)).astype(np.float32)

    def loss(outputs, targets=None):
        return tg.square(outputs).mean()

    def run():
        if kind == "plain":
            loss(tg.unroll(cell, xs).outputs).backward()
        elif kind == "truncated":
            for window in tg.truncated(cell, (xs, None), loss, k1=WINDOW):
                window.backward()
        elif kind == "rtrl":
            learner = tg.online(cell, loss)
            for x in xs:
                learner.step(x, None)
        else:
            budget = kind.split()[1]
            options = {
                "sqrt": {"slots": "sqrt"},
                "100": {"slots": 100},
                "64MB": {"memory": "64MB"},
            }[budget]
            loss(tg.checkpointed(cell, xs, **options).outputs).backward()

    return run


def torchs(kind: str, T: int, size: str):
    import torch
    from torch.utils.checkpoint import checkpoint

    torch.set_num_threads(1)
    inputs, hidden, batch = SIZES[size]
    cell = torch.nn.RNNCell(inputs, hidden)
    xs = torch.randn(T, batch, inputs)

    def segment(xs, s):
        outputs = []
        for x in xs:
            s = cell(x, s)
            outputs.append(s)
        return torch.stack(outputs), s

    def run():
        s = torch.zeros(batch, hidden)
        if kind == "torch plain":
            outputs, _ = segment(xs, s)
            outputs.square().mean().backward()
        elif kind == "torch detached":
            for begin in range(0, T, WINDOW):
                outputs, s = segment(xs[begin : begin + WINDOW], s.detach())
                cell.zero_grad()
                outputs.square().mean().backward()
        else:
            length = int(T**0.5) + 1
            parts = []
            for begin in range(0, T, length):
                outputs, s = checkpoint(segment, xs[begin : begin + length], s, use_reentrant=False)
                parts.append(outputs)
            torch.cat(parts).square().mean().backward()

    return run


def child(kind: str, T: int, size: str) -> None:
    run = (torchs if kind.startswith("torch") else ours)(kind, T, size)
    warm = (torchs if kind.startswith("torch") else ours)(kind, 60, size)
    warm()
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")  # begin the peak anew
    before, begun = resident(), time.perf_counter()
    run()
    print(json.dumps([time.perf_counter() - begun, (resident() - before) / 1e6]))


def measured(kind: str, T: int, size: str) -> tuple[float, float]:
    command = [sys.executable, __file__, "child", kind, str(T), size]
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    out = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
    seconds, megabytes = json.loads(out.splitlines()[-1])
    return seconds, megabytes


def lengths(sequence: list[int]) -> None:
    for size, (inputs, hidden, batch) in SIZES.items():
        print(f"\n{size}: I = {inputs}, H = {hidden}, B = {batch}")
        print(f"{'':24}{'T':>10}{'us / step':>12}{'MB':>9}   time, memory / peer's")
        for T in sequence:
            found = {
                kind: measured(kind, T, size)
                for kind in KINDS
                if LONGEST.get(kind, T) >= T and (size == "small" or T <= 10**5)
            }
            for kind, (seconds, megabytes) in found.items():
                peer = found.get(KINDS[kind] or "")
                line = f"{kind:24}{T:10,}{seconds / T * 1e6:12.1f}{megabytes:9.1f}"
                if peer is not None:
                    line += f"{seconds / peer[0]:10.2f}{megabytes / max(peer[1], 0.1):8.2f}"
                print(line, flush=True)


PUBLISHED = {"rtrl": 4, "snap-1": 2, "e-prop": 2, "rflo": 2, "uoro": 2, "kf-rtrl": 3}


def orders() -> None:
    """The cost of a step against H: its exponent between the two largest sizes."""
    import numpy as np

    import tinygrad_rnn as tg

    widths = (16, 32, 64, 128)
    print(f"{'ms / step, H =':14}" + "".join(f"{H:9}" for H in widths) + "   exponent  published")
    for method, published in PUBLISHED.items():
        spent = []
        for H in widths:
            cell = tg.ElmanCell(4, H, rng=0)
            learner = tg.online(cell, lambda o, y: tg.square(o).sum(), method=method, rng=0)
            x = np.ones((1, 4), np.float32)
            learner.step(x, None)
            times = []
            for _ in range(3 if H > 64 else 10):
                begun = time.perf_counter()
                learner.step(x, None)
                times.append(time.perf_counter() - begun)
            spent.append(min(times))
        (a, b) = list(pairwise(spent))[-1]
        row = "".join(f"{s * 1e3:9.2f}" for s in spent)
        print(f"{method:14}{row}   {np.log2(b / a):8.1f}  {published:9}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], int(sys.argv[3]), sys.argv[4])
    elif sys.argv[1:] == ["orders"]:
        orders()
    else:
        lengths([int(float(T)) for T in sys.argv[1:]] or [100, 1000, 10_000, 100_000])
