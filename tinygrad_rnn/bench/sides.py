"""One side of a comparison, in a process of its own: python -m tinygrad_rnn.bench.sides.

The process is told its side and its workload, says its first losses, and then takes a turn for
every line that it reads: so many repetitions, of which it says the shortest time.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_rnn as tg

from .workloads import (
    BUILT_IN,
    TWO_STATES,
    WORKLOADS,
    Instance,
    instance,
    jax_steps,
    torch_steps,
)

Step = Callable[[], float]
"""Does it once and gives a number that all sides agree on: the loss, or a sum of outputs."""


def of_ours(p: Instance, task: str, run: Any) -> Step:
    """This library."""
    optimiser = tg.optim.SGD([p.cell, [p.V, p.c]], lr=p.lr)

    def train() -> float:
        loss = tg.cross_entropy(run(p.cell, p.xs).outputs @ p.V + p.c, p.targets, reduction="sum")
        loss.backward()
        optimiser.step()
        return float(loss.item())

    def infer() -> float:
        with tg.no_grad():
            return float(run(p.cell, p.xs).outputs.numpy().sum())

    def stream() -> float:
        state, total = None, 0.0
        with tg.no_grad():
            state = p.cell.initial_state(p.xs.shape[1])
            for x in p.xs:
                output, state = p.cell.step(x, state)
                total += float(output.numpy().sum())
        return total

    return {"train": train, "inference": infer, "stream": stream}[task]


def of_torch(p: Instance, task: str, kind: str, built_in: bool) -> Step:
    """PyTorch: a layer of its own, or the cell in a loop."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    own = {k: v.numpy().copy() for k, v in p.cell.parameters().items()}
    V, c = (torch.tensor(v.numpy().copy(), requires_grad=True) for v in (p.V, p.c))
    xs, targets = torch.from_numpy(p.xs), torch.from_numpy(p.targets)
    batch, size = p.xs.shape[1], p.V.shape[0]
    if built_in:
        layer = getattr(torch.nn, BUILT_IN[kind])(p.xs.shape[2], size).to(xs.dtype)
        values = {"weight_ih_l0": own["U"].T, "weight_hh_l0": own["W"].T, "bias_ih_l0": own["b"]}
        values["bias_hh_l0"] = own.get("d", np.zeros_like(own["b"]))
        with torch.no_grad():
            for name, value in values.items():
                getattr(layer, name).copy_(torch.from_numpy(np.array(value)))
        if "d" not in own:
            layer.bias_hh_l0.requires_grad_(False)
        trained = [*(q for q in layer.parameters() if q.requires_grad), V, c]

        def outputs() -> Any:
            return layer(xs)[0]
    else:
        q = {k: torch.tensor(v, requires_grad=True) for k, v in own.items()}
        cell, trained = torch_steps(torch)[kind], [*q.values(), V, c]

        def outputs() -> Any:
            return torch.stack(list(each()))

        def each() -> Any:
            state: Any = torch.zeros(batch, size, dtype=xs.dtype)
            if kind in TWO_STATES:
                state = (state, torch.zeros_like(state))
            for x in xs:
                y, state = cell(q, x, state)
                yield y

    def train() -> float:
        logits = outputs() @ V + c
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction="sum"
        )
        for one in trained:
            one.grad = None
        loss.backward()
        with torch.no_grad():
            for one in trained:
                one -= p.lr * one.grad
        return float(loss.item())

    def infer() -> float:
        with torch.no_grad():
            return float(outputs().sum())

    def stream() -> float:
        with torch.no_grad():
            return sum([float(y.sum()) for y in each()])

    return {"train": train, "inference": infer, "stream": stream}[task]


def of_jax(p: Instance, task: str, kind: str, hoisted: bool) -> Step:
    """JAX: lax.scan under jit; or with x_t U taken out of the loop by hand."""
    jax: Any = importlib.import_module("jax")
    jnp: Any = importlib.import_module("jax.numpy")
    if p.xs.dtype == np.float64:
        jax.config.update("jax_enable_x64", True)
    inputs, cell = jax_steps(jnp, jax.nn.sigmoid)[kind]
    xs, targets = jnp.asarray(p.xs), jnp.asarray(p.targets)
    batch, size = p.xs.shape[1], p.V.shape[0]

    def outputs(q: Any) -> Any:
        zero = jnp.zeros((batch, size), xs.dtype)
        state = (zero, zero) if kind in TWO_STATES else zero

        def products(x: Any) -> Any:
            return tuple(x @ q[name] for name in inputs)

        if hoisted:
            return jax.lax.scan(lambda s, a: cell(q, a, s), state, products(xs))[1]
        return jax.lax.scan(lambda s, x: cell(q, products(x), s), state, xs)[1]

    def loss(q: Any) -> Any:
        logits = jax.nn.log_softmax(outputs(q) @ q["V"] + q["c"])
        return -jnp.take_along_axis(logits, targets[..., None], -1).sum()

    @jax.jit  # type: ignore[untyped-decorator, unused-ignore]
    def update(q: Any) -> Any:
        value, g = jax.value_and_grad(loss)(q)
        return value, {k: q[k] - p.lr * g[k] for k in q}

    summed = jax.jit(lambda q: outputs(q).sum())
    parameters = {**p.cell.parameters(), "V": p.V, "c": p.c}
    held = {k: jnp.asarray(v.numpy()) for k, v in parameters.items()}

    def train() -> float:
        nonlocal held
        value, held = update(held)
        return float(value)

    return {"train": train, "inference": lambda: float(summed(held))}[task]


def made(who: str, name: str, task: str, dtype: Any) -> Step:
    """A side by its name."""
    w = WORKLOADS[name]
    p = instance(w, dtype)
    if who in ("ours", "ours, numpy", "unroll"):
        return of_ours(p, task, tg.unroll if who == "unroll" else tg.scan)
    if who.startswith("jax"):
        return of_jax(p, task, w.cell, "hoisted" in who)
    return of_torch(p, task, w.cell, who == "torch.nn")


def main(who: str, name: str, task: str, dtype: str, clock: str) -> None:
    """Say the first results and the time of the first call, then take turns."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    if "jax" in who and hasattr(os, "sched_setaffinity"):  # it has no setting of its own
        few = sorted(os.sched_getaffinity(0))[: int(os.environ["OMP_NUM_THREADS"])]
        os.sched_setaffinity(0, few)
    step = made(who, name, task, np.dtype(dtype))
    begun = now()
    results = [step()]
    first = now() - begun
    results += [step() for _ in range(3)]
    print(json.dumps([results[0], results[-1], first]), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            begun = now()
            step()
            times.append(now() - begun)
        print(min(times), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
