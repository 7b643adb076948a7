"""Unrolling: states of every structure, marks of time, and refusals."""

import contextlib
import gc
import os
import subprocess
import sys
import threading
import weakref
from typing import NamedTuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import tree


class Pair(NamedTuple):
    fast: tg.Tensor
    slow: tg.Tensor


class Nested(tg.Cell):
    """A cell whose state is a dict with a tensor and a named tuple inside."""

    def __init__(self, rng):
        self.W = tg.Parameter(rng.normal(0, 0.4, (3, 3)))

    def initial_state(self, batch_size):
        def z():
            return tg.zeros((batch_size, 3), dtype=np.float64)

        return {"s": z(), "memory": Pair(z(), z())}

    def step(self, x, state):
        s = tg.tanh(x + state["s"] @ self.W + state["memory"].slow)
        slow = 0.9 * state["memory"].slow + 0.1 * s
        return s, {"s": s, "memory": Pair(s * s, slow)}


class _TwoStates(tg.Cell):
    def __init__(self):
        self.W = tg.Parameter(np.eye(3))

    def initial_state(self, batch_size):
        return {"mood": tg.zeros((batch_size, 3)), "trace": tg.zeros((batch_size, 3))}

    def step(self, x, state, /):
        mood = tg.tanh(x + state["mood"] @ self.W + state["trace"])
        return mood, {"mood": mood, "trace": 0.9 * state["trace"]}


@pytest.mark.parametrize("run", [tg.unroll, tg.scan])
def test_a_given_state_of_other_parts(run):
    s, xs = tg.zeros((2, 3)), np.ones((4, 2, 3))
    for given, said in (
        (s, "given one tensor"),
        ({"mood": s}, r"given the part mood .* KeyError: 'trace'"),
        ((s, s), "given the parts 0, 1"),
    ):
        with pytest.raises(TypeError, match=rf"_TwoStates: {said}") as caught:
            run(_TwoStates(), xs, given)
        assert "initial_state gives the parts mood, trace" in str(caught.value)
        assert caught.value.__cause__ is not None
    with pytest.raises(TypeError, match=r"given one tensor as the state; .* the parts h, c"):
        run(tg.LSTMCell(3, 3), xs, s)
    with pytest.raises(ValueError, match=r"^multiply in timestep 1: .* together; \(2, 3\) is f"):
        run(tg.LSTMCell(3, 3), xs, (s, tg.zeros((2, 4))))

    class Breaks(tg.LSTMCell):
        def step(self, x, state, /):
            raise KeyError("of its own")

    with pytest.raises(KeyError, match=r"^'of its own'$"):  # a plain tuple is no other state
        run(Breaks(3, 3), xs, (s, s))


def test_states_and_outputs(rng):
    cell, xs = tg.ElmanCell(2, 3, rng=rng), rng.normal(size=(5, 4, 2))
    run = tg.unroll(cell, xs)
    assert len(run) == 5
    assert len(run.states) == 6
    assert run.outputs.shape == (5, 4, 3)
    s = np.zeros((4, 3), np.float32)
    U, W, b = (p.numpy() for p in cell.parameters().values())
    for t, x in enumerate(xs.astype(np.float32)):
        s = np.tanh(x @ U + s @ W + b)
        np.testing.assert_allclose(run.states[t + 1].numpy(), s, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(run.outputs.numpy()[t], run.steps[t].numpy())


def test_float64_data_leave_a_float32_cell_float32(rng):
    run = tg.unroll(tg.LSTMCell(2, 3, rng=rng), rng.normal(size=(3, 1, 2)))
    assert run.outputs.dtype == np.float32
    run.outputs.sum().backward()


@pytest.mark.parametrize(("T", "B"), [(1, 1), (1, 3), (4, 1), (3, 0)])
@pytest.mark.parametrize("cell", [tg.ElmanCell, tg.LSTMCell, tg.GRUCell])
def test_short_sequences_and_small_batches(cell, T, B, rng):
    cell = cell(2, 3, rng=rng)
    run = tg.unroll(cell, rng.normal(size=(T, B, 2)))
    assert run.outputs.shape == (T, B, 3)
    run.outputs.sum().backward()
    assert all(p.grad.shape == p.shape for p in cell.parameters().values())


def test_nested_states_keep_their_structure_and_carry_gradients(rng):
    cell = Nested(rng)
    run = tg.unroll(cell, rng.normal(size=(4, 2, 3)))
    assert isinstance(run.state["memory"], Pair)
    g = tg.gradients(run.state["memory"].slow.sum(), run.states[0]["memory"].slow)
    assert np.abs(g).max() > 0
    paths = tree.paths(run.state)
    assert paths == ["s", "memory.fast", "memory.slow"]


def test_a_detached_state_is_cut_in_every_part(rng):
    cell = Nested(rng)
    xs = rng.normal(size=(3, 2, 3))
    first = tg.unroll(cell, xs)
    second = tg.unroll(cell, xs, tg.detach(first.state))
    loss = second.outputs.sum()
    uses = tg.gradients_of_uses(loss, cell.W, keep_record=True)
    assert [use.step for use in uses] == [1, 2, 3]  # none of the first run's
    for state in tree.leaves(first.states[1]):
        assert not tg.gradients(loss, state, keep_record=True).any()


def test_xs_as_tensor_array_and_list_agree(rng):
    xs = rng.normal(size=(4, 2, 3))
    cell = tg.ElmanCell(3, 3, rng=rng, dtype=np.float64)
    x = tg.tensor(xs)
    losses = [(tg.unroll(cell, given).outputs ** 2).sum() for given in (x, xs, list(xs))]
    assert losses[0].item() == losses[1].item() == losses[2].item()
    g = tg.gradients(losses[0], x)
    bumped = xs.copy()
    bumped[1, 0, 2] += 1e-6
    change = (tg.unroll(cell, bumped).outputs ** 2).sum().item() - losses[1].item()
    assert g[1, 0, 2] == pytest.approx(change / 1e-6, rel=1e-4)


def test_steps_are_marked_from_one(rng):
    cell = tg.GRUCell(2, 3, rng=rng)
    loss = tg.unroll(cell, rng.normal(size=(3, 1, 2))).outputs.sum()
    assert [use.step for use in tg.gradients_of_uses(loss, cell.W)] == [1, 2, 3]


class Knot:
    """An object that only the cycle collector can free."""

    def __init__(self, alive):
        self.itself = self
        alive.add(reference := weakref.ref(self, alive.discard))
        assert reference() is self


def test_the_collector_is_as_before(rng):
    cell, xs, before = tg.ElmanCell(2, 3, rng=rng), np.ones((2, 1, 2)), gc.get_threshold()
    frozen = gc.get_freeze_count()  # Python 3.12 begins with some
    assert gc.isenabled()
    tg.unroll(cell, xs)
    with pytest.raises(ValueError, match="inner sizes"):
        tg.unroll(cell, np.ones((2, 1, 5)))
    assert gc.isenabled()
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == frozen
    gc.disable()
    try:
        tg.unroll(cell, xs)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_thresholds_after_unrolls_inside_each_other_and_in_threads():
    before = gc.get_threshold()

    class Waits(tg.ElmanCell):
        def step(self, x, s):
            tg.unroll(tg.ElmanCell(2, 3, rng=0), np.ones((1, 1, 2)))
            barrier.wait(10)
            return super().step(x, s)

    def work(steps):
        with contextlib.suppress(threading.BrokenBarrierError):
            tg.unroll(Waits(2, 3, rng=0), np.ones((steps, 1, 2)))
        barrier.abort()

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=work, args=[n]) for n in (3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gc.get_threshold() == before

    class Sets(tg.ElmanCell):
        def step(self, x, s):
            gc.set_threshold(701, 11, 12)
            return super().step(x, s)

    try:
        tg.unroll(Sets(2, 3, rng=0), np.ones((2, 1, 2)))
        assert gc.get_threshold() == (701, 11, 12)
    finally:
        gc.set_threshold(*before)


def test_cycles_that_a_cell_makes_are_collected_while_it_runs():
    alive, most = set(), []

    class Knots(tg.ElmanCell):
        def step(self, x, s):
            Knot(alive)
            most.append(len(alive))
            return super().step(x, s)

    tg.unroll(Knots(2, 3, rng=0), np.ones((1000, 1, 2)))
    assert max(most) < 300


def test_cycles_that_were_made_between_unrolls_are_collected():
    program = (  # in a process of its own, where there is little else to collect
        "import collections, weakref, numpy as np, tinygrad_rnn as tg\n"
        "class Knot: pass\n"
        "cell, xs = tg.ElmanCell(2, 3, rng=0), np.ones((60, 1, 2))\n"
        "alive, recent = set(), collections.deque(maxlen=20)\n"
        "for _ in range(1000):\n"
        "    knot = Knot()\n"
        "    knot.itself = knot\n"
        "    alive.add(weakref.ref(knot, alive.discard))\n"
        "    recent.append(knot)\n"  # lives long enough to become old
        "    tg.unroll(cell, xs).outputs.sum().backward()\n"
        "print(len(alive))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    assert int(said) < 500


def test_what_is_refused(rng):
    cell = tg.ElmanCell(2, 3, rng=rng)
    for xs in (
        np.zeros((0, 1, 2)),
        tg.tensor(np.zeros((0, 1, 2))),
        np.zeros(3),
        np.float64(1),
        np.ones((3, 2)),
    ):
        with pytest.raises(ValueError, match="at least one step"):
            tg.unroll(cell, xs)
    with pytest.raises(ValueError, match="empty"):
        tg.unroll(cell, [])
    at = r"matmul in timestep 1: \(4, 5\) @ \(2, 3\): inner sizes 5 and 2 differ; \(2, 3\) is U$"
    with pytest.raises(ValueError, match=at):
        tg.unroll(cell, np.ones((3, 4, 5)))

    class NoPair(tg.ElmanCell):
        def step(self, x, s):
            return super().step(x, s)[0]

    with pytest.raises(TypeError, match=r"NoPair.step in timestep 1: wanted a pair"):
        tg.unroll(NoPair(2, 3), np.ones((2, 1, 2)))

    class Grows(tg.ElmanCell):
        def step(self, x, s):
            s = super().step(x, s)[0]
            return s, (s, s)

    with pytest.raises(TypeError, match="went in with 1 tensor and came out with 2"):
        tg.unroll(Grows(2, 3), np.ones((2, 1, 2)))

    class NoState(tg.Cell):
        def step(self, x, s):
            return s, s

    with pytest.raises(TypeError, match="size of its state is not known"):
        tg.unroll(NoState(), np.ones((2, 1, 2)))


def test_a_block_that_a_step_leaves_open_does_not_hold_up_the_steps():
    class Half(tg.ElmanCell):
        def step(self, x, s):
            def blocks():
                with tg.scope("inner"):
                    yield

            self.open = getattr(self, "open", None) or blocks()
            next(self.open, None)  # opened in the first step, closed in the second
            return super().step(x, s)

    run = tg.unroll(Half(2, 3, rng=0), np.ones((4, 1, 2)))
    places = [output._node.place for output in run.steps]
    assert [place.step for place in places] == [1, 2, 3, 4]
    assert [place.scopes for place in places] == [("inner",), (), (), ()]
    assert (tg.zeros(1) * 1.0)._node.place.step is None


def test_a_first_state_given_as_an_array_may_change_after_the_run():
    cell, xs = tg.ElmanCell(2, 3, rng=0), np.ones((4, 1, 2))
    grads = []
    for added in (0.0, 1.0):
        state = np.full((1, 3), 0.5, np.float32)
        run = tg.unroll(cell, xs, state)
        state += added
        grads.append(tg.gradients(run.state.sum(), cell.W))
    np.testing.assert_array_equal(*grads)
