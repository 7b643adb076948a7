"""Containers of parameters, and the gradients that belong together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from ..autodiff import Generation
from ..graph import Array, Leaf
from ..nn.module import Module, Parameters
from ..tensor import Parameter, Tensor


class HasParameters(Protocol):
    """A cell or module: anything that can list its parameters by name."""

    def parameters(self) -> dict[str, Parameter]:
        """The parameters by name."""


Trainable = HasParameters | Mapping[str, Any] | Iterable[Any]
"""Cells, parameters, mappings of parameters, or several of these, nested as you like."""

Unused = Literal["error", "skip"]


def listed(given: Trainable) -> list[Parameter]:
    """The parameters in a container, in order, each once."""
    return list(dict.fromkeys(_found(given)))


def _found(given: Any) -> list[Parameter]:
    if isinstance(given, Parameter):
        return [given]
    if callable(getattr(given, "parameters", None)):
        given = given.parameters()
    if isinstance(given, Mapping):
        given = list(given.values())
    elif isinstance(given, str | Tensor) or not isinstance(given, Iterable):
        hint = "; parameters() is a dict: give it, or its .values()"
        raise TypeError(
            f"optim: given {given!r:.60}; wanted parameters, cells, mappings of "
            f"parameters, or several of these{hint if isinstance(given, str) else ''}"
        )
    return [p for part in given for p in _found(part)]


def modules_in(given: Any) -> list[Module]:
    """The modules in a container of parameters."""
    if isinstance(given, Module):
        return [given]
    if isinstance(given, Parameters):
        return [given.module]
    if isinstance(given, Mapping):
        given = list(given.values())
    return (
        [m for part in given for m in modules_in(part)] if isinstance(given, list | tuple) else []
    )


def leaf_of(p: Parameter) -> Leaf:
    """The leaf of a parameter's present value, which holds its gradient."""
    assert isinstance(p._node, Leaf)
    return p._node


def gradients(parameters: Sequence[Parameter], unused: Unused) -> dict[Parameter, Array]:
    """The gradient of every parameter, refused if some are missing or left by different calls.

    unused   "error" refuses a parameter without gradient unless it is frozen, "skip" leaves it out
    """
    if unused not in ("error", "skip"):
        raise ValueError(f'unused: given {unused!r}, wanted "error" or "skip"')
    found: dict[Parameter, Array] = {}
    generations: dict[Generation | None, str] = {}
    for p in parameters:
        leaf = leaf_of(p)
        if leaf.grad is not None:
            found[p] = leaf.grad
            generations.setdefault(leaf.generation, str(p.name))
        elif unused == "error" and not p.frozen:
            raise RuntimeError(
                f"parameter {p.name!r} has no gradient: call loss.backward() first (a step uses "
                "gradients up), or, if no loss depends on it, leave the parameter out or give "
                'unused="skip"'
            )
    if not found:
        frozen = all(p.frozen for p in parameters)
        do = "all are frozen" if frozen else "call loss.backward() first"
        raise RuntimeError(f"no parameter has a gradient: {do}")
    if len(generations) > 1:
        names = " and ".join(map(repr, generations.values()))
        raise RuntimeError(
            f"the gradients of {names} were left by different backward() calls; add the losses "
            "up before one call, or use backward(accumulate=True) for the later ones"
        )
    return found


def check_finite(found: Mapping[Parameter, Array], *, squared: bool = False) -> None:
    """Raise FloatingPointError if a gradient is not finite, naming its parameter and place.

    squared   the squares of its entries have to be finite too
    """
    for p, g in found.items():
        # quick, and finite only if every entry is
        if math.isfinite(np.vdot(g, g)):
            continue
        finite = np.isfinite(g)
        if not finite.all():
            first = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise FloatingPointError(
                f"the gradient of {p.name!r} is not finite: {g[first]} at {first}, "
                f"{g.size - int(finite.sum())} of {g.size} entries in all; "
                "tg.detect_anomaly() names the operation that made it so"
            )
        largest = float(np.abs(g).max())
        if squared and largest > float(np.finfo(g.dtype).max) ** 0.5:
            raise FloatingPointError(
                f"the gradient of {p.name!r} is too large, up to {largest:.3g}: its squares "
                f"overflow {g.dtype}; clip it before the step (tg.optim.clip_by_norm)"
            )
