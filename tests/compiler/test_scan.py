"""A scan gives the same as an unrolled record: outputs, states and all gradients."""

from __future__ import annotations

import numpy as np
import pytest
from compiler import cells

import tinygrad_rnn as tg
from tinygrad_rnn import nn, tree


def initial(cell, B, seed=3):
    rng = np.random.default_rng(seed)
    return tree.map_leaves(
        lambda t: tg.tensor(0.3 * rng.normal(size=t.shape), "s0"), cell.initial_state(B)
    )


def weighed(value, seed):
    """A number that depends on every entry of floats in a structure."""
    total = 0.0
    for k, leaf in enumerate(tree.leaves(value)):
        if leaf.dtype.kind == "f":
            rng = np.random.default_rng([seed, k])
            total = total + (leaf * rng.normal(size=leaf.shape)).sum()
    return total


def looked_at(f, cell, xs, s0, loss, **options):
    """The numbers of a run: outputs, states, gradients."""
    x = tg.tensor(xs, "x") if xs.dtype.kind == "f" else xs
    run = f(cell, x, s0, **options)
    value = loss(run)
    wanted = [*cell.parameters().values(), *tree.leaves(s0)]
    if isinstance(cell, cells.ClosedOver) and cell.made is None:
        wanted.append(cells.OUTER)
    if isinstance(x, tg.Tensor):
        wanted.append(x)
    # those that the loss does not depend on have no gradient to compare
    sink = sum([(w * 0).sum() for w in wanted])
    gradients = tg.gradients(value + sink, wanted)
    return [
        np.asarray(value.item()),
        *[o.numpy() for o in tree.leaves(run.outputs)],
        *[s.numpy() for s in tree.leaves(run.states)],
        *[s.numpy() for s in tree.leaves(run.state)],
        *[o.numpy() for o in tree.leaves(run.steps)],
        *gradients,
    ]


def same(found, wanted, tolerance=1e-12):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(1, np.abs(b).max()))


LOSSES = {
    "everything": lambda run: (
        weighed(run.outputs, 1) + weighed(run.state, 2) + weighed(run.states[2:4], 3)
    ),
    "outputs": lambda run: weighed(run.outputs, 1),
    "last state": lambda run: weighed(run.state, 1),
    "one output twice": lambda run: weighed(run.steps[1], 1) * weighed(run.steps[1], 2),
}


@pytest.mark.parametrize("name", cells.ALL)
def test_it_gives_the_numbers_of_the_unrolled_record(name, backend):
    gives_the_same(name, "everything")


@pytest.mark.parametrize("name", cells.ALL)
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "everything"])
def test_losses_of_some_results(name, loss):
    gives_the_same(name, loss)


def gives_the_same(name, loss):
    cell = cells.ALL[name]()
    xs, s0 = cells.sequence(cell), initial(cell, 2)
    wanted = looked_at(tg.unroll, cell, xs, s0, LOSSES[loss])
    for _ in range(2):  # the second time the program is known
        same(looked_at(tg.scan, cell, xs, s0, LOSSES[loss]), wanted)


@pytest.mark.parametrize("name", cells.ALL)
@pytest.mark.parametrize(("T", "B"), [(1, 2), (5, 1), (1, 1)])
def test_one_step_and_one_example(name, T, B):
    cell = cells.ALL[name]()
    xs, s0 = cells.sequence(cell, T, B), initial(cell, B)

    def loss(run):
        return weighed(run.outputs, 1) + weighed(run.state, 2)

    same(
        looked_at(tg.scan, cell, xs, s0, loss),
        looked_at(tg.unroll, cell, xs, s0, loss),
    )


@pytest.mark.parametrize("name", cells.ALL)
def test_blocks_of_a_few_steps_give_the_same(name, monkeypatch):
    from tinygrad_rnn.compiler import numpy_loops, program

    for limit in ("BLOCK_BYTES", "CACHE_BYTES"):
        monkeypatch.setattr(numpy_loops, limit, 1000)
    monkeypatch.setattr(numpy_loops, "STEPS", 1)
    monkeypatch.setattr(program, "_programs", type(program._programs)())
    cell = cells.ALL[name]()
    xs, s0 = cells.sequence(cell, 23), initial(cell, 2)
    wanted = looked_at(tg.unroll, cell, xs, s0, LOSSES["everything"])
    same(looked_at(tg.scan, cell, xs, s0, LOSSES["everything"]), wanted)


@pytest.mark.parametrize("name", cells.KNOWN)
def test_single_precision(name):
    cell = cells.ALL[name]()
    cell = cell.with_parameters(
        {k: p.numpy().astype("float32") for k, p in cell.parameters().items()}
    )
    xs = cells.sequence(cell).astype("float32")
    s0 = tree.map_leaves(lambda t: t.astype("float32").detach(), initial(cell, 2))
    results = []
    for f in (tg.scan, tg.unroll):
        run = f(cell, xs, s0)
        weighed(run.outputs, 1).backward()
        results.append([run.outputs.numpy(), *[p.grad for p in cell.parameters().values()]])
    same(*results, tolerance=2e-5)


def test_without_a_record_it_computes_the_same_and_keeps_nothing():
    cell = tg.LSTMCell(3, 4, rng=0)
    xs = np.random.default_rng(0).normal(size=(5, 2, 3))
    wanted = tg.unroll(cell, xs)
    with tg.no_grad():
        run = tg.scan(cell, xs)
    assert not run.outputs.recorded
    np.testing.assert_allclose(run.outputs.numpy(), wanted.outputs.numpy(), atol=1e-6)
    np.testing.assert_allclose(run.state.c.numpy(), wanted.state.c.numpy(), atol=1e-6)


def test_it_is_one_node_of_the_record():
    run = tg.scan(tg.LSTMCell(3, 4, rng=0), np.ones((50, 2, 3)))
    assert run.outputs._node is run.state.c._node
    assert run.outputs._node.primitive.name == "scan"


def test_a_list_of_inputs():
    cell = tg.GRUCell(3, 4, rng=0, dtype=np.float64)
    xs = [tg.tensor(row, "x") for row in cells.sequence(cell)]
    results = []
    for f in (tg.scan, tg.unroll):
        loss = weighed(f(cell, xs).outputs, 1)
        results.append(tg.gradients(loss, xs))
    same(*results)


def test_tensors_recorded_outside_get_their_gradients():
    A = tg.Parameter(np.random.default_rng(0).normal(size=(4,)), "A")
    results = []
    for f in (tg.scan, tg.unroll):
        made = tg.sin(A)
        cell = cells.ClosedOver(made)
        loss = weighed(f(cell, cells.sequence(cell)).outputs, 1) + (made * made).sum()
        results.append([tg.gradients(loss, A)])
    same(*results)


def test_several_scans_in_one_record():
    """Stacks: one layer's outputs are the next one's inputs."""
    layers = [tg.LSTMCell(3, 4, rng=0, dtype=np.float64), tg.GRUCell(4, 5, rng=1, dtype=np.float64),
              tg.LSTMCell(5, 5, rng=2, dtype=np.float64),
              tg.LSTMCell(5, 5, rng=3, dtype=np.float64)]  # fmt: skip
    parameters = [p for layer in layers for p in layer.parameters().values()]
    results = []
    for f in (tg.scan, tg.unroll):
        h = tg.tensor(cells.sequence(layers[0]), "x")
        for layer in layers:
            h = f(layer, h).outputs
        results.append(tg.gradients(weighed(h, 1), parameters))
    same(*results)


def test_two_forward_passes_before_one_backward_pass():
    cell = tg.LSTMCell(3, 4, rng=0, dtype=np.float64)
    one, two = cells.sequence(cell, seed=1), cells.sequence(cell, T=9, seed=2)
    results = []
    for f in (tg.scan, tg.unroll):
        a, b = f(cell, one), f(cell, two)
        c = f(cell, one)
        first = weighed(a.outputs, 1)
        loss = first * weighed(b.outputs, 2) + weighed(c.state, 3)
        results.append([first.numpy(), tg.gradients(loss, cell.W), a.outputs.numpy()])
    same(*results)


def test_a_record_that_is_kept_is_differentiated_again():
    cell = tg.GRUCell(3, 4, rng=0, dtype=np.float64)
    run = tg.scan(cell, cells.sequence(cell))
    loss = weighed(run.outputs, 1)
    first = tg.gradients(loss, cell.W, keep_record=True)
    np.testing.assert_array_equal(first, tg.gradients(loss, cell.W))
    with pytest.raises(RuntimeError, match="differentiated before"):
        tg.gradients(loss, cell.W)


@pytest.mark.parametrize("name", ["LSTM", "Tree", "ClosedOver", "Custom", "Delay"])
def test_derivatives_of_derivatives(name):
    cell = cells.ALL[name]()
    xs, s0 = cells.sequence(cell, 3), initial(cell, 2)
    results = []
    for f in (tg.scan, tg.unroll):
        x = tg.tensor(xs, "x")
        run = f(cell, x, s0)
        loss = weighed(run.outputs, 1) ** 2 + weighed(run.state, 2)
        g = tg.gradients(loss, [cell.U, x], create_graph=True)
        second = sum([(part * part).sum() for part in g])
        results.append(tg.gradients(second, [cell.U, cell.W, x, *tree.leaves(s0)][:3]))
    same(*results)


@pytest.mark.parametrize("name", ["Elman", "GRU", "Tree"])
def test_forward_mode(name):
    cell = cells.ALL[name]()
    xs = cells.sequence(cell, 4)
    t = np.random.default_rng(7).normal(size=xs.shape)
    results = []
    for f in (tg.scan, tg.unroll):
        y, dy = tg.jvp(lambda x, f=f: weighed(f(cell, x).outputs, 1), (tg.tensor(xs),), (t,))
        results.append([np.asarray(v.numpy()) for v in (y, dy)])
    same(*results)


def test_constants_and_code_that_change_are_noticed():
    cell = cells.ClosedOver()
    xs = cells.sequence(cell)
    before = tg.scan(cell, xs).outputs.numpy()
    cells.MASK[1] = 2.0
    try:
        found, wanted = (f(cell, xs).outputs.numpy() for f in (tg.scan, tg.unroll))
    finally:
        cells.MASK[1] = 0.0
    assert not np.allclose(before, found)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)

    class Scaled(cells.Base):
        scale = 2.0

        def step(self, x, s):
            s = tg.tanh(x @ self.U + self.scale * (s @ self.W))
            return s, s

    cell = Scaled()
    tg.scan(cell, xs)
    Scaled.scale = 3.0
    np.testing.assert_allclose(
        tg.scan(cell, xs).outputs.numpy(), tg.unroll(cell, xs).outputs.numpy(), rtol=1e-12
    )
    Scaled.step = lambda self, x, s: (s, tg.sin(x @ self.U + s @ self.W))
    np.testing.assert_allclose(
        tg.scan(cell, xs).outputs.numpy(), tg.unroll(cell, xs).outputs.numpy(), rtol=1e-12
    )


def test_inputs_written_to_before_the_backward_pass_are_noticed():
    cell = tg.ElmanCell(64, 4, rng=0)
    xs = np.ones((60, 2, 64), np.float32)
    loss = tg.scan(cell, xs).outputs.sum()
    xs[3] = 0
    with pytest.raises(RuntimeError, match="was written to"):
        loss.backward()


def test_a_parameter_given_another_value_is_noticed():
    cell = tg.ElmanCell(3, 4, rng=0)
    loss = tg.scan(cell, np.ones((3, 2, 3))).outputs.sum()
    cell.W.assign(cell.W.numpy() * 2)
    with pytest.raises(RuntimeError, match="another value"):
        loss.backward()


WAYS = {
    "lengths": {"lengths": [6, 3, 1, 0]},
    "mask": {"mask": np.random.default_rng(5).random((6, 4)) > 0.4},
    "reverse": {"reverse": True},
    "lengths, reverse": {"lengths": [2, 6, 0, 4], "reverse": True, "start": 5},
    "batch first": {"time_axis": 1},
}
WITHOUT_BATCH = {"PassedOn", "ConstantState"}  # parts that have no axis for the batch


@pytest.mark.parametrize("name", [n for n in cells.ALL if n not in WITHOUT_BATCH])
@pytest.mark.parametrize("way", WAYS)
def test_lengths_masks_and_directions(name, way):
    cell, options = cells.ALL[name](), WAYS[way]
    xs, s0 = cells.sequence(cell, 6, 4), initial(cell, 4)
    if "lengths" in options:
        xs = xs.copy()
        xs[3:, 2] = np.nan if xs.dtype.kind == "f" else 99
    if "time_axis" in options:
        xs = np.ascontiguousarray(np.moveaxis(xs, 0, 1))

    def loss(run):
        return weighed(run.outputs, 1) + weighed(run.state, 2) + weighed(run.states[2], 3)

    wanted = looked_at(tg.unroll, cell, xs, s0, loss, **options)
    same(looked_at(tg.scan, cell, xs, s0, loss, **options), wanted)
    runs = [f(cell, xs, s0, **options) for f in (tg.scan, tg.unroll)]
    assert runs[0].times == runs[1].times


def test_a_tree_of_inputs():
    class Spans(cells.Base):
        def step(self, x, s):
            values, spans = x
            s = s + spans[:, None] * tg.tanh(values @ self.U + s @ self.W)
            return s, s

    cell, rng = Spans(), np.random.default_rng(0)
    xs = tg.tensor(rng.normal(size=(5, 2, 3))), tg.tensor(rng.normal(size=(5, 2)))
    results = []
    for f in (tg.scan, tg.unroll):
        run = f(cell, xs, lengths=[5, 2])
        results.append(tg.gradients(weighed(run.outputs, 1), [cell.W, *xs]))
    same(*results)


def test_states_are_not_kept_without_a_record():
    cell = tg.ElmanCell(3, 4, rng=0)
    with tg.no_grad():
        run = tg.scan(cell, np.ones((3, 2, 3)))
        assert len(tg.scan(cell, np.ones((3, 2, 3)), keep_states=True).states) == 4
    with pytest.raises(ValueError, match="keep_states=True"):
        run.states  # noqa: B018


def test_output_and_state_are_unpacked():
    outputs, state = tg.scan(tg.ElmanCell(3, 4, rng=0), np.ones((3, 2, 3)))
    np.testing.assert_array_equal(outputs.numpy()[-1], state.numpy())


def models():
    D = np.float64
    gru, other = (tg.GRUCell(3, 4, rng=k, dtype=D) for k in (0, 1))
    return {
        "stack": nn.Stacked(gru, tg.LSTMCell(4, 4, rng=2, dtype=D), tg.ElmanCell(4, 5, dtype=D)),
        "residual": nn.Stacked(gru, tg.ElmanCell(4, 4, rng=2, dtype=D), residual=True),
        "directions": nn.Bidirectional(gru, other),
        "sum of directions": nn.Bidirectional(gru, other, merge="sum"),
        "layers": nn.LSTM(3, 4, num_layers=2, bidirectional=True, rng=0, dtype=D),
    }  # fmt: skip


@pytest.mark.parametrize("name", models())
@pytest.mark.parametrize(
    "options", [{}, {"lengths": [5, 0, 3], "start": 4}], ids=["all", "lengths"]
)
def test_stacks_and_directions(name, options):
    model, xs = models()[name], np.random.default_rng(0).normal(size=(5, 3, 3))
    results = []
    for f in (tg.scan, tg.unroll):
        x = tg.tensor(xs, "x")
        run = f(model, x, **options)
        loss = weighed(run.outputs, 1) + weighed(run.state, 2) + weighed(run.states[2], 3)
        leaves = [*tree.leaves(run.outputs), *tree.leaves(run.states), *tree.leaves(run.steps)]
        gradients = tg.gradients(loss, [x, *model.parameters().values()])
        results.append([*[leaf.numpy() for leaf in leaves], *gradients])
    same(*results)


def test_dropout_between_layers_is_drawn_anew_for_every_step():
    model = nn.Stacked(tg.GRUCell(3, 4, rng=0), tg.ElmanCell(4, 5, rng=1), dropout=0.5, rng=7)
    xs = np.ones((5, 3, 3), np.float32)
    one, two = (tg.scan(model, xs).outputs.numpy() for _ in range(2))
    assert not np.allclose(one, two)
    model.eval()
    np.testing.assert_allclose(
        tg.scan(model, xs).outputs.numpy(), tg.unroll(model, xs).outputs.numpy(), atol=1e-6
    )


def test_gradients_of_every_example_and_mapped_scans():
    cell = tg.LSTMCell(3, 4, rng=0, dtype=np.float64)
    xs = np.random.default_rng(0).normal(size=(5, 3, 3))
    results = []
    for f in (tg.scan, tg.unroll):
        run = f(cell, xs)
        each = tg.per_example_gradients((run.outputs * run.outputs).sum((0, 2)), cell.W)
        mapped = tg.vmap(lambda x, f=f: f(cell, x).outputs.sum())(np.stack([xs, 2 * xs]))
        traced = tg.trace(lambda x, f=f: f(cell, x).outputs, xs)(xs)
        results.append([each, mapped.numpy(), traced])
    same(*results)


def test_a_scan_inside_a_checkpoint():
    cell = tg.GRUCell(3, 4, rng=0, dtype=np.float64)
    xs = np.random.default_rng(0).normal(size=(6, 2, 3))
    results = []
    for wrap in (tg.checkpoint, lambda f: f):
        segment = wrap(lambda x, s: tg.scan(cell, x, s).state)
        state = cell.initial_state(2)
        for part in (xs[:3], xs[3:]):
            state = segment(part, state)
        results.append([tg.gradients(weighed(state, 1), cell.W)])
    same(*results)


def test_the_source_shows_the_parts_of_the_step():
    found = tg.scan_source(tg.LSTMCell(3, 4, rng=0), np.ones((5, 2, 3)))
    for line in (
        "forward, before the loop\n    t1 = matmul(x, U)\n",
        "backward, after the loop\n",
        "kept for the backward pass: x, s.h, s.c, i, f, g, o, ",
        "def forward(",
        "def backward(",
    ):
        assert line in found
    assert tg.scan_source(tg.LSTMCell(3, 4, rng=0), list(np.ones((5, 2, 3)))) == found
    with pytest.raises(ValueError, match=r"scan_source: xs of shape \(2,\); wanted \(T, B, I\)"):
        tg.scan_source(tg.LSTMCell(3, 4, rng=0), np.ones(2))
    with pytest.raises(TypeError, match=r"scan_source: given the function <lambda> as the cell"):
        tg.scan_source(lambda x, s: (x, s), np.ones((5, 2, 3)))


@pytest.mark.parametrize("name", ["sigmoid", "same", "tanh", "concatenate"])
def test_an_operation_of_a_users_is_not_taken_for_another_of_its_name(name):
    twice = tg.custom.elementwise(
        name, lambda x: np.tanh(2 * x), lambda y: 2 * (1 - y * y),
        notation=tg.custom.Notation(numpy="np.tanh(2 * x)"),
    )  # fmt: skip

    class Own(tg.ElmanCell):
        def step(self, x, s):
            s = twice(x @ self.U + s @ self.W + self.b)
            return s, s

    cell, xs = Own(3, 4, rng=0), np.random.default_rng(1).normal(size=(6, 2, 3))
    found = tg.scan(cell, xs).outputs.numpy()
    np.testing.assert_allclose(found, tg.unroll(cell, xs).outputs.numpy(), rtol=1e-5, atol=1e-6)


class Frozen(cells.Base):
    """Weights that are not trained, a buffer, and a readout that is."""

    def __init__(self):
        super().__init__()
        self.scale = tg.Buffer(np.linspace(0.5, 1.5, 4))
        self.U.frozen = self.W.frozen = True

    def step(self, x, s):
        s = tg.tanh(x @ self.U + s @ self.W + self.b) * self.scale
        return s @ self.V + self.c, s


def pullback_of(loss, wanted=None):
    """The equations of the pullback that a sweep runs, by part."""
    from tinygrad_rnn.compiler.program import Program

    found, asked = [], Program.backward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Program,
            "backward",
            lambda p, w, present: found.append(p.split(w).backward) or asked(p, w, present),
        )
        gradients = tg.gradients(loss, wanted) if wanted else loss.backward()
    return found[0], gradients


def test_nothing_is_done_for_gradients_that_nobody_wants():
    cell = Frozen()
    xs = cells.sequence(cell)
    part, _ = pullback_of(tg.scan(cell, xs).outputs.sum())
    products = [e for e in (*part.before, *part.loop, *part.after) if e.primitive.name == "matmul"]
    # g V^T, d W^T, and one gradient, s^T g
    assert sorted([e.outputs[0].shape for e in products]) == [(2, 4), (2, 4), (4, 2)]
    wanted = tg.unroll(cell, xs).outputs.sum()
    wanted.backward()
    expected = {k: p.grad for k, p in cell.parameters().items()}
    tg.scan(cell, xs).outputs.sum().backward()
    for name, p in cell.parameters().items():
        assert (p.grad is None) == (expected[name] is None) == p.frozen
        if not p.frozen:
            np.testing.assert_allclose(p.grad, expected[name], rtol=1e-12)


def test_a_readout_alone_needs_no_loop_backwards():
    cell = Frozen()
    cell.b.frozen = True
    xs = cells.sequence(cell)
    part, _ = pullback_of(tg.scan(cell, xs, np.zeros((2, 4))).outputs.sum())
    assert not part.loop
    names = [e.primitive.name for e in (*part.before, *part.after)]
    assert sorted(names) == ["matmul", "reshape", "sum", "swapaxes"]  # s^T g, and the sum of g


def test_gradients_of_some_parameters_and_of_frozen_ones():
    xs = cells.sequence(None)
    for cell, names in ((Frozen(), "W scale b"), (cells.ALL["LSTM"](), "W"), (Frozen(), "c")):
        weights = [getattr(cell, name) for name in names.split()]
        results = []
        for f in (tg.scan, tg.unroll):
            run = f(cell, tg.tensor(xs))
            results.append(tg.gradients(weighed(run.outputs, 1), weights))
        same(*results)
    cell = cells.ALL["LSTM"]()
    part, _ = pullback_of(weighed(tg.scan(cell, xs).outputs, 1), [cell.b])
    assert [e.primitive.name for e in part.after] == ["sum", "reshape"]


class Named(tg.Cell):
    """Its matrix has a name of one's choice."""

    hidden_size = 3

    def __init__(self, name):
        self.word = name
        setattr(self, name, tg.Parameter(np.random.default_rng(0).normal(size=(3, 3))))

    def step(self, x, s):
        s = tg.tanh(x + s @ getattr(self, self.word))
        return s, s


@pytest.mark.parametrize(
    "name", ["min", "max", "range", "zip", "S0", "r0", "d0", "dx0", "sum1", "G0", "next1", "add"]
)
def test_a_parameter_may_have_any_name(name, backend):
    cell, xs = Named(name), np.random.default_rng(1).normal(size=(5, 2, 3))
    found, wanted = (
        looked_at(run, cell, xs, initial(cell, 2), LOSSES["everything"])
        for run in (tg.scan, tg.unroll)
    )
    same(found, wanted)


class Twice(Named):
    """Its output is computed as its state is, once more."""

    def step(self, x, s):
        s = x + s @ getattr(self, self.word)
        return 0.1 * tg.tanh(s), 0.1 * tg.tanh(s)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_output_equal_to_the_state_has_a_cotangent_of_its_own(loss, backend):
    cell, xs = Twice("W"), np.random.default_rng(1).normal(size=(5, 2, 3))
    found, wanted = (
        looked_at(run, cell, xs, initial(cell, 2), LOSSES[loss]) for run in (tg.scan, tg.unroll)
    )
    same(found, wanted)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_first_state_given_as_an_array_takes_the_dtype_of_the_weights(dtype):
    cell, xs, state = tg.ElmanCell(2, 3, rng=0), np.ones((4, 1, 2)), np.full((1, 3), 0.5, dtype)
    runs = [run(cell, xs, state) for run in (tg.scan, tg.unroll)]
    assert [run.state.dtype for run in runs] == [np.float32] * 2
    np.testing.assert_allclose(runs[0].state.numpy(), runs[1].state.numpy(), rtol=1e-6)
