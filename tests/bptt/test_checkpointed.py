"""tg.checkpointed: the results of unroll, to the last bit, from a few states."""

import gc
import weakref
from typing import NamedTuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import graph, tree
from tinygrad_rnn.bptt import progress, rerun

RNG = np.random.default_rng(0)


class Two(NamedTuple):
    fast: tg.Tensor
    slow: tg.Tensor


class Odd(tg.Cell):
    """A structured state that is used twice, and weights made outside the step."""

    def __init__(self, dtype):
        rng = np.random.default_rng(1)
        self.W = tg.Parameter(rng.normal(0, 0.4, (4, 4)), dtype=dtype)
        self.U = tg.Parameter(rng.normal(0, 0.4, (3, 4)), dtype=dtype)
        self.unused = tg.Parameter(np.ones(2), dtype=dtype)
        self.symmetric = (self.W + self.W.T) / 2

    def initial_state(self, batch_size):
        return Two(
            tg.zeros((batch_size, 4), dtype=self.dtype), tg.zeros((batch_size, 4), dtype=self.dtype)
        )

    def step(self, x, state):
        fast = tg.tanh(x @ self.U + state.fast @ self.symmetric + state.slow)
        slow = 0.9 * state.slow + 0.1 * fast * state.slow + 0.1 * state.fast
        return fast * slow, Two(fast, slow)


CELLS = {
    "elman": lambda dtype: tg.ElmanCell(3, 4, rng=0, dtype=dtype),
    "lstm": lambda dtype: tg.LSTMCell(3, 4, rng=0, dtype=dtype),
    "gru": lambda dtype: tg.GRUCell(3, 4, rng=0, dtype=dtype),
    "odd": Odd,
}
OPTIONS = [
    {},
    {"lengths": [13, 5]},
    {"lengths": [4, 13], "reverse": True, "start": 7},
    {"mask": RNG.random((13, 2)) < 0.6},
]


def everything(run, cell, xs, state):
    outputs, last = run
    loss = tg.square(outputs - 0.3).sum()
    for part in tree.leaves(last):
        loss = loss + (part * part * part).sum()
    wanted = [*cell.parameters().values(), xs, *tree.leaves(state)]
    return [outputs.numpy(), *tg.gradients(loss, wanted, keep_record=True)]


def problem(name, dtype):
    cell = CELLS[name](dtype)
    xs = tg.tensor(RNG.normal(size=(13, 2, 3)).astype(dtype))
    state = tree.map_leaves(
        lambda x: tg.tensor(RNG.normal(size=x.shape).astype(dtype)), cell.initial_state(2)
    )
    return cell, xs, state


@pytest.mark.parametrize("slots", [1, 2, 3, 13, 20, "sqrt"])
@pytest.mark.parametrize("options", OPTIONS, ids=["all", "lengths", "reverse", "mask"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CELLS)
def test_equal_to_unroll_to_the_last_bit(name, dtype, options, slots):
    cell, xs, state = problem(name, dtype)
    wanted = everything(tg.unroll(cell, xs, state, **options), cell, xs, state)
    found = everything(tg.checkpointed(cell, xs, state, slots=slots, **options), cell, xs, state)
    for a, b in zip(wanted, found, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_an_iterator_is_run_as_it_comes(slots):
    cell, xs, state = problem("lstm", np.float32)
    wanted = everything(tg.unroll(cell, xs, state), cell, xs, state)
    events = []

    class Noting(tg.LSTMCell):
        def step(self, x, s):
            events.append("step")
            return super().step(x, s)

    def stream():
        for x in xs.numpy():
            events.append("input")
            yield x

    noting = Noting(3, 4, rng=0)
    run = tg.checkpointed(noting, stream(), state, slots=slots)
    assert events == ["input", "step"] * 13
    found = everything(run, noting, xs, state)
    assert len(run) == 13
    del wanted[-3], found[-3]  # of xs: arrays came out of the iterator
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_again_after_keep_record():
    cell, xs, state = problem("gru", np.float64)
    run = tg.checkpointed(cell, xs, state, slots=3)
    first, second = everything(run, cell, xs, state), everything(run, cell, xs, state)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_second_derivatives_and_forward_mode():
    cell, xs, state = problem("lstm", np.float64)

    def curved(run):
        g = tg.gradients(tg.square(run.outputs).sum(), cell.W, create_graph=True)
        return tg.gradients(tg.square(g).sum(), [cell.W, cell.U, xs])

    wanted = curved(tg.unroll(cell, xs, state))
    for a, b in zip(wanted, curved(tg.checkpointed(cell, xs, state, slots=2)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)

    def of(run):
        return lambda x: run(cell, x, state).outputs

    v = np.ones(xs.shape)
    _, straight = tg.jvp(of(tg.unroll), (xs,), (v,))
    _, again = tg.jvp(of(lambda *a: tg.checkpointed(*a, slots=3)), (xs,), (v,))
    np.testing.assert_allclose(straight.numpy(), again.numpy(), rtol=1e-13)


class Noisy(tg.Cell):
    def __init__(self, seed):
        self.inner = tg.GRUCell(3, 4, rng=0)
        self.rng = np.random.default_rng(seed)

    def initial_state(self, batch_size):
        return self.inner.initial_state(batch_size)

    def step(self, x, state):
        output, state = self.inner.step(x, state)
        return tg.dropout(output, 0.5, rng=self.rng), tg.dropout(state, 0.2, rng=self.rng)


@pytest.mark.parametrize(
    ("slots", "stream"), [(1, False), (4, False), ("sqrt", False), (1, True), (4, True)]
)
def test_dropout_is_replayed(slots, stream):
    xs = RNG.normal(size=(13, 2, 3)).astype(np.float32)
    plain, again = Noisy(3), Noisy(3)
    tg.unroll(plain, xs).outputs.sum().backward()
    tg.checkpointed(again, iter(xs) if stream else xs, slots=slots).outputs.sum().backward()
    np.testing.assert_array_equal(plain.inner.W.grad, again.inner.W.grad)
    assert plain.rng.random() == again.rng.random()


def test_forward_steps_are_as_many_as_the_plan_says():
    for slots in (1, 2, 5, "sqrt"):
        _, xs, state = problem("elman", np.float32)
        calls = []

        class Counted(tg.ElmanCell):
            def step(self, x, s, calls=calls):
                calls.append(1)
                return super().step(x, s)

        run = tg.checkpointed(Counted(3, 4), xs, state, slots=slots)
        assert run.plan.evaluations / 13 == run.plan.factor
        run.outputs.sum().backward()
        assert len(calls) == run.plan.evaluations, slots


def test_states_alive_are_those_of_the_slots():
    alive, most = [], [0]

    class Watched(tg.Cell):
        def __init__(self):
            # no matrix product: a sweep holds back factors of some, up to sweep.CHUNK_BYTES
            self.w = tg.Parameter(np.full(4, 0.5))
            self.hidden_size = 4

        def step(self, x, s):
            s = tg.tanh(s * self.w + x)
            alive[:] = [ref for ref in alive if ref() is not None] + [weakref.ref(s._value)]
            most[0] = max(most[0], len(alive))
            return s.sum(), s

    beside = set()
    for slots in (3, 6, 12):
        run = tg.checkpointed(Watched(), np.ones((60, 1, 4), np.float32), slots=slots)
        gc.collect()
        most[0] = 0
        run.state.sum().backward()
        beside.add(most[0] - slots)
    # the last state, those a step goes from and to, and those of the step swept over last
    assert max(beside) <= 6


def test_parameters_that_only_some_steps_use():
    class Clockwork(tg.Cell):
        def __init__(self):
            self.fast = tg.Parameter(np.eye(2) * 0.5)
            self.slow = tg.Parameter(np.eye(2) * 0.3)
            self.hidden_size = 2

        def step(self, x, s):
            W = self.slow if x[0, 0] > 0.5 else self.fast
            s = tg.tanh(s @ W + x)
            return s, s

    cell = Clockwork()
    xs = RNG.random((9, 1, 2)).astype(np.float32)
    assert len({bool(x) for x in xs[:, 0, 0] > 0.5}) == 2
    tg.unroll(cell, xs).outputs.sum().backward()
    wanted = cell.fast.grad, cell.slow.grad
    for slots in (1, 3, "sqrt"):
        tg.checkpointed(cell, xs, slots=slots).outputs.sum().backward()
        np.testing.assert_array_equal(wanted, (cell.fast.grad, cell.slow.grad))


class Counting(tg.Cell):
    def __init__(self):
        self.W = tg.Parameter(np.eye(4) * 0.5)
        self.n = 0

    def step(self, x, s):
        self.n += 1
        s = tg.tanh(s @ self.W + self.n * 0.01)
        return s, s


def test_a_step_that_counts_its_calls_is_noticed():
    run = tg.checkpointed(Counting(), np.ones((8, 1, 4), np.float32), slots=2)
    with pytest.raises(RuntimeError, match=r"in timestep 7: Counting.step gave other values of"):
        run.outputs.sum().backward()


def test_a_parameter_that_changed_is_noticed():
    cell, xs, state = problem("elman", np.float32)
    loss = tg.checkpointed(cell, xs, state, slots=2).outputs.sum()
    cell.W.assign(cell.W.numpy() * 2)
    with pytest.raises(RuntimeError, match="'W' was given another value"):
        loss.backward()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "given neither of slots and memory"),
        ({"slots": 2, "memory": "1MB"}, "given both"),
        ({"slots": 0}, "slots=0; wanted a number of states"),
        ({"slots": 1.5}, "slots=1.5; wanted"),
        ({"slots": "cube"}, "slots='cube'; wanted"),
        ({"memory": "lots"}, "memory='lots'; wanted a size"),
        ({"memory": "100 B"}, r"no room for two states of \d+ bytes .*wanted [\d,]+ bytes or more"),
    ],
)
def test_bad_budgets(options, message):
    cell, xs, state = problem("elman", np.float32)
    with pytest.raises(ValueError, match=message):
        tg.checkpointed(cell, xs, state, **options)


def test_an_iterator_has_no_square_root():
    cell, xs, _ = problem("elman", np.float32)
    with pytest.raises(ValueError, match="length is not known"):
        tg.checkpointed(cell, iter(xs.numpy()), slots="sqrt")


def test_states_are_refused_and_steps_are_there():
    cell, xs, state = problem("elman", np.float32)
    run = tg.checkpointed(cell, xs, state, slots=2)
    with pytest.raises(AttributeError, match=r"use tg.unroll"):
        _ = run.states
    np.testing.assert_array_equal(run.steps[4].numpy(), run.outputs.numpy()[4])


def test_nothing_is_recorded_under_no_grad():
    cell, xs, state = problem("lstm", np.float32)
    with tg.no_grad():
        run = tg.checkpointed(cell, xs, state, slots=2)
        streamed = tg.checkpointed(cell, iter(xs.numpy()), state, slots=2)
    assert not run.outputs.recorded
    np.testing.assert_array_equal(run.outputs.numpy(), streamed.outputs.numpy())


def test_a_record_is_as_large_as_its_states():
    """Resident memory is for benchmarks; here, the number of objects of a long run."""
    cell = tg.ElmanCell(1, 8, rng=0)
    counts = []
    for steps in (200, 2000):
        xs = np.ones((steps, 1, 1), np.float32)
        gc.collect()
        before = len(gc.get_objects())
        run = tg.checkpointed(cell, xs, slots=4)
        loss = run.outputs.sum()
        counts.append(len(gc.get_objects()) - before)
        del run, loss
    assert abs(counts[1] - counts[0]) < 100


def test_a_swept_record_is_let_go(monkeypatch):
    """Memory that grows with T would be that of nodes: none of steps swept over may be alive."""
    alive = []
    swept = rerun.Rerun._swept

    def counted(self, record, *args):
        result = swept(self, record, *args)
        alive.append(sum(issubclass(type(o), graph.Node) for o in gc.get_objects()))
        return result

    monkeypatch.setattr(rerun.Rerun, "_swept", counted)
    gc.collect()
    gc.freeze()  # leftovers of other tests are not looked through again and again
    try:
        for cell in (tg.ElmanCell(1, 3, rng=0), tg.LSTMCell(1, 3, rng=0), tg.GRUCell(1, 3, rng=0)):
            alive.clear()
            run = tg.checkpointed(cell, np.ones((60, 1, 1), np.float32), slots=5)
            run.outputs.sum().backward()
            assert 0 < max(alive[10:]) <= max(alive[:10])
    finally:
        gc.unfreeze()


def test_progress_is_said_once_it_takes_long(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    cell = tg.ElmanCell(1, 2, rng=0)
    run = tg.checkpointed(cell, np.ones((130, 1, 1), np.float32), slots=10)
    run.outputs.sum().backward()
    said = capsys.readouterr().err
    assert said.startswith("backward pass: 130 steps, 10 states kept")
    assert "forward steps per step:" in said
