"""Modules: parameters in their attributes, values in and out, freezing, copies."""

import collections
import copy
import dataclasses
import pickle
import types

import numpy as np
import pytest

import tinygrad_rnn as tg


def parameter(*shape):
    return tg.Parameter(np.full(shape, 0.5))


class Attention:
    """A user's object that lists its parameters and is no module."""

    def __init__(self):
        self.key, self.query = parameter(2, 2), parameter(2, 3)

    def parameters(self):
        return {"key": self.key, "query": self.query}


class Listing:
    def __init__(self):
        self.own = [parameter(1), parameter(2)]

    def parameters(self):
        return iter(self.own)


@dataclasses.dataclass
class Pair:
    left: tg.Parameter
    right: tg.Cell


class Model(tg.Module):
    """Parameters in every kind of place."""

    def __init__(self):
        self.W = parameter(3, 3)
        self.ws = [parameter(1), (parameter(2), parameter(3))]
        self.cells = {"lower": tg.ElmanCell(2, 3, rng=0), "upper": tg.GRUCell(3, 2, rng=1)}
        self.attention = Attention()
        self.listing = Listing()
        self.pair = Pair(parameter(4), tg.LSTMCell(1, 1, rng=2))
        self.scale = tg.Buffer(np.ones(2))
        self.inner = {"deep": [{"buffer": tg.Buffer([1, 2])}]}
        self.tied = self.cells["lower"].U
        self.kind, self.sizes, self.function = tg.ElmanCell, {1, 2}, np.tanh


NAMES = [
    "W", "ws.0", "ws.1.0", "ws.1.1",
    "cells.lower.U", "cells.lower.W", "cells.lower.b",
    "cells.upper.U", "cells.upper.b", "cells.upper.W", "cells.upper.d",
    "attention.key", "attention.query", "listing.0", "listing.1",
    "pair.left", "pair.right.U", "pair.right.W", "pair.right.b",
]  # fmt: skip


def test_parameters_are_found_wherever_they_are_held():
    model = Model()
    assert list(model.parameters()) == NAMES  # the tied one under its first name only
    assert list(model.buffers()) == ["scale", "inner.deep.0.buffer"]
    assert list(model.modules()) == ["", "cells.lower", "cells.upper", "pair.right"]
    assert model.modules()[""] is model


def test_parameters_are_named_after_their_paths():
    model = Model()
    assert (model.W.name, model.ws[1][1].name, model.scale.name) == ("W", "ws.1.1", "scale")
    model.ws.append(parameter(7))
    assert model.parameters()["ws.2"].name == "ws.2"


def test_every_parameter_is_trained_wherever_it_is_held():
    model = Model()
    optimiser = tg.optim.SGD(model, lr=0.5)
    sum(p.sum() for p in model.parameters().values()).backward()
    before = model.state_dict()
    optimiser.step()
    for name, value in model.state_dict().items():
        change = 0 if name in model.buffers() else 0.5
        np.testing.assert_allclose(before[name] - value, change, rtol=1e-6)


def test_a_module_that_holds_its_owner_is_walked_once():
    model = Model()
    model.cells["lower"].owner = model
    model.itself = [model]
    assert list(model.parameters()) == NAMES


def test_other_containers():
    module = tg.Module()
    module.window = collections.deque([parameter(1), tg.ElmanCell(1, 2)])
    module.bag = types.SimpleNamespace(a=parameter(1), b=[parameter(2)])
    module.pairs = collections.OrderedDict([((1, 2), parameter(3))])
    assert list(module.parameters()) == [
        "window.0", "window.1.U", "window.1.W", "window.1.b", "bag.a", "bag.b.0", "pairs.(1, 2)",
    ]  # fmt: skip
    endless = []
    endless.append(endless)
    module.endless = endless
    assert len(module.parameters()) == 7


def test_an_own_list_of_parameters_is_taken_for_what_it_says():
    class Half(tg.Module):
        def __init__(self):
            self.A, self.B = parameter(1), parameter(2)
            self.fixed, self.drop = tg.Buffer([1.0]), tg.nn.Dropout(0.5)

        def parameters(self):
            return {"A": self.A}

    outer = tg.Module()
    outer.half = Half()
    assert list(outer.parameters()) == ["half.A"]
    assert list(outer.state_dict()) == ["half.A", "half.fixed"]
    assert not outer.eval().half.drop.training


def test_a_set_and_a_path_that_is_there_twice_are_refused():
    model = tg.Module()
    with pytest.raises(TypeError, match="heads: parameters in a set have no order"):
        model.heads = {parameter(1), parameter(2)}
    model = tg.Module()
    model.a = {"b.c": parameter(1), "b": {"c": parameter(2)}}
    with pytest.raises(ValueError, match=r"two of its parts have the path 'a\.b\.c'"):
        model.parameters()


def test_an_array_in_place_of_a_parameter_is_refused():
    cell = tg.ElmanCell(1, 2, rng=0)
    with pytest.raises(TypeError, match=r"ElmanCell\.W is a parameter; W\.assign\(value\)"):
        cell.W = np.eye(2)
    cell.W = tg.Parameter(np.eye(2))
    cell.W = cell.W * 2.0  # a tensor is a weight that was computed
    assert list(cell.parameters()) == ["U", "b"]


# ------------------------------------------------------------------------------------------------
# Values in and out


def test_values_go_out_and_come_back():
    a, b = Model(), Model()
    for held in (*a.parameters().values(), *a.buffers().values()):
        held.assign(np.random.default_rng(held.size).integers(0, 9, held.shape))
    values = a.state_dict()
    assert list(values) == [*NAMES, "scale", "inner.deep.0.buffer"]
    b.load_state_dict(values)
    for name, value in b.state_dict().items():
        np.testing.assert_array_equal(value, values[name])
        assert value.dtype == values[name].dtype
    values["W"][:] = -1  # copies
    assert (a.W.numpy() != -1).any()
    assert (b.W.numpy() != -1).any()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"W": None}, r"'W' \(3, 3\) is missing"),
        ({"V": np.ones(4)}, r"'V' \(4,\) is unexpected"),
        ({"scale": np.ones(3)}, r"'scale' has shape \(3,\), wanted \(2,\)"),
        ({"cells.lower.b": np.full(3, 0.1)}, r"'cells.lower.b' is float64 and would be rounded"),
        ({"W": np.full((3, 3), "a")}, "'W' is <U1, wanted float64"),
        ({"inner.deep.0.buffer": np.array([1.5, 2])}, r"'inner.deep.0.buffer' is float64, want"),
        ({"tied": np.zeros((2, 3))}, "'tied' is another value than 'cells.lower.U'"),
    ],
)
def test_values_that_do_not_fit_are_named_and_nothing_is_changed(change, match):
    model = Model()
    model.inner["deep"][0]["buffer"] = tg.Buffer(np.array([1, 2]))
    values = {k: v + (v.dtype.kind == "f") for k, v in model.state_dict().items()} | change
    values = {name: value for name, value in values.items() if value is not None}
    before = model.state_dict()
    with pytest.raises(ValueError, match=rf"Model\.load_state_dict: {match}"):
        model.load_state_dict(values)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_values_may_be_lists_and_tensors_by_name():
    cell = tg.ElmanCell(1, 2, rng=0)
    cell.load_state_dict({"U": [[1, 2]], "W": tg.ones((2, 2)), "b": (3, 4)})
    np.testing.assert_array_equal(cell.b.numpy(), [3, 4])
    with pytest.raises(TypeError, match=r"ElmanCell: given a list, wanted \{path: value\}"):
        cell.load_state_dict([1])
    with pytest.raises(TypeError, match=r"ElmanCell.with_parameters: given a list, wanted \{path"):
        cell.with_parameters([1])


def test_all_faults_are_named_at_once_and_strict_may_be_off():
    cell = tg.ElmanCell(1, 2, rng=0)
    values = {"U": np.ones((1, 2)), "V": np.ones(1)}
    with pytest.raises(ValueError, match=r"'W' .* missing; 'b' .* missing; 'V' .* unexpected"):
        cell.load_state_dict(values)
    b = cell.b.numpy()
    cell.load_state_dict(values, strict=False)
    np.testing.assert_array_equal(cell.U.numpy(), np.ones((1, 2)))
    np.testing.assert_array_equal(cell.b.numpy(), b)
    with pytest.raises(ValueError, match="'U' has shape"):
        cell.load_state_dict({"U": np.ones(3)}, strict=False)


def test_a_shared_parameter_may_be_given_under_each_of_its_names():
    model = Model()
    values = model.state_dict()
    values["cells.lower.U"] = values["tied"] = np.ones((2, 3))
    model.load_state_dict(values)
    np.testing.assert_array_equal(model.tied.numpy(), np.ones((2, 3)))
    other = model.with_parameters(
        {name: p.numpy() for name, p in model.parameters().items()} | {"tied": np.ones((2, 3))}
    )
    assert other.tied is other.cells["lower"].U


def test_float64_values_that_float32_holds_are_taken():
    cell = tg.ElmanCell(1, 2, rng=0)
    cell.load_state_dict({k: v.astype(np.float64) for k, v in cell.state_dict().items()})
    assert cell.dtype == np.float32


# ------------------------------------------------------------------------------------------------
# Copies


def test_weights_may_be_tensors_that_were_computed(rng):
    """A step of descent inside the record: its gradient goes through both sets of weights."""
    cell = tg.ElmanCell(1, 2, rng=0, dtype=np.float64)
    xs, own = rng.normal(size=(3, 2, 1)), cell.parameters()

    def after_one_step(W):
        inner = tg.unroll(cell.with_parameters({**own, "W": W}), xs).outputs.sum()
        g = tg.gradients(inner, W, create_graph=True)
        return tg.unroll(cell.with_parameters({**own, "W": W - 0.3 * g}), xs).outputs.sum()

    tg.check_gradients(after_one_step, cell.W.numpy())
    fast = cell.with_parameters({name: p * 1.0 for name, p in own.items()})
    assert fast.parameters() == {}
    assert fast.dtype == np.float64


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_module_can_be_copied_and_pickled(how):
    model = Model()
    model.cells["lower"].freeze()
    model.eval()
    copied = how(model)
    assert list(copied.parameters()) == NAMES
    assert copied.tied is copied.cells["lower"].U
    assert copied.tied is not model.tied
    assert copied.cells["lower"].W.frozen
    assert not copied.W.frozen
    assert not copied.cells["upper"].training
    for name, value in copied.state_dict().items():
        np.testing.assert_array_equal(value, model.state_dict()[name])
        assert value.dtype == model.state_dict()[name].dtype


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_every_cell_can_be_pickled(activation):
    for cell in (
        tg.ElmanCell(1, 2, activation=activation, rng=0), tg.LSTMCell(1, 2), tg.GRUCell(1, 2),
    ):  # fmt: skip
        again = pickle.loads(pickle.dumps(cell))
        xs = np.ones((3, 1, 1), np.float32)
        np.testing.assert_array_equal(
            tg.unroll(again, xs).outputs.numpy(), tg.unroll(cell, xs).outputs.numpy()
        )


def test_a_recorded_tensor_in_a_module_is_not_copied():
    cell = tg.ElmanCell(1, 2)
    cell.h = tg.tanh(cell.b)
    with pytest.raises(TypeError, match=r"can be neither copied nor pickled: \.detach\(\)"):
        copy.deepcopy(cell)


def test_another_dtype():
    model = Model()
    model.cells["lower"].freeze()
    double = model.astype(np.float64)
    assert {p.dtype for p in double.parameters().values()} == {np.dtype(np.float64)}
    assert double.cells["lower"].W.frozen
    assert model.cells["lower"].W.dtype == np.float32
    assert model.astype(np.float32).dtype == np.float32
    with pytest.raises(TypeError, match="float32 or float64"):
        model.astype(np.float16)


# ------------------------------------------------------------------------------------------------
# Freezing, training, words


def test_a_frozen_parameter_is_left_out_of_training(rng):
    cell = tg.ElmanCell(1, 2, rng=0)
    cell.W.frozen = True
    optimiser = tg.optim.SGD(cell, lr=0.1)
    xs = rng.normal(size=(3, 2, 1))
    before = cell.state_dict()
    for _ in range(2):
        loss = tg.unroll(cell, xs).outputs.sum()
        assert np.abs(tg.gradients(loss, cell.W, keep_record=True)).max() > 0  # asked for
        loss.backward()
        assert cell.W.grad is None
        optimiser.step()
    after = cell.state_dict()
    assert {name for name in after if (after[name] != before[name]).any()} == {"U", "b"}
    cell.unfreeze()
    tg.unroll(cell, xs).outputs.sum().backward()
    optimiser.step()
    assert (cell.W.numpy() != before["W"]).any()


def test_a_step_with_nothing_but_frozen_parameters_says_so(rng):
    cell = tg.ElmanCell(1, 2, rng=0).freeze()
    optimiser = tg.optim.SGD(cell, lr=0.1)
    tg.unroll(cell, rng.normal(size=(3, 2, 1))).outputs.sum().backward()
    with pytest.raises(RuntimeError, match="no parameter has a gradient: all are frozen"):
        optimiser.step()


def test_the_parameters_of_a_module_are_a_dict_that_knows_it():
    cell = tg.ElmanCell(1, 2, rng=0)
    own = cell.parameters()
    for copied in (copy.copy(own), copy.deepcopy(own), pickle.loads(pickle.dumps(own))):
        assert list(copied) == list(own)
    assert type(own | {}) is dict
    assert own.module is cell


def test_a_frozen_parameter_stays_frozen_with_another_value():
    p = parameter(2)
    p.frozen = True
    p.assign([1, 2])
    assert p.frozen
    assert copy.copy(p).frozen


def test_training_is_set_in_all_modules_inside():
    model = Model()
    assert model.training
    assert model.eval() is model
    assert not any(m.training for m in model.modules().values())
    model.train()
    assert all(m.training for m in model.modules().values())


def test_a_module_shows_its_parts_and_their_number():
    model = tg.Module()
    model.cell = tg.ElmanCell(1, 2)
    model.V, model.scale = parameter(2, 3), tg.Buffer([1.0])
    assert repr(model) == (
        "Module(14 parameters\n"
        "  cell: ElmanCell(U (1, 2), W (2, 2), b (2,); 8 parameters)\n"
        "  V (2, 3)\n"
        "  scale (1,) fixed\n)"
    )
    assert repr(tg.Module()) == "Module(0 parameters)"


@pytest.mark.parametrize("name", ["named_parameters", "register_buffer", "to", "get_weights"])
def test_methods_of_other_libraries_are_answered(name):
    cell = tg.ElmanCell(1, 2)
    assert not hasattr(cell, name)
    assert name not in dir(cell)
    with pytest.raises(AttributeError, match=f"a module has no attribute '{name}'; use "):
        getattr(cell, name)
    setattr(cell, name, 3)  # a user may have the name
    assert getattr(cell, name) == 3
    assert name in dir(cell)


def test_a_method_forward_is_what_a_call_runs():
    class Net(tg.Module):
        def forward(self, x):
            return 2 * x

    class Other(Net):
        def forward(self, x):
            return 3 * x

    class Calling(Net):
        def __call__(self, x):
            return self.forward(x) + 1

    assert (Net()(1), Other()(1), Calling()(1)) == (2, 3, 3)
    with pytest.raises(TypeError, match="ElmanCell is a cell and is not called"):
        tg.ElmanCell(1, 2)(1)
    with pytest.raises(TypeError, match=r"layer 0 is a ElmanCell, which is a cell; wanted modules"):
        tg.nn.Sequential(tg.ElmanCell(1, 2))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: tg.LSTMCell(3, 0), ValueError, "LSTMCell: hidden_size: given 0, wanted at least"),
        (lambda: tg.GRUCell(-1, 2), ValueError, "GRUCell: input_size: given -1, wanted at least 0"),
        (lambda: tg.ElmanCell(3.0, 2), TypeError, r"input_size: given 3\.0, wanted an integer"),
        (lambda: tg.nn.MGUCell(3, "4"), TypeError, "hidden_size: given '4', wanted an integer"),
        (lambda: tg.nn.Linear(3, 0), ValueError, "Linear: output_size: given 0"),
        (lambda: tg.nn.Embedding(True, 2), TypeError, "Embedding: classes: given True"),
        (lambda: tg.nn.LayerNorm((3,)), TypeError, r"LayerNorm: size: given \(3,\)"),
    ],
)
def test_sizes_that_are_none(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_a_network_without_inputs_runs_by_itself():
    run = tg.unroll(tg.ElmanCell(0, 3, rng=0), np.zeros((4, 2, 0)))
    assert run.outputs.shape == (4, 2, 3)
    tg.ElmanCell(np.int64(2), np.int32(3))


# ------------------------------------------------------------------------------------------------
# Buffers


def test_a_buffer_has_a_dtype_of_its_own_and_no_gradient():
    A = tg.Buffer(np.eye(2), "A")
    x = tg.ones((1, 2))
    y = x @ A
    assert y.dtype == np.float64
    y.sum().backward()
    assert A.grad is None
    assert x.grad.dtype == np.float32
    A.assign(np.zeros((2, 2)))
    assert A.version == 1
    assert repr(A) == "Buffer([[0., 0.],\n        [0., 0.]], dtype=float64, name='A')"


def test_buffers_of_integers_and_truth_values():
    order = tg.Buffer(np.array([1, 0]))
    assert order.dtype == np.int64
    order.assign([0, 1])
    assert tg.Buffer(np.array([True])).dtype == bool
    assert pickle.loads(pickle.dumps(order)).dtype == np.int64
    assert tg.Buffer([1, 2]).dtype == np.float32
    with pytest.raises(TypeError, match="Buffer z: gradients need real floats, given complex"):
        tg.Buffer(np.array([1j]), "z")


# ------------------------------------------------------------------------------------------------
# Parameters that are used and not listed

OUTSIDE = tg.Parameter(np.ones(3), "OUTSIDE")


class Helper:
    def __init__(self):
        self.V = tg.Parameter(np.eye(3), "V")


class Losing(tg.Cell):
    """A cell that uses a parameter from somewhere it is not found."""

    ON_THE_CLASS = tg.Parameter(np.ones(3), "ON_THE_CLASS")

    def __init__(self, place):
        self.place, self.helper = place, Helper()
        self.U, self.W = parameter(2, 3), parameter(3, 3)
        enclosed = tg.Parameter(np.ones(3), "enclosed")
        self.function = (lambda s: s * enclosed) if place == "function" else None

    def step(self, x, s):
        s = tg.tanh(x @ self.U + s @ self.W)
        if self.place == "global":
            s = s * OUTSIDE
        elif self.place == "object":
            s = s @ self.helper.V
        elif self.place == "class":
            s = s * self.ON_THE_CLASS
        elif self.place == "function":
            s = self.function(s)
        return s, s


PLACES = {
    "global": r"'OUTSIDE' \(3,\), held as OUTSIDE,",
    "object": r"'V' \(3, 3\), held as self\.helper\.V,",
    "class": r"'ON_THE_CLASS' \(3,\), held as Losing\.ON_THE_CLASS,",
    "function": r"'enclosed' \(3,\), held as enclosed,",
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("given", [lambda c: c, lambda c: c.parameters(), lambda c: [c]])
def test_an_optimiser_notices_a_parameter_that_is_not_listed(place, given, rng):
    cell = Losing(place)
    optimiser = tg.optim.SGD(given(cell), lr=0.1)
    before = cell.state_dict()
    tg.unroll(cell, rng.normal(size=(2, 1, 2))).outputs.sum().backward()
    with pytest.raises(RuntimeError, match=f"SGD: Losing uses the parameter {PLACES[place]}"):
        optimiser.step()
    for name, value in cell.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("place", PLACES)
def test_compare_and_derive_notice_a_parameter_that_is_not_listed(place, rng):
    cell, xs = Losing(place), rng.normal(size=(2, 1, 2))
    with pytest.raises(ValueError, match=f"Losing uses the parameter {PLACES[place]}"):
        tg.study.compare(cell, xs, np.zeros((2, 1), int))
    with pytest.raises(tg.ValueDependenceError, match="does not list"):
        tg.study.derive(cell)


def test_a_frozen_parameter_need_not_be_listed(rng):
    cell = Losing("object")
    cell.helper.V.frozen = True
    optimiser = tg.optim.SGD(cell, lr=0.1)
    xs = rng.normal(size=(2, 1, 2))
    tg.unroll(cell, xs).outputs.sum().backward()
    optimiser.step()
    tg.study.compare(cell, xs, np.zeros((2, 1), int))


def test_parameters_of_another_model_are_no_fault(rng):
    cell, V = Losing("none"), tg.Parameter(rng.normal(size=(3, 2)), "V")
    optimisers = [tg.optim.SGD(cell, lr=0.1), tg.optim.SGD([V], lr=0.1)]
    for _ in range(2):
        (tg.unroll(cell, rng.normal(size=(2, 1, 2))).outputs @ V).sum().backward()
        optimisers[0].step()
        optimisers[1].step()


def test_a_part_of_a_model_may_be_trained(rng):
    cell = Losing("none")
    optimiser = tg.optim.SGD([cell.W], lr=0.1)
    tg.unroll(cell, rng.normal(size=(2, 1, 2))).outputs.sum().backward()
    optimiser.step()


def test_a_parameter_that_came_later_is_noticed(rng):
    cell = Losing("object")
    optimiser = tg.optim.SGD(cell, lr=0.1)
    cell.V = cell.helper.V
    tg.unroll(cell, rng.normal(size=(2, 1, 2))).outputs.sum().backward()
    with pytest.raises(RuntimeError, match=r"has got the parameter 'V' \(3, 3\) since this optim"):
        optimiser.step()


# ------------------------------------------------------------------------------------------------
# No product for a gradient that nobody wants


def test_no_rule_is_run_for_a_buffer_or_a_frozen_parameter():
    ran = []

    def rule(which):
        def vjp(g, a, b):
            ran.append(which)
            return g * (b if which == "a" else a)

        return vjp

    product = tg.custom.general("product", lambda a, b: a * b, [rule("a"), rule("b")])
    w, fixed = tg.Parameter([2.0]), tg.Buffer([3.0])
    product(w, product(fixed, tg.Buffer([5.0]))).sum().backward()
    assert ran == ["a"]
    np.testing.assert_array_equal(w.grad, [15])
    w.frozen = True
    product(w, fixed).sum().backward()
    assert ran == ["a"]
