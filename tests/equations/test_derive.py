"""Derivations as programs: their gradients are autodiff's, for built-in and for users' cells."""

import contextlib
import io
import re
import xml.dom.minidom
from pathlib import Path

import numpy as np
import pytest
from derived_cells import BUILT_IN, CELLS, USERS, H, I, autodiff, parameter

import tinygrad_rnn as tg
from tinygrad_rnn.equations import ValueDependenceError, derive
from tinygrad_rnn.equations import vocabulary as V
from tinygrad_rnn.equations.check import check
from tinygrad_rnn.equations.expr import make


def run(source, given):
    scope = {}
    exec(source, scope)
    outputs, gradients = scope["forward_backward"](*given.values())
    return (outputs if isinstance(outputs, tuple) else (outputs,)), gradients


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(("T", "B", "last_only"), [(1, 1, False), (4, 3, False), (6, 2, True)])
def test_the_program_gives_autodiffs_gradients(name, T, B, last_only):
    answer = autodiff(CELLS[name], T, B, seed=T, last_only=last_only)
    outputs, gradients = run(derive(CELLS[name]()).source(), answer.given)
    for got, wanted in zip(outputs, answer.outputs, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
    assert len(gradients) == len(answer.gradients)
    for got, wanted in zip(gradients.values(), answer.gradients.values(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10 * abs(wanted).max())


def test_elman_is_the_textbooks():
    assert (
        derive(tg.ElmanCell(3, 4)).unicode()
        == """\
Forward, from the first step to the last
    sₜ = tanh(xₜ U + sₜ₋₁ W + b)

Names for derivatives of the loss, which is the sum of the steps' losses
    eₜ = ∂Lₜ/∂sₜ
    δₜ = ∂L/∂aₜ, where aₜ = xₜ U + sₜ₋₁ W + b

Backward, from the last step to the first; terms from beyond the last are zero
    δₜ = (eₜ + δₜ₊₁ Wᵀ) ⊙ (1 − sₜ²)

Gradients
     ∂L/∂U = Σₜ xₜᵀ δₜ
     ∂L/∂W = Σₜ sₜ₋₁ᵀ δₜ
     ∂L/∂b = Σₜ Σ_batch δₜ
    ∂L/∂xₜ = δₜ Uᵀ
    ∂L/∂s₀ = δ₁ Wᵀ"""
    )


def equations(cell):
    return [line.strip() for line in derive(cell).unicode().splitlines()]


def test_other_activations_of_elman():
    assert "δₜ = (eₜ + δₜ₊₁ Wᵀ) ⊙ 1[sₜ > 0]" in equations(tg.ElmanCell(3, 4, activation="relu"))
    assert "δₜ = eₜ + δₜ₊₁ Wᵀ" in equations(tg.ElmanCell(3, 4, activation="identity"))


def test_lstm_is_the_textbooks():
    lines = equations(tg.LSTMCell(3, 4))
    for line in [
        "[aⁱₜ, aᶠₜ, aᵍₜ, aᵒₜ] = xₜ U + hₜ₋₁ W + b",
        "cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ gₜ",
        "δʰₜ = eₜ + δₜ₊₁ Wᵀ",
        "δᶜₜ = δᶜₜ₊₁ ⊙ fₜ₊₁ + δʰₜ ⊙ oₜ ⊙ (1 − uₜ²)",
        "δᶠₜ = δᶜₜ ⊙ cₜ₋₁ ⊙ fₜ ⊙ (1 − fₜ)",
        "δₜ = [δⁱₜ, δᶠₜ, δᵍₜ, δᵒₜ]",
        "∂L/∂W = Σₜ hₜ₋₁ᵀ δₜ",
        "∂L/∂c₀ = δᶜ₁ ⊙ f₁",
    ]:
        assert line in lines


def test_grus_gradients_are_joined_as_its_gates_are_parted():
    after, before = equations(tg.GRUCell(3, 4)), equations(tg.GRUCell(3, 4, reset="before"))
    assert "δⁿₜ = δʰₜ ⊙ (1 − zₜ) ⊙ (1 − nₜ²)" in after
    assert "δᵘₜ = [δʳₜ, δᶻₜ, δᵘ˒ⁿₜ]" in after
    assert "δʳᶻₜ = [δʳₜ, δᶻₜ]" in before
    assert "∂L/∂Wₙ = Σₜ uₜᵀ δⁿₜ" in before


def test_names_come_from_the_cell():
    lines = equations(USERS["PeepholeLSTM"]())
    assert "oₜ = σ(aᵒₜ + cₜ ⊙ pₒ)" in lines  # user's slices and names
    assert "yₜ = hₜ V" in lines  # the output; o is taken
    lines = equations(USERS["MinimalGatedUnit"]())
    assert "hₜ = (1 − fₜ) ⊙ hₜ₋₁ + fₜ ⊙ mₜ" in lines  # the argument's name


@pytest.mark.parametrize("kind", ["two of them", "beside a leak"])
def test_gradients_of_normalised_values_have_three_terms(kind):
    rng = np.random.default_rng(0)
    U, W, g = parameter(rng, I, H), parameter(rng, H, H), parameter(rng, H)

    def step(c, x, s):
        if kind == "two of them":
            return tg.tanh(tg.layer_norm(x @ c.U) * c.g + tg.layer_norm(s @ c.W))
        return 0.5 * s + tg.tanh(tg.layer_norm(x @ c.U + s @ c.W) * c.g)

    cell = Stepping(step)
    cell.U, cell.W, cell.g, cell.input_size = U, W, g, I
    backward = derive(cell).unicode().split("Backward")[1]
    assert "broadcast_to" not in backward
    lines = [line for line in backward.splitlines() if "mean_features" in line]
    assert len(lines) == (2 if kind == "two of them" else 1)
    for line in lines:
        assert re.search(
            r"\((δ.) − mean_features\(\1 ⊙ .\) ⊙ . − mean_features\(\1\)\) / ",
            re.sub("ₜ", "", line),
        )


class Mixer(tg.Cell):
    """Three inputs: rows, a number a row, and a matrix a row; one has the name of a parameter."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.hidden_size = H
        self.U, self.W = parameter(rng, I, H), parameter(rng, H, H)

    def step(self, inputs, s):
        a = inputs["x"] @ self.U + (s[:, None] @ inputs["U"])[:, 0] * inputs["k"][:, None]
        s = tg.tanh(a + s @ self.W).named("s")
        return s, s


@pytest.mark.parametrize("kind", ["Timed", "pair", "dict"])
def test_several_inputs(kind):
    rng, T, B = np.random.default_rng(0), 4, 3
    cell = tg.nn.LTCCell(I, H, unfolds=2, rng=0, dtype=np.float64)
    xs = [rng.normal(size=(T, B, I)), rng.uniform(0.5, 2, (T, B))]
    inputs = tg.nn.Timed(*xs) if kind == "Timed" else tuple(xs)
    if kind == "dict":
        cell = Mixer()
        xs = [xs[0], rng.normal(size=(T, B)), rng.normal(size=(T, B, H, H))]
        inputs = dict(zip(["x", "k", "U"], xs, strict=True))
    derivation = derive(cell, inputs=tg.tree.map_leaves(lambda part: part[0], inputs))
    words = {"Timed": ("xₜ U", "dtₜ"), "pair": ("x⁽¹⁾ₜ U", "x⁽²⁾ₜ"), "dict": ("xₜ U", "kₜ")}
    for word in words[kind]:
        assert word in derivation.unicode()
    assert ("inputs_U" in derivation.source()) == (kind == "dict")  # U is the parameter
    leaves = [tg.tensor(x) for x in xs]
    state, e = tg.tensor(rng.normal(size=(B, H))), rng.normal(size=(T, B, H))
    run_ = tg.unroll(cell, tg.tree.rebuild(inputs, iter(leaves)), state)
    wanted = tg.gradients(list(run_.steps), [*cell.parameters().values(), *leaves, state], list(e))
    given = [p.numpy() for p in cell.parameters().values()]
    outputs, gradients = run(derivation.source(), dict(enumerate([*given, *xs, state.numpy(), e])))
    np.testing.assert_allclose(outputs[0], run_.outputs.numpy(), rtol=1e-12)
    for (name, got), g in zip(gradients.items(), wanted, strict=True):
        np.testing.assert_allclose(got, g, rtol=1e-10, atol=1e-12, err_msg=name)


def test_inputs_are_floats():
    with pytest.raises(TypeError, match="derive: an input holds int64; wanted floats"):
        derive(tg.ElmanCell(I, H), inputs=np.zeros((1, I), np.int64))


def test_parameters_of_inner_cells():
    class Readout(tg.Cell):
        def __init__(self):
            self.inner = tg.ElmanCell(I, H, rng=0)
            self.V = parameter(np.random.default_rng(0), H, 2)
            self.input_size = I

        def initial_state(self, batch_size):
            return self.inner.initial_state(batch_size)

        def step(self, x, s):
            o, s = self.inner.step(x, s)
            return o @ self.V, s

    derivation = derive(Readout())
    assert "def forward_backward(inner_U, inner_W, inner_b, V, xs, s_0, e):" in derivation.source()
    assert "∂L/∂inner.W" not in derivation.unicode()  # the dot becomes a label
    assert derivation.latex().count(r"\mathrm{inner}_{W}") == 5


def test_the_cell_is_left_as_it_was():
    cell = tg.LSTMCell(3, 4, rng=0)
    before = {name: (p.numpy().copy(), p.version) for name, p in cell.parameters().items()}
    derive(cell)
    for name, p in cell.parameters().items():
        np.testing.assert_array_equal(p.numpy(), before[name][0])
        assert p.version == before[name][1]
        assert p.grad is None


# ------------------------------------------------------------------------------------------------
# No equation describes these


class Stepping(tg.Cell):
    def __init__(self, step):
        self.W = parameter(np.random.default_rng(0), H, H)
        self.hidden_size = self.input_size = H
        self._own = step

    def step(self, x, s):
        s = self._own(self, x, s)
        return s, s


def refused(step, match, error=ValueDependenceError):
    with pytest.raises(error) as caught:
        derive(Stepping(step))
    told = re.sub("`refused.*`", "", str(caught.value))  # without the line, which has the match
    assert re.search(match, told), told


def test_a_branch_on_a_value_is_refused():
    refused(lambda c, x, s: x @ c.W + s if (x > 0).any() else s @ c.W, r"bool\(\)")
    refused(lambda c, x, s: s @ c.W if s.sum() > 0 else s, r"bool\(\)")
    refused(lambda c, x, s: s @ c.W if c.W[0, 0] else s, r"bool\(\)|item")


def test_a_value_that_is_baked_in_is_refused():
    refused(lambda c, x, s: s @ c.W * float(x.sum()), r"float\(\)|item\(\)")
    refused(lambda c, x, s: s @ c.W + np.tanh(x.numpy()), r"through \.numpy\(\)")
    refused(lambda c, x, s: s @ c.W + x * x.numpy().max(), r"through \.numpy\(\)")


def test_random_numbers_in_a_step_are_refused():
    rng = np.random.default_rng(0)
    refused(lambda c, x, s: (s @ c.W) * rng.normal(size=H), "draws .* from rng")
    refused(lambda c, x, s: s @ c.W if rng.random() < 0.5 else x + s @ c.W, "draws .* from rng")


def test_detached_values_are_refused():
    refused(lambda c, x, s: s @ c.W + x.detach(), r"\.detach\(\).* write tg\.stop_gradient\(x\)")
    derive(Stepping(lambda c, x, s: s @ c.W + tg.stop_gradient(x)))


halving = tg.custom.general(
    "halving",
    lambda x: x,
    lambda g, x: sum((g / 2 for _ in range(2 * x.shape[0] // 2)), 0.0 * g) * 2 / x.shape[0],
)


def test_a_pullback_that_depends_on_the_batchs_size_is_refused():
    refused(lambda c, x, s: s @ c.W + halving(x), "pullback has other operations for other batch")


AXES = {"batch": 0, "features": -1, "entries": None}
TO_ONE = ("sum", "mean", "prod", "max", "min", "var", "std", "logsumexp", "norm", "any", "argmax")
TO_MANY = ("softmax", "log_softmax", "flip", "roll")
ALONG = ("cumsum", "cumprod", "cummax", "sort", "diff")


@pytest.mark.parametrize(
    ("name", "over"),
    [
        *[(name, over) for name in (*TO_ONE, *TO_MANY) for over in AXES],
        *[(name, over) for name in ALONG for over in ("batch", "features")],
    ],
)
def test_reductions_over_all_axes(name, over):
    """`derive` checks equations and program with another size of the batch."""
    options = {"roll": {"shift": 1}} | {key: {"keepdims": True} for key in TO_ONE}

    def step(c, x, s):
        a = tg.sigmoid(x + s @ c.W)
        found = getattr(tg, name)(a, axis=AXES[over], **options.get(name, {}))
        if name == "diff":  # one less
            found = tg.concatenate([found, a[:1] if over == "batch" else a[:, :1]], AXES[over])
        return tg.tanh(a + found)

    derivation = derive(Stepping(step))
    compile(derivation.source(), name, "exec")
    assert "broadcast_to" not in derivation.unicode().split("Names")[0]


def test_an_axis_of_three_is_not_the_batch():
    def step(c, x, s):
        both = tg.stack([x, s @ c.W], 1)
        return tg.tanh(tg.max(both, 1) + tg.max(x, 0))

    text = derive(Stepping(step)).unicode()
    assert "= max(uₜ, axis=1)" in text
    assert "= max_batch(xₜ)" in text


def test_products_over_the_batch_leave_one_out():
    text = derive(Stepping(lambda c, x, s: tg.tanh(s @ c.W + tg.prod(x, 0)))).unicode()
    assert "sₜ = tanh(sₜ₋₁ W + Π_batch xₜ)" in text
    assert "prod_others_batch(xₜ)" in text


def test_numbers_of_the_batchs_size():
    def step(c, x, s):
        n = len(x)
        return tg.tanh(s @ c.W / n + 3 * x / (n + 2) + (2 * n - 1) * s) * np.full((n, 1), 1 / n)

    assert "(3 xₜ) / (B + 2)" in derive(Stepping(step)).unicode()
    assert "(2 B − 1) sₜ₋₁" in derive(Stepping(step)).unicode()
    centred = derive(Stepping(lambda c, x, s: tg.tanh(s @ c.W + tg.var(x, 0, ddof=1))))
    assert "Σ_batch" in centred.unicode()
    assert "/ (B − 1)" in centred.unicode()
    for number in (np.sqrt, np.square):
        refused(lambda c, x, s, number=number: s @ c.W / number(len(x)), "another constant")


def test_a_size_that_does_not_grow_evenly_is_refused():
    refused(lambda c, x, s: s @ c.W + x[::2].sum(0), "do not grow evenly with the batch")
    refused(lambda c, x, s: s @ c.W + tg.median(x, 0), "for a batch of 2 only")


def test_other_bad_steps():
    refused(lambda c, x, s: np.zeros((2, H)), "not recorded", TypeError)
    hidden = tg.Parameter(np.ones(H))
    refused(lambda c, x, s: s @ c.W + hidden, r"cell\.parameters\(\) does not list", TypeError)

    class Sizeless(tg.Cell):
        def __init__(self):
            self.A = tg.Parameter(np.ones((3, 4)))
            self.hidden_size = 4

        def step(self, x, s):
            return x @ self.A + s, x @ self.A + s

    class AnySize(Sizeless):
        def step(self, x, s):
            s = x.sum(axis=-1, keepdims=True) * self.A[0] + s
            return s, s

    assert "sₜ = xₜ A + sₜ₋₁" in derive(Sizeless()).unicode()
    with pytest.raises(TypeError, match=r"inputs of size 3, 4, 9 fit; set .*, pass input_size="):
        derive(AnySize())
    assert "sₜ = " in derive(AnySize(), input_size=2).unicode()


REGISTERED = {name: info for name, info in tg.cells().items() if name != "reservoir"}
"""Without the reservoir, whose input meets no parameter."""


@pytest.mark.parametrize("name", [*USERS, *REGISTERED])
def test_no_cell_has_to_be_told_its_input_size(name):
    cell = USERS[name]() if name in USERS else REGISTERED[name].make(I, H)
    vars(cell).pop("input_size", None)
    assert cell.input_size == I


def test_an_operation_without_a_counterpart_prints_but_makes_no_program():
    gudermann = tg.custom.elementwise(
        "gudermann", lambda v: 2 * np.arctan(np.tanh(v / 2)), lambda v: 1 / tg.cosh(v)
    )
    derivation = derive(Stepping(lambda c, x, s: gudermann(s @ c.W + x)))
    assert "sₜ = gudermann(uₜ)" in derivation.unicode()
    assert r"\operatorname{gudermann}\left(u_{t}\right)" in derivation.latex()
    with pytest.raises(NotImplementedError, match="gudermann: no NumPy function"):
        derivation.source()


def test_batch_size_is_a_symbol_not_a_number():
    def step(c, x, s):
        return tg.reshape(tg.reshape(s @ c.W + x, (len(x) * H,)), (len(x), H)) / len(x)

    cell = Stepping(step)
    assert "B" in derive(cell).unicode()
    assert "B = xs.shape[1]" in derive(cell).source()


@pytest.mark.parametrize("name", BUILT_IN)
def test_programs_read_as_if_written_by_hand(name):
    source = derive(CELLS[name]()).source()
    assert len(source.splitlines()) < 90
    assert max(map(len, source.splitlines())) <= 100
    compile(source, name, "exec")


@pytest.mark.parametrize(
    "name", ["sign", "floor", "arccosh", "maximum", "hypot", "leaky_relu", "mish"]
)
def test_operations_with_kinks_flats_and_domains(name):
    function = getattr(tg, name)

    def step(c, x, s):
        a = tg.sigmoid(x + s @ c.W)
        return a + (function(a, x) if name in ("maximum", "hypot") else function(3 * a - 1))

    derivation = derive(Stepping(step))  # which compares the program with autodiff
    assert name in derivation.unicode()
    compile(derivation.source(), name, "exec")


def test_the_manuals_page_prints_what_it_says():
    page = (Path(__file__).parents[2] / "docs" / "derive.md").read_text()
    namespace, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
            exec(block, namespace)
    (shown,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert printed.getvalue().startswith(shown)
    assert "hₜ = (1 − fₜ) ⊙ hₜ₋₁ + fₜ ⊙ mₜ" in printed.getvalue()
    source = derive(tg.ElmanCell(3, 4)).source()
    (fragment,) = re.findall(r"```\n(    for t.*?)```", page, re.DOTALL)
    for line in fragment.splitlines():
        assert line.strip() == "..." or line in source


class Everything(tg.Cell):
    """Normalisation, a threshold, a float attribute, a custom operation, a slow operation."""

    bend = tg.custom.elementwise(
        "bend", lambda v, k: np.tanh(k * v), lambda v, y, k: k * (1 - y * y)
    )

    def __init__(self):
        rng = np.random.default_rng(0)
        self.hidden_size = H
        self.U, self.W = parameter(rng, I, H), parameter(rng, H, H)
        self.dt, self.theta = 0.05, 0.02

    def step(self, x, s):
        a = tg.layer_norm(x @ self.U + s @ self.W)
        new = tg.where(a > self.theta, Everything.bend(a, k=1.5), tg.gelu(0.2 * a))
        return s, (1 - self.dt) * s + self.dt * new


def test_thresholds_attributes_and_sizes_are_what_they_are():
    derivation = derive(Everything())
    text = derivation.unicode()
    assert "> θ" in text
    assert "(1 − dt) sₜ₋₁" in text
    assert "mean_features(" in text
    assert "bend(" in text
    assert not [number for number in ("0.95", "0.05", "0.25") if number in text]
    with pytest.raises(NotImplementedError, match=r"bend: no NumPy .*Notation\(numpy="):
        derivation.source()


class Threshold(tg.Cell):
    """A choice by a value that is not the one chosen from."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.hidden_size = H
        self.U, self.W, self.theta = (parameter(rng, *s) for s in ((I, H), (H, H), (H,)))

    def step(self, x, s):
        a = (x @ self.U + s @ self.W).named("a")
        gate = (a * a - 0.5 * s).named("gate")
        s = tg.where(gate > self.theta, tg.tanh(a), s)
        return s, s


def test_a_choice_is_by_its_own_condition():
    def by(threshold):
        return Stepping(lambda c, x, s: tg.where(s @ c.W > threshold, tg.tanh(s @ c.W), 0.2 * x))

    for threshold in (0.02, -1.5, 0.0):
        written = f"{threshold:g}".replace("-", "−")
        assert f"sₜ = where(uₜ > {written}, vₜ, 0.2 xₜ)" in derive(by(threshold)).unicode()
    text = derive(Threshold()).unicode()
    assert "gateₜ = aₜ² − 0.5 sₜ₋₁" in text
    assert "gateₜ > θ" in text
    picture = tg.draw(Threshold()).svg
    assert "θ" in picture
    run = tg.unroll(Threshold(), np.ones((2, 1, I)))
    assert "θ" in tg.draw(run.state.sum()).svg


def test_only_a_derivative_of_the_loss_is_a_delta():
    """tanh(softplus(u)), in the slope of mish, is none."""
    derivation = derive(Stepping(lambda c, x, s: tg.mish(s @ c.W + x)))
    known = {meaning.delta for meaning in derivation.form.meanings}
    made = [target for e in derivation.form.backward for target in e.targets]
    assert known == {t for t in made if t.symbol.name.startswith("delta")}
    (helper,) = [e for e in derivation.form.backward if e.target not in known]
    assert "= tanh(softplus(uₜ))" in derivation.unicode()
    assert len(helper.target.symbol.name) == 1


def test_a_transpose_is_no_part_of_a_label():
    class Labelled(Stepping):
        def step(self, x, s):
            s = tg.tanh(x + s @ self.W_f)
            return s, s

    cell = Labelled(None)
    cell.W_f = cell.W
    del cell.W
    assert "δₜ₊₁ (W_f)ᵀ" in derive(cell).unicode()


def test_every_derivation_is_checked_with_or_without_a_program():
    wrong = tg.custom.elementwise("wrong", lambda v: v * v * v, lambda v: 3 * v * v)
    cell = Stepping(lambda c, x, s: wrong(s @ c.W + x))
    derive(cell)
    form = derive(cell).form
    doubled = [
        e._replace(value=make(V.ADD, [e.value, e.value], e.value.shape)) for e in form.backward
    ]
    broken = form._replace(backward=doubled)
    with pytest.raises(AssertionError, match="the equations give another gradient"):
        check(cell, broken)


def test_values_that_a_step_computes_in_float32_are_no_fault():
    def step(c, x, s):
        scale = tg.tensor(np.full(H, 0.3, np.float32))
        return tg.tanh(x + s @ c.W) / (1 + tg.sigmoid(scale))

    assert "/ (1 + σ(0.3" in derive(Stepping(step)).unicode()


def test_what_a_custom_operation_says_of_itself_is_printed():
    notation = tg.custom.Notation("infix", "⋆", 2, "*")
    star = tg.custom.elementwise("star", np.multiply, lambda b: b, lambda a: a, notation=notation)
    derivation = derive(Stepping(lambda c, x, s: tg.tanh(star(s @ c.W + x, s))))
    assert "⋆ sₜ₋₁" in derivation.unicode()
    assert r"\mathbin{⋆} s_{t-1}" in derivation.latex()
    assert "* s[t - 1]" in derivation.source()


@pytest.mark.parametrize("numpy", ["(v + np.abs(v)) / 2", "-np.minimum(-v, 0)", "np.maximum(0, v)"])
def test_an_expression_in_numpy_is_a_function_of_the_program(numpy):
    slope = lambda y: 1.0 * (y > 0)  # noqa: E731
    notation = tg.custom.Notation(numpy=numpy)
    rectified = tg.custom.elementwise(
        "rectified", lambda v: np.maximum(0, v), slope, notation=notation
    )
    cell = Stepping(lambda c, x, s: c.f(s @ c.W + x))
    cell.f = rectified  # an attribute of the cell is copied with it
    source = derive(cell).source()  # checked: the program runs
    assert f"def rectified(v):\n    return {numpy}" in source


@pytest.mark.parametrize(("name", "function"), [("my bend", "my_bend"), ("lambda", "_lambda")])
def test_a_name_that_python_does_not_take_is_changed_in_the_program(name, function):
    bend = tg.custom.elementwise(
        name,
        lambda x: x / (1 + np.abs(x)),
        lambda x: 1 / (1 + abs(x)) ** 2,
        notation=tg.custom.Notation(numpy="x / (1 + np.abs(x))"),
    )
    derivation = derive(Stepping(lambda c, x, s: bend(s @ c.W + x)))
    assert f"def {function}(x):" in derivation.source()
    assert f"{name}(" in derivation.unicode()


def test_what_does_not_change_over_time_has_no_time():
    text = derive(Stepping(lambda c, x, s: tg.tanh(s @ (0.5 * c.W).named("A") + x))).unicode()
    assert "A = 0.5 W" in text
    assert "sₜ₋₁ A" in text


def test_every_delta_that_is_used_is_in_the_table_of_names():
    for new in CELLS.values():
        form = derive(new()).form
        known = {meaning.delta for meaning in form.meanings}
        for equation in form.backward:
            for target in equation.targets:
                assert target in known or not target.symbol.name.startswith("delta")


def test_an_einsum_is_an_indexed_sum():
    text = derive(Stepping(lambda c, x, s: tg.tanh(tg.einsum("bi,bj,ij->bj", x, s, c.W)))).unicode()
    assert "Σ_i" in text


class Learned(tg.Cell):
    """An Elman cell whose first state is a parameter, and one that W makes."""

    def __init__(self, through_W=False):
        rng = np.random.default_rng(0)
        self.hidden_size, self.through_W = H, through_W
        self.U, self.W, self.s0 = (parameter(rng, *s) for s in ((I, H), (H, H), (H,)))

    def initial_state(self, batch_size):
        start = self.s0 @ self.W if self.through_W else tg.tanh(self.s0)
        return tg.broadcast_to(start, (batch_size, H))

    def step(self, x, s):
        s = tg.tanh(x @ self.U + s @ self.W)
        return s, s


@pytest.mark.parametrize("through_W", [False, True])
def test_the_parameters_of_the_first_state_have_a_gradient(through_W):
    cell = Learned(through_W)
    derivation = derive(cell)  # and its equations and program agree with autodiff
    lines = [line.strip() for line in derivation.unicode().splitlines()]
    of_start = [line for line in lines if line.startswith("∂L/∂s₀")]
    wanted = "(Σ_batch δ₁ Wᵀ) Wᵀ" if through_W else "(Σ_batch δ₁ Wᵀ) ⊙ (1 − tanh(s₀)²)"
    assert of_start == [f"∂L/∂s₀ = {wanted}"]  # one line, of the parameter
    of_W = next(line for line in lines if line.startswith("∂L/∂W"))
    assert ("+" in of_W) == through_W
    assert "# through the first state" in derivation.source()


@pytest.mark.parametrize("name", ["log_sigmoid", "softplus", "selu", "gelu", "mish", "log_softmax"])
def test_programs_spell_operations_as_they_are_declared(name):
    activation = getattr(tg, name)
    source = derive(Stepping(lambda c, x, s: activation(s @ c.W + x))).source()
    assert f"def {name}(" in source  # and the program was checked against autodiff


def test_what_is_computed_twice_has_no_delta_of_its_own():
    """x U stands in two places; no single gradient of one place is dL/d(x U)."""

    class Twice(tg.Cell):
        def __init__(self):
            rng = np.random.default_rng(0)
            self.U, self.W = parameter(rng, I, H), parameter(rng, H, H)

        def step(self, x, s):
            z = tg.sigmoid(x @ self.U + s @ self.W)
            s = z * s + tg.tanh(x @ self.U)
            return s, s

    text = derive(Twice()).unicode()
    assert "uₜ = xₜ U" in text
    assert "δᵘₜ = ∂L/∂uₜ" in text  # of both places together
    assert "= ∂L/∂aₜ, where aₜ = uₜ + sₜ₋₁ W" in text
    assert "∂L/∂U = Σₜ xₜᵀ δᵘₜ" in text


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (lambda c, x, s: s[:, ::-1] @ c.W + x, "sₜ = sₜ₋₁[:, ::−1] W + xₜ"),
        (lambda c, x, s: tg.stack([s @ c.W, x], 1).sum(1), "stack(sₜ₋₁ W, xₜ, axis=1)"),
        (
            lambda c, x, s: s @ c.W * ((x > 0) & (x < 1) | (x > 2)),
            "1[((xₜ > 0) ∧ (xₜ < 1)) ∨ (xₜ > 2)]",
        ),
        (lambda c, x, s: s @ c.W * tg.one_hot(tg.argmax(x, -1), H), "argmax(xₜ, axis=−1)"),
        (lambda c, x, s: tg.tanh(x @ c.W), "δₜ = eₜ ⊙ (1 − sₜ²)"),
    ],
)
def test_lines_say_what_the_step_does(step, line):
    assert line in derive(Stepping(step), H).unicode()


def test_a_gradient_that_is_zero_up_to_rounding_is_right():
    class Centred(tg.Cell):
        def __init__(self):
            rng = np.random.default_rng(0)
            self.U, self.W, self.b = (parameter(rng, *n) for n in ((I, H), (H, H), (H,)))

        def step(self, x, s):
            a = x @ self.U + s @ self.W + self.b
            s = tg.tanh(a - tg.mean(a, 0))  # of the batch: b comes to nothing
            return s, s

    assert "∂L/∂b = " in derive(Centred()).unicode()


def test_tensors_made_in_a_step_are_constants():
    def step(c, x, s):
        return s @ c.W + x * tg.tensor(np.arange(float(H))) + tg.ones(s.shape)

    assert "sₜ = sₜ₋₁ W + xₜ ⊙ K₁ + 1" in derive(Stepping(step), H).unicode()
    rng = np.random.default_rng(0)
    refused(lambda c, x, s: s @ c.W + x * tg.tensor(rng.normal(size=H)), "draws random numbers")


def test_parts_that_are_empty():
    """Halves of a state with one unit: the second one has none."""

    class Halves(tg.Cell):
        def __init__(self):
            self.W, self.hidden_size, self.input_size = tg.Parameter([[0.5]]), 1, 1

        def step(self, x, s):
            s = tg.tanh(x + s @ self.W)
            return s, tg.concatenate([s[:, :1], s[:, 1:]], -1) * 2

    assert "δ" in derive(Halves()).unicode()


NAMES = [
    "2h", "class", "", "x y", '""" + exit() + """', "a'b", "\\", "np", "t", "T", "lambda", "s²",
    "ｈ", "$x$", "<b>&", "%", "#", "{x}", "h^2_3", "forward_backward",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_never_code(name):
    class Named(tg.Cell):
        def __init__(self):
            self.W, self.U = tg.Parameter(np.eye(3) / 2), tg.Parameter(np.ones((2, 3)))
            self.hidden_size = 3

        def step(self, x, h):
            h = tg.tanh((x @ self.U).named(name) + h @ self.W).named(name)
            return h, h

    derivation = derive(Named())  # which runs the program, and compares its results
    compile(derivation.source(), "<program>", "exec")
    xml.dom.minidom.parseString(f"<page>{derivation.mathml()}</page>")
    xml.dom.minidom.parseString(tg.draw(Named()).svg)


@pytest.mark.parametrize("name", ["h\nimport os", "\x1b[31m", "a\tb"])
def test_names_that_cannot_be_printed_are_refused(name):
    with pytest.raises(ValueError, match="cannot be printed"):
        tg.zeros((2, 2)).detach().named(name)
    with pytest.raises(ValueError, match="cannot be printed"):
        tg.Parameter(np.ones(2), name)
