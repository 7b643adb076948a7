"""The cell: one step of a recurrent network, and the parameters it shares over all steps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Set
from functools import cached_property
from itertools import permutations
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from .. import ops, tree
from ..graph import Leaf, no_grad
from ..tensor import Parameter, Tensor, tensor, zeros
from .module import Module, run_dtype

if TYPE_CHECKING:
    # numpy loads its random module when first asked for it, which costs as much as we do
    Rng = np.random.Generator | int | None
    """A generator, or a seed for one; None draws a fresh seed, so it cannot be repeated."""


Output_co = TypeVar("Output_co", covariant=True)
State_co = TypeVar("State_co", covariant=True)


class Stepping(Protocol[Output_co, State_co]):
    """A cell by the types of its outputs and states, which are those of a run."""

    def step(self, x: Any, state: Any, /) -> tuple[Output_co, State_co]:
        """One step."""
        ...


class Cell(Module):
    """One step of a recurrent network. Subclass it and write `step`; the rest is inherited.

    Parameters, and modules inside this one, are found and named as in every `Module`. The first
    state is zeros of shape (B, H): `H` is `self.hidden_size` if there is one, else the number of
    rows of the state-to-state matrix `self.W`. A cell with another kind of state (a tuple, a named
    tuple, a dict of tensors, nested as you like) overrides `initial_state`.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> class Leaky(tg.Cell):
    ...     def __init__(self, input_size, hidden_size, *, rng=None):
    ...         rng = np.random.default_rng(rng)
    ...         self.U = tg.Parameter(rng.normal(0, 0.3, (input_size, hidden_size)))
    ...         self.W = tg.Parameter(rng.normal(0, 0.3, (hidden_size, hidden_size)))
    ...     def step(self, x, s):
    ...         s = 0.9 * s + 0.1 * tg.tanh(x @ self.U + s @ self.W)
    ...         return s, s
    >>> cell = Leaky(3, 4, rng=0)
    >>> list(cell.parameters())
    ['U', 'W']
    >>> tg.unroll(cell, np.ones((5, 2, 3))).outputs.shape
    (5, 2, 4)
    """

    def step(self, x: Any, state: Any, /) -> tuple[Any, Any]:
        """One step: (x_t, state before) -> (output, state after).

        x      (B, I), a tensor or an array
        state  as `initial_state` makes it
        """
        raise TypeError(f"{type(self).__name__} has no step(self, x, state) -> (output, state)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raises TypeError, unless a subclass can be called."""
        raise TypeError(
            f"{type(self).__name__} is a cell and is not called: cell.step(x, state) gives "
            "(output, state) for one step, tg.unroll(cell, xs) the outputs of a sequence"
        )

    def initial_state(self, batch_size: int) -> Any:
        """The state before the first step: zeros (B, H), named s_0, or as `step` calls it."""
        size = getattr(self, "hidden_size", None)
        if size is None:
            W = getattr(self, "W", None)
            if not isinstance(W, Parameter) or W.ndim != 2:
                raise TypeError(
                    f"{type(self).__name__}: the size of its state is not known; set "
                    "self.hidden_size, override initial_state(batch_size), or pass the state"
                )
            size = W.shape[0]
        own = state_argument(self.step) or "s"
        return zeros((batch_size, size), name=f"{own}_0", dtype=self.dtype)

    def _repr_html_(self) -> str:
        from html import escape

        from ..equations import forward_mathml

        try:
            equations = forward_mathml(self)
        except Exception as error:  # a step of the user's may raise anything
            why, *_ = str(error).splitlines() or [type(error).__name__]
            equations = f"<p>No equations: {escape(why)}</p>"
        return super()._repr_html_() + equations

    @cached_property
    def input_size(self) -> int:
        """I: set by the cell, or else the one size of x that `step` runs with.

        Raises InputSizeError if none or several do.
        """

        def run(size: int) -> None:
            cell = copy.deepcopy(self)  # a step may count, or draw random numbers
            cell.step(zeros((1, size), "x", self.dtype), first_state(cell, 1))

        states = tree.leaves(copy.deepcopy(self).initial_state(1))
        return fitting_input_size(self, run, {n for part in states for n in np.shape(part)[1:]})


def first_state(cell: Any, batch_size: int, dtype: DTypeLike | None = None) -> Any:
    """s_0 as a cell's `initial_state` makes it, for readers and executors of the cell.

    A parameter (1, ...) that is a part of it is one for all of the batch, and is broadcast.

    dtype   zeros and other new tensors of floats are made anew in it; that of the cell's weights if
            left out
    """
    dtype = run_dtype(cell) if dtype is None else dtype

    def part(given: Any) -> Any:
        if isinstance(given, Parameter):
            for_all = given.ndim > 1 and given.shape[0] == 1
            shape = (batch_size, *given.shape[1:])
            return ops.broadcast_to(given, shape) if for_all else given
        if (
            dtype is not None
            and isinstance(given, Tensor)
            and isinstance(given._node, Leaf)
            and given.dtype.kind == "f"
            and given.dtype != dtype
        ):
            return tensor(given._value, given.name, dtype)
        return given

    return tree.map_leaves(part, cell.initial_state(batch_size))


def state_argument(step: Callable[..., Any]) -> str | None:
    """The name that a step gives the state; None if that is just `state`, or not known."""
    code = getattr(getattr(step, "__wrapped__", step), "__code__", None)
    if code is None:
        return None
    names = code.co_varnames[: code.co_argcount]
    own = names[1 + hasattr(step, "__self__") :][:1]
    return None if not own or own[0] in ("state", "states") else str(own[0])


class InputSizeError(TypeError):
    """A model does not tell the size of its input."""


def fitting_input_size(model: Any, run: Callable[[int], Any], more: Set[int] = frozenset()) -> int:
    """The one size of its input that a model can be run with.

    The candidates are the sizes of its parameters and, if none of them fits, their differences,
    because input and state may be joined before they are multiplied: [x_t, s_{t-1}] W.

    model  with `parameters()`, a dict or an iterable
    run    runs it on an input of a size; ValueError, TypeError or IndexError if that does not fit
    more   sizes that are candidates too: those of the state

    Raises InputSizeError if no size or several fit.
    """
    who, parameters = type(model).__name__, model.parameters()
    known: Iterable[Parameter] = parameters.values() if isinstance(parameters, dict) else parameters
    sizes = {n for p in known for n in p.shape} | more
    other = 2 * max(sizes, default=0) + 1  # nothing tells this size: if it fits, any does
    failures: dict[int, Exception] = {}

    def fits(size: int) -> bool:
        try:
            with no_grad(), np.errstate(all="ignore"):
                run(size)
        except (ValueError, TypeError, IndexError) as error:
            failures[size] = error
        return size not in failures

    fitting: list[int] = []
    for candidates in (sizes, {a - b for a, b in permutations(sizes, 2) if a > b} - sizes):
        fitting = [size for size in sorted(candidates) if fits(size)]
        fitting += [other] if fits(other) else []
        if len(fitting) > 1 and fitting[0] == 1:  # 1 fits everywhere by broadcasting
            fitting.pop(0)
        if fitting:
            break
    if len(fitting) == 1 and fitting[0] != other:
        return fitting[0]
    cause = next(iter(failures.values()), None)
    why = f"inputs of size {', '.join(map(str, fitting))} fit"
    if not fitting:
        why = f"no size of a parameter or state fits (with {next(iter(failures))}: {cause})"
    raise InputSizeError(
        f"{who}: the size of its input is not known: {why}; set self.input_size, pass "
        "input_size=, or give inputs of your own"
    ) from cause
