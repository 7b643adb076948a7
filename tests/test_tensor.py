"""Tensors and parameters: values, dtypes, refusals, and the gradients that `backward` leaves."""

import asyncio
import copy
import math
import operator
import pickle
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.ops.without_rule import INSTEAD

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


# -- values and dtypes ---------------------------------------------------------------------------


def test_numbers_become_float32_and_float_arrays_keep_their_dtype():
    assert tg.tensor([1, 2]).dtype == F32
    assert tg.tensor(1.5).dtype == F32
    assert tg.tensor(np.ones(2)).dtype == F64
    assert tg.tensor(np.float64(1)).dtype == F64
    assert tg.tensor(np.ones(2, np.float32)).dtype == F32
    assert tg.tensor([1.0], dtype=np.float64).dtype == F64
    assert tg.Parameter(np.ones(2, int).tolist()).dtype == F32
    assert tg.zeros(3).dtype == tg.ones((2, 2)).dtype == F32


@pytest.mark.parametrize("make", [tg.tensor, tg.Parameter])
def test_integers_and_complex_numbers_are_refused(make):
    with pytest.raises(TypeError, match=r"gradients need real floats, given int64 of shape \(3,\)"):
        make(np.arange(3))
    with pytest.raises(TypeError, match="given bool"):
        make(np.array([True]))
    with pytest.raises(TypeError, match="given complex128"):
        make(np.array([1j]))
    with pytest.raises(TypeError, match="complex"):
        make([1j])
    with pytest.raises(TypeError, match="given"):
        make([1.0], dtype=int)
    with pytest.raises(TypeError, match=r"given a tensor; use \.detach\(\)"):
        make(tg.ones(2))
    assert make(np.arange(3), dtype=np.float32).dtype == F32


def test_the_data_are_copied():
    data = np.ones(2)
    t, p = tg.tensor(data), tg.Parameter(data)
    data[0] = 5
    assert t.numpy()[0] == p.numpy()[0] == 1


CONSTANTS = [
    2,
    2.5,
    True,
    np.float64(2.5),
    np.float32(2.5),
    np.int64(2),
    np.array(2.5),
    np.ones(2),
    np.ones(2, np.float32),
    np.arange(2),
    np.array([True, False]),
    [1.0, 2.0],
    np.array([[1.0], [2.0]]) > 1.5,
]


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("constant", CONSTANTS, ids=repr)
def test_constants_take_the_tensors_dtype(constant, dtype):
    value = np.array([0.5, 1.5], dtype)
    for operate in (
        lambda a, b: a + b,
        lambda a, b: b - a,
        lambda a, b: a * b,
        lambda a, b: b / a,
        lambda a, b: tg.where(np.array([True, False]), a, b),
    ):
        x = tg.tensor(value)
        y = operate(x, constant)
        assert y.dtype == dtype
        np.testing.assert_allclose(
            y.numpy(), operate_on_arrays(operate, value, constant), rtol=1e-6
        )
        g = tg.gradients(y.sum(), x)
        assert g.dtype == dtype
        assert g.shape == (2,)


def operate_on_arrays(operate, value, constant):
    return operate(value, np.asarray(constant, np.float64))


def test_a_float64_cotangent_and_mixed_precisions_keep_every_gradients_dtype():
    a, b = tg.tensor(np.ones(2, np.float32)), tg.tensor(np.ones(2))
    y = a * b
    assert y.dtype == F64
    da, db = tg.gradients(y, [a, b], np.array([1.0, 2.0]))
    assert (da.dtype, db.dtype) == (F32, F64)
    (a * 2.0).backward(np.ones(2))
    assert a.grad.dtype == F32
    da, db = tg.gradients((a * b).sum(), [a, b], create_graph=True)
    assert (da.dtype, db.dtype) == (F32, F64)


def test_constants_that_have_no_place_are_refused_by_name():
    x = tg.ones(2)
    with pytest.raises(TypeError, match="add: an argument is an array of complex128; wanted"):
        x + np.array([1j, 1j])
    with pytest.raises(TypeError, match="multiply: an argument is a str; wanted"):
        x * "2"
    message = "multiply in timestep 4: an argument is a NoneType"
    with tg.timestep(4), pytest.raises(TypeError, match=message):
        x * None
    with pytest.raises(TypeError, match="an argument is a"):
        x + 1j


# -- reading -------------------------------------------------------------------------------------


def test_what_is_handed_out_is_read_only():
    x = tg.ones((2, 2))
    view = x.numpy()
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 3
    (x * x).sum().backward()
    with pytest.raises(ValueError, match="read-only"):
        x.grad[0] = 3
    with pytest.raises(ValueError, match="read-only"):
        tg.gradients((x * x).sum(), x)[0] = 3


def test_items():
    assert tg.tensor([[2.5]]).item() == 2.5
    assert bool(tg.tensor([0.0])) is False
    with pytest.raises(ValueError, match=r"single entry, given shape \(2,\)"):
        tg.ones(2).item()
    with pytest.raises(ValueError, match="single entry"):
        bool(tg.ones(2))
    assert len(tg.ones((3, 2))) == 3
    with pytest.raises(TypeError, match="without axes"):
        len(tg.tensor(1.0))
    assert [row.shape for row in tg.ones((3, 2))] == [(2,)] * 3
    with pytest.raises(TypeError, match="without axes"):
        iter(tg.tensor(1.0))


def test_comparisons_give_truth_values():
    x = tg.tensor([1.0, 2.0])
    for found in (x < 1.5, x <= x, x > [1.5, 1.5], x >= 2, x == x, x != 1):
        assert isinstance(found, tg.Tensor)
        assert found.dtype == bool
        assert found.recorded
    assert x in {x}  # hashing is by identity


# -- cutting the record or changing it -----------------------------------------------------------


def test_assignment_is_refused_and_in_place_operators_rebind():
    x = tg.ones(2)
    with pytest.raises(TypeError, match=r"cannot be assigned into.*index_update"):
        x[0] = 2.0
    y = x
    y += 1.0
    assert y is not x
    assert x.numpy()[0] == 1
    with pytest.raises(AttributeError):
        x.value = 3


def test_a_tensor_does_not_become_an_array_by_itself():
    x = tg.ones(2)
    for turn in (
        np.asarray,
        np.array,
        lambda t: np.array([t, t]),
        lambda t: np.ones((2, 2)) * [t, t],
    ):
        with pytest.raises(TypeError, match=r"by itself.*use \.numpy\(\)"):
            turn(x)


CONVERSIONS = {
    "float": float,
    "int": int,
    "complex": complex,
    "sqrt": math.sqrt,
    "floor": math.floor,
    "%": lambda t: "%.3f" % t,  # noqa: UP031 - asks for a float
    "into an array": lambda t: np.zeros(2).__setitem__(0, t),
    "fromiter": lambda t: np.fromiter([t], float),
}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
@pytest.mark.parametrize("make", [lambda w: w, lambda w: (w * 2.0).sum()], ids=["leaf", "result"])
def test_a_recorded_tensor_does_not_become_a_number_by_itself(convert, make):
    t = make(tg.Parameter([2.0], "w").sum())
    with pytest.raises((TypeError, ValueError)) as caught:
        convert(t)
    said = caught.value.__cause__ or caught.value  # NumPy puts an error of its own on top of it
    assert re.search(r"is recorded.*\.item\(\).*\.numpy\(\)", str(said))
    convert(t.item())
    with tg.no_grad():  # nothing to cut
        convert(make(tg.Parameter([2.0], "w").sum()))
        convert(t)
    with tg.no_grad():
        plain = make(tg.Parameter([2.0], "w").sum())
    convert(plain)
    assert float(plain) == plain.item()


def test_a_float_is_no_index():
    t = tg.tensor(2.0)
    for use in (range, lambda t: [1, 2, 3][t], operator.index):
        with pytest.raises(TypeError, match=r"\.item\(\).*\.numpy\(\)"):
            use(t)
        with tg.no_grad(), pytest.raises(TypeError, match=r"\.item\(\).*\.numpy\(\)"):
            use(t)


def test_formatting_is_for_people():
    loss = (tg.tensor([[1.5]]) * 2.0).sum()
    assert f"{loss:.3f}|{loss:>8.2e}|{loss[None]:.0f}" == "3.000|3.00e+00|3"
    assert f"{loss}" == str(loss) == repr(loss)
    assert "{:.1f}".format(tg.Parameter([2.0], "w")) == "2.0"
    with pytest.raises(
        TypeError, match=r"'\.3f' is for one number, given a tensor of shape \(2,\)"
    ):
        f"{tg.ones(2):.3f}"


class Frame:
    """A container as pandas has them: it turns into an array, and knows NumPy's ufuncs."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.dtype, self.shape = self.values.dtype, self.values.shape

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        found = getattr(ufunc, method)(*[np.asarray(x) for x in inputs], **kwargs)
        return Frame(found)


FOREIGN = {
    "frame": lambda a: Frame(np.asarray(a, np.float64)),
    "matrix": lambda a: np.asarray(a).view(np.matrix) if np.ndim(a) == 2 else np.asarray(a),
    "nothing masked": lambda a: np.ma.masked_array(a, mask=False),
    "memory map": lambda a: np.asarray(a).view(np.memmap),
    "records": lambda a: np.asarray(a).view(np.recarray),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("container", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("dtype", [F32, F64])
def test_foreign_containers_become_arrays(container, dtype):
    numbers = np.array([[1.0, 2.0], [3.0, 4.0]], dtype)
    given = container(numbers)
    w = tg.Parameter(np.ones((2, 2)), "w", dtype=np.float32)
    w.assign(given)
    w.grad = given
    assert type(w._value) is type(w.grad) is np.ndarray
    for made in (w, tg.tensor(given, dtype=dtype), tg.Parameter(given, dtype=np.float32)):
        assert type(made._value) is np.ndarray
        np.testing.assert_array_equal(made.numpy(), numbers)
    assert tg.tensor(given).dtype == given.dtype
    x = tg.ones((2, 2))
    for y in (
        x * given,
        tg.multiply(given, x),
        x - given,
        x / given,
        x @ given,
        tg.stack([x, given]),
    ):
        assert type(y._value) is np.ndarray
        assert y.dtype == np.float32
        assert y[0].shape == y.shape[1:]
    np.testing.assert_array_equal((x * given).numpy(), numbers)
    np.testing.assert_array_equal(tg.gradients((x * given).sum(), x), numbers)


def test_masked_entries_and_what_holds_no_numbers_are_refused():
    masked = np.ma.masked_array([1.0, 2.0, 3.0], mask=[False, True, False])
    x, w = tg.ones(3), tg.Parameter(np.ones(3), "w")
    message = r"{}: given a masked array of shape \(3,\) with 1 masked entries; .*\.filled\(0\)"
    for use, who in (
        (lambda: tg.tensor(masked), "tensor"),
        (lambda: tg.Parameter(masked, "v"), "Parameter v"),
        (lambda: w.assign(masked), "assign to tensor 'w'"),
        (lambda: setattr(w, "grad", masked), "grad"),
        (lambda: x * masked, "multiply"),
        (lambda: tg.add(masked, x), "add"),
        (lambda: tg.stack([x, masked]), "stack"),
    ):
        with pytest.raises(TypeError, match=message.format(who)):
            use()
    texts = Frame(np.array(["a", "b", "c"], object))
    with pytest.raises(TypeError, match="multiply: an argument is an array of object"):
        x * texts
    with pytest.raises(TypeError, match="assign to tensor 'w': given object"):
        w.assign(texts)
    with pytest.raises(TypeError, match="assign to tensor 'w': given complex128"):
        w.assign(np.ones(3) * 1j)
    assert w.version == 0


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("sigmoid", r"; use tg\.sigmoid\(x\)$"),
        ("view", r"; use x\.reshape\(shape\)$"),
        ("copy", "; use x, whose value never changes$"),
        ("colour", "has no attribute 'colour'$"),
    ],
)
def test_an_attribute_of_other_libraries_is_answered(name, instead):
    with pytest.raises(AttributeError, match=instead):
        getattr(tg.tensor([1.0]), name)
    assert not hasattr(tg.Parameter([1.0]), name)


def test_substitutes_are_not_listed_and_do_not_slow_other_attributes():
    x = tg.tensor([1.0])
    assert {"sum", "grad", "shape"} <= set(dir(x))
    assert not {"view", "clone", "sigmoid", "add_"} & set(dir(x))
    assert not hasattr(type(x), "__getattr__")  # Python specialises no attribute of such a type


def test_numpy_functions_dispatch_or_refuse():
    x = tg.tensor([1.0, 4.0])
    assert isinstance(np.sqrt(x), tg.Tensor)
    assert isinstance(np.add(np.ones(2), x), tg.Tensor)
    assert isinstance(np.ones(2) * x, tg.Tensor)
    assert isinstance(np.stack([x, x]), tg.Tensor)
    with pytest.raises(TypeError, match=r"np\.gcd has no rule for tensors"):
        np.gcd(x, 2)
    with pytest.raises(TypeError, match=r"np\.add\.reduce has no rule"):
        np.add.reduce(x)
    with pytest.raises(TypeError, match=r"np\.sqrt with out has no rule"):
        np.sqrt(x, out=np.zeros(2))
    with pytest.raises(TypeError, match=r"np\.unique has no rule for tensors; use \.numpy\(\) if"):
        np.unique(x)


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (np.add.reduce, r"np\.add\.reduce .*use tg\.sum\(x, axis\), or \.numpy\(\)"),
        (np.multiply.accumulate, r"use tg\.cumprod\(x, axis\), or \.numpy\(\)"),
        (lambda x: np.add.at(x, 0, 1.0), r"use tg\.index_add"),
        (lambda x: np.put(x, 0, 1.0), r"use tg\.index_update"),
        (lambda x: np.sqrt(x, out=np.zeros(2)), r"sqrt with out .*use tg\.sqrt, which gives a new"),
    ],
)
def test_what_has_no_rule_is_told_what_does_the_same(call, instead):
    with pytest.raises(TypeError, match=instead):
        call(tg.tensor([1.0, 4.0]))


def test_integers_stay_integers():
    x = tg.tensor([1.0, -2.0, 3.0])
    n, order = (x > 0).sum(), x.argsort()
    results = [-n, abs(-n), +n, -order, abs(order), round(n), np.square(order), order.clip(0, 1)]
    assert [r.dtype.kind for r in results] == ["i"] * len(results)
    assert [r.tolist() for r in results] == [
        *(-2, 2, 2, [-1, 0, -2], [1, 0, 2], 2, [1, 0, 4], [1, 0, 1])
    ]
    assert x[-order + 2].tolist() == [-2.0, 3.0, 1.0]
    assert (tg.exp(n).dtype, tg.reciprocal(n).item()) == (F32, 0.5)
    assert tg.softmax(order).dtype == F32
    np.testing.assert_allclose(tg.softmax(order).numpy(), tg.softmax(order * 1.0).numpy())
    assert tg.nan_to_num(order) is order
    assert abs(x > 0).tolist() == [1.0, 0.0, 1.0]
    with pytest.raises(TypeError, match=r"negative: .*the `~` operator"):
        np.negative(x > 0)


def test_positions_of_a_mask_are_plain():
    x = tg.tensor([[1.0, -2.0], [3.0, 0.0]])
    for where in (np.where, tg.where, np.nonzero, tg.nonzero):
        rows, columns = where(x > 0)
        assert (rows.tolist(), columns.tolist()) == ([0, 1], [0, 0])
    assert np.argwhere(x > 0).tolist() == [[0, 0], [1, 0]]
    assert np.flatnonzero(x > 0).tolist() == (x > 0).ravel().nonzero()[0].tolist() == [0, 2]
    assert x[np.where(x > 0)].tolist() == [1.0, 3.0]
    with pytest.raises(TypeError, match=r"where: given one of a and b; wanted both or none"):
        tg.where(x > 0, x)


def test_divmod_round_and_count_nonzero():
    x = tg.tensor([7.5, -7.5])
    whole, rest = divmod(x, 2)
    assert (whole.tolist(), rest.tolist()) == ([3.0, -4.0], [1.5, 0.5])
    assert [part.tolist() for part in divmod(7.5, x)] == [[1.0, -1.0], [0.0, 0.0]]
    assert np.divmod(x, 2)[1].tolist() == [1.5, 0.5]
    assert tg.gradients(rest.sum(), x).tolist() == [1.0, 1.0]
    assert (round(x).tolist(), round(tg.tensor(1.26), 1).item()) == ([8.0, -8.0], F32.type(1.3))
    counted = np.count_nonzero(x > 0, axis=0)
    assert (counted.item(), counted.dtype.kind) == (1, "i")


def test_a_tensor_is_unequal_to_none_and_to_names():
    x = tg.tensor([1.0, 2.0])
    assert (x == None, x != None, x == "x") == (False, True, False)  # noqa: E711
    assert "x" not in ["y", x]
    with pytest.raises(TypeError, match="equal: an argument is a dict"):
        x == {}  # noqa: B015


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((i for i in range(3)), r"given a generator; .*; make a list\(\.\.\.\) of it$"),
        ({}, "given a dict; wanted numbers, as an array or nested lists$"),
        ({1, 2}, "given a set; wanted"),
        (None, "given a NoneType; wanted"),
        ("12", "given a str; wanted"),
        ([1.0, None], "given a list; wanted"),
    ],
)
def test_no_numbers(data, message):
    with pytest.raises(TypeError, match=f"tensor: {message}"):
        tg.tensor(data)


def test_lists_of_different_lengths():
    with pytest.raises(ValueError, match=r"tensor: the lists are no array: .*inhomogeneous"):
        tg.tensor([[1.0], [1.0, 2.0]])


def test_a_detached_number_is_a_number():
    loss = (tg.tensor([1.0, 2.0]) * 2.0).sum()
    assert float(loss.detach()) == 6.0
    assert int(loss.detach()) == 6
    with pytest.raises(TypeError, match="gradient would be lost"):
        float(loss.detach() * 2.0)


def test_what_does_the_same_exists():
    names = re.findall(r"tg\.(\w+)", " ".join(INSTEAD.values()))
    assert len(names) > 10
    assert all(hasattr(tg, name) for name in names)


def test_an_array_cannot_be_changed_by_a_tensor():
    total = np.zeros(2)
    with pytest.raises(TypeError, match=r"np\.add with out has no rule"):
        total += tg.ones(2)


# -- gradients left by backward ------------------------------------------------------------------


def test_backward_replaces_and_accumulates_when_asked():
    w = tg.Parameter([1.0, 2.0], "w")
    (w * w).sum().backward()
    np.testing.assert_array_equal(w.grad, [2, 4])
    (3.0 * w).sum().backward()
    np.testing.assert_array_equal(w.grad, [3, 3])
    (3.0 * w).sum().backward(accumulate=True)
    (w * w).sum().backward(accumulate=True)
    np.testing.assert_array_equal(w.grad, [8, 10])


def test_every_leaf_that_was_used_gets_a_gradient():
    w, b, unused = tg.Parameter([1.0], "w"), tg.tensor([2.0]), tg.Parameter([1.0], "unused")
    y = w * b
    (y + 0.0 * y.detach()).sum().backward()
    assert w.grad is not None
    assert b.grad is not None
    assert unused.grad is None


def test_only_leaves_have_grad():
    x = tg.ones(2)
    y = (x * 2.0).named("y")
    for other in (y, y.detach()):
        with pytest.raises(RuntimeError, match=r"tensor 'y' is not a parameter.*tg\.gradients"):
            other.grad  # noqa: B018
    with tg.no_grad():
        z = x * 2.0
    with pytest.raises(RuntimeError, match=r"a tensor of shape \(2,\) is not"):
        z.grad = 1


def test_grad_may_be_set_to_an_array_of_the_shape():
    w = tg.Parameter([1.0, 2.0], "w")
    w.grad = np.array([1.0, 2.0])
    assert w.grad.dtype == F32
    with pytest.raises(ValueError, match=r"grad: given shape \(3,\), wanted \(2,\)"):
        w.grad = np.ones(3)
    w.grad = None
    assert w.grad is None


def test_a_changed_parameter_has_no_gradient_and_stops_old_records():
    w = tg.Parameter([1.0, 2.0], "w")
    loss = (w * w).sum()
    (w * w).sum().backward()
    w.assign([5.0, 6.0])
    assert w.grad is None
    assert w.version == 1
    message = "parameter 'w' was given another value after it was used in this record"
    with pytest.raises(RuntimeError, match=message):
        loss.backward()
    with pytest.raises(RuntimeError, match=message):
        tg.gradients(loss, w)
    with pytest.raises(RuntimeError, match=message):
        tg.gradients_of_uses(loss, w)
    assert w.grad is None
    (w * w).sum().backward()
    np.testing.assert_array_equal(w.grad, [10, 12])


def test_views_of_a_parameter_show_the_old_value_after_a_change():
    w = tg.Parameter([1.0, 2.0], "w")
    before = w.numpy()
    w.assign([5.0, 6.0])
    np.testing.assert_array_equal(before, [1, 2])
    with pytest.raises(
        ValueError, match=r"assign to tensor 'w': given shape \(3,\), wanted \(2,\)"
    ):
        w.assign(np.ones(3))
    assert w.version == 1


def test_gradients_of_two_backward_calls_are_refused_by_the_optimiser():
    a, b = tg.Parameter([1.0], "a"), tg.Parameter([1.0], "b")
    optimiser = tg.optim.SGD([a, b], lr=1.0)
    (a * b).sum().backward()
    (a * 2.0).sum().backward()
    with pytest.raises(RuntimeError, match="'a' and 'b' were left by different backward"):
        optimiser.step()
    assert a.version == b.version == 0
    (a * b).sum().backward()
    (a * 2.0).sum().backward(accumulate=True)
    optimiser.step()
    assert (a.item(), b.item()) == (-2.0, 0.0)
    with pytest.raises(RuntimeError, match="parameter 'a' has no gradient"):
        optimiser.step()


def test_accumulating_does_not_reach_back_over_a_step():
    a = tg.Parameter([1.0], "a")
    optimiser = tg.optim.SGD([a], lr=1.0)
    (a * 2.0).sum().backward()
    optimiser.step()
    (a * 3.0).sum().backward(accumulate=True)
    np.testing.assert_array_equal(a.grad, [3])


def in_threads(jobs):
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_accumulate_together():
    a, b = tg.Parameter([1.0], "a"), tg.Parameter([1.0], "b")
    optimiser = tg.optim.SGD([a, b], lr=1.0)
    for first in (None, 1000.0):  # with and without a backward of the main thread before
        for _ in range(2):
            if first is not None:
                (first * a).sum().backward()
            for i in range(16):  # one after the other, each in a thread of its own
                in_threads([lambda i=i: (a * float(i)).sum().backward(accumulate=True)])
            in_threads([lambda: (b * 2.0).sum().backward(accumulate=True)] * 16)  # at once
            assert a.grad[0] == 120 + (first or 0)
            assert b.grad[0] == 32
            optimiser.step()  # of one generation
            assert a.grad is b.grad is None


def test_threads_accumulate_for_the_one_that_began_last():
    a, b = tg.Parameter([1.0], "a"), tg.Parameter([1.0], "b")
    optimiser = tg.optim.SGD([a, b], lr=1.0)
    for _ in range(2):
        in_threads([lambda: (a * 1.0).sum().backward()])  # a training of its own, which ends
        (a * 2.0).sum().backward()
        in_threads([lambda: (b * 3.0).sum().backward(accumulate=True)])
        optimiser.step()
    assert (a.item(), b.item()) == (-3.0, -5.0)


def test_workers_that_live_on_accumulate_into_every_step():
    w = tg.Parameter([1.0], "w")
    optimiser = tg.optim.SGD([w], lr=0.0)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for future in [
                pool.submit(lambda i: (w * float(i)).sum().backward(accumulate=True), i)
                for i in range(16)
            ]:
                future.result()
            assert w.grad[0] == 120
            optimiser.step()


def test_tasks_accumulate_together():
    w = tg.Parameter([1.0], "w")
    optimiser = tg.optim.SGD([w], lr=0.0)

    async def work(i):
        await asyncio.sleep(0)
        (w * float(i)).sum().backward(accumulate=True)

    async def together(first):
        if first:
            (w * 0.0).sum().backward()
        waiting = [asyncio.create_task(work(i)) for i in range(8)]
        await asyncio.gather(*waiting, *[work(i) for i in range(8, 16)])

    for first in (False, True, False):
        asyncio.run(together(first))
        assert w.grad[0] == 120
        optimiser.step()


def test_trainings_in_two_threads_do_not_disturb_each_other():
    here, there = tg.Parameter([1.0], "here"), tg.Parameter([1.0], "there")

    def elsewhere():
        (there * 5.0).sum().backward()
        tg.optim.SGD(there, lr=1.0).step()
        (there * 5.0).sum().backward()

    (here * 2.0).sum().backward()
    in_threads([elsewhere])
    (here * 3.0).sum().backward(accumulate=True)
    assert (here.grad[0], there.grad[0]) == (5, 5)
    tg.optim.SGD(here, lr=1.0).step()
    (here * 3.0).sum().backward(accumulate=True)
    assert here.grad[0] == 3


def test_an_old_gradient_is_not_added_to():
    a, b = tg.Parameter([1.0], "a"), tg.Parameter([1.0], "b")
    (a * b).sum().backward()
    (a * 2.0).sum().backward()
    (b * 3.0).sum().backward(accumulate=True)  # b's first gradient is of the call before the last
    assert (a.grad[0], b.grad[0]) == (2, 3)
    tg.optim.SGD([a, b], lr=1.0).step()


def test_a_gradient_set_by_hand_is_added_to():
    w = tg.Parameter([1.0], "w")
    w.grad = [10.0]
    (w * 2.0).sum().backward(accumulate=True)
    assert w.grad[0] == 12
    tg.optim.SGD(w, lr=1.0).step()
    assert w.item() == -11


def test_a_copied_parameter_is_its_own():
    w = tg.Parameter([1.0], "w")
    other = copy.deepcopy(w)
    assert other.name == "w"
    other.assign([2.0])
    assert w.item() == 1
    (w * other).sum().backward()
    assert (w.grad[0], other.grad[0]) == (2, 1)


WAYS = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda t: pickle.loads(pickle.dumps(t)),
    "in a list": lambda t: copy.deepcopy([t])[0],
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_leaves_and_unrecorded_tensors_are_copied_and_pickled(way):
    with tg.no_grad():
        plain = tg.ones(2) * 2.0
    leaf, w = tg.tensor([1.0, 2.0], "x"), tg.Parameter(3.0, "w", dtype=np.float64)
    for t in (plain, leaf, leaf.detach(), w):
        other = way(t)
        assert type(other) is type(t)
        assert other is not t
        assert (other.name, other.dtype, other.recorded) == (t.name, t.dtype, t.recorded)
        np.testing.assert_array_equal(other.numpy(), t.numpy())
        assert not np.shares_memory(other.numpy(), t.numpy())
    (way(w) * way(leaf)).sum().backward()
    assert w.grad is leaf.grad is None


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_recorded_tensor_says_how_to_copy_it(way):
    y = tg.tensor([1.0])
    for _ in range(5000):
        y = y * 1.0
    with pytest.raises(TypeError, match=r"part of a record.*\.detach\(\).*\.numpy\(\)"):
        way(y)
    way(y.detach())
    assert copy.copy(y) is y
    w = tg.Parameter([1.0], "w")
    copy.copy(w).assign([2.0])
    assert w.item() == 1


def test_names():
    x = tg.ones(2, name="x")
    assert x.name == "x"
    assert "name='x'" in repr(x)
    a, b = tg.split(x * 1.0, 2)
    a.named("first")
    assert (a.name, b.name) == ("first", None)
    assert a.detach().name == "first"
    assert repr(tg.Parameter([1.0], "w")).startswith("Parameter([1.]")
