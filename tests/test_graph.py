"""The record: where things were recorded, the values it keeps alive, and how deep it may be."""

import asyncio
import contextvars
import gc
import itertools
import os
import subprocess
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.graph import current, record_order


@pytest.fixture
def no_collector():
    """Only reference counts free anything, as in a program whose collector has not run yet."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def saved_arrays(loss):
    """Weak references to every array the record behind a tensor keeps."""
    found = {}
    for node in record_order([loss._node]):
        for value in node.saved or ():
            if isinstance(value, np.ndarray):
                found[id(value)] = weakref.ref(value)
    return list(found.values())


# -- places --------------------------------------------------------------------------------------


def test_steps_and_scopes_nest_and_end():
    w = tg.Parameter([1.0], "w")
    with tg.scope("model"):
        with tg.timestep(1), tg.scope("gate"):
            a = w * 2.0
        with tg.timestep(2):
            b = w * 3.0
        c = w * 4.0
    uses = tg.gradients_of_uses((a + b + c).sum() + w.sum(), w)
    assert [(use.step, use.scopes, use.operation) for use in uses] == [
        (1, ("model", "gate"), "multiply"),
        (2, ("model",), "multiply"),
        (None, ("model",), "multiply"),
        (None, (), "sum"),
    ]
    assert str(a._node.place) == " in timestep 1 in scope model/gate"


def test_settings_end_with_an_exception_and_can_be_used_again():
    setting = tg.no_grad()
    for _ in range(2):
        with pytest.raises(KeyError), setting, setting:
            raise KeyError
        assert (tg.ones(1) * 2.0).recorded
    with setting:
        with setting:
            assert not (tg.ones(1) * 2.0).recorded
        assert not (tg.ones(1) * 2.0).recorded


def test_a_step_is_a_whole_number():
    with pytest.raises(TypeError):
        tg.timestep(1.5)


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (lambda x: x + np.ones(4), r"add in timestep 3: \(2, 3\) and \(4,\) do not broadcast"),
        (
            lambda x: x @ np.ones((4, 4)),
            r"matmul in timestep 3: \(2, 3\) @ \(4, 4\): inner sizes 3 and 4 differ",
        ),
        (lambda x: x.reshape(4), r"reshape in timestep 3: .*\(2, 3\)"),
        (
            lambda x: tg.concatenate([x, tg.ones(2)]),
            r"concatenate in timestep 3: .*\(2, 3\).*\(2,\)",
        ),
        (lambda x: tg.stack([x, x[0]]), r"stack in timestep 3: .*\(2, 3\).*\(3,\)"),
    ],
)
def test_errors_name_the_operation_the_step_and_the_shapes(operation, message):
    x = tg.ones((2, 3))
    with tg.timestep(3), pytest.raises(ValueError, match=message):
        operation(x)


def test_an_error_in_an_unrolled_cell_names_its_step():
    class Shrinking(tg.Cell):
        def step(self, x, s):
            s = s @ np.ones((3, 3)) if s.shape[1] == 3 else s + x
            return s, s[:, :2]

    with pytest.raises(ValueError, match=r"add in timestep 2: \(1, 2\) and \(1, 3\) do not"):
        tg.unroll(Shrinking(), np.ones((4, 1, 3)), tg.ones((1, 3)))


def test_detect_anomaly_forward():
    x = tg.tensor([0.0, 1.0])
    message = (
        r"log in timestep 7 in scope loss: the result \(shape \(2,\)\) has 1 value that is -inf; "
        "the arguments were finite"
    )
    stops = pytest.raises(FloatingPointError, match=message)
    with tg.detect_anomaly(), tg.timestep(7), tg.scope("loss"), stops:
        tg.log(x)
    with np.errstate(all="ignore"):
        y = tg.log(x) * 0.0
    with (
        tg.detect_anomaly(),
        pytest.raises(FloatingPointError, match=r"add: .* the arguments already had such values"),
    ):
        y + 1.0


# -- threads and tasks ---------------------------------------------------------------------------


def test_threads_keep_their_own_state():
    inside, go_on = threading.Event(), threading.Event()
    seen = {}

    def work():
        seen["at first"] = (current().place.step, current().recording)
        with tg.timestep(9), tg.no_grad():
            inside.set()
            go_on.wait(10)
            seen["inside"] = (current().place.step, (tg.ones(1) * 2.0).recorded)

    with tg.timestep(5):
        thread = threading.Thread(target=work)
        thread.start()
        inside.wait(10)
        w = tg.ones(1)
        assert [use.step for use in tg.gradients_of_uses((w * 2.0).sum(), w)] == [5]
        go_on.set()
        thread.join()
        assert current().place.step == 5
    assert seen == {"at first": (None, True), "inside": (9, False)}


def test_tasks_keep_their_own_state():
    async def work(step, record):
        w, steps = tg.ones(1), []
        with tg.timestep(step):
            await asyncio.sleep(0)
            if record:
                y = w * 2.0
            else:
                with tg.no_grad():
                    await asyncio.sleep(0)
                    assert not (w * 2.0).recorded
                y = w * 3.0
            await asyncio.sleep(0)
            steps += [use.step for use in tg.gradients_of_uses(y.sum(), w)]
        return steps, current().place.step

    async def together():
        return await asyncio.gather(*[work(step, step % 2 == 0) for step in range(6)])

    assert asyncio.run(together()) == [([step], None) for step in range(6)]


# -- blocks that do not end in the order in which they began -------------------------------------


def steps_of(t):
    with tg.timestep(t):
        while True:
            yield current().place.step


def test_interleaved_generators_end_their_own_step_only():
    first, second = steps_of(1), steps_of(2)
    next(first), next(second)
    first.close()
    assert current().place.step == 2
    second.close()
    assert current().place.step is None


def test_interleaved_settings_of_different_kinds():
    def inside(setting):
        with setting:
            yield

    kinds = [tg.timestep(3), tg.scope("a"), tg.no_grad(), tg.detect_anomaly()]

    def seen():
        state = current()
        return (state.place.step, state.place.scopes, state.recording, bool(state.inspectors))

    apart = [(3, ("a",), False, True), (None, (), True, False)]
    for order in itertools.permutations(range(4)):
        blocks = [inside(kind) for kind in kinds]
        for block in blocks:
            next(block)
        assert seen() == apart[0]
        open_still = set(range(4))
        for i in order:
            blocks[i].close()
            open_still.remove(i)
            assert seen() == tuple(apart[i not in open_still][i] for i in range(4))


def test_a_generator_left_half_used_does_not_switch_recording():
    with tg.no_grad():
        left = steps_of(4)
        next(left)
    assert current().recording
    left.close()  # settings of its beginning are not those of now
    assert current().recording
    assert current().place.step is None

    left = steps_of(5)
    next(left)
    with tg.no_grad():
        left.close()
        assert not current().recording
    assert current().recording
    assert current().place.step is None


def test_a_generator_that_ends_in_another_thread_changes_nothing_there():
    left, seen = steps_of(6), []
    contextvars.copy_context().run(next, left)  # its step stays set in there

    def work():
        with tg.timestep(7):
            left.close()
            seen.append(current().place.step)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [7]


def test_one_setting_in_several_threads():
    setting, barrier, seen = tg.no_grad(), threading.Barrier(4), []

    def work():
        with setting:
            barrier.wait(10)
            seen.append(current().recording)
            barrier.wait(10)
        seen.append(current().recording)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [False] * 4 + [True] * 4


def test_settings_are_decorators():
    w = tg.Parameter([2.0], "w")

    @tg.no_grad()
    def value(x, *, scale=1.0):
        """What it says."""
        return x * w * scale

    assert value.__name__ == "value"
    assert value.__doc__ == "What it says."
    assert not value(w, scale=2.0).recorded
    assert (w * 2.0).recorded
    with pytest.raises(TypeError, match="a str"):
        value("x")
    assert current().recording

    @tg.timestep(3)
    @tg.scope("inner")
    def depth(n):
        return depth(n - 1) if n else str(current().place)

    assert depth(1) == " in timestep 3 in scope inner/inner"

    @tg.no_grad()
    async def later():
        await asyncio.sleep(0)
        return current().recording

    assert asyncio.run(later()) is False
    assert current().recording
    with pytest.raises(TypeError, match="@no_grad: rows is a generator"):

        @tg.no_grad()
        def rows():
            yield 1


def test_a_setting_may_be_bound_to_a_name():
    with tg.no_grad() as _:
        assert not (tg.ones(1) * 2.0).recorded
    assert (tg.ones(1) * 2.0).recorded


# -- kept by the record --------------------------------------------------------------------------


def test_a_dropped_loss_frees_its_record_at_once(no_collector):
    cell = tg.LSTMCell(3, 4, rng=0)
    loss = (tg.unroll(cell, np.ones((5, 2, 3))).outputs ** 2).sum()
    arrays, nodes = saved_arrays(loss), [weakref.ref(n) for n in record_order([loss._node])]
    parameters = {p._node for p in cell.parameters().values()}
    assert len(arrays) > 20
    del loss
    alive = [ref() for ref in nodes if ref() is not None]
    assert set(alive) == parameters
    kept = {id(p._value) for p in cell.parameters().values()}
    assert {id(ref()) for ref in arrays if ref() is not None} <= kept


def test_a_record_of_a_record_is_freed_too(no_collector):
    x = tg.tensor([1.0, 2.0])
    loss = (x * x * x).sum()
    first = tg.gradients(loss, x, create_graph=True)
    nodes = [weakref.ref(n) for n in record_order([first._node])]
    tg.gradients(first.sum(), x)
    del loss, first
    assert [ref() for ref in nodes if ref() is not None] == [x._node]


def test_saved_values_are_freed_by_backward(no_collector):
    cell = tg.ElmanCell(3, 4, rng=0)
    run = tg.unroll(cell, np.ones((5, 2, 3)))
    loss = (run.state**2).sum()
    arrays = saved_arrays(loss)
    del run
    loss.backward(keep_record=True)
    before = sum(ref() is not None for ref in arrays)
    loss.backward()
    kept = [ref() for ref in arrays if ref() is not None]
    assert before == len(arrays)
    assert all(any(k is p._value for p in cell.parameters().values()) for k in kept)
    assert all(node.saved is None for node in record_order([loss._node]))


def test_a_second_backward_says_what_to_do():
    x = tg.tensor([1.0])
    with tg.timestep(2):
        y = tg.tanh(x)
    y.sum().backward()
    with pytest.raises(
        RuntimeError,
        match=r"tanh in timestep 2: this record was differentiated before.*keep_record=True",
    ):
        y.sum().backward()


def test_an_interrupted_backward_says_so():
    fails = [KeyboardInterrupt, ZeroDivisionError]

    def pull(g):
        if fails:
            raise fails.pop()
        return g

    once = tg.custom.general("once", lambda x: x.copy(), pull, lambda t: t)
    x = tg.tensor([1.0])
    with tg.timestep(1):
        early = tg.tanh(x)
    with tg.timestep(2):
        loss = tg.exp(once(early)).sum()
    with pytest.raises(ZeroDivisionError):
        tg.gradients(loss, x, keep_record=True)
    with pytest.raises(KeyboardInterrupt):  # nothing was freed by the first
        loss.backward()
    for again in (loss.backward, lambda: tg.gradients(loss, x)):
        with pytest.raises(
            RuntimeError,
            match=r"sum in timestep 2: an exception interrupted an earlier sweep.*record the loss",
        ):
            again()
    early.sum().backward()  # the rest is as it was
    np.testing.assert_allclose(x.grad, 1 - np.tanh(1.0) ** 2, rtol=1e-6)
    with pytest.raises(RuntimeError, match="tanh in timestep 1: this record was differentiated"):
        early.sum().backward()


def test_an_elman_step_keeps_one_array():
    T, B, H = 200, 32, 256
    cell = tg.ElmanCell(8, H, rng=0)
    xs = np.ones((T, B, 8), np.float32)
    state = cell.initial_state(B)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    run = tg.unroll(cell, xs, state)
    loss = run.state.sum()
    del run
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert kept / (T * B * H * 4) <= 1.4
    loss.backward()
    assert cell.W.grad.any()


@pytest.mark.parametrize(
    "cell", [tg.ElmanCell(3, 4, rng=0), tg.LSTMCell(3, 4, rng=0)], ids=["one", "tuple"]
)
def test_a_detached_state_keeps_nothing_alive_and_passes_no_gradient(cell, no_collector):
    xs = np.ones((3, 2, 3))
    first = tg.unroll(cell, xs)
    state = first.state
    outer = weakref.ref(state[0]._node if isinstance(state, tuple) else state._node)
    early = cell.initial_state(2)
    first = tg.unroll(cell, xs, early)
    cut = tg.tree.map_leaves(lambda s: s.detach(), first.state)
    assert type(cut) is type(state)
    nodes = [weakref.ref(part._node) for part in tg.tree.leaves(first.state)]
    loss = (tg.unroll(cell, xs, cut).outputs ** 2).sum()
    for part in tg.tree.leaves(early):
        np.testing.assert_array_equal(tg.gradients(loss, part, keep_record=True), np.zeros((2, 4)))
    for part in tg.tree.leaves(cut):  # the beginning of the second part has a gradient
        assert tg.gradients(loss, part, keep_record=True).any()
    assert outer() is not None
    del state, first
    assert outer() is None
    assert [ref() for ref in nodes] == [None] * len(nodes)
    loss.backward()


# -- depth and order -----------------------------------------------------------------------------


def test_a_million_operations_in_a_row():
    x = tg.tensor(np.ones(1))
    y = x
    for _ in range(1_000_000):
        y = y * 1.0000001
    last = weakref.ref(y._node)
    np.testing.assert_allclose(tg.gradients(y, x), [1.0000001**1_000_000], rtol=1e-9)
    del y
    assert last() is None  # freed, without exhausting the C stack


def test_results_do_not_depend_on_hash_seeds():
    program = (
        "import numpy as np, tinygrad_rnn as tg\n"
        "cell = tg.GRUCell(3, 4, rng=0)\n"
        "loss = (tg.unroll(cell, np.ones((6, 2, 3))).outputs ** 2).sum()\n"
        "uses = tg.gradients_of_uses(loss, cell.W, keep_record=True)\n"
        "print([(u.step, u.operation, u.gradient.tobytes().hex()) for u in uses])\n"
        "print([g.tobytes().hex() for g in tg.gradients(loss, list(cell.parameters().values()))])\n"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(said) == 1
    assert "matmul" in said.pop()


def test_a_decorator_without_parentheses_is_answered():
    with pytest.raises(TypeError, match=r"decorator is @tg\.no_grad\(\)$"):

        @tg.no_grad
        def f():
            pass
