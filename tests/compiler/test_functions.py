"""Every function of entries and of rows, in a loop: the same as by unroll, and as native code."""

from __future__ import annotations

import numpy as np
import pytest
from compiler import cells
from compiler.test_native import sources
from compiler.test_scan import same, weighed

import tinygrad_rnn as tg

pytest.importorskip("llvmlite")
ONES = [
    "sin", "cos", "tan", "sinh", "cosh", "arcsinh", "arctan", "log", "log2", "log10", "log1p",
    "exp2", "expm1", "exp", "sign", "sqrt", "cbrt", "square", "abs", "relu", "leaky_relu", "elu",
    "selu", "silu", "softplus", "softsign", "mish", "log_sigmoid", "tanh", "sigmoid", "floor",
    "positive", "negative", "erf", "erfc", "gelu", "softmax", "log_softmax", "round",
]  # fmt: skip


def below_one(f):
    return lambda a: f(0.1 + 0.8 * tg.sigmoid(a))


OTHERS = {
    **{f.__name__: below_one(f) for f in (tg.arcsin, tg.arccos, tg.arctanh)},
    "arccosh": lambda a: tg.arccosh(1.5 + tg.sigmoid(a)),
    "square by a power": lambda a: a**2,
    "cube": lambda a: a**3,
    "root": lambda a: a**0.5,
    "power": lambda a: a**1.7,
    "powers of 2": lambda a: 2.0**a,
    "remainder": lambda a: (a - 1) % 0.7,
    "negative remainder": lambda a: (a - 1) % -0.7,
    "arctan2": lambda a: tg.arctan2(a, 1.3 - a),
    "hypot": lambda a: tg.hypot(a, 0.4),
    "logaddexp": lambda a: tg.logaddexp(a, 1 - 2 * a),
    "truths": lambda a: tg.where((a > 0.4) & ~(a > 0.9) | (a < 0.2), a, 0.1 * a),
    "isfinite": lambda a: tg.where(tg.isfinite(a) & ~tg.isnan(a), a, 0.0 * a),
    "sum": lambda a: a - a.sum(-1, keepdims=True),
    "mean": lambda a: a * a.mean(-1, keepdims=True),
    "norm": lambda a: a / tg.sqrt((a * a).sum(1, keepdims=True)),
    "layer norm": lambda a: (
        (a - a.mean(-1, keepdims=True)) / tg.sqrt(a.var(-1, keepdims=True) + 1e-5)
    ),
    "largest": lambda a: a - 0.3 * a.max(-1, keepdims=True),
    "smallest": lambda a: a / (1 + tg.exp(a.min(1, keepdims=True))),
    "logsumexp": lambda a: a - tg.logsumexp(3 * a, -1, keepdims=True),
    "which is largest": lambda a: tg.where(a == a.max(-1, keepdims=True), a, 0.1 * a),
    "times a column": lambda a: a * a[:, :1] + a * a[:, 2:3],
    "by slices": lambda a: tg.concatenate([a[:, 1:], a[:, :1] * a[:, 1:2]], 1),
    "norm without its axis": lambda a: a / tg.sqrt((a * a).sum(1))[:, None],
    "numbers of rows": lambda a: a * (a.mean(-1) - 0.5 * a.max(-1) + tg.logsumexp(a, 1))[:, None],
    "by hand": lambda a: tg.exp(a) / tg.exp(a).sum(-1, keepdims=True),
}
ALL = {**{name: getattr(tg, name) for name in ONES}, **OTHERS}


def cell_of(f, H):
    class Own(cells.Base):
        def __init__(self):
            super().__init__()
            self.b = tg.Parameter(np.linspace(0.1, 0.3, H))
            self.hidden_size = H

        def step(self, x, s):
            y = f(tg.abs(x) + 0.3 * s * s + self.b)
            return y, 0.5 * tg.tanh(y)

    return Own()


@pytest.mark.parametrize("name", ALL)
def test_a_function_in_the_loop(name):
    for H in (3, 19):
        cell = cell_of(ALL[name], H)
        xs = np.random.default_rng(0).normal(size=(5, 9, H))
        assert "native(" in sources(cell, xs)[0]
        results = []
        for run in (tg.scan, tg.unroll):
            x = tg.tensor(xs, "x")
            outputs = run(cell, x).outputs
            results.append([outputs.numpy(), *tg.gradients(weighed(outputs, 1), [cell.b, x])])
        same(*results, tolerance=1e-11)


WITHOUT = {
    "over the batch": lambda a: a + a.mean(0),
    "of all": lambda a: a + a.sum(),
    "backwards": lambda a: a[:, ::-1],
    "product of entries": lambda a: a * a.prod(-1, keepdims=True),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_a_function_that_native_loops_lack(name):
    cell = cell_of(WITHOUT[name], 4)
    xs = np.random.default_rng(0).normal(size=(5, 3, 4))
    results = []
    for run in (tg.scan, tg.unroll):
        outputs = run(cell, xs).outputs
        results.append([outputs.numpy(), tg.gradients(weighed(outputs, 1), cell.b)])
    same(*results, tolerance=1e-12)


ROWS = {
    "max": lambda a: a.max(-1, keepdims=True),
    "min": lambda a: a.min(-1, keepdims=True),
    "softmax": tg.softmax,
    "log_softmax": tg.log_softmax,
    "logsumexp": lambda a: tg.logsumexp(a, -1, keepdims=True),
}


@pytest.mark.parametrize("f", ROWS.values(), ids=ROWS)
def test_rows_with_infinities_and_nan(f):
    class Own(cells.Base):
        def step(self, x, s):
            return f(x + s), 0.5 * s

    xs = np.zeros((7, 2, 4))
    xs[1, :, 1], xs[2, :, 3], xs[3, 1, 2] = np.inf, -np.inf, np.nan
    xs[4], xs[5], xs[6, 0, :2] = -np.inf, [[-np.inf, 0, 1, 2], [7, 800, -900, 3]], (np.inf, np.nan)
    source = sources(Own(), xs)[0]
    assert "native(" in source
    assert "batch(" not in source
    with np.errstate(all="ignore"):
        found, wanted = (run(Own(), xs).outputs.numpy() for run in (tg.scan, tg.unroll))
    np.testing.assert_allclose(found, wanted, rtol=1e-14)
