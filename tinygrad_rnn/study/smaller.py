"""Small random problems, on which a pass is asked for its gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .. import tree
from ..graph import Array
from .level import nice, starts
from .lines import Lines
from .problem import Problem
from .trial import Numbers


def numbers_of(problem: Problem) -> Numbers:
    """A problem's numbers, as the lines want them."""
    return Numbers(
        problem.parameters(),
        [np.asarray(part) for part in tree.leaves(problem.xs)],
        tree.leaves(problem.state()),
        [np.asarray(e, np.float64) for e in tree.leaves(problem.e)],
    )


def _shorter(numbers: Numbers, T: int) -> Numbers:
    """The first steps of a problem."""
    return replace(
        numbers,
        inputs=[x[:T] for x in numbers.inputs],
        errors=[e[:T] for e in numbers.errors],
        others={label: [e[:T] for e in es] for label, es in numbers.others.items()},
    )


def smaller(
    problem: Problem,
    lines: Lines,
    call: Callable[[Numbers], dict[str, Array] | None],
    given: Mapping[str, Array],
) -> tuple[list[Numbers], bool, list[float]]:
    """Random problems of one, two and three steps, if the function can be asked about such; whether
    its gradients are linear in dL/do_t; and if not, bounds the first state's may be clipped to.
    """
    rng = np.random.default_rng(0)
    own = numbers_of(problem)
    if lines.form.initial or any(x.dtype.kind != "f" or x.ndim < 3 for x in own.inputs):
        return [], True, []

    def near(p: Array) -> Array:
        spread = 0.3 if p.ndim < 2 else 0.5 / np.sqrt(p.shape[0])
        return np.asarray(p * rng.uniform(0.7, 1.3, p.shape) + spread * rng.normal(size=p.shape))

    def asked(**other: Any) -> dict[str, Array] | None:
        try:
            return call(replace(own, **other))
        except Exception:
            return None

    def same(a: Mapping[str, Array], b: Mapping[str, Array]) -> bool:
        return all(np.allclose(a[k], b[k], rtol=1e-9, atol=0) for k in a if k in b)

    parameters = {name: near(p) for name, p in own.parameters.items()}
    moved = asked(parameters=parameters)
    if moved is None or same(moved, given):
        parameters = own.parameters  # the function has its own
    doubled = asked(errors=[2.0 * e for e in own.errors])
    if doubled is not None and same(doubled, given):  # it computes dL/do itself
        own = replace(own, others=problem.other_errors())
        return [_shorter(own, T) for T in (1, 2, 3, problem.T) if T <= problem.T], True, []
    if doubled is None:
        return [], True, []
    labels = [k for k in given if not k.endswith(" value")]
    linear = all(np.allclose(doubled[k], 2 * given[k], rtol=1e-5, atol=1e-12) for k in labels)
    bounds: list[float] = []
    if not linear:
        huge = asked(errors=[1e6 * e for e in own.errors]) or {}
        firsts = [np.abs(huge[k]) for k in starts(lines) & huge.keys()]
        bounds = [float(g.max()) for g in firsts if (g > 0.999 * g.max()).sum() > 1]
        bounds = [nice(c) for c in bounds] + [c * 10.0**k for k in range(-3, 3) for c in (1, 2, 5)]
    found = [
        Numbers(
            parameters,
            [_like(x, T, rng) for x in own.inputs],
            [np.asarray(rng.normal(0, 0.7, s.shape)) for s in own.starts],
            [_where_lossy(e, T) * rng.normal(size=(T, *e.shape[1:])) for e in own.errors],
        )
        for T in (1, 2, 3)
    ]
    return found, linear, bounds


def _where_lossy(e: Array, T: int) -> Array:
    """Ones for the steps that have a loss, counted from the last; from the first if none has."""
    lossy = np.array([step.any() for step in e])
    some = lossy[-T:] if lossy[-T:].any() else lossy[:T]
    made = np.ones(T)
    made[T - len(some) :] = some
    return made.reshape(T, *[1] * (e.ndim - 1))


def _like(x: Array, T: int, rng: np.random.Generator) -> Array:
    """Random inputs of T steps; rows of those that are given, if these are zeros and ones."""
    if np.isin(x, (0, 1)).all():
        rows = x.reshape(-1, *x.shape[2:])
        return np.asarray(rows[rng.integers(0, len(rows), (T, x.shape[1]))])
    return np.asarray(rng.normal(size=(T, *x.shape[1:])))


__all__ = ["numbers_of", "smaller"]
