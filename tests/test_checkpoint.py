"""Checkpoints: the same numbers as without, in less memory, and no second run that is another."""

import functools
import gc
import tracemalloc
import weakref

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import sweep
from tinygrad_rnn.graph import current, record_order

RNG = np.random.default_rng(0)


def close(a, b, tolerance=1e-12):
    a, b = (v.numpy() if isinstance(v, tg.Tensor) else v for v in (a, b))
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert np.shape(a) == np.shape(b)


def cell_and_data():
    return tg.LSTMCell(3, 4, rng=0, dtype=np.float64), RNG.normal(size=(6, 2, 3))


def in_segments(cell, xs, run):
    state = cell.initial_state(xs.shape[1])
    for chunk in (xs[:2], xs[2:3], xs[3:]):
        state = run(chunk, state)
    return (state.h * state.c).sum()


# -- the same derivatives ------------------------------------------------------------------------


def test_gradients_of_arguments_and_of_closed_over_parameters():
    cell, data = cell_and_data()
    run = lambda xs, state: tg.unroll(cell, xs, state).state  # noqa: E731
    found = []
    for segment in (run, tg.checkpoint(run)):
        xs = tg.tensor(data)
        loss = in_segments(cell, xs, segment)
        loss.backward()
        found.append([loss.numpy(), xs.grad, *[p.grad for p in cell.parameters().values()]])
    for plain, again in zip(*found, strict=True):
        close(plain, again)


def test_a_call_is_one_node():
    cell, data = cell_and_data()
    segment = tg.checkpoint(lambda xs, state: tg.unroll(cell, xs, state).state)
    loss = in_segments(cell, data, segment)
    names = [n.primitive.name for n in record_order([loss._node]) if n.primitive]
    assert names == ["checkpoint"] * 3 + ["multiply", "sum"]


def test_any_structure_in_and_out_and_keywords():
    a, b, c = (tg.tensor(RNG.normal(size=3)) for _ in range(3))

    @tg.checkpoint
    def f(pair, *, scale, options):
        x, (y,) = pair["x"], pair["rest"]
        y = (x * tg.tanh(y)).named("y")
        return {"sum": y.sum() * scale, "parts": [y, options["z"] * x, x], "note": options["note"]}

    made = f({"x": a, "rest": (b,)}, scale=2.0, options={"z": c, "note": "kept", "n": 3})
    assert made["note"] == "kept"
    assert made["parts"][0].name == "y"
    loss = made["sum"] + (made["parts"][1] * made["parts"][2]).sum()
    close(loss, 2 * (a.numpy() * np.tanh(b.numpy())).sum() + (c.numpy() * a.numpy() ** 2).sum())
    da, db, dc = tg.gradients(loss, [a, b, c])
    close(da, 2 * np.tanh(b.numpy()) + 2 * c.numpy() * a.numpy())
    close(db, 2 * a.numpy() * (1 - np.tanh(b.numpy()) ** 2))
    close(dc, a.numpy() ** 2)


def test_what_a_function_captures_is_not_followed_further():
    # h comes from w, and f uses both: w gets the part through h once, not twice
    w = tg.Parameter(np.array([0.5, -1.0]), "w")
    h = tg.tanh(w * 2.0)
    close(tg.gradients(tg.checkpoint(lambda: (h * w).sum())(), w), [
        np.tanh(2 * v) + v * 2 * (1 - np.tanh(2 * v) ** 2) for v in (0.5, -1.0)
    ])  # fmt: skip


def test_one_output_of_several_can_be_captured():
    x = tg.tensor(np.arange(4.0))
    first, second = tg.split(x * x, 2)
    y = tg.checkpoint(lambda: (second * second[0] + first[1]).sum())()
    a, b = 4.0, 9.0
    close(tg.gradients(y, x), [0, 2 * 1 * 2.0, (2 * a + b) * 4, a * 6])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_both_modes_and_higher_derivatives(order):
    def f(x, s, w):
        @tg.checkpoint
        def step(x, s):
            s = tg.tanh(x + s @ w)  # w is captured, x and s are arguments
            return s * x, s

        y, s = step(x, s)
        return step(y * s, s)

    x, s, w = (RNG.normal(size=shape) for shape in (3, 3, (3, 3)))
    tg.check_gradients(f, x, s, w, order=order)


def test_second_derivatives_reach_parameters():
    w = tg.Parameter(np.array([3.0]), "w")
    x = np.array([2.0])
    f = tg.checkpoint(lambda x: (w * x * x).sum())
    slope = tg.grad(f)(x)
    close(tg.gradients((slope * slope).sum(), w), 8 * w.numpy() * x**2)
    close(tg.hessian(tg.checkpoint(lambda x: (x * x * x).sum()))(np.array([1.0, 2.0])),
          np.diag([6.0, 12.0]))  # fmt: skip


def test_nested_and_inside_transforms():
    w = tg.Parameter(np.array([0.3, 0.7]), "w")
    inner = tg.checkpoint(lambda x: tg.sin(x * w))
    outer = tg.checkpoint(lambda x: inner(inner(x) + w).sum())
    plain = lambda x: tg.sin((tg.sin(x * w) + w) * w).sum()  # noqa: E731
    x = tg.tensor(np.array([0.2, -0.4]))
    for f in (outer, tg.checkpoint(outer)):
        for found, wanted in zip(
            tg.gradients(f(x), [x, w]), tg.gradients(plain(x), [x, w]), strict=True
        ):
            close(found, wanted)
        close(tg.hessian(f)(x.numpy()), tg.hessian(plain)(x.numpy()))
    through = tg.checkpoint(lambda x: tg.grad(plain)(x).sum())  # a transform inside
    close(tg.gradients(through(x), w), tg.gradients(tg.grad(plain)(x).sum(), w))


def test_a_record_may_be_kept_and_used_again():
    x = tg.tensor(np.array([1.0, 2.0]))
    loss = tg.checkpoint(lambda x: (x * x).sum())(x)
    close(tg.gradients(loss, x, keep_record=True), [2.0, 4.0])
    close(tg.gradients(loss, x), [2.0, 4.0])
    with pytest.raises(RuntimeError, match=r"checkpoint: this record was differentiated before"):
        tg.gradients(loss, x)


def test_nothing_to_differentiate_is_no_record():
    f = tg.checkpoint(lambda x: tg.tanh(x))
    close(f(np.zeros(2)), np.zeros(2))
    with tg.no_grad():
        y = f(tg.tensor(np.zeros(2)))
    assert not y.recorded
    x = tg.tensor(np.ones(2))
    assert not tg.checkpoint(lambda x: x.detach() * 2.0)(x).recorded


def test_arguments_that_are_not_used_cost_nothing_and_get_zeros():
    x, unused = tg.tensor(np.ones(2)), tg.tensor(np.ones(3))
    y = tg.checkpoint(lambda x, unused: x * 2.0)(x, unused)
    assert unused._node not in y._node.inputs
    close(tg.gradients(y.sum(), unused), np.zeros(3))


# -- how often, where, and remains ---------------------------------------------------------------


def counted(f):
    calls = []

    def g(*args):
        calls.append(current().place)
        return f(*args)

    return g, calls


def test_it_runs_once_more_for_a_sweep_in_its_own_place():
    w, b = tg.Parameter(np.ones(2), "w"), tg.Parameter(np.ones(2), "b")
    f, calls = counted(lambda x: x * w + b)
    with tg.scope("net"), tg.timestep(7):
        y = tg.checkpoint(f)(tg.tensor(np.ones(2)))
    with tg.scope("elsewhere"), tg.timestep(1):
        y.sum().backward()
    assert [(p.step, p.scopes) for p in calls] == [(7, ("net",))] * 2
    assert current().place.step is None
    calls.clear()
    tg.jvp(lambda x, b: tg.checkpoint(f)(x) + b, (np.ones(2), np.ones(2)), (np.ones(2), np.ones(2)))
    assert len(calls) == 2


def test_errors_and_anomalies_inside_name_their_step():
    f = tg.checkpoint(lambda x: tg.sqrt(x))
    x = tg.tensor(np.array([0.0]))
    with tg.timestep(4):
        y = f(x)
    message = r"backward of sqrt in timestep 4"
    with tg.detect_anomaly(), pytest.raises(FloatingPointError, match=message):
        y.sum().backward()
    with tg.timestep(4):
        (use,) = tg.gradients_of_uses(tg.checkpoint(lambda x: x * x)(x).sum(), x)
    assert (use.step, use.operation) == (4, "checkpoint")


def test_nothing_of_the_inner_record_stays():
    gc.collect()
    gc.disable()
    try:
        inside = []

        def f(x):
            y = tg.tanh(x) * x
            inside.append(weakref.ref(y._node))
            return y * 2.0

        x = tg.tensor(np.ones(3))
        y = tg.checkpoint(f)(x)
        assert inside[0]() is None
        loss = y.sum()
        tg.gradients(loss, x, keep_record=True)
        tg.jvp(tg.checkpoint(f), (np.ones(3),), (np.ones(3),))
        loss.backward()
        assert [ref() for ref in inside] == [None] * len(inside)
        assert len(inside) == 5
        kept = weakref.ref(y._node)
        del y, loss
        assert kept() is None
    finally:
        gc.enable()


def test_memory_is_that_of_the_arguments():
    n, steps = 50_000, 20
    x = np.ones(n)

    def deep(s):
        for _ in range(steps):
            s = tg.tanh(s * 0.9)
        return s

    def held(f):
        w = tg.tensor(x)
        tracemalloc.start()
        y = f(f(w))
        now, _ = tracemalloc.get_traced_memory()
        tg.gradients(y.sum(), w)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return now / x.nbytes, peak / x.nbytes

    plain, peak = held(deep)
    lean, lean_peak = held(tg.checkpoint(deep))
    assert plain > 2 * steps
    assert lean < 3  # two results
    assert lean_peak < 0.8 * peak  # one half of the record at a time


def test_saved_arguments_are_freed_by_a_sweep():
    data, x = np.ones(1000), tg.tensor(np.ones(1000))
    alive = weakref.ref(data)
    loss = tg.checkpoint(lambda x, data: (x * data).sum())(x, data)
    del data
    assert alive() is not None
    loss.backward()
    assert alive() is None


# -- random numbers ------------------------------------------------------------------------------

GLOBAL = np.random.default_rng(5)


def noisy(x):
    return x * GLOBAL.normal(size=3)


class Noise(tg.Cell):
    def __init__(self, rng):
        self.rng = {"own": [np.random.default_rng(rng)]}
        self.W = tg.Parameter(np.eye(3), "W", np.float64)

    def step(self, x, s):
        s = tg.dropout(tg.tanh(x + s @ self.W), 0.4, self.rng["own"][0])
        return s, s


def drawing(kind):
    """(function, its arguments, a generator) that draws in one of the ways there are."""
    rng = np.random.default_rng(3)
    x = tg.tensor(np.array([1.0, 2.0, 3.0]))
    if kind == "argument":
        return lambda x, rng: tg.dropout(x, 0.5, rng) * x, (x, rng), rng
    if kind == "nested argument":
        return lambda x, o: tg.dropout(x, 0.5, o["rng"][0]) * x, (x, {"rng": [rng]}), rng
    if kind == "closure":
        return lambda x: tg.dropout(x, 0.5, rng) * x, (x,), rng
    if kind == "closure of a closure":
        mask = lambda: rng.normal(size=3)  # noqa: E731
        return lambda x: x * mask() * x, (x,), rng
    if kind == "default":
        return lambda x, rng=rng: tg.dropout(x, 0.5, rng) * x, (x,), rng
    if kind == "partial":
        return functools.partial(lambda x, rng: x * rng.normal(size=3), rng=rng), (x,), rng
    if kind == "global":
        return lambda x: noisy(x) * x, (x,), GLOBAL
    if kind == "attribute":
        cell = Noise(3)
        return cell.step, (x, tg.tensor(np.ones(3))), cell.rng["own"][0]
    assert kind == "cell in a closure"
    cell = Noise(3)
    f = lambda x, s: tg.unroll(cell, [x[None], x[None]], s[None]).outputs  # noqa: E731
    return f, (x, tg.tensor(np.ones(3))), cell.rng["own"][0]


@pytest.mark.parametrize(
    "kind",
    ["argument", "nested argument", "closure", "closure of a closure", "default", "partial",
     "global", "attribute", "cell in a closure"],
)  # fmt: skip
def test_draws_are_replayed(kind):
    f, args, rng = drawing(kind)
    state = rng.bit_generator.state

    def run(f):
        rng.bit_generator.state = state
        y = f(*args)
        y = y[0] if isinstance(y, tuple) else y
        rng.normal()  # somebody else draws before the backward pass
        g = tg.gradients(y.sum(), args[0])
        return y.numpy(), g, rng.normal()

    for plain, again in zip(run(f), run(tg.checkpoint(f)), strict=True):
        close(plain, again)


def test_draws_are_replayed_in_nested_checkpoints_and_for_second_derivatives():
    rng = np.random.default_rng(1)
    inner = tg.checkpoint(lambda x: tg.dropout(x * x, 0.5, rng))

    def f(x):
        return (inner(x) * tg.dropout(x, 0.5, rng) * inner(x)).sum()

    def run(f):
        rng.bit_generator.state = np.random.default_rng(1).bit_generator.state
        return tg.hessian(f)(np.arange(1.0, 9.0)), rng.normal()

    for plain, again in zip(run(f), run(tg.checkpoint(f)), strict=True):
        close(plain, again)


# -- a second run that is another ----------------------------------------------------------------


def alternating(first, second):
    runs = iter([first, second, second])

    def model(x):
        return next(runs)(x)

    return model


W1, W2 = tg.Parameter(np.ones(2), "W1", np.float64), tg.Parameter(np.ones(2), "W2", np.float64)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (lambda x: x[:1], r"model gave a result \(2,\) float64 the first time and a result \(1,\)"),
        (lambda x: (x, x), r"gave a result .* the first time and 0 \(2,\) float64, 1 \(2,\)"),
        (lambda x: x.astype(np.float32), r"\(2,\) float64 the first time and .* float32"),
        (lambda x: x * [1.0, 1.001], r"model gave other values the second time \(shape \(2,\)\)"),
        (lambda x: x[::-1], "gave other values"),
        (lambda x: x * np.nan, "gave other values"),
        (lambda x: x * W1, "used 0 tensors from outside the first time and 1"),
        (lambda x: 1, r"the first time and a result int"),
    ],
)
@pytest.mark.parametrize(
    "differentiate",
    [lambda x, y: y.sum().backward(), lambda x, y: sweep.pushforward([(x, np.ones(2))], [y])],
    ids=["reverse", "forward"],
)
def test_a_function_that_gives_something_else_is_named(second, message, differentiate):
    x = tg.tensor(np.array([1.0, 2.0]))
    f = tg.checkpoint(alternating(lambda x: x * 1.0, second))
    with tg.timestep(3):
        y = f(x)
    with pytest.raises(RuntimeError, match=r"checkpoint in timestep 3: .*" + message):
        differentiate(x, y)


def test_other_tensors_from_outside_are_noticed():
    f = tg.checkpoint(alternating(lambda x: x * W1, lambda x: x * W2))
    with pytest.raises(RuntimeError, match=r"used 1 tensors from outside .* or others"):
        f(tg.tensor(np.ones(2))).sum().backward()


def test_a_seedless_draw_and_a_changed_array_are_noticed():
    x = tg.tensor(np.ones(50))
    fresh = tg.checkpoint(lambda x: tg.dropout(x, 0.5, np.random.default_rng()))
    with pytest.raises(RuntimeError, match=r"gave other values .* NumPy generator"):
        fresh(x).sum().backward()
    data = np.ones(50)
    y = tg.checkpoint(lambda x, data: x * data)(x, data)
    data[:] = 2.0
    with pytest.raises(RuntimeError, match="gave other values"):
        y.sum().backward()


def test_a_parameter_changed_in_between_is_an_error_as_ever():
    w = tg.Parameter(np.ones(2), "w")
    y = tg.checkpoint(lambda: w * w)()
    w.assign(np.zeros(2))
    with pytest.raises(RuntimeError, match="parameter 'w' was given another value"):
        y.sum().backward()


def test_values_that_are_not_finite_do_not_hide_the_rest():
    x = tg.tensor(np.array([np.inf, 2.0]))
    y = tg.checkpoint(lambda x: x * 3.0)(x)
    close(tg.gradients(y, x, np.ones(2)), [3.0, 3.0])


def test_it_keeps_name_and_docstring():
    def f(x):
        """Twice."""
        return 2 * x

    g = tg.checkpoint(f)
    assert (g.__name__, g.__doc__) == ("f", "Twice.")
    assert tg.checkpoint(functools.partial(f))(1) == 2


def test_it_can_be_drawn_and_read():
    pytest.importorskip("matplotlib")
    w = tg.Parameter(np.ones((2, 2)), "w")
    s, xs = tg.tensor(np.ones((1, 2))), np.ones((3, 1, 2))
    step = tg.checkpoint(lambda x, s: tg.tanh(x + s @ w))
    for t, x in enumerate(xs, 1):
        with tg.timestep(t):
            s = step(x, s)
    assert "checkpoint" in tg.draw(s.sum(), backward=True).svg


def test_truth_values_and_positions_go_in_and_out():
    x = tg.tensor(np.array([1.0, -2.0, 3.0], np.float32))

    @tg.checkpoint
    def f(x, mask):
        return tg.where(mask, x * x, x) * mask, x > 2.0, tg.argmax(x)

    y, large, place = f(x, x > 0)
    assert (large.dtype, place.dtype, place.item()) == (bool, int, 2)
    assert ((large + 0.5).dtype, (place * 1.5).dtype) == (np.float32, np.float32)
    close(tg.gradients((y * large + y * place).sum(), x), np.float32([4.0, 0.0, 18.0]))
