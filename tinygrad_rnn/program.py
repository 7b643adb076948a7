"""A program: a function's operations, recorded on placeholders, without values.

A trace is the record of a function on placeholders, as a list of equations over primitives. The
pullback of a trace is a trace too, and each of its equations knows which forward equation and
argument it serves. A program can be printed, differentiated and compiled to a Python function.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import Context
from typing import Any, NamedTuple

import numpy as np

from . import tree
from .graph import Array, Leaf, Node, Place, Shape, record_order
from .primitive import Primitive, apply, of_precision
from .refusals import (
    between,
)
from .sweep import pullback
from .tensor import FLOAT, Tensor, tensor


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
        self._check(values)
        known: dict[Var, Any] = dict(zip(self.inputs, values, strict=True))

        def of(atom: Atom) -> Any:
            return atom.value if isinstance(atom, Constant) else known[atom]

        for equation in self.equations:
            arguments = [of(atom) for atom in equation.inputs]
            if any(isinstance(a, Tensor) for a in arguments):
                arguments = [_whole(a) for a in arguments]
            y = apply(equation.primitive, arguments, dict(equation.params))
            parts = y if equation.primitive.multiple else (y,)
            for var, part in zip(equation.outputs, parts, strict=True):
                known[var] = part
                if var.named and isinstance(part, Tensor):
                    part.named(var.name)
        return self._filled([of(atom) for atom in self.outputs])

    def _check(self, values: Sequence[Any]) -> None:
        if len(values) != len(self.inputs):
            names = ", ".join(v.name for v in self.inputs)
            raise TypeError(
                f"this program takes {len(self.inputs)} inputs ({names}), given {len(values)}"
            )
        for var, value in zip(self.inputs, values, strict=True):
            shape = value.shape if hasattr(value, "shape") else np.shape(value)
            if shape != var.shape:
                raise ValueError(
                    f"this program was traced with {var} of shape {var.shape}, given {shape}; "
                    "trace again for other shapes"
                )

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

        def compiled(*values: Any) -> Any:
            self._check(values)
            return self._filled(program(*values))

        return compiled

    def _variables(self) -> Iterator[Var]:
        yield from self.inputs
        for equation in self.equations:
            yield from equation.outputs

    def pullback(self, wanted: Sequence[int | str] | None = None) -> Trace:
        """The program of the backward pass: it takes the inputs and a cotangent for every output,
        and gives the cotangents of the wanted inputs.

        wanted   numbers or names of inputs; all that are floats if left out

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
        floats = [k for k, v in enumerate(self.inputs) if v.dtype.kind == "f"]
        chosen = floats if wanted is None else [self._number(w) for w in wanted]
        for k in chosen:
            if k not in floats:
                given = self.inputs[k]
                raise ValueError(f"{given} holds {given.dtype}, which has no derivative")
        leaves = placeholders(self.like, [v.name for v in self.inputs])
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
            taken = {v.name for v in self.inputs}
            free = (f"g{k}" for k in itertools.count(1) if f"g{k}" not in taken)
            word = ["g"] if len(ends) == 1 and "g" not in taken else [next(free) for _ in ends]
            seeds = [
                (t, tensor(np.ones(t.shape, t.dtype), name))
                for t, name in zip(ends, word, strict=True)
            ]
            forward = [n for n in record_order(t._node for t in ends if t._node) if n.primitive]
            number = {node: k for k, node in enumerate(forward)}
            served: dict[int, tuple[int, int]] = {}  # serial -> forward operation and argument
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
        return program_of([*leaves, *(g for _, g in seeds)], results, tuple(results), served=served)

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


def _whole(value: Any) -> Any:
    """Integers as a tensor, or beside another they would become floats."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
        return of_precision(Tensor(value, None, 0), FLOAT)
    return value


def placeholders(values: Sequence[Array], names: Sequence[str]) -> list[Tensor]:
    """New tensors of some values. Integers take the precision of the floats among these."""
    precision = next((v.dtype for v in values if v.dtype.kind == "f"), FLOAT)
    return [_placeholder(v, name, precision) for v, name in zip(values, names, strict=True)]


def _placeholder(like: Any, name: str, precision: np.dtype[Any]) -> Tensor:
    """A new tensor of an array's value; integers and truth values keep their dtype."""
    made = Tensor(like, Leaf("tensor", like.shape, like.dtype, name, 0, like), 0)
    return of_precision(made, precision)


# ------------------------------------------------------------------------------------------------
# From a record to a program


def program_of(
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
    for node in between(ends, own):
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
