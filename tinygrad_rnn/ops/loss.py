"""Losses, and the normalised exponentials they are made of."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from ..graph import current
from ..primitive import apply, apply1, general
from .elementwise import exp, square, values
from .reduce import mean, sum
from .shape import getitem, reshape

Reduction = Literal["none", "sum", "mean"]


def _log_softmax_value(x: Any) -> Any:
    y = x - x.max(axis=-1, keepdims=True)
    y -= np.log(np.exp(y).sum(axis=-1, keepdims=True))
    return y


_log_softmax = general(
    "log_softmax",
    _log_softmax_value,
    lambda g, y: g - exp(y) * sum(g, -1, True),
    lambda t, y: t - sum(exp(y) * t, -1, True),
)


def log_softmax(x: Any) -> Any:
    """log(exp(x) / sum(exp(x))) over the last axis."""
    return apply1(_log_softmax, x)


def softmax(x: Any) -> Any:
    """exp(x) / sum(exp(x)) over the last axis."""
    return exp(log_softmax(x))


def _pick(classes: Any) -> tuple[Any, ...]:
    return (*np.indices(classes.shape, sparse=True), classes)


def _cross_entropy_value(x: Any, classes: Any) -> Any:
    return -_log_softmax_value(x)[_pick(classes)]


def _cross_entropy_pull(g: Any, x: Any, classes: Any) -> Any:
    one_hot = np.zeros(x.shape, x.dtype)
    one_hot[_pick(classes)] = 1
    return (softmax(x) - one_hot) * reshape(g, (*classes.shape, 1))


def _cross_entropy_push(t: Any, x: Any, classes: Any) -> Any:
    return sum(softmax(x) * t, -1) - getitem(t, _pick(classes))


_cross_entropy = general(
    "cross_entropy", _cross_entropy_value, _cross_entropy_pull, _cross_entropy_push
)


def reduced(losses: Any, reduction: Reduction) -> Any:
    """All the losses, or their sum, or their mean."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    if reduction == "mean":
        return mean(losses)
    raise ValueError(f'reduction: given {reduction!r}, wanted "none", "sum" or "mean"')


def cross_entropy(logits: Any, targets: ArrayLike, reduction: Reduction = "mean") -> Any:
    """-log softmax(logits)[target], for class numbers as targets.

    logits     (..., V), unnormalised
    targets    (...) integers in 0..V-1
    reduction  "mean" over all targets, "sum", or "none" for one loss per target
    """
    classes = np.asarray(values(targets))
    where = f"cross_entropy{current().place}"
    if classes.dtype.kind not in "iu":
        raise TypeError(f"{where}: targets are class numbers (integers), given {classes.dtype}")
    if classes.shape != logits.shape[:-1]:
        raise ValueError(
            f"{where}: logits {logits.shape} want targets of shape {logits.shape[:-1]}, "
            f"given {classes.shape}"
        )
    if classes.size and not (classes.min() >= 0 and classes.max() < logits.shape[-1]):
        raise IndexError(
            f"{where}: targets are from {classes.min()} to {classes.max()}, "
            f"wanted 0 to {logits.shape[-1] - 1}"
        )
    return reduced(apply(_cross_entropy, (logits,), {"classes": classes}), reduction)


def mse(prediction: Any, target: Any, reduction: Reduction = "mean") -> Any:
    """(prediction - target)^2, over all entries.

    prediction, target   of one shape
    reduction            "mean" over all entries, "sum", or "none"
    """
    if np.shape(values(prediction)) != np.shape(values(target)):
        raise ValueError(
            f"mse{current().place}: prediction {np.shape(values(prediction))} and "
            f"target {np.shape(values(target))} differ in shape"
        )
    return reduced(square(prediction - target), reduction)
