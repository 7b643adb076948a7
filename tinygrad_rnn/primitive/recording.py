"""`apply`, the one place where operations are recorded; `Recorded`, the values it looks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ..graph import Node, Place, Shape, State, current, serials
from .constants import COPIED_BYTES, UNCHANGING, own, plain_array, protect, protected

if TYPE_CHECKING:
    from ..tensor import Tensor
    from .operation import Primitive


class Recorded:
    """A recorded argument, as `apply` looks for it: a value and the node output it came from."""

    __slots__ = ("__weakref__", "_like", "_node", "_port", "_value")

    _value: Any
    _node: Node | None
    _port: int
    _like: np.dtype[Any]  # of truth values and integers: the precision of their sources


_tensor: type[Tensor]


def returns(tensor_type: type[Tensor]) -> type[Tensor]:
    """Make this the class of results; `Tensor` is built on operations, so it comes later."""
    global _tensor  # noqa: PLW0603
    _tensor = tensor_type
    return tensor_type


_astype: Primitive


def converts(primitive: Primitive) -> Primitive:
    """Make this the operation that gives a tensor another precision."""
    global _astype  # noqa: PLW0603
    _astype = primitive
    return primitive


def wrap(value: Any, node: Node | None, port: int) -> Tensor:
    """A value as a tensor that came from an output of a node (None: from nothing recorded)."""
    return _tensor(value, node, port)


def apply(primitive: Primitive, arguments: Sequence[Any], params: dict[str, Any]) -> Any:
    """Apply a primitive; record it if an argument is recorded. The only way into the record.

    Arguments are tensors, arrays and Python scalars. Without a tensor among them the result is a
    plain array. Beside a tensor, arrays and scalars are constants and take the tensor's dtype, so
    neither a Python scalar nor a float64 mask turns float32 into float64. Beside a tensor of
    float64, one of float32 is brought to float64 where derivatives are computed from it.
    """
    state = current()
    if len(arguments) == 1:
        (x,) = arguments
        if not isinstance(x, Recorded):
            y = primitive.value(x, **params)
            return y if primitive.together is None else y[0]
        if not state.inspectors and primitive.together is None:
            source = x._node if state.recording else None
            result = _apply_one(primitive, x, source, params, state)
            if result is not None:
                return result
    dtype: Any = None
    recorded = several = False
    for argument in arguments:
        if isinstance(argument, Recorded) and (found := argument._value.dtype) is not dtype:
            recorded = True
            if found.kind == "f":
                several = several or (dtype is not None and found != dtype)
                dtype = found
    if not recorded:
        y = primitive.value(*arguments, **params)
        return y if primitive.together is None else y[0]
    if dtype is None:
        return _apply_flat(primitive, arguments, params, state)
    if several:
        arguments = _promoted(primitive, arguments)
        dtype = _DOUBLE
    values: list[Any] = []
    nodes: list[Node | None] = []
    ports: list[int] = []
    for argument in arguments:
        if isinstance(argument, Recorded):
            value = argument._value
            if value.dtype.kind in "iu" and primitive.pulls[len(values)] is not None:
                value = value.astype(dtype)
            values.append(value)
            nodes.append(argument._node)
            ports.append(argument._port)
        else:
            values.append(_constant(argument, dtype, primitive, state))
            nodes.append(None)
            ports.append(0)
    return _run(primitive, arguments, values, nodes, ports, params, state, dtype)


def _promoted(primitive: Primitive, arguments: Sequence[Any]) -> Sequence[Any]:
    """Arguments of an operation, those that its rules compute with in double precision.

    The value promotes by itself, and so does a product with the cotangent, which is all that the
    rules of a bilinear operation do; but 1 / b would be rounded before it meets the cotangent.
    """
    if primitive.kind == "bilinear":
        return arguments
    read = {k for i in range(len(arguments)) for k in primitive.needs[i]}
    return [
        apply(_astype, (a,), {"dtype": _DOUBLE})
        if k in read and isinstance(a, Recorded) and a._value.dtype == _SINGLE
        else a
        for k, a in enumerate(arguments)
    ]


def _apply_one(
    primitive: Primitive, x: Recorded, source: Node | None, params: dict[str, Any], state: State
) -> Any:
    """`apply` to one tensor of floats, without the general case's costs; else None.

    source   where it is from, if that is to be recorded
    """
    value = x._value
    kind = value.dtype
    if kind is not _SINGLE and kind is not _DOUBLE:
        return None
    try:
        y = primitive.value(value, **params)
    except FloatingPointError:
        raise
    except (ValueError, TypeError, IndexError, ArithmeticError, np.linalg.LinAlgError) as error:
        _fail(primitive, state, (x,), (value,), params, error)
    if source is None:
        if primitive.multiple:
            return tuple([_unrecorded(part) for part in y])
        tensor = _unrecorded(y)
        return tensor if y.dtype is kind else of_precision(tensor, kind)
    keep_x, keep_y = primitive.kept.get(_RECORDED1) or primitive.keeps(_RECORDED1)
    saved = (value if keep_x else None, y if keep_y else None) if keep_x or keep_y else _NONE1
    for param in params.values():
        if type(param) not in UNCHANGING:
            params = {name: own(param) for name, param in params.items()}
            break
    port = x._port
    inputs, ports = (source,), _ONE if port == 0 else (port,)
    if primitive.multiple:
        shapes = tuple([part.shape for part in y])
        kinds = tuple([part.dtype for part in y])
        node = Node(primitive, inputs, ports, saved, params, shapes, kinds, state.place)
        return tuple([_tensor(part, node, port) for port, part in enumerate(y)])
    dtype = y.dtype
    tensor = _recorded(y, primitive, inputs, ports, saved, params, y.shape, dtype, state.place)
    if dtype is not kind:
        of_precision(tensor, kind)
    return tensor


def _apply_flat(
    primitive: Primitive, arguments: Sequence[Any], params: dict[str, Any], state: State
) -> Any:
    """`apply` where all tensors are truth values or integers.

    Arithmetic of them with numbers has the precision of the tensors that they were computed from,
    as that of a constant would; of integers alone it gives integers where NumPy's does.
    """
    like = next(precision(a) for a in arguments if isinstance(a, Recorded))
    values: list[Any] = [
        a._value if isinstance(a, Recorded) else a if np.isscalar(a) else np.asarray(a)
        for a in arguments
    ]
    given = zip(arguments, values, strict=True)
    numbers = [value for a, value in given if not isinstance(a, Recorded)]
    bends = primitive.kind == "elementwise" and len(values) == 1 and values[0].dtype.kind == "b"
    if bends or any(np.result_type(v).kind == "f" for v in numbers):
        values = [
            v.astype(like) if hasattr(v, "astype") and primitive.pulls[i] is not None else v
            for i, v in enumerate(values)
        ]
    nodes = [a._node if isinstance(a, Recorded) else None for a in arguments]
    ports = [a._port if isinstance(a, Recorded) else 0 for a in arguments]
    result = _run(primitive, arguments, values, nodes, ports, params, state, like, flat=True)
    return tuple([of_precision(part, like) for part in result]) if primitive.multiple else result


def precision(tensor: Recorded) -> np.dtype[Any]:
    """The precision of a tensor, or of those that truth values or integers were computed from.

    Float32, as of all numbers that come without a dtype, if they were computed from none.
    """
    dtype: np.dtype[Any] = tensor._value.dtype
    return dtype if dtype.kind == "f" else getattr(tensor, "_like", _SINGLE)


def of_precision(tensor: Tensor, like: np.dtype[Any]) -> Tensor:
    """The tensor itself; if it has no precision of its own, it takes this one beside numbers."""
    if tensor._value.dtype.kind != "f":
        tensor._like = like
    return tensor


def _run(
    primitive: Primitive,
    arguments: Sequence[Any],
    values: list[Any],
    nodes: list[Node | None],
    ports: list[int],
    params: dict[str, Any],
    state: State,
    like: np.dtype[Any],
    flat: bool = False,
) -> Any:
    """Compute the result and record it, if one of the arguments is recorded.

    like   the precision that truth values and integers take when they meet other numbers
    flat   the tensors among the arguments are all such; numbers that they become, as in a fraction
           or a choice between numbers, are of that precision, unless another is asked for
    """
    if primitive.together is not None:  # its residuals may be its arguments
        values = [
            v.copy() if type(v) is np.ndarray and n is None and v.nbytes <= COPIED_BYTES else v
            for v, n in zip(values, nodes, strict=True)
        ]
        params = {name: own(value) for name, value in params.items()}
    try:
        if state.inspectors:
            with np.errstate(all="ignore"):  # for an inspector to report, with the operation
                y = primitive.value(*values, **params)
        else:
            y = primitive.value(*values, **params)
    except FloatingPointError:
        raise
    except (ValueError, TypeError, IndexError, ArithmeticError, np.linalg.LinAlgError) as error:
        _fail(primitive, state, arguments, values, params, error)
    if flat and not primitive.multiple and primitive.kind != "structural" and y.dtype.kind == "f":
        y = y.astype(like)
    last = y
    if primitive.together is not None:
        y, last = y  # the residuals are kept in place of the result
    recorded = tuple([node is not None for node in nodes])
    node = None
    if state.recording and True in recorded:
        marks = None
        if False in recorded:
            marks = protected(primitive, recorded, arguments, values)
        if params:
            params = {name: own(value) for name, value in params.items()}
        values.append(last)
        saved = tuple(
            [v if keep else None for v, keep in zip(values, primitive.keeps(recorded), strict=True)]
        )
        if primitive.multiple:
            shape: Any = tuple([part.shape for part in y])
            kind: Any = tuple([part.dtype for part in y])
        else:
            shape, kind = y.shape, y.dtype
        node = Node(primitive, tuple(nodes), tuple(ports), saved, params, shape, kind, state.place)
        node.marks = marks
    for inspector in state.inspectors:
        inspector.operation(primitive, state.place, values[: len(nodes)], y, node)
    if primitive.multiple:
        return tuple([_tensor(part, node, port) for port, part in enumerate(y)])
    return _single(y, node, like)


def _single(y: Any, node: Node | None, like: np.dtype[Any]) -> Tensor:
    return of_precision(_tensor(y, node, 0), like)


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
    if state.inspectors:
        return apply(primitive, (x,), _NO_PARAMS)
    value = x._value
    recorded = node is not None and state.recording
    try:
        y = primitive.value(value)
    except TypeError as error:  # minus of truth values
        if not recorded:
            return apply(primitive, (x,), _NO_PARAMS)
        _fail(primitive, state, (x,), (value,), _NO_PARAMS, error)
    dtype = y.dtype
    if dtype is not value.dtype or (dtype is not _SINGLE and dtype is not _DOUBLE):
        return apply(primitive, (x,), _NO_PARAMS)  # not of floats, or in an unusual form
    if node is None or not state.recording:
        return _unrecorded(y)
    keep_x, keep_y = primitive.kept.get(_RECORDED1) or primitive.keeps(_RECORDED1)
    saved = (value if keep_x else None, y if keep_y else None) if keep_x or keep_y else _NONE1
    shape = y.shape
    if shape == node.shape:
        shape = node.shape  # one tuple for all: long records are read faster when they are small
    ports = (x._port,) if x._port else _ONE
    return _recorded(y, primitive, (node,), ports, saved, _NO_PARAMS, shape, dtype, state.place)


_new = object.__new__


def _unrecorded(y: Any) -> Tensor:
    """`_tensor(y, None, 0)`, in the same way as `_recorded`."""
    tensor = _new(_tensor)
    tensor._value = y
    tensor._node = None
    tensor._port = 0
    return tensor


def _recorded(
    y: Any,
    primitive: Primitive,
    inputs: tuple[Node | None, ...],
    ports: tuple[int, ...],
    saved: tuple[Any, ...],
    params: dict[str, Any],
    shape: Shape,
    dtype: np.dtype[Any],
    place: Place,
    marks: list[tuple[int, int]] | None = None,
) -> Tensor:
    """`_tensor(y, Node(...), 0)` without the two calls from C back to Python that those are."""
    node = _new(Node)
    node.primitive = primitive
    node.inputs = inputs
    node.ports = ports
    node.saved = saved
    node.params = params
    node.shape = shape
    node.dtype = dtype
    node.place = place
    node.serial = next(serials)
    node.names = None
    node.marks = marks
    tensor = _new(_tensor)
    tensor._value = y
    tensor._node = node
    tensor._port = 0
    return tensor


_RECORDED1 = (True,)
_ndarray = np.ndarray
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def apply2(primitive: Primitive, a: Any, b: Any) -> Any:
    """`apply(primitive, (a, b), {})` for one result, without the general case's costs."""
    state = current()
    if isinstance(a, Recorded):
        x, a_node, a_port = a._value, a._node, a._port
        if isinstance(b, Recorded):
            z, b_node, b_port = b._value, b._node, b._port
        else:
            z, b_node, b_port = b, None, 0
            if type(b) is not _ndarray or b.dtype is not x.dtype:
                z = _constant(b, x.dtype, primitive, state)
    elif isinstance(b, Recorded):
        z, b_node, b_port = b._value, b._node, b._port
        x, a_node, a_port = a, None, 0
        if type(a) is not _ndarray or a.dtype is not z.dtype:
            x = _constant(a, z.dtype, primitive, state)
    else:
        return primitive.value(a, b)
    if state.inspectors:
        return apply(primitive, (a, b), _NO_PARAMS)
    unrecorded = (a_node is None and b_node is None) or not state.recording
    try:
        y = primitive.computed(x, z)
    except (ValueError, TypeError) as error:
        if unrecorded:
            return apply(primitive, (a, b), _NO_PARAMS)
        if a_node is None or b_node is None or x.dtype is z.dtype:
            _fail(primitive, state, (a, b), (x, z), _NO_PARAMS, error)
        return apply(primitive, (a, b), _NO_PARAMS)
    dtype = y.dtype
    first = isinstance(a, Recorded) if unrecorded else a_node is not None
    if (dtype is not _SINGLE and dtype is not _DOUBLE) or dtype is not (x if first else z).dtype:
        return apply(primitive, (a, b), _NO_PARAMS)  # not of floats, or of several dtypes
    if unrecorded:
        return _unrecorded(y)
    marks = None
    if a_node is None:
        keep_a, keep_b, keep_y = primitive.kept.get(_SECOND) or primitive.keeps(_SECOND)
        if x is a and type(x) is _ndarray and 0 in primitive.needs[1]:
            if x.nbytes <= COPIED_BYTES:
                x = x.copy()
            else:
                x, marks = protect(x, 0)
    elif b_node is None:
        keep_a, keep_b, keep_y = primitive.kept.get(_FIRST) or primitive.keeps(_FIRST)
        if z is b and type(z) is _ndarray and 1 in primitive.needs[0]:
            if z.nbytes <= COPIED_BYTES:
                z = z.copy()
            else:
                z, marks = protect(z, 1)
    else:
        keep_a, keep_b, keep_y = primitive.kept.get(_BOTH) or primitive.keeps(_BOTH)
        if (keep_a or keep_b) and x.dtype is not z.dtype:
            return apply(primitive, (a, b), _NO_PARAMS)
    if keep_a or keep_b or keep_y:
        saved = (x if keep_a else None, z if keep_b else None, y if keep_y else None)
    else:
        saved = _NONE2
    shape = y.shape
    if a_node is not None and a_node.shape == shape:
        shape = a_node.shape
    inputs, ports = (a_node, b_node), (a_port, b_port) if a_port or b_port else _TWO
    return _recorded(
        y, primitive, inputs, ports, saved, _NO_PARAMS, shape, dtype, state.place, marks
    )


_FIRST = (True, False)
_SECOND = (False, True)
_BOTH = (True, True)


def _constant(value: Any, dtype: np.dtype[Any], primitive: Primitive, state: State) -> Any:
    """An argument that is not a tensor, as a value that won't change the result's dtype."""
    kind = type(value)
    if kind is np.ndarray:
        if value.dtype == dtype:
            return value
        if value.dtype.kind in "fiu":
            return value.astype(dtype)
        if value.dtype.kind == "b":
            return value  # truth values change no dtype
    elif kind is float or kind is int or kind is bool:
        return value
    elif isinstance(value, np.generic) and value.dtype.kind in "fiub":
        return value.item()
    elif isinstance(value, float):
        return value  # a number that remembers more than its value
    elif hasattr(value, "__array_function__") and not isinstance(value, np.ndarray | np.generic):
        # an array of another library, which follows NumPy's protocols
        return value if value.dtype == dtype else value.astype(dtype)
    elif isinstance(value, list | tuple) or hasattr(value, "__array__"):
        array = plain_array(value, f"{primitive.name}{state.place}")
        return _constant(array, dtype, primitive, state)
    given = f"an array of {value.dtype}" if hasattr(value, "dtype") else f"a {kind.__name__}"
    raise TypeError(
        f"{primitive.name}{state.place}: an argument is {given}; "
        "wanted a tensor, a real array or a real number"
    )


def _shape_of(value: Any) -> Shape:
    shape: Shape = getattr(value, "shape", ())
    return shape


def _fail(
    primitive: Primitive,
    state: State,
    arguments: Sequence[Any],
    values: Sequence[Any],
    params: dict[str, Any],
    error: Exception,
) -> NoReturn:
    """Raise NumPy's error again, with the operation, the step, the shapes and the names."""
    shapes = [_shape_of(value) for value in values]
    why = primitive.explain(shapes, params) if primitive.explain else None
    if why is None:
        why = f"{error} (given {', '.join(map(str, shapes))})"
    for shape, argument in zip(shapes, arguments, strict=True):
        node = argument._node if isinstance(argument, Recorded) else None
        name = None if node is None else node.name(argument._port)
        if name is not None:
            why += f"; {shape} is {name}"
    kind: Any = type(error)
    if kind.__module__ == "numpy._core._exceptions":  # of no text, but of a ufunc and dtypes
        kind = TypeError
    raise kind(f"{primitive.name}{state.place}: {why}") from error
