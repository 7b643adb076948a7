"""Gradients that run forward in time: an update at every step, and no past is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import tree
from ..autodiff import leave
from ..graph import Array, Node, timestep
from ..nn.cell import Cell, first_state
from ..runs import recorded
from ..sequence import sequence
from ..sweep import output_of, pullback
from ..tensor import Tensor
from ..unroll import detach, step_by_step
from .influence import KFRTRL, RTRL, UORO, Influence, Masked
from .recorded_step import RecordedStep, Vector, by_lane

METHODS = ("rtrl", "snap-1", "e-prop", "rflo", "uoro", "kf-rtrl")


class Learner:
    """A model that learns while a sequence runs: see `online`.

    state  after the last step, cut from the past; None before the first
    t      the number of the last step
    """

    def __init__(
        self,
        model: Cell,
        loss: Callable[[Any, Any], Tensor],
        method: str,
        state: Any,
        start: int,
        rng: Any,
    ) -> None:
        self.model = model
        self.loss = loss
        self.method = method
        self.rng = rng
        self.t = start - 1
        self._given = self.state = None if state is None else detach(state)
        self._influence: Influence | None = None
        self._feedback: Array | None = None
        self._parameters = model.parameters()
        self._fresh = True

    def reset(self, state: Any = None) -> None:
        """Begin a new sequence: from s_0, with no influence of the parameters on it but their own.

        state  s_0; that which the learner was made with, or the model's, if left out
        """
        self.state = self._given if state is None else detach(state)
        self._influence = None

    def step(self, x: Any, target: Any) -> float:
        """Run one step, and add its loss's gradient to those that the parameters have.

        x       (B, I), an array or a tensor, or a tree of them
        target  for the loss function

        Gives L_t. Gradients add up over steps, in the parameters' `.grad`, until an optimiser has
        used them. Draws and errors are those of the model's step and of the loss function.
        """
        model = self.model
        inputs = sequence([x], getattr(model, "dtype", None), start=self.t + 1, who="online")
        x = inputs.step(0)
        if self._influence is None:
            self._begin(inputs.batch_size)
        assert self._influence is not None
        vector, before = self._influence.vector, self._influence
        step = RecordedStep(model, x, self.state, self.t + 1, self._parameters)
        with recorded(), timestep(self.t + 1):
            loss = self.loss(step.output, target)
        _check(loss, self.t + 1)
        after = before.advanced(step)
        signal = self._signal(step, loss, vector) if self.method == "rflo" else None
        e, passing, found = step.of_loss(loss, vector)
        carried = zip(
            self._parameters.values(),
            before.pulled(passing),
            after.pulled(e if signal is None else signal),
            strict=True,
        )
        for p, by_others, by_state in carried:
            assert p._node is not None
            direct = found.get(p._node)
            part = by_others + by_state
            found[p._node] = part if direct is None else part + direct
        leave(found, accumulate=not self._fresh)
        self._fresh = False
        self._influence = after
        self.state = detach(step.state)
        self.t += 1
        return float(loss.item())

    def gradients(self) -> dict[str, Array]:
        """The sums over the steps so far, by the parameters' paths in the model.

        Those since the last update by an optimiser: the sum of dL_t/dtheta. Zeros before.
        """
        return {
            path: np.zeros(p.shape, p.dtype) if p.grad is None else p.grad
            for path, p in self._parameters.items()
        }

    def __repr__(self) -> str:
        return f"Learner({type(self.model).__name__}, {self.method!r}, next step {self.t + 1})"

    def _begin(self, batch: int) -> None:
        """The influence on the first state, which may be learned."""
        parameters = list(self._parameters.values())
        with recorded():
            first = first_state(self.model, batch) if self.state is None else self.state
        vector = Vector(first, batch)
        influence = self._rule(vector, parameters)
        seeds = vector.seeds(np.eye(vector.size, dtype=vector.dtype))
        nodes = [p._node for p in parameters if p._node is not None]
        found: dict[Any, Any] = pullback(
            [(y, part) for y, part in zip(vector.leaves, seeds, strict=True) if y.recorded],
            nodes,
            keep=True,
        )
        self._influence = influence.begun(
            [by_lane(found.get(p._node), vector.size) for p in parameters]
        )
        self.state = detach(first)

    def _rule(self, vector: Vector, parameters: list[Any]) -> Influence:
        if self.method == "rtrl":
            return RTRL(vector, parameters)
        if self.method == "uoro":
            return UORO(vector, parameters, self.rng)
        if self.method == "kf-rtrl":
            return KFRTRL(vector, parameters, self.rng)
        if self.method in ("e-prop", "rflo"):
            return Masked(vector, parameters, steps=None, local=True)
        return Masked(vector, parameters, steps=int(self.method.removeprefix("snap-")))

    def _signal(self, step: RecordedStep, loss: Tensor, vector: Vector) -> Array:
        """dL/do_t, taken back to the state through random weights."""
        outputs = [y for y in tree.leaves(step.output) if isinstance(y, Tensor) and y.recorded]
        found = pullback(
            [(loss, np.ones(loss.shape, loss.dtype))],
            [y._node for y in outputs if y._node is not None],
            keep=True,
        )
        errors = np.concatenate(
            [_part(found, y).reshape(vector.batch, -1) for y in outputs], axis=1
        )
        if self._feedback is None:
            shape = (errors.shape[1], vector.width)
            self._feedback = self.rng.normal(0, shape[0] ** -0.5, shape).astype(vector.dtype)
        return (errors @ self._feedback).ravel()


def online(
    model: Cell,
    loss: Callable[[Any, Any], Tensor],
    *,
    method: str = "rtrl",
    state: Any = None,
    start: int = 1,
    rng: np.random.Generator | int | None = None,
) -> Learner:
    """A learner whose gradients run forward in time, so that it may update at every step.

    model   the cell; a stack of cells too
    loss    (o_t, target) -> L_t, a number
    method  "rtrl"     exact: H^4 a step for W (H, H), memory H^3
            "snap-n"   entries that a parameter reaches within n steps: "snap-1", "snap-2", ...
            "e-prop"   influence that stays with its entry: through leaks and gates, not through W
            "rflo"     the same, with random weights to take dL/do_t back to the state
            "uoro"     unbiased, of rank one: H^2 a step, noisy
            "kf-rtrl"  unbiased, Kronecker factors: H^3 a step, less noisy
    state   s_0; the model's if left out
    start   the number of the first step
    rng     a generator, or a seed for one: for "uoro", "kf-rtrl" and "rflo"

    In every step the influence M_t = ds_t/dtheta follows from the one before,

        M_t = J_t M_{t-1} + d+s_t/dtheta,    J_t = ds_t/ds_{t-1}

    and dL_t/dtheta is dL_t/ds_t M_t and the derivative along other ways. Both derivatives come
    from the record of one step, so the rules hold for any cell. "rtrl" is BPTT over the whole past,
    as long as the weights stay as they are; the others give up something of M (`influence` says
    which part, with sources). Memory does not grow with the number of steps.

    The learner has `.step(x, target)`, which gives the loss and adds to the parameters' `.grad`,
    `.gradients()`, `.state` and `.reset()`.

    Raises ValueError for a method that is none, a model without parameters; TypeError for one that
    needs the whole sequence; when a step is run, for weights computed outside
    the step, and for sequences of a batch that act on each other.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> rng = np.random.default_rng(0)
    >>> cell = tg.GRUCell(3, 4, rng=0, dtype=np.float64)
    >>> xs, ys = rng.normal(size=(6, 2, 3)), rng.normal(size=(6, 2, 4))
    >>> def loss(output, target):
    ...     return tg.square(output - target).sum()
    >>> learner = tg.online(cell, loss)
    >>> for x, y in zip(xs, ys):
    ...     loss_t = learner.step(x, y)
    >>> bptt = tg.gradients(loss(tg.unroll(cell, xs).outputs, ys), cell.W)
    >>> bool(np.allclose(learner.gradients()["W"], bptt, rtol=1e-12))
    True
    """
    step_by_step("online", model, "and steps come one after the other here: tg.checkpointed")
    if not model.parameters():
        raise ValueError(f"online: {type(model).__name__} has no parameters to learn")
    if method not in METHODS and re.fullmatch(r"snap-[1-9]\d*", method) is None:
        raise ValueError(
            f"online: method={method!r}; wanted one of {', '.join(map(repr, METHODS))}, or "
            "'snap-n' with another number n"
        )
    return Learner(model, loss, method, state, start, np.random.default_rng(rng))


def _check(loss: Any, t: int) -> None:
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"online in timestep {t}: the loss function gave a {type(loss).__name__}; wanted a "
            "tensor, computed from the output"
        )
    if loss.size != 1:
        raise ValueError(
            f"online in timestep {t}: the loss has shape {loss.shape}; wanted a single number, for "
            "example its .sum()"
        )


def _part(found: dict[Node, Any], y: Tensor) -> Array:
    assert y._node is not None
    g = output_of(found, y._node, y._port)
    return np.zeros(y.shape, y.dtype) if g is None else np.asarray(g)
