"""Zoneout, variational dropout and a normalised state, around any cell."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, study, tree
from tinygrad_rnn.equations import derive

CELLS = [tg.ElmanCell, tg.LSTMCell, tg.GRUCell]
WRAPPERS = {
    "zoneout": lambda cell: nn.Zoneout(cell, 0.3, rng=0),
    "variational": lambda cell: nn.VariationalDropout(cell, inputs=0.3, state=0.3, rng=0),
    "normalised": nn.NormalisedState,
}


def make(cell, rng):
    return cell(2, 3, rng=rng, dtype=np.float64)


def alike(a, b):
    for x, y in zip(tree.leaves(a), tree.leaves(b), strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), atol=1e-14)


# -- zoneout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_zoneout_keeps_some_entries_and_mixes_when_evaluated(cell, rng):
    inner, x = make(cell, rng), rng.normal(size=(4, 2))
    state = tree.map_leaves(lambda s: tg.tensor(rng.normal(size=s.shape)), inner.initial_state(4))
    _, plain = inner.step(x, state)
    wrapped = nn.Zoneout(inner, 0.5, rng=0)
    output, after = wrapped.step(x, state)
    kept = 0
    for old, new, found in zip(*map(tree.leaves, (state, plain, after)), strict=True):
        stays, moves = found.numpy() == old.numpy(), found.numpy() == new.numpy()
        assert (stays ^ moves).all()
        kept += stays.sum()
    assert 0 < kept < sum(s.size for s in tree.leaves(state))
    np.testing.assert_array_equal(output.numpy(), tree.leaves(after)[0].numpy())
    _, mean = wrapped.eval().step(x, state)
    for old, new, found in zip(*map(tree.leaves, (state, plain, mean)), strict=True):
        np.testing.assert_allclose(found.numpy(), 0.5 * old.numpy() + 0.5 * new.numpy())


def test_zoneout_has_a_rate_for_each_part(rng):
    inner, x = make(tg.LSTMCell, rng), rng.normal(size=(50, 2))
    state = tree.map_leaves(lambda s: tg.tensor(rng.normal(size=s.shape)), inner.initial_state(50))
    _, (h, c) = nn.Zoneout(inner, (0.0, 0.9), rng=0).step(x, state)
    _, plain = inner.step(x, state)
    np.testing.assert_array_equal(h.numpy(), plain.h.numpy())
    assert np.mean(c.numpy() == state.c.numpy()) == pytest.approx(0.9, abs=0.07)
    with pytest.raises(ValueError, match="3 rates for a state of 2 parts"):
        nn.Zoneout(inner, (0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="rate=1"):
        nn.Zoneout(inner, 1.0)


# -- variational dropout -------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
def test_one_mask_for_all_steps(cell, rng):
    inner, xs = make(cell, rng), rng.normal(size=(5, 4, 2))
    wrapped = nn.VariationalDropout(inner, inputs=0.5, state=0.4, rng=0)
    run = tg.unroll(wrapped, xs)
    m_x, m_h = (m.numpy() for m in run.state.masks)
    assert set(np.unique(m_x)) == {0.0, 2.0}
    assert set(np.unique(m_h)) == {0.0, 1 / 0.6}
    state = inner.initial_state(4)
    for x, output in zip(xs, run.steps, strict=True):
        h, *rest = tree.leaves(state)
        state = tree.rebuild(state, iter([h * m_h, *rest]))
        wanted, state = inner.step(x * m_x, state)
        np.testing.assert_allclose(output.numpy(), wanted.numpy(), atol=1e-14)
    alike(run.state.state, state)


def test_masks_are_replayed_and_carried_on(rng):
    cell = nn.VariationalDropout(make(tg.GRUCell, rng), inputs=0.5, state=0.5, rng=0)
    xs = rng.normal(size=(6, 4, 2))
    first = tg.unroll(cell, xs)
    again = tg.unroll(cell, xs, first.states[0])
    np.testing.assert_array_equal(first.outputs.numpy(), again.outputs.numpy())
    assert not np.array_equal(first.outputs.numpy(), tg.unroll(cell, xs).outputs.numpy())
    window = tg.unroll(cell, xs[:2], first.states[0])
    rest = tg.unroll(cell, xs[2:], tg.detach(window.state))
    np.testing.assert_array_equal(rest.outputs.numpy(), first.outputs.numpy()[2:])
    segment = tg.checkpoint(lambda xs, state: tg.unroll(cell, xs, state).outputs.sum())
    x = tg.tensor(xs)
    loss = segment(x, first.states[0])
    plain = tg.unroll(cell, x, first.states[0]).outputs.sum()
    np.testing.assert_allclose(
        tg.gradients(loss, cell.cell.W), tg.gradients(plain, cell.cell.W), atol=1e-12
    )


def test_no_masks_when_evaluated(rng):
    inner, xs = make(tg.GRUCell, rng), rng.normal(size=(3, 4, 2))
    cell = nn.VariationalDropout(inner, inputs=0.5, state=0.5, rng=0)
    carried = tg.unroll(cell, xs).state
    cell.eval()
    np.testing.assert_array_equal(
        tg.unroll(cell, xs).outputs.numpy(), tg.unroll(inner, xs).outputs.numpy()
    )
    np.testing.assert_array_equal(
        tg.unroll(cell, xs, carried).outputs.numpy(),
        tg.unroll(inner, xs, carried.state).outputs.numpy(),
    )
    empty = cell.initial_state(4)
    with pytest.raises(ValueError, match="the state has 0 masks; wanted 2"):
        tg.unroll(cell.train(), xs, empty)


# -- a normalised state --------------------------------------------------------------------------


def test_the_state_is_normalised_with_gains_and_shifts(rng):
    inner, x = make(tg.LSTMCell, rng), rng.normal(size=(4, 2))
    cell = nn.NormalisedState(inner, parts=(1,))
    cell.gains[0].assign(rng.normal(size=3))
    cell.shifts[0].assign(rng.normal(size=3))
    state = inner.initial_state(4)
    output, after = cell.step(x, state)
    _, plain = inner.step(x, state)
    np.testing.assert_array_equal(after.h.numpy(), plain.h.numpy())
    assert output is after.h
    c = plain.c.numpy()
    wanted = (c - c.mean(-1, keepdims=True)) / np.sqrt(c.var(-1, keepdims=True) + 1e-5)
    wanted = wanted * cell.gains[0].numpy() + cell.shifts[0].numpy()
    np.testing.assert_allclose(after.c.numpy(), wanted, atol=1e-12)
    assert after.c.name == "c"
    assert list(cell.parameters()) == ["cell.U", "cell.W", "cell.b", "gains.0", "shifts.0"]
    both = nn.NormalisedState(make(tg.ElmanCell, rng))
    output, s = both.step(x, both.initial_state(4))
    assert output is s
    with pytest.raises(ValueError, match=r"parts=\(2,\) of a state that has 2"):
        nn.NormalisedState(inner, parts=(2,))


# -- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_gradients_lengths_and_reports(wrapper, cell, rng):
    model, xs = WRAPPERS[wrapper](make(cell, rng)), rng.normal(size=(4, 3, 2))
    start = model.initial_state(3)
    if wrapper != "zoneout":  # which draws in every step
        found = study.compare(model, xs, rng.normal(size=(4, 3, 3)), state=start)
        assert found.agrees, str(found)
        xs[2:, 1] = np.nan
        run = tg.unroll(model, xs, start, lengths=[4, 2, 0])
        whole = tg.unroll(model, xs[:, :1], tree.map_leaves(lambda s: s[:1], start))
        np.testing.assert_allclose(run.outputs.numpy()[:, :1], whole.outputs.numpy(), atol=1e-14)
        assert all(np.isfinite(g).all() for g in tg.gradients(
            run.outputs.sum(), list(model.parameters().values())
        ))  # fmt: skip
    tg.draw(tg.unroll(model, np.ones((2, 1, 2))).outputs.sum(), level="step")
    text = str(derive(model.eval()))
    assert "∂L/∂" in text
    assert study.compare(model, np.ones((3, 1, 2)), np.zeros((3, 1, 3))).agrees


def test_the_zoneout_of_a_stack_is_drawn_from_again(rng):
    def outputs():
        cells = [nn.Zoneout(tg.GRUCell(n, 3, rng=1), 0.5, rng=2) for n in (2, 3)]
        return tg.unroll(nn.Stacked(*cells), np.ones((3, 2, 2))).outputs.numpy()

    np.testing.assert_array_equal(outputs(), outputs())


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_cannot_be_wrapped(wrapper, rng):
    cell = make(tg.ElmanCell, rng)
    with pytest.raises(TypeError, match="Bidirectional has no single step"):
        WRAPPERS[wrapper](nn.Bidirectional(cell, cell))
    with pytest.raises(TypeError, match="given a int; wanted a cell"):
        WRAPPERS[wrapper](3)


def test_a_draw_in_a_derivation_is_refused(rng):
    with pytest.raises(TypeError, match="random"):
        derive(nn.Zoneout(make(tg.ElmanCell, rng), 0.5, rng=0))
