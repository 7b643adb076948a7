"""Machine code after a scan: a readout, and the cross entropy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn.compiler import native_rows
from tinygrad_rnn.compiler.native import target
from tinygrad_rnn.kernels import KERNELS, Kernels

pytestmark = pytest.mark.skipif(target() is None, reason="llvmlite is not there")

SIZES = [(5, 3, 7), (1, 1, 1), (100, 1, 8), (7, 33), (3, 16, 16), (2, 3, 100)]


@pytest.fixture(autouse=True)
def small_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_rows, "SMALL", 0)


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy alone, from now on."""
    for name in Kernels.__annotations__:
        monkeypatch.setattr(KERNELS, name, None)


def loss_and_gradient(x: Any, classes: Any, g: Any) -> Any:
    logits = tg.tensor(x, dtype=x.dtype)
    losses = tg.cross_entropy(logits, classes, "none")
    return losses.numpy(), tg.gradients(losses, logits, g)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SIZES)
def test_cross_entropy_is_that_of_numpy(
    shape: tuple[int, ...], dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    x = (8 * rng.normal(size=shape)).astype(dtype)
    classes = rng.integers(0, shape[-1], shape[:-1])
    g = rng.normal(size=shape[:-1]).astype(dtype)
    native_rows.install()
    assert native_rows.cross_entropy(x, classes) is not None
    assert native_rows.cross_entropy_pull(g, x, classes) is not None
    ours = loss_and_gradient(x, classes, g)
    without(monkeypatch)
    theirs = loss_and_gradient(x, classes, g)
    bound = 4 * float(np.finfo(dtype).eps)
    for a, b, size in zip(ours, theirs, (np.abs(x).max(), np.abs(g).max()), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound * size)


@pytest.mark.parametrize(
    "row", [[-np.inf, 1.0, 2.0], [1.0, -np.inf, 0.0], [np.nan, 0.0, 1.0], [1e30, -1e30, 0.0]]
)
def test_infinite_and_missing_scores_are_as_in_numpy(
    row: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.array([row, [0.0, 1.0, 2.0]], np.float32)
    g = np.ones(2, np.float32)
    for classes in ([0, 1], [1, 2], [2, 0]):
        native_rows.install()
        ours = loss_and_gradient(x, classes, g)
        with monkeypatch.context() as patch:
            without(patch)
            theirs = loss_and_gradient(x, classes, g)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


def test_numpy_warns_of_scores_that_are_infinite() -> None:
    native_rows.install()
    with pytest.warns(RuntimeWarning, match="invalid value"):
        losses = tg.cross_entropy(tg.tensor([[np.inf, 0.0], [1.0, 0.0]]), [0, 1], "none")
    assert np.isnan(losses.numpy()).tolist() == [True, False]


def test_every_class_number_is_looked_at_before_memory_is_read() -> None:
    native_rows.install()
    for wrong in ([0, -1], [0, 3], np.array([-(2**63), 0])):
        with pytest.raises(IndexError, match="wanted 0 to 2"):
            tg.cross_entropy(tg.zeros((2, 3)), wrong)
    small = np.array([2, 0], np.int8)
    assert tg.cross_entropy(tg.zeros((2, 3)), small).item() == pytest.approx(np.log(3))


def test_scores_in_another_order_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x = np.asfortranarray(rng.normal(size=(6, 5)))
    classes, g = rng.integers(0, 5, 6), np.broadcast_to(np.float64(2.0), (6,))
    native_rows.install()
    ours = loss_and_gradient(x, classes, g)
    without(monkeypatch)
    for a, b in zip(ours, loss_and_gradient(x, classes, g), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-15)


def test_second_derivatives_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    def found() -> Any:
        logits = tg.tensor([[0.5, -1.0, 2.0], [0.0, 0.1, 0.2]], dtype=np.float64)
        g = tg.gradients(tg.cross_entropy(logits, [2, 0]), logits, create_graph=True)
        return tg.gradients((g * g).sum(), logits)

    native_rows.install()
    ours = found()
    without(monkeypatch)
    np.testing.assert_allclose(ours, found(), rtol=1e-13)
    assert np.abs(ours).max() > 0.01


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_all_steps_are_those_of_numpy(
    dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    a, g = (rng.normal(size=(40, 25, n)).astype(dtype) for n in (70, 65))
    b = rng.normal(size=(70, 65)).astype(dtype)
    assert native_rows.product(a.reshape(-1, 70), b) is not None
    assert native_rows.gathered(a.reshape(-1, 70), g.reshape(-1, 65)) is not None

    def found() -> Any:
        outputs, V = tg.tensor(a, dtype=dtype), tg.Parameter(b, "V")
        y = outputs @ V
        return [y.numpy(), *tg.gradients(y, [outputs, V], g)]

    native_rows.install()
    ours = found()
    without(monkeypatch)
    for one, other in zip(ours, found(), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=0, atol=2000 * np.finfo(dtype).eps)


def test_products_with_leading_axes_are_numpys() -> None:
    rng = np.random.default_rng(3)
    for shape in [(4, 3, 5), (2, 4, 3, 5), (0, 3, 5), (4, 0, 5)]:
        a, b = rng.normal(size=shape), rng.normal(size=(5, 6))
        for given in (a, a[..., ::-1], np.asfortranarray(a)):
            y = tg.tensor(given, dtype=np.float64) @ tg.Parameter(b, "b")
            np.testing.assert_allclose(y.numpy(), np.matmul(given, b), atol=1e-14)
    with pytest.raises(ValueError, match="inner sizes 4 and 5 differ"):
        tg.ones((2, 3, 4)) @ tg.ones((5, 6))
