"""A derivation as a NumPy program."""

from __future__ import annotations

import json
import keyword
import math
import re
import unicodedata
from collections.abc import Callable, Iterable
from textwrap import indent
from typing import Any

import numpy as np

from ..notation import PRODUCT, SIGN, SUM, TIMES
from ..primitive import Primitive
from . import vocabulary as V
from .expr import Definition, Expr, Form, Gradient, Symbol, labels, order, recursion, results
from .notation import FormulaLine, boxed, left_side
from .print_text import line, text
from .simplify import is_truth
from .sizes import Count, counted, place

_RESERVED = {"np", "math", "t", "T", "outputs", "gradients", *keyword.kwlist}
_SIGN, _RAISED, _ATOM = 3, 4, 5
_LEVELS = {SUM: 1, TIMES: 2, PRODUCT: 2, SIGN: _RAISED}
"""How tightly Python's operators hold together: @ binds as * does."""
_PUT = """\
def put(x, index, shape):
    whole = np.zeros(shape)
    np.add.at(whole, index, x)
    return whole"""
_OVER = """\
def over(a, b):
    return a * (b != 0) / (b + (b == 0))"""
_PUT_ALONG_AXIS = """\
def put_along_axis(x, indices, axis, shape):
    whole = np.zeros(shape)
    places = list(np.indices(indices.shape, sparse=True))
    places[axis] = indices
    np.add.at(whole, tuple(places), x)
    return whole"""


class NoCounterpartError(NotImplementedError):
    """An operation that cannot be written with NumPy."""


class _NumpyWriter:
    """Turns expressions into code.

    kept  symbols (name, kind) whose values of all steps are kept, as s[t]
    """

    def __init__(self, form: Form) -> None:
        self.form = form
        self.kept = _kept(form)
        self.helpers: dict[str, str] = {}
        self._helpers_of = {
            *("put", "put_along_axis", "over"),
            *(_helper(e.op) for e in order(results(form)) if _is_helper(e.op)),
        }
        self.letters: dict[str, str] = {}  # of sizes that occur, as the program calls them
        self.starts: dict[Symbol, str] = {}
        self._names: dict[tuple[str, str], str] = {}

    def ident(self, label: str, kind: str) -> str:
        """A Python name, the same each time, whatever the user's is."""
        if (label, kind) not in self._names:
            # Python reads names in this form, in which two that look alike may be one
            letters = unicodedata.normalize("NFKC", label)
            made = "".join(c if f"a{c}".isidentifier() else "_" for c in letters)
            made = made if made.isidentifier() else f"_{made}"
            while made in _RESERVED or made in self._names.values() or made in self._helpers_of:
                made += "_"
            self._names[label, kind] = made
        return self._names[label, kind]

    def size(self, letter: str) -> str:
        """The variable that holds a size."""
        return self.letters.setdefault(letter, self.ident(letter, "size"))

    def count(self, count: Count) -> str:
        """A number of entries."""
        written = ""
        for letters, n in count.terms.items():
            times = [str(abs(n.numerator))] if abs(n.numerator) != 1 or not letters else []
            term = " * ".join([*times, *map(self.size, letters)])
            term += f" // {n.denominator}" if n.denominator != 1 else ""
            written += f" {'-' if n < 0 else '+'} {term}"
        return written.removeprefix(" + ").strip() or "0"

    def place(self, size: int, k: int) -> str:
        """A position along an axis."""
        known = place(size, k)
        return str(int(k)) if known is None else self.count(known)

    def symbol(self, symbol: Symbol) -> str:
        if symbol.kind == "start":
            return self.starts[symbol]
        if symbol.kind == "size":
            return self.size(symbol.name)
        code = self.ident(symbol.name, symbol.kind)
        if symbol.kind == "cotangent":
            return f"{code}[t - 1]"
        if symbol.time is None or (symbol.name, symbol.kind) not in self.kept:
            return code
        return f"{code}[t]" if symbol.time == 0 else f"{code}[t - 1]"

    def code(self, expr: Expr, level: int = 0) -> str:
        """An expression, in brackets if it holds together less tightly than asked."""
        written, own = self._code(expr)
        return f"({written})" if own < level else written

    def _number(self, expr: Expr, level: int) -> str:
        """An argument of a sum; a truth is made a number."""
        if not is_truth(expr):
            return self.code(expr, level)
        times = f"1.0 * {self.code(expr, _RAISED)}"
        return f"({times})" if level > 2 else times

    def _code(self, expr: Expr) -> tuple[str, int]:
        op = expr.op
        if op is V.SYMBOL:
            return self.symbol(expr.symbol), _ATOM
        if op is V.NUMBER:
            value = _number(expr.value)
            if expr.shape:
                return f"np.full({self._shape(expr.shape)}, {value}, float)", _ATOM
            return value, _ATOM if expr.value >= 0 else 3
        sign = op.notation.numpy
        if sign and not any(map(str.isalnum, sign)):
            return self._operator(expr, sign)
        write = _OWN.get(op)
        if write is not None:
            return write(self, expr), _ATOM
        return self._call(expr), _ATOM

    def _operator(self, expr: Expr, sign: str) -> tuple[str, int]:
        """One of Python's operators between (or before) its arguments."""
        op, args = expr.op, expr.args
        if len(args) == 1:
            one = self._number if op in V.SUMS else self.code
            return f"{sign}{one(args[0], _SIGN)}", _SIGN
        if op.notation.form == "indicator":
            return f"{self.code(args[0], 1)} {sign} {self.code(args[1], 1)}", 0
        own = _LEVELS[op.notation.binds]
        if own == _RAISED:
            return f"{self.code(args[0], _ATOM)} {sign} {self.code(args[1], _ATOM)}", own
        written = self._number if op in V.SUMS else self.code
        left = written(args[0], own)
        if V.MATMUL in (op, args[0].op) and op is not args[0].op and own == _level(args[0]):
            left = f"({left})"  # (a @ b) * c means the same without brackets, but reads worse
        again = op in (V.ADD, V.MULTIPLY) and args[1].op is op  # a + (b + c) needs no brackets
        return f"{left} {sign} {written(args[1], own if again else own + 1)}", own

    def _call(self, expr: Expr) -> str:
        args = ", ".join(map(self.code, expr.args)) + self._keywords(expr)
        op, spelt = expr.op, _spelling(expr.op)
        if spelt is None:
            raise NoCounterpartError(
                f"{op.name}: no NumPy function is known for this operation, so there is no "
                "program; the equations can be printed all the same. Its declaration may give one: "
                'notation=tg.custom.Notation(numpy="...")'
            )
        if _is_helper(op):
            assert op.signature is not None
            names = ", ".join([*op.signature.arguments, *op.signature.params])
            function = _helper(op)
            body = spelt if "return " in spelt else f"return {spelt}"
            self.helpers[function] = f"def {function}({names}):\n{indent(body, '    ')}"
            return f"{function}({args})"
        return f"{spelt}({args})"

    def needs(self, function: str, written: str) -> None:
        """Put a helper above the program."""
        self.helpers[function] = written

    def _keywords(self, expr: Expr) -> str:
        return "".join(f", {k}={self._literal(v)}" for k, v in expr.params.items())

    def _literal(self, value: Any) -> str:
        if (count := counted(value)) is not None:
            return self.count(count)
        if isinstance(value, tuple):
            return f"({', '.join(map(self._literal, value))}{',' * (len(value) == 1)})"
        if isinstance(value, np.ndarray):
            return f"np.array({value.tolist()})"
        return "..." if value is Ellipsis else repr(value)

    def _shape(self, shape: tuple[int, ...]) -> str:
        return self._literal(tuple(shape))

    def _index(self, index: Any) -> str:
        parts = index if isinstance(index, tuple) else (index,)
        written = []
        for part in parts:
            if isinstance(part, slice):
                ends = ["" if p is None else self._literal(p) for p in (part.start, part.stop)]
                step = "" if part.step is None else f":{part.step}"
                written.append(":".join(ends) + step)
            else:
                written.append(self._literal(part))
        return ", ".join(written)


def _level(expr: Expr) -> int:
    return _LEVELS[expr.op.notation.binds] if expr.op.notation.form in _INFIX else _ATOM


_INFIX = ("infix", "fraction")


def _spelling(op: Primitive) -> str | None:
    """A function of NumPy, an expression, or None where nothing is known."""
    if op.notation.numpy:
        return op.notation.numpy
    value = op.value
    if isinstance(value, np.ufunc):
        return f"np.{value.__name__}"
    module = str(getattr(value, "__module__", ""))
    if module.partition(".")[0] == np.__name__:
        return f"{module.replace(np.__name__, 'np', 1)}.{value.__name__}"
    return None


def _is_helper(op: Primitive) -> bool:
    """Whether it is written as an expression, which gets a function of its own."""
    return any(c in op.notation.numpy for c in " (")


def _helper(op: Primitive) -> str:
    """The function's name: that of the operation, or like it where Python would not take it."""
    made = re.sub(r"\W", "_", op.name)
    return made if made.isidentifier() and not keyword.iskeyword(made) else f"_{made}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        return f"float({str(value)!r})"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _axis(expr: Expr) -> str:
    x, axes = expr.args[0], expr.params["axis"]
    if len(axes) == x.ndim:
        return "None" if x.ndim != 1 else "0"
    counted = tuple(axis if axis == -1 else axis % x.ndim for axis in axes)
    return str(counted[0] if len(counted) == 1 else counted)


def _total(w: _NumpyWriter, e: Expr) -> str:
    keep = ", keepdims=True" if e.params["keepdims"] else ""
    return f"{w.code(e.args[0], _ATOM)}.{e.op.name}(axis={_axis(e)}{keep})"


def _transpose(w: _NumpyWriter, e: Expr) -> str:
    if e.ndim == 2:
        return f"{w.code(e.args[0], _ATOM)}.T"
    return f"np.swapaxes({w.code(e.args[0])}, -1, -2)"


def _cut(w: _NumpyWriter, e: Expr) -> str:
    (x,), axis = e.args, e.params["axis"]
    start, stop = (w.place(x.shape[axis], e.params[end]) for end in ("start", "stop"))
    before = "..., " if e.ndim > -axis else ""
    return f"{w.code(x, _ATOM)}[{before}{start}:{stop}{', :' * (-1 - axis)}]"


def _take(w: _NumpyWriter, e: Expr) -> str:
    after = ", :" * (-1 - e.params["axis"])
    return f"{w.code(e.args[0], _ATOM)}[..., {e.params['index']}{after}]"


def _concatenated(w: _NumpyWriter, e: Expr) -> str:
    return f"np.{e.op.name}([{', '.join(map(w.code, e.args))}], axis={e.params['axis']})"


def _scatter(w: _NumpyWriter, e: Expr) -> str:
    return _put(w, e, w._index(e.params["index"]))


def _put(w: _NumpyWriter, e: Expr, index: str) -> str:
    w.needs("put", _PUT)
    return f"put({w.code(e.args[0])}, np.s_[{index}], {w._shape(e.shape)})"


def _over(w: _NumpyWriter, e: Expr) -> str:
    w.needs("over", _OVER)
    return f"over({', '.join(map(w.code, e.args))})"


def _raised(w: _NumpyWriter, e: Expr) -> str:
    a, b, guard = e.args
    return f"np.power({w.code(a)}, {w.code(b, 1)} + ({w.code(guard)}))"


def _logarithm(w: _NumpyWriter, e: Expr) -> str:
    return f"np.log({' + '.join(w.code(arg, 1) for arg in e.args)})"


def _put_along_axis(w: _NumpyWriter, e: Expr) -> str:
    w.needs("put_along_axis", _PUT_ALONG_AXIS)
    args = ", ".join(map(w.code, e.args))
    return f"put_along_axis({args}, {e.params['axis']}, {w._shape(e.shape)})"


def _put_rows(w: _NumpyWriter, e: Expr) -> str:
    return _put(w, e, w.code(e.args[1]))


def _on_diagonal(w: _NumpyWriter, e: Expr) -> str:
    if e.ndim != 2 or e.shape[0] != e.shape[1]:
        raise NoCounterpartError(f"{e.op.name}: NumPy makes square matrices only")
    offset = f", {e.params['offset']}" if e.params["offset"] else ""
    return f"np.diag({w.code(e.args[0])}{offset})"


def _letters(e: Expr) -> str:
    return f"{e.params['left']},{e.params['right']}->{e.params['to']}"


_OWN: dict[Primitive, Callable[[_NumpyWriter, Expr], str]] = {
    V.SUM: _total,
    V.MEAN: _total,
    V.TRANSPOSE: _transpose,
    V.SLICE: _cut,
    V.TAKE: _take,
    V.PART: lambda w, e: f"{w.code(e.args[0], _ATOM)}[{e.params['port']}]",
    V.CONCATENATE: _concatenated,
    V.STACK: _concatenated,
    V.SCATTER: _scatter,
    V.OVER: _over,
    V.RAISED: _raised,
    V.LOGARITHM: _logarithm,
    V.PUT_ALONG_AXIS: _put_along_axis,
    V.PUT_ROWS: _put_rows,
    V.FROM_DIAGONAL: _on_diagonal,
    V.GETITEM: lambda w, e: f"{w.code(e.args[0], _ATOM)}[{w._index(e.params['index'])}]",
    V.RESHAPE: lambda w, e: f"np.reshape({w.code(e.args[0])}, {w._shape(e.shape)})",
    V.BROADCAST_TO: lambda w, e: f"np.broadcast_to({w.code(e.args[0])}, {w._shape(e.shape)})",
    V.EINSUM: lambda w, e: f"np.einsum({_letters(e)!r}, {', '.join(map(w.code, e.args))})",
    V.PERMUTE: lambda w, e: f"np.transpose({w.code(e.args[0])}, {e.params['axes']})",
}
"""Operations whose code depends on the shape or on more than their arguments."""


def _kept(form: Form) -> set[tuple[str, str]]:
    """The forward values that the backward pass or the next step reads."""
    kept = {(s.symbol.name, "state") for s in form.states}
    later = [e.value for e in form.backward] + [c.value for c in form.carries]
    later += [g.term for g in [*form.parameters, *form.inputs]]
    for expr in order(later):
        if expr.op is V.SYMBOL and expr.symbol.kind == "value" and expr.symbol.time is not None:
            kept.add((expr.symbol.name, "value"))
    return kept


# ------------------------------------------------------------------------------------------------
# The program


def program(form: Form) -> str:
    """The source text of a function that does the forward and the backward pass.

    Raises NoCounterpartError for an operation that NumPy does not have.
    """
    w = _NumpyWriter(form)
    givens = [w.ident(g.of.symbol.name, "parameter") for g in form.parameters]
    givens += [w.ident(label, "constant") for label in form.constants]
    sequences = {g.of: w.ident(f"{g.of.symbol.name}s", "sequence") for g in form.inputs}
    givens += sequences.values()
    starts = {c.state: w.ident(f"{c.state.symbol.name}_0", "start") for c in form.carries}
    givens += starts.values()
    givens += [w.ident(e.symbol.name, "cotangent") for e in form.errors]
    givens += [f"{w.ident(label, 'scalar')}={value!r}" for label, value in form.scalars.items()]
    forward = _forward(w, sequences, starts)
    backward = _backward(w, sequences)
    xs = next(iter(sequences.values()))
    body = [
        f'"""One forward and one backward pass of {form.cell}.',
        "",
        *map(_prose, _described(form, w, sequences)),
        '"""',
        f"T = len({xs})",
        *(f"{own} = {_having(w, letter, xs)}" for letter, own in w.letters.items()),
        *forward,
        "",
        *backward,
    ]
    text_of = "\n".join(f"    {row}".rstrip() for row in body)
    helpers = "".join(f"\n\n{helper}\n" for helper in w.helpers.values())
    first = "import math\n\n" if "math." in helpers else ""
    head = f"{first}import numpy as np\n{helpers}"
    return f"{head}\n\ndef forward_backward({', '.join(givens)}):\n{text_of}\n"


def _having(w: _NumpyWriter, letter: str, xs: str) -> str:
    """A size, told by an argument that has it."""
    if letter == w.form.batch:
        return f"{xs}.shape[1]"
    form = w.form
    owners = [(g.of.shape, w.ident(g.of.symbol.name, "parameter")) for g in form.parameters]
    owners += [(c.state.shape, w.ident(f"{c.state.symbol.name}_0", "start")) for c in form.carries]
    for of, kind in [
        *((g.of, "sequence") for g in form.inputs),
        *((e, "cotangent") for e in form.errors),
    ]:
        label = f"{of.symbol.name}s" if kind == "sequence" else of.symbol.name
        owners.append(((0, *of.shape), w.ident(label, kind)))
    found = (
        f"{owner}.shape[{k}]"
        for shape, owner in owners
        for k, n in enumerate(shape)
        if (count := counted(n)) is not None and count.letter == letter
    )
    return next(found, str(form.sizes[letter]))


def _described(form: Form, w: _NumpyWriter, sequences: dict[Expr, str]) -> Iterable[str]:
    for x, xs in sequences.items():
        yield f"{xs}[t - 1] is {text(boxed(x))}, for t = 1..T."
    for e, o in zip(form.errors, form.outputs, strict=True):
        code, of = w.ident(e.symbol.name, "cotangent"), text(boxed(o))
        yield f"{code}[t - 1] is {text(boxed(e))} = ∂Lₜ/∂{of}, where L = Σₜ Lₜ is the loss."
    yield "Returns the outputs (T, ...) and the gradients of L by name."


def _commented(equation: Definition) -> str:
    return f"# {_prose(line(FormulaLine(left_side(equation.targets), boxed(equation.value))))}"


def _prose(words: str) -> str:
    """Words for a comment or a docstring, which end neither: a user's name may hold anything."""
    printable = "".join(c if c.isprintable() else " " for c in words)
    return printable.replace("\\", "/").replace('"', "'")


def _forward(w: _NumpyWriter, sequences: dict[Expr, str], starts: dict[Expr, str]) -> list[str]:
    form = w.form
    rows = []
    for state, start in starts.items():
        rows.append(f"{w.ident(state.symbol.name, 'state')} = {{0: {start}}}")
    others = sorted(label for label, kind in w.kept if kind == "value")
    if others:
        idents = [w.ident(label, "value") for label in others]
        rows.append(f"{', '.join(idents)} = {', '.join(['{}'] * len(idents))}")
    outputs = (
        ["outputs"]
        if len(form.outputs) == 1
        else [f"outputs_{k}" for k in range(1, len(form.outputs) + 1)]
    )
    rows += [f"{name} = []" for name in outputs]
    x = ", ".join(w.symbol(x.symbol) for x in sequences)
    xs = ", ".join(sequences.values())
    if len(sequences) > 1:
        x, xs = f"({x})", f"zip({xs})"
    rows.append(f"for t, {x} in enumerate({xs}, start=1):")
    for equation in form.forward:
        rows += ["    " + row for row in (_commented(equation), _assigned(w, equation))]
    for name, o in zip(outputs, form.outputs, strict=True):
        rows.append(f"    {name}.append({w.code(o)})")
    return rows


def _assigned(w: _NumpyWriter, equation: Definition) -> str:
    targets = [w.symbol(target.symbol) for target in equation.targets]
    value = w.code(equation.value)
    if len(targets) == 1:
        return f"{targets[0]} = {value}"
    axis = next(
        k - equation.value.ndim
        for k, n in enumerate(equation.value.shape)
        if n != equation.targets[0].shape[k]
    )
    sizes = [target.shape[axis] for target in equation.targets]
    ends = str(len(sizes))
    if len(set(sizes)) > 1:
        cuts = np.cumsum(sizes)[:-1].tolist()
        ends = f"[{', '.join(w.place(equation.value.shape[axis], k) for k in cuts)}]"
    return f"{', '.join(targets)} = np.split({value}, {ends}, axis={axis})"


def _backward(w: _NumpyWriter, sequences: dict[Expr, str]) -> list[str]:
    form = w.form
    rows = []
    totals = {g.of: w.ident(f"d{g.of.symbol.name}", "total") for g in form.parameters}
    for g in form.parameters:
        code = w.ident(g.of.symbol.name, "parameter")
        rows.append(f"{totals[g.of]} = np.zeros_like({code})")
    each = [w.ident(f"d{g.of.symbol.name}s", "total") for g in form.inputs]
    rows += [
        f"{name} = np.zeros({xs}.shape)" for name, xs in zip(each, sequences.values(), strict=True)
    ]
    for carry in form.carries:
        start = w.ident(f"{carry.state.symbol.name}_0", "start")
        rows.append(f"{w.symbol(carry.name.symbol)} = np.zeros_like({start})")
    rows.append("for t in range(T, 0, -1):")
    used = {
        e.symbol
        for e in order(
            [g.term for g in [*form.parameters, *form.inputs]]
            + [e.value for e in form.backward]
            + [c.value for c in form.carries]
        )
        if e.op is V.SYMBOL
    }
    loop = [
        f"{w.symbol(x.symbol)} = {xs}[t - 1]" for x, xs in sequences.items() if x.symbol in used
    ]
    shown = recursion(form)
    comments = {e.targets: _commented(e) for e in shown.equations}
    for equation in form.backward:
        loop += [comments[equation.targets], _assigned(w, equation)]
    for g, said in zip(form.parameters, shown.parameters, strict=True):
        if g.term.op is not V.NUMBER:
            loop += [_note(said, "Σₜ "), f"{totals[g.of]} += {w.code(g.term)}"]
    for g, said, name in zip(form.inputs, shown.inputs, each, strict=True):
        loop += [_note(said), f"{name}[t - 1] = {w.code(g.term)}"]
    loop += ["# handed back to step t − 1", *_handed_back(w)]
    rows += ["    " + row for row in loop]
    outputs = (
        "np.stack(outputs)"
        if len(form.outputs) == 1
        else ", ".join(f"np.stack(outputs_{k})" for k in range(1, len(form.outputs) + 1))
    )
    outputs = outputs if len(form.outputs) == 1 else f"({outputs})"
    symbols = {s: w.symbol(c.name.symbol) for s, c in zip(form.starts, form.carries, strict=True)}
    w.starts = {s.symbol: code for s, code in symbols.items()}
    for g in form.initial:
        rows.append(f"{totals[g.of]} += {w.code(g.term)}  # through the first state")
    values = [*(totals[g.of] for g in form.parameters), *each]
    values += [w.symbol(c.name.symbol) for c in form.carries]
    pairs = zip(labels(form), values, strict=True)
    found = [f"{json.dumps(label, ensure_ascii=False)}: {code}" for label, code in pairs]
    return [*rows, f"gradients = {{{', '.join(found)}}}", f"return {outputs}, gradients"]


def _note(g: Gradient, before: str = "") -> str:
    return f"# ∂L/∂{_prose(text(boxed(g.of)))} = {before}{_prose(text(boxed(g.term)))}"


def _handed_back(w: _NumpyWriter) -> list[str]:
    targets = [w.symbol(carry.name.symbol) for carry in w.form.carries]
    values = [w.code(carry.value) for carry in w.form.carries]
    later = {e for carry in w.form.carries[1:] for e in order([carry.value])}
    if not later & {carry.name for carry in w.form.carries}:
        return [f"{target} = {value}" for target, value in zip(targets, values, strict=True)]
    return [f"{', '.join(targets)} = {', '.join(values)}"]
