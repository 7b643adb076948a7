"""Losses and normalisations far from 0, against PyTorch's near 0 and in float64.

None of them but logsumexp and logaddexp (which move with it) knows of an offset that all entries
share, so nothing of it may be seen in a value or a gradient. The entries are on the grid of the
offset's precision: adding it is exact.
"""

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

torch = pytest.importorskip("torch")
F = torch.nn.functional

CLASSES, WEIGHTS = [2, 0], np.array([1.0, 0.5, 2.0, 1.5])
P = np.array([[0.2, 0.3, 0.5, 0.0], [0.0, 1.0, 0.0, 0.0]])
T = torch.tensor

WITHOUT_OFFSET: dict[str, tuple[Any, Any]] = {
    "cross_entropy": (
        lambda x: tg.cross_entropy(x, CLASSES),
        lambda x: F.cross_entropy(x, T(CLASSES)),
    ),
    "cross_entropy, weights": (
        lambda x: tg.cross_entropy(x, CLASSES, weights=WEIGHTS),
        lambda x: F.cross_entropy(x, T(CLASSES), T(WEIGHTS)),
    ),
    "cross_entropy, smoothed": (
        lambda x: tg.cross_entropy(x, CLASSES, label_smoothing=0.1),
        lambda x: F.cross_entropy(x, T(CLASSES), label_smoothing=0.1),
    ),
    "cross_entropy, ignored": (
        lambda x: tg.cross_entropy(x, [-1, 0], ignore_index=-1),
        lambda x: F.cross_entropy(x, T([-1, 0]), ignore_index=-1),
    ),
    "cross_entropy, probabilities": (
        lambda x: tg.cross_entropy(x, P),
        lambda x: F.cross_entropy(x, T(P)),
    ),
    "nll": (
        lambda x: tg.nll(tg.log_softmax(x), CLASSES, "sum"),
        lambda x: F.nll_loss(F.log_softmax(x, -1), T(CLASSES), reduction="sum"),
    ),
    "kl_div": (
        lambda x: tg.kl_div(tg.log_softmax(x), P),
        lambda x: F.kl_div(F.log_softmax(x, -1), T(P), reduction="batchmean"),
    ),
    "softmax": (tg.softmax, lambda x: F.softmax(x, -1)),
    "softmax over columns": (lambda x: tg.softmax(x, 0), lambda x: F.softmax(x, 0)),
    "log_softmax": (tg.log_softmax, lambda x: F.log_softmax(x, -1)),
    "layer_norm": (tg.layer_norm, lambda x: F.layer_norm(x, x.shape[-1:])),
    "var": (lambda x: tg.var(x, 1), lambda x: torch.var(x, 1, correction=0)),
    "var of all": (tg.var, lambda x: torch.var(x, correction=0)),
    "var over columns": (
        lambda x: tg.var(x, 0, ddof=1),
        lambda x: torch.var(x, 0, correction=1),
    ),
    "std": (lambda x: tg.std(x, 1, ddof=1), lambda x: torch.std(x, 1, correction=1)),
    "mse": (lambda x: tg.mse(x[0], x[1]), lambda x: F.mse_loss(x[0], x[1])),
    "l1": (lambda x: tg.l1(x[0], x[1]), lambda x: F.l1_loss(x[0], x[1])),
    "huber": (lambda x: tg.huber(x[0], x[1]), lambda x: F.huber_loss(x[0], x[1])),
}
MOVING = {
    "logsumexp": (lambda x: tg.logsumexp(x, 1), lambda x: torch.logsumexp(x, 1)),
    "logsumexp of all": (tg.logsumexp, lambda x: torch.logsumexp(x, (0, 1))),
    "logaddexp": (
        lambda x: tg.logaddexp(x[0], x[1]),
        lambda x: torch.logaddexp(x[0], x[1]),
    ),
    "mean": (lambda x: tg.mean(x, 1), lambda x: torch.mean(x, 1)),
}
FINITE = WITHOUT_OFFSET | MOVING


def of_ours(f: Any, x: Any) -> tuple[Any, Any, Any]:
    """Value, gradient, and derivative in forward mode."""
    t = tg.tensor(x)
    y = f(t)
    w = np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype)
    pushed = tg.jvp(f, (t,), (np.cos(np.arange(x.size)).reshape(x.shape),))[1]
    return y.numpy(), tg.gradients(y, t, w), pushed.numpy()


def of_torch(f: Any, x: Any) -> tuple[Any, Any, Any]:
    t = T(x, dtype=torch.float64, requires_grad=True)
    y = f(t)
    w = torch.cos(torch.arange(y.numel(), dtype=torch.float64)).reshape(y.shape)
    (g,) = torch.autograd.grad(y, t, w, retain_graph=True)
    v = torch.cos(torch.arange(t.numel(), dtype=torch.float64)).reshape(t.shape)
    rows = [torch.autograd.grad(part, t, retain_graph=True)[0] for part in y.flatten()]
    pushed = torch.stack([(row * v).sum() for row in rows]).reshape(y.shape)
    return y.detach().numpy(), g.numpy(), pushed.numpy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 1e3, -1e4, 1e5, 1e6, -1e7, 1e8])
@pytest.mark.parametrize("name", FINITE)
def test_an_offset_is_not_seen(name, offset, dtype):
    ours, theirs = FINITE[name]
    grid = max(float(np.spacing(dtype(abs(offset)))), 2.0**-10)
    near = np.array([[1.2, -0.4, 0.3, 2.1], [0.8, 1.1, -1.7, 0.2]])
    near = grid * np.round(near * max(1, grid) / grid)
    far = (near + offset).astype(dtype)
    assert np.array_equal(far.astype(float) - offset, near)
    value, g, pushed = of_ours(ours, far)
    wanted, wanted_g, wanted_pushed = of_torch(theirs, near)
    if name in MOVING:
        wanted = wanted + offset
    error = 2e-6 if dtype == np.float32 else 1e-12
    for found, right in [(value, wanted), (g, wanted_g), (pushed, wanted_pushed)]:
        assert found.dtype == dtype
        np.testing.assert_allclose(
            found, right, rtol=error, atol=error * np.abs(right).max(initial=1e-30)
        )


MOVED = {
    "bce_with_logits": (
        lambda x: tg.bce_with_logits(x, P),
        lambda x: F.binary_cross_entropy_with_logits(x, T(P)),
    ),
    "rms_norm": (tg.rms_norm, lambda x: F.rms_norm(x, x.shape[-1:], eps=1e-5)),
    "norm": (lambda x: tg.norm(x, axis=1), lambda x: torch.linalg.vector_norm(x, 2, 1)),
    "norm of order 1/2": (
        lambda x: tg.norm(x, 0.5, 1),
        lambda x: torch.linalg.vector_norm(x, 0.5, 1),
    ),
    "norm of order -1": (
        lambda x: tg.norm(x, -1, 1),
        lambda x: torch.linalg.vector_norm(x, -1, 1),
    ),
    "hypot": (lambda x: tg.hypot(x[0], x[1]), lambda x: torch.hypot(x[0], x[1])),
    "arctan2": (lambda x: tg.arctan2(x[0], x[1]), lambda x: torch.atan2(x[0], x[1])),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 1e3, -1e5, 1e8])
@pytest.mark.parametrize("name", MOVED)
def test_large_arguments(name, offset, dtype):
    x = (np.array([[1.2, -0.4, 0.3, 2.1], [0.8, 1.1, -1.7, 0.2]]) + offset).astype(dtype)
    error = 2e-6 if dtype == np.float32 else 1e-12
    for found, right in zip(
        of_ours(MOVED[name][0], x), of_torch(MOVED[name][1], x.astype(float)), strict=True
    ):
        np.testing.assert_allclose(
            found, right, rtol=error, atol=error * np.abs(right).max(initial=1e-30)
        )


INF = float("inf")
LOGITS = {
    "beside": [[-INF, 1.0, 2.0, 0.5], [1.0, 0.0, -INF, -INF]],
    "at the target": [[0.5, 1.0, -INF, 2.0], [-INF, 1.0, 2.0, 0.0]],
    "nothing else": [[-INF, -INF, 1.0, -INF], [2.0, -INF, -INF, -INF]],
    "all of a row": [[-INF] * 4, [0.0, 1.0, 2.0, 3.0]],
}
OF_LOGITS = [
    *("cross_entropy", "cross_entropy, weights", "cross_entropy, ignored", "nll", "softmax"),
    *("cross_entropy, smoothed", "log_softmax", "logsumexp", "logaddexp"),
]


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
@pytest.mark.parametrize("where", LOGITS)
@pytest.mark.parametrize("name", OF_LOGITS)
def test_minus_infinity(name, where):
    ours, theirs = FINITE[name]
    x = np.array(LOGITS[where])
    for found, right in zip(of_ours(ours, x)[:2], of_torch(theirs, x)[:2], strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-15)
