"""The contents of plots, not their looks: data, labels, and that pyplot is left alone."""

import subprocess
import sys

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import study
from tinygrad_rnn.study import plots

T, B, I, H = 12, 3, 2, 5  # noqa: E741 - the notation


def xs(steps=T):
    return np.random.default_rng(0).normal(size=(steps, B, I))


def recorded(cell, steps=T):
    rng = np.random.default_rng(1)
    run = tg.unroll(cell, xs(steps))
    targets = rng.normal(size=(steps, B, H))
    losses = [tg.mse(s, target, "sum") for s, target in zip(run.steps, targets, strict=True)]
    return run, losses


@pytest.fixture
def elman():
    return tg.ElmanCell(I, H, rng=0, dtype=np.float64)


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_the_table_is_the_table_and_blank_where_it_is_zero(elman):
    _, losses = recorded(elman)
    D = study.contributions(losses, elman.W)
    figure = plots.table(D)
    axes = figure.axes[0]
    shown = axes.images[0].get_array()
    later = np.triu_indices(T, 1)
    assert shown.mask[later].all()
    assert shown.mask[:, 0].all()  # s_0 = 0
    there = ~shown.mask
    assert there.sum() == T * (T - 1) // 2
    np.testing.assert_array_equal(shown[there], D.norms[there])
    assert axes.get_ylabel() == "$t$ of the loss $L_t$"
    assert axes.get_xlabel() == "$k$, the step in which $W$ is used"
    assert labels(axes.xaxis)[0] == "1"
    assert labels(axes.xaxis)[-1] == str(T)
    assert r"$\partial L_t / \partial W$" in figure.axes[1].get_ylabel()
    assert [text.get_text() for text in axes.texts] == ["zero for $k > t$"]


def test_the_table_claims_no_triangle_where_there_is_none(elman):
    run, _ = recorded(elman)
    whole = tg.stack(run.steps).sum(0)
    D = study.contributions([whole[0, i] for i in range(H)] + [whole[1, 0]], elman.W)
    assert not plots.table(D).axes[0].texts


def test_the_scale_stops_after_twelve_decades_and_says_so():
    cell = tg.ElmanCell(I, H, activation="identity", rng=0, dtype=np.float64)
    cell.W.assign(0.01 * np.eye(H))
    _, losses = recorded(cell)
    figure = plots.table(study.contributions(losses, cell.U))
    low, high = figure.axes[0].images[0].get_clim()
    np.testing.assert_allclose(high / low, 1e12, rtol=1e-9)
    assert figure.axes[0].images[0].colorbar.extend == "min"


def test_states_and_uses_outside_the_steps_are_labelled(elman):
    run, losses = recorded(elman)
    figure = plots.table(study.contributions(losses, list(run.states), norms_only=True))
    assert figure.axes[0].get_xlabel() == "$k$ of $s_{k}$"
    assert labels(figure.axes[0].xaxis)[0] == "0"
    assert figure.axes[1].get_ylabel() == r"norm of $\partial L_t / \partial s_{k}$"
    assert figure.axes[0].texts
    penalty = [*losses, tg.square(elman.W).sum()]
    figure = plots.table(study.contributions(penalty, elman.W))
    assert labels(figure.axes[0].xaxis)[-1] == "none"


@pytest.mark.parametrize("kind", [tg.ElmanCell, tg.LSTMCell, tg.GRUCell])
def test_bars_stand_on_each_other_and_reach_the_total(kind):
    cell = kind(I, H, rng=0, dtype=np.float64)
    _, losses = recorded(cell)
    D = study.contributions(losses, cell.W)
    *bars, total = plots.shares(D).axes[0].patches
    heights = [bar.get_height() for bar in bars]
    assert len(heights) == T
    np.testing.assert_allclose(sum(heights), np.linalg.norm(D.gradient), rtol=1e-12)
    np.testing.assert_allclose(total.get_height(), np.linalg.norm(D.gradient), rtol=1e-12)
    along = D.gradient / np.linalg.norm(D.gradient)
    for k, bar in enumerate(bars):
        np.testing.assert_allclose(heights[k], (D.arrays[:, k].sum(0) * along).sum(), atol=1e-12)
        np.testing.assert_allclose(bar.get_y(), sum(heights[:k]), atol=1e-12)


def test_bars_that_pull_against_the_gradient_are_told_apart_without_colour():
    w = tg.Parameter([1.0], "w", np.float64)
    losses = []
    for t, c in enumerate((2.0, -0.5, 1.0), start=1):
        with tg.timestep(t):
            losses.append((c * w).sum())
    axes = plots.shares(study.contributions(losses, w)).axes[0]
    bars = axes.patches[:3]
    assert [bar.get_height() for bar in bars] == [2.0, -0.5, 1.0]
    assert [bool(bar.get_hatch()) for bar in bars] == [False, True, False]
    words = [text.get_text() for text in axes.get_legend().get_texts()]
    assert words == ["adds to the gradient", "pulls against it"]


def test_norms_against_lag_with_both_bounds(elman):
    J = study.jacobians(elman, xs())
    figure = plots.lags(J, elman.W, 0.5)
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    measured = np.exp(np.log(study.norms_against_lag(J)).mean(1))
    np.testing.assert_allclose(lines["measured, mean over the batch"], measured, rtol=1e-12)
    pascanu = next(y for name, y in lines.items() if "sigma" in name)
    np.testing.assert_array_equal(pascanu, study.pascanu_bound(elman.W, T, 0.5))
    product = next(y for name, y in lines.items() if "product" in name)
    np.testing.assert_allclose(product, np.exp(np.log(study.step_bound(J)).mean(1)), rtol=1e-12)
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[0].get_ylabel() == r"$\|\partial s_T / \partial s_{T-\mathrm{lag}}\|_2$"


def test_a_gradient_that_is_lost_is_a_line_that_ends():
    cell = tg.ElmanCell(I, H, activation="relu", rng=0, dtype=np.float64)
    cell.b.assign(np.full(H, -50.0))
    y = plots.lags(study.jacobians(cell, xs())).axes[0].lines[-1].get_ydata()
    assert y[0] == 1
    assert np.isnan(y[1:]).all()


def test_spectra_show_singular_values_without_rounding(elman):
    J = study.jacobians(elman, xs()[:, :1])
    lines = {line.get_label(): line.get_ydata() for line in plots.spectra(J).axes[0].lines}
    assert list(lines) == ["1", "2", "4", "8", "12"]
    for lag, y in lines.items():
        np.testing.assert_allclose(
            y, study.singular_values(study.products(J)[int(lag), 0]), rtol=1e-12
        )
    flat = np.broadcast_to(np.diag([1.0, 1e-9]), (4, 1, 2, 2))
    last = plots.spectra(flat).axes[0].lines[-1].get_ydata()
    assert last[0] == 1
    assert np.isnan(last[1])


def test_saturation_leaves_white_what_lets_a_gradient_through():
    cell = tg.LSTMCell(I, H, rng=0, dtype=np.float64)
    for parameter in cell.parameters().values():
        parameter.assign(6 * parameter.numpy())
    found = study.gates(tg.unroll(cell, xs()))
    figure = plots.saturation(found)
    names = ["$i_{t}$", "$f_{t}$", "$g_{t}$", "$o_{t}$", "tanh $c_{t}$"]
    assert [axes.get_ylabel() for axes in figure.axes] == names
    for axes, gate in zip(figure.axes, found.values(), strict=True):
        low, high = (area.get_paths()[0].vertices[:, 1] for area in axes.collections)
        np.testing.assert_allclose(low.max(), gate.shut.max())
        np.testing.assert_allclose(high.min(), 1 - gate.open.max())
        assert axes.get_ylim() == (0, 1)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["part saturated at −1 or 0", "part saturated at 1"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["relu"], ["part saturated at 0"]),
        (["silu"], ["part saturated at the low end"]),
        (["hard_sigmoid", "relu"], ["part saturated at 0", "part saturated at 1"]),
        (["log_sigmoid", "tanh"], ["part saturated at −1", "part saturated at 0 or 1"]),
    ],
)
def test_the_legend_says_where_an_activation_is_flat(names, expected):
    class Several(tg.ElmanCell):
        def step(self, x, s):
            a = x @ self.U + s @ self.W + self.b
            s = sum(getattr(tg, name)(a) for name in names)
            return s, s

    figure = plots.saturation(study.gates(tg.unroll(Several(I, H, rng=0), xs())))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == expected


def test_units_are_the_states_from_the_first_to_the_last():
    run = tg.unroll(tg.LSTMCell(I, H, rng=0), xs())
    figure = plots.units(run, sequence=2)
    for axes, part in zip(figure.axes[:2], "hc", strict=True):
        image = axes.images[0]
        expected = np.stack([getattr(state, part).numpy()[2] for state in run.states], axis=1)
        np.testing.assert_array_equal(image.get_array(), expected)
        assert image.get_clim()[0] == -image.get_clim()[1]  # white is zero
        assert image.get_extent()[:2] == [-0.5, T + 0.5]
    assert [axes.get_ylabel() for axes in figure.axes[2:]] == ["$h_{t}[i]$", "$c_{t}[i]$"]
    assert figure.axes[1].get_xlabel() == "step $t$"


def test_names_of_every_kind_can_be_shown(elman):
    for name in ("W_n", "inner.W", "$x", r"\alpha", "a_b_c", "σ", "100%", "{"):
        w = tg.Parameter([1.0], name)
        with tg.timestep(1):
            losses = [(w * 2).sum(), (w * w).sum()]
        D = study.contributions(losses, w)
        plots.table(D).draw_without_rendering()
        plots.shares(D).draw_without_rendering()


def test_bad_input_is_said_plainly(elman):
    run, losses = recorded(elman)
    with pytest.raises(ValueError, match="no one total"):
        plots.shares(study.contributions(losses, list(run.states)))
    with pytest.raises(ValueError, match="every entry is zero"):
        plots.table(study.contributions(losses[:1], elman.W))
    with pytest.raises(ValueError, match=r"wanted \(T, B, N, N\)"):
        plots.lags(np.zeros((3, 2, 2)))
    with pytest.raises(ValueError, match=r"wanted \(T, B, N, N\)"):
        plots.spectra(np.zeros((3, 2, 2)))
    with pytest.raises(ValueError, match="no gates"):
        plots.saturation({})


def test_pyplot_and_the_global_style_are_left_alone():
    program = """
import sys, numpy as np, tinygrad_rnn as tg
from tinygrad_rnn import study
assert "matplotlib" not in sys.modules
cell = tg.ElmanCell(1, 3, rng=0)
run = tg.unroll(cell, np.ones((4, 2, 1)))
import matplotlib
before = matplotlib.rcParams.copy()  # dict() would look up the backend, by importing pyplot
D = study.contributions([s.sum() for s in run.steps], cell.W)
J = study.jacobians(cell, np.ones((4, 2, 1)))
P = study.plots
for figure in (P.table(D), P.shares(D), P.lags(J), P.spectra(J), P.units(run),
               P.saturation(study.gates(run))):
    figure.draw_without_rendering()
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams.copy() == before
"""
    subprocess.run([sys.executable, "-c", program], check=True)
