"""The cost of studying: autodiff over a pass derived by hand, and every study function.

    python benchmarks/lab.py [WORKLOAD ...] [--repeats N] [--hand] [--study]

By hand: the same forward and backward pass three times: recorded and swept, compiled by `scan`, and
as it stands in `tinygrad_rnn.study.handwritten`: float32, from the same dL/do to the same gradients
(all parameters, x and the initial state), which are compared first. They take turns; a ratio, over
the pass by hand, is the median over the turns. Autodiff also computes o_t = s_t V + c, which the
pass by hand does not need.

"record" is the rest of the difference when there is nothing to compute: the same two passes
with every size 1, so that only nodes, calls and small arrays remain.

Where other programs share the machine, set OPENBLAS_NUM_THREADS=1: threads that wait for each other
drown the difference.

Study: milliseconds of one call, the best of three, for an LSTM, against T and H.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import study
from tinygrad_rnn.bench.workloads import CELLS, WORKLOADS, Workload
from tinygrad_rnn.study import handwritten

HAND: dict[str, Callable[..., Any]] = {
    "elman": handwritten.elman,
    "lstm": handwritten.lstm,
    "gru": handwritten.gru_after,
}
Pass = Callable[[], dict[str, Any]]


def passes(w: Workload) -> tuple[Pass, Pass, Pass]:
    """One forward and backward pass, recorded, compiled and by hand: {name: gradient}."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return rng.normal(0, w.H**-0.5, shape).astype(np.float32)

    cell = CELLS[w.cell](w.I, w.H, rng=rng)
    V, c = tg.Parameter(draw(w.H, w.O), "V"), tg.Parameter(draw(w.O), "c")
    xs, e = draw(w.T, w.B, w.I), draw(w.T, w.B, w.O)
    start = tuple(part.numpy() for part in tg.tree.leaves(cell.initial_state(w.B)))
    names = ("h_0", "c_0") if w.cell == "lstm" else ("s_0",) if w.cell == "elman" else ("h_0",)
    parameters = cell.parameters() | {"V": V, "c": c}
    arrays = {name: p.numpy() for name, p in parameters.items()}

    def by_autodiff(of: Callable[..., Any]) -> dict[str, Any]:
        x, *state = tg.tensor(xs), *map(tg.tensor, start)
        run = of(cell, x, tuple(state) if len(state) > 1 else state[0])
        found = [*parameters.values(), x, *state]
        gradients = tg.gradients(run.outputs @ V + c, found, e)
        return dict(zip((*parameters, "x", *names), gradients, strict=True))

    def by_hand() -> dict[str, Any]:
        gradients, _ = HAND[w.cell](arrays, xs, start if len(start) > 1 else start[0], e)
        return dict(gradients)

    return lambda: by_autodiff(tg.unroll), lambda: by_autodiff(tg.scan), by_hand


def clock(run: Callable[[], Any], times: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times


def take_turns(ways: Sequence[Pass], repeats: int) -> tuple[list[float], list[float]]:
    """Seconds of each, and the medians of their ratios to the last."""
    times = max(1, round(0.1 / clock(ways[-1])))
    turns = [[clock(way, times) for way in ways] for _ in range(repeats)]
    seconds = np.median(turns, axis=0)
    ratios = np.median([[t / turn[-1] for t in turn] for turn in turns], axis=0)
    return seconds.tolist(), ratios.tolist()


def against_hand(names: list[str], repeats: int) -> None:
    print(f"{'workload':12} {'unroll ms':>10} {'scan ms':>8} {'by hand ms':>11} "
          f"{'unroll':>7} {'scan':>6} {'record ms':>10}")  # fmt: skip
    for name in names:
        w = WORKLOADS[name]
        ways = passes(w)
        *others, wanted = (way() for way in ways)
        for found in others:
            assert set(found) == set(wanted), (set(found), set(wanted))
            for key, g in wanted.items():
                assert np.abs(found[key] - g).max() <= 2e-3 * np.abs(g).max(), (name, key)
        seconds, ratios = take_turns(ways, repeats)
        small, _ = take_turns(passes(w._replace(B=1, I=1, H=1, O=1)), 3)
        x, y, z = (1e3 * s for s in seconds)
        print(f"{name:12} {x:10.2f} {y:8.2f} {z:11.2f} {ratios[0]:7.2f} {ratios[1]:6.2f} "
              f"{1e3 * (small[0] - small[-1]):10.2f}", flush=True)  # fmt: skip


SIZES = [(25, 64), (50, 64), (100, 64), (100, 32), (100, 128)]


def functions(T: int, H: int) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    cell = tg.LSTMCell(8, H, rng=rng, dtype=np.float64)
    xs = rng.normal(size=(T, 4, 8))
    targets = rng.normal(size=(T, 4, H))
    run = tg.unroll(cell, xs)
    losses = [tg.mse(s, y, "sum") for s, y in zip(run.steps, targets, strict=True)]
    J = study.jacobians(cell, xs[:, :1])
    D = study.contributions(losses, cell.W, norms_only=True)
    return {
        "unroll": lambda: tg.unroll(cell, xs),
        "contributions": lambda: study.contributions(losses, cell.W),
        "  norms only": lambda: study.contributions(losses, cell.W, norms_only=True),
        "jacobians (B=1)": lambda: study.jacobians(cell, xs[:, :1]),
        "norms_against_lag": lambda: study.norms_against_lag(J),
        "lyapunov_exponents": lambda: study.lyapunov_exponents(J),
        "gates": lambda: study.gates(run),
        "diagnose": lambda: study.diagnose(cell, xs),
        "compare": lambda: study.compare(cell, xs, targets),
        "derive": lambda: study.derive(cell),
        "plots.table": lambda: study.plots.table(D).draw_without_rendering(),
    }


def of_study() -> None:
    columns = [functions(T, H) for T, H in SIZES]
    print(f"\n{'ms for T, H =':20}" + "".join(f"{f'{T}, {H}':>10}" for T, H in SIZES))
    for name in columns[0]:
        best = [min(clock(column[name]) for _ in range(3)) for column in columns]
        print(f"{name:20}" + "".join(f"{1e3 * seconds:10.1f}" for seconds in best), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    mine = [name for name, w in WORKLOADS.items() if w.cell in HAND]
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(mine))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--hand", action="store_true", help="only autodiff against by hand")
    parser.add_argument("--study", action="store_true", help="only the study functions")
    arguments = parser.parse_args()
    if not arguments.study:
        against_hand(arguments.workloads or mine, arguments.repeats)
    if not (arguments.hand or arguments.workloads):
        of_study()
