"""What a table of training steps does not say: `python benchmarks/figures.py [FIGURE ...]`.

    memory  peak of a process in three training steps, above that after the imports and the making
            of the numbers, and as a whole (needs Linux: VmHWM, begun anew by clear_refs)
    stream  one sequence, one step at a time, without a record, beside PyTorch's cells
    first   the first training step of a new process: with an empty cache, with object code from the
            disk, and with NumPy's loops
    busy    a training step with two threads while another program keeps one of two cores busy, over
            the same with one thread on the quiet machine
    char    min-char-rnn (Karpathy 2015) at its own settings: one update by scan over one by hand

Every side is a process of its own; times are the shortest of turns. One thread but for "busy".
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_rnn.bench.compare import Side, installed
from tinygrad_rnn.bench.workloads import BUILT_IN, WORKLOADS

SEVEN = [name for name in WORKLOADS if name not in ("cifg_mid", "pair_small")]
STREAMS = [("elman", 32), ("lstm", 64), ("lstm", 256), ("gru", 256)]


def child(*arguments: str, **environment: str) -> Any:
    """What a process of its own says."""
    single = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    done = subprocess.run(
        [sys.executable, __file__, "--child", *arguments],
        env=os.environ | single | environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def sides(name: str) -> list[str]:
    there = [side for side in installed() if "jax" not in side]
    return [s for s in there if s != "torch.nn" or WORKLOADS[name].cell in BUILT_IN]


def backend(side: str) -> str:
    return "numpy" if "numpy" in side else ""


def resident(key: str) -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1e3 for line in status if line.startswith(key))


def peak(side: str, name: str) -> tuple[float, float]:
    """Megabytes above the beginning, and as a whole."""
    from tinygrad_rnn.bench.sides import made

    step = made(side, name, "train", np.dtype(np.float32))
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")
    before = resident("VmRSS")
    for _ in range(3):
        step()
    return resident("VmHWM") - before, resident("VmHWM")


def memory() -> None:
    print("megabytes at the peak of three training steps, above the beginning (as a whole)")
    for name in SEVEN:
        found = {s: child("peak", s, name, TINYGRAD_RNN_SCAN=backend(s)) for s in sides(name)}
        print(
            f"{name:12}", *(f"{s} {a:.1f} ({b:.0f})  " for s, (a, b) in found.items()), flush=True
        )


def streamed(side: str, kind: str, size: str) -> float:
    """Microseconds of a step."""
    I, H, T = 16, int(size), 500  # noqa: E741
    xs = np.random.default_rng(0).normal(size=(T, 1, I)).astype(np.float32)
    if side == "torch":
        import torch

        torch.set_num_threads(1)
        own = {"elman": "RNNCell", "lstm": "LSTMCell", "gru": "GRUCell"}[kind]
        layer, inputs = getattr(torch.nn, own)(I, H), torch.from_numpy(xs)

        def run() -> None:
            state = None
            with torch.inference_mode():
                for x in inputs:
                    state = layer(x, state)
    else:
        import tinygrad_rnn as tg

        cell = {"elman": tg.ElmanCell, "lstm": tg.LSTMCell, "gru": tg.GRUCell}[kind](I, H, rng=0)

        def run() -> None:
            state: Any = cell.initial_state(1)
            with tg.no_grad():
                for x in xs:
                    if side == "scan":
                        state = tg.scan(cell, x[None], state, keep_states=False).state
                    elif side == "unroll":
                        state = tg.unroll(cell, x[None], state).state
                    else:
                        _, state = cell.step(x, state)

    return 1e6 * shortest(run, 9) / T


def shortest(run: Callable[[], Any], turns: int) -> float:
    run()
    times = []
    for _ in range(turns):
        begun = time.perf_counter()
        run()
        times.append(time.perf_counter() - begun)
    return min(times)


def stream() -> None:
    print("microseconds of one step, B = 1, no record")
    for kind, H in STREAMS:
        found = {s: child("streamed", s, kind, str(H)) for s in ("step", "torch", "unroll", "scan")}
        ratio = found["step"] / found["torch"]
        times = "  ".join(f"{s} {t:.1f}" for s, t in found.items())
        print(f"{kind:6} H = {H:<4} {times}  step / torch {ratio:.2f}", flush=True)


def begun(name: str) -> tuple[float, float]:
    """Seconds of the first step by the clock, and of a later one."""
    from tinygrad_rnn.bench.sides import made

    step = made("ours", name, "train", np.dtype(np.float32))
    start = time.perf_counter()
    step()
    return time.perf_counter() - start, shortest(step, 5)


def first() -> None:
    print("seconds of the first training step in a new process, less a later one")
    # an installed package is compiled to bytecode; a checkout has to be run once for that
    written = {"PYTHONDONTWRITEBYTECODE": ""}
    child("begun", SEVEN[0], **written)
    for name in SEVEN:
        with tempfile.TemporaryDirectory() as folder:
            ways = {"empty cache": "", "cached": "", "NumPy": "numpy"}
            found = {
                way: child(
                    "begun", name, TINYGRAD_RNN_CACHE=folder, TINYGRAD_RNN_SCAN=scan, **written
                )
                for way, scan in ways.items()
            }
        print(f"{name:12}", *(f"{way} {a - b:.3f}  " for way, (a, b) in found.items()), flush=True)


def busy() -> None:
    print("two threads beside a busy core, over one thread on the quiet machine")
    for name in ("lstm_mid", "gru_mid", "lstm_small"):
        words = []
        for who in [s for s in installed() if s in ("ours", "torch.nn", "jax")]:
            alone, shared = (Side(name, who, "train", "float32", n, "wall") for n in (1, 2))
            quiet = min([alone.turn(5) for _ in range(4)])
            other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            try:
                crowded = float(np.median([shared.turn(3) for _ in range(7)]))
            finally:
                other.kill()
                other.wait()
                alone.end()
                shared.end()
            words.append(
                f"{who} {1e3 * quiet:.1f} -> {1e3 * crowded:.1f} ms, {crowded / quiet:.2f}"
            )
        print(f"{name:12}", ";  ".join(words), flush=True)


def char() -> None:
    print(
        "one update of min-char-rnn: T = 25, B = 1, H = 100, 65 characters, Adagrad, microseconds"
    )
    found = {
        w: child("updated", w, TINYGRAD_RNN_SCAN="numpy" * ("NumPy" in w))
        for w in ("by hand", "scan", "scan, NumPy")
    }
    print("  ".join(f"{way} {1e6 * t:.0f}" for way, (t, _) in found.items()), end="  ")
    losses = [loss for _, loss in found.values()]
    assert np.allclose(losses, losses[0], rtol=1e-6), losses
    print(f"scan / by hand {found['scan'][0] / found['by hand'][0]:.2f}, "
          f"{found['scan, NumPy'][0] / found['by hand'][0]:.2f}")  # fmt: skip


def updated(way: str) -> tuple[float, float]:
    """Seconds of an update, and the loss after ten."""
    n, H, T = 65, 100, 25
    rng = np.random.default_rng(0)
    text = rng.integers(0, n, T + 1)
    xs, ys = text[:-1], text[1:]
    q = {k: 0.01 * rng.normal(size=s) for k, s in (("U", (n, H)), ("W", (H, H)), ("V", (H, n)))}
    q |= {"b": np.zeros(H), "c": np.zeros(n)}
    sums = {k: np.zeros_like(v) for k, v in q.items()}

    def by_hand() -> float:
        s, hs, ps, loss = np.zeros(H), [], [], 0.0
        for t in range(T):
            x = np.zeros(n)
            x[xs[t]] = 1
            s = np.tanh(x @ q["U"] + s @ q["W"] + q["b"])
            p = np.exp(s @ q["V"] + q["c"])
            p /= p.sum()
            loss -= np.log(p[ys[t]])
            hs.append((x, s))
            ps.append(p)
        d = {k: np.zeros_like(v) for k, v in q.items()}
        ds = np.zeros(H)
        for t in reversed(range(T)):
            dy = ps[t].copy()
            dy[ys[t]] -= 1
            x, s = hs[t]
            before = hs[t - 1][1] if t else np.zeros(H)
            d["V"] += np.outer(s, dy)
            d["c"] += dy
            da = (1 - s * s) * (dy @ q["V"].T + ds)
            d["b"] += da
            d["U"] += np.outer(x, da)
            d["W"] += np.outer(before, da)
            ds = da @ q["W"].T
        for k, g in d.items():
            np.clip(g, -5, 5, out=g)
            sums[k] += g * g
            q[k] -= 0.1 * g / (np.sqrt(sums[k]) + 1e-10)
        return loss

    if way == "by hand":
        update: Callable[[], float] = by_hand
    else:
        import tinygrad_rnn as tg

        cell = tg.ElmanCell(n, H, rng=0).with_parameters({k: q[k] for k in "UWb"})
        V, c = tg.Parameter(q["V"], "V"), tg.Parameter(q["c"], "c")
        weights = [*cell.parameters().values(), V, c]
        adagrad = tg.optim.Adagrad([cell, [V, c]], lr=0.1)

        def update() -> float:
            one_hot = np.zeros((T, 1, n))
            one_hot[np.arange(T), 0, xs] = 1
            outputs = tg.scan(cell, one_hot).outputs
            loss = tg.cross_entropy(outputs @ V + c, ys[:, None], "sum")
            loss.backward()
            tg.optim.clip_by_value(weights, 5.0)
            adagrad.step()
            return float(loss.item())

    loss = [update() for _ in range(10)][-1]
    return shortest(update, 200), loss


CHILDREN: dict[str, Callable[..., Any]] = {
    "peak": peak, "streamed": streamed, "begun": begun, "updated": updated,
}  # fmt: skip
FIGURES = {"memory": memory, "stream": stream, "first": first, "busy": busy, "char": char}

if __name__ == "__main__":
    root = str(Path(__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(CHILDREN[sys.argv[2]](*sys.argv[3:])))
    else:
        for word in sys.argv[1:] or FIGURES:
            FIGURES[word]()
