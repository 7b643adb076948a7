"""The NumPy backend's rewriting: fewer calls in the loop, the numbers of the unrolled record."""

import re

import numpy as np
import pytest
from compiler.test_scan import LOSSES, initial, looked_at, same

import tinygrad_rnn as tg
from tinygrad_rnn.compiler import program


@pytest.fixture(autouse=True)
def numpy_backend(monkeypatch):
    monkeypatch.setattr(program, "_machine", lambda: None)
    monkeypatch.setattr(program, "_programs", type(program._programs)())


class Gated(tg.Cell):
    """A cell of four parts a, b, c, d of x U + h W + b, with matrices for whatever else."""

    hidden_size = 3

    def __init__(self):
        rng = np.random.default_rng(0)
        for name, shape in (("U", (2, 12)), ("W", (3, 12)), ("b", (12,)), ("V", (3, 3))):
            setattr(self, name, tg.Parameter(rng.normal(0, 0.7, shape)))
        for name in "pqrs":
            setattr(self, f"U_{name}", tg.Parameter(rng.normal(0, 0.7, (2, 3))))
            setattr(self, f"W_{name}", tg.Parameter(rng.normal(0, 0.7, (3, 3))))
            setattr(self, f"b_{name}", tg.Parameter(rng.normal(0, 0.7, (3,))))

    def initial_state(self, batch_size):
        return tuple([tg.zeros((batch_size, 3), name, np.float64) for name in ("h", "m")])

    def parts(self, x, h):
        return tg.split(x @ self.U + h @ self.W + self.b, 4, axis=1)

    def terms(self, name, x, h):
        p = {k: getattr(self, f"{k}_{name}") for k in "UWb"}
        return x @ p["U"] + h @ p["W"] + p["b"]


class AllKinds(Gated):
    """Sigmoid and tanh of the parts of one sum."""

    def step(self, x, s):
        h, m = s
        a, b, c, d = self.parts(x, h)
        m = tg.sigmoid(a) * m + tg.sigmoid(b) * tg.tanh(c)
        h = tg.sigmoid(d) * tg.tanh(m)
        return h, (h, m)


class SumIsAResult(Gated):
    """The sum before the gates is an output too, so its factors stay."""

    def step(self, x, s):
        h, m = s
        total = x @ self.U + h @ self.W + self.b
        a, b, c, d = tg.split(total, 4, axis=1)
        m = tg.sigmoid(a) * m + tg.sigmoid(b) * tg.tanh(c)
        h = tg.sigmoid(d) * m
        return (h, total), (h, m)


class GateIsAResult(Gated):
    def step(self, x, s):
        h, m = s
        a, b, c, d = map(tg.sigmoid, self.parts(x, h))
        m = a * m + b * c
        h = d * tg.tanh(m)
        return (h, d), (h, m)


class PartReadTwice(Gated):
    def step(self, x, s):
        h, m = s
        a, b, c, d = self.parts(x, h)
        m = tg.sigmoid(a) * m + tg.sigmoid(b) * tg.tanh(c) + 0.1 * a
        h = tg.sigmoid(d) * tg.tanh(m)
        return h, (h, m)


class OtherKinds(Gated):
    def step(self, x, s):
        h, m = s
        a, b, c, d = self.parts(x, h)
        m = tg.relu(a) * 0.3 * m + tg.sigmoid(b) * tg.exp(-tg.square(c))
        h = tg.sigmoid(d) - tg.tanh(m)
        return h, (h, m)


class Apart(Gated):
    """Every gate has matrices of its own."""

    def step(self, x, s):
        h, m = s
        p, q, r, o = (self.terms(name, x, h) for name in "pqrs")
        m = tg.sigmoid(p) * m + (1 - tg.sigmoid(q)) * tg.tanh(r)
        h = tg.sigmoid(o) * tg.tanh(m)
        return h, (h, m)


class NothingAdded(Gated):
    """Sigmoids of a product alone, of a sum of two states, and of one with a number."""

    def step(self, x, s):
        h, m = s
        m = tg.sigmoid(h @ self.V) * m + tg.sigmoid(h + m) - tg.sigmoid(h @ self.V + 0.5)
        h = tg.tanh(m @ self.V + x @ self.U[:, :3])
        return h, (h, m)


class Linear(Gated):
    """Sums, differences, products and fractions one after the other."""

    def step(self, x, s):
        h, m = s
        a, b, c, d = self.parts(x, h)
        e = (h - a) * b / (1 + tg.square(c))
        m = -(e + m) * d - (m - e) / (2 + tg.tanh(d)) + (e - e * 0.5)
        h = tg.tanh(e) * (1 - m) + e * e * e
        return 0.1 * h, (0.1 * h, tg.tanh(m))


class RowsAndColumns(Gated):
    """Factors of other shapes than the state's."""

    def step(self, x, s):
        h, m = s
        k = tg.tanh(h.sum(axis=1, keepdims=True) + x[:, :1])
        m = tg.sigmoid(h @ self.V) * k + m * self.b_p * 0.5
        h = tg.tanh(m * k + self.b_q) * tg.exp(self.b_r)
        return h, (h, m)


class Delayed(Gated):
    """A state that is the other one of the step before."""

    def step(self, x, s):
        h, m = s
        new = tg.tanh(x @ self.U[:, :3] + m @ self.V)
        return new, (new, h)


class PassedOn(Gated):
    """States that change places."""

    def step(self, x, s):
        h, m = s
        return h * m, (m, tg.tanh(h @ self.V + x @ self.U[:, :3]))


CELLS = [AllKinds, SumIsAResult, GateIsAResult, PartReadTwice, OtherKinds, Apart, NothingAdded,
         Linear, RowsAndColumns, Delayed, PassedOn]  # fmt: skip


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_numbers_are_those_of_unroll(kind, loss):
    cell, xs = kind(), np.random.default_rng(1).normal(size=(6, 4, 2))
    options = {} if loss == "outputs" else {"lengths": [6, 3, 5, 1]}
    found, wanted = (
        looked_at(run, cell, xs, initial(cell, 4), LOSSES[loss], **options)
        for run in (tg.scan, tg.unroll)
    )
    same(found, wanted)


@pytest.mark.parametrize("kind", CELLS)
def test_blocks_of_a_few_steps(kind, monkeypatch):
    from tinygrad_rnn.compiler import numpy_loops

    for name in ("BLOCK_BYTES", "CACHE_BYTES"):
        monkeypatch.setattr(numpy_loops, name, 2000)
    monkeypatch.setattr(numpy_loops, "STEPS", 1)
    cell, xs = kind(), np.random.default_rng(1).normal(size=(11, 4, 2))
    found, wanted = (
        looked_at(run, cell, xs, initial(cell, 4), LOSSES["everything"])
        for run in (tg.scan, tg.unroll)
    )
    same(found, wanted)


def loops(cell, x):
    """The lines of the two loops over steps."""
    return [
        [line.strip() for line in part.splitlines() if line.startswith(" " * 12)]
        for part in tg.scan_source(cell, x[None]).split("def backward")
    ]


@pytest.mark.parametrize(
    ("make", "calls"),
    [(lambda: tg.LSTMCell(2, 3, rng=0, dtype="float64"), (10, 10)), (AllKinds, (10, 10)),
     (Apart, (11, 16))],
)  # fmt: skip
def test_the_gates_of_a_step_are_one_tanh(make, calls):
    forward, backward = loops(make(), np.ones((4, 2)))
    assert sum(line.startswith("tanh(") for line in forward) == 2  # of all gates, of the cell state
    assert len(forward) <= calls[0]
    assert len(backward) <= calls[1]


def test_factors_of_the_backward_pass_are_multiplied_before_the_loop():
    _, backward = loops(tg.ElmanCell(2, 3, rng=0), np.ones((4, 2)))
    assert [re.sub(r"\w+", "v", line) for line in backward] == [
        "v(v, v, v)", "v(v, v, v)", "v.v(v, v)",
    ]  # fmt: skip
