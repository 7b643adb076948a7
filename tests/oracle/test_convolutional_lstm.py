"""A convolutional LSTM (Shi et al. 2015, equation 3, without peepholes) against PyTorch."""

import numpy as np
import pytest

import tinygrad_rnn as tg

torch = pytest.importorskip("torch")

CHANNELS, HIDDEN, STEPS = 2, 3, 4


def unrolled(conv, split, sigmoid, tanh, xs, u, w, b, h, c):
    for x in xs:
        i, f, o, g = split(conv(x, u) + conv(h, w) + b)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
    return (h * h).sum() + c.sum()


@pytest.mark.parametrize("size", [(7,), (5, 6), (3, 4, 2)], ids=["1-d", "2-d", "3-d"])
def test_gradients_through_time(size):
    rng = np.random.default_rng(0)
    kernel = (3,) * len(size)
    shapes = [
        (STEPS, 2, CHANNELS, *size),
        (4 * HIDDEN, CHANNELS, *kernel),
        (4 * HIDDEN, HIDDEN, *kernel),
        (4 * HIDDEN, *[1] * len(size)),
        *[(2, HIDDEN, *size)] * 2,
    ]
    arrays = [rng.normal(size=shape) for shape in shapes]

    ours = [tg.tensor(a) for a in arrays]
    loss = unrolled(
        lambda x, w: tg.conv(x, w, padding="same"),
        lambda a: tg.split(a, 4, 1),
        tg.sigmoid,
        tg.tanh,
        *ours,
    )
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    function = getattr(torch.nn.functional, f"conv{len(size)}d")
    wanted = unrolled(
        lambda x, w: function(x, w, padding=1),
        lambda a: torch.split(a, HIDDEN, 1),
        torch.sigmoid,
        torch.tanh,
        *theirs,
    )
    wanted.backward()
    np.testing.assert_allclose(loss.item(), wanted.item(), rtol=1e-12)
    for found, x in zip(tg.gradients(loss, ours), theirs, strict=True):
        np.testing.assert_allclose(found, x.grad.numpy(), rtol=1e-9, atol=1e-11)
