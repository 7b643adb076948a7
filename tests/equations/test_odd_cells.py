"""Derivations of cells in many styles: right, and with names that are clear."""

import re

import numpy as np
import pytest
from derived_cells import autodiff
from odd_cells import ODD, I

from tinygrad_rnn.equations import derive
from tinygrad_rnn.equations import vocabulary as V
from tinygrad_rnn.equations.expr import order, recursion

WITHOUT_PROGRAM = {"Unitary": "expm"}


@pytest.mark.parametrize("name", ODD)
def test_the_program_gives_autodiffs_gradients(name):
    derivation = derive(ODD[name]())  # whose equations have been checked by now
    if name in WITHOUT_PROGRAM:
        with pytest.raises(NotImplementedError, match=f"{WITHOUT_PROGRAM[name]}: no NumPy"):
            derivation.source()
        return
    scope = {}
    exec(derivation.source(), scope)
    form = derivation.form
    answer = autodiff(ODD[name], own_start=bool(form.initial), constants=form.constants)
    outputs, gradients = scope["forward_backward"](*answer.given.values())
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for got, wanted in zip(outputs, answer.outputs, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
    assert len(gradients) == len(answer.gradients)
    for got, wanted in zip(gradients.values(), answer.gradients.values(), strict=True):
        scale = max(abs(wanted).max(), 1e-3)
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-10 * scale)


@pytest.mark.parametrize("name", ODD)
def test_every_symbol_is_known(name):
    """Deltas stand in the table of names, and all that the backward pass reads has been defined."""
    form = derive(ODD[name]()).form
    shown = recursion(form)
    deltas = {meaning.delta for meaning in [*form.meanings, *shown.meanings]}
    made = {t for e in [*form.forward, *shown.equations] for t in e.targets}
    made = {(t.symbol.name, t.symbol.kind) for t in made}
    gradients = [*shown.parameters, *shown.inputs, *shown.starts]
    for expr in order([*(e.value for e in shown.equations), *(g.term for g in gradients)]):
        if expr.op is not V.SYMBOL:
            continue
        symbol = expr.symbol
        assert symbol.kind != "carry", symbol
        if symbol.kind in ("value", "delta"):
            assert (symbol.name, symbol.kind) in made
    for equation in shown.equations:
        for target in equation.targets:
            assert target in deltas or not target.symbol.name.startswith("delta")


@pytest.mark.parametrize("name", ODD)
def test_all_forms_are_written(name):
    derivation = derive(ODD[name]())
    assert derivation.latex().count(r"\left") == derivation.latex().count(r"\right")
    assert derivation.mathml().startswith("<section")
    names = [line.split(" = ")[0].strip() for line in str(derivation).splitlines() if " = " in line]
    names = [name for name in names if not name.startswith("∂")]
    table = names.index(next(n for n in names if re.match("[egq]", n)))
    forward = [n for part in names[:table] for n in part.strip("[]").split(", ")]
    assert len(set(forward)) == len(forward)


def lines(cell):
    return [line.strip() for line in str(derive(cell)).splitlines()]


def test_sizes_that_are_alike_by_chance_have_no_letter():
    """Three gates are not I, and a memory of three steps is not."""
    assert I == 3
    assert any("B × 3 × H" in line for line in lines(ODD["StackedGates"]()))
    assert not any("I" in line for line in lines(ODD["WindowAttention"]()))


def test_letters_of_sizes_are_none_of_the_cells_names():
    text = str(derive(ODD["NamedB"]()))
    assert "/ N" in text or "mean_batch" in text
    assert "gₜ = ∂Lₜ/∂oₜ" in text
    assert "× H" not in str(derive(ODD["NamedSizes"]()))


def test_a_carry_without_an_equation_is_in_the_table_of_names():
    table = lines(ODD["Nested"]())
    assert "δⁱⁿⁿᵉʳ˒ᶠᵃˢᵗₜ = ∂L/∂innerᶠᵃˢᵗₜ" in table

    class Shared(ODD["PassedOn"]):
        """A state that passes unchanged is an output too, so later steps are not all."""

        def step(self, x, state):
            new, after = super().step(x, state)
            return (new, after["k"]), after

    table = lines(Shared())
    assert "δᵏₜ = ∂L/∂kₜ, the part from later steps" in table
    assert r"\text{the part from later steps}" in derive(Shared()).latex()
    assert "the part from later steps" in derive(Shared()).mathml()
    assert "δᵏₜ = ∂L/∂kₜ" in lines(ODD["PassedOn"]())


def test_lines_are_those_of_a_textbook():
    text = "\n".join(lines(ODD["Soft"]()))
    assert "∂L/∂θ = Σₜ Σ_batch δʰₜ ⊙ (1[pₜ > 0] − 1[vₜ > 0])" in text
    assert "= 0]" not in "\n".join(lines(ODD["Cosine"]()))  # no guards of lengths
    superposed = lines(ODD["Superposed"]())
    assert "vₜ = [uₜ, Sₜ₋₁[:, :4]]" in superposed  # five are no H
    assert any("δᵃ˒¹ₜ ⊙ a⁽¹⁾ₜ + δᵃ˒²ₜ ⊙ a⁽²⁾ₜ + δᵃ˒³ₜ ⊙ a⁽³⁾ₜ" in line for line in superposed)


def test_a_state_that_no_loss_reads_has_gradient_zero():
    assert "∂L/∂k₀ = 0" in lines(ODD["Clockwork"]())
    assert not any(line.startswith("δᵏ") for line in lines(ODD["Clockwork"]()))
    assert "∂L/∂f₀ = 0" in lines(ODD["PassedOn"]())


def test_a_gradient_that_is_stopped():
    assert "sₜ = 0.5 sₜ₋₁ + pₜ + stop(where(pₜ > 0.5, 1, 0) − pₜ)" in lines(
        ODD["StraightThrough"]()
    )
    assert "δₜ = δˢₜ ⊙ pₜ ⊙ (1 − pₜ)" in lines(ODD["StraightThrough"]())
