"""Loss functions: one number from a network's outputs and their targets."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ..graph import Array, Shape, current
from ..kernels import KERNELS
from ..notation import call
from ..primitive import apply, apply1, apply2, elementwise, general
from .activation import sigmoid
from .elementwise import abs, clip, divide, is_positive, log, multiply, square, where
from .index import getitem, index_add
from .reduce import below_top, is_moderate, log_softmax, mean, softmax, sum
from .registry import looked_at, of_two, shape_of, values
from .shape import expand_dims

__all__ = ["bce_with_logits", "cross_entropy", "huber", "kl_div", "l1", "mse", "nll"]

Reduction = Literal["none", "sum", "mean"]


def _reduced(name: str, losses: Any, reduction: Reduction, total_weight: Any = None) -> Any:
    """All the losses, or their sum, or their mean."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum(losses)
    if reduction == "mean":
        return mean(losses) if total_weight is None else divide(sum(losses), total_weight)
    raise ValueError(
        f'{name}{current().place}: reduction {reduction!r}; wanted "none", "sum" or "mean"'
    )


def _expect_value(a: Any, b: Any) -> Any:
    with np.errstate(invalid="ignore"):
        return np.where(np.equal(a, 0) & np.isinf(b), 0, a * b)


_expect = elementwise(
    "expect",
    _expect_value,
    lambda b: b,
    lambda a: a,
    notation=call(numpy="np.where((a == 0) & np.isinf(b), 0, a * b)"),
)
"""A probability times a logarithm: an impossible case counts nothing, 0 times -inf is 0."""


def _same_shape(name: str, first: str, a: Any, second: str, b: Any) -> None:
    shapes = shape_of(a), shape_of(b)
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{name}{current().place}: {first} {shapes[0]} and {second} {shapes[1]} differ in shape"
            + _exchanged(*shapes)
        )


def _exchanged(shape: Shape, wanted: Shape) -> str:
    """A hint for batch and time in the other order."""
    if len(wanted) > 1 and shape == (wanted[1], wanted[0], *wanted[2:]):
        return ": the first two axes are exchanged (of a sequence's outputs time is the first)"
    return ""


# ------------------------------------------------------------------------------------------------
# Classes


def _pick(classes: Array) -> tuple[Any, ...]:
    return (*np.indices(classes.shape, sparse=True), classes)


def _cross_entropy_value(x: Any, classes: Array) -> Any:
    if KERNELS.cross_entropy is not None:
        found = KERNELS.cross_entropy(x, classes)
        if found is not None:
            return found
    if is_moderate(x):
        right = x[_pick(classes)]
        y, right = x - right[..., None], 0
    else:
        y = below_top(x, -1)
        right = y[_pick(classes)]
    ones = np.ones_like(y, shape=y.shape[-1:])  # a product adds up short rows faster than np.sum
    return np.log(np.exp(y, out=y) @ ones) - right


def _cross_entropy_pull(g: Any, x: Any, classes: Array) -> Any:
    if KERNELS.cross_entropy_pull is not None:
        found = KERNELS.cross_entropy_pull(g, x, classes)
        if found is not None:
            return found
    # not exp(x - x[target] - y): the losses hold the sum of exponentials, but only as well as
    # they are rounded, and not at all where they are infinite
    p = softmax(x, -1)
    if hasattr(p, "_value"):
        return index_add(p * expand_dims(g, -1), _pick(classes), -g)
    p *= g[..., None]  # the same in place: this runs at every step
    p[_pick(classes)] -= g
    return p


_cross_entropy = general(
    "cross_entropy",
    _cross_entropy_value,
    _cross_entropy_pull,
    lambda t, x, classes: sum(softmax(x, -1) * t, -1) - getitem(t, _pick(classes)),
    notation=call("CE"),
)


def _class_numbers(
    name: str, scores: Any, targets: Any, ignore_index: int | None
) -> tuple[Array, Array | None]:
    """The classes, with 0 where they are ignored, and 1 or 0 for which count (None if all do)."""
    classes = np.asarray(looked_at(targets, "class numbers"))
    where = f"{name}{current().place}"
    shape = shape_of(scores)
    if classes.dtype.kind not in "iu":
        raise TypeError(f"{where}: targets are class numbers (integers), given {classes.dtype}")
    if classes.shape != shape[:-1]:
        raise ValueError(
            f"{where}: scores {shape} want targets of shape {shape[:-1]}, given {classes.shape}"
            + _exchanged(classes.shape, shape[:-1])
        )
    counted = None
    if ignore_index is not None:
        counted = classes != ignore_index
        classes = np.where(counted, classes, 0)
    # a number below 0 is a large one without a sign
    if classes.size and classes.view(f"u{classes.itemsize}").max() >= shape[-1]:
        raise IndexError(
            f"{where}: targets are from {classes.min()} to {classes.max()}, "
            f"wanted 0 to {shape[-1] - 1}"
        )
    return classes, counted


def _class_weights(name: str, scores: Any, weights: Any) -> Any:
    if weights is not None and shape_of(weights) != shape_of(scores)[-1:]:
        raise ValueError(
            f"{name}{current().place}: weights of shape {shape_of(weights)}, "
            f"wanted one per class: {shape_of(scores)[-1:]}"
        )
    return weights if hasattr(weights, "shape") or weights is None else np.asarray(weights)


def _of_classes(
    name: str,
    losses: Any,
    classes: Array,
    counted: Array | None,
    weights: Any,
    reduction: Reduction,
) -> Any:
    """Weighed losses of single targets brought together; the mean is over the weights."""
    if counted is not None:
        losses = where(counted, losses, 0.0)  # not times 0: an ignored loss may be infinite
    if reduction != "mean" or (weights is None and counted is None):
        return _reduced(name, losses, reduction)
    shares: Any = np.ones(classes.shape) if weights is None else getitem(weights, classes)
    total = sum(shares if counted is None else where(counted, shares, 0.0))
    return _reduced(name, losses, reduction, total if hasattr(total, "_value") else float(total))


def _weighed(losses: Any, weights: Any, classes: Array) -> Any:
    return losses if weights is None else multiply(losses, getitem(weights, classes))


@of_two(
    "-sum over k of p[k] log(softmax(x)[k]); p is 1 at the target's class",
    "to the logits: (softmax(x) - p) g",
    "Targets have no derivative if they are class numbers, and have one if they are probabilities.",
)
def cross_entropy(
    logits: Any,
    targets: Any,
    reduction: Reduction = "mean",
    *,
    weights: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
) -> Any:
    """-log softmax(logits)[target], or against probabilities as targets.

    logits           (..., V), unnormalised
    targets          (...) integers in 0..V-1, or (..., V) probabilities (floats)
    reduction        "mean" over all targets (weighed, if there are weights), "sum", or "none" for
                     one loss per target
    weights          (V,) the weight of each class
    ignore_index     a class number whose targets count nothing
    label_smoothing  e: the target is p (1 - e) + e / V (Szegedy et al. 2016, section 7)

    As in PyTorch the mean divides by the sum of the targets' weights, except for probabilities,
    where it divides by the number of targets. The mean of nothing but ignored targets is nan, with
    NumPy's warning, and its gradient 0. A logit of -inf is a class that cannot be: it costs nothing
    where its probability is 0, and inf where it is the target.

    >>> import tinygrad_rnn as tg
    >>> tg.cross_entropy(tg.tensor([[0.0, 0.0], [0.0, 0.0]]), [0, 1])
    tensor(0.6931472, dtype=float32)
    """
    name = "cross_entropy"
    weights = _class_weights(name, logits, weights)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{name}: label_smoothing {label_smoothing}; wanted 0 to 1")
    plain = values(targets)
    plain = plain if hasattr(plain, "dtype") else np.asarray(plain)
    if plain.dtype.kind == "f":
        if ignore_index is not None:
            raise ValueError(
                f"{name}: ignore_index is for class numbers, targets are probabilities"
            )
        _same_shape(name, "logits", logits, "probabilities", targets)
        p = targets if hasattr(targets, "_value") else plain
        if label_smoothing:
            p = p * (1 - label_smoothing) + label_smoothing / plain.shape[-1]
        terms = apply2(_expect, p, log_softmax(logits))
        losses = -sum(terms if weights is None else multiply(terms, weights), -1)
        return _reduced(name, losses, reduction)
    classes, counted = _class_numbers(name, logits, targets, ignore_index)
    if not label_smoothing:
        losses = apply(_cross_entropy, (logits,), {"classes": classes})
        losses = _weighed(losses, weights, classes)
    else:
        log_p = log_softmax(logits)
        terms = log_p if weights is None else multiply(log_p, weights)
        right = (1 - label_smoothing) * getitem(terms, _pick(classes))
        losses = -right - label_smoothing * mean(terms, -1)
    return _of_classes(name, losses, classes, counted, weights, reduction)


@of_two("-x[target]", "to the scores: -g at the target's class")
def nll(
    log_probabilities: Any,
    targets: Any,
    reduction: Reduction = "mean",
    *,
    weights: Any = None,
    ignore_index: int | None = None,
) -> Any:
    """The negative log likelihood of class numbers; see `cross_entropy`, which starts from logits.

    log_probabilities  (..., V), as `log_softmax` gives them
    targets            (...) integers in 0..V-1

    >>> import tinygrad_rnn as tg
    >>> tg.nll(tg.log_softmax(tg.zeros((1, 2))), [0])
    tensor(0.6931472, dtype=float32)
    """
    weights = _class_weights("nll", log_probabilities, weights)
    classes, counted = _class_numbers("nll", log_probabilities, targets, ignore_index)
    losses = _weighed(-getitem(log_probabilities, _pick(classes)), weights, classes)
    return _of_classes("nll", losses, classes, counted, weights, reduction)


# ------------------------------------------------------------------------------------------------
# Numbers


@of_two("(a - b)^2", "to a: 2 (a - b) g; to b: -2 (a - b) g")
def mse(prediction: Any, target: Any, reduction: Reduction = "mean") -> Any:
    """The squared error, over all entries.

    prediction, target   of one shape
    reduction            "mean" over all entries, "sum", or "none"

    >>> import tinygrad_rnn as tg
    >>> tg.mse(tg.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(2., dtype=float32)
    """
    _same_shape("mse", "prediction", prediction, "target", target)
    return _reduced("mse", square(_difference(prediction, target)), reduction)


def _difference(a: Any, b: Any) -> Any:
    return a - (np.asarray(b) if isinstance(b, list) else b)


@of_two("|a - b|", "to a: sign(a - b) g; to b: -sign(a - b) g", "Where a = b, it is 0.")
def l1(prediction: Any, target: Any, reduction: Reduction = "mean") -> Any:
    """The absolute error, over all entries; arguments as for `mse`.

    >>> import tinygrad_rnn as tg
    >>> tg.l1(tg.tensor([1.0, 2.0]), [1.0, 4.0])
    tensor(1., dtype=float32)
    """
    _same_shape("l1", "prediction", prediction, "target", target)
    return _reduced("l1", abs(_difference(prediction, target)), reduction)


_huber = elementwise(
    "huber",
    lambda x, delta: np.where(
        np.abs(x) <= delta, 0.5 * np.square(x), delta * (np.abs(x) - 0.5 * delta)
    ),
    lambda x, delta: clip(x, -delta, delta),
    notation=call(
        numpy="np.where(np.abs(x) <= delta, 0.5 * x * x, delta * (np.abs(x) - 0.5 * delta))"
    ),
)


@of_two(
    "(a - b)^2 / 2 if |a - b| <= delta else delta (|a - b| - delta / 2)",
    "to a: clip(a - b, -delta, delta) g; to b: minus that",
)
def huber(prediction: Any, target: Any, delta: float = 1.0, reduction: Reduction = "mean") -> Any:
    """The squared error near 0 and the absolute error beyond `delta` (Huber 1964).

    >>> import tinygrad_rnn as tg
    >>> tg.huber(tg.tensor([1.0, 5.0]), [0.0, 0.0], reduction="none")
    tensor([0.5, 4.5], dtype=float32)
    """
    _same_shape("huber", "prediction", prediction, "target", target)
    if not delta > 0:
        raise ValueError(f"huber{current().place}: delta {delta}; wanted a positive number")
    losses = apply(_huber, (_difference(prediction, target),), {"delta": delta})
    return _reduced("huber", losses, reduction)


# ------------------------------------------------------------------------------------------------
# Probabilities

_bce = elementwise(
    "bce_with_logits",
    lambda a, b: _expect_value(np.heaviside(a, 0.0) - b, a) + np.log1p(np.exp(-np.abs(a))),
    lambda a, b: sigmoid(a) - b,
    lambda a: -a,
)


@of_two("-b log(s) - (1 - b) log(1 - s), s = sigmoid(a)", "to a: (sigmoid(a) - b) g; to b: -a g")
def bce_with_logits(
    logits: Any, targets: Any, reduction: Reduction = "mean", *, weights: Any = None
) -> Any:
    """The cross entropy of independent yes-or-no questions, from logits; stable for large ones.

    logits    any shape
    targets   of that shape: probabilities of yes, 0 to 1
    weights   of the entries; broadcasts. The mean divides by the number of entries

    >>> import tinygrad_rnn as tg
    >>> tg.bce_with_logits(tg.tensor([0.0, 1000.0]), [1.0, 1.0], "none")
    tensor([0.6931472, 0.       ], dtype=float32)
    """
    _same_shape("bce_with_logits", "logits", logits, "targets", targets)
    losses = apply2(_bce, logits, np.asarray(targets) if isinstance(targets, list) else targets)
    if weights is not None:
        losses = multiply(losses, weights)
    return _reduced("bce_with_logits", losses, reduction)


_xlogx = elementwise(
    "xlogx",
    lambda x: x * np.log(np.where(np.greater(x, 0), x, 1)),
    lambda x: log(x + 1 - apply1(is_positive, x)) + apply1(is_positive, x),
)


@of_two(
    "b (log(b) - a)",
    "to a: -b g; to b: (log(b) + 1 - a) g",
    "Where b is 0, y is 0 and the derivative to b is -a g.",
)
def kl_div(log_q: Any, p: Any, reduction: Reduction = "mean") -> Any:
    """The Kullback-Leibler divergence of q from p: sum(p log(p / q)) over the last axis.

    log_q       (..., V) logarithms of probabilities
    p           (..., V) probabilities
    reduction   "none" for every single term, "sum" for all of them added, "mean" for the mean over
                distributions, that is the sum divided by the number of rows (PyTorch: "batchmean")

    >>> import tinygrad_rnn as tg
    >>> tg.kl_div(tg.log_softmax(tg.zeros((1, 2))), [[1.0, 0.0]])
    tensor(0.6931472, dtype=float32)
    """
    _same_shape("kl_div", "log_q", log_q, "p", p)
    p = np.asarray(p) if isinstance(p, list) else p
    terms = apply1(_xlogx, p) - apply2(_expect, p, log_q)
    return _reduced("kl_div", sum(terms, -1) if reduction == "mean" else terms, reduction)
