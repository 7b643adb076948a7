"""Clipping of gradients before a step."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ..graph import Array
from ..tensor import Parameter
from ..uninterrupted import Uninterrupted
from .parameters import Trainable, Unused, check_finite, gradients, leaf_of, listed


def clip_by_norm(parameters: Trainable, max_norm: float, *, unused: Unused = "error") -> float:
    """Scale all gradients together so that their joint norm is at most `max_norm`.

    g <- g min(1, max_norm / ||g||)   (Pascanu, Mikolov & Bengio, "On the difficulty of training
    recurrent neural networks", ICML 2013, Algorithm 1)

    parameters   a cell, parameters, a mapping of parameters, or several of these
    max_norm     above 0
    unused       "skip" leaves parameters without gradient out, "error" refuses them

    Gives the norm before clipping. Raises ValueError for a norm not above 0, RuntimeError where
    gradients are missing or left by different backward calls, and FloatingPointError, naming the
    parameter, where one is not finite. Nothing is changed then.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([3.0, 4.0], "w")
    >>> (w * w).sum().backward()
    >>> tg.optim.clip_by_norm([w], 1.0)
    10.0
    >>> w.grad
    array([0.6, 0.8], dtype=float32)
    """
    _check_limit("clip_by_norm: max_norm", max_norm)
    found = gradients(listed(parameters), unused)
    check_finite(found)
    norm = math.hypot(*map(_norm, found.values()))
    if norm > max_norm:
        _replace({p: np.asarray(g * float(max_norm / norm)) for p, g in found.items()})
    return norm


def clip_by_value(parameters: Trainable, max_value: float, *, unused: Unused = "error") -> None:
    """Put every entry of every gradient that is beyond +-max_value there.

    g <- min(max(g, -max_value), max_value)

    Arguments and errors are those of `clip_by_norm`. The gradient's direction changes.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([3.0, 0.25, -4.0], "w")
    >>> (w * w).sum().backward()
    >>> tg.optim.clip_by_value([w], 5.0)
    >>> w.grad
    array([ 5. ,  0.5, -5. ], dtype=float32)
    """
    _check_limit("clip_by_value: max_value", max_value)
    found = gradients(listed(parameters), unused)
    check_finite(found)
    limit = float(max_value)
    _replace({p: np.asarray(np.clip(g, -limit, limit)) for p, g in found.items()})


def _check_limit(label: str, limit: float) -> None:
    if not limit > 0:
        raise ValueError(f"{label}: given {limit}, wanted a number above 0")


def _norm(g: Array) -> float:
    """The norm of an array, also where squares overflow or vanish in its dtype."""
    square = float(np.vdot(g, g))
    info = np.finfo(g.dtype)
    if g.size * info.tiny / info.eps < square < math.inf:
        return math.sqrt(square)
    largest = float(np.abs(g).max(initial=0.0))
    if largest == 0.0:
        return 0.0
    scaled = np.asarray(g, np.float64) / largest
    return largest * math.sqrt(float(np.vdot(scaled, scaled)))


def _replace(found: Mapping[Parameter, Array]) -> None:
    """Give the parameters other gradients, which belong together as the ones before did."""
    with Uninterrupted():
        for p, g in found.items():
            g.flags.writeable = False
            leaf_of(p).grad = g
