"""Properties of every cell: those of the registry, and a cell of one's own."""

import functools
import inspect
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from drawing.geometry import overlapping, run_through

import tinygrad_rnn as tg
from tinygrad_rnn import nn, study, tree
from tinygrad_rnn.nn.cells import spiking

I, H = 2, 3  # noqa: E741


class OwnCell(tg.Cell):
    """Nobody's cell: a state in a dict, an output that is none of its parts."""

    def __init__(self, input_size, hidden_size, *, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.hidden_size, self.rate = hidden_size, 0.3
        shapes = {"U": (input_size, hidden_size), "W": (hidden_size, hidden_size)}
        for name, shape in shapes.items():
            setattr(self, name, tg.Parameter(rng.normal(0, 0.5, shape).astype(dtype)))

    def initial_state(self, batch_size):
        shape = (batch_size, self.hidden_size)
        return {name: tg.zeros(shape, f"{name}_0", self.dtype) for name in ("fast", "slow")}

    def step(self, x, state):
        fast = tg.tanh(x @ self.U + state["fast"] @ self.W - state["slow"]).named("fast")
        slow = (state["slow"] + self.rate * (fast - state["slow"])).named("slow")
        return fast * slow, {"fast": fast, "slow": slow}


CELLS = {name: info.make for name, info in tg.cells().items()} | {"own": OwnCell}
every_cell = pytest.mark.parametrize("name", CELLS)


def make(name, seed=0):
    return CELLS[name](I, H, rng=seed, dtype=np.float64)


def some_state(cell, B, rng):
    """The first state with noise on it; the clockwork's count of steps is half a step off."""

    def noisy(part):
        noise = 0.5 if part.name == "t_0" else rng.normal(0, 0.5, part.shape)
        return tg.tensor(part.numpy() + noise, part.name)

    return tree.map_leaves(noisy, cell.initial_state(B))


def some_run(name, T=3, B=2, seed=0):
    rng = np.random.default_rng(seed)
    cell = make(name, seed)
    return cell, tg.unroll(cell, rng.normal(size=(T, B, I)), some_state(cell, B, rng))


def values(run):
    """Outputs and last state, as arrays."""
    return [part.numpy() for part in (*run.steps, *tree.leaves(run.state))]


@pytest.fixture
def smooth_spikes(monkeypatch):
    """Spikes whose derivative is the surrogate."""
    soft = tg.custom.elementwise(
        "soft",
        lambda x, k: x / (1 + k * np.abs(x)),
        lambda x, k: 1 / (1 + k * tg.abs(x)) ** 2,
    )
    monkeypatch.setattr(spiking, "spike", lambda x, k: soft(x, k=k))


@every_cell
def test_first_and_second_derivatives(name, rng, smooth_spikes):
    cell = make(name)

    def f(xs, state):
        run = tg.unroll(cell, xs, state)
        return run.outputs, run.state

    tg.check_gradients(f, rng.normal(size=(2, 2, I)), some_state(cell, 2, rng), parameters=cell)


@every_cell
def test_every_parameter_takes_part(name):
    cell, run = some_run(name)
    found = tg.gradients(run.outputs.sum(), list(cell.parameters().values()))
    assert [p for p, g in zip(cell.parameters(), found, strict=True) if not np.any(g)] == []


@every_cell
@pytest.mark.parametrize("level", ["op", "step", "rolled"])
def test_it_is_drawn(name, level):
    cell, run = some_run(name, T=2)
    drawing = tg.draw(tg.square(run.outputs).sum(), level=level)
    shown = "".join(ET.fromstring(drawing.svg).itertext())
    assert overlapping(drawing.layout) == []
    assert run_through(drawing.layout) == []
    if level != "step":
        letters = {p.split("_")[0] for p in cell.parameters()}
        assert {letter for letter in letters if letter in shown or letter in GREEK} == letters


GREEK = {"zeta", "nu", "alpha", "beta"}


@every_cell
def test_it_is_derived_and_its_program_gives_autodiffs_gradients(name):
    cell, run = some_run(name)
    derivation = study.derive(cell)  # which checks itself, on values of its own
    if name == "orthogonal":
        with pytest.raises(NotImplementedError, match="expm"):
            derivation.source()
        return
    scope = {}
    exec(derivation.source(), scope)
    program, rng = scope["forward_backward"], np.random.default_rng(1)
    x, start = tg.tensor(rng.normal(size=(3, 2, I))), tree.leaves(run.states[0])
    e = rng.normal(size=run.outputs.shape)
    again = tg.unroll(cell, x, run.states[0])
    wanted = tg.gradients(list(again.steps), [*cell.parameters().values(), x, *start], list(e))
    arguments = program.__code__.co_varnames[: program.__code__.co_argcount]
    own = {k: v.numpy() for k, v in cell.parameters().items()}
    own |= {k: v.numpy() for k, v in cell.buffers().items()}
    outputs, gradients = program(
        *[own[k] for k in arguments if k in own], x.numpy(), *[s.numpy() for s in start], e
    )
    np.testing.assert_allclose(outputs, again.outputs.numpy(), rtol=1e-12, atol=1e-14)
    for label, got, g in zip(gradients, gradients.values(), wanted, strict=True):
        np.testing.assert_allclose(got, g, rtol=1e-10, atol=1e-12, err_msg=label)


@every_cell
def test_one_step_is_the_step_and_one_sequence_is_a_row_of_the_batch(name, rng):
    cell, xs = make(name), rng.normal(size=(3, 4, I))
    state = some_state(cell, 4, rng)
    whole = tg.unroll(cell, xs, state)
    one = tg.unroll(cell, xs[:1], state)
    output, after = cell.step(xs[0], state)
    for got, wanted in zip(values(one), [output, *tree.leaves(after)], strict=True):
        np.testing.assert_array_equal(got, wanted.numpy())
    row = tg.unroll(cell, xs[:, 2:3], tree.map_leaves(lambda part: part[2:3], state))
    for got, wanted in zip(values(row), values(whole), strict=True):
        np.testing.assert_allclose(got, wanted[2:3], rtol=1e-12, atol=1e-14)


@every_cell
@pytest.mark.parametrize("reverse", [False, True])
def test_sequences_of_a_batch_end_each_for_itself(name, reverse, rng):
    cell, lengths = make(name), [4, 2, 0]
    xs, state = rng.normal(size=(4, 3, I)), some_state(cell, 3, rng)
    parameters = list(cell.parameters().values())

    def loss(run):
        return tg.square(run.outputs).sum() + sum(
            tg.square(s).sum() for s in tree.leaves(run.state)
        )

    padded = np.where(np.arange(4)[:, None, None] < np.array(lengths)[:, None], xs, np.nan)
    whole = tg.unroll(cell, padded, state, lengths=lengths, reverse=reverse)
    wanted = [np.zeros(p.shape) for p in parameters]
    for k, n in enumerate(lengths):
        start = tree.map_leaves(lambda part, k=k: part[k : k + 1], state)
        if n == 0:
            assert not whole.outputs.numpy()[:, k].any()
            for got, s in zip(tree.leaves(whole.state), tree.leaves(start), strict=True):
                np.testing.assert_array_equal(got.numpy()[k], s.numpy()[0])
            continue
        order = slice(None, None, -1) if reverse else slice(None)
        alone = tg.unroll(cell, xs[:n, k : k + 1][order], start)
        outputs = whole.outputs.numpy()[:, k]
        np.testing.assert_allclose(outputs[:n][order], alone.outputs.numpy()[:, 0], atol=1e-14)
        assert not outputs[n:].any()
        for got, s in zip(tree.leaves(whole.state), tree.leaves(alone.state), strict=True):
            np.testing.assert_allclose(got.numpy()[k], s.numpy()[0], atol=1e-14)
        wanted = [w + g for w, g in zip(wanted, tg.gradients(loss(alone), parameters), strict=True)]
    for got, g in zip(tg.gradients(loss(whole), parameters), wanted, strict=True):
        np.testing.assert_allclose(got, g, rtol=1e-10, atol=1e-12)


@every_cell
def test_it_is_saved_and_loaded(name, tmp_path):
    cell, run = some_run(name)
    path = tg.io.save(cell, tmp_path / "cell.safetensors", {"cell": name})
    other = make(name, seed=9)
    assert tg.io.load(other, path) == {"cell": name}
    again = tg.unroll(other, np.random.default_rng(0).normal(size=(3, 2, I)), run.states[0])
    for got, wanted in zip(values(again), values(run), strict=True):
        np.testing.assert_array_equal(got, wanted)


def same_runs(model, parts, xs, wanted, **options):
    """A model of two cells gives the results of each by itself, and their gradients."""
    run = tg.unroll(model, xs, **options)
    outputs, states = wanted()
    np.testing.assert_allclose(run.outputs.numpy(), outputs.numpy(), atol=1e-13)
    for got, s in zip(tree.leaves(run.state), tree.leaves(states), strict=True):
        np.testing.assert_allclose(got.numpy(), s.numpy(), atol=1e-13)
    own = [p for part in parts for p in part.parameters().values()]
    for p, got in zip(own, model.parameters().values(), strict=True):
        assert p is got
    found = tg.gradients(tg.square(run.outputs).sum(), own)
    for got, g in zip(found, tg.gradients(tg.square(outputs).sum(), own), strict=True):
        np.testing.assert_allclose(got, g, atol=1e-11)
    return run


@every_cell
def test_it_stands_in_a_stack(name, rng):
    lower, xs = make(name), rng.normal(size=(3, 2, I))
    size = tg.unroll(lower, xs).outputs.shape[-1]
    upper = tg.LSTMCell(size, 2, rng=1, dtype=np.float64)

    def one_after_the_other():
        below = tg.unroll(lower, xs, lengths=[3, 2])
        above = tg.unroll(upper, below.outputs, lengths=[3, 2])
        return above.outputs, (below.state, above.state)

    stack = nn.Stacked(lower, upper)
    run = same_runs(stack, (lower, upper), xs, one_after_the_other, lengths=[3, 2])
    drawing = tg.draw(tg.square(run.outputs).sum(), level="step")
    assert overlapping(drawing.layout) == []


@every_cell
def test_it_runs_in_both_directions(name, rng):
    forward, backward, xs = make(name), make(name, seed=1), rng.normal(size=(3, 2, I))

    def one_beside_the_other():
        runs = [
            tg.unroll(cell, xs, lengths=[3, 2], reverse=reverse)
            for cell, reverse in ((forward, False), (backward, True))
        ]
        return tg.concatenate([run.outputs for run in runs], -1), [run.state for run in runs]

    both = nn.Bidirectional(forward, backward)
    same_runs(both, (forward, backward), xs, one_beside_the_other, lengths=[3, 2])


@every_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_keeps_its_precision(name, dtype):
    cell = CELLS[name](I, H, rng=0, dtype=dtype)
    assert {p.dtype for p in cell.parameters().values()} <= {np.dtype(dtype)}
    run = tg.unroll(cell, np.zeros((2, 1, I), dtype))
    assert {part.dtype for part in tree.leaves((run.steps, run.states))} == {np.dtype(dtype)}
    tg.gradients(run.outputs.sum(), list(cell.parameters().values()))


@every_cell
def test_the_same_seed_makes_the_same_cell(name):
    a, b, c = (values(tg.unroll(make(name, seed), np.ones((6, 1, I)))) for seed in (1, 1, 2))
    assert all(map(np.array_equal, a, b))
    assert not all(map(np.array_equal, a, c)) or name == "lif"  # which may be silent in all


@every_cell
def test_central_differences_agree(name, rng, smooth_spikes):
    cell, targets = make(name), rng.normal(size=(2, 2, make_one_step(name).shape[-1]))
    state = some_state(cell, 2, rng)
    comparison = study.compare(cell, rng.normal(size=(2, 2, I)), targets, state=state)
    assert comparison.agrees, comparison


def make_one_step(name):
    return tg.unroll(make(name), np.zeros((1, 1, I))).steps[0]


@every_cell
def test_jacobians_are_central_differences(name, rng, smooth_spikes):
    cell, x, state = make(name), rng.normal(size=(1, 2, I)), some_state(make(name), 2, rng)
    parts = [part.numpy() for part in tree.leaves(state)]
    flat, ends = np.concatenate(parts, axis=1), np.cumsum([part.shape[1] for part in parts])

    def after(flat):
        pieces = iter(map(tg.tensor, np.split(flat, ends[:-1], axis=1)))
        _, new = cell.step(x[0], tree.rebuild(state, pieces))
        return np.concatenate([part.numpy() for part in tree.leaves(new)], axis=1)

    J = study.jacobians(cell, x, state)[0]
    for j in range(flat.shape[1]):
        h = 1e-5 * np.eye(flat.shape[1])[j]
        slope = (after(flat + h) - after(flat - h)) / 2e-5
        np.testing.assert_allclose(J[:, :, j], slope, atol=1e-7)


@every_cell
def test_the_parts_of_a_gradient_add_up(name):
    cell, run = some_run(name)
    losses = [tg.square(o).sum() for o in run.steps]
    for label, p in cell.parameters().items():
        D = study.contributions(losses, p)
        total = tg.gradients(tg.square(run.outputs).sum(), p, keep_record=True)
        np.testing.assert_allclose(D.arrays.sum((0, 1)), total, atol=1e-12, err_msg=label)
        np.testing.assert_array_equal(
            D.arrays[0, 1:3], 0, err_msg=label
        )  # no step knows later ones


@every_cell
def test_checkpointed_gives_the_same_gradients(name, rng):
    cell, xs, state = make(name), rng.normal(size=(7, 2, I)), some_state(make(name), 2, rng)
    parameters, start = list(cell.parameters().values()), tree.leaves(state)

    def of(run):
        loss = tg.square(run.outputs).sum()
        return tg.gradients(loss, [*parameters, *start])

    whole, saved = of(tg.unroll(cell, xs, state)), of(tg.checkpointed(cell, xs, state, slots=2))
    for got, wanted in zip(saved, whole, strict=True):
        np.testing.assert_array_equal(got, wanted)


@every_cell
def test_a_step_is_a_program(name, rng):
    cell, x, state = make(name), rng.normal(size=(2, I)), some_state(make(name), 2, rng)
    program = tg.trace(cell, x, state)
    tensors = [*cell.parameters().values(), x, *tree.leaves(state)]
    by_name = {v.name: v for v in program.inputs}
    held = [b for k, b in cell.buffers().items() if k in by_name]
    given = [t if isinstance(t, np.ndarray) else t.numpy() for t in tensors]
    results = program.compile()(*given[: -1 - len(tree.leaves(state))], *[b.numpy() for b in held],
                                *given[-1 - len(tree.leaves(state)) :])  # fmt: skip
    wanted = cell.step(x, state)
    for got, w in zip(tree.leaves(results), tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(got, w.numpy(), rtol=1e-12, atol=1e-14)


@every_cell
def test_sequences_are_examples(name, rng):
    """`vmap` over sequences is a batch of them, and their gradients add up to the batch's."""
    cell, xs = make(name), rng.normal(size=(3, 4, I))
    run = tg.unroll(cell, xs)
    alone = tg.vmap(lambda xs: tg.unroll(cell, xs[:, None]).outputs[:, 0], in_axes=1, out_axes=1)
    np.testing.assert_allclose(alone(xs).numpy(), run.outputs.numpy(), rtol=1e-12, atol=1e-14)
    parameters = list(cell.parameters().values())
    losses = tg.square(run.outputs).sum(axis=(0, 2))
    each = tg.per_example_gradients(losses, parameters, keep_record=True) if parameters else []
    for g, wanted in zip(each, tg.gradients(losses.sum(), parameters), strict=True):
        np.testing.assert_allclose(g.sum(0), wanted, rtol=1e-10, atol=1e-12)


# ------------------------------------------------------------------------------------------------
# Time spans


@pytest.mark.parametrize("name", ["ltc", "cfc"])
def test_readers_know_cells_with_time_spans(name, rng):
    cell = make(name)
    inputs = nn.Timed(rng.normal(size=(3, 2, I)), rng.uniform(0.5, 2, (3, 2)))
    run = tg.unroll(cell, inputs)
    derivation = study.derive(cell, inputs=nn.Timed(np.ones((1, I)), np.ones((1, 1))))
    assert "dtₜ" in derivation.unicode()
    comparison = study.compare(cell, inputs, rng.normal(size=(3, 2, H)))
    assert comparison.agrees
    assert "dL/dx.dt" in str(comparison)
    losses = [tg.square(o).sum() for o in run.steps]
    total = tg.gradients(tg.square(run.outputs).sum(), cell.W, keep_record=True)
    np.testing.assert_allclose(study.contributions(losses, cell.W).arrays.sum((0, 1)), total)
    assert len(study.diagnose(cell, inputs).norms) == 4
    drawing = tg.draw(losses[-1])
    assert overlapping(drawing.layout) == []


@pytest.mark.parametrize("name", ["ltc", "cfc"])
def test_a_span_is_a_number_a_column_or_a_row_of_numbers(name, rng):
    cell, x, s = make(name), rng.normal(size=(2, I)), some_state(make(name), 2, rng)
    one = cell.step(x, s)[0].numpy()
    for span in (1.0, np.ones(2), np.ones((2, 1)), tg.tensor(np.ones(2))):
        np.testing.assert_array_equal(cell.step((x, span), s)[0].numpy(), one)
    assert (cell.step((x, np.array([1.0, 2.0])), s)[0].numpy() == one).all(1).tolist() == [
        True,
        False,
    ]


# ------------------------------------------------------------------------------------------------
# The registry


registered = pytest.mark.parametrize("info", tg.cells().values(), ids=tg.cells())


@registered
def test_the_docstring_says_what_there_is(info):
    text = info.cell.__doc__
    said = functools.reduce(str.__add__, re.findall(r"(?s)(?:Parameters|buffers).*?State", text))
    letters = {p.split("_")[0] for p in info.make(I, H, rng=0).parameters()}
    assert [letter for letter in letters if not re.search(rf"\b{letter}(\b|_)", said)] == []
    assert info.equation.count("=") >= 1
    assert re.search(r"\b(19|20)\d\d\b|arXiv", info.paper)


@registered
def test_the_number_of_parameters(info):
    assert eval_count(info.parameters, 13, 10) == info.count(13, 10)


def eval_count(text, I, H):  # noqa: E741
    letters = {"H²": H * H, "HI": H * I, "I": I, "H": H, "": 1}
    terms = re.findall(r"([\d.]*)([HI²]*)(?: \+ |$)", text)
    return sum(float(n or 1) * letters[term] for n, term in terms if n or term)


def test_the_list_is_printed_whole():
    assert tg.cells()["GRU"] is tg.cells()["gru"]
    with pytest.raises(KeyError, match="no cell is called 'gruu'; there are elman, lstm,"):
        tg.cells()["gruu"]
    text = str(tg.cells())
    assert text.count("\n\n") == len(tg.cells()) - 1
    assert (
        "mgu: Minimal gated unit; state h (B, H); 2H² + 2HI + 2H parameters\n    f = sigma(" in text
    )


def test_a_docstring_without_equations_is_refused():
    from tinygrad_rnn.nn.registry import CellInfo

    class Plain(tg.ElmanCell):
        """Nothing.

        Much.

        More.
        """

    with pytest.raises(ValueError, match="Plain: its docstring has no equations"):
        CellInfo("plain", "Plain", Plain).equation  # noqa: B018


def test_every_cell_is_registered_and_found_in_nn():
    listed = {info.cell for info in tg.cells().values()}
    own = {getattr(nn, name) for name in dir(nn) if name.endswith("Cell") and name != "Cell"}
    assert own == listed
    with pytest.raises(AttributeError, match=r"'tinygrad_rnn\.nn' has no attribute 'GRUUCell'"):
        nn.GRUUCell  # noqa: B018


def test_periods_need_units():
    with pytest.raises(ValueError, match=r"periods: given \(1, 2, 4\) for 2 units"):
        tg.nn.ClockworkCell(1, 2)


# -- biases ----------------------------------------------------------------------------------------

WITH_BIASES = [n for n, c in tg.cells().items() if "bias" in inspect.signature(c.cell).parameters]
WITHOUT = {"brc", "nbrc", "lmu", "lif"}
FORGETTING = {
    "lstm", "peephole-lstm", "projected-lstm", "layer-norm-lstm", "cifg", "mlstm", "janet",
    "minlstm", "sru",
}  # fmt: skip


def with_options(name, **options):
    info = tg.cells()[name]
    return info.cell(I, H, rng=0, dtype=np.float64, **info.options, **options)


def biases(cell):
    """Those that stand in the equations of a cell as b, or d."""
    held = {**cell.parameters(), **cell.buffers()}
    return {k: p for k, p in held.items() if k.split("_")[0] in ("b", "d")}


def test_the_cells_with_biases_are_those_whose_equations_have_some():
    assert {*tg.cells()} - {*WITH_BIASES} == WITHOUT
    for name, info in tg.cells().items():
        assert bool(re.search(r"\bb(_\w+)?\b", info.equation)) == (name not in WITHOUT)
        assert bool(biases(info.make(I, H, rng=0))) == (name not in WITHOUT)
        assert ("forget_bias" in inspect.signature(info.cell).parameters) == (name in FORGETTING)


@pytest.mark.parametrize("name", WITH_BIASES)
def test_a_cell_without_biases_is_one_whose_biases_are_zero(name, rng):
    bare, full = with_options(name, bias=False), make(name)
    weights = {k: p for k, p in full.state_dict().items() if k not in biases(full)}
    assert list(bare.state_dict()) == list(weights)
    bare.load_state_dict(weights)
    for p in biases(full).values():
        p.assign(np.zeros(p.shape))
    xs, state = rng.normal(size=(4, 2, I)), some_state(full, 2, rng)
    one, two = tg.unroll(bare, xs, state), tg.unroll(full, xs, state)
    for a, b in zip(values(one), values(two), strict=True):
        np.testing.assert_array_equal(a, b)
    wrt = list(bare.parameters())
    for a, b in zip(
        tg.gradients(one.outputs.sum(), [bare.parameters()[k] for k in wrt]),
        tg.gradients(two.outputs.sum(), [full.parameters()[k] for k in wrt]),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    assert " b" not in str(study.derive(bare)).split("Names")[0].replace(" batch", "")


@pytest.mark.parametrize("name", sorted(FORGETTING))
def test_the_forget_gate_begins_open(name):
    """Only its biases change; with weights of zero the state is kept as they say."""
    opened, plain = with_options(name, forget_bias=3.0), make(name)
    changed = {
        k: int((a != b).sum())
        for (k, a), b in zip(opened.state_dict().items(), plain.state_dict().values(), strict=True)
    }
    assert sum(changed.values()) == H
    assert all(n == 0 for k, n in changed.items() if k not in biases(opened))
    for k, p in opened.parameters().items():
        if k not in biases(opened):
            p.assign(np.zeros(p.shape))
    run = tg.unroll(opened, np.zeros((3, 1, I)))
    gates = study.gates(run)
    f = gates["f"].values if name != "janet" else gates["sigmoid(f)"].values
    np.testing.assert_allclose(f, 1 / (1 + np.exp(-3.0)))
    with pytest.raises(ValueError, match=r"forget_bias=3\.0 with bias=False"):
        with_options(name, bias=False, forget_bias=3.0)
