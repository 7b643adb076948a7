"""Define-by-run training steps against the same cell written as a PyTorch loop.

    python benchmarks/eager.py [WORKLOAD ...] [--repeats N] [--memory] [--length] [--import]
    python benchmarks/eager.py [WORKLOAD ...] --against CHECKOUT [--repeats N]

One training step is: forward, backward, plain gradient descent; float32; cross entropy summed over
all steps of o_t = s_t V + c. Both sides start from the same weights, see the same data, use the
same number of threads, and must arrive at the same losses. Each side has a process of its own: in
one process their thread pools spin against each other, which costs PyTorch up to twice its time.
The two take turns, so that a machine that slows down slows both; the ratio is the median over the
turns of our time over theirs. Beside it stands the ratio of the least processor times of a turn: on
one thread (OMP_NUM_THREADS=1) it is hardly moved by other programs on a busy machine.

With --against the other side is this library at another commit: a folder with a checkout of it,
whose own benchmark is run (`git worktree add CHECKOUT COMMIT`). The turns are short and many,
and the ratio of the shortest turns is given beside the median.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.bench.sides import of_ours, of_torch
from tinygrad_rnn.bench.workloads import WORKLOADS, instance

HERE = Path(__file__).resolve().parents[1]


def clock(step: Callable[[], float], times: int) -> tuple[float, float]:
    """Seconds of a step, by the wall's clock and by the processor's."""
    start, busy = time.perf_counter(), time.process_time()
    for _ in range(times):
        step()
    return (time.perf_counter() - start) / times, (time.process_time() - busy) / times


def side(name: str, who: str) -> None:
    """One side of the comparison, in a process of its own: for each line read, a turn."""
    w = WORKLOADS[name]
    if who == "ours":
        step = of_ours(instance(w), "train", tg.unroll)
    else:
        step = of_torch(instance(w), "train", w.cell, built_in=False)
    losses = [step() for _ in range(3)]
    print(losses[-1], flush=True)
    for line in sys.stdin:
        print(*clock(step, int(line)), flush=True)


class Side:
    """A process that takes a turn when asked to."""

    def __init__(self, name: str, who: str, checkout: Path = HERE) -> None:
        self.process = subprocess.Popen(
            [sys.executable, checkout / "benchmarks" / "eager.py", "--side", who, name],
            env={**os.environ, "PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.loss = float(self.process.stdout.readline())

    def turn(self, times: int) -> list[float]:
        time.sleep(0.05)  # until the other side's threads have stopped spinning
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        return [float(part) for part in self.process.stdout.readline().split()]


def speed(names: list[str], repeats: int) -> None:
    from importlib.metadata import version

    ratios = {}
    print(f"torch {version('torch')}, numpy {np.__version__}, {os.cpu_count()} processors")
    print(f"{'workload':12} {'ours ms':>8} {'torch ms':>8} {'ratio':>6} {'CPU':>6} {'loss':>9}")
    for name in names:
        a, b = Side(name, "ours"), Side(name, "torch")
        assert math.isclose(a.loss, b.loss, rel_tol=2e-4), (name, a.loss, b.loss)
        times = max(1, round(0.2 / b.turn(3)[0]))
        turns = np.array([(a.turn(times), b.turn(times)) for _ in range(repeats)])
        a.process.kill()
        b.process.kill()
        ratios[name] = float(np.median(turns[:, 0, 0] / turns[:, 1, 0]))
        x, y = 1e3 * np.median(turns[:, :, 0], 0)
        busy = turns[:, :, 1].min(0)
        line = f"{name:12} {x:8.2f} {y:8.2f} {ratios[name]:6.2f} {busy[0] / busy[1]:6.2f}"
        print(f"{line} {a.loss:9.2f}", flush=True)
    six = [r for name, r in ratios.items() if name != "mgu_small"]
    print(f"geometric mean without mgu_small: {math.exp(np.mean(np.log(six))):.2f}")


def against(names: list[str], repeats: int, checkout: Path) -> None:
    """This checkout's time over another's."""
    print(f"{'workload':12} {'ms':>8} {'median':>7} {'of minima':>10}   over {checkout}")
    for name in names:
        a, b = Side(name, "ours"), Side(name, "ours", checkout)
        assert math.isclose(a.loss, b.loss, rel_tol=2e-4), (name, a.loss, b.loss)
        times = max(1, round(0.06 / b.turn(3)[0]))
        told = [(a.turn(times), b.turn(times)) for _ in range(repeats)]
        a.process.kill()
        b.process.kill()
        # of processor time, if the other checkout's benchmark tells it too
        turns = np.array([(x[len(y) - 1], y[-1]) for x, y in told])
        best = turns.min(0)
        median = np.median(turns[:, 0] / turns[:, 1])
        print(f"{name:12} {1e3 * best[0]:8.2f} {median:7.3f} {best[0] / best[1]:10.3f}", flush=True)


def memory() -> None:
    """The memory kept by the record of an Elman network, over the size of its states."""
    T, B, H = 2000, 32, 256
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(T, B, H)).astype(np.float32)
    cell = tg.ElmanCell(H, H, rng=rng)
    tg.unroll(cell, xs[:2])

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    start = resident() if sys.platform == "linux" else 0
    run = tg.unroll(cell, xs)
    grown = resident() - start if sys.platform == "linux" else float("nan")
    del run
    tracemalloc.start()
    run = tg.unroll(cell, xs)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del run
    size = T * B * H * 4
    print(f"memory after the forward pass / (T*B*H*4 bytes), T={T} B={B} H={H}:")
    print(f"  allocated by Python and NumPy {kept / size:.3f}, resident {grown / size:.3f}")


def length() -> None:
    """Time per step of long sequences over that of short ones."""
    rng = np.random.default_rng(0)
    cell = tg.ElmanCell(8, 32, rng=rng)
    V = tg.Parameter(rng.normal(0, 0.1, (32, 8)), "V", dtype=np.float32)

    def step(T: int) -> float:
        xs = rng.normal(size=(T, 1, 8)).astype(np.float32)
        targets = rng.integers(0, 8, (T, 1))
        start = time.perf_counter()
        run = tg.unroll(cell, xs)
        tg.cross_entropy(run.outputs @ V, targets, reduction="sum").backward()
        del run
        return (time.perf_counter() - start) / T

    step(1000)
    turns = [(step(100_000), float(np.mean([step(1000) for _ in range(100)]))) for _ in range(5)]
    ratio = np.median([a / b for a, b in turns])
    a, b = (1e6 * np.median([t[i] for t in turns]) for i in (0, 1))
    print(f"time per step, B=1 H=32: T=100000 {a:.1f} us, T=1000 {b:.1f} us, ratio {ratio:.2f}")


def imports() -> None:
    """The cost of `import tinygrad_rnn` over that of `import numpy`."""

    # byte code is written once, as it is for an installed package
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

    def once(module: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=environment)
        return time.perf_counter() - start

    once("tinygrad_rnn")
    turns = [(once("tinygrad_rnn"), once("numpy")) for _ in range(11)]
    print(f"import tinygrad_rnn / import numpy: {np.median([a / b for a, b in turns]):.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--repeats", type=int, help="7 by default, 30 with --against")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--length", action="store_true")
    parser.add_argument("--import", action="store_true", dest="imports")
    parser.add_argument("--side", choices=["ours", "torch"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side(arguments.workloads[0], arguments.side)
        sys.exit()
    if arguments.against:
        names = arguments.workloads or list(WORKLOADS)
        against(names, arguments.repeats or 30, arguments.against.resolve())
        sys.exit()
    only = arguments.memory or arguments.length or arguments.imports
    everything = not (only or arguments.workloads)
    if arguments.memory or everything:  # first, while the process is still small
        memory()
    if arguments.workloads or everything:
        speed(arguments.workloads or list(WORKLOADS), arguments.repeats or 7)
    if arguments.length or everything:
        length()
    if arguments.imports or everything:
        imports()
