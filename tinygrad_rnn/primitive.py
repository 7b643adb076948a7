"""Primitives: an operation declared once, and `apply`, the one place where things get recorded.

A primitive is its value (a NumPy function) and, for each argument, two linear maps: `pull` takes
the cotangent of the result to that argument's cotangent (reverse mode), `push` takes a tangent of
that argument to the result's tangent (forward mode). Four constructors build them:

`elementwise(value, d)`       one partial derivative per argument serves both modes
`linear(value, transpose)`    forward mode is the value itself, reverse mode its transpose
`bilinear(value, ta, tb)`     the same in each of two arguments
`general(value, vjp, jvp)`    the rest (and `variadic` for any number of arguments)

The names of a rule's parameters say what it needs, and the record keeps that and nothing else:

`x`, `a`, `b`, `c`    the arguments (`x` and `a` both mean the first)
`y`                   the result
`shape`               the shape of the argument that is being differentiated
anything else         the keyword argument of that name given to the operation (`axis`, ...)

Rules are written with operators and with this library's own functions. Those compute directly on
arrays and record on tensors, so one rule serves the first derivative at full speed and every
higher one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from .graph import Array, Node, Shape, State, current

if TYPE_CHECKING:
    from .tensor import Tensor

Rule = Callable[..., Any]
Explain = Callable[[Sequence[Shape], dict[str, Any]], str | None]

_VALUES = {"x": 0, "a": 0, "b": 1, "c": 2, "y": -1}


class Recorded:
    """What `apply` looks for among its arguments: a value and the node output it came from."""

    __slots__ = ("__weakref__", "_node", "_port", "_value")

    _value: Any
    _node: Node | None
    _port: int


_tensor: Callable[[Any, Node | None, int], Tensor]


def returns(tensor_type: type[Tensor]) -> type[Tensor]:
    """Make this class what operations return; `Tensor` is built on them, so it comes later."""
    global _tensor  # noqa: PLW0603
    _tensor = tensor_type
    return tensor_type


def wrap(value: Any, node: Node | None, port: int) -> Tensor:
    """A value as a tensor that came from an output of a node (None: from nothing recorded)."""
    return _tensor(value, node, port)


class Primitive:
    """One operation: its name, its value and its derivative rules.

    name       as in error messages and pictures
    value      (*arrays, **params) -> array, or a tuple of arrays if `multiple`
    pulls      per argument: (cotangent, saved, node) -> cotangent of the argument
    pushes     per argument: (tangent, saved, node) -> tangent of the result
    needs      per argument: which saved values its rules read; -1 is the result
    multiple   several outputs; cotangents and tangents of the result are then tuples
    gathers    the cotangent of the second argument is a^T g, a sum over rows: a sweep may collect
               such products over many uses of the argument and do them as one
    into       (buffer, cotangent, params): add the argument's cotangent into an array, where that
               is cheaper than making one (indexing touches a part of it)
    explain    (shapes, params) -> what was wrong with the arguments, for error messages
    """

    __slots__ = (
        "_keeps",
        "explain",
        "gathers",
        "into",
        "multiple",
        "name",
        "needs",
        "pulls",
        "pushes",
        "value",
    )

    def __init__(
        self,
        name: str,
        value: Callable[..., Any],
        pulls: Sequence[Rule],
        pushes: Sequence[Rule],
        needs: Sequence[frozenset[int]],
        *,
        multiple: bool = False,
        gathers: bool = False,
        into: Callable[[Array, Any, dict[str, Any]], None] | None = None,
        explain: Explain | None = None,
    ) -> None:
        self.name = name
        self.value = value
        self.pulls = pulls
        self.pushes = pushes
        self.needs = needs
        self.multiple = multiple
        self.gathers = gathers
        self.into = into
        self.explain = explain
        self._keeps: dict[tuple[bool, ...], tuple[bool, ...]] = {}

    def keeps(self, recorded: tuple[bool, ...]) -> tuple[bool, ...]:
        """Which of (arguments..., result) to save, given which arguments are not constants.

        Constants always are: nothing else leads to them, and a record without them would be no
        program to print or to run again.
        """
        keeps = self._keeps.get(recorded)
        if keeps is None:
            needed: set[int] = set()
            for i, is_recorded in enumerate(recorded):
                if is_recorded:
                    needed |= self.needs[i]
            n = len(recorded)
            keeps = (*(i in needed or not recorded[i] for i in range(n)), -1 in needed)
            self._keeps[recorded] = keeps
        return keeps

    def __call__(self, *arguments: Any, **params: Any) -> Any:
        """Apply it: arguments by position, parameters by name."""
        return apply(self, arguments, params)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


def _adapt(rule: Rule, argument: int) -> tuple[Rule, frozenset[int]]:
    """Turn a rule with named parameters into (g, saved, node) -> ..., and say what it needs."""
    names = list(inspect.signature(rule).parameters)[1:]
    indices = [_VALUES.get(name) for name in names]
    needs = frozenset(i for i in indices if i is not None)
    match indices:
        case []:
            return (lambda g, saved, node: rule(g)), needs
        case [int(i)]:
            return (lambda g, saved, node: rule(g, saved[i])), needs
        case [int(i), int(j)]:
            return (lambda g, saved, node: rule(g, saved[i], saved[j])), needs

    def fetch(saved: Any, node: Node, name: str, index: int | None) -> Any:
        if index is not None:
            return saved[index]
        if name == "shape":
            source = node.inputs[argument]
            assert source is not None  # rules are asked for arguments that were recorded
            return source.output(node.ports[argument])[0]
        return node.params[name]

    pairs = tuple(zip(names, indices, strict=True))
    return (lambda g, saved, node: rule(g, *[fetch(saved, node, n, i) for n, i in pairs])), needs


Partial = Callable[..., Any] | float
"""A partial derivative: a function of values named as in rules, or a constant."""


def _partial_rule(d: Partial, argument: int) -> tuple[Rule, frozenset[int]]:
    """The map v -> v * d, which is its own transpose."""
    if not callable(d):
        if d == 1:
            return (lambda g, saved, node: g), frozenset()
        if d == 0:  # whatever comes from above, even infinity
            return (lambda g, saved, node: np.zeros(g.shape, g.dtype)), frozenset()
        return (lambda g, saved, node: g * d), frozenset()
    match [_VALUES.get(name) for name in inspect.signature(d).parameters]:
        case [int(i)]:
            return (lambda g, saved, node: g * d(saved[i])), frozenset({i})

    names = ", ".join(inspect.signature(d).parameters)
    rule = eval(f"lambda g, {names}: g * d({names})", {"d": d})  # noqa: S307 - our own text
    return _adapt(rule, argument)


def elementwise(name: str, value: Callable[..., Any], *d: Partial) -> Primitive:
    """An operation on matching (broadcast) entries, from one partial derivative per argument.

    >>> import numpy as np
    >>> tanh = elementwise("tanh", np.tanh, lambda y: 1 - y * y)
    >>> product = elementwise("multiply", np.multiply, lambda b: b, lambda a: a)
    """
    rules = [_partial_rule(partial, i) for i, partial in enumerate(d)]
    maps = [rule for rule, _ in rules]
    return Primitive(name, value, maps, maps, [n for _, n in rules], explain=explain_broadcast)


def linear(
    name: str,
    value: Callable[..., Any],
    transpose: Rule,
    *,
    multiple: bool = False,
    into: Callable[[Array, Any, dict[str, Any]], None] | None = None,
    explain: Explain | None = None,
) -> Primitive:
    """A linear operation on one argument: forward mode is the value, reverse mode its transpose.

    >>> import numpy as np
    >>> flip = linear("flip", np.flip, lambda g, axis: apply(flip, (g,), {"axis": axis}))
    """
    pull, needs = _adapt(transpose, 0)

    def push(t: Any, saved: Any, node: Node) -> Any:
        return apply(this, (t,), node.params)

    this = Primitive(
        name, value, [pull], [push], [needs], multiple=multiple, into=into, explain=explain
    )
    return this


def bilinear(
    name: str,
    value: Callable[..., Any],
    first: Rule,
    second: Rule,
    *,
    gathers: bool = False,
    explain: Explain | None = None,
) -> Primitive:
    """An operation linear in each of two arguments; `first` and `second` are its transposes.

    >>> import numpy as np
    >>> outer = bilinear("outer", np.outer, lambda g, b: g @ b, lambda g, a: a @ g)
    """
    pull_a, needs_a = _adapt(first, 0)
    pull_b, needs_b = _adapt(second, 1)

    def push_a(t: Any, saved: Any, node: Node) -> Any:
        return apply(this, (t, saved[1]), node.params)

    def push_b(t: Any, saved: Any, node: Node) -> Any:
        return apply(this, (saved[0], t), node.params)

    this = Primitive(
        name,
        value,
        [pull_a, pull_b],
        [push_a, push_b],
        [needs_a | {1}, needs_b | {0}],
        gathers=gathers,
        explain=explain,
    )
    return this


def general(
    name: str,
    value: Callable[..., Any],
    vjp: Rule | Sequence[Rule],
    jvp: Rule | Sequence[Rule],
    *,
    multiple: bool = False,
    explain: Explain | None = None,
) -> Primitive:
    """Any other operation: per argument a cotangent rule `vjp(g, ...)` and a tangent rule
    `jvp(t, ...)`; the tangents of several arguments are added up.
    """
    pulls = [_adapt(r, i) for i, r in enumerate([vjp] if callable(vjp) else vjp)]
    pushes = [_adapt(r, i) for i, r in enumerate([jvp] if callable(jvp) else jvp)]
    return Primitive(
        name,
        value,
        [rule for rule, _ in pulls],
        [rule for rule, _ in pushes],
        [a | b for (_, a), (_, b) in zip(pulls, pushes, strict=True)],
        multiple=multiple,
        explain=explain,
    )


class _ForEveryArgument(Sequence[Any]):
    """The same entry for however many arguments there are, made when asked for."""

    def __init__(self, entry: Callable[[int], Any]) -> None:
        self._entry = entry

    def __getitem__(self, i: Any) -> Any:
        return self._entry(i)

    def __len__(self) -> int:
        raise TypeError("takes any number of arguments")


def variadic(
    name: str,
    value: Callable[..., Any],
    vjp: Callable[[Any, int, Node], Any],
    jvp: Callable[[Any, int, Node], Any],
    *,
    explain: Explain | None = None,
) -> Primitive:
    """A linear operation on any number of arguments, `value(*arrays, **params)`.

    The rules are told which argument they are for: `vjp(g, i, node)`, `jvp(t, i, node)`.
    """
    return Primitive(
        name,
        value,
        _ForEveryArgument(lambda i: lambda g, saved, node: vjp(g, i, node)),
        _ForEveryArgument(lambda i: lambda t, saved, node: jvp(t, i, node)),
        _ForEveryArgument(lambda i: frozenset()),
        explain=explain,
    )


# ------------------------------------------------------------------------------------------------
# Applying and recording


def apply(primitive: Primitive, arguments: Sequence[Any], params: dict[str, Any]) -> Any:
    """Apply a primitive; record it if an argument is recorded. The only way into the record.

    Arguments are tensors, arrays and Python scalars. Without a tensor among them the result is a
    plain array. Beside a tensor, arrays and scalars are constants and take the tensor's dtype, so
    neither a Python scalar nor a float64 mask turns float32 into float64.
    """
    state = current()
    dtype = None
    for argument in arguments:
        if isinstance(argument, Recorded):
            dtype = argument._value.dtype
            break
    if dtype is None:
        return primitive.value(*arguments, **params)
    values: list[Any] = []
    nodes: list[Node | None] = []
    ports: list[int] = []
    for argument in arguments:
        if isinstance(argument, Recorded):
            values.append(argument._value)
            nodes.append(argument._node)
            ports.append(argument._port)
        else:
            values.append(_constant(argument, dtype, primitive, state))
            nodes.append(None)
            ports.append(0)
    try:
        if state.anomalies:
            with np.errstate(all="ignore"):  # reported below, with the operation and the step
                y = primitive.value(*values, **params)
            _look_at(primitive, state, values, y)
        else:
            y = primitive.value(*values, **params)
    except FloatingPointError:
        raise
    except (ValueError, TypeError, IndexError, ArithmeticError, np.linalg.LinAlgError) as error:
        _fail(primitive, state, values, params, error)
    recorded = tuple([node is not None for node in nodes])
    if not (state.recording and True in recorded):
        if primitive.multiple:
            return tuple([_tensor(part, None, 0) for part in y])
        return _tensor(y, None, 0)
    values.append(y)
    saved = tuple(
        [v if keep else None for v, keep in zip(values, primitive.keeps(recorded), strict=True)]
    )
    if primitive.multiple:
        shape: Any = tuple([part.shape for part in y])
        kind: Any = tuple([part.dtype for part in y])
    else:
        shape, kind = y.shape, y.dtype
    node = Node(primitive, tuple(nodes), tuple(ports), saved, params, shape, kind, state.place)
    if primitive.multiple:
        return tuple([_tensor(part, node, port) for port, part in enumerate(y)])
    return _tensor(y, node, 0)


_NO_PARAMS: dict[str, Any] = {}
_ONE = (0,)
_TWO = (0, 0)
_NONE1 = (None, None)
_NONE2 = (None, None, None)


def apply1(primitive: Primitive, x: Any) -> Any:
    """`apply(primitive, (x,), {})` for one result, without the general case's costs."""
    if not isinstance(x, Recorded):
        return primitive.value(x)
    state = current()
    node = x._node
    if node is None or not state.recording or state.anomalies:
        return apply(primitive, (x,), _NO_PARAMS)
    value = x._value
    y = primitive.value(value)
    keep_x, keep_y = primitive.keeps(_RECORDED1)
    saved = (value if keep_x else None, y if keep_y else None) if keep_x or keep_y else _NONE1
    shape = y.shape
    port = x._port
    return _tensor(
        y,
        Node(
            primitive,
            (node,),
            _ONE if port == 0 else (port,),
            saved,
            _NO_PARAMS,
            node.shape if shape == node.shape else shape,
            y.dtype,
            state.place,
        ),
        0,
    )


_RECORDED1 = (True,)


def apply2(primitive: Primitive, a: Any, b: Any) -> Any:
    """`apply(primitive, (a, b), {})` for one result, without the general case's costs."""
    state = current()
    if isinstance(a, Recorded):
        x, a_node, a_port = a._value, a._node, a._port
        if isinstance(b, Recorded):
            z, b_node, b_port = b._value, b._node, b._port
        else:
            z, b_node, b_port = _constant(b, x.dtype, primitive, state), None, 0
    elif isinstance(b, Recorded):
        z, b_node, b_port = b._value, b._node, b._port
        x, a_node, a_port = _constant(a, z.dtype, primitive, state), None, 0
    else:
        return primitive.value(a, b)
    if (a_node is None and b_node is None) or not state.recording or state.anomalies:
        return apply(primitive, (a, b), _NO_PARAMS)
    try:
        y = primitive.value(x, z)
    except (ValueError, TypeError) as error:
        _fail(primitive, state, (x, z), _NO_PARAMS, error)
    keep_a, keep_b, keep_y = primitive.keeps((a_node is not None, b_node is not None))
    if keep_a or keep_b or keep_y:
        saved = (x if keep_a else None, z if keep_b else None, y if keep_y else None)
    else:
        saved = _NONE2
    shape = y.shape
    if a_node is not None and a_node.shape == shape:
        shape = a_node.shape  # one tuple for all: long records are read faster when they are small
    return _tensor(
        y,
        Node(
            primitive,
            (a_node, b_node),
            (a_port, b_port) if a_port or b_port else _TWO,
            saved,
            _NO_PARAMS,
            shape,
            y.dtype,
            state.place,
        ),
        0,
    )


def _constant(value: Any, dtype: np.dtype[Any], primitive: Primitive, state: State) -> Any:
    """An argument that is not a tensor, as a value that won't change the result's dtype."""
    kind = type(value)
    if kind is np.ndarray:
        if value.dtype == dtype:
            return value
        if value.dtype.kind in "fiub":
            return value.astype(dtype)
    elif kind is float or kind is int or kind is bool:
        return value
    elif isinstance(value, np.generic) and value.dtype.kind in "fiub":
        return value.item()
    elif hasattr(value, "__array_function__") and not isinstance(value, np.ndarray | np.generic):
        return value  # an array of another library, which follows NumPy's protocols
    elif isinstance(value, list | tuple) or hasattr(value, "__array__"):
        array = plain_array(value, f"{primitive.name}{state.place}")
        return _constant(array, dtype, primitive, state)
    what = f"an array of {value.dtype}" if hasattr(value, "dtype") else f"a {kind.__name__}"
    raise TypeError(
        f"{primitive.name}{state.place}: an argument is {what}; "
        "wanted a tensor, a real array or a real number"
    )


def plain_array(value: Any, who: str) -> Array:
    """The array in a container of numbers: a list, a subclass of NumPy's array, a data frame.

    A copy is made only where there is no array to refer to. Refuses a masked array with entries
    that are masked, because there is nothing they could stand for.
    """
    masked = int(np.sum(value.mask)) if hasattr(value, "mask") and hasattr(value, "filled") else 0
    if masked:
        raise TypeError(
            f"{who}: given a masked array of shape {value.shape} with {masked} masked entries; "
            "put numbers in their place (.filled(0)) or leave them out (.compressed())"
        )
    return np.asarray(value)


def _shape_of(value: Any) -> Shape:
    shape: Shape = getattr(value, "shape", ())
    return shape


def explain_broadcast(shapes: Sequence[Shape], params: dict[str, Any]) -> str | None:
    """What is wrong with shapes that are to broadcast, if that is it."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return f"{' and '.join(map(str, shapes))} do not broadcast together"
    return None


def _fail(
    primitive: Primitive,
    state: State,
    values: Sequence[Any],
    params: dict[str, Any],
    error: Exception,
) -> NoReturn:
    """Say again what NumPy said, with the operation, the step and the shapes."""
    shapes = [_shape_of(value) for value in values]
    why = primitive.explain(shapes, params) if primitive.explain else None
    if why is None:
        why = f"{error} (given {', '.join(map(str, shapes))})"
    raise type(error)(f"{primitive.name}{state.place}: {why}") from error


def _look_at(primitive: Primitive, state: State, values: Sequence[Any], y: Any) -> None:
    for part in y if primitive.multiple else (y,):
        fault = anomaly(part)
        if fault:
            clean = not any(anomaly(value) for value in values)
            raise FloatingPointError(
                f"{primitive.name}{state.place}: the result (shape {part.shape}) has {fault}; "
                f"the arguments {'were finite' if clean else 'already had such values'}"
            )


def anomaly(value: Any) -> str | None:
    """What is not finite in an array, in words; None if all of it is finite."""
    if np.isfinite(value).all():
        return None
    flat = np.ravel(value)
    bad = flat[~np.isfinite(flat)]
    few = "1 value that is" if bad.size == 1 else f"{bad.size} values that are not finite, first"
    return f"{few} {bad[0]}"
