"""Training: it starts at ln V, it learns, windows are cut from each other, it can be stopped."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.data import Vocabulary, windows
from tinygrad_rnn.demo import train as training
from tinygrad_rnn.demo.measure import frequencies_loss
from tinygrad_rnn.demo.model import CharElman
from tinygrad_rnn.graph import record_order

from .conftest import STORY

VOCABULARY = Vocabulary.of(STORY)
IDS = VOCABULARY.encode(STORY)


def trained(steps, **arguments):
    model = CharElman(VOCABULARY, 32, rng=0)
    return model, training.train(model, IDS[:-700], IDS[-700:], steps, **arguments)


def test_it_starts_at_ln_v_and_learns_more_than_frequencies():
    _, history = trained(150)
    uniform = np.log(len(VOCABULARY))
    assert history.first == pytest.approx(uniform, abs=0.02)
    assert history.held_out[0] == (0, pytest.approx(uniform, abs=0.02))
    assert history.held_out[-1][0] == history.steps == 150
    by_frequency = frequencies_loss(IDS[:-700], IDS[-700:], VOCABULARY)
    assert history.held_out[-1][1] < by_frequency - 0.5
    assert history.recent < by_frequency - 0.5


def test_the_same_seed_trains_the_same_model():
    (a, one), (b, two) = trained(5), trained(5)
    assert one.train == two.train
    np.testing.assert_array_equal(a.W.numpy(), b.W.numpy())


@pytest.mark.parametrize(("k1", "k2"), [(32, None), (4, 10)])
def test_no_window_reaches_back_further_than_k2(monkeypatch, k1, k2):
    seen = []
    original = training.tg.truncated

    def watched(*args, **options):
        for window in original(*args, **options):
            seen.append((window.steps, window.reach, len(record_order([window.loss._node]))))
            yield window

    monkeypatch.setattr(training.tg, "truncated", watched)
    trained(6, k1=k1, k2=k2)
    assert [steps.start for steps, *_ in seen] == [1 + k1 * i for i in range(6)]
    assert all(len(reach) <= (k2 or k1) for _, reach, _ in seen)
    assert len({size for _, _, size in seen[-3:]}) == 1  # a record that reached back would grow


def test_the_loss_of_a_window_is_the_sum_over_its_steps():
    model = CharElman(VOCABULARY, 8, rng=1)
    window = next(windows(IDS, 6, 3))
    outputs, _ = tg.unroll(model, window.inputs)
    loss = training.window_loss(outputs, window.targets)
    s, total = np.zeros((3, 8)), 0.0
    p = {name: q.numpy().astype(float) for name, q in model.parameters().items()}
    for x, y in zip(window.inputs, window.targets, strict=True):
        s = np.tanh(p["U"][x] + s @ p["W"] + p["b"])
        o = s @ p["V"] + p["c"]
        total += np.mean(np.log(np.exp(o).sum(1)) - o[np.arange(3), y])
    assert loss.item() == pytest.approx(total, rel=1e-5)


def test_stopping_keeps_what_was_done():
    asked = iter([False, False, True])
    seen = []
    model, history = trained(
        100, stop=lambda: next(asked), progress=lambda history: seen.append(history.steps)
    )
    assert (history.steps, history.asked, history.stopped) == (2, 100, True)
    assert seen == [1, 2]
    assert history.held_out[-1][0] == 2
    assert model.W.version == 2
    _, finished = trained(2)
    assert not finished.stopped
