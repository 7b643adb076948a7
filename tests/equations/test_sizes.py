"""Sizes in letters: those that a record shows, and no other."""

import numpy as np
import pytest
from odd_cells import ODD, Odd

import tinygrad_rnn as tg
from tinygrad_rnn.equations import derive
from tinygrad_rnn.equations.sizes import Count, Size, between, place

SIZES = [(3, 4), (5, 8), (6, 6)]
"""Of the input and of the state; the last ones are the same by chance."""
CELLS = {
    name: info
    for name, info in tg.cells().items()
    if name not in ("sru", "orthogonal")  # another cell if I = H; no expm in NumPy
}


def made(name, sizes):
    info = CELLS[name]
    options = {"unfolds": 2} if name == "ltc" else {}
    return info.cell(*sizes, rng=0, dtype=np.float64, **info.options, **options)


@pytest.mark.parametrize("name", CELLS)
def test_equations_and_program_hold_for_all_sizes(name):
    first, *others = (derive(made(name, sizes)) for sizes in SIZES)
    if not first.form.unnamed:  # of an array the shape is said
        for other in others:
            assert str(other) == str(first)
            assert other.latex() == first.latex()
            assert other.mathml() == first.mathml()
    scalars = [d.form.scalars for d in (first, *others)]
    if all(found == scalars[0] for found in scalars):
        assert {d.source() for d in others} == {first.source()}


@pytest.mark.parametrize("name", ["gru", "gru-before", "lstm", "layer-norm-lstm", "projected-lstm"])
def test_the_program_runs_for_other_sizes(name):
    T, B = 2, 3
    scope, rng = {}, np.random.default_rng(0)
    exec(derive(made(name, (3, 4))).source(), scope)
    cell = made(name, (5, 6))
    xs = tg.tensor(rng.normal(size=(T, B, 5)))
    start = tg.tree.map_leaves(lambda s: tg.tensor(rng.normal(size=s.shape)), cell.initial_state(B))
    run = tg.unroll(cell, xs, start)
    e = rng.normal(size=run.outputs.shape)
    leaves = [*cell.parameters().values(), xs, *tg.tree.leaves(start)]
    wanted = tg.gradients(list(run.steps), leaves, list(e))
    outputs, found = scope["forward_backward"](*[leaf.numpy() for leaf in leaves], e)
    np.testing.assert_allclose(outputs, run.outputs.numpy(), rtol=1e-12)
    for (label, got), g in zip(found.items(), wanted, strict=True):
        np.testing.assert_allclose(got, g, rtol=1e-10, atol=1e-12, err_msg=label)


def lines(cell):
    return [line.strip() for line in str(derive(cell)).splitlines()]


def stepping(step, **shapes):
    class Stepping(Odd):
        def __init__(self):
            super().__init__(**shapes)

        def step(self, x, s):
            s = tg.tanh(step(self, x, s))
            return s, s

    return Stepping()


def test_parts_of_an_axis_begin_at_letters():
    assert "∂L/∂xₜ = δᵘₜ[:, :I]" in lines(ODD["JoinedInput"]())
    assert "∂L/∂h₀ = δʰ₁ ⊙ z₁ + δᵘ₁[:, I:I+H]" in lines(ODD["JoinedInput"]())
    gru = derive(tg.GRUCell(3, 4))
    assert "δᶻₜ = ∂L/∂aᶻₜ, where aᶻₜ = aʳᶻₜ[:, H:]" in str(gru)
    assert "_{[{:}, H{:}]}" in gru.latex()
    assert "<mi>H</mi>" in gru.mathml()
    assert "np.split(x @ U + b, [2 * H], axis=-1)" in gru.source()


def test_sizes_that_are_alike_by_chance_have_no_letter():
    """Four entries of eight, of which nothing says that they are as many as the state has."""
    cell = stepping(lambda c, x, s: x[:, :4] @ c.U + x[:, 4:] @ c.V + s, U=(4, 4), V=(4, 4))
    cell.input_size = 8
    assert "sₜ = tanh(xₜ[:, :4] U + xₜ[:, 4:] V + sₜ₋₁)" in lines(cell)
    assert "sₜ = [hₜ" not in str(derive(ODD["Halves"]()))
    assert any("hₜ₋₁[:, 2:] F" in line for line in lines(ODD["Halves"]()))  # not H/2: a by chance
    assert any("B × 2 × 2" in line for line in lines(ODD["Heads"]()))


def test_halves_that_are_added_to_each_other_have_half_the_size():
    def step(c, x, h):
        a, b = tg.split(h, 2, -1)
        return tg.concatenate([a + tg.tanh(b @ c.F + x @ c.U), b + a], -1)

    derivation = derive(stepping(step, U=(3, 2), F=(2, 2)))
    assert "uₜ = tanh(sₜ₋₁[:, H/2:] F + xₜ U)" in str(derivation)
    assert "s[t - 1][..., H // 2:H]" in derivation.source()


def test_ends_that_are_counted_from_the_end():
    def step(c, x, s):
        a = x @ c.U + s @ c.W
        return tg.sum(a[:, :-1], -1, True) + a * tg.mean(a[:, 1:], -1, True)

    found = lines(stepping(step, U=(3, 4), W=(4, 4)))
    assert "sₜ = tanh(Σ_features uₜ[:, :H−1] + uₜ ⊙ vₜ)" in found
    assert any("/ (H − 1)" in line for line in found)


def test_parts_of_the_batch():
    def step(c, x, s):
        both = tg.concatenate([x @ c.U, s @ c.W], 0)
        return both[: len(x)] * tg.sigmoid(both[len(x) :]) + tg.sum(both, 0)

    found = lines(stepping(step, U=(3, 4), W=(4, 4)))
    assert any(line.endswith("= concatenate(uₜ, vₜ, axis=0)[B:]") for line in found)


def test_counts():
    H, one = Count.of("H"), Count({(): 1})
    size = Size(9, H.times(Count({(): 2})).plus(one), {4: H})
    assert (place(size, 0).terms, place(size, 4), place(size, 5)) == ({}, size.places[4], None)
    assert between(size, 4, 9).count.terms == {("H",): 1, (): 1}
    assert between(size, 5, 9) == 4
    assert not isinstance(between(size, 5, 9), Size)
    assert H.letter == "H"
    assert H.plus(one).letter is H.over(2).letter is Count({}).letter is None
    assert H.plus(H, -1).terms == {}
    batch = Size(13, Count({("B",): 2, (): -1}), None, 2, batch=7)
    assert batch.at(5) == 9
    for new in (batch + 3, 3 + batch):
        assert (new, new.at(5), new.count.terms) == (16, 12, {("B",): 2, (): 2})
    assert (batch - 3).at(5) == 6
    assert (20 - batch).at(5) == 11
    assert batch - batch == 0
    assert not isinstance(batch - batch, Size)
