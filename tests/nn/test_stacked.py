"""Stacks and directions: equal to running their parts by hand, and known to every reader."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, tree

CELLS = [tg.ElmanCell, tg.LSTMCell, tg.GRUCell]


def make(cell, inputs, units, rng):
    return cell(inputs, units, rng=rng, dtype=np.float64)


def alike(a, b):
    for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), atol=1e-13)


# -- stacks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"lengths": [5, 2]}, {"reverse": True}])
@pytest.mark.parametrize("cell", CELLS)
def test_a_stack_is_its_layers_one_after_the_other(cell, options, rng):
    lower, upper = make(cell, 2, 3, rng), make(cell, 3, 4, rng)
    xs = rng.normal(size=(5, 2, 2))
    run = tg.unroll(nn.Stacked(lower, upper), xs, **options)
    below = tg.unroll(lower, xs, **options)
    above = tg.unroll(upper, below.steps, **options)
    alike(run.outputs, above.outputs)
    alike(run.state, (below.state, above.state))
    own = [*lower.parameters().values(), *upper.parameters().values()]
    for g, w in zip(
        tg.gradients(run.outputs.sum(), own), tg.gradients(above.outputs.sum(), own), strict=True
    ):
        np.testing.assert_allclose(g, w, atol=1e-12)


def test_residual_connections(rng):
    lower, upper = make(tg.GRUCell, 2, 3, rng), make(tg.GRUCell, 3, 3, rng)
    xs = rng.normal(size=(4, 2, 2))
    run = tg.unroll(nn.Stacked(lower, upper, residual=True), xs)
    below = tg.unroll(lower, xs)
    alike(run.outputs, below.outputs + tg.unroll(upper, below.outputs).outputs)
    both = nn.Stacked(lower, nn.Bidirectional(upper, upper, "sum"), residual=True)
    above = tg.unroll(nn.Bidirectional(upper, upper, "sum"), below.steps)
    alike(tg.unroll(both, xs).outputs, below.outputs + above.outputs)
    wrong = nn.Stacked(lower, make(tg.GRUCell, 3, 5, rng), residual=True)
    with pytest.raises(ValueError, match=r"layer 2 has inputs \(2, 3\) and outputs \(2, 5\)"):
        tg.unroll(wrong, xs)


@pytest.mark.parametrize("whole", [False, True])
def test_dropout_lies_between_layers_and_only_in_training(whole, rng):
    lower, upper = make(tg.ElmanCell, 2, 50, rng), make(tg.ElmanCell, 50, 3, rng)
    layers = (lower, nn.Bidirectional(upper, upper) if whole else upper)
    xs = rng.normal(size=(4, 2, 2))
    plain = tg.unroll(nn.Stacked(*layers), xs).outputs.numpy()
    stack = nn.Stacked(*layers, dropout=0.5, rng=0)
    first, second = (tg.unroll(stack, xs).outputs.numpy() for _ in range(2))
    assert not np.allclose(first, second)
    again = nn.Stacked(*layers, dropout=0.5, rng=0)
    np.testing.assert_array_equal(tg.unroll(again, xs).outputs.numpy(), first)
    np.testing.assert_array_equal(tg.unroll(stack.eval(), xs).outputs.numpy(), plain)
    one = nn.Stacked(lower, dropout=0.9, rng=0)  # there is nothing between
    alike(tg.unroll(one, xs).outputs, tg.unroll(lower, xs).outputs)


def test_states_are_carried_from_window_to_window(rng):
    xs = rng.normal(size=(6, 2, 2))
    stack = nn.Stacked(make(tg.LSTMCell, 2, 3, rng), make(tg.GRUCell, 3, 3, rng))
    whole = tg.unroll(stack, xs)
    first = tg.unroll(stack, xs[:4])
    second = tg.unroll(stack, xs[4:], tg.detach(first.state))
    alike(second.state, whole.state)
    with pytest.raises(ValueError, match="wanted a tuple of 2, the states of the layers"):
        tg.unroll(stack, xs, first.state[1])


def test_what_a_stack_is_made_of(rng):
    lower, upper = make(tg.ElmanCell, 2, 3, rng), make(tg.ElmanCell, 3, 3, rng)
    stack = nn.Stacked(lower, upper)
    assert list(stack.parameters()) == [f"layers.{k}.{p}" for k in (0, 1) for p in "UWb"]
    assert stack.input_size == 2
    with pytest.raises(TypeError, match=r"give a list as \*cells"):
        nn.Stacked([lower, upper])
    with pytest.raises(TypeError, match="given none"):
        nn.Stacked()
    with pytest.raises(ValueError, match="dropout=1"):
        nn.Stacked(lower, dropout=1.0)
    with pytest.raises(ValueError, match=r"in timestep 1 in scope layer 2: \(2, 3\) @ \(2, 3\)"):
        tg.unroll(nn.Stacked(lower, lower), np.ones((3, 2, 2)))


# -- directions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "ave"])
@pytest.mark.parametrize("cell", CELLS)
def test_two_directions_are_a_run_and_a_reversed_run(cell, merge, rng):
    there, back = make(cell, 2, 3, rng), make(cell, 2, 3, rng)
    xs = rng.normal(size=(5, 3, 2))
    run = tg.unroll(nn.Bidirectional(there, back, merge), xs, lengths=[5, 3, 0])
    f = tg.unroll(there, xs, lengths=[5, 3, 0])
    b = tg.unroll(back, xs, lengths=[5, 3, 0], reverse=True)
    wanted = {
        "concat": lambda a, b: np.concatenate([a, b], -1),
        "sum": np.add,
        "mul": np.multiply,
        "ave": lambda a, b: (a + b) / 2,
    }[merge](f.outputs.numpy(), b.outputs.numpy())
    np.testing.assert_allclose(run.outputs.numpy(), wanted, atol=1e-14)
    alike(run.state, (f.state, b.state))
    assert [part.times for part in run.parts] == [(1, 2, 3, 4, 5), (5, 4, 3, 2, 1)]
    alike(run.states, tuple(zip(f.states, b.states, strict=True)))


def test_each_sequence_of_a_batch_is_read_as_if_alone(rng):
    model = nn.Stacked(
        nn.Bidirectional(make(tg.LSTMCell, 2, 3, rng), make(tg.LSTMCell, 2, 3, rng)),
        nn.Bidirectional(make(tg.GRUCell, 6, 2, rng), make(tg.GRUCell, 6, 2, rng)),
    )
    xs, lengths = rng.normal(size=(5, 3, 2)), [2, 5, 4]
    for b, n in enumerate(lengths):
        xs[n:, b] = np.nan
    run = tg.unroll(model, xs, lengths=lengths)
    found = tg.gradients(run.outputs.sum(), list(model.parameters().values()))
    wanted = [0.0] * len(found)
    for b, n in enumerate(lengths):
        alone = tg.unroll(model, xs[:n, b : b + 1])
        np.testing.assert_allclose(
            run.outputs.numpy()[:n, b], alone.outputs.numpy()[:, 0], atol=1e-13
        )
        for whole, own in zip(tree.leaves(run.state), tree.leaves(alone.state), strict=True):
            np.testing.assert_allclose(whole.numpy()[b], own.numpy()[0], atol=1e-13)
        one = tg.gradients(alone.outputs.sum(), list(model.parameters().values()))
        wanted = [w + g for w, g in zip(wanted, one, strict=True)]
    for g, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(g, w, atol=1e-12)


def test_what_directions_refuse(rng):
    cell = make(tg.ElmanCell, 2, 3, rng)
    both = nn.Bidirectional(cell, make(tg.ElmanCell, 2, 3, rng))
    with pytest.raises(TypeError, match="has no step: an output depends on the whole sequence"):
        both.step(np.ones((1, 2)), both.initial_state(1))
    with pytest.raises(ValueError, match="merge='add'; wanted one of 'concat', 'sum'"):
        nn.Bidirectional(cell, cell, merge="add")
    with pytest.raises(TypeError, match="backward is a int"):
        nn.Bidirectional(cell, 3)
    run = tg.unroll(both, np.ones((3, 1, 2)))
    with pytest.raises(ValueError, match=r"tg\.trace\(run\.parts\[0\], step=\)"):
        tg.trace(run, step=1)
    with pytest.raises(ValueError, match=r"timestep 3 \(in reverse\) in scope backward: "):
        tg.unroll(nn.Bidirectional(cell, make(tg.ElmanCell, 4, 3, rng)), np.ones((3, 1, 2)))


def test_no_states_are_kept_under_no_grad(rng):
    both = nn.Bidirectional(make(tg.GRUCell, 2, 3, rng), make(tg.GRUCell, 2, 3, rng))
    with tg.no_grad():
        run = tg.unroll(both, np.ones((3, 1, 2)))
    assert run.state[0].shape == (1, 3)
    with pytest.raises(ValueError, match="keep_states"):
        run.states  # noqa: B018
