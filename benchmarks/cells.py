"""A training step of every cell of the library, compiled here and by JAX.

    python benchmarks/cells.py [CELL ...] [--sizes small|mid] [--repeats N]

The step of a cell is traced; JAX gets the same operations by its own names, and the surrogate
derivative of spikes, in jax.lax.scan under jax.jit, forward and backward with plain gradient
descent. The loss is the sum of squares of the outputs. Processor time on one thread, the shortest
of turns; losses are compared first. Sizes are those of lstm_small and lstm_mid. JAX is looked for
in $JAX_PYTHON if that is set.
"""

from __future__ import annotations

import argparse
import ast
import functools
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import tree
from tinygrad_rnn.nn.cell import first_state
from tinygrad_rnn.program import Constant

SIZES = {"small": (100, 16, 16, 64), "mid": (100, 32, 64, 256)}
RATE = 1e-6


def numbers(name: str, size: str) -> tuple[Any, Any]:
    T, B, I, H = SIZES[size]  # noqa: E741
    info = tg.cells()[name]
    cell = info.make(I, H, rng=0, dtype=np.float32)
    rng = np.random.default_rng(0)
    return cell, rng.normal(size=(T, B, I)).astype(np.float32)


def ours(name: str, size: str) -> Any:
    cell, xs = numbers(name, size)
    weights = list(cell.parameters().values())

    def step() -> float:
        outputs = tg.scan(cell, xs).outputs
        loss = (outputs * outputs).sum()
        loss.backward()
        for w in weights:
            if w.grad is not None:
                w.assign(w.numpy() - np.float32(RATE) * w.grad)
        return loss.item()

    return step


def in_jax(name: str, size: str) -> Any:
    import jax
    from jax import numpy as jnp

    cell, xs = numbers(name, size)
    parameters = cell.parameters()
    given = {k: p.numpy() for k, p in parameters.items()}
    state = first_state(cell, xs.shape[1], np.float32)
    traced = tg.trace(
        lambda q, x, s: cell.with_parameters(q).step(x, s), given, xs[0],
        tree.map_leaves(lambda t: t.numpy(), state),
    )  # fmt: skip

    @functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
    def spike(x: Any, sharpness: float) -> Any:
        return (x > 0).astype(x.dtype)

    @spike.defjvp
    def surrogate(sharpness: float, given: Any, tangents: Any) -> Any:
        (x,), (t,) = given, tangents
        return spike(x, sharpness), t / (1 + sharpness * jnp.abs(x)) ** 2

    def call(e: Any, values: list[Any]) -> Any:
        p, word = e.primitive, e.primitive.name
        params = dict(e.params)
        if word == "split":
            return jnp.split(values[0], params["at"], axis=params["axis"])
        if word == "concatenate":
            return jnp.concatenate(values, axis=params["axis"])
        if word in ("getitem", "index"):
            return values[0][params["index"]]
        if word == "transpose":
            return jnp.transpose(values[0], params["axes"])
        if word == "reshape":
            return jnp.reshape(values[0], params["to"])
        if word in ("sum", "mean"):
            f = jnp.sum if word == "sum" else jnp.mean
            return f(values[0], axis=params["axis"], keepdims=params.get("keepdims", False))
        if word == "deviation":
            return values[0] - jnp.mean(values[0], axis=params["axis"], keepdims=True)
        if word == "sigmoid":
            return jax.nn.sigmoid(values[0])
        if word == "where":
            return jnp.where(*values)
        if word == "expm":
            return jax.scipy.linalg.expm(values[0])
        if word == "spike":
            return spike(values[0], params["sharpness"])
        if isinstance(p.value, np.ufunc):
            return getattr(jnp, p.value.__name__)(*values)
        text = p.notation.numpy
        if isinstance(ast.parse(text, mode="eval").body, ast.Attribute):  # "np.tanh"
            return eval(text, {"np": jnp})(*values, **params)
        names = dict(zip(p.signature.arguments, values, strict=True)) | params
        return eval(text, {"np": jnp, **names})

    def step(q: Any, x: Any, s: Any) -> Any:
        leaves = [*[q[k] for k in given], x, *tree.leaves(s)]  # JAX sorts keys
        known = dict(zip(traced.inputs, leaves, strict=True))

        def value(a: Any) -> Any:
            return jnp.asarray(a.value) if isinstance(a, Constant) else known[a]

        for e in traced.equations:
            y = call(e, [a.value if isinstance(a, Constant) else known[a] for a in e.inputs])
            known |= dict(zip(e.outputs, y if len(e.outputs) > 1 else [y], strict=True))
        out, after = tree.rebuild(traced.structure, iter([value(a) for a in traced.outputs]))
        like = [leaf.dtype for leaf in tree.leaves(s)]
        leaves = [a.astype(d) for a, d in zip(tree.leaves(after), like, strict=True)]
        return tree.rebuild(s, iter(leaves)), out

    s0 = [jnp.asarray(leaf._value) for leaf in tree.leaves(state)]
    pattern = tree.map_leaves(lambda t: 0, state)

    def loss(q: Any) -> Any:
        def one(s: Any, x: Any) -> Any:
            after, out = step(q, x, tree.rebuild(pattern, iter(s)))
            return list(tree.leaves(after)), out

        _, outputs = jax.lax.scan(one, s0, jnp.asarray(xs))
        return (outputs * outputs).sum()

    @jax.jit
    def update(q: Any) -> Any:
        value, g = jax.value_and_grad(loss)(q)
        return value, {k: q[k] - RATE * g[k] for k in q}

    held = {k: jnp.asarray(v) for k, v in given.items()}

    def run() -> float:
        nonlocal held
        value, held = update(held)
        return float(value)

    return run


def side(who: str, name: str, size: str) -> None:
    if who == "jax" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    step = (ours if who == "ours" else in_jax)(name, size)
    print(json.dumps([step() for _ in range(3)]), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begun = time.process_time()
            step()
            times.append(time.process_time() - begun)
        print(min(times), flush=True)


class Side:
    def __init__(self, who: str, name: str, size: str) -> None:
        python = os.environ.get("JAX_PYTHON", sys.executable) if who == "jax" else sys.executable
        threads = {f"{k}_NUM_THREADS": "1" for k in ("OMP", "OPENBLAS", "MKL")}
        root = str(Path(__file__).resolve().parents[1])
        self.process = subprocess.Popen(
            [python, __file__, "--side", who, name, "--sizes", size],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **threads, "PYTHONPATH": root, "JAX_PLATFORMS": "cpu"},
        )  # fmt: skip
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.process.stderr.read().strip().splitlines()[-1])
        self.losses = json.loads(line)

    def turn(self, times: int) -> float:
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def compare(names: list[str], size: str, repeats: int) -> None:
    ratios = []
    for name in names:
        running = {}
        try:
            for who in ("ours", "jax"):
                running[who] = Side(who, name, size)
            a, b = (running[who].losses for who in ("ours", "jax"))
            if not np.allclose(a, b, rtol=1e-3):
                print(f"{name:22} losses differ: {a} {b}", flush=True)
                continue
            times = {who: max(2, round(0.06 / one.turn(2))) for who, one in running.items()}
            best = {who: min(one.turn(times[who]) for _ in range(repeats))
                    for who, one in running.items()}  # fmt: skip
            ratios.append(best["ours"] / best["jax"])
            print(f"{name:22}{1e3 * best['ours']:9.2f}{1e3 * best['jax']:9.2f}{ratios[-1]:7.2f}",
                  flush=True)  # fmt: skip
        except RuntimeError as error:
            print(f"{name:22} {error}", flush=True)
        finally:
            for one in running.values():
                one.process.kill()
    if ratios:
        mean = math.exp(np.mean(np.log(ratios)))
        print(f"{len(ratios)} of {len(names)} cells, geometric mean of ours / JAX: {mean:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("cells", nargs="*", metavar="CELL")
    parser.add_argument("--sizes", choices=SIZES, default="small")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=["ours", "jax"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side(arguments.side, arguments.cells[0], arguments.sizes)
        sys.exit()
    compare(arguments.cells or list(tg.cells()), arguments.sizes, arguments.repeats)
