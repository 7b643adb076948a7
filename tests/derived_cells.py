"""Cells whose equations are derived in the tests, and their gradients by autodiff."""

from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import tree

I, H = 3, 5  # noqa: E741


def parameter(rng, *shape):
    return tg.Parameter(rng.normal(0, 0.5, shape))


class MinimalGatedUnit(tg.Cell):
    """One gate (Zhou et al. 2016); its state has no name but the step's argument."""

    def __init__(self):
        rng = np.random.default_rng(1)
        self.hidden_size = H
        self.U_f, self.W_f, self.b_f = (parameter(rng, *s) for s in ((I, H), (H, H), (H,)))
        self.U_m, self.W_m, self.b_m = (parameter(rng, *s) for s in ((I, H), (H, H), (H,)))

    def step(self, x, h):
        f = tg.sigmoid(x @ self.U_f + h @ self.W_f + self.b_f).named("f")
        m = tg.tanh(x @ self.U_m + (f * h) @ self.W_m + self.b_m).named("m")
        h = (1 - f) * h + f * m
        return h, h


class PeepholeLSTM(tg.Cell):
    """Gates that see the memory (Gers & Schmidhuber 2000), cut by slices; the state is a dict."""

    def __init__(self):
        rng = np.random.default_rng(2)
        self.U, self.W, self.b = (parameter(rng, *s) for s in ((I, 4 * H), (H, 4 * H), (4 * H,)))
        self.p_i, self.p_f, self.p_o = (parameter(rng, H) for _ in range(3))
        self.V = parameter(rng, H, 2)

    def initial_state(self, batch_size):
        return {"h": tg.zeros((batch_size, H)), "c": tg.zeros((batch_size, H))}

    def step(self, x, state):
        h, c = state["h"], state["c"]
        a = x @ self.U + h @ self.W + self.b
        i = tg.sigmoid(a[:, :H] + c * self.p_i).named("i")
        f = tg.sigmoid(a[:, H : 2 * H] + c * self.p_f).named("f")
        c = f * c + i * tg.tanh(a[:, 2 * H : 3 * H])
        o = tg.sigmoid(a[:, 3 * H :] + c * self.p_o).named("o")
        h = o * tg.tanh(c)
        return h @ self.V, {"h": h, "c": c}


class LayerNormRNN(tg.Cell):
    """Pre-activations brought to mean 0 and variance 1, written out (Ba et al. 2016)."""

    def __init__(self):
        rng = np.random.default_rng(3)
        self.U, self.W = parameter(rng, I, H), parameter(rng, H, H)
        self.gain, self.beta = parameter(rng, H), parameter(rng, H)

    def step(self, x, s):
        a = x @ self.U + s @ self.W
        d = a - tg.mean(a, -1, True)
        v = tg.mean(d * d, -1, True)
        s = tg.tanh(self.gain * d / tg.sqrt(v + 1e-5) + self.beta)
        return s, s


class NormalisedRNN(LayerNormRNN):
    """The same by the operation."""

    def step(self, x, s):
        s = tg.tanh(tg.layer_norm(x @ self.U + s @ self.W, self.gain, self.beta))
        return s, s


class MemoryReader(tg.Cell):
    """Attention over the rows of a matrix that is part of the state, a tuple."""

    slots = 4

    def __init__(self):
        rng = np.random.default_rng(4)
        self.U, self.Q, self.W = (parameter(rng, *s) for s in ((I, H), (H, H), (H, H)))

    def initial_state(self, batch_size):
        return tg.zeros((batch_size, self.slots, H), "M_0"), tg.zeros((batch_size, H), "h_0")

    def step(self, x, state):
        M, h = state
        q = h @ self.Q
        w = tg.softmax((M @ q[:, :, None])[:, :, 0]).named("w")
        m = tg.sum(w[:, :, None] * M, axis=1).named("m")
        h = tg.tanh(x @ self.U + m @ self.W)
        return h, (M + 0.1 * w[:, :, None] * h[:, None, :], h)


class LeakyMasked(tg.Cell):
    """Joined inputs, a scalar parameter, a constant array, a choice per entry."""

    def __init__(self):
        rng = np.random.default_rng(5)
        self.hidden_size, self.input_size = H, I
        self.W, self.alpha = parameter(rng, I + H, H), parameter(rng)
        self.mask = np.array([1.0, 0.0, 2.0, 0.0, 1.0])

    def step(self, x, s):
        a = tg.concatenate([x, s], -1) @ self.W
        s = self.alpha * s + 0.5 * tg.where(a > 0, a, 0.1 * a) * self.mask
        return s, s


class TwoOutputs(tg.Cell):
    """Outputs in a tuple, one of them the state before; half of the state passes unchanged."""

    def __init__(self):
        self.U = parameter(np.random.default_rng(6), I, H)

    def initial_state(self, batch_size):
        return {"k": tg.ones((batch_size, H)), "s": tg.zeros((batch_size, H))}

    def step(self, x, state):
        s = state["k"] * tg.tanh(x @ self.U + state["s"])
        return (s, state["s"]), {"k": state["k"], "s": s}


BUILT_IN = {
    "elman tanh": lambda: tg.ElmanCell(I, H, rng=0),
    "elman relu": lambda: tg.ElmanCell(I, H, activation="relu", rng=0),
    "elman identity": lambda: tg.ElmanCell(I, H, activation="identity", rng=0),
    "lstm": lambda: tg.LSTMCell(I, H, rng=0),
    "gru after": lambda: tg.GRUCell(I, H, rng=0),
    "gru before": lambda: tg.GRUCell(I, H, reset="before", rng=0),
}
USERS = {
    cell.__name__: cell
    for cell in (
        MinimalGatedUnit, PeepholeLSTM, LayerNormRNN, NormalisedRNN, MemoryReader, LeakyMasked,
        TwoOutputs,
    )
}  # fmt: skip
CELLS = BUILT_IN | USERS


class Answer(NamedTuple):
    """A random problem and autodiff's gradients: `given` in the order of the printed program."""

    given: dict[str, Any]
    outputs: list[Any]
    gradients: dict[str, Any]


def autodiff(make, T=4, B=3, seed=0, last_only=False, own_start=False, constants=None):
    """The results of `unroll` and `gradients`, in float64, at random parameters.

    own_start   the first state is the cell's own, made of its parameters
    constants   arrays that the program takes, if they are not the cell's attributes
    """
    rng = np.random.default_rng(seed)
    cell = make()
    cell = cell.with_parameters(
        {name: rng.normal(0, 0.6, p.shape) for name, p in cell.parameters().items()}
    )
    parameters = cell.parameters()
    start = cell.initial_state(B)
    states = tree.leaves(start)
    if not own_start:
        states = [tg.tensor(rng.normal(0, 1, s.shape)) for s in states]
    xs = tg.tensor(rng.normal(0, 1, (T, B, I)))
    run = tg.unroll(cell, xs, tree.rebuild(start, iter(states)))
    steps = [tree.leaves(step) for step in run.steps]
    es = [rng.normal(0, 1, (T, *o.shape)) for o in steps[0]]
    if last_only:
        for e in es:
            e[:-1] = 0
    ends = [o for step in steps for o in step]
    leaves = [*parameters.values(), xs, *states]
    found = tg.gradients(ends, leaves, [e[t] for t in range(T) for e in es])
    labels = [*parameters, "x", *(f"state {k}" for k in range(len(states)))]
    given = {name: p.numpy() for name, p in parameters.items()}
    if constants is None:
        constants = {k: v for k, v in vars(cell).items() if isinstance(v, np.ndarray)}
    given |= constants
    given["x"] = xs.numpy()
    given |= {f"state {k}": s.numpy() for k, s in enumerate(states)}
    given |= {f"e {k}": e for k, e in enumerate(es)}
    outputs = [np.stack([step[k].numpy() for step in steps]) for k in range(len(es))]
    return Answer(given, outputs, dict(zip(labels, found, strict=True)))
