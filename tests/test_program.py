"""Programs: traced, compiled and pulled back, they give the values of eager code, or refuse."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import pytest
from operator_table import ALL, PLAIN

import tinygrad_rnn as tg

RANDOM = {"dropout"}
TRACED = [c for c in ALL if c.name not in PLAIN | RANDOM and c.arrays()]


def flat(result: Any) -> list[Any]:
    return tg.tree.leaves(list(result) if isinstance(result, tuple) else result)


def placeholders(call: Any) -> list[Any]:
    # the table's arrays, away from kinks; an integer index stays in the call
    return [np.asarray(a, np.float64) for a in call.arrays()]


@pytest.mark.parametrize("call", TRACED, ids=repr)
def test_a_compiled_program_is_the_operator(call):
    arrays = placeholders(call)
    program = tg.trace(lambda *given: call(*given), *arrays)
    eager = flat(call(*arrays))
    for found in (program.compile()(*arrays), program(*arrays)):
        for f, e in zip(flat(found), eager, strict=True):
            np.testing.assert_allclose(f, e, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("call", [c for c in TRACED if c.name not in ("argsort",)], ids=repr)
def test_a_pulled_back_program_gives_the_gradients(call):
    arrays = placeholders(call)
    tensors = [tg.tensor(a) for a in arrays]
    ys = [y for y in flat(call(*tensors)) if y.dtype.kind == "f"]
    if not ys:
        return  # truth values: nothing flows back
    gs = [np.cos(np.arange(y.size)).reshape(y.shape) for y in ys]
    wanted = tg.gradients(ys, tensors, gs)
    program = tg.trace(lambda *given: call(*given), *arrays).pullback()
    for f, w in zip(program.compile()(*arrays, *gs), wanted, strict=True):
        np.testing.assert_allclose(f, w, rtol=1e-12, atol=1e-12)


class Own(tg.Cell):
    """A step with a custom operation, a comparison and a state of two parts."""

    bend = tg.custom.elementwise(
        "bend",
        lambda v, k=2.0: v / (1 + k * v * v),
        lambda v, k: (1 - k * v * v) / (1 + k * v * v) ** 2,
    )

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.W = tg.Parameter(rng.normal(size=(3, 3)))
        self.theta = tg.Parameter(rng.normal(size=3))

    def initial_state(self, batch_size: int) -> Any:
        return {
            "s": tg.zeros((batch_size, 3), "s_0", np.float64),
            "n": tg.zeros((batch_size, 3), "n_0", np.float64),
        }

    def step(self, x: Any, state: Any) -> Any:
        a = (x + state["s"] @ self.W).named("a")
        s = tg.where(a > self.theta, Own.bend(a, k=1.5), 0.2 * a)
        return s * state["n"], {"s": s, "n": state["n"] * 0.5 + s}


CELLS = {
    "elman": lambda: tg.ElmanCell(3, 4, rng=0, dtype=np.float64),
    "lstm": lambda: tg.LSTMCell(3, 4, rng=0, dtype=np.float64),
    "gru": lambda: tg.GRUCell(3, 4, rng=0, dtype=np.float64),
    "own": Own,
}


@pytest.mark.parametrize("name", CELLS)
def test_one_step_of_a_cell(name):
    cell = CELLS[name]()
    x = np.random.default_rng(1).normal(size=(2, 3))
    state = tg.tree.map_leaves(lambda s: s + 0.3, cell.initial_state(2))
    program = tg.trace(cell, x, state)
    names = [v.name for v in program.inputs]
    assert names[: len(cell.parameters())] == list(cell.parameters())
    given = [p.numpy() for p in cell.parameters().values()] + [x]
    given += [s.numpy() for s in tg.tree.leaves(state)]
    tensors = [tg.tensor(a) for a in given]
    ends = tg.tree.leaves(program(*tensors))
    for f, e in zip(
        tg.tree.leaves(program.compile()(*given)), tg.tree.leaves(cell.step(x, state)), strict=True
    ):
        np.testing.assert_allclose(f, e.numpy(), rtol=1e-13, atol=1e-13)
    gs = [np.cos(np.arange(o.size)).reshape(o.shape) for o in ends]
    wanted = tg.gradients(ends, tensors, gs)
    for f, w in zip(program.pullback().compile()(*given, *gs), wanted, strict=True):
        np.testing.assert_allclose(f, w, rtol=1e-12, atol=1e-13)
    for p in cell.parameters().values():  # the cell is left as it was
        assert p.numpy() is not None
        assert p._node.kind == "parameter"


class Pair(NamedTuple):
    h: Any
    c: Any


@dataclasses.dataclass(frozen=True)
class Frozen:
    h: Any
    rest: Any


def pair_of(x: Any, h: Any, c: Any, W: Any) -> Any:
    c = 0.5 * c + tg.tanh(x + h @ W)
    return tg.sigmoid(c), c


class Structured(tg.Cell):
    """The same step with a state of any structure."""

    def __init__(self, make: Any, parts: Any, dtype: Any) -> None:
        self.W = tg.Parameter(np.random.default_rng(0).normal(size=(3, 3)), "W", dtype)
        self._make, self._parts = make, parts

    def initial_state(self, batch_size: int) -> Any:
        shape = (batch_size, 3)
        return self._make(*(tg.zeros(shape, n, self.dtype) for n in ("h_0", "c_0")))

    def step(self, x: Any, state: Any) -> Any:
        h, c = pair_of(x, *self._parts(state), self.W)
        return {"out": (h, c)}, self._make(h, c)


STRUCTURES: dict[str, Any] = {
    "tuple": (lambda h, c: (h, c), lambda s: s, ["s.0", "s.1"]),
    "list": (lambda h, c: [h, [c]], lambda s: (s[0], s[1][0]), ["s.0", "s.1.0"]),
    "dict": (lambda h, c: {"h": h, "c": c}, lambda s: (s["h"], s["c"]), ["s.h", "s.c"]),
    "namedtuple": (Pair, lambda s: (s.h, s.c), ["s.h", "s.c"]),
    "dataclass": (lambda h, c: Frozen(h, (c,)), lambda s: (s.h, s.rest[0]), ["s.h", "s.rest.0"]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", STRUCTURES)
def test_a_state_of_any_structure(kind, dtype):
    make, parts, names = STRUCTURES[kind]
    cell = Structured(make, parts, dtype)
    x = np.random.default_rng(1).normal(size=(2, 3)).astype(dtype)
    program = tg.trace(cell, x)
    assert [v.name for v in program.inputs] == ["W", "x", *names]
    assert {v.dtype for v in program.inputs} == {np.dtype(dtype)}
    given = [cell.W.numpy(), x, *np.full((2, 2, 3), 0.3, dtype)]
    out, state = program.compile()(*given)
    assert type(state) is type(make(0, 0))
    wanted = cell.step(x, make(*map(tg.tensor, given[2:])))
    assert tg.tree.paths((out, state)) == tg.tree.paths(wanted)
    ends = tg.tree.leaves((out, state))
    for f, w in zip(ends, tg.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(f, w.numpy(), rtol=1e-6)
        assert f.dtype == dtype
    assert tg.tree.paths(program(*map(tg.tensor, given))) == tg.tree.paths(wanted)
    gradients = program.pullback().compile()(*given, *ends)
    assert [(g.shape, g.dtype) for g in gradients] == [(g.shape, g.dtype) for g in given]


class TwoInputs(tg.Cell):
    """Without a parameter, and with an input of two parts: one number each, and a scale."""

    def initial_state(self, batch_size: int) -> Any:
        return tg.zeros((batch_size, 3), "s_0", self.dtype)

    def step(self, x: Any, s: Any) -> Any:
        a, (scale,) = x
        s = tg.tanh(a * scale + s)
        return s, s


def test_an_input_of_several_parts_and_a_cell_without_parameters():
    x = (np.ones((2, 3), np.float32), [np.full((2, 1), 0.5, np.float32)])
    program = tg.trace(TwoInputs(), x)
    assert [(v.name, v.shape) for v in program.inputs] == [
        ("x.0", (2, 3)),
        ("x.1.0", (2, 1)),
        ("s", (2, 3)),
    ]
    wanted = np.tanh(x[0] * x[1][0])
    np.testing.assert_allclose(program.compile()(*program.like)[0], wanted, rtol=1e-6)
    assert [v.shape for v in program.pullback().outputs] == [(2, 3), (2, 1), (2, 3)]


class Letters(tg.Cell):
    """Class numbers in, and the count of ones as a constant."""

    def __init__(self, dtype: Any = np.float64) -> None:
        rng = np.random.default_rng(0)
        self.E = tg.Parameter(rng.normal(size=(5, 3)), "E", dtype)
        self.W = tg.Parameter(rng.normal(size=(3, 3)), "W", dtype)

    def step(self, x: Any, s: Any) -> Any:
        s = tg.tanh(tg.embedding(x, self.E) + s @ self.W) + tg.equal(x, 1)[:, None]
        return s, s


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("x", [[1, 4, 4], [0, 0, 0], [2, 2, 2]], ids=str)
def test_class_numbers_are_inputs_without_derivative(x, dtype):
    cell, x = Letters(dtype), np.array(x)
    program = tg.trace(cell, x)
    assert [v.name for v in program.inputs] == ["E", "W", "x", "s"]
    assert program.inputs[2].dtype == x.dtype
    other = np.array([3, 1, 0])  # others than those it was traced with
    given = [cell.E.numpy(), cell.W.numpy(), other, np.full((3, 3), 0.2, dtype)]
    wanted = cell.step(other, tg.tensor(given[3]))
    tensors = [g if g.dtype.kind == "i" else tg.tensor(g) for g in given]
    recorded = program(*tensors)
    for f, r, w in zip(program.compile()(*given), recorded, wanted, strict=True):
        np.testing.assert_allclose(f, w.numpy(), rtol=1e-6)
        np.testing.assert_allclose(r.numpy(), w.numpy(), rtol=1e-6)
        assert f.dtype == r.dtype == dtype
    gs = list(np.random.default_rng(1).normal(size=(2, 3, 3)).astype(dtype))
    floats = [tensors[0], tensors[1], tensors[3]]
    gradients = tg.gradients(list(recorded), floats, gs, keep_record=True)
    back = program.pullback()
    for f, w in zip(back.compile()(*given, *gs), gradients, strict=True):
        np.testing.assert_allclose(f, w, rtol=1e-5, atol=1e-6)
        assert f.dtype == dtype
    with pytest.raises(ValueError, match="x holds int64, which has no derivative"):
        program.pullback(["x"])


def test_second_derivatives_of_a_program_with_class_numbers():
    program = tg.trace(Letters(), np.array([1, 4, 4]))
    E, W, x, s = program.like

    def loss(E, W, s):
        out, _ = program(E, W, x, s)
        return (out * out).sum()

    tg.check_gradients(loss, E, W, s + 0.1, order=2)


def test_second_derivatives_through_truth_values():
    mask = tg.tensor(np.array([[1.0, -1.0], [2.0, 3.0]])) > 0
    tg.check_gradients(lambda W: tg.tanh(mask @ (W * W)).sum(), np.ones((2, 3)), order=2)


def test_numbers_without_a_dtype_are_floats():
    (x,) = tg.trace(lambda x: tg.tanh(x), 1).inputs
    assert (x.shape, x.dtype) == ((), np.float32)


def test_truth_values_are_inputs():
    program = tg.trace(lambda m, x: tg.where(m, x, 0.0), np.array([True, False]), np.ones(2))
    np.testing.assert_array_equal(program.compile()(np.array([False, True]), np.ones(2)), [0, 1])
    assert len(program.pullback().outputs) == 1


def test_equations_of_the_backward_pass_know_what_they_serve():
    program = tg.trace(lambda x, W: tg.tanh(x @ W) * 2, np.ones((2, 3)), np.ones((3, 2)))
    back = program.pullback()
    served = [e.serves for e in back.equations]
    assert served[:2] == [None, None]  # the forward pass
    assert {s[0] for s in served if s} == {0, 1, 2}
    assert all(s is not None for s in served[2:])
    with pytest.raises(ValueError, match=r"no input 'V'; this program has x, W"):
        program.pullback(["V"])


def test_only_what_is_wanted_is_computed():
    program = tg.trace(lambda x, W: tg.tanh(x @ W), np.ones((2, 3)), np.ones((3, 2)))
    assert len(program.pullback(["x"]).equations) < len(program.pullback().equations)


@pytest.mark.parametrize("given_as", ["tensor", "array", "list of arrays"])
@pytest.mark.parametrize("name", ["elman", "lstm", "gru"])
@pytest.mark.parametrize("t", [1, 2, 4])
def test_a_step_of_a_record(name, t, given_as):
    cell = CELLS[name]()
    data = np.random.default_rng(2).normal(size=(4, 2, 3))
    xs: Any = {"tensor": tg.tensor(data, "xs"), "array": data, "list of arrays": list(data)}
    run = tg.unroll(cell, xs[given_as])
    program = tg.trace(run, step=t)
    before = tg.tree.leaves(run.states[t - 1])
    values = {
        **{p.name: p.numpy() for p in cell.parameters().values()},
        **{s.name or f"s{k}": s.numpy() for k, s in enumerate(before)},
    }
    inputs = [v.name for v in program.inputs]
    assert len(set(inputs)) == len(inputs)
    given = [values.get(n, data[t - 1]) for n in inputs]
    wanted = tg.tree.leaves((run.steps[t - 1], run.states[t]))
    found = program.compile()(*given)
    assert tg.tree.paths(found) == tg.tree.paths((run.steps[t - 1], run.states[t]))
    for f, w in zip(tg.tree.leaves(found), wanted, strict=True):
        np.testing.assert_allclose(f, w.numpy(), rtol=1e-13, atol=1e-13)
    gs = [np.cos(np.arange(w.size)).reshape(w.shape) for w in wanted]
    tensors = [tg.tensor(g) for g in given]
    gradients = tg.gradients(tg.tree.leaves(program(*tensors)), tensors, gs)
    for f, w in zip(program.pullback().compile()(*given, *gs), gradients, strict=True):
        np.testing.assert_allclose(f, w, rtol=1e-12, atol=1e-13)


def test_a_step_that_a_record_does_not_have():
    run = tg.unroll(CELLS["gru"](), np.ones((4, 2, 3)))
    for step in (0, 5, -1):
        with pytest.raises(ValueError, match=f"step={step}; wanted 1 to 4"):
            tg.trace(run, step=step)


def test_values_that_are_used_but_not_given_are_constants():
    w = tg.Parameter(np.array([2.0, 3.0]), "w")
    program = tg.trace(lambda x: x * w + 1, np.ones(2))
    assert "multiply(x, w)" in str(program)
    np.testing.assert_array_equal(program.compile()(np.ones(2)), [3.0, 4.0])


def test_a_matrix_has_a_trace():
    assert tg.trace(np.eye(3)) == 3.0
    assert tg.trace(tg.tensor(np.eye(3))).item() == 3.0


def test_the_largest_entry_marked_by_its_position():
    program = tg.trace(lambda x: x * tg.one_hot(tg.argmax(x), 3), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(program(np.array([3.0, 2.0, 1.0])), [3.0, 0.0, 0.0])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: tg.take(x, tg.argmax(x)),
        lambda x: tg.cross_entropy(x, tg.argmax(x)),
        lambda x: tg.nll(x, tg.argmax(x)),
        lambda x: x if tg.allclose(x, 1) else -x,
        lambda x: x * tg.isclose(x, 1),
        lambda x: tg.choose(tg.argsort(x), [x, x, x], mode="wrap"),
    ],
)
def test_values_that_would_be_baked_in_are_refused(f):
    with pytest.raises(tg.ValueDependenceError, match=r"test_program\.py, line"):
        tg.trace(f, np.array([3.0, 1.0, 2.0]))


def test_a_look_at_what_does_not_depend_on_the_inputs_is_allowed():
    w = tg.Parameter(np.array([2.0]), "w")
    program = tg.trace(lambda x: x * w.numpy()[0] if w.item() > 1 else x, np.ones(2))
    np.testing.assert_array_equal(program(np.ones(2)), [2.0, 2.0])


def test_wrong_number_of_inputs():
    with pytest.raises(TypeError, match=r"takes 1 inputs \(x\), given 2"):
        tg.trace(lambda x: x * 2, np.ones(2))(1, 2)


def test_a_tensor_made_inside_is_a_constant():
    program = tg.trace(lambda x: tg.concatenate([x + tg.zeros(2), tg.ones(1)]), np.ones(2))
    np.testing.assert_array_equal(program(np.array([1.0, 2.0])), [1.0, 2.0, 1.0])


def test_a_trace_that_lacks_its_example_or_its_step_says_so():
    cell = tg.ElmanCell(3, 4)
    with pytest.raises(TypeError, match=r"one step of ElmanCell: given 0 examples; wanted x"):
        tg.trace(cell)
    with pytest.raises(TypeError, match=r"which step\? tg\.trace\(run, step=2\)"):
        tg.trace(tg.unroll(cell, np.ones((2, 1, 3))))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (tg.trace, "trace: given nothing; wanted a function, a cell, a record or a matrix"),
        (lambda: tg.trace(3.0), "trace: given a float; wanted"),
        (lambda: tg.trace(tg.tanh), r"trace of tanh\(x.*given 0 examples, missing .*'x'"),
        (lambda: tg.trace(lambda x: x, 1.0, 2.0), "given 2 examples, too many positional"),
    ],
)
def test_a_trace_of_too_little_or_too_much(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_a_stopped_gradient_is_an_operation_of_a_program():
    def rounded(x):
        return (x + tg.stop_gradient(tg.round(x) - x)) * x

    x = np.array([0.4, 1.7])
    program = tg.trace(rounded, x)
    np.testing.assert_allclose(program(x), np.round(x) * x)
    (back,) = program.pullback().compile()(x, np.ones(2))
    np.testing.assert_allclose(back, np.round(x) + x)
    assert "stop_gradient(" in str(program)
