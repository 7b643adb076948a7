"""The demo's measurements, against closed forms."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.data import Vocabulary
from tinygrad_rnn.demo import measure
from tinygrad_rnn.demo.model import CharElman

VOCABULARY = Vocabulary(" abcdefghij")


@pytest.mark.parametrize("rho", [0.8, 1.0, 1.1])
def test_with_a_scaled_orthogonal_w_at_rest_every_step_multiplies_by_rho(rng, rho):
    model = CharElman(VOCABULARY, 6, rng=0)
    orthogonal, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    for name, value in (("W", rho * orthogonal), ("U", np.zeros((11, 6))), ("b", np.zeros(6))):
        model.parameters()[name].assign(value)  # all states are 0, where tanh' is 1
    ids = rng.integers(0, 11, 400)
    found = measure.gradient_flow(model, ids)
    assert found.norms.shape == (measure.LAGS + 1, measure.WINDOWS)
    expected = found.norms[0] * rho ** np.arange(measure.LAGS + 1)[:, None]
    np.testing.assert_allclose(found.norms, expected, rtol=1e-4)
    assert found.factor == pytest.approx(rho, rel=1e-5)
    low, high = found.band
    assert (low <= found.median).all()
    assert (found.median <= high).all()


def test_at_lag_zero_it_is_the_readouts_gradient(rng):
    model = CharElman(VOCABULARY, 6, rng=0)
    ids = rng.integers(0, 11, measure.LAGS + 1)
    s = np.zeros(6)
    p = {name: q.numpy().astype(float) for name, q in model.parameters().items()}
    for x in ids[:-1]:
        s = np.tanh(p["U"][x] + s @ p["W"] + p["b"])
    o = s @ p["V"] + p["c"]
    e = np.exp(o) / np.exp(o).sum() - np.eye(11)[ids[-1]]
    found = measure.gradient_flow(model, ids)
    assert found.norms.shape == (measure.LAGS + 1, 1)
    assert found.norms[0, 0] == pytest.approx(np.linalg.norm(e @ p["V"].T), rel=1e-5)


def test_a_gradient_too_small_for_a_float_is_left_out_of_the_factor():
    norms = np.array([[1.0], [1e-20], [1e-40], [0.0]])
    assert measure.GradientFlow(norms).factor == pytest.approx(1e-20)
    assert measure.GradientFlow(norms[2:]).factor == 0.0


def test_a_short_text_gives_fewer_lags(rng):
    found = measure.gradient_flow(CharElman(VOCABULARY, 6, rng=0), rng.integers(0, 11, 33))
    assert found.norms.shape == (33, 1)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("ter a parameter; three four", "three"), ("(table)", "table"), ("12 45 78", "12 45")],
)
def test_the_excerpt_is_a_whole_word_if_there_is_one(text, wanted):
    assert measure.excerpt(text) == wanted


def test_the_loss_on_record_is_the_sum_of_cross_entropies():
    model = CharElman(VOCABULARY, 6, rng=0)
    ids = VOCABULARY.encode("cabig")
    run = tg.unroll(model, ids[:-1, None])
    losses = [tg.cross_entropy(o, ids[t + 1 : t + 2]).item() for t, o in enumerate(run.steps)]
    assert measure.recorded(model, "cabig").item() == pytest.approx(sum(losses), rel=1e-6)


def test_the_loss_by_frequency_is_the_entropy_of_a_uniform_text():
    ids = np.tile(np.arange(11), 1000)
    assert measure.frequencies_loss(ids, ids, VOCABULARY) == pytest.approx(np.log(11))
