"""Checking a derivation: its program against autodiff, on values it has not seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import autodiff, ops, tree
from ..graph import Array, Node
from ..nn import Cell
from ..nn.cell import first_state
from ..tensor import Tensor, tensor
from ..unroll import unroll
from .evaluate import passes
from .expr import Form
from .print_numpy import NoCounterpartError, program
from .step import plain, varied

T, B, TOLERANCE, SINGLE = 3, 5, 1e-9, 1e-5
"""Steps, examples, and tolerances; the last where a step computes in float32."""
ROUNDING = 1e-3
"""Gradients smaller than this are held against it: one may be nothing but rounding errors."""


def check(cell: Cell, form: Form, inputs: Any = 0, record: Iterable[Node] = ()) -> None:
    """Raise AssertionError if the equations, or their program, give other outputs or gradients
    than autodiff.

    inputs  the structure of a step's input, if it has several parts
    record  a step's, in which some values may be float32: equations have no precision
    """
    dtypes = {t for n in record for t in (n.dtype if isinstance(n.dtype, tuple) else (n.dtype,))}
    tolerance = SINGLE if np.dtype(np.float32) in dtypes else TOLERANCE
    try:
        text: str | None = program(form)
    except NoCounterpartError:
        text = None
    for reading, run in (("equations", None), ("program", text)):
        if reading == "program" and run is None:
            continue
        for name, error in errors(cell, form, run, inputs).items():
            if not error <= tolerance:
                raise AssertionError(
                    f"derive({type(cell).__name__}): the {reading} give another {name} than "
                    f"autodiff (relative difference {error:.1e}). This is a fault in the "
                    "derivation, please report it"
                )


def errors(
    cell: Cell, form: Form, text: str | None, inputs: Any = 0, seed: int = 0
) -> dict[str, float]:
    """The largest difference of each output and gradient from autodiff's, relative to its size.

    text   the program to run; None evaluates the equations themselves
    """
    rng = np.random.default_rng(seed)
    cell, parameters = varied(cell, rng)
    start = first_state(cell, B)
    states = tree.leaves(start)
    if not form.initial:  # else they are made of parameters, and stay so
        states = [tensor(plain(s) + rng.normal(0, 1, np.shape(plain(s)))) for s in states]
    xs = [tensor(rng.normal(0, 1, (T, B, *g.of.shape[1:]))) for g in form.inputs]
    steps_of_parts = zip(*map(ops.unstack, xs), strict=True)
    each_step = [tree.rebuild(inputs, iter(parts)) for parts in steps_of_parts]
    run = unroll(cell, each_step, tree.rebuild(start, iter(states)))
    steps = [tree.leaves(step) for step in run.steps]
    es = [rng.normal(0, 1, (T, *o.shape)) for o in steps[0]]
    ends = [o for step in steps for o in step]
    cotangents = [es[k][t] for t in range(T) for k in range(len(es))]
    leaves: list[Tensor] = [*parameters, *xs, *states]
    wanted: list[Array] = autodiff.gradients(ends, leaves, cotangents)
    if text is None:
        given = {
            g.of.symbol.name: p.numpy() for g, p in zip(form.parameters, parameters, strict=True)
        }
        arrays = [x.numpy() for x in xs]
        outputs, found = passes(form, given, arrays, [s.numpy() for s in states], es)
    else:
        scope: dict[str, Any] = {}
        exec(text, scope)  # noqa: S102 - our own text
        outputs, found = scope["forward_backward"](
            *[p.numpy() for p in parameters], *form.constants.values(),
            *[x.numpy() for x in xs], *[s.numpy() for s in states], *es,
        )  # fmt: skip
        outputs = [outputs] if len(es) == 1 else outputs
    pairs = {
        f"output {k + 1}": (outputs[k], np.stack([step[k].numpy() for step in steps]))
        for k in range(len(es))
    }
    pairs |= {
        f"gradient of {name}": (g, w) for (name, g), w in zip(found.items(), wanted, strict=True)
    }
    return {name: _difference(g, w) for name, (g, w) in pairs.items()}


def _difference(found: Array, wanted: Array) -> float:
    """Relative to the largest entry (or `ROUNDING`); infinite if shapes or NaNs differ."""
    if found.shape != wanted.shape or (np.isnan(found) != np.isnan(wanted)).any():
        return np.inf
    largest = max(np.nanmax(np.abs(wanted), initial=0.0), ROUNDING)
    return float(np.nanmax(np.abs(found - wanted), initial=0.0) / largest)
