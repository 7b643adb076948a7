"""A problem with lengths, a mask, reversed time or two directions, as one of plain steps.

A sequence that has ended keeps its state and has an output of zero. Written into the step, with the
mask as an input, that is a cell like any other:

    s_t = mask_t s'_t + (1 - mask_t) s_{t-1}        o_t = mask_t o'_t

Reversed time is the same cell on a sequence turned round, and two directions are one cell whose
step does one step of each.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .. import tree
from ..equations import Derivation, derive
from ..equations.expr import Form
from ..equations.step import short_names
from ..graph import Array
from ..nn import Cell
from ..nn.bidirectional import Bidirectional
from ..sequence import sequence
from ..tensor import Tensor
from .lines import MASKS, names_in
from .problem import Problem
from .trial import Numbers

BACK = "x_back"
"""The input of a step of the backward direction."""

Step = Callable[..., tuple[Any, Any]]


class Ordered:
    """A problem's steps in the order in which they are run.

    names       of the inputs of a step
    parameters  {name in the cell: name in the equations}
    form        the equations of a step

    Raises TypeError or ValueError if there are none.
    """

    def __init__(self, problem: Problem) -> None:
        options = problem.options
        lengths, mask = options.get("lengths"), options.get("mask")
        self.active = sequence(problem.xs, lengths=lengths, mask=mask, who="xs").active
        self.reverse = bool(options.get("reverse"))
        self.both = isinstance(problem.cell, Bidirectional)
        self.T = problem.T
        self.names = tree.paths(problem.xs, "x")
        own = list(problem.parameters())
        self.parameters = dict(zip(own, short_names(own), strict=True))
        self._merged: Callable[[list[Array]], list[Array]] = lambda errors: errors
        first = tree.map_leaves(lambda x: x[0], problem.xs)
        cell, step = problem.for_any_batch(), {"x": first}
        if self.both:
            step[BACK] = first
            self.names += [name.replace("x", BACK, 1) for name in self.names]
            cell = with_step(cell, _both)
            self._merged = _unmerged(problem)
        elif getattr(cell, "over", None) is not None:
            raise ValueError(
                "its layers need the whole sequence; their mistakes are not looked for"
            )
        if self.active is not None:
            masks = MASKS[: 1 + self.both]
            step |= dict.fromkeys(masks, np.ones((problem.B, 1)))
            self.names += masks
            cell = with_step(cell, _settled(type(cell).step))
        if len(step) > 1:
            found: Derivation = derive(cell, inputs=step)
        elif isinstance(problem.xs, np.ndarray):
            found = derive(cell, problem.xs.shape[-1])
        else:
            found = derive(cell, inputs=first)
        self.form: Form = found.form

    @property
    def plain(self) -> bool:
        """Whether the problem is one of plain steps already."""
        return self.active is None and not self.reverse and not self.both

    def numbers(self, numbers: Numbers) -> Numbers:
        """The numbers of a problem of the same kind, with as many steps or fewer."""
        T = len(numbers.inputs[0])
        inputs = [self._turned(x) for x in numbers.inputs]
        if self.both:
            inputs += [self._turned(x)[::-1] for x in numbers.inputs]
        errors = self._errors(numbers.errors)
        others = {label: self._errors(es) for label, es in numbers.others.items()}
        if self.active is not None:
            mask = self._turned(self.active[:T].astype(np.float64))[..., None]
            masks = [mask, mask[::-1]][: 1 + self.both]
            last = self.active[T : T + 1, :, None] * (not self.reverse)
            after = last.astype(np.float64) if last.size else np.zeros_like(mask[:1])
            masks[0] = np.concatenate([masks[0], after])  # a pass may look at the step after
            inputs = [*map(np.nan_to_num, inputs), *masks]
        own = {self.parameters[name]: p for name, p in numbers.parameters.items()}
        return replace(numbers, parameters=own, inputs=inputs, errors=errors, others=others)

    def _errors(self, given: list[Array]) -> list[Array]:
        errors = [self._turned(e) for e in self._merged(given)]
        if self.both:
            errors[1] = errors[1][::-1]
        return errors

    def given(self, gradients: Mapping[str, Array]) -> dict[str, Array]:
        """Gradients of a pass, with those that have a time axis in the order of the steps."""
        found = dict(gradients)
        for name, g in gradients.items():
            if name in self.names or name.endswith(("_t", " value")):
                found[name] = self._turned(g)
                if self.both:
                    del found[name]
        return found

    def time(self, of: str, step: int | None) -> int | None:
        """The number of a step in the sequence."""
        if step is None or step == 0:
            return step
        return self.T + 1 - step if self.reverse != (of in self._backwards()) else step

    @property
    def note(self) -> str:
        """How the equations of such a sequence are to be read."""
        said = []
        if self.active is not None:
            said.append(
                "mask_t is 1 for a sequence that has step t, else 0; the state is then s_new of "
                "the step, or that of the step before"
            )
        if self.both:
            said.append(
                "the equations of the backward direction count its steps as they are run: t-1 is "
                "the step before it there, which is the next in the sequence"
            )
        elif self.reverse:
            said.append(
                "the equations count the steps as they are run, from the end: t-1 is the step run "
                "before, which is the next in the sequence"
            )
        return "In these equations " + "; ".join(said) + "."

    def _turned(self, array: Array) -> Array:
        return array[::-1] if self.reverse else array

    def _backwards(self) -> set[str]:
        """The quantities of the backward direction."""
        form = self.form
        if not self.both:
            return set()
        own = {g.of.symbol.name for g in form.inputs if BACK in g.of.symbol.name}
        for equation in form.forward:
            if not own.isdisjoint(names_in(equation.value)):
                own |= {target.symbol.name for target in equation.targets}
        return own | {f"a_{name}" for name in own} | {f"{name}_0" for name in own}


def with_step(cell: Any, step: Step) -> Cell:
    """A cell with the same parts and another step."""
    of = type(cell)
    other = copy.copy(cell)
    names = {"step": step, "over": None, "__module__": of.__module__}
    object.__setattr__(other, "__class__", type(of.__name__, (of,), names))
    made: Cell = other
    return made


def _both(self: Any, x: Any, state: Any) -> tuple[Any, Any]:
    one, before = self.forward.step(x["x"], state[0])
    other, after = self.backward.step(x[BACK], state[1])
    return (one, other), (before, after)


def _settled(step: Step) -> Step:
    """A step that sequences which have ended leave as it is."""

    def settled(self: Any, x: Any, state: Any) -> tuple[Any, Any]:
        output, after = step(self, x if BACK in x else x["x"], state)
        masks = [x[name] for name in MASKS if name in x]
        new = {id(part): (part, part.name) for part in tree.leaves(after)}
        for part, name in new.values():
            if name:
                part.named(f"{name}_new")

        def chosen(of: Any, before: Any, mask: Any) -> Any:
            kept = []
            for part, old in zip(tree.leaves(of), tree.leaves(before), strict=True):
                m = _like(mask, part)
                one: Tensor = m * part + (1 - m) * old
                name = new[id(part)][1]
                kept.append(one.named(name) if name else one)
            return tree.rebuild(of, iter(kept))

        def shown(of: Any, mask: Any) -> Any:
            return tree.map_leaves(lambda part: _like(mask, part) * part, of)

        if len(masks) == 1:
            return shown(output, *masks), chosen(after, state, *masks)
        return (
            tuple(shown(*each) for each in zip(output, masks, strict=True)),
            tuple(chosen(*each) for each in zip(after, state, masks, strict=True)),
        )

    return settled


def _like(mask: Any, part: Any) -> Any:
    """A mask (B, 1) for values with more axes."""
    return mask if part.ndim == 2 else mask[(..., *[None] * (part.ndim - 2))]


def _unmerged(problem: Problem) -> Callable[[list[Array]], list[Array]]:
    """dL/do_t of two merged outputs -> those of the two."""
    model: Any = problem.cell
    width = tree.leaves(problem.run.parts[0].steps[0])[0].shape[-1]
    if model.merge == "concat":
        return lambda e: [e[0][..., :width], e[0][..., width:]]
    if model.merge in ("sum", "ave"):
        half = 0.5 if model.merge == "ave" else 1.0
        return lambda e: [half * e[0], half * e[0]]
    raise ValueError(
        f"outputs of two directions that are merged by {model.merge!r} depend on each other's "
        "values, where mistakes are not looked for"
    )


__all__ = ["Ordered"]
