"""Every cell of the library, compiled."""

from __future__ import annotations

import numpy as np
import pytest
from compiler.test_scan import initial, looked_at, same, weighed

import tinygrad_rnn as tg

SIZES = 4, 6


def cell_of(name, dtype=np.float64):
    return tg.cells()[name].make(*SIZES, rng=0, dtype=dtype)


def loss(run):
    return weighed(run.outputs, 1) + weighed(run.state, 2)


@pytest.mark.parametrize("name", tg.cells())
def test_double_precision(name, backend):
    both_ways(name)


@pytest.mark.parametrize("name", tg.cells())
def test_lengths_in_reverse(name):
    both_ways(name, lengths=[7, 4, 0], reverse=True)


def both_ways(name, **options):
    cell = cell_of(name)
    xs, s0 = np.random.default_rng(0).normal(size=(7, 3, SIZES[0])), initial(cell, 3)
    wanted = looked_at(tg.unroll, cell, xs, s0, loss, **options)
    same(looked_at(tg.scan, cell, xs, s0, loss, **options), wanted)


@pytest.mark.parametrize("name", tg.cells())
def test_single_precision(name):
    cell = cell_of(name, np.float32)
    xs = np.random.default_rng(0).normal(size=(7, 3, SIZES[0])).astype("float32")
    results = []
    for f in (tg.scan, tg.unroll):
        run = f(cell, xs)
        weighed(run.outputs, 1).backward()
        parts = [p.grad for p in cell.parameters().values() if p.grad is not None]
        results.append([run.outputs.numpy(), *parts])
    same(*results, tolerance=1e-5)
