"""Functions that no program and no equation describes are refused: with the line, and a substitute.

Every case is a step of a cell. `trace` and `derive` are to say the same of it.
"""

import collections
import copy
import functools
import inspect
import random
import re
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.equations import derive
from tinygrad_rnn.graph import current
from tinygrad_rnn.outside import COPIED_BYTES, Outside, reached
from tinygrad_rnn.unroll import unroll

H = 3
HERE = Path(__file__)
GENERATOR = np.random.default_rng(3)
KEPT: list[Any] = []
TABLE: dict[str, Any] = {}
BUFFER = np.zeros(4)
COUNT = 0


class Inner(tg.Cell):
    """A cell inside another, with something to change."""

    total = 0

    def __init__(self) -> None:
        self.W = tg.Parameter(np.eye(H))
        self.t = 0
        self.last: Any = None
        self.rng = np.random.default_rng(0)

    def step(self, x: Any, s: Any) -> Any:
        self.t += 1
        return s, s @ self.W + x


class Stepping(tg.Cell):
    """A step that is given."""

    def __init__(self, own: Any) -> None:
        self.W = tg.Parameter(np.random.default_rng(0).normal(size=(H, H)))
        self.hidden_size = self.input_size = H
        self.t = 0
        self.last: Any = None
        self.seen: list[Any] = []
        self.named = {"s": 1}
        self.rng = np.random.default_rng(0)
        self.counts = np.zeros(2)
        self.inner = Inner()
        self._own = own

    def step(self, x: Any, s: Any) -> Any:
        return self._own(self, x, s)


def both(s: Any) -> Any:
    return s, s


def refusals(own: Any) -> list[str]:
    """The errors of `trace` and `derive`, and whether both left the cell as it was."""
    said = []
    for look in (lambda c: tg.trace(c, np.ones((2, H))), derive):
        cell = Stepping(own)
        state = as_is(cell)
        with pytest.raises(TypeError) as caught:
            look(cell)
        assert as_is(cell) == state
        said.append(str(caught.value))
    return said


def as_is(cell: Any) -> list[Any]:
    """All that may change in a cell, around it, and in the recording state."""
    nodes = [(p._node, p._node.stale, id(p._value), p.version) for p in cell.parameters().values()]
    own = [cell.t, cell.last, list(cell.seen), dict(cell.named), cell.counts.tolist()]
    inner = [cell.inner.t, cell.inner.last, Inner.total]
    drawn = [repr(g.bit_generator.state) for g in (cell.rng, cell.inner.rng, GENERATOR)]
    shared = [random.getstate(), repr(np.random.get_state())]  # noqa: NPY002
    names = [list(KEPT), dict(TABLE), BUFFER.tolist(), COUNT]
    return [nodes, own, inner, drawn, shared, names, current()]


def line_of(own: Any, mark: str) -> str:
    """The line of this file that holds the mark, as a message names it."""
    code = inspect.unwrap(own).__code__
    lines = HERE.read_text().splitlines()
    number = next(k for k in range(code.co_firstlineno, len(lines) + 1) if mark in lines[k - 1])
    return f"test_refusals.py, line {number}: `{lines[number - 1].strip()}`"


# -- steps that change something -----------------------------------------------------------------


def counts(c: Any, x: Any, s: Any) -> Any:
    s = s @ c.W + x
    c.t += 1
    return both(s)


def remembers(c: Any, x: Any, s: Any) -> Any:
    c.last = s @ c.W + x
    return both(c.last)


def appends(c: Any, x: Any, s: Any) -> Any:
    c.seen.append(
        tg.tanh(s),
    )
    return both(s @ c.W + x)


def fills_a_dict(c: Any, x: Any, s: Any) -> Any:
    c.named["s"] = s
    return both(s @ c.W + x)


def writes_into_an_array(c: Any, x: Any, s: Any) -> Any:
    c.counts[1] += 1
    return both(s @ c.W + x)


def changes_a_nested_cell(c: Any, x: Any, s: Any) -> Any:
    return c.inner.step(x, s)


def sets_in_a_nested_cell(c: Any, x: Any, s: Any) -> Any:
    c.inner.last = x
    return both(s @ c.W + x)


def counts_in_the_class(c: Any, x: Any, s: Any) -> Any:
    type(c.inner).total += 1
    return both(s @ c.W + x)


def changes_a_global_list(c: Any, x: Any, s: Any) -> Any:
    KEPT.append(1)
    return both(s @ c.W + x)


def changes_a_global_dict(c: Any, x: Any, s: Any) -> Any:
    TABLE[f"k{len(TABLE)}"] = 1
    return both(s @ c.W + x)


def changes_a_global_array(c: Any, x: Any, s: Any) -> Any:
    BUFFER[0] += 1
    return both(s @ c.W + x)


def rebinds_a_global(c: Any, x: Any, s: Any) -> Any:
    global COUNT  # noqa: PLW0603
    COUNT += 1
    return both(s @ c.W + x)


def helper() -> None:
    KEPT.append(2)


def changes_in_a_helper(c: Any, x: Any, s: Any) -> Any:
    c.last = helper()
    return both(s @ c.W + x)


def keeps_in_itself(c: Any, x: Any, s: Any) -> Any:
    keeps_in_itself.calls = getattr(keeps_in_itself, "calls", 0) + 1  # type: ignore[attr-defined]
    return both(s @ c.W + x)


def assigns(c: Any, x: Any, s: Any) -> Any:
    c.W.assign(np.eye(H))
    return both(s @ c.W + x)


def assigns_in_a_nested_cell(c: Any, x: Any, s: Any) -> Any:
    c.inner.W.assign(np.eye(H))
    return both(s @ c.W + x)


def closing() -> Any:
    n = 0
    queue: Any = collections.deque()

    def rebinds_a_nonlocal(c: Any, x: Any, s: Any) -> Any:
        nonlocal n
        n += 1
        return both(s @ c.W + x)

    def changes_a_nonlocal(c: Any, x: Any, s: Any) -> Any:
        queue.appendleft(s)
        return both(s @ c.W + x)

    return rebinds_a_nonlocal, changes_a_nonlocal


REBINDS, CHANGES = closing()


def once_only(c: Any, x: Any, s: Any) -> Any:
    if c.last is None:
        c.last = tg.tanh(c.W)
    return both(s @ c.last + x)


CHANGED = [
    (counts, "c.t += 1", "self.t"),
    (remembers, "c.last =", "self.last"),
    (appends, "c.seen.append", "self.seen"),
    (fills_a_dict, "c.named[", "self.named['s']"),
    (writes_into_an_array, "c.counts[1]", "self.counts"),
    (changes_a_nested_cell, None, "self.inner.t"),
    (sets_in_a_nested_cell, "c.inner.last", "self.inner.last"),
    (counts_in_the_class, "total += 1", "Inner.total"),
    (changes_a_global_list, "KEPT.append", "KEPT"),
    (changes_a_global_dict, "TABLE[", "TABLE['k1']"),
    (changes_a_global_array, "BUFFER[0]", "BUFFER"),
    (rebinds_a_global, "COUNT += 1", "COUNT"),
    (changes_in_a_helper, None, "KEPT"),
    (keeps_in_itself, "getattr", "self._own.calls"),
    (REBINDS, "n += 1", "n"),
    (CHANGES, "queue.appendleft", "queue"),
    (once_only, "c.last = tg", "self.last"),
    (assigns, "c.W.assign", "self.W"),
    (assigns_in_a_nested_cell, "c.inner.W", "self.inner.W"),
]


@pytest.mark.parametrize(("own", "mark", "name"), CHANGED, ids=lambda v: getattr(v, "__name__", ""))
def test_a_change_of_something_outside(own, mark, name):
    line = line_of(own, mark) if mark else None
    if own is changes_a_nested_cell:
        line = line_of(Inner.step, "self.t += 1")
    if own is changes_in_a_helper:
        line = line_of(helper, "KEPT.append")
    for said in refusals(own):
        assert said == (
            f"Stepping.step: {line} changes {name}, which outlives the call. A program has no "
            "memory: carry it in the state"
        )


# -- random numbers ------------------------------------------------------------------------------


def draws_from_its_own(c: Any, x: Any, s: Any) -> Any:
    return both((s @ c.W) * c.rng.normal(size=H) + x)


def draws_from_a_nested_cells(c: Any, x: Any, s: Any) -> Any:
    noise = c.inner.rng.normal(size=H)
    return both(s @ c.W + x * noise)


def draws_from_a_global(c: Any, x: Any, s: Any) -> Any:
    return both(s @ c.W if GENERATOR.random() < 0.5 else x + s @ c.W)


def draws_from_numpy(c: Any, x: Any, s: Any) -> Any:
    return both(s @ c.W + x * np.random.normal())  # noqa: NPY002


def draws_from_python(c: Any, x: Any, s: Any) -> Any:
    return both(s @ c.W + x * random.random())


def draws_unseeded(c: Any, x: Any, s: Any) -> Any:
    noise = np.random.default_rng().normal(size=H)
    return both(s @ c.W + x * noise)


@pytest.mark.parametrize(
    ("own", "mark", "name"),
    [
        (draws_from_its_own, "c.rng", "self.rng"),
        (draws_from_a_nested_cells, "c.inner.rng", "self.inner.rng"),
        (draws_from_a_global, "GENERATOR", "GENERATOR"),
        (draws_from_numpy, "np.random", "np.random"),
        (draws_from_python, "random.random", "random"),
    ],
)
def test_random_numbers(own, mark, name):
    for said in refusals(own):
        assert said == (
            f"Stepping.step: {line_of(own, mark)} draws random numbers from {name}. A program "
            "gives the same for the same values: draw outside and give it as part of x"
        )


def test_random_numbers_of_a_generator_that_nobody_reaches():
    for said in refusals(draws_unseeded):
        assert line_of(draws_unseeded, "x * noise") in said
        assert "gives multiply another constant of shape (3,) each time: random numbers" in said
        assert said.endswith("Draw or compute them outside the function and give it as part of x")


def test_a_seed_that_is_the_same_every_time_is_a_constant():
    def own(c: Any, x: Any, s: Any) -> Any:
        return both(s @ c.W + x * np.random.default_rng(0).normal(size=H))

    wanted = Stepping(own).step(np.ones((2, H)), np.ones((2, H)))[0]
    program = tg.trace(Stepping(own), np.ones((2, H)), np.ones((2, H)))
    np.testing.assert_array_equal(program.compile()(*program.like)[0], wanted.numpy())


# -- looks, operations, sizes --------------------------------------------------------------------


def branches(c: Any, x: Any, s: Any) -> Any:
    if (x > 0).any():
        s = tg.tanh(s)
    return both(s @ c.W + x)


def detaches(c: Any, x: Any, s: Any) -> Any:
    return both(s @ c.W + x.detach())


def takes_a_number(c: Any, x: Any, s: Any) -> Any:
    return both(s @ c.W * float(x.sum()))


def drops(c: Any, x: Any, s: Any) -> Any:
    return both(tg.dropout(s @ c.W + x, 0.5, c.rng))


def calls_numpy(c: Any, x: Any, s: Any) -> Any:
    return both(s @ c.W + np.tanh(x.numpy()))


@pytest.mark.parametrize(
    ("own", "mark", "how", "instead"),
    [
        (branches, "if (x", "`if`, `while`", "use tg.where for a choice per entry"),
        (detaches, "detach()", ".detach()", "write tg.stop_gradient(x), which is recorded"),
        (takes_a_number, "float(", "float()", "use tg.where"),
        (drops, "dropout", "a random draw", "draw a mask outside and give it as an input"),
        (calls_numpy, "np.tanh", ".numpy()", "use tg.where"),
    ],
)
def test_a_look_at_a_value(own, mark, how, instead):
    for said in refusals(own):
        start = f"Stepping.step: {line_of(own, mark)} looks at the value of a traced tensor"
        assert said.startswith(f"{start} through {how}")
        assert instead in said


def derived(own: Any) -> str:
    cell = Stepping(own)
    state = as_is(cell)
    with pytest.raises(TypeError) as caught:
        derive(cell)
    assert as_is(cell) == state
    return str(caught.value)


def one_more_for_large_batches(c: Any, x: Any, s: Any) -> Any:
    if len(x) > 8:
        s = tg.tanh(s)
    return both(s @ c.W + x)


def one_more_for_one_batch(c: Any, x: Any, s: Any) -> Any:
    s = s @ c.W + x
    if len(x) == 29:
        s = tg.tanh(s)
    return both(s)


def another_for_large_batches(c: Any, x: Any, s: Any) -> Any:
    a = s @ c.W + x
    if len(x) < 8:
        return both(tg.tanh(a))
    return both(tg.sigmoid(a))


def other_values_for_large_batches(c: Any, x: Any, s: Any) -> Any:
    a = s @ c.W
    b = a + x
    return both(tg.tanh(b if len(x) > 8 else a) + b)


SAME = "A program does the same for all values and batch sizes: use tg.where"


def test_operations_that_change_with_the_batch():
    own = one_more_for_large_batches
    where = line_of(own, "s = tg.tanh")
    assert derived(own).startswith(
        f"Stepping.step: {where} computes tanh for a batch of 11 only. {SAME}"
    )
    own = one_more_for_one_batch
    where = line_of(own, "s = tg.tanh")
    assert derived(own).startswith(
        f"Stepping.step: {where} computes tanh for a batch of 29 only. {SAME}"
    )
    own = another_for_large_batches
    assert derived(own).startswith(
        f"Stepping.step: {line_of(own, 'tg.tanh')} computes tanh for a batch of 7, and "
        f"{line_of(own, 'tg.sigmoid')} computes sigmoid for a batch of 11. {SAME}"
    )
    own = other_values_for_large_batches
    assert derived(own).startswith(
        f"Stepping.step: {line_of(own, 'tg.tanh')} applies tanh to another value for a batch of 7 "
        f"than for a batch of 11. {SAME}"
    )


def odd_size(c: Any, x: Any, s: Any) -> Any:
    a = s @ c.W + x
    half = a[::2]  # of 7 examples four, of 11 six
    return both(a + tg.sum(half, 0))


def odd_constant(c: Any, x: Any, s: Any) -> Any:
    return both(s @ c.W + x / np.sqrt(len(x)))


def odd_array(c: Any, x: Any, s: Any) -> Any:
    return both(s @ c.W + x * np.linspace(0, 1, len(x))[:, None])


@pytest.mark.parametrize(
    ("own", "mark", "message"),
    [
        (odd_size, "half =", "sizes (4 and 6 for batches of 7 and 11) that do not grow evenly"),
        (odd_constant, "np.sqrt", "gives divide another constant for other values or batch sizes"),
        (odd_array, "linspace", "gives multiply another constant for other values or batch sizes"),
    ],
)
def test_sizes_and_constants_that_change_with_the_batch_otherwise(own, mark, message):
    said = derived(own)
    assert said.startswith(f"Stepping.step: {line_of(own, mark)} ")
    assert message in said
    assert "write it with tg's operations, or compute it outside the step" in said


def test_a_program_is_for_the_shapes_that_it_was_traced_with():
    program = tg.trace(lambda x: x * 2, np.ones((2, 3)))
    for call in (program, program.compile()):
        with pytest.raises(
            ValueError, match=r"traced with x of shape \(2, 3\), given \(4, 3\); tr"
        ):
            call(np.ones((4, 3)))


# -- results -------------------------------------------------------------------------------------


def gives_an_array(c: Any, x: Any, s: Any) -> Any:
    return np.zeros((2, H)), s @ c.W + x


def gives_a_state_of_arrays(c: Any, x: Any, s: Any) -> Any:
    return s @ c.W + x, np.zeros((2, H))


def gives_a_float_deep_inside(c: Any, x: Any, s: Any) -> Any:
    return {"a": (s @ c.W + x, 1.0)}, s


def gives_what_is_not_recorded(c: Any, x: Any, s: Any) -> Any:
    with tg.no_grad():
        return s @ c.W + x, s


def gives_no_pair(c: Any, x: Any, s: Any) -> Any:
    return s @ c.W + x


def gives_bit_by_bit(c: Any, x: Any, s: Any) -> Any:
    yield s @ c.W + x


def gives_a_longer_state(c: Any, x: Any, s: Any) -> Any:
    return s @ c.W + x, (s, s)


INSTEAD = (
    "which is not recorded; compute it from the inputs with tg's operations, outside no_grad(), "
    "or, if it is a constant, return tg.tensor(...) of it"
)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (gives_an_array, f"the output is a NumPy array of shape (2, 3), {INSTEAD}"),
        (gives_a_state_of_arrays, f"the new state is a NumPy array of shape (2, 3), {INSTEAD}"),
        (gives_a_float_deep_inside, f"the output at a.1 is a float, {INSTEAD}"),
        (
            gives_what_is_not_recorded,
            f"the output is a tensor made under no_grad() or from constants only, {INSTEAD}",
        ),
        (gives_no_pair, "wanted a pair (output, state), given Tensor"),
        (gives_bit_by_bit, "wanted a pair (output, state), given generator"),
        (gives_a_longer_state, "the state went in with 1 tensor and came out with 2"),
    ],
)
def test_results_that_are_not_recorded(own, message):
    assert refusals(own) == [f"Stepping.step: {message}"] * 2


# -- functions -----------------------------------------------------------------------------------


def test_functions_say_what_to_write_for_functions():
    def appends(x):
        KEPT.append(x)
        return x * 2

    with pytest.raises(TypeError) as caught:
        tg.trace(appends, np.ones(2))
    assert str(caught.value).endswith(
        f"{line_of(appends, 'KEPT')} changes KEPT, which outlives the call. A program has no "
        "memory: give the old value as an argument and return the new one"
    )
    assert KEPT == []
    for f, where in ((lambda x: (x, 1.0), "the result at 1 is a float"), (lambda x: None, "the r")):
        with pytest.raises(TypeError, match=rf"<lambda>: {where}.*return tg\.tensor"):
            tg.trace(f, np.ones(2))


def test_lambdas_partials_methods_and_callable_objects():
    rng = np.random.default_rng(0)
    noisy = lambda x: x * rng.normal()  # noqa: E731

    class Model:
        def __init__(self):
            self.n = 0

        def run(self, x):
            self.n += 1
            return x * 2

        __call__ = run

    model = Model()
    for f, mark, message in (
        (noisy, "rng.normal()", "draws random numbers from rng"),
        (functools.partial(noisy), "rng.normal()", "draws random numbers from rng"),
        (model.run, "self.n += 1", "changes self.n"),
        (model, "self.n += 1", "changes self.n"),
        (functools.partial(model.run), "self.n += 1", "changes"),
    ):
        with pytest.raises(TypeError, match=message) as caught:
            tg.trace(f, np.ones(2))
        line = line_of(Model.run if "self" in mark else noisy, mark)
        assert line in str(caught.value)
    assert model.n == 0


def test_functions_without_source():
    scope: dict[str, Any] = {"np": np, "kept": [], "tg": tg}
    source = "def draws(x):\n    return x * np.random.normal()\n"
    source += "def appends(x):\n    kept.append(x)\n    return x * 2\n"
    source += "def looks(x):\n    return x if x.sum() > 0 else -x\n"
    source += "def fine(x):\n    return tg.tanh(x)\n"
    exec(source, scope)
    for name, line, message in (
        ("draws", 2, "draws random numbers"),
        ("appends", 4, "changes kept"),
        ("looks", 7, "looks at the value"),
    ):
        with pytest.raises(TypeError, match=rf"^{name}: <string>, line {line} {message}"):
            tg.trace(scope[name], np.ones(2))
    assert len(tg.trace(scope["fine"], np.ones(2)).equations) == 1
    assert scope["kept"] == []


def test_a_generator_is_no_result():
    def f(x):
        yield x * 2

    with pytest.raises(TypeError, match="the result is a generator, which is not recorded"):
        tg.trace(f, np.ones(2))


def test_arguments_of_operations_that_change():
    shifts = iter([1, 2, 0])

    def f(x):
        return tg.roll(x, next(shifts))

    with pytest.raises(TypeError) as caught:
        tg.trace(f, np.ones(3))
    assert line_of(f, "tg.roll") in str(caught.value)
    assert re.search(r"gives roll another .* each time \(.*\)", str(caught.value))


def test_an_operation_that_is_declared_anew():
    def f(x):
        return tg.custom.elementwise("bend", lambda v: v * v, lambda v: 2 * v)(x)

    with pytest.raises(TypeError, match="declares bend anew in every call; declare it outside"):
        tg.trace(f, np.ones(3))


@pytest.mark.parametrize("transform", [tg.checkpoint, tg.vmap])
def test_a_call_that_runs_a_function_is_no_operation(transform):
    inner = transform(lambda x: tg.tanh(x) * x)

    def f(x):
        return inner(x) + 1

    with pytest.raises(TypeError) as caught:
        tg.trace(f, np.ones((2, 3)))
    said = f"{line_of(f, 'inner(x)')} calls tg.{transform.__name__}, which runs a function"
    assert said in str(caught.value)


def test_a_package_beside_this_one_is_the_users(tmp_path, monkeypatch):
    folder = tmp_path / "tinygrad_rnn_cells"
    folder.mkdir()
    (folder / "mine.py").write_text("def look(x):\n    return x if x.sum() > 0 else -x\n")
    monkeypatch.syspath_prepend(folder)
    import mine

    with pytest.raises(TypeError, match=r"mine\.py, line 2: `return x if"):
        tg.trace(mine.look, np.ones(2))


# -- allowed -------------------------------------------------------------------------------------


def test_what_is_made_once_and_kept_is_no_change():
    def own(c: Any, x: Any, s: Any) -> Any:
        if c.last is None:
            c.last = np.tri(H)
        return both(s @ (c.W * c.last) + x)

    cell = Stepping(own)
    assert len(tg.trace(cell, np.ones((2, H))).equations) == 3
    derive(cell)


def test_a_state_that_the_step_writes_into_is_its_own():
    class Dicts(tg.Cell):
        def initial_state(self, batch_size: int) -> Any:
            return {"s": tg.zeros((batch_size, H))}

        def step(self, x: Any, state: Any) -> Any:
            state["s"] = state["s"] + x
            return state["s"], state

    assert len(tg.trace(Dicts(), np.ones((2, H))).equations) == 1


def test_values_that_nothing_else_keeps_are_constants():
    def f(x):
        return x + tg.tensor(np.full(3, 2.0))

    np.testing.assert_array_equal(tg.trace(f, np.ones(3)).compile()(np.ones(3)), [3.0, 3.0, 3.0])


# -- errors of the user's own, and the way everything is afterwards ------------------------------


def raises(c: Any, x: Any, s: Any) -> Any:
    c.t += 1
    c.seen.append(s)
    tg.timestep(7).__enter__()
    tg.no_grad().__enter__()
    raise ZeroDivisionError("of my own")


@pytest.mark.parametrize("look", [lambda c: tg.trace(c, np.ones((2, H))), derive])
def test_an_error_of_the_users_own_comes_through(look):
    cell = Stepping(raises)
    with tg.timestep(3), tg.no_grad():
        state = as_is(cell)
        with pytest.raises(ZeroDivisionError, match="of my own") as caught:
            look(cell)
        assert caught.traceback[-1].name == "raises"
        assert as_is(cell) == state
    assert current().recording
    assert current().place.step is None


def test_tracing_records_whatever_is_set_outside():
    with tg.no_grad(), tg.timestep(4):
        assert len(tg.trace(tg.ElmanCell(3, 4, rng=0), np.ones((2, 3))).equations) > 3
        assert "tanh" in derive(tg.ElmanCell(3, 4)).unicode()


def test_anomalies_are_found_inside_a_traced_function():
    def f(x):
        with tg.detect_anomaly():
            return tg.log(x - x)

    with pytest.raises(FloatingPointError, match="log: the result"):
        tg.trace(f, np.ones(2))


# -- the reach of a function ---------------------------------------------------------------------


class Slots:
    __slots__ = ("kept",)


class Pair(NamedTuple):
    a: Any
    b: Any


def test_everything_is_put_back():
    held, pair = Slots(), Pair([1], {2})
    held.kept = 1
    large = np.zeros(COPIED_BYTES // 8 + 1)
    small, objects = np.zeros(3), np.array([None, 1], object)
    queue = collections.deque([1, 2])
    rng, old = np.random.default_rng(0), np.random.RandomState(0)

    class Model:
        limit = 1

    model = Model()
    everything = {
        "held": held, "pair": pair, "small": small, "large": large, "objects": objects,
        "queue": queue, "rng": rng, "old": old, "model": model, "python": random.Random(0),
    }  # fmt: skip
    outside = Outside(everything)
    assert outside.changes() == []
    first = (rng.normal(), old.normal())
    held.kept = 2
    pair.a.append(3)
    pair.b.clear()
    small[1] = large[-1] = 5
    objects[0] = 7
    queue.rotate()
    Model.limit = 2
    model.new = 3
    everything["python"].random()
    assert sorted({c.name for c in outside.changes()}) == [
        "Model.limit", "held.kept", "large", "model.new", "objects", "old", "pair[0]", "pair[1]",
        "python", "queue", "rng", "small",
    ]  # fmt: skip
    outside.put_back()
    assert [c.name for c in outside.changes()] == ["large"]  # too large for a copy
    assert (rng.normal(), old.normal()) == first


def test_code_of_libraries_is_not_followed():
    def f(x):
        return copy.deepcopy(x), deepcopy(x), np.linalg.norm(x), Path(x), unroll(x, x)

    names = [name for name, _ in reached({"f": f})]
    assert {"f", "deepcopy", "unroll"} <= set(names)
    assert deepcopy.__globals__["_deepcopy_dispatch"] not in [v for _, v in reached({"f": f})]
    assert len(names) < 15


def test_class_numbers_are_looked_at_where_nothing_records_them():
    scores, ids = np.zeros((2, 3)), np.array([0, 2])
    for f, instead in (
        (lambda i, x: tg.take(x, i, axis=0), "tg.embedding(i, x) for rows"),
        (lambda i, x: x[i], "tg.embedding(i, x) for rows"),
        (lambda i, x: x[x > 0], "tg.where for a mask"),
        (lambda i, x: tg.cross_entropy(x, i), "give the rows of tg.one_hot as targets"),
    ):
        with pytest.raises(tg.ValueDependenceError) as caught:
            tg.trace(f, ids, scores)
        assert instead in re.sub("`.lambda.*`", "", str(caught.value))  # the line has it too


def test_class_numbers_of_one_hot_are_recorded():
    scores = np.arange(6.0).reshape(2, 3)
    program = tg.trace(lambda i, x: tg.one_hot(i, 2) @ x, np.array([0, 1]), scores)
    assert np.array_equal(program.compile()(np.array([1, 1]), scores), scores[[1, 1]])
