"""How derived equations are written: short, with no bracket, guard or copy that says nothing."""

import re

import numpy as np
import pytest
from odd_cells import ODD, H, I, Odd

import tinygrad_rnn as tg
from tinygrad_rnn.equations import derive
from tinygrad_rnn.equations import vocabulary as V
from tinygrad_rnn.equations.expr import Symbol, make, name, number
from tinygrad_rnn.equations.notation import boxed
from tinygrad_rnn.equations.print_text import text


def cell(step, **shapes):
    class Stepping(Odd):
        def __init__(self):
            super().__init__(**shapes)

        def step(self, x, s):
            s = step(self, x, s)
            return s, s

    return Stepping()


def lines(cell):
    return [line.strip() for line in str(derive(cell)).splitlines()]


THREE_TERMS = r"\((δ.) − mean_{0}\(\1 ⊙ (.)\) ⊙ \2 − mean_{0}\(\1\)\) / "


@pytest.mark.parametrize("spread", ["var", "std", "mean of squares", "op"])
@pytest.mark.parametrize("over", ["batch", "features", "groups"])
def test_normalising_over_any_axis_has_a_gradient_of_three_terms(over, spread):
    axis = 0 if over == "batch" else -1

    def step(c, x, s):
        a = x @ c.U + s @ c.W
        if over == "groups":
            a = tg.reshape(a, (len(x), 2, H // 2))
        kept = over == "groups"
        if spread == "op":
            a = tg.layer_norm(a) if axis else tg.layer_norm(a.T).T
        elif spread == "mean of squares":
            a = a - tg.mean(a, axis, keepdims=True)
            a = a / tg.sqrt(tg.mean(a**2, axis, keepdims=True) + 1e-5)
        elif spread == "var":
            kept = over != "batch"
            a = (a - tg.mean(a, axis, kept)) / tg.sqrt(tg.var(a, axis, keepdims=kept) + 1e-5)
        else:
            a = (a - tg.mean(a, axis, keepdims=True)) / tg.std(a, axis, keepdims=True)
        return tg.tanh(tg.reshape(a, s.shape))

    backward = str(derive(cell(step, U=(I, H), W=(H, H)))).split("Backward")[1].replace("ₜ", "")
    word = "batch" if over == "batch" and spread != "op" else "features"
    assert len(re.findall(THREE_TERMS.format(word), backward)) == 1
    assert backward.count("mean_") == 2


def test_normalised_gates_that_are_parted_have_the_same_gradient():
    assert "δᵐ˒¹ₜ = (δᵖₜ − mean_features(δᵖₜ ⊙ pₜ) ⊙ pₜ − mean_features(δᵖₜ)) / vₜ" in lines(
        ODD["Thirds"]()
    )


def value(label, *shape):
    return name(Symbol(label, "value", 0), shape)


def written(op, *args):
    shape = np.broadcast_shapes(*(arg.shape for arg in args))
    return text(boxed(make(op, args, shape)))


A, B, C = (value(label, 3, 4) for label in "abc")
QUOTIENT = make(V.DIVIDE, [A, make(V.ADD, [number(1), B], B.shape)], A.shape)


def test_a_sum_needs_no_brackets_after_a_minus_sign():
    found = lines(ODD["Hopfield"]())
    assert "δ⁽¹⁾ₜ = yₜ ⊙ (δʸₜ − Σ_features δʸₜ ⊙ yₜ)" in found
    kalman = derive(ODD["Kalman"]())
    assert "∂L/∂r = −Σₜ (Σ_batch zₜ) ⊙ k" in str(kalman)
    assert r"\left(\sum_{\mathrm{batch}} z_{t}\right) \odot k" in kalman.latex()
    total = make(V.SUM, [A], (3, 1), {"axis": (-1,), "keepdims": True})
    assert written(V.SUBTRACT, B, total) == "bₜ − Σ_features aₜ"
    assert written(V.MULTIPLY, B, total) == "bₜ ⊙ (Σ_features aₜ)"


def test_fractions_of_fractions_have_one_bar():
    assert written(V.DIVIDE, QUOTIENT, C) == "aₜ / ((1 + bₜ) ⊙ cₜ)"
    again = make(V.DIVIDE, [QUOTIENT, B], A.shape)
    assert written(V.DIVIDE, again, B) == "aₜ / ((1 + bₜ) ⊙ bₜ²)"
    assert written(V.DIVIDE, QUOTIENT, number(2)) == "aₜ / (2 (1 + bₜ))"
    assert written(V.DIVIDE, A, QUOTIENT) == "aₜ / (aₜ / (1 + bₜ))"


def test_a_number_before_a_fraction_stands_above_its_bar():
    assert written(V.MULTIPLY, number(0.5), QUOTIENT) == "(0.5 aₜ) / (1 + bₜ)"
    inverse = make(V.DIVIDE, [number(1), B], B.shape)
    assert written(V.MULTIPLY, number(2), inverse) == "2 (1 / bₜ)"


def test_a_number_times_a_matrix_product_needs_no_brackets():
    assert "vₜ = softmax(β uₜ Xᵀ)" in lines(ODD["Hopfield"]())


def test_sizes_end_with_their_number():
    assert any("[:, 1:H+1]" in line for line in lines(ODD["Padded"]()))
    assert any("eₜ[:, H+1:]" in line for line in lines(ODD["Momentum"]()))


def test_reductions_over_the_features_say_so():
    assert "uₜ = min_features(s⁽¹⁾ₜ)" in lines(ODD["Momentum"]())


def test_a_truth_beside_a_number_has_a_dot():
    assert any("0.5 · 1[" in line for line in lines(ODD["Gumbel"]()))


@pytest.mark.parametrize(
    ("f", "derivative"),
    [
        (lambda a, b: tg.hypot(a, b), "δᵃₜ = (δˢₜ ⊙ aₜ) / sₜ"),
        (lambda a, b: tg.arctan2(a, b), "δᵃₜ = (δˢₜ ⊙ b⁽¹⁾ₜ) / uₜ"),  # u = hypot(a, b)^2
        (lambda a, b: tg.sigmoid(a) ** b, "δˢₜ ⊙ b⁽¹⁾ₜ ⊙ uₜ^(b⁽¹⁾ₜ − 1) ⊙"),
        (lambda a, b: b ** tg.sigmoid(a), "δˢₜ ⊙ sₜ ⊙ log(b⁽¹⁾ₜ) ⊙"),
        (lambda a, b: a / tg.norm(b, axis=-1, keepdims=True), "δᵃₜ = δˢₜ / uₜ"),
    ],
)
def test_derivatives_have_no_guards(f, derivative):
    def step(c, x, s):
        return f((x @ c.U).named("a"), (s * c.b).named("b"))

    printed = str(derive(cell(step, U=(I, H), b=(H,))))
    assert derivative in printed
    assert "= 0]" not in printed
    assert "≠ 0]" not in printed


def test_a_constant_that_is_broadcast_is_not_said_to_be():
    printed = str(derive(ODD["Debiased"]()))
    assert "broadcast_to" not in printed
    assert "log(β) (Σ_features" in printed
    assert "2 (1 − β) δˢˡᵒʷₜ₊₁ ⊙ hₜ" in printed


def test_numbers_taken_from_a_vector_are_joined_again_without_names_for_copies():
    found = lines(ODD["Delays"]())
    assert "δᵘₜ = [δ⁽¹⁾ₜ, δ⁽²⁾ₜ, δ⁽³⁾ₜ]" in found
    assert "∂L/∂w = Σₜ u ⊙ (δᵘₜ − Σ_entries δᵘₜ ⊙ u)" in found
    assert "[None]" not in "\n".join(found)


def test_an_einsum_with_the_same_letters_is_a_product():
    assert "sₜ = tanh(xₜ U + sₜ₋₁ ⊙ W)" in lines(ODD["BroadcastEinsum"]())


def test_a_parameter_called_T_is_not_the_last_step():
    named, tied = derive(ODD["NamedB"]()), derive(ODD["Tied"]())
    assert r"\sum_{t=1}^{T}" in tied.latex()
    assert r"\sum_{t} \sum_{\mathrm{batch}}" in named.latex()
    assert "^{T}" not in named.latex()
    assert "munderover" not in named.mathml()


def test_a_short_array_without_a_name_is_written_out():
    assert "K₁ = [0, 1, 2, 3]" in lines(ODD["Winner"]())


def test_letters_of_sizes_are_no_names_of_the_cell():
    class Letters(Odd):
        """Parameters B, T, H, I and O, where all of these sizes are needed."""

        def __init__(self):
            super().__init__(B=(I, H), T=(H,), H=(H, H), I=(H,), O=(H, 2))

        def step(self, x, s):
            a = tg.layer_norm(x @ self.B + s @ self.H) * self.T + tg.mean(x @ self.B, 0)
            b = tg.reshape(tg.broadcast_to(self.I, s.shape) + a, (len(x) * s.shape[1],))
            s = tg.tanh(tg.reshape(tg.flip(b, 0), s.shape))
            return s @ self.O, s

    printed = str(derive(Letters()))
    assert not re.search(r"[×,/] *[(]?[BTHIO]\b", printed)
    assert "4N)" in printed


def test_a_part_of_a_split_into_equal_sections_has_their_size():
    """One is multiplied with the state; the other only gives its mean."""

    def step(c, x, s):
        a = tg.sigmoid((x @ c.U + s @ c.W)[:, : 2 * H])
        r, z = tg.split(a, 2, -1)
        return r * s + tg.mean(z, -1, keepdims=True)

    found = lines(cell(step, U=(I, 3 * H), W=(H, 3 * H)))
    assert any("mean_features(" in line and line.startswith("δ") for line in found)
    assert not any("/ 4" in line for line in found)


def test_positions_that_follow_each_other_are_a_slice():
    found = lines(cell(lambda c, x, s: x @ c.U + tg.median(s, -1, True) * s, U=(I, H)))
    assert any(line.endswith("vₜ[:, 1:2] + 0.5 (vₜ[:, 2:3] − vₜ[:, 1:2]))") for line in found)
    assert any("put_along_axis([0, δ⁽¹⁾ₜ₊₁, δ⁽¹⁾ₜ₊₁, δ⁽²⁾ₜ₊₁], uₜ₊₁" in line for line in found)
    assert any("isnan(vₜ[:, H−1:])" in line for line in found)
    assert not any("reshape" in line or "scatter" in line for line in found)


@pytest.mark.parametrize(
    ("at", "index"),
    [([2, 3], "[:, 2:]"), ([0, 2], "[:, [0, 2]]"), ([3, 2], "[:, [3, 2]]"), ([-2, -1], "[:, 2:]")],
)
def test_an_index_of_positions(at, index):
    found = lines(cell(lambda c, x, s: x @ c.U + s[:, at] @ c.W, U=(I, H), W=(2, H)))
    assert f"sₜ = xₜ U + sₜ₋₁{index} W" in found


def test_the_square_of_a_size():
    def step(c, x, s):
        pairs = tg.reshape(s[:, :, None] * s[:, None, :], (len(x), H * H))
        return x @ c.U + pairs @ c.W

    assert any("B × H²)" in line for line in lines(cell(step, U=(I, H), W=(H * H, H))))


def test_a_cotangent_that_is_broadcast_keeps_its_sign_and_its_name():
    found = lines(ODD["Entropy"]())
    assert "δᵘₜ = δˢₜ ⊙ (1 − pₜ) − δᵖₜ ⊙ vₜ − δᵖₜ" in found
    assert any(line.startswith("pₜ = (−Σ_features uₜ ⊙ vₜ) / ") for line in found)
    assert not any("broadcast_to" in line for line in found)


def test_signs_and_numbers_stand_before_what_only_moves_entries():
    whitened = cell(lambda c, x, s: tg.solve(c.L @ c.L.T, (x @ c.U + s).T).T, U=(I, H), L=(H, H))
    assert {"δᵘₜ = −δₜ sₜ", "∂L/∂L = Σₜ (δᵘₜ + δᵘₜᵀ) L"} <= set(lines(whitened))
    found = lines(cell(lambda c, x, s: x @ c.U + 0.3 * tg.roll(s, 1, -1), U=(I, H)))
    assert "δₜ = eₜ + 0.3 roll(δₜ₊₁, shift=−1, axis=−1)" in found


def test_one_number_needs_no_index():
    gradient = next(line for line in lines(ODD["Reservoir"]()) if line.startswith("∂L/∂a"))
    assert gradient == ("∂L/∂a = Σₜ (Σ_entries δˢₜ ⊙ vₜ − Σ_entries δˢₜ ⊙ sₜ₋₁) ⊙ u ⊙ (1 − u)")


def test_a_stack_along_the_last_axis_is_no_concatenation():
    found = lines(cell(lambda c, x, s: tg.max(tg.stack([x @ c.U, s], -1), -1), U=(I, H)))
    assert any("stack(xₜ U, sₜ₋₁, axis=−1)" in line for line in found)


def test_a_sum_over_the_rows_of_a_parameter_is_not_one_over_the_batch():
    found = lines(ODD["Sinkhorn"]())
    assert "y = sum(p, axis=0)" in found
    assert "δʷₜ = (δᶻₜ − sum(δᶻₜ ⊙ z, axis=0)) / r" in found


def test_pairs_are_stacked_backward_as_forward():
    def step(c, x, s):
        p = tg.reshape(s, (len(x), H // 2, 2))
        a, b = p[:, :, 0], p[:, :, 1]
        u = x @ c.U
        return tg.reshape(tg.stack([a - u * b, u * a + b], -1), (len(x), H))

    gradient = next(g for g in lines(cell(step, U=(I, H // 2))) if g.startswith("∂L/∂s₀"))
    assert gradient.startswith("∂L/∂s₀ = reshape(stack(")
