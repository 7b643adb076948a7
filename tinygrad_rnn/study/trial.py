"""Runs of the lines of a backward pass, with some of them changed."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from .. import ops
from ..autodiff import gradients
from ..equations import vocabulary as V
from ..equations.evaluate import _sized, computing, evaluate
from ..equations.expr import (
    Expr,
    name,
    order,
    symbols,
)
from ..graph import Array
from ..primitive import apply
from ..tensor import tensor
from .lines import (
    AT_THE_LOSS,
    EXTENTS,
    MASKS,
    Change,
    Line,
    Lines,
    names_in,
    pieces,
)

KEPT = {"kept before": -1, "kept after": 1}
"""Kinds of symbols: values as another step kept them, and how far away that is."""


MIXED: dict[str, Callable[[Array], Array]] = {
    "by sequence": lambda v: v.swapaxes(0, 1).reshape(v.shape),
    "by step": lambda v: v.reshape(v.shape[1], v.shape[0], *v.shape[2:]).swapaxes(0, 1),
}
"""Kinds of symbols: (T, B, ...) made flat after an exchange of the axes, or read as (B, T, ...)."""


@dataclass(frozen=True)
class Numbers:
    """A problem: parameters, inputs (T, B, I), first states, and dL/do_t (T, B, O) per output.

    others  what dL/do_t would be with other targets, by the mistake in them
    """

    parameters: dict[str, Array]
    inputs: list[Array]
    starts: list[Array]
    errors: list[Array]
    others: dict[str, list[Array]] = field(default_factory=dict)


def other_error(error: Expr, label: str) -> Expr:
    """The symbol of dL/do_t with other targets."""
    symbol = error.symbol
    return name(symbol._replace(name=f"{symbol.name}, {label}"), error.shape)


def _taped(e: Expr, known: Mapping[Expr, Any], fixed: Mapping[str, Any], batch: int) -> Any:
    """One operation on tensors, recorded."""
    if e.op is V.SYMBOL:
        return fixed[e.symbol.name]
    if e.op is V.NUMBER:
        return np.full(_sized(e.shape, batch), e.value) if e.shape else e.value
    args = [known[arg] for arg in e.args]
    if e.op is V.SLICE:
        return V.sliced(args[0], e.params["axis"], e.params["start"], e.params["stop"])
    if e.op is V.TAKE:
        return args[0][(..., e.params["index"], *([slice(None)] * (-1 - e.params["axis"])))]
    if e.op is V.TRANSPOSE:
        return ops.swapaxes(args[0], -1, -2)
    if e.op is V.PART:
        return args[0][e.params["port"]]
    if e.op is V.RESHAPE:
        return ops.reshape(args[0], _sized(e.shape, batch))
    if e.op is V.BROADCAST_TO:
        return ops.broadcast_to(args[0], _sized(e.shape, batch))
    return apply(e.op, args, {k: _sized(v, batch) for k, v in e.params.items()})


class Trial:
    """A problem, its forward pass, and runs of the backward pass with changes.

    right   the gradients of the unchanged lines by name: of parameters, "x", the first states by
            the names of the carries' states with _0, and (T, ...) of intermediate values
    """

    def __init__(
        self, lines: Lines, numbers: Numbers, forward: Mapping[int, Expr] | None = None
    ) -> None:
        self.lines, self.numbers = lines, numbers
        form = lines.form
        self.T, self.B = numbers.inputs[0].shape[:2]
        self._fixed: dict[str, Any] = dict(numbers.parameters)
        self._fixed |= form.constants | form.scalars | form.sizes | {form.batch: self.B}
        self._values: dict[tuple[str, int], Any] = {}
        self._cache: dict[tuple[Expr, int], Any] = {}
        self._now: dict[tuple[str, int], Any] = self._values
        self._dirty: frozenset[str] = frozenset()
        self._zeros: dict[Any, Any] = {}
        self._loss = 0
        self._names: dict[Expr, frozenset[str]] = {}
        self._known: dict[Any, tuple[frozenset[str], list[int]]] = {}
        self._numbers: dict[Expr, Any] = {}
        self._computing: dict[Expr, Callable[[list[Any]], Any]] = {}
        changed = self.changed = dict(forward or {})
        self._before = [carry.state for carry in form.carries]
        names = [g.of.symbol.name for g in form.inputs] or lines.inputs
        for state, start in zip(lines.states, numbers.starts, strict=True):
            self._values[state.symbol.name, 0] = start
        now = {state.symbol.name for state in lines.states} | set(self._fixed)
        for equation in form.forward:  # tanh(c_0), where a list begins with it
            if len(equation.targets) == 1 and names_in(equation.value) <= now:
                times = {s.symbol.time for s in symbols([equation.value])}
                label = equation.target.symbol.name
                if times <= {0, None} and label not in now:
                    self._keep(equation.target, 0, self._ev(equation.value, 0))
                    now.add(label)
        for x, xs in zip(names, numbers.inputs, strict=True):
            self._values |= {(x, t): values for t, values in enumerate(xs, 1)}
        for t in range(1, self.T + 1):
            for error, e in zip(form.errors, numbers.errors, strict=True):
                self._values[error.symbol.name, t] = e[t - 1]
            for label, es in numbers.others.items():
                for error, e in zip(form.errors, es, strict=True):
                    self._values[other_error(error, label).symbol.name, t] = e[t - 1]
        for t in range(1, self.T + 1):
            for k, equation in enumerate(form.forward):
                value = self._ev(changed.get(k, equation.value), t)
                if len(equation.targets) == 1:
                    self._keep(equation.target, t, value)
                else:
                    at = 0
                    for target, axis, width in pieces(equation):
                        self._keep(target, t, V.sliced(value, axis, at, at + width))
                        at += width
            after = [self._ev(state, t) for state in form.states]
            for state, value in zip(lines.states, after, strict=True):
                self._values[state.symbol.name, t] = value
        self._cache.clear()
        self._sums: dict[str, Array] = {}
        self._needs = [
            (line.target.symbol.name, names_in(line.value))
            for line in lines.lines
            if line.kind not in ("sum", "input")
        ]
        self.right = self.run(())

    def _keep(self, target: Expr, t: int, value: Any) -> None:
        """A value of the forward pass; one made of parameters alone is that of every step."""
        label = target.symbol.name
        if target.symbol.time is None:
            self._fixed[label] = value
        else:
            self._values[label, t] = value

    def value(self, e: Expr, t: int) -> Any:
        """An expression at step t, from the right values."""
        return self._ev(e, t)

    def value_among(self, e: Expr, t: int, now: dict[tuple[str, int], Any]) -> Any:
        """An expression at step t, from other values of the lines."""
        self._now, self._dirty = now, frozenset(label for label, _ in now)
        try:
            return self._ev(e, t)
        finally:
            self._now, self._dirty = self._values, frozenset()

    def values(self) -> dict[str, Array]:
        """The values of the forward pass, (T, ...)."""
        return {
            f"{s.symbol.name} value": np.stack(
                [np.asarray(self._look(s, t)) for t in range(1, self.T + 1)]
            )
            for s in self.lines.forward
        }

    def parted(
        self, given: Mapping[str, Array], close: float, sticky: Sequence[Change] = ()
    ) -> tuple[Line, int | None] | None:
        """The first line that gives another value than was given, from the given ones before it.

        A line is passed over whose given value is the right one.
        """
        all_lines = self.lines.lines
        right = self.run(sticky)
        self._dirty = frozenset(line.target.symbol.name for line in all_lines)
        now: dict[tuple[str, int], Any] = {}
        self._now = now

        def apart(a: Any, b: Any, whole: Any) -> bool:
            scale = max(float(np.abs(whole).max(initial=0.0)), 1e-300)
            return not bool((np.abs(a - b) <= close * scale).all())

        try:
            for t in range(self.T, 0, -1):
                for line in all_lines:
                    label = line.target.symbol.name
                    if line.kind in ("error", "backward"):
                        value = self._ev(line.value, t)
                        told = given.get(f"{line.of}_t") if line.kind == "backward" else None
                        if told is not None:
                            whole = right[f"{line.of}_t"]
                            if apart(value, told[t - 1], told) and apart(
                                whole[t - 1], told[t - 1], whole
                            ):
                                return line, t
                            value = told[t - 1]
                        now[label, t] = value
                    elif line.kind == "carry":
                        now[label, t - 1] = self._ev(line.value, t)
            for line in all_lines:
                told = given.get(line.of)
                if line.kind == "sum" and told is not None:
                    value = sum(self._ev(line.value, t) for t in range(1, self.T + 1))
                    off = apart(value, told, told) and apart(right[line.of], told, right[line.of])
                    if off and any(f"{other.of}_t" in given for other in all_lines):
                        return line, None
            return None
        finally:
            self._now = self._values
            self._dirty = frozenset()

    def _zero(self, shape: Any) -> Any:
        found = self._zeros.get(shape)
        if found is None:
            found = self._zeros[shape] = np.zeros(_sized(shape, self.B))
        return found

    def _look(self, e: Expr, t: int) -> Any:
        symbol = e.symbol
        if symbol.time is None:
            return self._fixed[symbol.name]
        at: int = symbol.time if symbol.fixed else t + symbol.time
        if symbol.kind == "last":
            at = self.T + symbol.time
        elif symbol.kind in MIXED:
            return self._mixed(e, t)
        elif symbol.kind == "flipped":
            return self._flipped(e, t)
        elif symbol.kind == "once":  # of equal rows of zeros and a one, the last alone
            x = self._values[symbol.name, at]
            return x * (np.cumsum(x[::-1], 0)[::-1] == 1)
        elif symbol.kind == "at the loss":
            at = self._loss + symbol.time
        elif symbol.kind in KEPT:  # kept in another step, the last for the one before 1
            at = (t + KEPT[symbol.kind] - 1) % self.T + 1 + symbol.time
        elif symbol.kind == "reversed":
            at = self.T + 1 - at
        elif symbol.kind == "wrapped" and not (0 < at <= self.T):
            # as Python's lists do: before the first is the last; states begin with s_0
            at = at % (self.T + 1) if (symbol.name, 0) in self._values else (at - 1) % self.T + 1
        key = (symbol.name, at)
        value = self._now.get(key)
        if value is None:
            value = self._values.get(key)
        if value is None and symbol.name in self._fixed:
            return self._fixed[symbol.name]
        return self._zero(e.shape) if value is None else value

    def _mixed(self, e: Expr, t: int) -> Any:
        """A value's rows of all steps and sequences in the other order, those that step t gets."""
        symbol = e.symbol
        right = name(symbol._replace(kind="value"), e.shape)
        found = self._cache.get((e, 0))
        if found is None:
            every = np.stack([np.asarray(self._look(right, k)) for k in range(1, self.T + 1)])
            found = self._cache[e, 0] = MIXED[symbol.kind](every)
        return found[t - 1]

    def _flipped(self, e: Expr, t: int) -> Any:
        """dL/do_t with the steps that each sequence has in the other order."""
        found = self._cache.get((e, 0))
        if found is None:
            right = name(e.symbol._replace(kind="error"), e.shape)
            found = np.stack([np.asarray(self._look(right, k)) for k in range(1, self.T + 1)])
            names = [m for m in MASKS if (m, 1) in self._values]
            of = min(
                [error.symbol.name for error in self.lines.form.errors].index(e.symbol.name), 1
            )
            mask = np.stack([self._values[names[of % len(names)], k] for k in range(1, self.T + 1)])
            for b in range(self.B):
                own = np.flatnonzero(mask[:, b, 0])
                found[own, b] = found[own[::-1], b]
            self._cache[e, 0] = found
        return found[t - 1]

    def _ev(self, e: Expr, t: int) -> Any:
        op = e.op
        if op is V.SYMBOL:
            return self._look(e, t)
        if op is V.NUMBER:
            found = self._numbers.get(e)
            if found is None:
                full = np.full(_sized(e.shape, self.B), e.value) if e.shape else np.float64(e.value)
                found = self._numbers[e] = full
            return found
        names = self._names.get(e)
        if names is None:
            names = self._names[e] = names_in(e)
        clean = self._dirty.isdisjoint(names)
        if clean:
            found = self._cache.get((e, t))
            if found is not None:
                return found
        args = e.args
        if op is V.MULTIPLY:
            value = self._ev(args[0], t) * self._ev(args[1], t)
        elif op is V.ADD:
            value = self._ev(args[0], t) + self._ev(args[1], t)
        elif op is V.SUBTRACT:
            value = self._ev(args[0], t) - self._ev(args[1], t)
        elif op is V.MATMUL:
            value = self._ev(args[0], t) @ self._ev(args[1], t)
        elif op is V.TRANSPOSE:
            value = self._ev(args[0], t).swapaxes(-1, -2)
        else:
            compute = self._computing.get(e)
            if compute is None:
                compute = self._computing[e] = computing(e, self.B)
            value = compute([self._ev(arg, t) for arg in args])
            if op.notation.form == "indicator":
                value = 1.0 * value  # 1 and 0, as they are written
        if clean:
            self._cache[e, t] = value
        return value

    def behind(self, changes: Sequence[Change]) -> int:
        """How many lines depend on the changed ones."""
        return len(self._behind(changes)[1])

    def _behind(self, changes: Sequence[Change]) -> tuple[frozenset[str], list[int]]:
        """The names of the lines that depend on the changed ones, and the lines to compute."""
        all_lines = self.lines.lines
        key = tuple((c.line, names_in(c.value)) for c in changes)
        found = self._known.get(key)
        if found is not None:
            return found
        dirty: set[str] = set()
        more: list[tuple[str, frozenset[str]]] = []
        for c in changes:
            if all_lines[c.line].kind not in ("sum", "input"):
                dirty.add(all_lines[c.line].target.symbol.name)
                more.append((all_lines[c.line].target.symbol.name, names_in(c.value)))
        size = -1
        while len(dirty) != size and dirty:
            size = len(dirty)
            for target, needs in [*self._needs, *more]:
                if target not in dirty and not dirty.isdisjoint(needs):
                    dirty.add(target)
        lines = {c.line for c in changes}
        todo = [
            k
            for k, line in enumerate(all_lines)
            if k in lines or not dirty.isdisjoint(names_in(line.value))
        ]
        self._known[key] = frozenset(dirty), todo
        return self._known[key]

    def table(
        self, changes: Sequence[Change] = (), more: Mapping[str, Expr] | None = None
    ) -> dict[tuple[int, int], dict[str, Array]]:
        """The part of each gradient from loss t through the uses in step k, by (t, k).

        more  further expressions to evaluate there, {name: expression}
        """
        all_lines = self.lines.lines
        values = {c.line: c.value for c in changes if not c.extent and c.weights is None}
        self._dirty = frozenset(
            line.target.symbol.name for line in all_lines if line.kind not in ("sum", "input")
        ) | {AT_THE_LOSS}
        found: dict[tuple[int, int], dict[str, Array]] = {}
        try:
            for t in range(1, self.T + 1):
                self._loss = t
                now: dict[tuple[str, int], Any] = {}
                self._now = now
                for line in all_lines:
                    if line.kind == "carry":
                        now[line.target.symbol.name, t] = self._zero(line.target.shape)
                for k in range(t, 0, -1):
                    parts: dict[str, Array] = {}
                    for number_, line in enumerate(all_lines):
                        label = line.target.symbol.name
                        if line.kind == "error" and k < t:
                            now[label, k] = self._zero(line.target.shape)
                            continue
                        value = self._ev(values.get(number_, line.value), k)
                        if line.kind == "input":
                            parts[line.of] = np.asarray(value)
                        elif line.kind == "sum":
                            parts[label] = np.asarray(value)
                        else:
                            now[label, k - 1 if line.kind == "carry" else k] = value
                    for label, e in (more or {}).items():
                        parts[label] = np.asarray(self._ev(e, k))
                    found[t, k] = parts
        finally:
            self._now = self._values
            self._dirty = frozenset()
        return found

    def chained(self, steps: Callable[[int, int], Iterable[int]]) -> dict[str, Array]:
        """The gradients if what loss t hands to step k goes through the Jacobians of some steps.

        steps  (t, k) -> the steps, in order; right is t, t - 1, ..., k + 1
        """
        all_lines = self.lines.lines
        inner = [line for line in all_lines if line.kind not in ("sum", "input")]
        outer = [line for line in all_lines if line.kind in ("sum", "input")]
        carries = [line.target for line in all_lines if line.kind == "carry"]
        self._dirty = frozenset(line.target.symbol.name for line in inner)
        found = {
            label: np.zeros(g.shape)
            for label, g in self.right.items()
            if label in self.lines.inputs or label in self.numbers.parameters
        }
        try:
            for t in range(1, self.T + 1):
                for k in range(1, t + 1):
                    came: dict[str, Any] = {}
                    for n, j in enumerate([*steps(t, k), k]):
                        self._now = now = {
                            (c.symbol.name, j): came.get(c.symbol.name, self._zero(c.shape))
                            for c in carries
                        }
                        for line in inner:
                            label = line.target.symbol.name
                            if line.kind == "carry":
                                came[label] = self._ev(line.value, j)
                            elif line.kind == "error":
                                here = self._ev(line.value, t) if n == 0 else None
                                now[label, j] = self._zero(line.target.shape) if n else here
                            else:
                                now[label, j] = self._ev(line.value, j)
                    for line in outer:
                        part = self._ev(line.value, k)
                        if line.kind == "sum":
                            found[line.of] = found[line.of] + part
                        else:
                            found[line.of][k - 1] += part
        finally:
            self._now = self._values
            self._dirty = frozenset()
        return found

    def differentiated(self) -> dict[str, Array]:
        """The gradients of the forward pass as it is, whatever the lines say: by autodiff.

        Raises ValueError if the first state is made of parameters.
        """
        form, numbers = self.lines.form, self.numbers
        if form.initial:
            raise ValueError("the first state is made of parameters")
        leaves: dict[str, Any] = {n: tensor(p) for n, p in numbers.parameters.items()}
        starts = [tensor(s) for s in numbers.starts]
        inputs = [[tensor(x) for x in xs] for xs in numbers.inputs]
        xs = [x for each in inputs for x in each]
        fixed = self._fixed | leaves
        before, ends, errors = starts, [], []
        for t in range(self.T):
            known: dict[Expr, Any] = dict(zip(self._before, before, strict=True))
            known |= {g.of: each[t] for g, each in zip(form.inputs, inputs, strict=False)}

            def value(e: Expr, known: dict[Expr, Any] = known) -> Any:
                for part in order([e]):
                    if part not in known:
                        known[part] = _taped(part, known, fixed, self.B)
                return known[e]

            for k, equation in enumerate(form.forward):
                whole = value(self.changed.get(k, equation.value))
                if len(equation.targets) == 1:
                    known[equation.target] = whole
                    continue
                at = 0
                for target, axis, width in pieces(equation):
                    known[target] = V.sliced(whole, axis, at, at + width)
                    at += width
            before = [value(state) for state in form.states]
            ends += [value(o) for o in form.outputs]
            errors += [e[t] for e in numbers.errors]
        found = gradients(ends, [*leaves.values(), *xs, *starts], errors)
        result = dict(zip(leaves, found, strict=False))
        for k, of in enumerate(self.lines.inputs if form.inputs else []):
            start = len(leaves) + k * self.T
            result[of] = np.stack(found[start : start + self.T])
        rest = found[len(leaves) + len(xs) :]
        named = [f"{s.symbol.name}_0" for s in self.lines.states]
        return result | dict(zip(named, rest, strict=True))

    def leaking(self, changes: Sequence[Change], order: Sequence[int]) -> dict[str, Array]:
        """The gradients if every sequence begins with the leftovers of the one before it.

        order  of the sequences
        """
        carries = [line for line in self.lines.lines if line.kind == "carry"]
        after = {
            line.target.symbol.name: np.array(self._zero(line.value.shape)) for line in carries
        }
        got: dict[str, Array] = {}
        for _ in range(self.B):
            got = self.run(changes, after=after)
            for line in carries:
                left = got[f"{line.of}_0"]
                for a, b in pairwise(order):
                    after[line.target.symbol.name][b] = left[a]
        return got

    def run(
        self,
        changes: Sequence[Change],
        only: Container[str] | None = None,
        after: Mapping[str, Array] | None = None,
        onward: bool = False,
        more: Mapping[tuple[int, int], Array] | None = None,
        into: dict[tuple[str, int], Any] | None = None,
    ) -> dict[str, Array]:
        """The gradients, with some lines changed.

        only    of intermediate values, these alone
        after   gradients from step T + 1, by the name of a carry; zeros if left out
        onward  the steps from the first to the last: each hands on to the one after it
        more    {(number of a changed line, step): what is added to its value there}
        into    is filled with the values of the lines, {(name, step): value}
        """
        all_lines, T = self.lines.lines, self.T
        first = not self._sums
        by_line: dict[int, list[Change]] = {}
        for change in changes:
            by_line.setdefault(change.line, []).append(change)
        if first or onward or after is not None:
            todo = list(range(len(all_lines)))
            dirty = frozenset(
                line.target.symbol.name for line in all_lines if line.kind not in ("sum", "input")
            )
        else:
            dirty, todo = self._behind(changes)
        self._dirty = dirty
        now: dict[tuple[str, int], Any] = {} if into is None else into
        self._now = now
        now |= {(label, T): g for label, g in (after or {}).items()}
        sums: dict[str, Any] = {}
        inputs: dict[tuple[str, int], Any] = {}
        for k in todo:
            if all_lines[k].kind == "sum":
                symbol = all_lines[k].target.symbol
                sums[symbol.name] = np.zeros(np.shape(self._fixed[symbol.name]))
        through: dict[str, Array] = {}
        steps, back = (range(1, T + 1), -1) if onward else (range(T, 0, -1), 1)
        if onward:
            carries = [line for line in all_lines if line.kind == "carry"]
            now |= {(c.target.symbol.name, 1): self._zero(c.value.shape) for c in carries}
        for t in steps:
            for k in todo:
                line = all_lines[k]
                value, weight = line.value, 1.0
                for change in by_line.get(k, ()):
                    if EXTENTS[change.extent](t, T):
                        value = change.value
                        if change.weights is not None:
                            weight = change.weights(t, T)
                got = self._ev(value, t)
                if weight != 1.0:
                    got = weight * got
                if more is not None and (k, t) in more:
                    got = np.add(got, more[k, t])
                label = line.target.symbol.name
                if line.kind == "sum":
                    sums[label] = sums[label] + got
                elif line.kind == "input":
                    inputs[line.of, t] = got
                elif line.kind == "carry":
                    now[label, t - back] = got
                else:
                    now[label, t] = got
        if onward:
            now |= {(c.target.symbol.name, 0): now[c.target.symbol.name, T + 1] for c in carries}
        for g in self.lines.form.initial:  # parameters that the first state is made of
            label = g.of.symbol.name
            known: dict[Expr, Any] = {g.of: self._fixed[label]}
            for start, carry in zip(self.lines.form.starts, self.lines.form.carries, strict=True):
                key = carry.name.symbol.name, 0
                known[start] = now[key] if key in now else self._values[key]
            start_part = evaluate(g.term, known, self.B)
            through[label] = sums.get(label, self._sums.get(label)) + start_part
        if first:
            self._values.update(now)
            self._sums = sums
            self._dirty = frozenset()
            self._cache.clear()
        result: dict[str, Array] = {}
        for k in todo:
            line = all_lines[k]
            label = line.target.symbol.name
            if line.kind == "sum":
                result[label] = np.asarray(sums[label])
            elif line.kind == "input":
                own = [np.asarray(inputs[line.of, t]) for t in range(1, T + 1)]
                result[line.of] = np.stack(own)
            elif line.kind == "carry":
                result[f"{line.of}_0"] = np.asarray(now[label, 0])
            elif line.kind == "backward" and (only is None or f"{line.of}_t" in only):
                result[f"{line.of}_t"] = np.stack(
                    [np.asarray(now[label, t]) for t in range(1, T + 1)]
                )
        result |= through
        self._now = self._values
        return result if first else {**self.right, **result}


__all__ = ["KEPT", "MIXED", "Numbers", "Trial", "other_error"]
