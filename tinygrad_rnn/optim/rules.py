"""The update rules. Arguments and defaults are those of `torch.optim`."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..graph import Array
from .optimizer import Limits, Optimizer
from .parameters import Trainable, Unused


class SGD(Optimizer):
    """Gradient descent, with momentum if asked for.

    g <- g + weight_decay p,   v <- momentum v + g,
    p <- p - lr v,   or with nesterov   p <- p - lr (g + momentum v)

    Polyak 1964; Nesterov's gradient in this form: Sutskever, Martens, Dahl & Hinton, "On the
    importance of initialization and momentum in deep learning", ICML 2013, equations 1 to 4.

    parameters     see `Optimizer`
    lr             learning rate
    momentum       0 is plain gradient descent
    weight_decay   factor of the penalty |p|^2 / 2
    nesterov       look ahead; needs momentum

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([1.0], "w")
    >>> optimiser = tg.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimiser.step()
    >>> round(w.item(), 3), w.grad
    (0.8, None)
    """

    limits: ClassVar[Limits] = {
        "lr": math.inf,
        "momentum": math.inf,
        "weight_decay": math.inf,
    }

    def __init__(
        self,
        parameters: Trainable,
        lr: float = 1e-3,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        unused: Unused = "error",
    ) -> None:
        options = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        super().__init__(parameters, options, unused=unused)
        if any(group["nesterov"] and not group["momentum"] for group in self.param_groups):
            raise ValueError("SGD: nesterov=True needs a momentum above 0")

    def update(
        self,
        p: Array,
        g: Array,
        state: dict[str, Any],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        nesterov: bool,
    ) -> None:
        """See the class."""
        g = _decayed(g, p, weight_decay)
        change = g
        if momentum:
            change = v = _buffer(state, "v", p)
            v *= momentum
            v += g
            if nesterov:
                change = _times(v, momentum)
                change += g
        p -= _times(change, lr)


class Adam(Optimizer):
    """Adam: steps of size about lr, whatever the size of the gradients.

    g <- g + weight_decay p,   m <- beta1 m + (1-beta1) g,   v <- beta2 v + (1-beta2) g^2,
    p <- p - lr (m / (1-beta1^n)) / (sqrt(v / (1-beta2^n)) + eps)   in the parameter's step n

    Kingma & Ba, "Adam: a method for stochastic optimization", ICLR 2015, Algorithm 1.

    parameters     see `Optimizer`
    lr             learning rate, the size of a step
    betas          (beta1, beta2): how much of the means of g and g^2 stays in each step
    eps            added to the denominator
    weight_decay   factor of the penalty |p|^2 / 2; see AdamW

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([1.0], "w")
    >>> optimiser = tg.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimiser.step()
    >>> round(w.item(), 3)          # the first step has size lr
    0.9
    """

    limits: ClassVar[Limits] = {
        "lr": math.inf,
        "eps": math.inf,
        "weight_decay": math.inf,
        "betas": (1.0, 1.0),
    }

    def __init__(
        self,
        parameters: Trainable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        unused: Unused = "error",
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(parameters, options, unused=unused)

    def update(
        self,
        p: Array,
        g: Array,
        state: dict[str, Any],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        """See the class."""
        (beta1, beta2), n = betas, state["step"]
        g = _decayed(g, p, weight_decay)
        m, v = _buffer(state, "m", p), _buffer(state, "v", p)
        a = _times(g, 1 - beta1)
        m *= beta1
        m += a
        np.multiply(g, g, out=a)
        a *= 1 - beta2
        v *= beta2
        v += a
        # sqrt(v / c^2) + eps = (sqrt(v) + c eps) / c, which saves passes over the arrays
        c = (1 - beta2**n) ** 0.5
        np.sqrt(v, out=a)
        a += c * eps
        np.divide(m, a, out=a)
        a *= lr * c / (1 - beta1**n)
        p -= a


class AdamW(Adam):
    """Adam with weight decay beside the gradient, not in it.

    p <- (1 - lr weight_decay) p, then as Adam without weight decay

    Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019, Algorithm 2 (with lr
    for their eta_t alpha in both places, as in PyTorch).

    Arguments are those of Adam.

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([1.0], "w")
    >>> optimiser = tg.optim.AdamW([w], lr=0.1, weight_decay=0.5)
    >>> (w * w).sum().backward()
    >>> optimiser.step()
    >>> round(w.item(), 3)
    0.85
    """

    def __init__(
        self,
        parameters: Trainable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        unused: Unused = "error",
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay, unused=unused)

    def update(
        self,
        p: Array,
        g: Array,
        state: dict[str, Any],
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        """See the class."""
        p *= 1 - lr * weight_decay
        super().update(p, g, state, lr=lr, betas=betas, eps=eps, weight_decay=0.0)


class RMSprop(Optimizer):
    """Gradients divided by the root of their mean square over recent steps.

    g <- g + weight_decay p,   v <- alpha v + (1-alpha) g^2,   d = g / (sqrt(v) + eps),
    p <- p - lr d,   or with momentum   b <- momentum b + d,   p <- p - lr b

    With centered, m <- alpha m + (1-alpha) g and v - m^2 stands for v under the root.

    Tieleman & Hinton, Coursera lecture 6.5 (2012); centered, with momentum: Graves, "Generating
    sequences with recurrent neural networks", arXiv:1308.0850 (2013), equations 38 to 41, but with
    eps outside the root, as in PyTorch.

    parameters     see `Optimizer`
    lr             learning rate
    alpha          how much of the means stays in each step
    eps            added to the denominator
    weight_decay   factor of the penalty |p|^2 / 2
    momentum       0 is none
    centered       divide by the standard deviation instead

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([1.0], "w")
    >>> optimiser = tg.optim.RMSprop([w], lr=0.01)
    >>> (w * w).sum().backward()
    >>> optimiser.step()
    >>> round(w.item(), 3)          # v = 0.01 g^2 in the first step
    0.9
    """

    limits: ClassVar[Limits] = {
        "lr": math.inf,
        "alpha": 1.0,
        "eps": math.inf,
        "weight_decay": math.inf,
        "momentum": math.inf,
    }

    def __init__(
        self,
        parameters: Trainable,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        unused: Unused = "error",
    ) -> None:
        options = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
        }
        super().__init__(parameters, options, unused=unused)

    def update(
        self,
        p: Array,
        g: Array,
        state: dict[str, Any],
        *,
        lr: float,
        alpha: float,
        eps: float,
        weight_decay: float,
        momentum: float,
        centered: bool,
    ) -> None:
        """See the class."""
        g = _decayed(g, p, weight_decay)
        v = _buffer(state, "v", p)
        a = _times(g, g)
        a *= 1 - alpha
        v *= alpha
        v += a
        if centered:
            m = _buffer(state, "m", p)
            np.multiply(g, 1 - alpha, out=a)
            m *= alpha
            m += a
            np.multiply(m, m, out=a)
            np.subtract(v, a, out=a)
            np.maximum(a, 0, out=a)  # rounding may leave less than 0
            np.sqrt(a, out=a)
        else:
            np.sqrt(v, out=a)
        a += eps
        np.divide(g, a, out=a)
        if momentum:
            b = _buffer(state, "b", p)
            b *= momentum
            b += a
            np.multiply(b, lr, out=a)
        else:
            a *= lr
        p -= a


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares so far.

    g <- g + weight_decay p,   v <- v + g^2,   p <- p - lr g / (sqrt(v) + eps)

    Duchi, Hazan & Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR 12 (2011). Programs that have eps inside the root, p <- p - lr g /
    sqrt(v + e), are initial_accumulator_value=e, eps=0.

    parameters                 see `Optimizer`
    lr                         learning rate
    weight_decay               factor of the penalty |p|^2 / 2
    initial_accumulator_value  v before the first step
    eps                        added to the denominator

    >>> import tinygrad_rnn as tg
    >>> w = tg.Parameter([1.0], "w")
    >>> optimiser = tg.optim.Adagrad([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimiser.step()
    >>> round(w.item(), 3)          # the first step has size lr
    0.9
    """

    limits: ClassVar[Limits] = {
        "lr": math.inf,
        "weight_decay": math.inf,
        "initial_accumulator_value": math.inf,
        "eps": math.inf,
    }

    def __init__(
        self,
        parameters: Trainable,
        lr: float = 1e-2,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        unused: Unused = "error",
    ) -> None:
        options = {
            "lr": lr,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "eps": eps,
        }
        super().__init__(parameters, options, unused=unused)

    def update(
        self,
        p: Array,
        g: Array,
        state: dict[str, Any],
        *,
        lr: float,
        weight_decay: float,
        initial_accumulator_value: float,
        eps: float,
    ) -> None:
        """See the class."""
        g = _decayed(g, p, weight_decay)
        v = _buffer(state, "v", p, initial_accumulator_value)
        a = _times(g, g)
        v += a
        np.sqrt(v, out=a)
        a += eps
        np.divide(g, a, out=a)
        a *= lr
        p -= a


def _buffer(state: dict[str, Any], name: str, p: Array, start: float = 0.0) -> Array:
    """An array of the state, of the parameter's shape and dtype."""
    if name not in state:
        state[name] = np.full_like(p, start)
    array: Array = state[name]
    return array


def _times(a: Array, b: Any) -> Array:
    """The product as a new array, also for arrays without axes, where a * b is a scalar."""
    product: Array = np.multiply(a, b, out=np.empty_like(a))
    return product


def _decayed(g: Array, p: Array, weight_decay: float) -> Array:
    if not weight_decay:
        return g
    decayed = _times(p, weight_decay)
    decayed += g
    return decayed
