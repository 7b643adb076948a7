"""Nothing that happens to one scan is seen by another."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

import numpy as np
import pytest
from compiler import cells

import tinygrad_rnn as tg
from tinygrad_rnn import tree
from tinygrad_rnn.compiler import native_products, threads


def gradients(cell, xs):
    run = tg.scan(cell, xs)
    loss = (run.outputs * run.outputs).sum()
    return [run.outputs.numpy().copy(), *tg.gradients(loss, list(cell.parameters().values()))]


def equal(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_scans_in_several_threads(backend, monkeypatch):
    monkeypatch.setattr(native_products, "ALONE", 0)
    monkeypatch.setattr(threads, "count", lambda: 2)
    rng = np.random.default_rng(0)
    cell = tg.LSTMCell(3, 20, rng=0)
    sequences = [rng.normal(size=(9 + k, 2 + k % 3, 3)) for k in range(6)]
    wanted = [gradients(cell, xs) for xs in sequences]
    found: dict[int, list] = {}
    failures = []

    def work(k):
        try:
            for _ in range(5):
                found[k] = gradients(cell, sequences[k])
                equal(found[k], wanted[k])
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures
    assert len(found) == 6


def test_results_and_gradients_are_nobody_elses(backend):
    cell, rng = tg.GRUCell(3, 4, rng=0), np.random.default_rng(0)
    one, two = rng.normal(size=(2, 7, 2, 3))
    run = tg.scan(cell, one)
    values = [run.outputs.numpy(), run.state.numpy(), *[s.numpy() for s in run.states]]
    first = tg.gradients(run.outputs.sum(), [cell.U, cell.W])
    before = [v.copy() for v in (*values, *first)]
    with pytest.raises(ValueError, match="read-only"):
        values[0][0] = 0
    again = tg.scan(cell, two)
    tg.gradients(again.outputs.sum(), [cell.U, cell.W])
    equal([*values, *first], before)


def test_two_backward_passes_of_one_kept_record_give_the_same(backend):
    cell = tg.LSTMCell(3, 4, rng=0)
    loss = tg.scan(cell, np.random.default_rng(0).normal(size=(7, 2, 3))).outputs.sum()
    first = tg.gradients(loss, [cell.U, cell.W], keep_record=True)
    other = tg.scan(cell, np.ones((7, 2, 3))).outputs.sum()
    tg.gradients(other, cell.W)
    equal(tg.gradients(loss, [cell.U, cell.W]), first)


class Fragile(cells.Base):
    """An operation that can be made to fail in the loop."""

    def step(self, x, s):
        s = tg.tanh(x @ self.U + flaky(s) @ self.W)
        return s, s


calls = {"left": -1}


def _value(x):
    calls["left"] -= 1
    if calls["left"] == 0:
        raise ArithmeticError("now")
    return 1.0 * x


flaky = tg.custom.linear("flaky", _value, lambda g: flaky(g))


def test_an_exception_in_the_loop_leaves_nothing_behind():
    cell, xs = Fragile(), np.random.default_rng(0).normal(size=(9, 2, 3))
    wanted = gradients(cell, xs)
    run = tg.scan(cell, xs)
    calls["left"] = 5
    with pytest.raises(ArithmeticError, match="now"):
        tg.scan(cell, xs)
    loss = (run.outputs * run.outputs).sum()
    calls["left"] = 4
    with pytest.raises(ArithmeticError, match="now"):
        loss.backward()
    equal(gradients(cell, xs), wanted)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # in a callback
@pytest.mark.parametrize("count", [1, 2])
def test_an_interrupt_leaves_nothing_behind(count, backend, monkeypatch):
    monkeypatch.setattr(native_products, "ALONE", 0)
    monkeypatch.setattr(threads, "count", lambda: count)
    cell, rng = tg.LSTMCell(3, 32, rng=0), np.random.default_rng(0)
    xs, long = rng.normal(size=(9, 4, 3)), rng.normal(size=(4000, 4, 3))
    wanted = gradients(cell, xs)
    tg.scan(cell, long)
    raised = []

    def handler(*_):
        if not raised:
            raised.append(True)
            signal.raise_signal(signal.SIGINT)

    old = signal.signal(signal.SIGALRM, handler)
    try:
        for delay in (0.001, 0.005, 0.02):
            raised.clear()
            with contextlib.suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, delay)
                for _ in range(100):
                    gradients(cell, long)
                    if raised:  # in a callback of Python's own, which swallows it
                        break
            equal(gradients(cell, xs), wanted)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_has_threads_of_its_own(monkeypatch):
    monkeypatch.setattr(native_products, "ALONE", 0)
    monkeypatch.setattr(threads, "count", lambda: 2)
    cell, xs = tg.LSTMCell(3, 8, rng=0), np.random.default_rng(0).normal(size=(9, 4, 3))
    wanted = gradients(cell, xs)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            equal(gradients(cell, xs), wanted)
            os.write(writing, b"same")
        finally:
            os._exit(0)
    os.close(writing)
    assert os.read(reading, 4) == b"same"
    os.waitpid(child, 0)


def test_a_loss_of_the_last_state_keeps_no_cotangents_of_the_others():
    """Results without a cotangent are not filled up with zeros."""
    cell = tg.LSTMCell(3, 4, rng=0)
    run = tg.scan(cell, np.ones((5, 2, 3)))
    seen = []
    primitive = run.state.h._node.primitive
    together = primitive.together
    primitive.together = lambda g, *rest: seen.append(g) or together(g, *rest)
    run.state.c.sum().backward()
    assert [part is None for part in seen[0]] == [True, True, True, False]


def test_memory_from_the_pool_is_seen_by_nobody(monkeypatch):
    """Everything in the pool is overwritten: results, gradients and kept values stay."""
    from tinygrad_rnn.compiler import pool

    monkeypatch.setattr(pool, "SMALL", 0)
    monkeypatch.setattr(pool, "_free", {})

    def spoil():
        for arrays in pool._free.values():
            for raw in arrays:
                raw[...] = 255

    for name in (*cells.KNOWN, "Readout", "PassedOn", "Delay", "Tree", "Largest", "Broadcasting"):
        cell = cells.ALL[name]()
        xs = cells.sequence(cell)
        xs = tg.tensor(xs) if xs.dtype.kind == "f" else xs
        run = tg.scan(cell, xs)
        spoil()
        values = [leaf.numpy() for leaf in tree.leaves((run.outputs, run.states))]
        wanted = tg.unroll(cell, xs)
        for a, b in zip(values, tree.leaves((wanted.outputs, wanted.states)), strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-12, atol=1e-12)
        copies = [v.copy() for v in values]
        found, expected = (
            tg.gradients(
                sum([(o * o).sum() for o in tree.leaves(r.outputs) if o.dtype.kind == "f"])
                + (cell.W * cell.W).sum(),
                cell.W,
            )
            for r in (run, wanted)
        )
        spoil()
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
        equal(values, copies)
    assert pool._free
