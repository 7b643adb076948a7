"""study.truncation: the gap between truncated and full gradients."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import study

RNG = np.random.default_rng(0)
XS, YS = RNG.normal(size=(10, 2, 2)), RNG.normal(size=(10, 2, 3))


def squared(outputs, targets):
    return tg.square(outputs - targets).sum()


def table(cell, weight):
    run = tg.unroll(cell, XS)
    losses = []
    for t, (output, y) in enumerate(zip(run.steps, YS, strict=True), start=1):
        with tg.timestep(t):
            losses.append(squared(output, y))
    return study.contributions(losses, weight).arrays


@pytest.mark.parametrize("k1", [1, 3, 10])
def test_bias_and_cosine_are_those_of_the_masked_table(k1):
    cell = tg.ElmanCell(2, 3, rng=0, dtype=np.float64)
    reaches = [1, 2, 5, 10]
    found = study.truncation(cell, (XS, YS), squared, k1=k1, k2=reaches)
    D = table(cell, cell.W)
    for i, k2 in enumerate(reaches):
        g, G = (D * found.kept(k2)[..., None, None]).sum((0, 1)), D.sum((0, 1))
        np.testing.assert_allclose(found.gradients["W"][i], g, rtol=1e-11, atol=1e-12)
        bias = np.linalg.norm(g - G) / np.linalg.norm(G)
        cosine = (g * G).sum() / np.linalg.norm(g) / np.linalg.norm(G)
        assert found.bias("W")[i] == pytest.approx(bias, abs=1e-12)
        assert found.cosine("W")[i] == pytest.approx(cosine)
    assert found.bias()[-1] == pytest.approx(0, abs=1e-12)
    assert found.cosine()[-1] == pytest.approx(1)


def test_influence_balancing_has_negative_cosine():
    """Gradients over up to 40 steps point uphill (Tallec & Ollivier, arXiv:1705.08209)."""

    class Balance(tg.Cell):
        def __init__(self):
            self.A = 0.5 * np.eye(23) + 0.5 * np.eye(23, k=1)
            self.v = np.array([1.0] * 10 + [-1.0] * 13)
            self.theta = tg.Parameter(0.5, dtype=np.float64)

        def initial_state(self, batch_size):
            return tg.ones((batch_size, 23), dtype=np.float64)

        def step(self, x, s):
            s = s @ self.A.T + self.theta * self.v
            return s[:, 0], s

    data = np.zeros((300, 1, 1)), np.ones((300, 1))
    found = study.truncation(Balance(), data, squared, k1=1, k2=[1, 10, 30, 60, 300])
    assert np.sign(found.cosine()).tolist() == [-1, -1, -1, 1, 1]


def test_the_table_and_the_picture():
    cell = tg.ElmanCell(2, 3, rng=0, dtype=np.float64)
    found = study.truncation(cell, zip(XS, YS, strict=True), squared, k1=2, k2=[2, 10])
    lines = str(found).splitlines()
    heads = "k2 |g|/|G| bias cosine cosine U cosine W cosine b"
    assert " ".join(lines[1].split()) == heads
    assert lines[-1].split()[:4] == ["10", "1.000", "0.000", "1.000"]
    figure = study.plots.truncation(found, 2)
    assert "lost: grey" in figure.axes[1].get_title()
    shades = figure.axes[1].images[0].get_array()
    np.testing.assert_array_equal(shades == 2, found.kept(2))


def test_a_loss_without_gradient():
    with pytest.raises(ValueError, match="the full gradient is zero"):
        study.truncation(
            tg.ElmanCell(2, 3, rng=0), (XS, YS), lambda o, y: 0 * o.sum(), k1=2, k2=[2]
        )
