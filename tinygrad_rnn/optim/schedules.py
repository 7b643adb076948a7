"""Schedules of the learning rate. Names and arguments are those of `torch.optim.lr_scheduler`."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .optimizer import Optimizer


class Schedule:
    """A learning rate that depends on the number of steps. Subclass it and write `rate`.

    optimizer   each of its groups gets the rate that belongs to its own initial one: the one it
                had when its first schedule was made

    Making a schedule sets the rate of the first step; call `step` after each of the optimiser's
    steps (or after each epoch, if it is to count those).

    >>> import tinygrad_rnn as tg
    >>> class Harmonic(tg.optim.Schedule):
    ...     def rate(self, initial, n):
    ...         return initial / (1 + n)
    >>> optimiser = tg.optim.SGD([tg.Parameter([1.0], "w")], lr=0.6)
    >>> schedule = Harmonic(optimiser)
    >>> for _ in range(2):
    ...     schedule.step()                # after optimiser.step()
    >>> round(optimiser.lr, 6)
    0.2
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.steps = 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._set()

    def rate(self, initial: float, n: int) -> float:
        """The learning rate after n steps, of a group that began with `initial`."""
        raise TypeError(f"{type(self).__name__} has no rate(self, initial, n)")

    def step(self) -> None:
        """Count a step and set the learning rates."""
        self.steps += 1
        self._set()

    def _set(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(group["initial_lr"], self.steps)

    def state_dict(self) -> dict[str, Any]:
        """The number of steps; the initial rates are in the optimiser's own `state_dict`."""
        return {"steps": self.steps}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a result of `state_dict`, after the optimiser has loaded its own."""
        self.steps = int(saved["steps"])
        self._set()


class LambdaLR(Schedule):
    """lr_n = lr_0 f(n)

    factor   f: number of steps -> factor

    >>> import tinygrad_rnn as tg
    >>> optimiser = tg.optim.SGD([tg.Parameter([1.0], "w")], lr=0.1)
    >>> schedule = tg.optim.LambdaLR(optimiser, lambda n: (1 + n) ** -0.5)
    >>> for _ in range(3):
    ...     schedule.step()
    >>> optimiser.lr
    0.05
    """

    def __init__(self, optimizer: Optimizer, factor: Callable[[int], float]) -> None:
        self.factor = factor
        super().__init__(optimizer)

    def rate(self, initial: float, n: int) -> float:
        """See the class."""
        return initial * self.factor(n)


class StepLR(Schedule):
    """lr_n = lr_0 gamma^floor(n / step_size)

    step_size   number of steps with the same rate
    gamma       factor between them
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = _at_least_one("step_size", step_size)
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, initial: float, n: int) -> float:
        """See the class."""
        return float(initial * self.gamma ** (n // self.step_size))


class MultiStepLR(Schedule):
    """lr_n = lr_0 gamma^(number of milestones up to n)

    milestones   numbers of steps, in any order
    gamma        factor at each
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, initial: float, n: int) -> float:
        """See the class."""
        return float(initial * self.gamma ** bisect_right(self.milestones, n))


class ExponentialLR(Schedule):
    """lr_n = lr_0 gamma^n

    gamma   factor of every step
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, initial: float, n: int) -> float:
        """See the class."""
        return float(initial * self.gamma**n)


class LinearLR(Schedule):
    """lr_n = lr_0 (start + (end - start) min(n, N) / N): a warm-up, or a decay down to nothing.

    start_factor, end_factor   start, end
    total_iters                N

    >>> import tinygrad_rnn as tg
    >>> optimiser = tg.optim.SGD([tg.Parameter([1.0], "w")], lr=0.5)
    >>> schedule = tg.optim.LinearLR(optimiser, 1.0, 0.0, total_iters=4)
    >>> schedule.step()
    >>> optimiser.lr
    0.375
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = _at_least_one("total_iters", total_iters)
        super().__init__(optimizer)

    def rate(self, initial: float, n: int) -> float:
        """See the class."""
        done = min(n, self.total_iters) / self.total_iters
        return initial * (self.start_factor + (self.end_factor - self.start_factor) * done)


class CosineAnnealingLR(Schedule):
    """lr_n = eta_min + (lr_0 - eta_min) (1 + cos(pi n / T_max)) / 2

    Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017,
    equation 5, without restarts: after T_max steps the rate rises again as it fell.

    T_max     number of steps down to eta_min
    eta_min   the lowest rate
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max = _at_least_one("T_max", T_max)
        self.eta_min = eta_min
        super().__init__(optimizer)

    def rate(self, initial: float, n: int) -> float:
        """See the class."""
        part = (1 + math.cos(math.pi * n / self.T_max)) / 2
        return self.eta_min + (initial - self.eta_min) * part


class SequentialLR(Schedule):
    """One schedule after another, each counting its steps from its own beginning.

    schedules    of the same optimiser
    milestones   the number of steps after which each but the first begins, rising

    >>> import tinygrad_rnn as tg
    >>> optimiser = tg.optim.SGD([tg.Parameter([1.0], "w")], lr=1.0)
    >>> warm = tg.optim.LinearLR(optimiser, 0.25, total_iters=3)
    >>> cool = tg.optim.ExponentialLR(optimiser, 0.5)
    >>> schedule = tg.optim.SequentialLR(optimiser, [warm, cool], [3])
    >>> rates = []
    >>> for _ in range(6):
    ...     rates.append(optimiser.lr)
    ...     schedule.step()
    >>> rates
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, schedules: Sequence[Schedule], milestones: Sequence[int]
    ) -> None:
        if len(schedules) != len(milestones) + 1 or list(milestones) != sorted(milestones):
            raise ValueError(
                f"SequentialLR: given {len(schedules)} schedules and milestones "
                f"{list(milestones)}, wanted one milestone between two schedules, rising"
            )
        if any(schedule.optimizer is not optimizer for schedule in schedules):
            raise ValueError("SequentialLR: the schedules are not all of the optimiser given")
        self.schedules = list(schedules)
        self.milestones = list(milestones)
        super().__init__(optimizer)

    def rate(self, initial: float, n: int) -> float:
        """See the class."""
        i = bisect_right(self.milestones, n)
        return self.schedules[i].rate(initial, n - (self.milestones[i - 1] if i else 0))


class ReduceLROnPlateau:
    """A learning rate that falls when a loss has stopped doing so.

    lr <- max(factor lr, min_lr) whenever the loss has not been below (1 - threshold) times its
    best in more than `patience` calls of `step` in a row

    optimizer   all its groups are changed
    factor      below 1
    patience    calls without progress that are put up with
    threshold   the least progress that counts, relative to the best loss
    min_lr      no lower than this

    >>> import tinygrad_rnn as tg
    >>> optimiser = tg.optim.SGD([tg.Parameter([1.0], "w")], lr=1.0)
    >>> schedule = tg.optim.ReduceLROnPlateau(optimiser, factor=0.5, patience=1)
    >>> for held_out_loss in (3.0, 2.0, 2.0, 2.1):
    ...     schedule.step(held_out_loss)
    >>> optimiser.lr
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        min_lr: float = 0.0,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor: given {factor}, wanted 0 < factor < 1")
        self.optimizer = optimizer
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.min_lr = min_lr
        self.best = math.inf
        self.waited = 0

    def step(self, loss: float) -> None:
        """Look at another loss, a number (lower is better)."""
        loss = float(loss)
        wanted = self.best
        if wanted < math.inf:
            wanted -= self.threshold * abs(wanted)
        if loss < wanted:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.waited = 0
            for group in self.optimizer.param_groups:
                group["lr"] = min(group["lr"], max(self.factor * group["lr"], self.min_lr))

    def state_dict(self) -> dict[str, Any]:
        """The best loss and the calls since; the rates are in the optimiser's `state_dict`."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a result of `state_dict`, after the optimiser has loaded its own."""
        self.best, self.waited = float(saved["best"]), int(saved["waited"])


def _at_least_one(label: str, steps: int) -> int:
    if steps < 1:
        raise ValueError(f"{label}: given {steps}, wanted a number of steps, at least 1")
    return steps
