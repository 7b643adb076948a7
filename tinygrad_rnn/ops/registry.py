"""Declarations: operators described once, for their docstrings, the manual and the tests.

Every public operator is made by `unary` or `binary` (from a value and its partial derivatives) or
is a function under `@operator`. All three enter it in `OPERATORS`, which the manual, NumPy's
protocols and the tests read. None of them puts anything between the caller and the function.

For elementwise operators the equation and the derivatives are expressions that a test evaluates.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    NamedTuple,
    ParamSpec,
    Protocol,
    TypeVar,
    overload,
)

import numpy as np

from ..graph import Array, Shape, current
from ..notation import CALL, Notation
from ..primitive import Partial, Primitive, Recorded, apply1, apply2, elementwise
from .without_rule import without_rule

if TYPE_CHECKING:
    from ..tensor import Tensor

P = ParamSpec("P")
F = TypeVar("F", bound=Callable[..., Any])
Plain = Array | np.generic | float | Sequence[Any]
"""Arguments beside tensors. Without a tensor, the result is plain too."""
Interval = tuple[float, float]


class Operator(NamedTuple):
    """The description of one operator.

    name         as in `tg.<name>`
    group        the file it is declared in, without the ending
    function     the operator itself
    summary      one line
    equation     the result y; for elementwise operators an expression in x, or in a and b
    derivative   the derivative, or one per argument; for elementwise operators expressions, where
                 y is the result; "" where the result is no tensor
    note         values where the derivative does not exist, limits, sources
    domain       per argument, where elementwise operators are tested; () for other operators
    """

    name: str
    group: str
    function: Callable[..., Any]
    summary: str
    equation: str
    derivative: str | tuple[str, str]
    note: str
    domain: tuple[Interval, ...]


OPERATORS: dict[str, Operator] = {}
"""Every public operator by name, in the order of declaration."""


PRIMITIVES: dict[str, Primitive] = {}
"""The primitives that `unary` and `binary` declared."""

# ------------------------------------------------------------------------------------------------
# Types: tensors in, tensor out; arrays in, array out


class Unary(Protocol[P]):
    """An operator of one tensor or array; also a method of tensors."""

    __name__: str

    @overload
    def __call__(self, x: Tensor, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, x: Plain, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...

    @overload
    def __get__(self, instance: None, owner: Any, /) -> Unary[P]: ...
    @overload
    def __get__(self, instance: Tensor, owner: Any, /) -> Callable[P, Tensor]: ...


class Binary(Protocol[P]):
    """An operator of two tensors or arrays; also a method of tensors."""

    __name__: str

    @overload
    def __call__(
        self, a: Tensor, b: Tensor | Plain, /, *args: P.args, **kwargs: P.kwargs
    ) -> Tensor: ...
    @overload
    def __call__(self, a: Plain, b: Tensor, /, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, a: Plain, b: Plain, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...

    @overload
    def __get__(self, instance: None, owner: Any, /) -> Binary[P]: ...
    @overload
    def __get__(self, instance: Tensor, owner: Any, /) -> Callable[Concatenate[Any, P], Tensor]: ...


class Joining(Protocol[P]):
    """An operator of a sequence of tensors or arrays."""

    __name__: str

    @overload
    def __call__(
        self, tensors: Sequence[Tensor], /, *args: P.args, **kwargs: P.kwargs
    ) -> Tensor: ...
    @overload
    def __call__(self, tensors: Sequence[Array], /, *args: P.args, **kwargs: P.kwargs) -> Array: ...
    @overload
    def __call__(self, tensors: Sequence[Any], /, *args: P.args, **kwargs: P.kwargs) -> Any: ...


class InParts(Protocol[P]):
    """An operator with several results."""

    __name__: str

    @overload
    def __call__(self, x: Tensor, /, *args: P.args, **kwargs: P.kwargs) -> tuple[Tensor, ...]: ...
    @overload
    def __call__(self, x: Plain, /, *args: P.args, **kwargs: P.kwargs) -> tuple[Array, ...]: ...


# ------------------------------------------------------------------------------------------------
# Declaring


def operator(equation: str, derivative: str, note: str = "") -> Callable[[F], F]:
    """Enter a function in `OPERATORS` and complete its docstring. The function stays as it is.

    For functions with annotations of their own. `of_one`, `of_two`, `of_many` and `in_parts` do
    the same, and annotate: tensors in, tensors out.
    """
    return _declared(equation, derivative, note)


def _declared(equation: str, derivative: str, note: str) -> Callable[[Any], Any]:

    def enter(function: Callable[..., Any]) -> Callable[..., Any]:
        summary, _, rest = inspect.cleandoc(function.__doc__ or "").partition("\n\n")
        about = f"    y = {equation}"
        if derivative:
            about += f"\n    derivative: {derivative}"
        function.__doc__ = "\n\n".join(filter(None, [summary, about, note, rest]))
        _enter(function, summary.replace("\n", " "), equation, derivative, note, ())
        return function

    return enter


def of_one(
    equation: str, derivative: str, note: str = ""
) -> Callable[[Callable[Concatenate[Any, P], Any]], Unary[P]]:
    """`operator` for a function of one tensor."""
    return _declared(equation, derivative, note)


def of_two(
    equation: str, derivative: str, note: str = ""
) -> Callable[[Callable[Concatenate[Any, Any, P], Any]], Binary[P]]:
    """`operator` for a function of two tensors."""
    return _declared(equation, derivative, note)


def of_many(
    equation: str, derivative: str, note: str = ""
) -> Callable[[Callable[Concatenate[Any, P], Any]], Joining[P]]:
    """`operator` for a function of a sequence of tensors."""
    return _declared(equation, derivative, note)


def in_parts(
    equation: str, derivative: str, note: str = ""
) -> Callable[[Callable[Concatenate[Any, P], Any]], InParts[P]]:
    """`operator` for a function with several results."""
    return _declared(equation, derivative, note)


def unary(
    name: str,
    value: Callable[[Any], Any],
    d: Partial,
    summary: str,
    equation: str,
    derivative: str,
    at: tuple[float, float],
    note: str = "",
    domain: Interval = (-3.0, 3.0),
    *,
    notation: Notation = CALL,
    activation: bool = False,
) -> Unary[[]]:
    """Declare an elementwise operator of one argument.

    value, d   as for `primitive.elementwise`
    at         an argument and its result to four places: the example
    """
    primitive = elementwise(name, value, d, notation=notation, activation=activation)

    def function(x: Any) -> Any:
        return apply1(primitive, x)

    PRIMITIVES[name] = primitive

    example = f"tg.{name}({at[0]})", at[1]
    _describe(function, name, summary, equation, f"    dy/dx = {derivative}", note, example)
    _enter(function, summary, equation, derivative, note, (domain,))
    return function


def binary(
    name: str,
    value: Callable[[Any, Any], Any],
    da: Partial,
    db: Partial,
    summary: str,
    equation: str,
    derivative: tuple[str, str],
    at: tuple[tuple[float, float], float],
    note: str = "",
    domain: tuple[Interval, Interval] = ((-3.0, 3.0), (-3.0, 3.0)),
    *,
    notation: Notation = CALL,
) -> Binary[[]]:
    """Declare an elementwise operator of two arguments, which broadcast together."""
    primitive = elementwise(name, value, da, db, notation=notation)

    def function(a: Any, b: Any) -> Any:
        return apply2(primitive, a, b)

    PRIMITIVES[name] = primitive

    rules = f"    dy/da = {derivative[0]}\n    dy/db = {derivative[1]}"
    example = f"tg.{name}({at[0][0]}, {at[0][1]})", at[1]
    _describe(function, name, summary, equation, rules, note, example)
    _enter(function, summary, equation, derivative, note, domain)
    return function


def _describe(
    function: Any,
    name: str,
    summary: str,
    equation: str,
    rules: str,
    note: str,
    example: tuple[str, float],
) -> None:
    """Give a function made here the name and the docstring of a written one."""
    module = sys._getframe(2).f_globals["__name__"]  # the file that declares the operator
    function.__name__ = function.__qualname__ = name
    function.__module__ = module
    function.__code__ = function.__code__.replace(co_name=name, co_qualname=name)  # for profiles
    about = f"    y = {equation}\n{rules}"
    shown = f'>>> import tinygrad_rnn as tg\n>>> f"{{{example[0]}:.4f}}"\n{f"{example[1]:.4f}"!r}'
    function.__doc__ = "\n\n".join(filter(None, [summary, about, note, shown]))


def _enter(
    function: Callable[..., Any],
    summary: str,
    equation: str,
    derivative: str | tuple[str, str],
    note: str,
    domain: tuple[Interval, ...],
) -> None:
    name = function.__name__
    group = function.__module__.rpartition(".")[2]
    assert name not in OPERATORS or OPERATORS[name].group == group, f"{name} is declared twice"
    OPERATORS[name] = Operator(name, group, function, summary, equation, derivative, note, domain)


def for_numpy() -> dict[Any, Callable[..., Any]]:
    """NumPy's functions, and the function to call in place of each when it is called on tensors.

    The operator of the same name; further, functions that only look at values or sizes.
    """
    table: dict[Any, Callable[..., Any]] = {}
    for name, _, function, *_ in OPERATORS.values():
        for place in (np, np.linalg):
            theirs = getattr(place, name, None)
            if isinstance(theirs, np.ufunc):
                table.setdefault(theirs, function)
            elif theirs is not None:
                table.setdefault(theirs, _with_their_arguments(theirs, function))
    table[np.where] = OPERATORS["where"].function  # arguments by position alone
    for name in ("diagonal", "trace"):  # in np.linalg, of the last two axes
        table[getattr(np.linalg, name)] = _of_last_axes(OPERATORS[name].function)
    others = {"amax": "max", "amin": "min", "around": "round", "fix": "trunc", "rint": "round"}
    for alias, name in others.items():
        table[getattr(np, alias)] = table[getattr(np, name)]
    table |= {
        np.bitwise_and: table[np.logical_and],
        np.bitwise_or: table[np.logical_or],
        np.bitwise_xor: table[np.logical_xor],
        np.invert: table[np.logical_not],
    }
    for plain in (np.shape, np.ndim, np.size):
        table[plain] = _on_values(plain)
    return table


def _with_their_arguments(theirs: Any, ours: Callable[..., Any]) -> Callable[..., Any]:
    """Ours, called with arguments in NumPy's order and with NumPy's defaults.

    NumPy's and our optional arguments may stand in another order, so they are passed by name:
    one that we do not have (`dtype`, `out`) is then refused instead of taken for another, unless
    it has its default.
    Signatures are read at the first call, which keeps the import short.
    """
    translate: Callable[..., Any] | None = None

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal translate
        translate = translate or _translation(theirs, ours)
        return translate(*args, **kwargs)

    return call


def _translation(theirs: Any, ours: Callable[..., Any]) -> Callable[..., Any]:
    own = inspect.signature(ours).parameters
    try:
        names = inspect.signature(theirs).parameters
    except ValueError:  # written in C and silent about its arguments
        return ours
    if any(p.kind is p.VAR_POSITIONAL for p in own.values()):
        return ours
    n = sum(p.default is p.empty for p in own.values())  # the required ones, which come first
    defaults: dict[str, Any] = {
        name: p.default
        for name, p in names.items()
        if name in own and isinstance(p.default, bool) and p.default != own[name].default
    }
    renamed = {"a_min": "min", "a_max": "max"}
    untold = {name for name in names if renamed.get(name, name) not in own}

    def call(*args: Any, **kwargs: Any) -> Any:
        given: dict[str, Any] = defaults | dict(zip(names, args, strict=False)) | kwargs
        if given.get("copy"):  # a tensor is never written to
            del given["copy"]
        first = [given.pop(name) for name in list(names)[:n] if name in given]
        for name in untold & given.keys():
            if given.pop(name) is not names[name].default:
                raise without_rule(theirs, ours, options=[name])
        return ours(*first, **{renamed.get(k, k): v for k, v in given.items()})

    return call


def _of_last_axes(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *, offset=0: function(x, offset, -2, -1)


def _on_values(function: Any) -> Callable[..., Any]:
    return lambda *args: function(*map(values, args))


def values(x: Any) -> Any:
    """The plain array behind a tensor, for results without derivative."""
    return getattr(x, "_value", x)


def shape_of(x: Any) -> Shape:
    """The shape of a tensor, an array or a number."""
    return np.shape(values(x))


def looked_at(x: Any, how: str) -> Any:
    """The same where entries decide something that no record shows; a trace is told of it."""
    if isinstance(x, Recorded):
        for inspector in current().inspectors:
            inspector.look(x, how)
    return values(x)
