"""The NumPy backend: straight-line code on reused buffers.

Steps are done in blocks, so that values of many steps at once stay in the cache and
memory does not grow with the length. Values that the backward pass reads are kept for all steps.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from ..notation import Notation
from ..ops.primitives import (
    ADD,
    CONCATENATE,
    DIVIDE,
    EXPM_ALONG,
    MATMUL,
    MULTIPLY,
    NEGATIVE,
    SUBTRACT,
    SUM,
)
from ..primitive import Primitive
from ..program import Atom, Constant, Equation, Var
from . import native_products, pool, runtime
from .optimise import turned
from .split import Part, of_fixed_matrix

BLOCK_BYTES = 4 << 20
"""How many bytes the values of one block of steps may take, in native loops."""
CACHE_BYTES = 1 << 19
"""The same in loops of NumPy's, where a value goes to memory and back in every operation."""
STEPS = 16
"""So many steps a block has there at least: products over their rows are slow if they are few."""

Place = Literal["fixed", "block", "stack"]
"""Where a value of the loop is: one buffer, one for every step of a block, or of the sequence."""

OUTSIDE = ("before", "after")

NUMBERED = re.compile(r"(S|G|r|d|dx|sum|next)\d+")
"""Names that the code has for itself."""

_RANK = {"fixed": 0, "block": 1, "stack": 2}


class Compiled(NamedTuple):
    """One direction, compiled.

    run     the function
    source  its code
    """

    run: Callable[..., Any]
    source: str


class Writer:
    """Code that is being written: lines, names, and the values that the names stand for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.scope: dict[str, Any] = {"np": np, **{k: getattr(runtime, k) for k in (
            "batch", "total", "rows", "pack")}, "take": pool.take, "give": pool.give,
            "many": native_products.many, "totals": native_products.totals,
            "entries": entries}  # fmt: skip
        self.names: dict[Var, str] = {}
        self.numbers: dict[Any, str] = {}
        self.taken: set[str] = set(keyword.kwlist) | set(dir(builtins)) | set(self.scope) | {
            "T", "K", "a", "b", "n", "i", "xs", "s0", "outside", "constants", "kept", "G", "g_last"
        }  # fmt: skip

    def name(self, var: Var) -> str:
        """A name of its own for a value, the user's if possible."""
        if var not in self.names:
            word = "".join(c if c.isalnum() and c.isascii() else "_" for c in var.name) or "v"
            word = word if not word[0].isdigit() else f"v{word}"
            own, k = word, 2
            while NUMBERED.fullmatch(own) or not self.taken.isdisjoint(_forms(own)):
                own, k = f"{word}_{k}", k + 1
            self.taken.update(_forms(own))
            self.names[var] = own
        return self.names[var]

    def free(self, word: str) -> str:
        """A name that nothing has."""
        k = 1
        while f"{word}{k}" in self.taken:
            k += 1
        self.taken.add(f"{word}{k}")
        return f"{word}{k}"

    def put(self, value: Any, word: str) -> str:
        """A name for an object that the code uses."""
        word = "".join(c if c.isalnum() and c.isascii() else "_" for c in word)
        for known, held in self.scope.items():
            if held is value and known.startswith(word):
                return known
        own, k = word, 2
        while own in self.taken:
            own, k = f"{word}_{k}", k + 1
        self.taken.add(own)
        self.scope[own] = value
        return own

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A number in code; as an array of a dtype, which NumPy would make of it in every call."""
        number = type(value) in (int, float) and math.isfinite(value)
        if number and dtype is not None and abs(value) <= np.finfo(dtype).max:
            return self.shared(value, dtype)
        if type(value) in (int, bool) or (type(value) is float and math.isfinite(value)):
            return repr(value) if not isinstance(value, float) or value >= 0 else f"({value!r})"
        return self.put(value, "k")

    def shared(self, value: Any, dtype: Any) -> str:
        """The name of a number as an array."""
        key = (float(value), dtype)
        if key not in self.numbers:
            word = f"k{value}".replace("-", "minus_")
            self.numbers[key] = self.put(np.array(value, dtype), word)
        return self.numbers[key]

    def call(self, f: np.ufunc, given: Sequence[str], out: str) -> str:
        """A call that writes into a buffer: named arguments cost as much as a small addition."""
        word = "out=" * (f in (np.maximum, np.minimum))  # NumPy wants them so
        return f"{self.put(f, f.__name__)}({', '.join(given)}, {word}{out})"

    def line(self, depth: int, text: str) -> None:
        """Add a line."""
        self.lines.append("    " * depth + text)

    def done(self, name: str) -> Compiled:
        """Compile the lines written so far."""
        source = "\n".join(self.lines) + "\n"
        scope = dict(self.scope)
        exec(compile(source, f"<{name} of a scan>", "exec"), scope)  # noqa: S102
        return Compiled(scope[name], source)


SUMS = (ADD, SUBTRACT)
LINEAR: dict[Primitive, tuple[int, ...]] = {
    MULTIPLY: (0, 1), DIVIDE: (0,), MATMUL: (0, 1), NEGATIVE: (0,), EXPM_ALONG: (1,),
}  # fmt: skip
"""The arguments that an operation is linear in, where its kind does not say so."""


def entries(stack: Any) -> list[Any]:
    """The numbers of a vector, as arrays that can be written to."""
    return [stack[i, ...] for i in range(len(stack))]


def _forms(name: str) -> set[str]:
    """A name and those of its buffers."""
    return {name, *(f"{prefix}_{name}" for prefix in ("all", "b", "blk", "r"))}


class Emitter:
    """Writes the equations of one direction.

    native  whether products outside the loop may be native code
    """

    def __init__(self, w: Writer, part: Part, places: dict[Var, Place], native: bool) -> None:
        self.w = w
        self.native = native
        self.sums: list[str] = []
        self.ends: list[str] = []
        self.totals: dict[Var, str] = {}
        self.gathered: dict[Var, list[tuple[Var | None, str]]] = {}
        self.level = part.level
        self.place = places
        self.makers = {
            v: e for e in (*part.once, *part.before, *part.loop, *part.after) for v in e.outputs
        }
        self.written: set[Var] = set()
        self.read: dict[Var, None] = {}
        self.buffered: dict[Var, None] = {}
        self.strided: set[Var] = set()
        self.instead: dict[Var, Var] = {}

    # -- atoms ----------------------------------------------------------------------------------

    def once(self, atom: Any) -> str:
        """A value that is the same in all steps."""
        return self.w.constant(atom.value) if isinstance(atom, Constant) else self.w.name(atom)

    def many(self, atom: Any, ndim: int | None = None) -> str:
        """A value of all steps of the block; axes to broadcast as one step's value would."""
        if isinstance(atom, Constant) or self.level[atom] == "once":
            return self.once(atom)
        name = f"b_{self.w.name(self.instead.get(atom, atom))}"
        if ndim is not None and 0 < len(atom.shape) < ndim:
            return f"{name}[:, {', '.join(['None'] * (ndim - len(atom.shape)))}]"
        if ndim and not atom.shape:
            return f"{name}.reshape(n{', 1' * ndim})"
        return name

    def step(self, atom: Any) -> str:
        """A value in one step."""
        if isinstance(atom, Constant) or self.level[atom] == "once":
            return self.once(atom)
        atom = self.instead.get(atom, atom)
        self.read.setdefault(atom)
        return self.w.name(atom)

    # -- equations ------------------------------------------------------------------------------

    def values(
        self, e: Equation, atom: Callable[..., str], out: str, ndim: int | None
    ) -> list[str]:
        """Lines that write an elementwise operation, or a product, into a buffer; [] if it has
        to be called."""
        f, dtype = e.primitive.value, _dtype(e.inputs)
        if dtype is None or dtype.kind != "f":
            dtype = None
        given = [
            self.w.constant(a.value, dtype) if isinstance(a, Constant)
            else atom(a) if ndim is None else atom(a, ndim)
            for a in e.inputs
        ]  # fmt: skip
        if isinstance(f, np.ufunc) and not e.params:
            if e.primitive is MATMUL:
                return [] if ndim is not None else [self._product(e, given, out)]
            return [self.w.call(f, given, out)]
        if e.primitive.kind == "elementwise" and e.outputs[0].dtype == dtype:
            return chain(e, given, out, self.w)
        return []

    def _product(self, e: Equation, given: list[str], out: str) -> str:
        """A product in one step; `dot` asks less before it begins."""
        shapes = [np.ndim(x.value) if isinstance(x, Constant) else len(x.shape) for x in e.inputs]
        dtypes = {x.dtype for x in (*e.inputs, *e.outputs) if isinstance(x, Var)}
        contiguous = self.instead.get(e.outputs[0], e.outputs[0]) not in self.strided
        if shapes == [2, 2] and len(dtypes) == 1 and contiguous:
            return f"{given[0]}.dot({given[1]}, {out})"
        return self.w.call(np.matmul, given, out)

    def call(self, e: Equation, atom: Callable[[Any], str]) -> str:
        """A call of the operation on plain arrays."""
        f = self.w.put(e.primitive.value, f"f_{e.primitive.name}")
        given = ", ".join([atom(a) for a in e.inputs])
        params = f", **{self.w.put(dict(e.params), 'p')}" if e.params else ""
        first = "[0]" if e.primitive.together is not None else ""
        return f"{f}({given}{params}){first}"

    def batched(self, e: Equation, word: str = "batch") -> str:
        """A call of the operation for all steps of a block."""
        f = e.primitive.value
        if e.primitive.together is not None:
            own = f
            f = lambda *a, **p: own(*a, **p)[0]  # noqa: E731
        by_step = [isinstance(a, Var) and self.level[a] != "once" for a in e.inputs]
        given = ", ".join([self.many(a) for a in e.inputs])
        params = self.w.put(dict(e.params), "p")
        return (
            f"{word}({self.w.put(f, f'f_{e.primitive.name}')}, n, [{given}], {by_step}, {params})"
        )

    def write_once(self, depth: int, e: Equation) -> None:
        """An operation that is done once."""
        left = ", ".join([self.w.name(v) for v in e.outputs]) + "," * e.primitive.multiple
        turn = turned(e)
        if turn is not None:  # products read it many times
            self.w.line(depth, f"{left} = np.ascontiguousarray({self.once(turn)}.T)")
            return
        self.w.line(depth, f"{left} = {self.call(e, self.once)}")

    def write_many(self, depth: int, e: Equation) -> None:
        """An operation for all steps of a block."""
        if e.outputs[0] in self.written:
            return
        self.written.update(e.outputs)
        v = self.instead.get(e.outputs[0], e.outputs[0])
        name = f"b_{self.w.name(v)}"
        there = self.place.get(v)
        if len(e.outputs) == 1 and there is not None:
            if there == "block" and v not in self.buffered:
                self.w.line(depth, f"{name} = blk_{self.w.name(v)}[:n]")
            self.buffered.setdefault(v)
            lines = self.values(e, self.many, name, len(v.shape))
            if not lines and of_fixed_matrix(e, self.level):
                a, b = e.inputs
                if self._natively(a, b) and native_products.has_many(v.dtype):
                    lines = [f"many({self.many(a)}, {self.once(b)}, {name})"]
                else:
                    lines = [f"np.matmul(rows({self.many(a)}), {self.once(b)}, out=rows({name}))"]
            if not lines:
                lines = [f"{name}[...] = {self.batched(e)}"]
            for line in lines:
                self.w.line(depth, line)
            return
        left = ", ".join([f"b_{self.w.name(u)}" for u in e.outputs]) + "," * e.primitive.multiple
        self.w.line(depth, f"{left} = {self.batched(e)}")
        for u in e.outputs:
            if self.place.get(u) is not None:
                self.buffered.setdefault(u)
                own = self.w.name(u)
                self.w.line(depth, f"all_{own}[a:b] = b_{own}")

    def write_needed(self, depth: int, atom: Any) -> None:
        """The equations outside the loop that a value needs, once each."""
        stack = [atom]
        while stack:
            v = stack[-1]
            e = self.makers.get(v) if isinstance(v, Var) else None
            if e is None or v in self.written or self.level[v] not in OUTSIDE:
                stack.pop()
                continue
            missing = [
                a
                for a in e.inputs
                if isinstance(a, Var)
                and a not in self.written
                and a in self.makers
                and self.level[a] in OUTSIDE
            ]
            if missing:
                stack += missing
                continue
            self.write_many(depth, e)
            stack.pop()

    def _natively(self, a: Any, b: Any) -> bool:
        return (
            self.native
            and isinstance(a, Var)
            and isinstance(b, Var)
            and a.dtype == b.dtype
            and a.dtype in (np.float32, np.float64)
        )

    def total(self, depth: int, atom: Any) -> str:
        """The sum over all steps of a value, as an expression for when all blocks are done."""
        if isinstance(atom, Constant) or self.level[atom] == "once":
            return f"T * {self.once(atom)}"
        e = self.makers.get(atom)
        if (
            e is None
            or self.level[atom] not in OUTSIDE
            or atom in self.written
            or len(e.outputs) > 1
        ):
            self.write_needed(depth, atom)
            return self._added(depth, f"{self.many(atom)}.sum(0)")
        if e.primitive is MATMUL:
            left, right = e.inputs
            a = None
            if isinstance(left, Var) and self.level[left] in OUTSIDE:
                a = turned(self.makers.get(left))
            if a is not None and isinstance(right, Var) and len(right.shape) == 2:
                by_step = self.level[a] != "once" and self.level[right] != "once"
                if by_step:
                    self.write_needed(depth, a)
                    self.write_needed(depth, right)
                    if self._natively(a, right) and native_products.has_totals(a.dtype):
                        return self._gathered(a, right)
                    return self._added(depth, f"rows({self.many(a)}).T @ rows({self.many(right)})")
        if e.primitive is SUM:
            a = e.inputs[0]  # type: ignore[assignment]
            assert isinstance(a, Var)
            axis = e.params["axis"]
            axes = range(len(a.shape)) if axis is None else np.atleast_1d(axis).tolist()
            over = (0, *[x % len(a.shape) + 1 for x in axes])
            self.write_needed(depth, a)
            if over == (0, 1) and len(a.shape) == 2:
                return f"{self._gathered(None, a)}.reshape({atom.shape})"
            return self._added(depth, f"{self.many(a)}.sum({over}).reshape({atom.shape})")
        if self._commutes(e):
            if atom not in self.totals:
                value = self.call(
                    e, lambda a: self.total(depth, a) if self._summed(e, a) else self.once(a)
                )
                self.totals[atom] = self.w.free("sum")
                self.ends.append(f"{self.totals[atom]} = {value}")
            return self.totals[atom]
        if e.primitive.kind == "elementwise":
            self.write_needed(depth, atom)
            return self._added(depth, f"{self.many(atom)}.sum(0)")
        for argument in e.inputs:
            self.write_needed(depth, argument)
        return self._added(depth, self.batched(e, "total"))

    def _summed(self, e: Equation, a: Any) -> bool:
        """Whether an argument of an operation that commutes with sums is summed."""
        return e.primitive in SUMS or (isinstance(a, Var) and self.level[a] != "once")

    def _commutes(self, e: Equation) -> bool:
        """Whether an operation may be done once, on the sum over all steps, for what it makes no
        larger: it is linear in the one argument that changes, or a sum."""
        summed = [i for i, a in enumerate(e.inputs) if self._summed(e, a)]
        if e.primitive not in SUMS:
            kind = e.primitive.kind
            places = LINEAR.get(e.primitive, (0,) if kind in ("linear", "structural") else ())
            if len(summed) != 1 or summed[0] not in places or len(e.inputs) > max(places) + 1:
                return False
        size = math.prod(e.outputs[0].shape)
        return all(
            isinstance(a, Constant) or math.prod(a.shape) <= size
            for a in [e.inputs[i] for i in summed]
        )

    def _sum(self, begin: str) -> str:
        name = self.w.free("sum")
        self.sums.append(f"{name} = {begin}")
        return name

    def _added(self, depth: int, value: str) -> str:
        """The name of a sum to which something is added in every block."""
        name = self._sum("0")
        self.w.line(depth, f"{name} = {name} + {value}")
        return name

    def _gathered(self, left: Var | None, right: Var) -> str:
        """The name of sum_t left_t^T right_t, which `write_totals` does; None is all ones."""
        known = self.gathered.setdefault(right, [])
        for source, name in known:
            if source is left:
                return name
        count, dtype = 1 if left is None else left.shape[1], self.w.put(right.dtype, "dtype")
        known.append((left, self._sum(f"np.zeros(({count}, {right.shape[1]}), {dtype})")))
        return known[-1][1]

    def write_totals(self, depth: int) -> None:
        """The sums over a block of the products with one right factor, in one go."""
        for right, sums in self.gathered.items():
            g = self.many(right)
            if all(left is None for left, _ in sums):  # with ones several times faster than .sum
                ones = f"np.ones(n * {right.shape[0]}, {self.w.put(right.dtype, 'dtype')})"
                self.w.line(depth, f"{sums[0][1]} += {ones} @ rows({g})")
                continue
            sources = ", ".join(["None" if a is None else self.many(a) for a, _ in sums])
            names = ", ".join([name for _, name in sums])
            self.w.line(depth, f"totals([{sources}], {g}, [{names}])")


def _dtype(atoms: Sequence[Atom]) -> Any:
    found = [a.dtype for a in atoms if isinstance(a, Var)]
    return found[0] if len(set(found)) == 1 else None


# ------------------------------------------------------------------------------------------------
# Expressions as calls with out=

_OPERATORS = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power",
}  # fmt: skip


def chain(e: Equation, given: Sequence[str], out: str, w: Writer) -> list[str]:
    """An elementwise operation's NumPy notation as calls that all write into one buffer; [] if
    it is no such chain."""
    notation: Notation = e.primitive.notation
    signature = e.primitive.signature
    if not notation.numpy or signature is None or notation.form != "call":
        return []
    try:
        tree = ast.parse(notation.numpy, mode="eval").body
    except SyntaxError:
        return []
    dtype = e.outputs[0].dtype
    names = dict(zip(signature.arguments, given, strict=True))
    names |= {k: w.constant(v, dtype) for k, v in e.params.items()}
    lines: list[str] = []

    def leaf(node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return names.get(node.id)
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return w.constant(node.value, dtype)
        return None

    def write(node: ast.expr) -> bool:
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            word, parts = _OPERATORS[type(node.op)], [node.left, node.right]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            word, parts = "negative", [node.operand]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "np"
            and isinstance(getattr(np, node.func.attr, None), np.ufunc)
            and not node.keywords
        ):
            word, parts = node.func.attr, list(node.args)
        else:
            return False
        words = []
        inner = [p for p in parts if leaf(p) is None]
        if len(inner) > 1 or (inner and not write(inner[0])):
            return False
        for part in parts:
            found = leaf(part)
            words.append(out if found is None else found)
        lines.append(w.call(getattr(np, word), words, out))
        return True

    if isinstance(tree, ast.Attribute):  # "np.tanh"
        f = getattr(np, tree.attr, None)
        if not isinstance(f, np.ufunc) or e.params:
            return []
        return [w.call(f, given, out)]
    if leaf(tree) is not None or not write(tree) or out in given:
        return []
    return lines


# ------------------------------------------------------------------------------------------------
# Places of the loop's values


class Targets(NamedTuple):
    """Where the values of a loop are.

    places  of every value that has a buffer of its own, or a part of one
    parts   values that are written into a part of another: (the other, index, its beginning)
    views   equations whose results are views: they are made once, not in every step
    copies  (equation, argument) of concatenations whose argument is copied into its part
    """

    places: dict[Var, Place]
    parts: dict[Var, tuple[Var, str, int]]
    views: list[Equation]


def targets(loop: Sequence[Equation], need: dict[Var, Place], taken: set[Var]) -> Targets:
    """Choose places.

    need    which values are read after the loop, or by the other direction
    taken   values whose place is somebody else's choice (the states)
    """
    made = {v: e for e in loop for v in e.outputs}
    views = [e for e in loop if is_view(e) and isinstance(e.inputs[0], Var) and e.inputs[0] in made]
    viewed = {v for e in views for v in e.outputs}
    place: dict[Var, Place] = {v: need.get(v, "fixed") for v in made}
    for e in reversed(views):
        source = e.inputs[0]
        assert isinstance(source, Var)
        for v in e.outputs:
            if _RANK[place[v]] > _RANK[place[source]]:
                place[source] = place[v]
    for e in views:
        source = e.inputs[0]
        assert isinstance(source, Var)
        for v in e.outputs:
            place[v] = place[source]
    parts: dict[Var, tuple[Var, str, int]] = {}
    for e in loop:
        if e.primitive is not CONCATENATE:
            continue
        whole, axis, start = e.outputs[0], e.params["axis"], 0
        for a in e.inputs:
            size = a.shape[axis] if isinstance(a, Var) else np.shape(a.value)[axis]
            if (
                isinstance(a, Var)
                and a in made
                and a not in viewed
                and a not in parts
                and a not in taken
                and a.dtype == whole.dtype
                and len(made[a].outputs) == 1
                and _RANK[place[a]] <= _RANK[place[whole]]
                and whole not in taken
            ):
                before = ":, " * axis
                parts[a] = whole, f"{before}{start}:{start + size}", start
                place[a] = place[whole]
            start += size
    return Targets(place, parts, views)


def in_place(
    equations: Sequence[Equation],
    uses: Mapping[Var, int],
    places: Mapping[Var, Place],
    sharing: Collection[Any],
    late: Collection[Var],
    strided: Collection[Var],
) -> dict[Var, Var]:
    """Values that are in the memory of the one that is made of them, as nothing else reads them.

    uses     how often every value is read
    places   of the values
    sharing  values whose memory is a part of another's, or has parts
    late     values whose memory has something else before they are computed
    strided  values whose memory is part of another's, where products are slow
    """
    makers = {v: e for e in equations for v in e.outputs}
    found: dict[Var, Var] = {}
    for e in reversed(equations):
        u = e.outputs[0]
        f = e.primitive.value
        if not isinstance(f, np.ufunc) or e.params or e.primitive is MATMUL:
            continue
        if u in late or u not in places:
            continue
        for v in e.inputs:
            if (
                isinstance(v, Var)
                and v in makers
                and uses[v] == 1
                and v not in sharing
                and not (u in strided and makers[v].primitive is MATMUL)
                and places.get(v) in ("fixed", "block")
                and _RANK[places[v]] <= _RANK[places[u]]
                and (v.shape, v.dtype) == (u.shape, u.dtype)
            ):
                found[v] = found.get(u, u)
                break
    return found


def is_view(e: Equation) -> bool:
    """Whether the results are views of the argument, whatever its strides."""
    if e.primitive.kind != "structural" or len(e.inputs) != 1 or not isinstance(e.inputs[0], Var):
        return False
    v, f, params = e.inputs[0], e.primitive.value, dict(e.params)
    room = np.empty((2, *[2 * n for n in v.shape]), v.dtype)
    example = room[(slice(None), *[slice(None, None, 2)] * len(v.shape))]
    made: Any = f(example[0], **params)
    many: Any = runtime.batch(f, 2, [example], [True], params)
    parts = (*made, *many) if e.primitive.multiple else (made, many)
    return all(isinstance(p, np.ndarray) and np.shares_memory(p, example) for p in parts)


def width(variables: Any) -> int:
    """The bytes of one step's values."""
    return sum([math.prod(v.shape) * v.dtype.itemsize for v in variables])


__all__ = ["Compiled", "Emitter", "Primitive", "Targets", "Writer", "targets", "width"]
