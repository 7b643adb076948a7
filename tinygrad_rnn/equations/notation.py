"""How equations are written, whether as LaTeX, Unicode or MathML.

An expression becomes nested boxes: names, sums, fractions, brackets. Which products are ⊙ and
which are matrix products, and where brackets are needed, is decided here and nowhere else.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..graph import Array, Shape
from ..notation import ATOM, GREEK, PRODUCT, SUM, TIMES, Arrangement
from ..ops.registry import OPERATORS
from ..primitive import Primitive
from . import vocabulary as V
from .axes import taken_ranges
from .expr import (
    SHAPES,
    Expr,
    Form,
    Gradient,
    Symbol,
    initial_gradients,
    make,
    order,
    recursion,
)  # fmt: skip
from .simplify import simplified
from .sizes import Count, broadcast, counted, grows, place

SHORT = 6
"""Entries of an array that are written one by one."""


class Formula(NamedTuple):
    """A piece of an equation: its kind, its parts, and how tightly it holds together.

    name      (base, label, time): the label is a superscript if there is a time, else a subscript
    number    (digits,)
    plus, minus, odot, scaled, product   (left, right); scaled is a number before something
    infix     (left, sign, right), for other signs
    signed    (sign, inside)
    group, bars, root, turned            (inside,); turned is a transpose
    fraction  (above, below)
    raised    (base, exponent)
    call      (function's name, argument, ...)
    over      (range, inside, sign): a sum or mean over "time" (t = 1..T), "steps" (the same, where
              T is a name of the cell's), "batch", "features", "entries", or indices
    join      parts beside each other in brackets
    relation  (left, relation, right)
    holds     (left, relation, right): 1 where it holds and 0 elsewhere
    part      (inside, index); the index is a box
    partial   (of, whether of the step's loss only): dL/d(of) or dL_t/d(of)
    given     (formula, left, right): a formula, and that in it left = right
    noted     (formula, words): a formula, and words about it
    words     (text,)
    row       boxes side by side, as in 3H or :, H:2H
    """

    kind: str
    inside: tuple[Any, ...]
    level: int = ATOM


class FormulaLine(NamedTuple):
    """left = right, or just words if `left` is None."""

    left: Formula | None
    right: Formula


class Section(NamedTuple):
    """A heading and lines."""

    title: str
    lines: list[FormulaLine]


def _name(symbol: Symbol) -> Formula:
    path = symbol.name.replace(".", "_")
    base, _, label = path.partition("_")
    stem = base.rstrip("0123456789")
    if stem and stem != base:
        base, label = stem, "_".join(filter(None, [base[len(stem) :], label]))
    time = "" if symbol.time is None else _time(symbol)
    if time and label.isdigit():
        label = f"({label})"  # not a power
    return Formula("name", (base, label.replace("_", ","), time))


def _time(symbol: Symbol) -> str:
    assert symbol.time is not None
    if symbol.fixed:
        return str(symbol.time)
    return "t" if symbol.time == 0 else f"t{symbol.time:+d}".replace("-", "−")


def _number(value: float) -> Formula:
    if value < 0:
        return Formula("signed", ("−", _number(-value)), SUM)
    if value == int(value) and value < 1e6:
        return Formula("number", (str(int(value)),))
    near = Fraction(value).limit_denominator(1000)
    if near.denominator > 1 and float(near) == value and len(f"{value!r}") > 6:
        return Formula("fraction", (_number(near.numerator), _number(near.denominator)))
    for known, box in _CONSTANTS.items():
        if abs(known - value) <= 4 * np.finfo(float).eps * value:
            return box
    short = f"{value:.12g}"  # products of decimal fractions end in the digits of their rounding
    same = abs(float(short) - value) <= 4 * np.finfo(float).eps * value
    digits, _, exponent = (short if same else repr(value)).partition("e")
    if not exponent or not math.isfinite(value):
        return Formula("number", (digits,))
    power = Formula("raised", (_number(10), _number(int(exponent))))
    return (
        power
        if digits == "1"
        else Formula("infix", (Formula("number", (digits,)), "·", power), TIMES)
    )


_PI, _TWO = Formula("name", ("pi", "", "")), Formula("number", ("2",))
_ROOT_OF_2_PI = Formula("root", (Formula("scaled", (_TWO, _PI), TIMES),))
_CONSTANTS = {
    math.pi: _PI,
    math.sqrt(2): Formula("root", (_TWO,)),
    1 / math.sqrt(2 * math.pi): Formula("fraction", (Formula("number", ("1",)), _ROOT_OF_2_PI)),
    2 / math.sqrt(math.pi): Formula("fraction", (_TWO, Formula("root", (_PI,)))),
}
"""Numbers that are in the rules of the normal distribution and of the error function."""


def group(box: Formula) -> Formula:
    """The same in brackets."""
    return Formula("group", (box,))


def _at_least(box: Formula, level: int) -> Formula:
    return box if box.level >= level else group(box)


def is_number(expr: Expr) -> bool:
    """Whether it is one number, not an array."""
    return expr.shape == ()


def boxed(expr: Expr) -> Formula:
    """An expression as boxes."""
    if expr.op is V.SYMBOL:
        return _name(expr.symbol)
    if expr.op is V.NUMBER:
        return _number(expr.value)
    args = [boxed(arg) for arg in expr.args]
    write = _OWN.get(expr.op) or _FORMS.get(expr.op.notation.form)
    box = None if write is None else write(expr, args)
    return _call(expr, args) if box is None else box


def _call(expr: Expr, args: list[Formula]) -> Formula:
    """symbol(a, b, parameter=...)."""
    if expr.op.notation.form == "hidden":
        return _reshaped(expr, args[0])
    told = [(k, v) for k, v in expr.params.items() if not _needless(expr, k, v)]
    name = expr.op.notation.symbol or expr.op.name
    one = expr.args[0] if len(args) == 1 else None
    if told == [("axis", -2)] and one is not None and one.ndim == 2 and grows(one.shape[0]):
        return Formula("over", ("batch", group(args[0]), name))
    if dict(told) in ({"axis": axis, "keepdims": True} for axis in (-1, (-1,))) and one is not None:
        return Formula("over", ("features", group(args[0]), name))
    extra = [_row(f"{GREEK.get(k, k)}=", _shown(_told(expr, k, v))) for k, v in told]
    symbol = "" if expr.op.notation.form in ("total", "brackets") else expr.op.notation.symbol
    return Formula("call", (symbol or expr.op.name, *args, *extra))


ONES, PLACES = ("stride", "dilation"), ("size", "kernel")
"""Of convolutions: parameters that change nothing as ones, and that the result's shape says."""


def _needless(expr: Expr, key: str, value: Any) -> bool:
    """Whether a parameter need not be said: it is the default, or the shape of the result."""
    if value is False or value is None or (key in SHAPES and value == expr.shape):
        return True
    if key in ONES and isinstance(value, tuple) and set(value) == {1}:
        return True
    if key in PLACES and value == expr.shape[2:]:
        return True
    default = _defaults(expr.op).get(key)
    return type(default) is type(value) and bool(default == value)


@cache
def _defaults(op: Primitive) -> dict[str, Any]:
    """The parameters of an operation if nothing is said."""
    known = {} if op.signature is None else dict(op.signature.params)
    operator = OPERATORS.get(op.name)
    if operator is not None:
        given = inspect.signature(operator.function).parameters
        known |= {key: p.default for key, p in given.items()}
    return known


def _told(expr: Expr, key: str, value: Any) -> Any:
    """A parameter as it is written: axes count from the first, but for the last."""
    n = max(arg.ndim for arg in (expr, *expr.args))
    if key != "axis":
        return value
    axes = value if isinstance(value, tuple) else (value,)
    counted = tuple(a if a == -1 else a % n for a in axes)
    return counted if isinstance(value, tuple) else counted[0]


def _reshaped(expr: Expr, arg: Formula) -> Formula:
    """a[:, None] where axes of size 1 are put in, a[:, 0] where they go, else reshape(a, sizes)."""
    before, after = expr.args[0].shape, expr.shape
    if arg.kind == "over" and arg.inside[0] == "entries" and math.prod(after) == 1:
        return arg  # a number, whatever its axes
    index = _ones(before, after, "None") or _ones(after, before, "0")
    if expr.op is V.RESHAPE and index:
        return Formula("part", (_at_least(arg, ATOM), _row(index)))
    return Formula("call", (expr.op.notation.symbol or expr.op.name, arg, sizes(after)))


def _ones(few: Shape, many: Shape, mark: str) -> str:
    """The index that leads from one shape to another, if that has more axes of size 1 only."""
    if len(few) >= len(many) or [n for n in few if n != 1] != [n for n in many if n != 1]:
        return ""
    written, left = [], list(few)
    for n in many:
        same = bool(left) and left[0] == n
        written.append(":" if same else mark)
        left = left[1:] if same else left
    while written and written[-1] == ":" and mark == "None":
        written.pop()
    return ", ".join(written) if not left else ""


def _row(*pieces: str | Formula) -> Formula:
    """Text and boxes side by side."""
    boxes: list[Formula] = []
    for piece in pieces:
        own = Formula("words", (piece,)) if isinstance(piece, str) else piece
        for box in own.inside if own.kind == "row" else [own]:
            if box.kind == "words" and boxes and boxes[-1].kind == "words":
                boxes[-1] = Formula("words", (boxes[-1].inside[0] + box.inside[0],))
            elif box.inside != ("",):
                boxes.append(box)
    return boxes[0] if len(boxes) == 1 else Formula("row", tuple(boxes))


def _listed(pieces: Sequence[str | Formula], between: str = ", ") -> Formula:
    return _row(*[part for piece in pieces for part in (between, piece)][1:])


def sized(count: Count) -> Formula:
    """A number of entries: 3H, H/2, I+H+1."""
    pieces: list[str | Formula] = []
    ordered = sorted(count.terms.items(), key=lambda term: (term[1] < 0, not term[0]))
    for letters, n in ordered:  # H−1, I+H+1
        names = [
            _name(Symbol(letter, "size"))
            if (k := letters.count(letter)) == 1
            else Formula("raised", (_name(Symbol(letter, "size")), _number(k)))
            for letter in dict.fromkeys(letters)
        ]
        sign = "−" if n < 0 else "+" if pieces else ""
        times = str(abs(n.numerator)) if abs(n.numerator) != 1 or not names else ""
        pieces += [sign, times, *names, f"/{n.denominator}" if n.denominator != 1 else ""]
    return _row(*pieces) if pieces else _row("0")


def sizes(shape: Shape) -> Formula:
    """A shape: B × 3H."""
    return _listed([_factor(n) for n in shape], " × ") if shape else _row("1")


def _factor(size: int) -> str | Formula:
    """A size among others, in brackets if it is a sum."""
    count = counted(size)
    if count is None:
        return str(int(size))
    return sized(count) if len(count.terms) == 1 else _row("(", sized(count), ")")


def _range(size: int, start: int, stop: int) -> Formula:
    """start:stop of an axis, in letters where both are known; an end of the axis is not written."""
    ends = [k for k in (start, stop) if 0 < k < size]
    counts = [count for k in ends if (count := place(size, k)) is not None]
    known = len(counts) == len(ends)
    first, last = (
        ""
        if k not in ends
        else sized(count)
        if known and (count := place(size, k))
        else str(int(k))
        for k in (start, stop)
    )
    return _row(first, ":", last)


def _shown(value: Any) -> str | Formula:
    if isinstance(value, tuple):
        inside = _listed([_shown(part) for part in value])
        return inside if len(value) == 1 else _row("(", inside, ")")
    if isinstance(value, slice):
        ends = [value.start, value.stop, *([] if value.step in (None, 1) else [value.step])]
        return _listed(["" if end is None else _shown(end) for end in ends], ":")
    if value is Ellipsis:
        return "…"
    if type(value) is float and math.isfinite(value):
        return _number(value)
    if (count := counted(value)) is not None:
        return sized(count)
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.size <= 2 * SHORT:
        return _row("[", _listed([_shown(n) for n in value.tolist()]), "]")
    return " ".join(str(value).split()).replace("-", "−")  # an array has lines


def _infix(e: Expr, args: list[Formula]) -> Formula:
    """A sign between two arguments, with brackets where it binds more tightly than they do."""
    notation = e.op.notation
    left = _at_least(args[0], notation.binds)
    right = _at_least(args[1], notation.binds + 1)
    return Formula("infix", (left, notation.symbol, right), notation.binds)


def _plus(e: Expr, args: list[Formula]) -> Formula:
    left, right = args
    first = right
    while first.kind in ("plus", "minus"):
        first = first.inside[0]
    signed = first.kind == "signed"
    return Formula("plus", (left, group(right) if signed else right), SUM)


def _minus(e: Expr, args: list[Formula]) -> Formula:
    left, right = args
    return Formula("minus", (left, right if right.kind == "over" else _at_least(right, TIMES)), SUM)


def _multiply(e: Expr, args: list[Formula]) -> Formula:
    left, right = args
    if e.args[0] is e.args[1]:
        return _squared(e, args)
    if is_number(e.args[1]) and not is_number(e.args[0]):
        left, right = right, left
    if left.kind == "number" and right.kind == "scaled" and right.inside[0].kind == "number":
        right = group(right)  # 0.3 (0.3 u), not 0.3 0.3 u
    if is_number(e.args[0]) or is_number(e.args[1]):
        left = left if left.kind == "scaled" else _at_least(left, ATOM)
        if right.kind == "fraction" and right.inside[0].kind != "number":
            above, below = right.inside
            return Formula("fraction", (_scaled(left, above), below))
        return _scaled(left, right)
    left = left if left.kind in ("odot", "scaled") else _at_least(left, ATOM)
    right = right if right.kind == "odot" else _at_least(right, ATOM)
    return Formula("odot", (left, right), TIMES)


def _scaled(number: Formula, box: Formula) -> Formula:
    if box.kind == "holds":
        return Formula("infix", (number, "·", box), TIMES)
    return Formula("scaled", (number, _at_least(box, TIMES)), TIMES)


def _fraction(e: Expr, args: list[Formula]) -> Formula:
    """a / b / c with one bar."""
    above, below = e.args
    if above.op in V.FRACTIONS:
        while above.op in V.FRACTIONS:
            above, inner = above.args
            below = make(V.MULTIPLY, [inner, below], broadcast(inner.shape, below.shape))
        return Formula("fraction", (boxed(above), boxed(below)))
    return Formula("fraction", tuple(args))


def _matmul(e: Expr, args: list[Formula]) -> Formula:
    if e.args[1].ndim == 1:  # no matrix, and no row: an inner product
        return Formula(
            "infix", (_at_least(args[0], PRODUCT), "·", _at_least(args[1], ATOM)), PRODUCT
        )
    left, right = args
    if not (left.kind == "scaled" and left.inside[1].level >= PRODUCT):  # (k a) b is k (a b)
        left = _at_least(left, PRODUCT)
    return Formula("product", (left, _at_least(right, PRODUCT)), PRODUCT)


def _raised(e: Expr, args: list[Formula]) -> Formula:
    return Formula("raised", (_at_least(args[0], ATOM), args[1]))


def _squared(e: Expr, args: list[Formula]) -> Formula:
    return Formula("raised", (_at_least(args[0], ATOM), _number(2)))


def _turned(e: Expr, args: list[Formula]) -> Formula | None:
    if e.op is not V.TRANSPOSE:
        return None  # axes in another order, which no sign says
    return Formula("turned", (_at_least(args[0], ATOM),))


def _total(e: Expr, args: list[Formula]) -> Formula | None:
    """A sum or mean over the batch, over the features, or over all entries."""
    (x,), (arg,) = e.args, args
    if not isinstance(e.params.get("axis"), tuple):
        return None
    summed = [x.shape[axis] for axis in e.params["axis"]]
    if len(summed) == x.ndim and not (x.ndim == 1 and grows(summed[0])):
        over = "entries"
    elif e.params["axis"] == (-x.ndim,) and grows(summed[0]):
        over = "batch"
    elif e.params["axis"] == (-1,) and e.params["keepdims"]:
        over = "features"
    else:
        return None
    sign = e.op.notation.symbol
    if len(sign) > 1:  # a word: it is written as a function
        return Formula("over", (over, group(arg), sign))
    return Formula("over", (over, _at_least(arg, TIMES), sign), SUM)


def _brackets(e: Expr, args: list[Formula]) -> Formula | None:
    beside = e.ndim == 1 or (e.op is V.CONCATENATE and e.params["axis"] == -1)
    return Formula("join", tuple(args)) if beside else None


def _part(arg: Formula, index: Formula) -> Formula:
    return Formula("part", (_at_least(arg, ATOM), index))


def _along(axis: int, ndim: int, index: str | Formula) -> Formula:
    """An index along one axis, counted from the end; axes after it are whole."""
    return _row(":, " * (ndim + axis), index)


def _slice(e: Expr, args: list[Formula]) -> Formula:
    axis = e.params["axis"]
    entries = _range(e.args[0].shape[axis], e.params["start"], e.params["stop"])
    return _part(args[0], _along(axis, e.ndim, entries))


def _entry(e: Expr, args: list[Formula]) -> Formula:
    return _part(args[0], _along(e.params["axis"], e.args[0].ndim, str(e.params["index"])))


def _output(e: Expr, args: list[Formula]) -> Formula:
    return _part(args[0], _row(str(e.params["port"] + 1)))


def _entries(e: Expr, args: list[Formula]) -> Formula:
    index, shape = e.params["index"], e.args[0].shape
    parts = [*index] if isinstance(index, tuple) else [index]
    ranges = iter(taken_ranges(index, len(shape)))
    explicit = not any(part is Ellipsis for part in parts)
    shown: list[str | Formula] = []
    for part in parts:
        axis, _, entries = next(ranges, (0, 0, None)) if isinstance(part, slice) else (0, 0, None)
        if explicit and entries is not None and entries.step in (None, 1):
            shown.append(_range(shape[axis], *entries.indices(shape[axis])[:2]))
        else:
            shown.append(_shown(part))
    return _part(args[0], _listed(shown))


def _signed(e: Expr, args: list[Formula]) -> Formula:
    (arg,) = args
    inside = arg if arg.kind == "over" else _at_least(arg, TIMES)
    return Formula("signed", (e.op.notation.symbol, inside), SUM)


def _indicator(e: Expr, args: list[Formula]) -> Formula:
    left, right = (_at_least(_bare(arg), SUM) for arg in args)
    sign = e.op.notation.symbol
    if _at_times(e.args[1]) and not _at_times(e.args[0]):  # the threshold comes last
        left, sign, right = right, _MIRRORED.get(sign, sign), left
    return Formula("holds", (left, sign, right))


_MIRRORED = {"<": ">", ">": "<", "≤": "≥", "≥": "≤"}


def _bare(box: Formula) -> Formula:
    """A relation inside another, which need not be turned into 1 or 0 first."""
    return group(Formula("relation", box.inside, SUM)) if box.kind == "holds" else box


def _choice(e: Expr, args: list[Formula]) -> Formula:
    condition = args[0]
    if condition.kind == "holds":
        condition = Formula("relation", condition.inside, SUM)
    return Formula("call", (e.op.name, condition, *args[1:]))


def _einsum(e: Expr, args: list[Formula]) -> Formula:
    """A product with its indices, summed over those that the result does not have."""
    left, right, to = (e.params[key] for key in ("left", "right", "to"))
    if "t" in left + right:  # that is the time
        other = next(c for c in "njmlqrsuvwpkabcdefghi" if c not in left + right)
        left, right, to = (letters.replace("t", other) for letters in (left, right, to))
    factors = [
        _part(arg, _listed([Formula("name", (letter, "", "")) for letter in letters]))
        for arg, letters in zip(args, (left, right), strict=True)
    ]
    product = Formula("product", tuple(factors), PRODUCT)
    summed = [c for c in dict.fromkeys(left + right) if c not in to]
    return Formula("over", (",".join(summed), product, "Σ"), SUM) if summed else product


def _logarithm(e: Expr, args: list[Formula]) -> Formula:
    return Formula("call", ("log", args[0]))


def _enclosed(kind: str) -> Callable[[Expr, list[Formula]], Formula]:
    return lambda e, args: Formula(kind, tuple(args))


_OWN: dict[Primitive, Callable[[Expr, list[Formula]], Formula | None]] = {
    V.ADD: _plus,
    V.SUBTRACT: _minus,
    V.MULTIPLY: _multiply,
    V.MATMUL: _matmul,
    V.EINSUM: _einsum,
    V.SLICE: _slice,
    V.TAKE: _entry,
    V.PART: _output,
    V.LOGARITHM: _logarithm,
}
"""Operations whose sign depends on their arguments."""
_FORMS: dict[Arrangement, Callable[[Expr, list[Formula]], Formula | None]] = {
    "infix": _infix,
    "sign": _signed,
    "fraction": _fraction,
    "raised": _raised,
    "squared": _squared,
    "turned": _turned,
    "root": _enclosed("root"),
    "bars": _enclosed("bars"),
    "brackets": _brackets,
    "total": _total,
    "entries": _entries,
    "indicator": _indicator,
    "choice": _choice,
}


# ------------------------------------------------------------------------------------------------
# The whole page


def page(form: Form) -> list[Section]:
    """All that is said about a cell, in order."""
    forward = [FormulaLine(left_side(eq.targets), boxed(eq.value)) for eq in form.forward]
    equations, starts, parameters, inputs, carried = recursion(form)
    meanings = [
        FormulaLine(boxed(e), Formula("partial", (boxed(o), True)))
        for e, o in zip(form.errors, form.outputs, strict=True)
    ]
    for meaning in [*carried, *form.meanings]:
        box = Formula("partial", (boxed(meaning.of), False))
        if not meaning.whole:
            box = Formula("noted", (box, Formula("words", ("the part from later steps",))))
        elif _at_times(meaning.delta) and not _at_times(meaning.of):
            box = Formula("noted", (box, Formula("words", ("the part from step t",))))
        if meaning.definition is not None:
            box = Formula("given", (box, boxed(meaning.of), boxed(meaning.definition)))
        meanings.append(FormulaLine(boxed(meaning.delta), box))
    backward = [FormulaLine(left_side(eq.targets), boxed(eq.value)) for eq in equations]
    first = {g.of: boxed(simplified(g.term)) for g in initial_gradients(form, starts)}
    time = "steps" if "T" in {*(g.of.symbol.name for g in parameters), *form.constants} else "time"
    sums = [
        FormulaLine(
            Formula("partial", (boxed(g.of), False)), _with_initial(g, first.get(g.of), time)
        )
        for g in parameters
    ]
    learned = {e for g in form.initial for e in order([g.term])}
    starts = [g for g, s in zip(starts, form.starts, strict=True) if s not in learned]
    rest = [
        FormulaLine(Formula("partial", (boxed(g.of), False)), boxed(g.term))
        for g in [*inputs, *starts]
    ]
    return [
        Section("Forward, from the first step to the last", forward),
        Section(
            "Names for derivatives of the loss, which is the sum of the steps' losses", meanings
        ),
        Section(
            "Backward, from the last step to the first; terms from beyond the last are zero",
            backward,
        ),
        Section("Gradients", sums + rest),
        *_fixed(form),
    ]


def _at_times(e: Expr) -> bool:
    return any(x.op is V.SYMBOL and x.symbol.time is not None for x in order([e]))


_OTHER_WAY = {"t−1": "t+1", "t+1": "t−1", "0": "T+1", "1": "T"}
_TITLES = {
    "Forward, from the first step to the last": "Forward, from the last step to the first",
    "Backward, from the last step to the first; terms from beyond the last are zero":
        "Backward, from the first step to the last; terms from before the first are zero",
    "the part from later steps": "the part from earlier steps",
}  # fmt: skip


def reversed_in_time(page: list[Section]) -> list[Section]:
    """The same of a cell that runs from the last step to the first: s_t follows from s_{t+1}."""

    def turned(part: Any) -> Any:
        if isinstance(part, Formula):
            if part.kind == "name":
                base, label, time = part.inside
                return part._replace(inside=(base, label, _OTHER_WAY.get(time, time)))
            if part.kind == "words":
                return part._replace(inside=tuple(_TITLES.get(w, w) for w in part.inside))
            return part._replace(inside=turned(part.inside))
        return tuple(map(turned, part)) if isinstance(part, tuple) else part

    return [
        Section(
            _TITLES.get(title, title),
            [FormulaLine(turned(line.left), turned(line.right)) for line in lines],
        )
        for title, lines in page
    ]


def _fixed(form: Form) -> list[Section]:
    """Arrays that the step uses and that have no name of the cell's own."""
    lines = [
        FormulaLine(_name(Symbol(label, "constant")), _array(array))
        for label, array in form.constants.items()
        if label in form.unnamed
    ]
    return [Section("Arrays without a name in the cell", lines)] if lines else []


def _array(array: Array) -> Formula:
    """The numbers of a short row, or how many there are."""
    if array.ndim == 1 and array.size <= SHORT and array.dtype.kind in "fiu":
        return Formula("join", tuple(map(_number, array.tolist())))
    return Formula("words", (" × ".join(map(str, array.shape)) + " fixed numbers",))


def left_side(targets: tuple[Expr, ...]) -> Formula:
    """One name, or several in brackets."""
    boxes = [boxed(target) for target in targets]
    return boxes[0] if len(boxes) == 1 else Formula("join", tuple(boxes))


def _with_initial(g: Gradient, first: Formula | None, time: str) -> Formula:
    """A gradient as a sum over the steps, and the part through the first state."""
    if first is None:
        return _over_time(g, time)
    if g.term.op is V.NUMBER:
        return first
    return Formula("plus", (_over_time(g, time), _at_least(first, TIMES)), SUM)


def _over_time(g: Gradient, time: str) -> Formula:
    term = boxed(g.term)
    if g.term.op is V.NUMBER:
        return term
    if term.kind == "signed":
        sign, inside = term.inside
        return Formula("signed", (sign, Formula("over", (time, inside, "Σ"), SUM)), SUM)
    inner = term if term.kind == "over" else _at_least(term, TIMES)
    return Formula("over", (time, inner, "Σ"), SUM)


__all__ = ["Formula", "FormulaLine", "Section", "boxed", "group", "left_side", "page", "sizes"]
