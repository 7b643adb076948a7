"""Three ways to the same gradient, side by side: autodiff, derived by hand, central differences."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import tree
from ..gradcheck import central_differences
from ..graph import Array, no_grad
from ..nn import Cell, ElmanCell, GRUCell, LSTMCell
from ..notation import several
from ..unroll import check_cell
from . import handwritten
from .finding import Finding
from .locate import locate
from .problem import Called, Loss, Problem, is_called
from .recorded import recorded
from .table import Table, as_markdown, figures, shape
from .trial import Numbers

Hand = Callable[[dict[str, Array], Any, Any, Array], Any]
"""A backward pass: (p, xs, s_0, e) -> gradients, or (gradients, cotangents); see `handwritten`."""

TOLERANCE = 1e-8
"""A difference from autodiff of this part of the largest entry counts as agreement in float64."""

ENTRIES = 12
"""Central differences look at so many entries of a gradient at most, drawn with a fixed seed, and
at all others along one direction."""


@dataclass(frozen=True)
class Agreement:
    """How far another gradient is from autodiff's.

    max_abs   largest absolute difference of an entry
    max_rel   the same, as a fraction of the largest entry of autodiff's gradient
    cosine    of the angle between the two: 1 is the same direction, -1 the opposite one
    entries   how many entries were compared
    error     how large a difference rounding and the other gradient's own errors explain
    scale     the largest entry of autodiff's gradient, or a natural size where that is zero
    worst     the index of the entry that is furthest off, measured by its tolerance
    autodiff  that entry by autodiff
    other     that entry of the other gradient
    """

    max_abs: float
    max_rel: float
    cosine: float
    entries: int
    error: float
    scale: float
    worst: tuple[int, ...] = ()
    autodiff: float = 0.0
    other: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether errors explain the difference; never of something that is not a number."""
        return self.max_abs <= self.error

    @property
    def verdict(self) -> str:
        """In words: "agrees", "differs", "not a number", or "too uncertain" to say."""
        if np.isnan(self.max_abs):
            return "not a number"
        if not self.agrees:
            return "differs"
        return "too uncertain" if self.error > 1e-2 * self.scale else "agrees"


@dataclass(frozen=True)
class Row:
    """One gradient: of a parameter, of the inputs ("x") or of an initial state ("s_0").

    name, shape   of the parameter, the inputs or the state
    norm          Euclidean norm of autodiff's gradient
    hand          against the one derived by hand; None if that was not given
    differences   against central differences
    """

    name: str
    shape: tuple[int, ...]
    norm: float
    hand: Agreement | None
    differences: Agreement

    @property
    def agrees(self) -> bool:
        """Whether no other way differs from autodiff, and at least one can tell.

        Central differences of a gradient that is tiny beside the loss are too uncertain to tell;
        a pass by hand that agrees is enough then.
        """
        verdicts = [way.verdict for way in (self.hand, self.differences) if way is not None]
        return "agrees" in verdicts and set(verdicts) <= {"agrees", "too uncertain"}


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`. Prints as a table; `rows` are the data.

    rows      one per parameter, then "x", then the initial states
    autodiff  {name: array}, the gradients by autodiff
    hand      {name: array}, those derived by hand; None if there were none
    loss      the value of L
    mistakes  where the pass by hand goes wrong and how, as far as that was found
    notes     the same in words
    """

    rows: tuple[Row, ...]
    autodiff: dict[str, Array]
    hand: dict[str, Array] | None
    loss: float
    mistakes: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether every row agrees: see `Row.agrees`."""
        return all(row.agrees for row in self.rows)

    def table(self) -> Table:
        """A row per gradient and way; name, shape and norm in the first of a gradient only."""
        rows: list[tuple[str, ...]] = []
        for row in self.rows:
            name = (f"dL/d{row.name}", shape(row.shape), figures(row.norm))
            for way, other in (("by hand", row.hand), ("differences", row.differences)):
                if other is not None:
                    some = f"{other.entries} " if other.entries < np.prod(row.shape) else ""
                    far = f"{other.max_abs:.1e}", f"{other.max_rel:.1e}", f"{other.cosine:.4f}"
                    rows.append((*name, some + way, *far, other.verdict))
                    name = ("", "", "")
        heads = ("gradient", "shape", "norm", "against", "max abs", "max rel", "cosine", "verdict")
        title = f"Gradients of L = {self.loss:.6g}: autodiff against"
        wrong = [i for i, row in enumerate(rows) if row[-1] != "agrees"]
        return Table(heads, rows, title, numbers=(2, 4, 5, 6), wrong=wrong)

    def markdown(self) -> str:
        """The table in Markdown, and under it the mistakes found."""
        return "\n\n".join([self.table().markdown(), *map(as_markdown, self.notes)])

    def __repr__(self) -> str:
        wrong = [row.name for row in self.rows if not row.agrees]
        found = f"not dL/d{', dL/d'.join(wrong)}" if wrong else "all agree"
        size = several(len(self.rows), "gradient")
        return f"<comparison of {size}: {found}; print it for the table>"

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return self.table()._repr_html_() + notes

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        return Group(self.table(), *map(Text, self.notes))

    def __str__(self) -> str:
        return "\n".join([str(self.table()), *self.notes])


def compare(
    cell: Cell,
    xs: ArrayLike,
    targets: Sequence[Any] | Array,
    loss: Loss | None = None,
    hand: Hand | None = None,
    state: Any = None,
    rtol: float | None = None,
    atol: float | None = None,
    *,
    lengths: Any = None,
    mask: Any = None,
    reverse: bool = False,
) -> Comparison:
    """Compare the gradients of L = sum_t L_t by autodiff, by hand and by central differences.

    cell     a cell, or a model of cells; it is not changed (a copy in float64 is used). Or a module
             that is called with xs and is no cell, as an encoder-decoder: then `loss` is given its
             results and all of `targets`, once
    xs       (T, B, I), or a tree of arrays with time first. Of a module a tuple is its arguments
    targets  T targets, one per step; None for a step without a loss
    loss     (output_t, target_t) -> L_t, a single number: called for every step, and summed. If
             left out: the cross entropy summed over the batch for targets that are integers, the
             squared error summed over all entries for floats
    hand     your own backward pass, `hand(p, xs, s_0, e)`: p is {name: array} of the parameters, xs
             the array (T, B, I), s_0 the state before the first step (an array, or in the cell's
             own structure), e (T, B, O) the gradient of each step's loss with respect to the output
             of that step. It gives {name: gradient} for every parameter and, if it likes, for "x"
             and the initial state ("s_0", "s_0.h", or the cell's own names, as "h_0" and "c_0" of
             an LSTM); "dW", "dL/dW", "grad_W" and "W_grad" are W's. Or the gradients of the
             parameters in their order, as a list or joined into one vector. Beside the dict, if it
             likes, a second dict with the gradients (T, ...) of named quantities in between, one
             entry per step, which lets mistakes be located more sharply, and a third with values
             (T, ...) of the forward pass by name. It should be able to work with other numbers of
             steps: mistakes are looked for by asking it about short problems too.
             If left out: the pass of `study.handwritten` for the built-in cells, none for others
    state    s_0; `cell.initial_state(B)` if left out
    rtol, atol  tolerances of the pass by hand: |by hand - autodiff| is at most atol +
             rtol |autodiff| in every entry. If both are left out: 1e-8 of the gradient's largest
             entry, or as much as rounding explains in the precision of the gradients and for this
             problem (a long sequence, exploding gradients and saturated units need more)
    lengths, mask, reverse  as in `unroll`: a loss then sees outputs of zero after a sequence's end.
             There is no pass by hand for those, unless you give one. It may be asked about fewer
             steps than the lengths that it knows: sequences are cut off there

    Raises ValueError or TypeError for gradients with other names or shapes than wanted, and for a
    loss that is not a single number per step.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> from tinygrad_rnn import study
    >>> xs, ys = np.ones((3, 2, 1)), np.zeros((3, 2), int)
    >>> comparison = study.compare(tg.ElmanCell(1, 4, rng=0), xs, ys)
    >>> comparison.agrees, [row.name for row in comparison.rows]
    (True, ['U', 'W', 'b', 'x', 's_0'])
    """
    if is_called(cell):
        given = (("state", state), ("lengths", lengths), ("mask", mask), ("hand", hand))
        others = [name for name, value in given if value is not None] + ["reverse"] * reverse
        if others:
            raise ValueError(
                f"compare: {', '.join(others)} with {type(cell).__name__}, which is no cell but is "
                "called with xs; there its gradients are compared with differences alone"
            )
        return _called(Called(cell, xs, targets, loss))
    check_cell("compare", cell)
    problem = Problem(cell, xs, targets, loss, state, lengths=lengths, mask=mask, reverse=reverse)
    autodiff = problem.gradients()
    plain = lengths is None and mask is None and not reverse
    derive = written_for(cell) if hand is None and plain else hand
    by_hand: dict[str, Array] | None = None
    notes: list[str] = []
    allowed: dict[str, Array] = {}
    if derive is not None:
        who = getattr(derive, "__name__", "hand")
        by_hand, between, forward = _derived(derive, problem, autodiff, who)
        precision = max(float(np.finfo(g.dtype).eps) for g in by_hand.values())
        if rtol is None and atol is None:
            allowed, note = _allowed(problem, autodiff, by_hand)
            notes += note
        else:
            allowed = {n: (atol or 0.0) + (rtol or 0.0) * np.abs(g) for n, g in autodiff.items()}
        by_hand = {name: g.astype(np.float64) for name, g in by_hand.items()}
    mistakes: tuple[Finding, ...] = ()
    natural = 1e-4 * max((float(np.abs(g).max(initial=0.0)) for g in autodiff.values()), default=0)
    rows = tuple(
        Row(
            name,
            g.shape,
            float(np.linalg.norm(g)),
            _agreement(g, by_hand[name], allowed[name], natural=natural)
            if by_hand is not None and name in by_hand
            else None,
            _by_differences(problem, name, g),
        )
        for name, g in autodiff.items()
    )
    notes += _not_numbers(problem, autodiff, by_hand or {})
    if (
        derive is not None
        and by_hand is not None
        and any(row.hand and row.hand.verdict == "differs" for row in rows)
    ):
        limits = {name: float(limit.max(initial=0.0)) for name, limit in allowed.items()}
        close = 1e-4 if precision > 1e-12 else 1e-7
        again = functools.partial(_again, derive, problem, autodiff, who)
        try:
            mistakes, more = locate(problem, by_hand, between, forward, again, limits, close)
            if not mistakes:  # of a gradient that is in none of the equations
                mistakes = (recorded(problem, by_hand, between, limits, close),)
            notes += _told(mistakes) + more
        except (TypeError, ValueError, KeyError, NotImplementedError, AssertionError) as error:
            mistakes = (recorded(problem, by_hand, between, limits, close),)
            notes += _told(mistakes)
            notes.append(f"Its equations were not looked at: {error}")
    for row in rows:
        if row.hand is not None and row.hand.verdict == "differs":
            notes.append(
                f"dL/d{row.name} is furthest off at [{', '.join(map(str, row.hand.worst))}]: "
                f"{row.hand.other:.6g}, and {row.hand.autodiff:.6g} by autodiff."
            )
    return Comparison(rows, autodiff, by_hand, problem.total, mistakes, tuple(notes))


def _told(mistakes: Sequence[Finding]) -> list[str]:
    """The mistakes in words."""
    heads = ["First wrong, walking back from the loss", *["Wrong too"] * len(mistakes)]
    return [f"{head}: {mistake}" for head, mistake in zip(heads, mistakes, strict=False)]


def _called(problem: Called) -> Comparison:
    """The gradients of a model that is called, against central differences."""
    autodiff = problem.gradients()
    rows = tuple(
        Row(name, g.shape, float(np.linalg.norm(g)), None, _by_differences(problem, name, g))
        for name, g in autodiff.items()
    )
    notes = _not_numbers(problem, autodiff, {})
    return Comparison(rows, autodiff, None, problem.total, (), tuple(notes))


def _allowed(
    problem: Problem, autodiff: dict[str, Array], by_hand: dict[str, Array]
) -> tuple[dict[str, Array], list[str]]:
    """The difference that each entry of a correct pass may have in the precision it was done in."""
    off = {name: np.abs(g - autodiff[name]) for name, g in by_hand.items()}
    scales = {name: np.abs(g).max(initial=0.0) for name, g in autodiff.items()}

    def limits(dtype: Any) -> dict[str, Array]:
        epsilon = float(np.finfo(dtype).eps)
        floor = TOLERANCE if epsilon < 1e-12 else 4 * epsilon
        moved = problem.rounding(epsilon)
        return {
            name: np.full(g.shape, max(floor * scales[name], 2 * moved[name]))
            for name, g in autodiff.items()
        }

    coarsest = max((g.dtype for g in by_hand.values()), key=lambda dtype: np.finfo(dtype).eps)
    if all((off[name] <= TOLERANCE * scales[name]).all() for name in off):
        epsilon = TOLERANCE  # nothing to be found out
        return {name: np.full(g.shape, epsilon * scales[name]) for name, g in autodiff.items()}, []
    allowed = limits(coarsest)
    wrong = [name for name in off if not (off[name] <= allowed[name]).all()]
    if np.finfo(coarsest).eps > 1e-12 or not wrong:
        return allowed, []
    single = limits(np.float32)
    if not all((off[name] <= single[name]).all() for name in wrong):
        return allowed, []
    exact = [n for n in off if n not in wrong and scales[n] > 0]
    size = "The differences are as small as the rounding of float32 explains"
    if exact:
        names = ", ".join(f"dL/d{name}" for name in exact)
        return allowed, [f"{size}; but {names} is exact, so something else may be wrong."]
    note = f"{size}: something on the way was computed in float32, and nothing else is wrong."
    return single, [note]


def _not_numbers(
    problem: Problem | Called, autodiff: dict[str, Array], by_hand: dict[str, Array]
) -> list[str]:
    """The note on gradients that are not numbers."""
    notes = []
    if not np.isfinite(problem.total):
        notes.append(
            f"The loss itself is {problem.total}: run the cell in `with tg.detect_anomaly():` to "
            "find the operation that makes it so."
        )
    for name, g in by_hand.items():
        bad = ~np.isfinite(g)
        if bad.any() and np.isfinite(autodiff[name]).all():
            first = ", ".join(map(str, np.argwhere(bad)[0]))
            notes.append(
                f"dL/d{name} by hand has {int(bad.sum())} of {g.size} entries that are not finite, "
                f"the first at [{first}]; autodiff's are. Look for an overflow in exp, a division "
                "by zero, or a logarithm of it."
            )
    return notes


def written_for(cell: Cell) -> Hand | None:
    """The handwritten pass of a built-in cell; None for any other."""
    hand: Hand
    if type(cell) is ElmanCell:
        hand = functools.partial(handwritten.elman, activation=cell.activation)
    elif type(cell) is LSTMCell:
        hand = handwritten.lstm
    elif type(cell) is GRUCell:
        hand = handwritten.gru_after if cell.reset == "after" else handwritten.gru_before
    else:
        return None
    return hand if cell.b is not None else handwritten.with_biases_of_zero(hand)


def _derived(
    hand: Hand, problem: Problem, wanted: dict[str, Array], who: str
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Call a backward pass and check its results."""
    xs, e = (tree.map_leaves(np.copy, part) for part in (problem.xs, problem.e))
    given = hand(problem.parameters(), xs, problem.state(), e)
    return _checked(given, problem, wanted, who)


def _again(
    hand: Hand, problem: Problem, wanted: dict[str, Array], who: str, numbers: Numbers
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Call a backward pass for another problem, which may have fewer steps."""
    outputs = tree.rebuild(problem.e, iter([e.copy() for e in numbers.errors]))
    state = problem.state_of([s.copy() for s in numbers.starts])
    parameters = {name: p.copy() for name, p in numbers.parameters.items()}
    inputs = [x.copy() for x in numbers.inputs]
    given = hand(parameters, tree.rebuild(problem.xs, iter(inputs)), state, outputs)
    names = tree.paths(problem.xs, "x")
    shapes = wanted | {n: x for n, x in zip(names, inputs, strict=True) if n in wanted}
    return _checked(given, problem, shapes, who, len(inputs[0]))


def _checked(
    given: Any, problem: Problem, wanted: dict[str, Array], who: str, T: int | None = None
) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """The results of a backward pass, once they have the right names and shapes."""
    given = _by_name(given, problem)
    parts = given if isinstance(given, tuple) and 1 <= len(given) <= 3 else (given,)
    if not all(isinstance(part, dict) for part in parts):
        raise TypeError(
            f"{who}: wanted a dict {{name: gradient}}, or two of them (gradients, cotangents of "
            "named quantities), or three (and their values in the forward pass); or the gradients "
            f"of the parameters in their order ({', '.join(problem.cell.parameters())}), as a list "
            f"or joined into one vector; given {type(given).__name__}"
        )
    found, between, forward = (*parts, {}, {})[:3]
    found = {_called_here(name, found, wanted, problem): g for name, g in found.items()}
    names = ", ".join(wanted)
    unknown = [name for name in found if name not in wanted]
    missing = [name for name in problem.cell.parameters() if name not in found]
    if unknown or missing:
        raise ValueError(
            f"{who}: "
            + "; ".join(
                [f"gives {name!r}, which this cell does not have" for name in unknown]
                + [f"gives no gradient of the parameter {name!r}" for name in missing]
            )
            + f" (the names here: {names})"
        )
    arrays: dict[str, Array] = {}
    for name, g in found.items():
        array = np.asarray(g)
        if array.dtype.kind != "f":
            array = array.astype(np.float64)
        if array.shape != wanted[name].shape:
            raise ValueError(
                f"{who}: dL/d{name} has shape {array.shape}, "
                f"wanted {wanted[name].shape}, the shape of {name}"
                + _hint(array, wanted[name], problem)
            )
        arrays[name] = array
    T, B = problem.T if T is None else T, problem.B
    for kind, some in (("gradients", between), ("values", forward)):
        for name, g in some.items():
            if np.shape(g)[:2] != (T, B):
                raise ValueError(
                    f"{who}: the {kind} of {name!r} have shape {np.shape(g)}, wanted "
                    f"({T}, {B}, ...), one entry per step"
                )
    return (
        arrays,
        {name: np.asarray(g, np.float64) for name, g in between.items()},
        {name: np.asarray(v, np.float64) for name, v in forward.items()},
    )


def _by_name(given: Any, problem: Problem) -> Any:
    """Gradients in the order of the parameters, or joined into one vector, as a dict."""
    own = problem.parameters()
    sizes = [p.size for p in own.values()]
    if isinstance(given, np.ndarray) and given.shape == (sum(sizes),) and len(own) > 1:
        parts = np.split(given, np.cumsum(sizes)[:-1])
        shaped = [part.reshape(p.shape) for part, p in zip(parts, own.values(), strict=True)]
        return dict(zip(own, shaped, strict=True))
    in_order = isinstance(given, list | tuple) and len(given) == len(own)
    if in_order and not any(isinstance(part, dict) for part in given):
        return dict(zip(own, given, strict=True))
    return given


def _called_here(
    name: str, given: dict[str, Any], wanted: dict[str, Array], problem: Problem
) -> str:
    """The name of a gradient: dW, dL/dW, grad_W and W_grad are those of W, if there is no other."""
    if name in wanted:
        return name
    for before, after in (("dL/d", ""), ("d", ""), ("grad_", ""), ("g", ""), ("", "_grad")):
        bare = name.removeprefix(before).removesuffix(after)
        if name == before + bare + after and bare not in given:
            bare = bare if bare in wanted else problem.start_called(bare)
            if bare in wanted:
                return bare
    return problem.start_called(name)


def _hint(given: Array, wanted: Array, problem: Problem) -> str:
    """The mistake that a wrong shape suggests."""
    T, B = problem.T, problem.B
    if given.ndim == 2 and given.T.shape == wanted.shape:
        return ": it is the transpose; with row vectors dL/dW is s^T d"
    if given.shape in ((B, *wanted.shape), (T, B, *wanted.shape)):
        return ": the sum over the batch is missing"
    if given.shape == (T, *wanted.shape):
        return ": the sum over time is missing"
    if given.ndim > 2 and given.swapaxes(0, 1).shape == wanted.shape:
        return ": it has the batch first; time comes first"
    return ""


def _agreement(
    g: Array, other: Array, allowed: Any, index: Any = None, natural: float = 0.0
) -> Agreement:
    """The two compared.

    allowed  for every entry
    index    of the entries, if they are some of a gradient
    natural  a number that counts as large, at least
    """
    with np.errstate(all="ignore"):
        away = np.asarray(np.abs(g - other))
        away[(g == other) & ~np.isfinite(g)] = 0  # the same infinity
        allowed = np.broadcast_to(allowed, g.shape)
        beyond = np.where(away > 0, away / allowed, 0)
        off = float(away.max(initial=0.0))
        scale = float(np.abs(g).max(initial=0.0))
        a, b = float(np.linalg.norm(g)), float(np.linalg.norm(other))
        cosine = float(np.vdot(g, other)) / (a * b) if a > 0 and b > 0 else float(a == b)
    relative = 0.0 if off == 0 else off / scale if scale > 0 else float("inf")
    worst: tuple[int, ...] = ()
    pair = (0.0, 0.0)
    error = float(allowed.max(initial=0.0))
    if g.size:
        at = np.unravel_index(int(np.argmax(np.where(np.isnan(beyond), np.inf, beyond))), g.shape)
        pair = float(g[at]), float(other[at])
        if np.any(beyond > 1) and off <= error:
            off, error = float(away[at]), float(allowed[at])
        worst = tuple(int(i) for i in (at if index is None else index[at]))
    return Agreement(off, relative, cosine, g.size, error, max(scale, natural), worst, *pair)


def _by_differences(problem: Problem | Called, name: str, g: Array) -> Agreement:
    """(L(v + h) - L(v - h)) / 2h for some entries v, with h = eps^(1/3) max(1, |v|).

    Of a gradient with more entries the slope along one random direction, in which all of them move,
    has to be right too.
    """
    entries = np.arange(g.size)
    if g.size > ENTRIES:
        entries = np.sort(np.random.default_rng(0).choice(g.size, ENTRIES, replace=False))
    start = problem.value(name)
    units = np.zeros((len(entries), *start.shape))
    units.reshape(len(entries), -1)[np.arange(len(entries)), entries] = 1
    slopes, error = _slopes(problem, name, units, [start.flat[entry] for entry in entries])
    index = np.stack(np.unravel_index(entries, g.shape or (1,)), -1)[:, : g.ndim]
    # a gradient that is zero, or tiny beside the loss, agrees if the differences are as tiny
    natural = 1e-4 * abs(problem.total) / max(1.0, float(np.abs(start).max(initial=0.0)))
    found = _agreement(g.flat[entries], slopes, error, index, natural)
    if g.size > ENTRIES and found.agrees:
        unit = np.asarray(np.random.default_rng(1).normal(size=start.shape))
        unit = np.asarray(unit / np.linalg.norm(unit))
        slopes, error = _slopes(problem, name, unit[None], [float(np.abs(start).max())])
        along = _agreement(np.asarray([np.vdot(g, unit)]), slopes, error, natural=found.scale)
        if not along.agrees:  # an entry that was not looked at is wrong
            return replace(along, max_rel=along.max_abs / found.scale, worst=())
    return found


def _slopes(
    problem: Problem | Called, name: str, units: Array, sizes: Sequence[float]
) -> tuple[Array, float]:
    """Slopes of the loss along some directions of a leaf, and how uncertain they are.

    Doing it with 2h too shows the errors of h^2 f'''/6 and rounding here (and a corner, as relu
    has, between v - 2h and v + 2h).
    """
    start, eps = problem.value(name), np.finfo(np.float64).eps
    slopes = np.zeros((2, len(units)))
    rounding = 0.0
    with no_grad():
        for j, (unit, v) in enumerate(zip(units, sizes, strict=True)):
            losses: list[float] = []

            def loss(value: Array, losses: list[float] = losses) -> list[Array]:
                losses.append(problem.loss_with(name, value))
                return [np.asarray(losses[-1])]

            h = (v + eps ** (1 / 3) * max(1.0, abs(v))) - v  # v + h is a number of the machine
            (slopes[0, j],), (slopes[1, j],) = central_differences(loss, start, unit, h)
            rounding = max(rounding, eps * max(map(abs, losses)) / h)
    return slopes[0], 4 * (float(np.abs(slopes[0] - slopes[1]).max(initial=0.0)) + rounding)


__all__ = ["Agreement", "Comparison", "Hand", "Row", "compare", "written_for"]
