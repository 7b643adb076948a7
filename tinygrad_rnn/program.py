"""A program: a function's operations, recorded on placeholders, without values.

`trace(f, *like)` runs a function once on placeholders and keeps its record as a list of
equations over primitives. The pullback of a trace is a trace too, and each of its equations knows
which forward equation and argument it serves. A program can be printed, differentiated
and compiled to a Python function.

Equations hold for all values, so any other dependence on values is refused on the spot, with the
line that did it: a look at a value (`if`, `float()`, `.numpy()`), a random draw, a `detach`.
"""

from __future__ import annotations

import contextlib
import itertools
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import Context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import ops, tree
from .graph import Array, Leaf, Node, Place, Shape, record_order, watch
from .nn.cell import Cell
from .primitive import Primitive, apply
from .sweep import pullback
from .tensor import Parameter, Tensor, tensor

PACKAGE = str(Path(__file__).parent)


class ValueDependenceError(TypeError):
    """A function's operations depend on values, so no one program describes it."""


class Var:
    """A value in a program: an input, or one output of an equation.

    name    given by the user or by the argument; otherwise t1, t2, ...
    named   whether the user gave it
    shape   as traced
    dtype   as traced
    """

    __slots__ = ("dtype", "name", "named", "shape")

    def __init__(self, name: str, shape: Shape, dtype: np.dtype[Any], named: bool = False) -> None:
        self.name = name
        self.named = named
        self.shape = shape
        self.dtype = dtype

    def __repr__(self) -> str:
        return self.name


class Constant(NamedTuple):
    """An argument that is no variable: a number or an array, by reference.

    name   of a parameter or named tensor that the function uses and was not given
    """

    value: Any
    name: str | None = None

    def __repr__(self) -> str:
        if self.name:
            return self.name
        return repr(self.value) if np.ndim(self.value) == 0 else f"const{np.shape(self.value)}"


Atom = Var | Constant


class Equation(NamedTuple):
    """outputs = primitive(*inputs, **params).

    place   the time step and the scopes it was recorded in
    serves  of a backward equation: (forward equation's number, argument's number)
    """

    primitive: Primitive
    inputs: tuple[Atom, ...]
    params: Mapping[str, Any]
    outputs: tuple[Var, ...]
    place: Place
    serves: tuple[int, int] | None = None

    def __repr__(self) -> str:
        left = ", ".join(map(repr, self.outputs))
        params = [f"{k}={_shown(v)}" for k, v in self.params.items()]
        right = f"{self.primitive.name}({', '.join([*map(repr, self.inputs), *params])})"
        return f"{left} = {right}"


class Trace:
    """A program: inputs, equations in order, outputs. Called, it computes them; it never changes.

    inputs     variables, in the order of the call
    like       the examples that they were traced with
    equations  in an order in which every variable is computed before it is used
    outputs    variables or constants
    structure  the result of the traced function, to be filled with the outputs
    """

    def __init__(
        self,
        inputs: Sequence[Var],
        like: Sequence[Array],
        equations: Sequence[Equation],
        outputs: Sequence[Atom],
        structure: Any,
    ) -> None:
        self.inputs = tuple(inputs)
        self.like = tuple(like)
        self.equations = tuple(equations)
        self.outputs = tuple(outputs)
        self.structure = structure

    def __call__(self, *values: Any) -> Any:
        """Compute the outputs, from arrays or (recorded) from tensors; as the function gave them.

        values   one per input, of the traced shape
        """
        if len(values) != len(self.inputs):
            names = ", ".join(v.name for v in self.inputs)
            raise TypeError(
                f"this program takes {len(self.inputs)} inputs ({names}), given {len(values)}"
            )
        known: dict[Var, Any] = dict(zip(self.inputs, values, strict=True))

        def of(atom: Atom) -> Any:
            return atom.value if isinstance(atom, Constant) else known[atom]

        for equation in self.equations:
            arguments = [of(atom) for atom in equation.inputs]
            y = apply(equation.primitive, arguments, dict(equation.params))
            parts = y if equation.primitive.multiple else (y,)
            for var, part in zip(equation.outputs, parts, strict=True):
                known[var] = part
                if var.named and isinstance(part, Tensor):
                    part.named(var.name)
        return self._filled([of(atom) for atom in self.outputs])

    def _filled(self, found: list[Any]) -> Any:
        return tree.rebuild(self.structure, iter(found))

    def compile(self) -> Callable[..., Any]:
        """The same as one Python function on arrays: straight-line code, nothing recorded."""
        names = {v: f"v{k}" for k, v in enumerate(self._variables())}
        scope: dict[str, Any] = {}

        def of(atom: Atom) -> str:
            if isinstance(atom, Var):
                return names[atom]
            scope[f"c{len(scope)}"] = atom.value
            return f"c{len(scope) - 1}"

        lines = [f"def program({', '.join(names[v] for v in self.inputs)}):"]
        for k, equation in enumerate(self.equations):
            scope[f"f{k}"], scope[f"p{k}"] = equation.primitive.value, dict(equation.params)
            left = ", ".join(names[v] for v in equation.outputs)
            left += "," * equation.primitive.multiple
            given = ", ".join(map(of, equation.inputs))
            first = "[0]" * (equation.primitive.together is not None)
            lines.append(f"    {left} = f{k}({given}, **p{k}){first}")
        lines.append(f"    return [{', '.join(map(of, self.outputs))}]")
        exec("\n".join(lines), scope)  # noqa: S102 - names are ours, none is a user's
        program = scope["program"]
        return lambda *values: self._filled(program(*values))

    def _variables(self) -> Iterator[Var]:
        yield from self.inputs
        for equation in self.equations:
            yield from equation.outputs

    def pullback(self, wanted: Sequence[int | str] | None = None) -> Trace:
        """The program of the backward pass: it takes the inputs and a cotangent for every output,
        and gives the cotangents of the wanted inputs.

        wanted   numbers or names of inputs; all if left out

        Its first equations are those of the forward pass that it needs.

        >>> import tinygrad_rnn as tg, numpy as np
        >>> step = tg.trace(lambda s, W: tg.tanh(s @ W), np.ones((1, 2)), np.ones((2, 2)))
        >>> print(step.pullback(["s"]))
        inputs   s (1, 2), W (2, 2), g (1, 2)
        t1 = matmul(s, W)                        (1, 2)
        t2 = tanh(t1)                            (1, 2)
        t3 = multiply(t2, t2)                    (1, 2)    back through t2
        t4 = subtract(1, t3)                     (1, 2)    back through t2
        t5 = multiply(g, t4)                     (1, 2)    back through t2
        t6 = transpose(W, axes=None)             (2, 2)    back through t1
        t7 = matmul(t5, t6)                      (1, 2)    back through t1
        outputs  t7
        """
        chosen = range(len(self.inputs)) if wanted is None else [self._number(w) for w in wanted]
        leaves = [tensor(a, v.name) for v, a in zip(self.inputs, self.like, strict=True)]
        return Context().run(self._pulled_back, leaves, list(chosen))

    def _number(self, wanted: int | str) -> int:
        names = [v.name for v in self.inputs]
        if wanted in names:
            return names.index(str(wanted))
        if isinstance(wanted, int) and 0 <= wanted < len(names):
            return wanted
        raise ValueError(f"no input {wanted!r}; this program has {', '.join(names)}")

    def _pulled_back(self, leaves: list[Tensor], chosen: list[int]) -> Trace:
        with np.errstate(all="ignore"):  # the placeholders' values mean nothing
            outputs = [
                t for t in tree.leaves(self(*leaves)) if isinstance(t, Tensor) and t.recorded
            ]
            ends = [t for t in outputs if t.dtype.kind == "f"]
            word = ["g"] if len(ends) == 1 else [f"g{k + 1}" for k in range(len(ends))]
            seeds = [
                (t, tensor(np.ones(t.shape, t.dtype), name))
                for t, name in zip(ends, word, strict=True)
            ]
            forward = [n for n in record_order(t._node for t in ends if t._node) if n.primitive]
            number = {node: k for k, node in enumerate(forward)}
            served: dict[int, tuple[int, int]] = {}  # serial -> what it serves
            begun = 0

            def enter(node: Node, i: int) -> None:
                nonlocal begun
                begun = _serial()

            def visit(node: Node, i: int, part: Any) -> None:
                served.update(dict.fromkeys(range(begun, _serial()), (number[node], i)))

            nodes = [leaves[i]._node for i in chosen]
            found = pullback(
                seeds, [n for n in nodes if n], record=True, keep=True, visit=visit, enter=enter
            )
        results: list[Any] = [
            found.get(n, np.zeros(leaves[i].shape, leaves[i].dtype)) if n else None
            for i, n in zip(chosen, nodes, strict=True)
        ]
        return _program([*leaves, *(g for _, g in seeds)], results, tuple(results), served=served)

    def __str__(self) -> str:
        given = ", ".join(f"{v.name} {v.shape}" for v in self.inputs)
        rows = [f"inputs   {given}"]
        names = {k: ", ".join(map(repr, e.outputs)) for k, e in enumerate(self.equations)}
        for equation in self.equations:
            shapes = ", ".join(str(v.shape) for v in equation.outputs)
            row = f"{equation!r:<40} {shapes}"
            if equation.serves is not None:
                row = f"{row:<50} back through {names[equation.serves[0]]}"
            rows.append(row)
        rows.append(f"outputs  {', '.join(map(repr, self.outputs))}")
        return "\n".join(rows)

    def __repr__(self) -> str:
        return (
            f"<trace of {len(self.inputs)} inputs, {len(self.equations)} equations, "
            f"{len(self.outputs)} outputs>"
        )


def _serial() -> int:
    return Leaf("tensor", (), np.dtype(np.float32), None).serial


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    return "..." if value is Ellipsis else repr(value)


# ------------------------------------------------------------------------------------------------
# From a record to a program


def _program(
    inputs: Sequence[Tensor],
    outputs: Sequence[Any],
    structure: Any,
    served: Mapping[int, tuple[int, int]] | None = None,
    names: Sequence[str] | None = None,
) -> Trace:
    """The program that a record on placeholders is; outputs that are no tensors are constants."""
    known: dict[tuple[Node, int], Var] = {}
    labels = names or [t.name or f"x{k + 1}" for k, t in enumerate(inputs)]
    given = []
    for t, label in zip(inputs, labels, strict=True):
        assert t._node is not None
        known[t._node, t._port] = var = Var(label, t.shape, t.dtype)
        given.append(var)
    taken = set(labels)
    fresh = (f"t{k}" for k in itertools.count(1))
    equations: list[Equation] = []
    own = {t._node for t in inputs}
    ends = [t._node for t in outputs if isinstance(t, Tensor) and t._node is not None]
    for node in _between(ends, own):
        if node.primitive is None:
            continue
        multiple = node.primitive.multiple
        made = []
        for port in range(len(node.shape) if multiple else 1):
            label = node.name(port) or ""
            named = bool(label) and label not in taken
            if not named:
                label = next(name for name in fresh if name not in taken)
            taken.add(label)
            var = known[node, port] = Var(label, *node.output(port), named)
            made.append(var)
        equations.append(
            Equation(
                node.primitive,
                tuple(_atom(node, i, known) for i in range(len(node.inputs))),
                node.params,
                tuple(made),
                node.place,
                None if served is None else served.get(node.serial),
            )
        )
    results = [
        _captured(t, known) if isinstance(t, Tensor) else Constant(np.asarray(t)) for t in outputs
    ]
    return Trace(given, [t._value for t in inputs], equations, results, structure)


def _between(ends: Sequence[Node], inputs: set[Node | None]) -> list[Node]:
    """The nodes between inputs and ends, inputs excluded, in order."""
    found = {node for node in ends if node not in inputs}
    stack = list(found)
    while stack:
        for source in stack.pop().inputs:
            if source is not None and source not in found and source not in inputs:
                found.add(source)
                stack.append(source)
    return sorted(found, key=lambda node: node.serial)


def _atom(node: Node, i: int, known: Mapping[tuple[Node, int], Var]) -> Atom:
    """An argument of a recorded operation."""
    source = node.inputs[i]
    if source is None:
        if node.saved is None:
            assert node.primitive is not None
            raise RuntimeError(
                f"{node.primitive.name}{node.place}: this record was differentiated before, and "
                "its saved values were freed then; pass keep_record=True the first time"
            )
        return Constant(node.saved[i])
    var = known.get((source, node.ports[i]))
    if var is not None:
        return var
    assert isinstance(source, Leaf)
    return Constant(source.value(), source.name())


def _captured(t: Tensor, known: Mapping[tuple[Node, int], Var]) -> Atom:
    """A result: a variable, or a tensor that was not computed here."""
    var = None if t._node is None else known.get((t._node, t._port))
    return Constant(t._value, t.name) if var is None else var


def user_line() -> str:
    """The place of the running code outside this package, and its line."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return ""
    file, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, line, frame.f_globals).strip()
    return f"{Path(file).name}, line {line}" + (f": `{text}`" if text else "")


INSTEAD = {
    ".detach()": "detach outside the traced function, or give the detached value as an input",
    "a random draw": "draw a mask outside and give it as an input",
}


@contextlib.contextmanager
def refusing_looks(who: str, inputs: Sequence[Tensor]) -> Iterator[None]:
    """While this lasts, a look at a value that was computed from the inputs is an error."""
    own = {t._node for t in inputs}

    def told(t: Tensor, how: str) -> None:
        if t._node is None or own.isdisjoint(record_order([t._node])):
            return
        instead = INSTEAD.get(
            how, "use tg.where for a choice per entry, and decide everything else outside"
        )
        raise ValueDependenceError(
            f"{who}: {user_line()} looks at the value of a traced tensor through {how}, and "
            f"its further use is not in the record. A program holds for all values: {instead}"
        )

    token = watch.set(told)
    try:
        yield
    finally:
        watch.reset(token)


# ------------------------------------------------------------------------------------------------
# Tracing


def trace(f: Any, *like: Any, step: int | None = None) -> Any:
    """The program of a function, of one step of a cell, or of one step of a record.

    f      a function of arrays; a `Cell`, whose program is that of one step; or the result of
           `unroll`, with `step=`; or (as NumPy has it) a matrix, whose trace, the sum of its
           diagonal, is returned
    like   one example per argument: an array, a tensor, or a structure of them, for shapes and
           dtypes. For a cell: x, and the state if it is not that of `initial_state`
    step   which step of a record

    The inputs of a cell's program are its parameters, by name, then x and the state; its outputs
    are the step's output and the new state.

    Raises ValueDependenceError (a TypeError) for a function that looks at values, draws random
    numbers, detaches, or does other things the second time, with the line that does it.

    >>> import tinygrad_rnn as tg, numpy as np
    >>> program = tg.trace(lambda x, W: tg.tanh(x @ W), np.ones((1, 3)), np.ones((3, 2)))
    >>> print(program)
    inputs   x (1, 3), W (3, 2)
    t1 = matmul(x, W)                        (1, 2)
    t2 = tanh(t1)                            (1, 2)
    outputs  t2
    >>> program.compile()(np.ones((1, 3)), np.ones((3, 2))).round(3)
    array([[0.995, 0.995]])
    """
    if step is not None:
        return _of_record(f, step)
    if isinstance(f, Cell):
        return _of_cell(f, *like)
    if not callable(f):
        return ops.trace(f, *like)
    names = _argument_names(f, len(like))
    parts = [part for name, value in zip(names, like, strict=True)
             for part in tree.paths(value, name)]  # fmt: skip
    who = getattr(f, "__qualname__", type(f).__name__)

    def call(leaves: Sequence[Tensor]) -> Any:
        given = iter(leaves)
        return f(*[tree.rebuild(value, given) for value in like])

    return _traced(who, call, parts, tree.leaves(like))


def _of_cell(cell: Cell, x: Any, state: Any = None) -> Trace:
    own = cell.parameters()
    if state is None:
        state = cell.initial_state(len(tree.leaves(x)[0]))
    who = f"{type(cell).__name__}.step"
    names = [*own, *tree.paths(x, "x"), *tree.paths(state, "s")]

    def call(leaves: Sequence[Tensor]) -> Any:
        given = iter(leaves)
        replaced = {name: next(given) for name in own}
        with _in_place_of(own, replaced):
            return cell.step(tree.rebuild(x, given), tree.rebuild(state, given))

    return _traced(who, call, names, [*own.values(), *tree.leaves(x), *tree.leaves(state)])


@contextlib.contextmanager
def _in_place_of(own: Mapping[str, Parameter], others: Mapping[str, Tensor]) -> Iterator[None]:
    """Parameters that stand for placeholders, as long as this lasts."""
    before = {name: (p._value, p._node) for name, p in own.items()}
    try:
        for name, p in own.items():
            p._value, p._node = others[name]._value, others[name]._node
        yield
    finally:
        for name, p in own.items():
            p._value, p._node = before[name]


def _argument_names(f: Callable[..., Any], n: int) -> list[str]:
    import inspect

    try:
        found = [
            p.name
            for p in inspect.signature(f).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except ValueError:
        found = []
    return [*found[:n], *(f"x{k + 1}" for k in range(len(found), n))]


def _traced(
    who: str, call: Callable[[Sequence[Tensor]], Any], names: Sequence[str], like: Sequence[Any]
) -> Trace:
    """Record a function twice, with other values; the programs must be the same."""
    programs = []
    for rng in (None, np.random.default_rng(0)):
        leaves = [
            tensor(_placeholder(value, rng, f"{who}: {name}"), name)
            for name, value in zip(names, like, strict=True)
        ]
        with refusing_looks(who, leaves):
            result = Context().run(_quiet, watch.get(), call, leaves)
        outputs = tree.leaves(result)
        for t, path in zip(outputs, tree.paths(result), strict=True):
            if not isinstance(t, Tensor):
                raise TypeError(
                    f"{who}: the function returned, at {path or 'the top'}, a {type(t).__name__}; "
                    "wanted a tensor, computed with tg's functions"
                )
        programs.append(_program(leaves, outputs, _bare(result), names=names))
    _same(who, *programs)
    return programs[0]


def _bare(result: Any) -> Any:
    """The structure of a result, holding on to none of its values."""
    return tree.rebuild(result, itertools.repeat(0.0))


def _quiet(told: Any, call: Callable[..., Any], leaves: Sequence[Tensor]) -> Any:
    """The call, always recorded, whatever is set outside; placeholders' values mean nothing."""
    watch.set(told)
    with np.errstate(all="ignore"):
        return call(leaves)


def _placeholder(like: Any, rng: np.random.Generator | None, who: str) -> Array:
    """The example the first time, another value of the same kind the second."""
    value = like._value if isinstance(like, Tensor) else np.asarray(like)
    if value.dtype.kind not in "fiub":
        raise TypeError(f"{who}: given {value.dtype}; wanted real numbers")
    value = np.asarray(value, value.dtype if value.dtype.kind == "f" else np.float64)
    if rng is None:
        return value
    if not value.any():
        return np.asarray(rng.uniform(0.1, 0.9, value.shape), value.dtype)
    return np.asarray(value * rng.uniform(1.1, 1.4), value.dtype)


def _same(who: str, one: Trace, other: Trace) -> None:
    """Raise if two recordings of a function are not the same program."""
    places: tuple[dict[Var, int], dict[Var, int]] = ({}, {})  # in order
    for place, program in zip(places, (one, other), strict=True):
        place.update((var, k) for k, var in enumerate(program.inputs))
    for k, (a, b) in enumerate(itertools.zip_longest(one.equations, other.equations)):
        if a is None or b is None or a.primitive is not b.primitive:
            first, second = (e.primitive.name if e else "nothing" for e in (a, b))
            raise _changed(who, f"operation {k + 1} is {first} the first time and {second}")
        what = f"{a.primitive.name} (operation {k + 1})"
        for p, q in zip(a.inputs, b.inputs, strict=True):
            _same_atom(who, what, p, q, places)
        for name, value in a.params.items():
            if not _equal_params(value, b.params[name]):
                given = f"{name}={_shown(value)} the first time and {_shown(b.params[name])}"
                raise _changed(who, f"{what} has {given}")
        for place, equation in zip(places, (a, b), strict=True):
            place.update((var, len(place) + n) for n, var in enumerate(equation.outputs))
    for n, (p, q) in enumerate(zip(one.outputs, other.outputs, strict=True)):
        _same_atom(who, f"output {n + 1}", p, q, places)


def _changed(who: str, what: str) -> ValueDependenceError:
    return ValueDependenceError(
        f"{who}: {what} the second: the function changes, draws random numbers or reads something "
        "outside itself; give that as an argument"
    )


def _same_atom(
    who: str, what: str, p: Atom, q: Atom, places: tuple[dict[Var, int], dict[Var, int]]
) -> None:
    """Raise if an argument or output of two recordings is another variable or constant."""
    if isinstance(p, Constant) and isinstance(q, Constant):
        if not _equal(p.value, q.value):
            raise ValueDependenceError(
                f"{who}: {what} has another constant of shape {np.shape(p.value)} each time: "
                "random numbers, or values computed outside the record; draw or compute them "
                "outside and give them as an argument"
            )
    elif isinstance(p, Constant) or isinstance(q, Constant) or places[0][p] != places[1][q]:
        raise _changed(who, f"{what} takes {p!r} the first time and {q!r}")


def _equal_params(a: Any, b: Any) -> bool:
    """Whether parameters of an operation are the same: numbers, indices, structures of them."""
    if isinstance(a, tuple | list):
        return type(a) is type(b) and len(a) == len(b) and all(map(_equal_params, a, b))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return _equal(a, b)
    return bool(a is b or a == b)


def _equal(a: Any, b: Any) -> bool:
    return np.shape(a) == np.shape(b) and bool(np.array_equal(a, b, equal_nan=True))


def _of_record(run: Any, step: int) -> Trace:
    """One step cut out of a record: from the state before it to its output and the state after."""
    if not 1 <= step <= len(run.steps):
        raise ValueError(f"trace: step={step}; wanted 1 to {len(run.steps)}, a step of this record")
    before = tree.leaves(run.states[step - 1])
    outputs = [*tree.leaves(run.steps[step - 1]), *tree.leaves(run.states[step])]
    ends = [t._node for t in outputs if t._node is not None]
    first = {(t._node, t._port): t.name or "s" for t in before}
    entering: dict[tuple[Node, int], str] = {}
    for node in record_order(ends):
        if node.place.step != step or node.primitive is None:
            continue
        for source, port in zip(node.inputs, node.ports, strict=True):
            if source is not None and (source.place.step != step or source.primitive is None):
                name = first.get((source, port)) or source.name(port)
                entering.setdefault((source, port), name or f"x{len(entering) + 1}")
    inputs = [Tensor(np.ones(n.output(k)[0], n.output(k)[1]), n, k) for n, k in entering]
    structure = _bare((run.steps[step - 1], run.states[step]))
    return _program(inputs, outputs, structure, names=list(entering.values()))
