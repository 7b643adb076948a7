"""The problem under study: a cell, a sequence and a loss per step, recorded in float64."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Sequence_
from typing import Any

import numpy as np

from .. import ops, tree
from ..autodiff import gradients
from ..graph import Array, no_grad, record_order
from ..nn import Cell, Module
from ..nn.cell import first_state
from ..nn.module import unlisted
from ..sequence import Sequence, sequence
from ..tensor import Tensor, tensor, zeros
from ..unroll import CellRun, check_cell, runs_in, runs_of_cells, unroll
from ..unrolled import Unrolled
from .rounding import rounded

Loss = Callable[[Any, Any], Any]
"""(output of a step, target of that step) -> the loss of that step, a single number."""

DOUBLE = np.dtype(np.float64)

OTHER_TARGETS = {
    "in dL/do the target of the step before is taken": "off by one in time",
    "in dL/do the target of the step after is taken": "off by one in time",
    "in dL/do the target is taken with the other sign": "wrong sign",
    "in dL/do the target is missing": "missing term",
    "dL/do is the softmax alone: the one-hot target is not subtracted": "missing term",
    "in dL/do the one-hot target is added to the softmax, not subtracted": "wrong sign",
    "dL/do is minus the one-hot target alone: the softmax is missing": "missing term",
}
"""Mistakes with targets, in a pass that computes dL/do itself, and their kinds."""


class NotFiniteError(ValueError):
    """A parameter has numbers that are NaN or infinite, and so has all that is computed with it."""


def in_double(cell: Cell) -> Cell:
    """A copy of a cell with its parameters and buffers in float64; the cell itself stays as it is.

    Raises NotFiniteError for a parameter with NaN or infinite numbers.

    >>> import tinygrad_rnn as tg
    >>> cell = tg.ElmanCell(1, 2, rng=0)
    >>> in_double(cell).dtype, cell.dtype
    (dtype('float64'), dtype('float32'))
    """
    for name, parameter in cell.parameters().items():
        wrong = int((~np.isfinite(parameter.numpy())).sum())
        if wrong:
            of = f"{wrong} of its {parameter.size} numbers are" if parameter.size > 1 else "it is"
            raise NotFiniteError(f"{type(cell).__name__}.{name}: {of} NaN or infinite")
    return cell.astype(DOUBLE)


def state_in_double(state: Any, who: str) -> Any:
    """A state of float64 leaves with the same values; TypeError for parts that are no arrays."""

    def leaf(part: Any) -> Tensor:
        if not isinstance(part, Tensor | np.ndarray):
            raise TypeError(
                f"{who}: a part of the state is a {type(part).__name__}; wanted tensors"
            )
        return tensor(_array(part), getattr(part, "name", None), DOUBLE)

    return tree.map_leaves(leaf, state)


def studied(who: str, cell: Any, xs: Any, **options: Any) -> tuple[Cell, Sequence]:
    """A cell, copied in float64, and its inputs (T, B, ...), floats in float64.

    options  of `unroll`: lengths, mask, reverse

    Raises TypeError if `cell` is none, ValueError for other shapes.
    """
    check_cell(who, cell)
    inputs = sequence(xs, DOUBLE, who=who, **options)
    return in_double(cell), inputs.of(tree.map_leaves(_plain, inputs.stacked()))


def runs_studied(who: str, model: Any, xs: Any, state: Any, **options: Any) -> list[CellRun]:
    """The cells that a model runs, in float64, each with the inputs that it has there.

    model    a cell; one that needs the whole sequence, whose parts are meant; or a module that is
             called with xs (a tuple: its arguments) and unrolls cells
    options  of `unroll`: lengths, mask, reverse
    """
    if is_called(model):
        if state is not None or any(v is not None and v is not False for v in options.values()):
            raise ValueError(
                f"{who}: {type(model).__name__} is called with xs and nothing else; lengths, a "
                "mask, a direction and a state are what it gives to the cells that it unrolls"
            )
        model = in_double(model)
        with no_grad():
            runs = runs_in(lambda: called(model, xs), model)
        if not runs:
            raise ValueError(
                f"{who}: {type(model).__name__} ran no cell with tg.unroll when it was called"
            )
    else:
        cell, inputs = studied(who, model, xs, **options)
        if getattr(cell, "over", None) is None:
            return [CellRun("", cell, inputs, state)]
        with no_grad():
            runs = runs_of_cells(cell, inputs, state)
    return [run._replace(xs=run.xs.of(tree.map_leaves(_plain, run.xs.stacked()))) for run in runs]


def is_called(model: Any) -> bool:
    """Whether this is a module that is called, and not a cell, which is unrolled."""
    return isinstance(model, Module) and callable(model) and not hasattr(model, "step")


def called(model: Any, xs: Any) -> Any:
    """The output of a module for xs, or for a tuple of arguments, whose floats become float64."""
    given = tree.map_leaves(lambda part: part if isinstance(part, Tensor) else _floats(part), xs)
    return model(*given) if isinstance(given, tuple) else model(given)


def _plain(part: Any) -> Array:
    return _floats(_array(part))


class Problem:
    """L = sum_t L_t of a cell over a sequence, recorded in float64.

    cell     the copy of the cell that was recorded
    options  of `unroll`: lengths, mask, reverse
    xs       (T, B, I), an array; if the cell takes several inputs, their structure of arrays
    run      from `unroll`
    losses   [L_t], for the steps that have one
    total    L
    e        (T, B, O): dL_t/do_t, zeros for the steps without a loss; if an output has several
             parts, their structure of arrays

    Raises ValueError or TypeError if the loss is not a single number per step.
    """

    def __init__(
        self,
        cell: Cell,
        xs: Any,
        targets: Sequence_[Any] | Array,
        loss: Loss | None = None,
        state: Any = None,
        **options: Any,
    ) -> None:
        self._given = cell, xs, targets, loss, state
        self.options = options
        self.cell = in_double(cell)
        self.xs: Any = _sequence(xs)
        parts = tree.leaves(self.xs)
        self.T, self.B = len(targets), 0 if not parts or parts[0].ndim < 2 else parts[0].shape[1]
        if any(part.ndim < 2 or len(part) != self.T for part in parts):
            shapes = ", ".join(str(part.shape) for part in parts)
            raise ValueError(
                f"xs {shapes} and {len(targets)} targets: wanted xs (T, B, ...) and one "
                "target per step (None for a step without a loss)"
                + (f"; time comes first: {len(parts[0])} steps" if self.T == self.B else "")
            )
        self._targets = list(targets)
        self._loss = loss
        self._learned = state is None
        if state is None:
            state = first_state(self.cell, self.B)
        self._structure = state
        self._start: dict[str, Tensor] = {}
        labels = _state_labels(state, self.cell.parameters())
        for part, label in zip(tree.leaves(state), labels, strict=True):
            made = self._learned and isinstance(part, Tensor) and part._node is not None
            if made and part.dtype != DOUBLE:
                made = False
            self._start[label] = part if made else tensor(_array(part).astype(DOUBLE), label)
        names = tree.paths(self.xs, "x")
        self._x = {
            name: tensor(part, name)
            for name, part in zip(names, parts, strict=True)
            if part.dtype.kind == "f"
        }
        entered = iter([self._x.get(n, part) for n, part in zip(names, parts, strict=True)])
        self.run = unroll(
            self.cell, _steps(tree.rebuild(self.xs, entered)), self._state(), **options
        )
        self.losses, e = [], []
        for t, (output, target) in enumerate(zip(self.run.steps, self._targets, strict=True), 1):
            outputs = tree.leaves(output)
            for part in outputs:
                if not isinstance(part, Tensor):
                    raise TypeError(
                        f"{type(cell).__name__}.step in timestep {t}: the output is a "
                        f"{type(part).__name__}; wanted tensors"
                    )
            if target is None:
                e.append([np.zeros(part.shape) for part in outputs])
                continue
            self.losses.append(self._loss_at(t, output, target))
            alone = [tensor(part.numpy()) for part in outputs]
            again = self._loss_at(t, tree.rebuild(output, iter(alone)), target)
            e.append(gradients(again, alone))
        if not self.losses:
            raise ValueError("no step has a loss: every target is None")
        ends = [*tree.leaves(self.run.steps), *tree.leaves(self.run.state)]
        if fault := unlisted(self.cell, record_order([end._node for end in ends if end._node])):
            raise ValueError(f"its gradients would be incomplete: {fault}")
        stacked = iter([np.stack(part) for part in zip(*e, strict=True)])
        self.e: Any = tree.rebuild(self.run.steps[0], stacked)
        self.total = float(sum(part.item() for part in self.losses))

    def _loss_at(self, t: int, output: Any, target: Any) -> Tensor:
        try:
            value = (self._loss or _default_loss)(output, target)
        except (ValueError, TypeError, IndexError) as error:
            given = getattr(output, "shape", None) or f"a {type(output).__name__}"
            raise type(error)(
                f"loss in timestep {t}: {error}. It is called once per step, with the output "
                f"{given} and the target {_shape(target)} of that step, and the values "
                "are summed: L = sum_t L_t"
            ) from error
        if not isinstance(value, Tensor) or value.size != 1:
            given = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"loss in timestep {t}: wanted a tensor with a single number, L_t, given {given}; "
                "reduce it over the batch, for example with .sum()"
            )
        return value

    def other_errors(self) -> dict[str, list[Array]]:
        """dL/do_t with other targets, by the mistake: a key of `OTHER_TARGETS`."""
        before, after, sign, gone, softmax, added, alone = OTHER_TARGETS
        ys = self._targets
        found: dict[str, list[Array]] = {}
        if any(y is None for y in ys):
            return found
        found[before], found[after] = (self._errors([*ys[k:], *ys[:k]]) for k in (-1, 1))
        labels = all(tree.entries(y) is None and np.asarray(y).dtype.kind in "iu" for y in ys)
        if not labels:
            for label, c in ((sign, -1.0), (gone, 0.0)):
                found[label] = self._errors([tree.map_leaves(lambda v: c * v, y) for y in ys])  # noqa: B023 - used at once
        elif self._loss is None:
            o = np.stack([tree.leaves(step)[0].numpy() for step in self.run.steps])
            p = np.asarray(ops.softmax(o, axis=-1))
            (e,) = tree.leaves(self.e)
            found |= {softmax: [p], added: [2 * p - e], alone: [e - p]}
        return found

    def _errors(self, targets: Sequence_[Any]) -> list[Array]:
        """dL/do_t with these targets, of each output."""
        found = []
        for t, (output, target) in enumerate(zip(self.run.steps, targets, strict=True), 1):
            alone = [tensor(part.numpy()) for part in tree.leaves(output)]
            value = self._loss_at(t, tree.rebuild(output, iter(alone)), target)
            found.append(gradients(value, alone))
        return [np.stack(part) for part in zip(*found, strict=True)]

    def _state(self) -> Any:
        return tree.rebuild(self._structure, iter(self._start.values()))

    @property
    def starts(self) -> list[str]:
        """The names of the tensors of s_0."""
        return list(self._start)

    def start_called(self, name: str) -> str:
        """The name of a part of s_0 that is called by its place ("s_0", "s_0.h") or as the cell's
        own first state calls it ("h_0"); any other name as it is.
        """
        called = [tree.paths(self._structure, "s_0")]
        try:
            own = first_state(self.cell, self.B)
        except Exception:  # a cell that is always given its state
            own = self._structure
        called.append(_state_labels(own, self.cell.parameters()))
        for names in called:
            if name in names and len(names) == len(self._start) and name not in self.leaves():
                return self.starts[names.index(name)]
        return name

    def state_of(self, arrays: Sequence_[Array]) -> Any:
        """Arrays in the structure of the state."""
        return tree.rebuild(self._structure, iter(arrays))

    def for_any_batch(self) -> Cell:
        """The cell, with a first state of zeros like the given one for every size of the batch.

        A cell whose first state is made of parameters is left as it is.
        """
        own = {p._node for p in self.cell.parameters().values()}
        parts = [part._node for part in self._start.values() if part._node is not None]
        if not own.isdisjoint(record_order(parts)):
            return self.cell
        structure, given = self._structure, list(self._start.items())

        def initial_state(batch_size: int) -> Any:
            shapes = [(batch_size, *part.shape[1:]) for _, part in given]
            made = [zeros(s, n, DOUBLE) for s, (n, _) in zip(shapes, given, strict=True)]
            return tree.rebuild(structure, iter(made))

        other = copy.copy(self.cell)
        object.__setattr__(other, "initial_state", initial_state)
        return other

    def leaves(self) -> dict[str, Tensor]:
        """The leaves with gradients: the parameters, "x" unless the inputs are integers, s_0.

        A first state that is a parameter itself is among the parameters only.
        """
        found: dict[str, Tensor] = dict(self.cell.parameters())
        own = {(p._node, p._port) for p in found.values()}
        start = {n: s for n, s in self._start.items() if (s._node, s._port) not in own}
        return found | self._x | start

    def gradients(self) -> dict[str, Array]:
        """dL/d(leaf) by autodiff, for every leaf."""
        leaves = self.leaves()
        found = gradients(self.losses, list(leaves.values()), keep_record=True)
        return dict(zip(leaves, found, strict=True))

    def rounding(self, epsilon: float) -> dict[str, float]:
        """How far the entries of each gradient move if every operation's result is rounded.

        Every result, forward and backward, is multiplied by a random number within 1 +- 16 epsilon,
        three times over; the largest change counts. So long sequences, gradients that explode and
        functions that saturate have the tolerance they need, and no more.

        Monte Carlo arithmetic: Parker, "Monte Carlo arithmetic: exploiting randomness in
        floating-point arithmetic", UCLA CSD-970002 (1997).
        """
        right, moved = self.gradients(), dict.fromkeys(self.leaves(), 0.0)
        for seed in range(3):
            with rounded(16 * epsilon, seed), np.errstate(all="ignore"):
                other = Problem(*self._given, **self.options).gradients()
            for name, g in other.items():
                moved[name] = max(moved[name], float(np.abs(g - right[name]).max(initial=0.0)))
        return moved

    def parameters(self) -> dict[str, Array]:
        """Copies of the parameters, by name."""
        return {name: p.numpy().copy() for name, p in self.cell.parameters().items()}

    def state(self) -> Any:
        """The initial state in the cell's own structure, with arrays (copies) in it."""
        return tree.map_leaves(lambda part: part.numpy().copy(), self._state())

    def value(self, name: str) -> Array:
        """A copy of a leaf's value."""
        return self.leaves()[name].numpy().copy()

    def loss_with(self, name: str, value: Array) -> float:
        """L with another value for one leaf. Leaves the record as it is."""
        cell, xs, start = self.cell, self.xs, self._start
        own = self.cell.parameters()
        if name in own:
            shared = {key: value for key, p in own.items() if p is own[name]}
            cell = cell.with_parameters({k: p.numpy() for k, p in own.items()} | shared)
            if self._learned:
                again = tree.leaves(first_state(cell, self.B))
                start = dict(zip(start, again, strict=True))
        elif name in start:
            start = start | {name: tensor(value, name)}
        else:
            names = tree.paths(self.xs, "x")
            parts = zip(names, tree.leaves(self.xs), strict=True)
            xs = tree.rebuild(self.xs, iter([value if n == name else part for n, part in parts]))
        state = tree.rebuild(self._structure, iter(start.values()))
        run = unroll(cell, _steps(xs), state, **self.options)
        return float(
            sum(
                self._loss_at(t, output, target).item()
                for t, (output, target) in enumerate(
                    zip(run.steps, self._targets, strict=True), start=1
                )
                if target is not None
            )
        )


class Called:
    """L of a module that is called, as an encoder-decoder: a problem, as `compare` sees it.

    model    the copy that was called, with xs or, if they are a tuple, these arguments
    total    L = loss(its results, targets), a single number
    """

    def __init__(self, model: Any, xs: Any, targets: Any, loss: Loss | None) -> None:
        self.cell = in_double(model)
        self.xs = tree.map_leaves(_plain, xs)
        self._targets, self._loss = targets, loss or _default_loss
        names = ["x"] if tree.entries(self.xs) is None else tree.paths(self.xs, "x")
        parts = dict(zip(names, tree.leaves(self.xs), strict=True))
        self._x = {n: tensor(part, n) for n, part in parts.items() if part.dtype.kind == "f"}
        self._parts: dict[str, Any] = parts
        self._record = self._value(self.cell, self._x)
        if fault := unlisted(self.cell, record_order([n for n in [self._record._node] if n])):
            raise ValueError(f"its gradients would be incomplete: {fault}")
        self.total = float(self._record.item())

    def _value(self, model: Any, x: dict[str, Any]) -> Tensor:
        who = type(model).__name__
        given = tree.rebuild(self.xs, iter((self._parts | x).values()))
        output = called(model, given)
        output = output.outputs if isinstance(output, Unrolled) else output
        value = self._loss(output, self._targets)
        if not isinstance(value, Tensor) or value.size != 1:
            shape = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"compare: loss(what {who} gives, targets) is given as {shape}; wanted a tensor "
                "with a single number, L"
            )
        return value

    def leaves(self) -> dict[str, Tensor]:
        """The parameters, and the inputs that are floats."""
        return dict(self.cell.parameters()) | self._x

    def gradients(self) -> dict[str, Array]:
        """dL/d(leaf) by autodiff, for every leaf."""
        leaves = self.leaves()
        found = gradients(self._record, list(leaves.values()), keep_record=True)
        return dict(zip(leaves, found, strict=True))

    def value(self, name: str) -> Array:
        """A copy of a leaf's value."""
        return self.leaves()[name].numpy().copy()

    def loss_with(self, name: str, value: Array) -> float:
        """L with another value for one leaf."""
        own = self.cell.parameters()
        if name not in own:
            return float(self._value(self.cell, {name: value}).item())
        others = {key: p.numpy() for key, p in own.items()} | {name: value}
        return float(self._value(self.cell.with_parameters(others), {}).item())


def _state_labels(state: Any, taken: Iterable[str]) -> list[str]:
    """The names of the parts of a state, of layers as s_0.0, s_0.1; or else their paths."""
    paths = tree.paths(state, "s_0")
    names = [
        getattr(part, "name", None) or path
        for part, path in zip(tree.leaves(state), paths, strict=True)
    ]
    count = Counter([*names, *taken])
    alike = [i for i, name in enumerate(names) if count[name] > 1]
    layers = [[word for word in paths[i].split(".") if word.isdigit()] for i in alike]
    for i, layer in zip(alike, layers, strict=True):
        names[i] = ".".join([names[i], *layer]) if all(layers) else paths[i]
    return names if len({*names, *taken}) == len(names) + len({*taken}) else paths


def _sequence(xs: Any) -> Any:
    """Inputs (T, B, ...) as an array, floats in float64; T structures as one of arrays."""
    return tree.map_leaves(lambda part: _floats(_array(part)), sequence(xs, who="xs").stacked())


def _floats(given: Any) -> Array:
    array = np.asarray(given)
    return array.astype(DOUBLE) if array.dtype.kind == "f" else array


def _steps(xs: Any) -> Any:
    """Inputs as `unroll` takes them: several are handed over step by step."""
    if tree.entries(xs) is None:
        return xs
    parts = [
        ops.unstack(part) if isinstance(part, Tensor) else list(part) for part in tree.leaves(xs)
    ]
    return [tree.rebuild(xs, iter(step)) for step in zip(*parts, strict=True)]


def _shape(target: Any) -> Any:
    return tree.map_leaves(np.shape, target) if tree.entries(target) else np.shape(target)


def _default_loss(output: Any, target: Any) -> Any:
    if not isinstance(output, Tensor):
        raise TypeError(
            f"the output has {len(tree.leaves(output))} parts; pass loss(output, target)"
        )
    if np.asarray(target).dtype.kind in "iu":
        return ops.cross_entropy(output, target, "sum")
    return ops.mse(output, target, "sum")


def _array(part: Any) -> Array:
    return part.numpy() if isinstance(part, Tensor) else np.asarray(part)


__all__ = [
    "Called",
    "Loss",
    "Problem",
    "in_double",
    "is_called",
    "runs_studied",
    "state_in_double",
    "studied",
]
