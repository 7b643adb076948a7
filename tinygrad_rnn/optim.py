"""Optimisers: plain update rules over the gradients that `backward` left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from .autodiff import Generation, used_up
from .graph import Array, Leaf
from .tensor import Parameter, Tensor


class HasParameters(Protocol):
    """A cell or module: anything that can list its parameters by name."""

    def parameters(self) -> dict[str, Parameter]:
        """The parameters by name."""


Trainable = HasParameters | Mapping[str, Parameter] | Iterable[Parameter]


def _listed(what: Trainable | Sequence[Trainable]) -> list[Parameter]:
    if isinstance(what, Parameter):
        return [what]
    if hasattr(what, "parameters"):
        return _listed(what.parameters())
    if isinstance(what, Mapping):
        what = list(what.values())
    elif isinstance(what, str | Tensor) or not isinstance(what, Iterable):
        raise TypeError(
            f"optim: given {what!r:.60}; wanted parameters, cells, mappings of "
            "parameters, or several of these"
        )
    return [p for part in what for p in _listed(part)]  # type: ignore[arg-type]


def _gradients(parameters: Sequence[Parameter]) -> list[Array]:
    """The gradients of all parameters, refused if some are missing or left by different calls."""
    found: list[Array] = []
    generations: dict[Generation | None, str] = {}
    for p in parameters:
        leaf = p._node
        assert isinstance(leaf, Leaf)
        if leaf.grad is None:
            raise RuntimeError(
                f"parameter {p.name!r} has no gradient: call loss.backward() first (a step uses "
                "gradients up), or leave the parameter out if no loss depends on it"
            )
        found.append(leaf.grad)
        generations.setdefault(leaf.generation, str(p.name))
    if len(generations) > 1:
        names = " and ".join(map(repr, generations.values()))
        raise RuntimeError(
            f"the gradients of {names} were left by different backward() calls; add the losses "
            "up before one call, or use backward(accumulate=True) for the later ones"
        )
    return found


class _Optimiser:
    """What the optimisers share: a list of parameters and a step that uses gradients up."""

    def __init__(self, parameters: Trainable | Sequence[Trainable], lr: float) -> None:
        self.parameters = list(dict.fromkeys(_listed(parameters)))
        if not self.parameters:
            raise ValueError(f"{type(self).__name__}: given no parameters")
        self.lr = lr
        self.steps = 0

    def step(self) -> None:
        """Update every parameter once from its `.grad`, which is cleared.

        Raises RuntimeError if a gradient is missing or two backward calls left them.
        """
        gradients = _gradients(self.parameters)
        leaf = self.parameters[0]._node
        assert isinstance(leaf, Leaf)
        self.steps += 1
        for i, (p, g) in enumerate(zip(self.parameters, gradients, strict=True)):
            change = self._change(i, g, float(self.lr))
            p._replace(np.subtract(p._value, change, out=change))
        if leaf.generation is not None:
            used_up(leaf.generation)

    def _change(self, i: int, g: Array, lr: float) -> Array:
        """What to subtract from parameter i: a new array."""
        raise NotImplementedError


class SGD(_Optimiser):
    """Gradient descent, with momentum if asked for.

    v <- momentum * v + g,   p <- p - lr * v

    parameters   a cell, parameters, a dict of parameters, or several of these
    lr           learning rate, per step
    momentum     0 is plain gradient descent

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([1.0], "w")
    >>> optimiser = tg.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimiser.step()
    >>> round(w.item(), 3), w.grad
    (0.8, None)
    """

    def __init__(
        self, parameters: Trainable | Sequence[Trainable], lr: float, momentum: float = 0.0
    ) -> None:
        super().__init__(parameters, lr)
        self.momentum = momentum
        self._velocity: list[Any] = [0.0] * len(self.parameters)

    def _change(self, i: int, g: Array, lr: float) -> Array:
        if self.momentum:
            g = self._velocity[i] = self.momentum * self._velocity[i] + g
        return np.asarray(lr * g)


class Adam(_Optimiser):
    """Adam (Kingma & Ba 2015, Algorithm 1).

    m <- beta1 m + (1-beta1) g,   v <- beta2 v + (1-beta2) g^2,
    p <- p - lr * (m / (1-beta1^n)) / (sqrt(v / (1-beta2^n)) + eps)   in step n

    parameters   a cell, parameters, a dict of parameters, or several of these
    lr           learning rate, per step

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([1.0], "w")
    >>> optimiser = tg.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimiser.step()
    >>> round(w.item(), 3)          # the first step has size lr, whatever the gradient's size
    0.9
    """

    def __init__(
        self,
        parameters: Trainable | Sequence[Trainable],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(parameters, lr)
        self.betas = betas
        self.eps = eps
        self._m: list[Any] = [0.0] * len(self.parameters)
        self._v: list[Any] = [0.0] * len(self.parameters)

    def _change(self, i: int, g: Array, lr: float) -> Array:
        beta1, beta2 = self.betas
        m = self._m[i] = beta1 * self._m[i] + (1 - beta1) * g
        v = self._v[i] = beta2 * self._v[i] + (1 - beta2) * g * g
        size = lr / (1 - beta1**self.steps)
        return np.asarray(size * m / (np.sqrt(v / (1 - beta2**self.steps)) + self.eps))


def clip_by_norm(parameters: Trainable | Sequence[Trainable], max_norm: float) -> float:
    """Scale all gradients together so that their joint norm is at most `max_norm`.

    g <- g * min(1, max_norm / ||g||)   (Pascanu, Mikolov & Bengio 2013, Algorithm 1)

    Gives the norm before clipping. Raises RuntimeError where gradients are missing or left by
    different backward calls, and FloatingPointError when the norm is not finite.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([3.0, 4.0], "w")
    >>> (w * w).sum().backward()
    >>> tg.optim.clip_by_norm([w], 1.0)
    10.0
    >>> w.grad
    array([0.6, 0.8], dtype=float32)
    """
    listed = list(dict.fromkeys(_listed(parameters)))
    gradients = _gradients(listed)
    norm = float(np.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients)))
    if not np.isfinite(norm):
        bad = next(
            p.name for p, g in zip(listed, gradients, strict=True) if not np.isfinite(g).all()
        )
        raise FloatingPointError(
            f"the gradient of {bad!r} is not finite (joint norm {norm}); "
            "tg.detect_anomaly() names the operation that made it so"
        )
    if norm > max_norm:
        for p, g in zip(listed, gradients, strict=True):
            p.grad = g * (max_norm / norm)
    return norm
