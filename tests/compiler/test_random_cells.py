"""Cells made at random: a scan gives the same as unroll, in both precisions and all ways to run."""

from __future__ import annotations

import numpy as np
import pytest
from compiler.test_scan import initial, same, weighed

import tinygrad_rnn as tg
from tinygrad_rnn import nn, tree

ONES = [tg.tanh, tg.sigmoid, tg.sin, tg.relu, tg.softplus, tg.softsign, lambda a: 0.5 * a + 0.1,
        lambda a: a - a.mean(-1, keepdims=True), lambda a: tg.exp(-a * a),
        lambda a: a / (1 + tg.abs(a).sum(1, keepdims=True)), lambda a: tg.log1p(a * a)]  # fmt: skip
TWOS = [lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a - 0.5 * b, tg.maximum,
        lambda a, b: tg.where(a > b, a, 0.3 * b)]  # fmt: skip


class Random(tg.Cell):
    """Operations chosen by a seed, on two states of other widths."""

    def __init__(self, seed, I, H, dtype):  # noqa: E741
        self.seed, self.widths, self.kind = seed, (H, H + 1 + seed % 3), np.dtype(dtype)
        rng = np.random.default_rng([seed, 1])
        K = self.widths[1]

        def draw(*shape):
            return tg.Parameter(rng.normal(0, 0.4, shape).astype(dtype))

        self.U, self.W, self.V, self.A = draw(I, H), draw(H, H), draw(K, H), draw(H, K)
        self.G, self.b, self.c = draw(H, 2 * H), draw(H), draw(K)

    def initial_state(self, batch_size):
        return tuple(
            [
                tg.zeros((batch_size, w), n, self.kind)
                for w, n in zip(self.widths, "hk", strict=True)
            ]
        )

    def step(self, x, state):
        h, k = state
        rng = np.random.default_rng([self.seed, 2])
        pool = [x @ self.U + self.b, h @ self.W, k @ self.V, h]
        pool += list(tg.split(h @ self.G, 2, axis=1))
        for _ in range(rng.integers(3, 9)):
            a, b = (pool[rng.integers(len(pool))] for _ in range(2))
            f = ONES[rng.integers(len(ONES))]
            pool.append(f(a) if rng.random() < 0.5 else TWOS[rng.integers(len(TWOS))](a, f(b)))
            if rng.random() < 0.2:
                pool.append(tg.tanh(pool[-1]) @ self.W)
        new = tg.tanh(pool[-1] + 0.3 * pool[rng.integers(len(pool) - 1)] + 0.2 * h)
        other = tg.tanh(0.5 * k + new @ self.A + self.c) if rng.random() < 0.7 else 0.9 * k
        out = tg.concatenate([pool[rng.integers(len(pool))], other], axis=1)
        return (out if rng.random() < 0.5 else new), (new, other)


WAYS = [
    (6, 4, {}), (6, 4, {"lengths": [6, 3, 0, 1]}), (5, 3, {"reverse": True}), (1, 3, {}),
    (5, 1, {}), (1, 1, {}), (4, 17, {}),
    (7, 9, {"lengths": [7, 1, 2, 3, 4, 5, 6, 7, 0], "reverse": True}),
]  # fmt: skip


def looked_at(f, cell, xs, s0, options):
    x = tg.tensor(xs, "x")
    run = f(cell, x, s0, **options)
    loss = weighed(run.outputs, 1) + weighed(run.state, 2)
    wanted = [x, *cell.parameters().values()]
    gradients = tg.gradients(loss + sum([(w * 0).sum() for w in wanted]), wanted)
    return [leaf.numpy() for leaf in tree.leaves((run.outputs, run.state))] + list(gradients)


@pytest.mark.parametrize("seed", range(3_000, 3_024))
def test_a_random_cell(seed, backend):
    T, B, options = WAYS[seed % len(WAYS)]
    for dtype, tolerance in ((np.float64, 1e-11), (np.float32, 2e-5)):
        H = 4 + seed % 14
        cell = Random(seed, 3, H, dtype)
        xs = np.random.default_rng(seed).normal(size=(T, B, 3)).astype(dtype)
        s0 = tree.map_leaves(lambda t, d=dtype: t.astype(d).detach(), initial(cell, B))
        found, wanted = (looked_at(f, cell, xs, s0, options) for f in (tg.scan, tg.unroll))
        same(found, wanted, tolerance)


@pytest.mark.parametrize("seed", range(4_000, 4_006))
def test_a_stack_of_random_cells(seed):
    class Narrow(Random):
        def step(self, x, state):
            out, state = super().step(x, state)
            return out[:, :3], state

    model = nn.Stacked(*[Narrow(seed + k, 3, 5 + k, np.float64) for k in range(3)])
    xs = np.random.default_rng(seed).normal(size=(5, 3, 3))
    options = {"lengths": [5, 2, 4]} if seed % 2 else {}
    found, wanted = (looked_at(f, model, xs, None, options) for f in (tg.scan, tg.unroll))
    same(found, wanted, 1e-11)
