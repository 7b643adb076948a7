"""Random recurrent programs, to be drawn: states, how they begin, the readouts and their times.

`random_network(seed)` runs one and gives its loss, a single number. Each choice is one that people
make: first states as tensors, plain arrays or parameters; states of several steps before;
operations that some steps leave out; steps marked or not; time backwards; values that are computed
before the loop.
"""

from __future__ import annotations

import numpy as np

import tinygrad_rnn as tg

H = 3


class Network:
    """One program while it runs."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.loss = self.run()

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def one_of(self, things):
        return things[self.rng.integers(len(things))]

    def run(self) -> tg.Tensor:
        rng = self.rng
        T = int(rng.integers(1, 7))
        count = int(rng.integers(1, 4))
        self.named = self.chance(0.6)
        self.parameters = [
            tg.Parameter(rng.normal(0, 0.5, (H, H)), name)
            for name in "UWVRQ"[: int(rng.integers(1, 6))]
        ]
        lags = [int(rng.choice([1, 1, 1, 2, 3])) for _ in range(count)]
        begins = [self.one_of(["tensor", "array", "zeros", "parameter"]) for _ in range(count)]
        states = [
            [self.first(kind, k, lag) for lag in range(max(lags))] for k, kind in enumerate(begins)
        ]
        memory = tg.tanh(self.first("parameter", 9, 0) @ self.parameters[0])
        self.outside = [memory] if self.chance(0.2) else []
        program = [self.line(count) for _ in range(int(rng.integers(1, 7)))]
        targets = [int(rng.integers(len(program))) for _ in range(count)]
        marked, backwards = self.chance(0.8), self.chance(0.15)
        losses = self.one_of(["end", "each", "some", "list"])
        cut = int(rng.integers(2, 5)) if self.chance(0.15) else 0
        loss, listed = 0.0, []
        steps = range(T, 0, -1) if backwards else range(1, T + 1)
        for n, t in enumerate(steps):
            with tg.timestep(t) if marked else tg.scope("cell"):
                x = rng.normal(size=(1, H))
                x = tg.tensor(x, "x") if self.chance(0.5) else x
                read = [past[-lag] for past, lag in zip(states, lags, strict=True)]
                if cut and n % cut == cut - 1 and isinstance(read[0], tg.Tensor):
                    read[0] = read[0].detach()
                values: list = [x, *read, *self.outside]
                for line in program:
                    values.append(self.value(line, values, n))
                made = values[-len(program) :]
                for k, (past, i) in enumerate(zip(states, targets, strict=True)):
                    new = made[i]
                    if self.named and isinstance(new, tg.Tensor):
                        new.named("shc"[k])
                    past.append(new)
                here = (made[-1] * made[-1]).sum()
                if losses == "each" or (losses == "some" and n % 2 == 0):
                    loss = loss + here
                elif losses == "list":
                    listed.append(here)
        if losses == "list":
            loss = sum(listed)
        end = sum((past[-1] * past[-1]).sum() for past in states)
        return loss + end + 0.0 * sum(p.sum() for p in self.parameters[:1])

    def first(self, kind: str, k: int, lag: int):
        value = self.rng.normal(size=(1, H))
        if kind == "array":
            return value
        if kind == "zeros":
            return tg.zeros((1, H))
        if kind == "parameter":
            return tg.Parameter(value, f"p_{k}")
        return tg.tensor(value, f"{'shc'[k % 3]}_{-lag}" if self.named else None)

    def line(self, count: int):
        """An operation and which values it is given; some are left out in the first steps."""
        kind = self.one_of(["linear", "linear", "tanh", "sum", "product", "gate", "concatenate"])
        weight = int(self.rng.integers(len(self.parameters)))
        given = [int(self.rng.integers(0, 100)) for _ in range(2)]
        return kind, weight, given, int(self.rng.integers(1, 4)) if self.chance(0.15) else 0

    def value(self, line, values, n):
        kind, weight, given, after = line
        W = self.parameters[weight]
        a, b = (values[g % len(values)] for g in given)
        if n < after:
            return tg.tanh(values[1] @ W)
        if kind == "linear":
            return tg.tanh(a @ W + b)
        if kind == "tanh":
            return tg.tanh(a)
        if kind == "sum":
            return a + b
        if kind == "product":
            return a * b
        if kind == "gate":
            z = tg.sigmoid(a @ W)
            return z * a + (1 - z) * b
        return tg.tanh(tg.concatenate([a, b], axis=1)[:, :H] @ W)


def random_network(seed: int) -> tg.Tensor:
    """The loss of a random recurrent program."""
    return Network(seed).loss
