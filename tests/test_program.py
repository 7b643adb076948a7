"""Programs: traced, compiled and pulled back, they give the values of eager code, or refuse."""

from typing import Any

import numpy as np
import pytest
from operator_table import ALL, PLAIN

import tinygrad_rnn as tg

RANDOM = {"dropout"}
TRACED = [c for c in ALL if c.name not in PLAIN | RANDOM and c.arrays()]


def flat(result: Any) -> list[Any]:
    return tg.tree.leaves(list(result) if isinstance(result, tuple) else result)


def placeholders(call: Any) -> list[Any]:
    # the table's arrays, away from kinks; what is an integer index stays in the call
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
    "elman": lambda: tg.Elman(3, 4, rng=0, dtype=np.float64),
    "lstm": lambda: tg.LSTM(3, 4, rng=0, dtype=np.float64),
    "gru": lambda: tg.GRU(3, 4, rng=0, dtype=np.float64),
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


def test_a_step_of_a_record():
    cell = CELLS["gru"]()
    xs = tg.tensor(np.random.default_rng(2).normal(size=(4, 2, 3)), "xs")
    run = tg.unroll(cell, xs)
    program = tg.trace(run, step=3)
    values = {
        "h": run.states[2].numpy(),
        "x3": xs.numpy()[2],
        **{k: p.numpy() for k, p in cell.parameters().items()},
    }
    given = [values.get(v.name, xs.numpy()[2]) for v in program.inputs]
    out, state = program.compile()(*given)
    np.testing.assert_allclose(state, run.states[3].numpy(), rtol=1e-13)
    np.testing.assert_allclose(out, run.steps[2].numpy(), rtol=1e-13)
    with pytest.raises(ValueError, match="step=5; wanted 1 to 4"):
        tg.trace(run, step=5)


def test_values_that_are_used_but_not_given_are_constants():
    w = tg.Parameter(np.array([2.0, 3.0]), "w")
    program = tg.trace(lambda x: x * w + 1, np.ones(2))
    assert "multiply(x, w)" in str(program)
    np.testing.assert_array_equal(program.compile()(np.ones(2)), [3.0, 4.0])


def test_a_matrix_has_a_trace():
    assert tg.trace(np.eye(3)) == 3.0
    assert tg.trace(tg.tensor(np.eye(3))).item() == 3.0


class Counting(tg.Cell):
    def __init__(self) -> None:
        self.W = tg.Parameter(np.eye(2))
        self.calls = 0

    def step(self, x: Any, s: Any) -> Any:
        self.calls += 1
        return s, s @ self.W * float(self.calls) + x


def branch(x: Any) -> Any:
    if x.sum() > 0:
        return x
    return 2 * x


def draws(x: Any) -> Any:
    return x * np.random.normal(size=x.shape)  # noqa: NPY002


called: list[Any] = []


def other_entries(x: Any) -> Any:
    called.append(x)
    return x[[len(called) % 3, 0]] * 2


def alternates(x: Any) -> Any:
    called.append(x)
    y, z = tg.exp(x), tg.exp(-x)
    return y - z if len(called) % 2 else z - y


def alternates_at_the_end(x: Any) -> Any:
    called.append(x)
    y = tg.exp(x)
    return y if len(called) % 2 else (y, x)[1]


grown: list[Any] = []


def grows(x: Any) -> Any:
    grown.append(x)
    for _ in grown:
        x = tg.tanh(x)
    return x


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (branch, r"branch: test_program\.py, line \d+: `if x\.sum\(\) > 0:` looks .*tg\.where"),
        (lambda x: x * x.detach(), r"\.detach\(\).*give the detached value as an input"),
        (lambda x: tg.dropout(x, 0.5, 0), "a random draw.*draw a mask outside"),
        (lambda x: x[x > 0], "an index"),
        (lambda x: x * float(x[0]), r"float\(\)"),
        (lambda x: x * x.numpy(), r"\.numpy\(\)"),
        (draws, r"draws: multiply \(operation 1\) has another constant of shape \(3,\)"),
        (grows, "grows: operation 2 is nothing the first time and tanh the second"),
        (other_entries, r"other_entries: getitem \(operation 1\) has index=.* the first time and"),
        (alternates, r"alternates: subtract \(operation 4\) takes .* the first time and"),
        (alternates_at_the_end, "operation 1 is exp the first time and nothing the second"),
        (lambda x: tg.take(x, tg.argmax(x)), "the indices of take"),
        (lambda x: tg.embedding(tg.argmax(x), x), "the indices of embedding"),
        (lambda x: tg.cross_entropy(x, tg.argmax(x)), "the class numbers given to cross_entropy"),
        (lambda x: tg.nll(x, tg.argmax(x)), "the class numbers given to nll"),
        (lambda x: x if tg.allclose(x, 1) else -x, "allclose"),
        (lambda x: x * tg.isclose(x, 1), "isclose"),
        (lambda x: tg.choose(tg.argsort(x), [x, x], mode="wrap"), r"choose\(mode='wrap'\)"),
        (lambda x: 1.0, "returned, at the top, a float; wanted a tensor"),
        (lambda x: (x, None), "returned, at 1, a NoneType"),
    ],
)
def test_what_depends_on_values_is_refused(f, message):
    grown.clear()
    called.clear()
    with pytest.raises(TypeError, match=message):
        tg.trace(f, np.ones(3))


def test_the_largest_entry_marked_by_its_position():
    program = tg.trace(lambda x: x * tg.one_hot(tg.argmax(x), 3), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(program(np.array([3.0, 2.0, 1.0])), [3.0, 0.0, 0.0])


def test_a_cell_that_counts_is_refused():
    with pytest.raises(tg.ValueDependenceError, match=r"Counting\.step: multiply"):
        tg.trace(Counting(), np.ones((1, 2)))


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
