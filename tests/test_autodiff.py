"""The sweeps: cotangents, kept values, and every way a value can be used."""

import itertools
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import sweep
from tinygrad_rnn.graph import record_order
from tinygrad_rnn.primitive import COPIED_BYTES
from tinygrad_rnn.sweep import pushforward

RNG = np.random.default_rng(0)


def close(a: Any, b: Any, tolerance: float = 1e-10) -> None:
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert np.shape(a) == np.shape(b)


# -- shapes and sharing --------------------------------------------------------------------------


def test_products_with_the_parts_of_a_split_matrix():
    W = tg.tensor(RNG.normal(size=(4, 2)))
    x, z = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 2))
    a, b = tg.split(W, 2)
    found = tg.gradients((x @ b).sum() + (z @ a).sum(), W)
    close(found, np.concatenate([z.T @ np.ones((3, 2)), x.T @ np.ones((3, 2))]))


def test_products_with_several_leading_axes_of_which_some_are_empty():
    for shape, inner in [((2, 3), 4), ((2, 3), 0), ((0, 3), 4), ((2, 0), 0)]:
        a, w = RNG.normal(size=(*shape, inner)), tg.tensor(RNG.normal(size=(inner, 5)))
        g = RNG.normal(size=(*shape, 5))
        close(tg.gradients(a @ w, w, g), np.einsum("abi,abj->ij", a, g))


def test_indexing_a_value_without_axes():
    a = tg.tensor(np.array(2.0))
    close(tg.gradients(a[...] + a[None].sum() + a[None, None].sum() + a * 2.0, a), 5.0)


def test_sums_of_two_precisions_are_made_in_the_higher_one():
    for part, expected in [(slice(None), [3 + 1e-9] * 2), (slice(1), [3 + 1e-9, 3])]:
        a = tg.tensor(np.array([1.0, 2.0]))
        high = (a * 1e-9)[part].sum() if part == slice(None) else a[part].sum() * 1e-9
        low = (a.astype(np.float32) + a.astype(np.float32) * 2.0).sum()
        found = tg.gradients(high + low, a)
        assert found.dtype == np.float64
        close(found, expected, 1e-15)


def test_what_lies_before_a_wanted_value_is_not_needed():
    x = tg.tensor([1.0, 2.0])
    s = x * x
    close(tg.gradients((s * s).sum(), s), 2 * s.numpy())
    close(tg.gradients((s * 3.0).sum(), s), [3.0, 3.0])  # s is used up no more than x is


# -- every way of using a value ------------------------------------------------------------------


def test_broadcasting_is_undone():
    shapes = [(), (1,), (3,), (1, 3), (2, 1), (2, 3), (4, 1, 1)]
    for a_shape in shapes:
        for b_shape in shapes:
            a, b = RNG.normal(size=a_shape), RNG.normal(size=b_shape)
            g = RNG.normal(size=np.broadcast_shapes(a_shape, b_shape))
            ta, tb = tg.tensor(a), tg.tensor(b)
            for record in (False, True):
                y = tg.tanh(ta) * tb + ta
                da, db = tg.gradients(y, [ta, tb], g, create_graph=record)
                if record:
                    da, db = da.numpy(), db.numpy()
                close(da, summed_to(g * ((1 - np.tanh(a) ** 2) * b + 1), a_shape))
                close(db, summed_to(g * np.tanh(a), b_shape))


def summed_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum an array over the axes along which this shape was broadcast."""
    while g.ndim > len(shape):
        g = g.sum(0)
    for axis, n in enumerate(shape):
        if n == 1:
            g = g.sum(axis, keepdims=True)
    return g


def test_the_same_tensor_as_both_arguments():
    x = tg.tensor(RNG.normal(size=(3, 3)))
    value, g = x.numpy(), RNG.normal(size=(3, 3))
    close(tg.gradients(x * x, x, g), 2 * value * g)
    close(tg.gradients(x + x, x, g), 2 * g)
    close(tg.gradients(x - x, x, g), 0 * g)
    close(tg.gradients(x @ x, x, g), g @ value.T + value.T @ g)
    close(tg.gradients(tg.concatenate([x, x]), x, np.concatenate([g, 2 * g])), 3 * g)
    close(tg.gradients(tg.stack([x, x, x]).sum(0), x, g), 3 * g)


def test_the_same_input_listed_twice_and_an_input_that_is_the_output():
    x = tg.tensor(RNG.normal(size=3))
    y = x * x
    g = RNG.normal(size=3)
    a, b, c = tg.gradients(y, [x, y, x], g)
    close(a, 2 * x.numpy() * g)
    close(b, g)
    close(c, a)
    close(tg.gradients(x, x, g), g)
    assert x.grad is None


def test_an_intermediate_and_what_it_depends_on_at_once():
    x = tg.tensor(RNG.normal(size=3))
    s = tg.tanh(x)
    loss = (s * s * x).sum()
    ds, dx = tg.gradients(loss, [s, x])
    close(ds, 2 * s.numpy() * x.numpy())
    close(dx, s.numpy() ** 2 + ds * (1 - s.numpy() ** 2))


def test_several_outputs_add_up():
    x = tg.tensor(RNG.normal(size=3))
    y, z = x * 2.0, (x * x).sum()
    g = RNG.normal(size=3)
    close(tg.gradients([y, z], x, [g, None], keep_record=True), 2 * g + 2 * x.numpy())
    close(tg.gradients([y, z, y], x, [g, 3.0, g]), 4 * g + 6 * x.numpy())
    with pytest.raises(ValueError, match="given 1 cotangents for 2 outputs"):
        tg.gradients([y, z], x, [g])


def test_parts_of_several_results():
    W = tg.tensor(RNG.normal(size=(2, 6)))
    value = W.numpy()
    a, b, c = tg.split(W, 3, axis=1)
    rows = tg.unstack(W)
    expected = np.zeros((2, 6))
    expected[:, 2:4] = 2 * value[:, 2:4]
    close(tg.gradients((b * b).sum(), W, keep_record=True), expected)
    close(tg.gradients(a.sum(), c, keep_record=True), np.zeros((2, 2)))
    expected = np.zeros((2, 6))
    expected[1] = 1
    close(tg.gradients(rows[1].sum(), W), expected)
    da, dc, dw = tg.gradients((a * c + c).sum(), [a, c, W], keep_record=True)
    close(da, value[:, 4:])
    close(dc, value[:, :2] + 1)
    close(dw, np.concatenate([da, np.zeros((2, 2)), dc], 1))
    first, second = tg.gradients((a * c + c).sum(), [a, W], create_graph=True)
    close(first.numpy(), da)
    close(tg.gradients(second.sum(), c), np.ones((2, 2)))


def test_one_part_used_often_and_by_index():
    W = tg.tensor(RNG.normal(size=(4, 2)))
    a, b = tg.split(W, 2)
    y = b + b * b + b[0] + b[[0, 0, 1]].sum(0) + a[1:]
    value = W.numpy()[2:]
    g = RNG.normal(size=(2, 2))
    total = g.sum(0)
    expected_b = g * (1 + 2 * value) + np.stack([3 * total, total])
    expected = np.concatenate([np.stack([0 * total, total]), expected_b])
    for record in (False, True):
        found = tg.gradients(y, W, g, create_graph=record, **({} if record else {"keep_record": 1}))
        close(found.numpy() if record else found, expected)


def test_indices_that_repeat_and_overlap():
    x = tg.tensor(RNG.normal(size=4))
    mask = np.array([True, False, False, True])
    y = x[[0, 0, 3]].sum() + x[1:3].sum() + x[::-2].sum() + x[mask].sum()
    expected = np.array([3.0, 2.0, 1.0, 3.0])
    close(tg.gradients(y + (x * 2.0).sum(), x), expected + 2)


def test_arrays_that_are_not_contiguous():
    data = RNG.normal(size=(4, 6))
    for view in (data[::2, ::-1], data.T, data[:, 1::2], np.broadcast_to(data[0], (3, 6))):
        x = tg.tensor(view)
        W = RNG.normal(size=(view.shape[1], 2))
        g = RNG.normal(size=(2, view.shape[0])).T
        close(tg.gradients(x @ W, x, g), g @ W.T)
        w = tg.tensor(W)
        close(tg.gradients(view @ w + 0.0, w, g[:, ::-1]), view.T @ g[:, ::-1])


def test_cotangents_are_not_changed_and_may_be_tensors():
    x = tg.tensor(RNG.normal(size=3))
    g = RNG.normal(size=3)
    kept, t = g.copy(), tg.tensor(g)
    y = x + x * 1.0
    for cotangent in (g, t):
        found = tg.gradients([y, y, x], x, [cotangent] * 3, keep_record=True)
        close(found, 5 * kept)
    close(g, kept)
    close(t.numpy(), kept)
    with pytest.raises(
        ValueError, match=r"cotangent of shape \(2,\) for an output of shape \(3,\)"
    ):
        tg.gradients(y, x, np.ones(2))


def test_results_that_share_memory_are_safe():
    a, b = tg.tensor(RNG.normal(size=3)), tg.tensor(RNG.normal(size=3))
    c = a + b
    loss = (c * 3.0 + a).sum() + (a * 2.0 + b[::-1] + b).sum()
    da, db, dc = tg.gradients(loss, [a, b, c], keep_record=True)
    close(da, [6.0] * 3)
    close(db, [5.0] * 3)
    close(dc, [3.0] * 3)
    again = tg.gradients(loss, [a, b, c])
    for first, second in zip((da, db, dc), again, strict=True):
        close(first, second)


def test_a_result_without_dependence_is_zero():
    x, other = tg.tensor([1.0, 2.0]), tg.ones((2, 2))
    loss = (x * x).sum()
    close(tg.gradients(loss, other, keep_record=True), np.zeros((2, 2)))
    assert tg.gradients(loss, other, create_graph=True).shape == (2, 2)
    loss.backward()
    assert other.grad is None


def test_what_was_not_recorded_is_an_error():
    x = tg.ones(2)
    with tg.no_grad():
        y = (x * x).sum()
    with pytest.raises(RuntimeError, match=r"nothing was recorded .* under no_grad\(\)"):
        y.backward()
    with pytest.raises(RuntimeError, match="given a float, wanted a tensor"):
        tg.gradients(3.0, x)
    z = (x * 2.0).sum()
    with pytest.raises(ValueError, match=r"input 1 was not recorded: .* shape \(\) made under"):
        tg.gradients(z, [x, y])
    with pytest.raises(ValueError, match="input 0 was not recorded: given a ndarray"):
        tg.gradients(z, np.ones(2))
    with pytest.raises(ValueError, match=r"shape \(2,\) .*is not a single number"):
        (x * 2.0).backward()


# -- keeping and freeing -------------------------------------------------------------------------


def test_a_record_is_used_once_unless_it_is_kept():
    x = tg.tensor([1.0, 2.0])
    loss = (tg.tanh(x) * x).sum()
    first = tg.gradients(loss, x, keep_record=True)
    loss.backward(keep_record=True)
    close(x.grad, first)
    close(tg.gradients(loss, x), first)
    message = r"sum: this record was differentiated before.*pass keep_record=True"
    with pytest.raises(RuntimeError, match=message):
        loss.backward()
    with pytest.raises(RuntimeError, match=message):
        tg.gradients(loss, x, create_graph=True)
    with pytest.raises(RuntimeError, match=message):
        tg.gradients_of_uses(loss, x)
    close(x.grad, first)


def test_a_failed_backward_leaves_gradients_as_they_were():
    x = tg.tensor([1.0, 2.0])
    (x * 3.0).sum().backward()
    loss = tg.tanh(x).sum()
    tg.gradients(loss, x)
    with pytest.raises(RuntimeError, match="differentiated before"):
        loss.backward()
    close(x.grad, np.float32([3.0, 3.0]))


def test_another_branch_keeps_its_values():
    x = tg.tensor([1.0, 2.0])
    a, b = tg.tanh(x), tg.sigmoid(x)
    close(tg.gradients(a.sum(), x), 1 - a.numpy() ** 2)
    close(tg.gradients(b.sum(), x), b.numpy() * (1 - b.numpy()))


def test_only_the_record_between_input_and_output_is_walked(monkeypatch):
    looked_at = []

    def watched(*args: Any) -> Any:
        order = record_order(*args)
        looked_at.append(len(order))
        return order

    monkeypatch.setattr(sweep, "record_order", watched)
    w = tg.Parameter(np.full((2, 2), 0.3), "w")
    s = tg.tensor(RNG.normal(size=(1, 2)))
    for _ in range(50):  # a derivative in every step of a long record
        before, s = s, tg.tanh(s @ w)
        found = tg.gradients(s, before, np.ones((1, 2)), keep_record=True)
        close(found, (1 - s.numpy() ** 2) @ w.numpy().T)
        s = s + tg.grad(lambda v, s=s: (s * v * v).sum())(np.ones(2))
        s = s + tg.jvp(lambda v, s=s: s * v, (np.ones(2),), (np.ones(2),))[1]
    assert len(looked_at) == 150
    assert max(looked_at) < 12
    assert tg.gradients(s.sum(), w).shape == (2, 2)
    w.assign(np.ones((2, 2)))
    with pytest.raises(RuntimeError, match="parameter 'w' was given another value"):
        tg.gradients(s.sum(), w)


# -- single uses ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [tg.ElmanCell, tg.LSTMCell, tg.GRUCell])
def test_gradients_of_uses_are_labelled_and_sum_to_the_whole(make):
    cell = make(2, 3, rng=0, dtype=np.float64)
    run = tg.unroll(cell, RNG.normal(size=(5, 2, 2)))
    loss = (run.outputs**2).sum()
    for p in cell.parameters().values():
        uses = tg.gradients_of_uses(loss, p, keep_record=True)
        assert [use.step for use in uses] == [1, 2, 3, 4, 5]
        assert {use.operation for use in uses} <= {"matmul", "add"}
        assert all(use.gradient.shape == p.shape for use in uses)
        close(sum(use.gradient for use in uses), tg.gradients(loss, p, keep_record=True))
    loss.backward()


def test_uses_of_a_part_and_of_an_intermediate():
    x = tg.tensor(RNG.normal(size=4))
    a, b = tg.split(x, 2)
    y = (a * b + b).sum()
    assert [u.operation for u in tg.gradients_of_uses(y, b, keep_record=True)] == [
        "multiply",
        "add",
    ]
    assert [u.operation for u in tg.gradients_of_uses(y, a, keep_record=True)] == ["multiply"]
    assert tg.gradients_of_uses((x * 2.0).sum(), a) == []
    (use,) = tg.gradients_of_uses(y, x)
    assert use.operation == "split"
    s = x * x
    twice = tg.gradients_of_uses((s * s).sum(), s)
    assert [u.operation for u in twice] == ["multiply", "multiply"]


# -- states, lengths, batches --------------------------------------------------------------------


class Nested(tg.Cell):
    """A state that nests every structure."""

    def __init__(self) -> None:
        self.W = tg.Parameter(RNG.normal(size=(3, 3)))

    def initial_state(self, batch_size: int) -> Any:
        def zero() -> Any:
            return tg.zeros((batch_size, 3), dtype=np.float64)

        return {"lstm": tg.LSTMState(zero(), zero()), "rest": (zero(), [zero()])}

    def step(self, x: Any, state: Any) -> Any:
        (h, c), (a, (b,)) = state["lstm"], state["rest"]
        h = tg.tanh(x + h @ self.W + a)
        c, a, b = c + h, tg.sigmoid(b), a * h
        return c, {"lstm": tg.LSTMState(h, c), "rest": (a, [b])}


@pytest.mark.parametrize("T", [1, 4])
@pytest.mark.parametrize("B", [0, 1, 2])
def test_nested_states_single_steps_and_empty_batches(T, B):
    cell, xs = Nested(), RNG.normal(size=(T, B, 3))
    run = tg.unroll(cell, xs)
    assert run.outputs.shape == (T, B, 3)
    assert isinstance(run.state["lstm"], tg.LSTMState)
    tg.check_gradients(lambda xs: tg.unroll(cell, xs).state, xs, parameters=cell, order=1)
    (run.outputs**2).sum().backward()
    assert cell.W.grad.shape == (3, 3)
    assert bool(cell.W.grad.any()) == (B > 0 and T > 1)


def test_no_steps_is_an_error():
    with pytest.raises(ValueError, match="at least one step"):
        tg.unroll(Nested(), np.zeros((0, 2, 3)))


# -- second derivatives --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [tg.ElmanCell, tg.LSTMCell, tg.GRUCell])
def test_second_derivatives_of_unrolled_cells(make):
    cell, xs = make(2, 3, rng=0, dtype=np.float64), RNG.normal(size=(3, 2, 2))
    parameters = cell.parameters()
    values = {name: p.numpy().copy() for name, p in parameters.items()}
    v = {name: RNG.normal(size=p.shape) for name, p in parameters.items()}

    def gradient(step: float) -> list[Any]:
        for name, p in parameters.items():
            p.assign(values[name] + step * v[name])
        loss = (tg.unroll(cell, xs).outputs ** 2).sum()
        return tg.gradients(loss, list(parameters.values()))

    h = 1e-5
    wanted = [(a - b) / (2 * h) for a, b in zip(gradient(h), gradient(-h), strict=True)]
    gradient(0.0)
    listed = list(parameters.values())
    loss = (tg.unroll(cell, xs).outputs ** 2).sum()
    first = tg.gradients(loss, listed, create_graph=True)
    along = sum((g * u).sum() for g, u in zip(first, v.values(), strict=True))
    for found, expected in zip(tg.gradients(along, listed), wanted, strict=True):
        close(found, expected, 1e-7)


# -- random records ------------------------------------------------------------------------------

Step = tuple[str, int, int]


def by_rows(x: Any) -> Any:
    if not x.ndim:
        raise ValueError("no rows")
    return x.sum(axis=0, keepdims=True)


UNARY = {
    "tanh": (tg.tanh, np.tanh),
    "sigmoid": (tg.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    "negative": (lambda x: -x, lambda x: -x),
    "sum": (lambda x: x.sum(), lambda x: np.asarray(x.sum())),
    "sum of rows": (by_rows, by_rows),
    "T": (lambda x: x.T, lambda x: x.T),
    "ravel": (lambda x: x.reshape(-1), lambda x: x.reshape(-1)),
    "first": (lambda x: x[0], lambda x: x[0]),
    "again": (lambda x: x[[0, 0]], lambda x: x[[0, 0]]),
    "axis": (lambda x: x[..., None], lambda x: x[..., None]),
    "backwards": (lambda x: x[::-1], lambda x: x[::-1]),
    "split": (lambda x: tg.split(x, 2), lambda x: np.split(x, 2)),
    "unstack": (lambda x: tg.unstack(x), lambda x: list(x)),
}
BINARY = {
    "add": (lambda a, b: a + b, np.add),
    "subtract": (lambda a, b: a - b, np.subtract),
    "multiply": (lambda a, b: a * b, np.multiply),
    "matmul": (lambda a, b: a @ b, np.matmul),
    "concatenate": (lambda a, b: tg.concatenate([a, b]), lambda a, b: np.concatenate([a, b])),
    "stack": (lambda a, b: tg.stack([a, b]), lambda a, b: np.stack([a, b])),
}
STEPS = st.tuples(
    st.sampled_from([*UNARY, *BINARY, "matmul", "matmul", "multiply", "split"]),
    st.integers(0, 30),
    st.integers(0, 30),
)


def run_program(program: list[Step], leaves: list[Any]) -> tuple[list[Any], Any]:
    """Every value that the steps make, and one number that depends on all of them.

    A step picks its arguments among the values so far; one that NumPy refuses is left out.
    """
    values = list(leaves)
    arrays = [v.numpy() if isinstance(v, tg.Tensor) else v for v in leaves]
    for name, i, j in program:
        picked = [k % len(values) for k in ((i,) if name in UNARY else (i, j))]
        ours, numpys = (UNARY if name in UNARY else BINARY)[name]
        try:
            expected = numpys(*[arrays[k] for k in picked])
        except (ValueError, IndexError, TypeError):
            continue
        parts = expected if isinstance(expected, list) else [expected]
        if not parts or any(part.size > 40 or part.ndim > 3 for part in parts):
            continue
        found = ours(*[values[k] for k in picked])
        for y, e in zip(found if isinstance(found, tuple) else [found], parts, strict=True):
            values.append(y)
            arrays.append(np.asarray(e))
            close(y.numpy() if isinstance(y, tg.Tensor) else y, e)
    total: Any = 0.0
    for n, value in enumerate(values):
        if n % 3 != 1:  # some values are used by others only, or by nobody
            total = total + tg.tanh(value * 0.3).sum()
    return values, total


LEAVES = [RNG.normal(size=(2, 2)), RNG.normal(size=2), np.array(0.7), RNG.normal(size=(4, 2))]
PROGRAMS = st.lists(STEPS, min_size=1, max_size=14)


@settings(max_examples=150, deadline=None)
@given(PROGRAMS)
def test_random_records_against_differences_and_every_sweep_against_the_others(program):
    leaves = [tg.tensor(value) for value in LEAVES]
    values, total = run_program(program, leaves)
    plain = tg.gradients(total, leaves, keep_record=True)

    # central differences along a random direction
    directions = [RNG.normal(size=np.shape(value)) for value in LEAVES]
    h = 1e-5
    up, down = [
        run_program(program, [v + s * h * d for v, d in zip(LEAVES, directions, strict=True)])[1]
        for s in (1, -1)
    ]
    slope = sum(float(np.vdot(g, d)) for g, d in zip(plain, directions, strict=True))
    assert slope == pytest.approx((float(up) - float(down)) / (2 * h), rel=1e-6, abs=1e-8)

    # forward mode
    (tangent,) = pushforward(list(zip(leaves, directions, strict=True)), [total])
    assert slope == pytest.approx(float(tangent), rel=1e-9, abs=1e-11)

    # the sweeps that record, that watch, and that tell single uses apart
    recorded = tg.gradients(total, leaves, create_graph=True)
    with tg.detect_anomaly():
        watched = tg.gradients(total, leaves, keep_record=True)
    for i, leaf in enumerate(leaves):
        close(recorded[i].numpy(), plain[i])
        close(watched[i], plain[i])
        uses = tg.gradients_of_uses(total, leaf, keep_record=True)
        close(sum([use.gradient for use in uses], np.zeros(leaf.shape)), plain[i])

    # intermediates at once with leaves, and each by itself
    some = values[len(LEAVES) :: 2]
    together = tg.gradients(total, [*some, *leaves], keep_record=True)
    for value, found in zip([*some, *leaves], together, strict=True):
        close(found, tg.gradients(total, value, keep_record=True))
    total.backward()
    for leaf, g in zip(leaves, plain, strict=True):
        close(np.zeros(leaf.shape) if leaf.grad is None else leaf.grad, g)


@settings(max_examples=15, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=8))
def test_random_functions_to_second_order(program):
    tg.check_gradients(lambda *leaves: run_program(program, list(leaves))[1], *LEAVES[:3])


# -- finding values that are not finite ----------------------------------------------------------


def test_detect_anomaly_backward_names_the_operation_and_the_step():
    a = tg.tensor([0.0, 1.0])
    with tg.detect_anomaly():
        with tg.timestep(4):
            y = tg.sqrt(a)
        with pytest.raises(
            FloatingPointError,
            match=r"backward of sqrt in timestep 4: the cotangent \(shape \(2,\)\) has 1 value "
            r"that is inf; the cotangent of the result was finite",
        ):
            y.sum().backward()


def test_detect_anomaly_looks_at_products_with_weights_too():
    w = tg.tensor(np.full((2, 2), 1e-30, np.float32))
    x = np.full((1, 2), 1e30, np.float32)
    y = (x @ w) * np.float32(1e10)
    with tg.detect_anomaly(), pytest.raises(FloatingPointError, match="backward of matmul"):
        tg.gradients((y * 1e10).sum(), w)


# -- single numbers: NumPy's results without axes are scalars, which cannot be changed ------------

USES_OF_A_NUMBER = {
    "index": (lambda x: x[None].sum(), 1.0),
    "mask": (lambda x: 2.0 * x[np.array(True)].sum(), 2.0),
    "whole": (lambda x: 3.0 * x[...], 3.0),
    "broadcast": (lambda x: (x * np.ones(3)).sum(), 3.0),
    "square": (lambda x: x * x, 4.0),
    "stack": (lambda x: tg.stack([x, 2.0 * x]).sum(), 3.0),
    "port": (lambda x: tg.unstack(tg.stack([x, 5.0 * x]))[1], 5.0),
    "matrix": (lambda x: (x.reshape((1, 1)) @ np.ones((1, 2))).sum(), 2.0),
}

NUMBERS = {
    "tensor": lambda: tg.tensor(2.0),
    "parameter": lambda: tg.Parameter(2.0, "x"),
    "result": lambda: tg.tensor(2.0) * 1.0,
    "port": lambda: tg.unstack(tg.tensor([2.0, 3.0]))[0],
}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("first", USES_OF_A_NUMBER)
def test_every_order_of_the_uses_of_a_number(first, kind):
    for others in itertools.product(USES_OF_A_NUMBER, repeat=2):
        names = (first, *others)
        x = NUMBERS[kind]()
        y = sum(USES_OF_A_NUMBER[name][0](x) for name in names)
        wanted = sum(USES_OF_A_NUMBER[name][1] for name in names)
        found = {
            "gradients": tg.gradients(y, x, keep_record=True),
            "recorded": tg.gradients(y, x, create_graph=True).numpy(),
            "uses": sum(u.gradient for u in tg.gradients_of_uses(y, x, keep_record=True)),
            "forward": pushforward([(x, np.float32(1.0))], [y])[0],
            "recorded forward": pushforward([(x, tg.ones(()))], [y], record=True)[0].numpy(),
        }
        if kind in ("tensor", "parameter"):
            y.backward()
            found["backward"] = x.grad
        assert {name: float(g) for name, g in found.items()} == dict.fromkeys(found, wanted), names


# -- division by zero is as in arrays ------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
@pytest.mark.parametrize(
    ("f", "value", "gradient"),
    [
        (lambda x: x / 0, [np.inf, -np.inf], [np.inf, np.inf]),
        (lambda x: x / -0.0, [-np.inf, np.inf], [-np.inf, -np.inf]),
        (lambda x: 0.0 * x / 0.0, [np.nan, np.nan], [np.nan, np.nan]),
        (lambda x: x[:0].mean(), np.nan, [0, 0]),
        (lambda x: tg.var(x[:1], ddof=1), np.nan, [np.nan, 0]),
        (lambda x: tg.std(x[:1], ddof=1), np.nan, [np.nan, 0]),
    ],
)
def test_division_by_a_zero_without_a_dtype(f, value, gradient):
    x = tg.tensor([1.0, -2.0])
    y = f(x)
    np.testing.assert_array_equal(y.numpy(), np.float32(value))
    found = tg.gradients(y, x, np.ones(y.shape), keep_record=True)
    np.testing.assert_array_equal(found, np.float32(gradient))
    recorded = tg.gradients(y, x, np.ones(y.shape), create_graph=True)
    np.testing.assert_array_equal(recorded.numpy(), np.float32(gradient))
    with tg.no_grad():
        np.testing.assert_array_equal(f(x.numpy()), np.float32(value))


# -- constants that are written to before the backward pass --------------------------------------

SMALL, LARGE = 3, 2 * COPIED_BYTES


def test_one_buffer_for_all_steps(rng):
    xs = rng.normal(size=(3, 2, 4)).astype(np.float32)
    cell = tg.ElmanCell(4, 3, rng=rng)
    (tg.unroll(cell, xs).outputs ** 2).sum().backward()
    wanted = cell.U.grad

    buffer, s, outputs = np.empty((2, 4), np.float32), cell.initial_state(2), []
    for x in xs:
        buffer[:] = x
        output, s = cell.step(buffer, s)
        outputs.append(output)
    (tg.stack(outputs) ** 2).sum().backward()
    np.testing.assert_array_equal(cell.U.grad, wanted)


def test_a_buffer_as_factor():
    w, buffer, loss = tg.tensor(np.ones((2, 1))), np.empty((1, 2)), 0.0
    for t in range(3):
        buffer[:] = 2 * t + 1, 2 * t + 2
        loss = loss + (buffer @ w).sum()
    np.testing.assert_array_equal(tg.gradients(loss, w), [[9], [12]])


READING = {
    "factor": lambda x, c: x * c,
    "first factor": lambda x, c: c * x,
    "divisor": lambda x, c: x / (c + 2.0 if c.size == SMALL else c),
    "matrix": lambda x, c: x[None] @ c[:, None],
    "first matrix": lambda x, c: c[None] @ x[:, None],
    "power": lambda x, c: tg.power(x, c),
    "where": lambda x, c: tg.maximum(x, c),
    "einsum": lambda x, c: tg.einsum("i,i->", x, c),
    "part of a larger array": lambda x, c: x * np.stack([c, c])[0],
}


@pytest.mark.parametrize("f", READING.values(), ids=READING)
@pytest.mark.parametrize("n", [SMALL, LARGE])
def test_no_gradient_is_silently_wrong_after_a_change(f, n):
    x, c = tg.tensor(np.linspace(1.0, 2.0, n)), np.linspace(1.5, 3.0, n)
    wanted = tg.gradients(f(x, c).sum(), x)
    for i in (0, n // 2, n - 1):
        with tg.timestep(3):
            loss = f(x, c).sum()
        kept, c[i] = c[i], c[i] + 1e-12
        try:
            found = tg.gradients(loss, x)
        except RuntimeError as error:
            assert n == LARGE
            assert re.search(  # noqa: PT017
                r"in timestep 3: argument [01], a constant array of shape \(.*\), was written to",
                str(error),
            )
            c[i] = kept
            found = tg.gradients(loss, x)  # the record is as it was
        np.testing.assert_array_equal(found, wanted)
        c[i] = kept


CHANGES = {
    "flip": lambda c: c[::-1].copy(),
    "negative": np.negative,
    "roll": lambda c: np.roll(c, 1),
    "zeros": np.zeros_like,
    "next float": lambda c: np.concatenate([c[:-1], np.nextafter(c[-1:], c[:1])]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_kind_of_change_is_seen_by_every_sweep(change, dtype):
    c = np.linspace(1.0, 2.0, 3 * COPIED_BYTES + 1).astype(dtype)  # no multiple of eight bytes
    x = tg.Parameter(np.ones(c.shape, dtype), "x", dtype=dtype)
    y = (x * c[::-1]).sum()
    c[:] = change(c)
    for sweep_over in (
        lambda: y.backward(),
        lambda: tg.gradients(y, x),
        lambda: tg.gradients(y, x, create_graph=True),
        lambda: tg.gradients_of_uses(y, x),
        lambda: pushforward([(x, np.ones_like(c))], [y]),
    ):
        with pytest.raises(RuntimeError, match=r"multiply: argument 1, a constant .* written to"):
            sweep_over()


@pytest.mark.parametrize("n", [SMALL, COPIED_BYTES + 1])
def test_masks_that_change(n):
    x, mask = tg.tensor(np.ones(n)), np.arange(n) % 2 == 0
    for f in (lambda: tg.where(mask, x, 0.0), lambda: x * mask):
        loss, wanted = f().sum(), mask.astype(float)
        np.logical_not(mask, out=mask)
        if n == SMALL:
            np.testing.assert_array_equal(tg.gradients(loss, x), wanted)
        else:
            with pytest.raises(RuntimeError, match=r"a constant array of shape .* was written to"):
                loss.backward()


def test_a_read_only_view_of_a_buffer_is_no_promise():
    for n in (SMALL, LARGE):
        buffer, x = np.ones(n), tg.tensor(np.ones(n))
        view = buffer[:]
        view.flags.writeable = False
        loss = (x * view).sum()
        buffer[0] = 5
        if n == SMALL:
            np.testing.assert_array_equal(tg.gradients(loss, x), np.ones(n))
        else:
            with pytest.raises(RuntimeError, match="multiply: argument 1"):
                loss.backward()


def test_a_change_that_no_rule_reads_is_no_error():
    x, c = tg.tensor(np.ones(LARGE)), np.ones(LARGE)
    y = x * c
    z = (y + c - c).sum() + (y * y).sum()
    later = tg.gradients(z, y, keep_record=True)  # needs values after y
    c += 1
    np.testing.assert_array_equal(tg.gradients(z, y, keep_record=True), later)
    np.testing.assert_array_equal(tg.gradients((x + c).sum(), x), np.ones(LARGE))
    with pytest.raises(RuntimeError, match="multiply: argument 1"):
        tg.gradients(z, x)
    with tg.no_grad():
        assert (x * c)._node is None


def test_arrays_among_many_arguments_are_looked_at_too():
    x, c = tg.tensor(np.ones(LARGE)), np.full(LARGE, 2.0)
    product = tg.custom.general(
        "product",
        lambda a, b, c: a * b * c,
        [lambda g, b, c: g * b * c, lambda g, a, c: g * a * c, lambda g, a, b: g * a * b],
        [lambda t, b, c: t * b * c, lambda t, a, c: t * a * c, lambda t, a, b: t * a * b],
    )
    for arguments, i in (((c, x, x), 0), ((x, x, c), 2)):
        y = product(*arguments).sum()
        c[7] += 1
        with pytest.raises(RuntimeError, match=f"product: argument {i}, a constant array"):
            y.backward()
    small = np.full(SMALL, 2.0)
    x = tg.tensor(np.ones(SMALL))
    y = product(x, small, small).sum()
    small[:] = 0
    np.testing.assert_array_equal(tg.gradients(y, x), np.full(SMALL, 4.0))


PARAMETERS = {
    "array": (lambda x, i: x[i], lambda: np.array([0, 2, 2])),
    "list": (lambda x, i: x[i], lambda: [0, 2, 2]),
    "list in a tuple": (lambda x, i: tg.stack([x, x])[:, i], lambda: [0, 2, 2]),
    "take": (tg.take, lambda: np.array([0, 2, 2])),
    "take_along_axis": (tg.take_along_axis, lambda: np.array([0, 2, 2])),
    "embedding": (lambda x, i: tg.embedding(i, x[:, None]), lambda: np.array([0, 2, 2])),
    "index_update": (lambda x, i: tg.index_update(x, i, x[:3]), lambda: np.array([3, 0, 0])),
    "scatter": (lambda x, i: tg.scatter(x[:3], i, (5,)) ** 2, lambda: np.array([0, 2, 2])),
    "mask": (lambda x, i: x[i], lambda: np.array([True, False, True, False])),
    "cross_entropy": (lambda x, i: tg.cross_entropy(x[None], i), lambda: np.array([2])),
    "nll": (lambda x, i: tg.nll(x[None], i), lambda: np.array([2])),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_indices_masks_and_targets_are_copied(name):
    f, make = PARAMETERS[name]
    x, i = tg.tensor([1.0, 2.0, 3.0, 4.0]), make()
    wanted = tg.gradients((f(x, i) ** 2).sum(), x)
    loss = (f(x, i) ** 2).sum()
    i[:] = [not entry if isinstance(entry, bool | np.bool_) else 1 for entry in i]
    np.testing.assert_array_equal(tg.gradients(loss, x, keep_record=True), wanted)
    np.testing.assert_array_equal(tg.gradients(loss, x, create_graph=True).numpy(), wanted)
    assert np.any(tg.gradients((f(x, i) ** 2).sum(), x) != wanted)  # the change would be seen


def test_zero_derivatives_beside_others_when_recorded():
    """Of floor and ceil: zeros that are tensors where all else is."""
    x = tg.tensor(np.array([1.5, 2.5]))
    y = (x * x).sum() + tg.floor(x).sum() + tg.ceil(x).sum()
    assert tg.gradients(y, x, create_graph=True).numpy().tolist() == [3.0, 5.0]
    # and in forward mode
    f = lambda x: tg.where(tg.ceil(x) > 0, tg.ceil(x), 2.0 * x)  # noqa: E731
    assert tg.jvp(f, (x,), (np.ones(2),))[1].numpy().tolist() == [0.0, 0.0]


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("join", [tg.stack, tg.concatenate])
def test_parts_of_a_cotangent_are_those_that_the_rules_give(rng, join, axis):
    parts = [tg.tensor(rng.normal(size=(2, 3))) for _ in range(3)]
    y = join([*parts[:2], np.ones((2, 3)), parts[2], parts[0]], axis)
    w = rng.normal(size=y.shape)
    at_once = tg.gradients(y, parts, w, keep_record=True)
    by_rules = tg.gradients(y, parts, w, create_graph=True)
    for a, b in zip(at_once, by_rules, strict=True):
        np.testing.assert_array_equal(a, b.numpy())
