"""vmap: the same numbers as a loop, at once where that is possible, and refusals."""

from typing import NamedTuple

import numpy as np
import pytest
from operator_table import ALL

import tinygrad_rnn as tg
from tinygrad_rnn.graph import record_order
from tinygrad_rnn.lanes import Lanes

RNG = np.random.default_rng(0)
B = 3


def close(a, b, tolerance=1e-12):
    a, b = (v.numpy() if isinstance(v, tg.Tensor) else v for v in (a, b))
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert np.shape(a) == np.shape(b)
    assert np.asarray(a).dtype == np.asarray(b).dtype


def operations(y):
    return [n.primitive.name for n in record_order([y._node]) if n.primitive]


# -- the same as a loop --------------------------------------------------------------------------


def of_both(f, *args, in_axes=0, out_axes=0):
    """Results, gradients and tangents: one example after the other, and as it goes by itself."""
    for loop in (True, None):
        mapped = tg.vmap(f, in_axes, out_axes, loop=loop)
        tensors = [tg.tensor(a) for a in args]
        ys = mapped(*tensors)
        ys = list(ys) if isinstance(ys, list | tuple) else [ys]
        recorded = [y for y in ys if isinstance(y, tg.Tensor) and y.recorded]
        found = [y.numpy() if isinstance(y, tg.Tensor) else y for y in ys]
        if recorded and tensors:
            ws = [np.cos(np.arange(y.size)).reshape(y.shape) for y in recorded]
            found += tg.gradients(recorded, tensors, ws)
            tangents = tuple(np.cos(np.arange(a.size)).reshape(a.shape) for a in args)
            pushed = tg.jvp(mapped, tuple(args), tangents)[1]
            found += list(pushed) if isinstance(pushed, list | tuple) else [pushed]
        yield found


@pytest.mark.parametrize("call", [c for c in ALL if c.arrays()], ids=repr)
def test_every_operator(call):
    definite = call.name == "cholesky"  # and would not be so with other entries in its place
    other = lambda a, b: a * (1 + b) if definite else np.roll(a, b)  # noqa: E731
    args = [np.stack([other(a, b) for b in range(B)]) for a in call.arrays()]
    looped, at_once = of_both(call, *args)
    assert len(looped) == len(at_once)
    for a, b in zip(looped, at_once, strict=True):
        close(a, b, 1e-9)


def test_nearly_every_operator_goes_at_once():
    """But for those that look at values, or turn their arguments into NumPy's own arrays."""
    names, looped = set(), set()
    for call in ALL:
        args = [tg.tensor(np.stack([a] * B)) for a in call.arrays()]
        if args:
            names.add(call.name)
            try:
                tg.vmap(call, loop=False)(*args)
            except ValueError:
                looped.add(call.name)
    assert {"cummax", "expm"} <= looped
    assert len(looped) < 0.1 * len(names)


def test_shapes_are_those_of_an_example():
    seen = []

    def f(x, y):
        seen.append((x.shape, x.ndim, x.size, len(x), y.shape, np.shape(x), len(list(x))))
        return x.sum(axis=0) / x.shape[0]

    xs = RNG.normal(size=(B, 4, 2))
    for x in (xs, tg.tensor(xs)):
        close(tg.vmap(f, loop=False)(x, np.ones((B, 5))), xs.mean(axis=1))
    assert seen == [((4, 2), 2, 8, 4, (5,), (4, 2), 4)] * 2


def test_a_call_at_once_is_one_node_and_f_runs_once():
    runs = []
    W = tg.Parameter(RNG.normal(size=(2, 2)), "W", np.float64)

    def f(x):
        runs.append(1)
        return tg.tanh(x @ W).sum()

    y = tg.vmap(f)(tg.tensor(RNG.normal(size=(50, 2))))
    assert (len(runs), operations(y)) == (1, ["vmap"])
    y.sum().backward()
    assert len(runs) == 2  # and once more for the backward pass
    y = tg.vmap(f, loop=True)(tg.tensor(RNG.normal(size=(50, 2))))
    assert len(runs) == 52
    assert len(operations(y)) > 100


class Pair(NamedTuple):
    a: object
    b: object


def test_axes_in_and_out_of_nested_structures():
    x = {"p": RNG.normal(size=(2, B)), "q": [RNG.normal(size=(B, 4)), np.float64(3.0)]}
    s = RNG.normal(size=4)

    def f(x, s, k):
        y = x["q"][0] * s * x["q"][1] + k
        return Pair(x["p"][0] * y, {"m": y, "n": x["p"], "s": s})

    axes = {
        "in_axes": ({"p": 1, "q": [0, None]}, None),
        "out_axes": Pair(0, {"m": -1, "n": 1, "s": None}),
    }
    k = np.arange(3.0)[:, None]  # a keyword argument: mapped over axis 0
    y = x["q"][0] * s * 3.0 + k
    for loop in (True, False):
        found = tg.vmap(f, **axes, loop=loop)(x, s, k=k)
        assert isinstance(found, Pair)
        close(found.a, x["p"][0][:, None] * y)
        close(found.b["m"], y.T)
        close(found.b["n"], x["p"])
        close(found.b["s"], s)
    close(tg.vmap(lambda a, b: a @ b, in_axes=[-1, 0], loop=False)(x["p"], np.ones((B, 2))),
          x["p"].sum(axis=0))  # fmt: skip


def test_parameters_and_arguments_for_all_get_the_sum():
    W = tg.Parameter(RNG.normal(size=(3, 3)), "W", np.float64)
    xs, b = tg.tensor(RNG.normal(size=(B, 3))), tg.tensor(RNG.normal(size=3))

    def f(x, b):
        h = tg.tanh(x @ W + b)
        return h @ W.T, (W * W).sum() + b.sum(), h[:2]  # one does not depend on the example

    found = []
    for loop in (True, False):
        for out in (0, (0, None, 1)):
            ys = tg.vmap(f, in_axes=(0, None), out_axes=out, loop=loop)(xs, b)
            loss = sum([(y * y).sum() for y in ys])
            found.append([loss.numpy(), *tg.gradients(loss, [xs, b, W])])
    for i in (0, 1):
        for looped, at_once in zip(found[i], found[2 + i], strict=True):
            close(looped, at_once)


def test_gradients_of_gradients():
    W = tg.Parameter(RNG.normal(size=(3, 3)), "W", np.float64)
    xs = RNG.normal(size=(B, 3))
    f = lambda x: tg.sin(x @ W).sum()  # noqa: E731
    tg.check_gradients(lambda xs: tg.vmap(f)(xs), xs)
    second = lambda loop: tg.hessian(lambda xs: tg.vmap(f, loop=loop)(xs).sum())(xs)  # noqa: E731
    close(second(True), second(False))
    total = lambda loop: (tg.grad(lambda xs: tg.vmap(f, loop=loop)(xs).sum())(xs) ** 2).sum()  # noqa: E731
    close(tg.gradients(total(True), W), tg.gradients(total(False), W))


@pytest.mark.parametrize("recording", [True, False])
def test_derivatives_of_every_example(recording):
    W = tg.Parameter(RNG.normal(size=(3, 3)), "W", np.float64)
    xs = RNG.normal(size=(B, 3))
    f = lambda x: (tg.tanh(x @ W)[:2] ** 2).sum() + x[[0, 0, 2]].prod()  # noqa: E731
    for transform in (tg.grad(f), tg.hessian(f), tg.jacobian(lambda x: tg.tanh(x @ W))):
        alone = np.stack([np.asarray(_plain(transform(x))) for x in xs])
        if recording:
            close(tg.vmap(transform)(xs), alone)
        else:
            with tg.no_grad():
                close(tg.vmap(transform, loop=False)(xs), alone)


def _plain(x):
    return x.numpy() if isinstance(x, tg.Tensor) else x


@pytest.mark.parametrize("size", [4, B, 1])  # of one size, axes could be taken for one another
def test_maps_of_maps(size):
    xs, ys = RNG.normal(size=(B, 2)), RNG.normal(size=(size, 2))
    table = tg.vmap(lambda x: tg.vmap(lambda y: tg.tanh(x * y).sum())(ys))
    close(table(xs), np.tanh(xs[:, None] * ys).sum(-1))
    x = tg.tensor(xs)
    close(tg.gradients(table(x).sum(), x), ((1 - np.tanh(xs[:, None] * ys) ** 2) * ys).sum(1))


def test_a_cell_of_single_examples():
    cell = tg.LSTMCell(3, 4, rng=0, dtype=np.float64)
    xs = RNG.normal(size=(5, B, 3))
    run = tg.vmap(lambda xs: tg.unroll(cell, xs[:, None]).outputs[:, 0], 1, 1, loop=False)
    close(run(xs), tg.unroll(cell, xs).outputs)
    for p in cell.parameters().values():
        close(
            tg.gradients((run(xs) ** 2).sum(), p),
            tg.gradients((tg.unroll(cell, xs).outputs ** 2).sum(), p),
        )


def test_arrays_in_arrays_out_and_no_record_under_no_grad():
    xs = RNG.normal(size=(B, 2))
    for loop in (True, None, False):
        assert type(tg.vmap(lambda x: tg.tanh(x) * 2.0, loop=loop)(xs)) is np.ndarray
        with tg.no_grad():
            y = tg.vmap(lambda x: x * x, loop=loop)(tg.tensor(xs))
        assert not y.recorded
        close(y, xs * xs)
    single = np.ones((B, 2), np.float32)
    w = tg.Parameter([1.0, 2.0], "w")
    mask = lambda x: w * (x > 0) * np.argmax(x)  # noqa: E731 - booleans and integers beside float32
    for loop in (True, False):
        assert tg.vmap(mask, loop=loop)(single).dtype == np.float32


# -- loops, and refusals -------------------------------------------------------------------------

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("f", "why"),
    [
        (lambda x: x * 2 if x[0] > 0 else x, "have no value in common"),
        (lambda x: x * x.sum().item(), "no value in common"),
        (lambda x: x * x.numpy().max(), "no value in common"),
        (lambda x: x * np.asarray([x[0].item()]), "no value in common"),
        (lambda x: tg.dropout(x, 0.5, RANDOM), "random numbers were drawn"),
    ],
)
def test_a_loop_where_values_are_asked_for(f, why):
    xs = tg.tensor(np.array([[1.0, -2.0], [-3.0, 4.0], [5.0, 6.0]]))
    state = RANDOM.bit_generator.state
    looped = tg.vmap(f, loop=True)(xs)
    after = RANDOM.bit_generator.state
    RANDOM.bit_generator.state = state
    close(tg.vmap(f)(xs), looped)
    assert RANDOM.bit_generator.state == after  # each example has draws of its own
    with pytest.raises(ValueError, match=rf"vmap: .*lambda> would need a loop .*{why}"):
        tg.vmap(f, loop=False)(xs)


def lanes(*shape):
    return Lanes(np.arange(B * np.prod(shape, dtype=int), dtype=float).reshape(B, *shape), "test")


def test_nothing_is_written_where_it_would_be_lost():
    a = lanes(2, 2)
    for view in (np.diagonal(a), np.atleast_3d(a), a.reshape(4)):
        with pytest.raises(TypeError, match="writing to an array that may be a view"):
            view[0] = 1.0
        with pytest.raises(TypeError, match="writing to an array that may be a view"):
            np.add.at(view, [0], 1.0)
    np.swapaxes(a, 0, 1)[0] = np.array([-1.0, -2.0])
    a[1, 1] = lanes()
    close(a.data[2], np.array([[-1.0, 9.0], [-2.0, 2.0]]))
    a += 1.0
    close(a.data[2], np.array([[0.0, 10.0], [-1.0, 3.0]]))
    buffer, b = np.zeros((2, 2)), lanes(2, 2)
    for write in (
        lambda: np.add(b, 1.0, out=buffer),
        lambda: np.copyto(buffer, b),
        lambda: np.add.at(buffer, 0, b[0]),
        lambda: np.sum(b, axis=0, out=buffer[0]),
        lambda: np.fill_diagonal(buffer, b[0]),
        lambda: buffer.__iadd__(b),
        lambda: buffer.__setitem__(0, b[0]),
        lambda: buffer.__setitem__((0, 0), b[0, 0]),
        lambda: np.array([b, b]),
    ):
        # NumPy says of an element that it is a sequence, and we of an array that it has no value
        with pytest.raises((TypeError, ValueError), match=r"one array|in common|with a sequence"):
            write()


def test_values_and_other_batch_axes_are_refused():
    for ask in (bool, float, int, hash, np.asarray, lambda x: [1, 2, 3][x], lambda x: x in [1.0]):
        with pytest.raises(TypeError):
            ask(lanes())
    other = Lanes(np.ones((B, 2)), "other")
    for mix in (
        lambda a: a + other,
        lambda a: np.concatenate([a, other]),
        lambda a: np.where(a > 0, a, other),
        lambda a: a.__setitem__(0, other[0]),
        lambda a: Lanes(a, "other"),
    ):
        with pytest.raises(TypeError, match="batch ax"):
            mix(lanes(2))


def test_a_buffer_that_f_writes_to_is_as_in_a_loop():
    def f(x):
        y = np.empty(2)
        np.exp(x, out=y)
        return y

    xs = RNG.normal(size=(B, 2))
    close(tg.vmap(f)(xs), np.exp(xs))


def test_a_fault_of_the_function_is_its_own():
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tg.vmap(f)(np.ones((B, 2)))
    with pytest.raises(ValueError, match=r"add: \(2,\) and \(3,\) do not broadcast"):
        tg.vmap(lambda x: x + np.ones(3))(tg.tensor(np.ones((B, 2))))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tg.vmap(cube, None)(1.0), ValueError, "no argument is mapped"),
        (lambda: tg.vmap(cube)(1.0), ValueError, "argument.0 is a float and has no axis 0"),
        (lambda: tg.vmap(cube, 2)(np.ones((2, 2))), ValueError,
         r"shape \(2, 2\) and has no axis 2"),
        (lambda: tg.vmap(add)(np.ones(2), np.ones(3)), ValueError,
         r"sizes \{'argument.0': 2, 'argument.1': 3\}"),
        (lambda: tg.vmap(cube)(np.ones((0, 2))), ValueError, r"sizes .* 1 or more"),
        (lambda: tg.vmap(add, (0,))(np.ones(2), np.ones(2)), ValueError,
         r"in_axes has parts \[0\]"),
        (lambda: tg.vmap(cube, "0")(np.ones(2)), TypeError, "in_axes has a str"),
        (lambda: tg.vmap(cube, 0, 2)(np.ones((2, 2))), ValueError,
         "out_axes is 2 where results have 1"),
        (lambda: tg.vmap(cube, 0, None)(np.arange(2.0)), ValueError,
         "out_axes is None but .* differ"),
        (lambda: tg.vmap(lambda x: "a")(np.ones(2)), TypeError, "f gave a str"),
        (lambda: tg.vmap(lambda x: x[: int(x[0])])(np.array([[1.0, 1], [2, 1]])), ValueError,
         r"shapes \(1,\) \(example 0\), \(2,\) \(example 1\)"),
        (lambda: tg.vmap(lambda x: (x,) * int(x))(np.arange(1.0, 3)), ValueError,
         r"\['0'\] for the first example and \['0', '1'\] for example 1"),
    ],
)  # fmt: skip
def test_wrong_axes_and_results_are_told(call, error, message):
    with pytest.raises(error, match="vmap: .*" + message):
        call()


def cube(x):
    return x * x * x


def add(a, b):
    return a + b


def test_through_per_example_gradients_and_checkpoints():
    W = tg.Parameter(RNG.normal(size=(3, 3)), "W", np.float64)
    xs = RNG.normal(size=(B, 3))
    f = lambda x: tg.sin(x @ W).sum()  # noqa: E731
    alone = np.stack([tg.gradients(f(x), W) for x in xs])
    close(tg.per_example_gradients(tg.vmap(f)(xs), W), alone)
    close(tg.gradients(tg.vmap(tg.checkpoint(f))(xs).sum(), W), alone.sum(0))
    close(tg.gradients(tg.checkpoint(tg.vmap(f))(xs).sum(), W), alone.sum(0))
