"""Training steps of a compiled scan against other programs' fastest ways to do the same.

    python benchmarks/peers.py [WORKLOAD ...] [--repeats N] [--threads N] [--first] [--cpu]

One training step is as in benchmarks/eager.py: forward, backward, plain gradient descent; float32;
cross entropy summed over all steps of o_t = s_t V + c. The sides:

    ours         tg.scan, loops as native code (the extra `fast`)
    ours, numpy  the same without llvmlite
    unroll       tg.unroll: every operation of every step recorded
    torch.nn     PyTorch's built-in layer, where there is one
    torch loop   the cell as one writes it in PyTorch
    jax          jax.lax.scan under jax.jit, and the same with x_t U taken out of the loop by hand

Each side is a process of its own with the same number of threads. All start
from the same weights and must arrive at the same loss. They take turns; a time is the smallest of
all turns, and ratios are of these: on a machine that others use too, medians say who was unlucky.
--cpu measures the processor's time on one thread, which others on the machine disturb less.
--first measures the first call instead, in new processes: tracing, compiling, one step.
JAX is looked for in this interpreter, or in the one that $JAX_PYTHON names.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from eager import WORKLOADS, Problem, problem, theirs

import tinygrad_rnn as tg

SIDES = ["ours", "ours, numpy", "unroll", "torch.nn", "torch loop", "jax", "jax, hoisted"]


def ours(p: Problem, run: Callable[..., Any]) -> Callable[[], float]:
    optimiser = tg.optim.SGD([p.cell, [p.V, p.c]], lr=p.lr)

    def step() -> float:
        loss = tg.cross_entropy(run(p.cell, p.xs).outputs @ p.V + p.c, p.targets, reduction="sum")
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def torch_layer(p: Problem, kind: str, torch: Any) -> Callable[[], float]:
    size, own = p.V.shape[0], {k: v.numpy() for k, v in p.cell.parameters().items()}
    make = {"elman": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind]
    layer = make(p.xs.shape[2], size)
    values = {"weight_ih_l0": own["U"].T, "weight_hh_l0": own["W"].T, "bias_ih_l0": own["b"]}
    values["bias_hh_l0"] = own.get("d", np.zeros_like(own["b"]))
    with torch.no_grad():
        for name, value in values.items():
            getattr(layer, name).copy_(torch.from_numpy(np.array(value)))
    if "d" not in own:
        layer.bias_hh_l0.requires_grad_(False)
    V, c = (torch.tensor(v.numpy().copy(), requires_grad=True) for v in (p.V, p.c))
    trained = [*(q for q in layer.parameters() if q.requires_grad), V, c]
    xs, targets = torch.from_numpy(p.xs), torch.from_numpy(p.targets)

    def step() -> float:
        logits = layer(xs)[0] @ V + c
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction="sum"
        )
        for q in trained:
            q.grad = None
        loss.backward()
        with torch.no_grad():
            for q in trained:
                q -= p.lr * q.grad
        return float(loss.item())

    return step


def jax_steps(jnp: Any, sigmoid: Any) -> dict[str, Any]:
    """Per cell: the products of x, and the step from those."""

    def elman(q: Any, a: Any, s: Any) -> Any:
        s = jnp.tanh(a[0] + s @ q["W"] + q["b"])
        return s, s

    def lstm(q: Any, a: Any, state: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(a[0] + h @ q["W"] + q["b"], 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(q: Any, a: Any, h: Any) -> Any:
        size = h.shape[-1]
        own, u = a[0] + q["b"], h @ q["W"] + q["d"]
        r, z = jnp.split(sigmoid(own[:, : 2 * size] + u[:, : 2 * size]), 2, axis=-1)
        n = jnp.tanh(own[:, 2 * size :] + r * u[:, 2 * size :])
        h = n + z * (h - n)
        return h, h

    def mgu(q: Any, a: Any, s: Any) -> Any:
        f = sigmoid(a[0] + s @ q["W_f"] + q["b_f"])
        n = jnp.tanh(a[1] + (f * s) @ q["W"] + q["b"])
        s = s + f * (n - s)
        return s, s

    return {"elman": (("U",), elman), "lstm": (("U",), lstm), "gru": (("U",), gru),
            "mgu": (("U_f", "U"), mgu)}  # fmt: skip


def in_jax(p: Problem, kind: str, hoisted: bool) -> Callable[[], float]:
    import jax
    from jax import numpy as jnp

    inputs, cell = jax_steps(jnp, jax.nn.sigmoid)[kind]
    xs, targets = jnp.asarray(p.xs), jnp.asarray(p.targets)
    batch, size = p.xs.shape[1], p.V.shape[0]

    def loss(q: Any) -> Any:
        zero = jnp.zeros((batch, size), jnp.float32)
        state = (zero, zero) if kind == "lstm" else zero

        def products(x: Any) -> Any:
            return tuple(x @ q[name] for name in inputs)

        if hoisted:
            _, outputs = jax.lax.scan(lambda s, a: cell(q, a, s), state, products(xs))
        else:
            _, outputs = jax.lax.scan(lambda s, x: cell(q, products(x), s), state, xs)
        logits = jax.nn.log_softmax(outputs @ q["V"] + q["c"])
        return -jnp.take_along_axis(logits, targets[..., None], -1).sum()

    @jax.jit
    def update(q: Any) -> Any:
        value, g = jax.value_and_grad(loss)(q)
        return value, {k: q[k] - p.lr * g[k] for k in q}

    parameters = {**p.cell.parameters(), "V": p.V, "c": p.c}
    held = {k: jnp.asarray(v.numpy()) for k, v in parameters.items()}

    def step() -> float:
        nonlocal held
        value, held = update(held)
        return float(value)

    return step


def made(who: str, name: str) -> Callable[[], float]:
    w = WORKLOADS[name]
    p = problem(w)
    if who in ("ours", "ours, numpy", "unroll"):
        return ours(p, tg.unroll if who == "unroll" else tg.scan)
    if who.startswith("jax"):
        return in_jax(p, w.cell, "hoisted" in who)
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return torch_layer(p, w.cell, torch) if who == "torch.nn" else theirs(p, w.cell, torch)


def side(name: str, who: str) -> None:
    """One side, in a process of its own: for each line read, a turn of so many steps."""
    clock = time.process_time if os.environ.get("PEERS_CPU") else time.perf_counter
    if "jax" in who and hasattr(os, "sched_setaffinity"):  # it has no setting of its own
        few = sorted(os.sched_getaffinity(0))[: int(os.environ["OMP_NUM_THREADS"])]
        os.sched_setaffinity(0, few)
    step = made(who, name)
    begun = clock()
    losses = [step()]
    first = clock() - begun
    losses += [step() for _ in range(3)]
    print(losses[0], losses[-1], first, flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = clock()
            step()
            times.append(clock() - start)
        print(min(times), flush=True)


class Side:
    """A process that takes a turn when asked to."""

    def __init__(self, name: str, who: str, threads: int) -> None:
        python = os.environ.get("JAX_PYTHON", sys.executable) if "jax" in who else sys.executable
        environment = {**os.environ, **{f"{k}_NUM_THREADS": str(threads)
                                        for k in ("OMP", "MKL", "OPENBLAS")}}  # fmt: skip
        environment["TINYGRAD_RNN_SCAN"] = "numpy" if "numpy" in who else ""
        environment.setdefault("JAX_PLATFORMS", "cpu")
        self.process = subprocess.Popen(
            [python, __file__, "--side", who, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{who} of {name} did not start")
        self.first_loss, self.loss, self.first = map(float, line.split())

    def turn(self, times: int) -> float:
        time.sleep(0.05)  # until the other side's threads have stopped spinning
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def missing() -> set[str]:
    """The sides whose library is not there."""
    found = set()
    for names, python, module in (
        (("torch.nn", "torch loop"), sys.executable, "torch"),
        (("jax", "jax, hoisted"), os.environ.get("JAX_PYTHON", sys.executable), "jax"),
        (("ours",), sys.executable, "llvmlite"),
    ):
        code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
        if subprocess.run([python, "-c", code], check=False).returncode:
            found |= set(names)
    return found


def compare(names: list[str], repeats: int, threads: int, first: bool) -> None:
    without = missing()
    sides = [s for s in SIDES if s not in without]
    print(
        f"{threads} threads; milliseconds of {'the first call' if first else 'one training step'}"
    )
    print(f"{'workload':12}" + "".join(f"{s:>13}" for s in sides) + "   ours/best numpy/best")
    ratios: dict[str, list[float]] = {"ours": [], "ours, numpy": []}
    for name in names:
        kinds = [s for s in sides if s != "torch.nn" or WORKLOADS[name].cell != "mgu"]
        running = {s: Side(name, s, threads) for s in kinds}
        losses = {s: (one.first_loss, one.loss) for s, one in running.items()}
        for found in losses.values():
            for a, b in zip(found, losses["ours, numpy"], strict=True):
                assert math.isclose(a, b, rel_tol=3e-4), (name, losses)
        if first:
            best = {s: one.first for s, one in running.items()}
        else:
            times = {s: max(2, round(0.1 / one.turn(3))) for s, one in running.items()}
            turns = [{s: one.turn(times[s]) for s, one in running.items()} for _ in range(repeats)]
            best = {s: min(t[s] for t in turns) for s in kinds}
        for one in running.values():
            one.process.kill()
        peers = [v for s, v in best.items() if s not in ("ours", "ours, numpy", "unroll")]
        line = "".join(f"{1e3 * best[s]:13.2f}" if s in best else f"{'':13}" for s in sides)
        if peers:
            for s, found in ratios.items():
                if s in best:
                    found.append(best[s] / min(peers))
                    line += f"{found[-1]:10.2f}"
        print(f"{name:12}{line}", flush=True)
    for s, found in ratios.items():
        if found:
            print(f"{s} / best peer, geometric mean: {math.exp(np.mean(np.log(found))):.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side(arguments.workloads[0], arguments.side)
        sys.exit()
    if arguments.cpu:
        os.environ["PEERS_CPU"] = "1"
        arguments.threads = 1
    compare(
        arguments.workloads or list(WORKLOADS),
        arguments.repeats,
        arguments.threads,
        arguments.first,
    )
