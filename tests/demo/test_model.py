"""The demo's model: its two kinds of input, its texts, its file."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import io
from tinygrad_rnn.data import TextError, Vocabulary
from tinygrad_rnn.demo.model import CharElman, load, sample, save

VOCABULARY = Vocabulary("\n abcdefg")


@pytest.fixture
def model():
    return CharElman(VOCABULARY, 5, rng=0)


def test_picking_a_row_and_multiplying_by_one_hot_are_the_same(model):
    ids = VOCABULARY.encode("bad cab")
    picked = tg.unroll(model, ids[:, None])
    multiplied = tg.unroll(model, tg.one_hot(ids[:, None], len(VOCABULARY)))
    np.testing.assert_allclose(picked.outputs.numpy(), multiplied.outputs.numpy(), rtol=1e-6)
    weights = list(model.parameters().values())
    for a, b in zip(
        tg.gradients(picked.outputs.sum(), weights),
        tg.gradients(multiplied.outputs.sum(), weights),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_step_is_the_equations(model):
    p = {name: q.numpy() for name, q in model.parameters().items()}
    s_0 = np.full((2, 5), 0.5, np.float32)
    o, s = model.step(np.array([3, 4]), tg.tensor(s_0))
    expected = np.tanh(p["U"][[3, 4]] + s_0 @ p["W"] + p["b"])
    np.testing.assert_allclose(s.numpy(), expected, rtol=1e-6)
    np.testing.assert_allclose(o.numpy(), expected @ p["V"] + p["c"], rtol=1e-5, atol=1e-6)


def test_a_seed_repeats_and_another_does_not(model):
    assert sample(model, 50, 1) == sample(model, 50, 1)
    assert sample(model, 50, 1) != sample(model, 50, 2)
    assert len(sample(model, 50, 1)) == 50


def test_the_start_is_read_and_shown(model):
    model.c.assign(np.eye(len(VOCABULARY))[3] * 100)  # nothing but b
    assert sample(model, 4, 0, start="cab") == "cabbbbb"
    assert sample(model, 4, 0) == "bbbb"
    with pytest.raises(TextError, match="'x' is not among"):
        sample(model, 4, 0, start="ax")


def test_temperature_sharpens(model):
    model.c.assign(np.linspace(0, 1, len(VOCABULARY)))
    assert set(sample(model, 60, 0, temperature=1e-3)) == {"g"}
    assert len(set(sample(model, 60, 0, temperature=10.0))) > 5


def test_the_frequencies_of_draws_are_the_probabilities(model):
    for name in ("U", "W", "b", "V"):
        model.parameters()[name].assign(np.zeros(model.parameters()[name].shape))
    model.c.assign(np.log(np.arange(1, 10) / 45))
    text = sample(model, 20_000, 3, temperature=1.0)
    counts = np.bincount(VOCABULARY.encode(text), minlength=9) / len(text)
    np.testing.assert_allclose(counts, np.arange(1, 10) / 45, atol=0.01)


def test_a_saved_model_writes_the_same(model, tmp_path):
    again = load(save(model, tmp_path / "m.safetensors"))
    assert again.vocabulary == VOCABULARY
    assert sample(again, 80, 4) == sample(model, 80, 4)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"kind": "lstm"}, "a model of kind 'lstm', wanted"),
        ({"vocabulary": None}, "its metadata cannot be used"),
        ({"vocabulary": "aa"}, "its metadata cannot be used"),
        ({"vocabulary": {"a": 1}}, "its metadata cannot be used: TypeError.*a str; given a dict"),
        ({"vocabulary": ["a", "b"]}, "its metadata cannot be used: TypeError"),
        ({"hidden_size": True}, "hidden_size True, but b has shape"),
        ({"kind": "k" * 10**6}, "a model of kind 'kkk"),
        ({"hidden_size": 10**12}, r"hidden_size 1000000000000, but b has shape \(5,\)"),
        ({"vocabulary": "ab"}, r"'U' has shape \(9, 5\), wanted \(2, 5\)"),
    ],
)
def test_a_description_that_does_not_fit_is_named(model, tmp_path, description, message):
    path = save(model, tmp_path / "m.safetensors")
    _, good = io.read(path)
    io.save(model, path, good | description)
    with pytest.raises(io.ModelFileError, match=message) as caught:
        load(path)
    assert len(str(caught.value)) < 500 + len(str(path))


def test_another_cells_file_is_named(tmp_path):
    cell = tg.Cell()
    cell.X = tg.Parameter([1.0])
    kind = io.read(save(CharElman(VOCABULARY, 2, rng=0), tmp_path / "m"))[1]
    path = io.save(cell, tmp_path / "x.safetensors", kind)
    with pytest.raises(io.ModelFileError, match=r"x\.safetensors"):
        load(path)
