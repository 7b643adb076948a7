"""Numbers that remember their expressions: a cell's attributes, while its step is traced."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ..primitive import Primitive
from . import vocabulary as V
from .expr import Expr, Symbol, make, name, number


class Scalar(float):
    """A float attribute of a cell, or a result of Python's arithmetic on such ones.

    In a record `1 - self.dt` is a number, 0.95; here it still is 1 - dt.
    """

    __slots__ = ("expr",)
    expr: Expr

    @classmethod
    def of(cls, value: float, expr: Expr) -> Scalar:
        """A number that is the value of an expression."""
        self = cls(value)
        self.expr = expr
        return self

    @classmethod
    def attribute(cls, label: str, value: float) -> Scalar:
        """A cell's attribute of that name."""
        return cls.of(value, name(Symbol(label, "scalar"), ()))

    def __neg__(self) -> Scalar:
        return Scalar.of(-float(self), make(V.NEGATIVE, [self.expr], ()))

    def __reduce__(self) -> Any:
        return float, (float(self),)


def _binary(op: Primitive, compute: Callable[[float, float], float], reverse: bool) -> Any:
    def method(self: Scalar, other: Any) -> Any:
        if not isinstance(other, int | float):
            return NotImplemented
        pair = [(float(self), self.expr), (float(other), _expr(other))]
        (a, x), (b, y) = reversed(pair) if reverse else pair
        return Scalar.of(compute(a, b), make(op, [x, y], ()))

    return method


def _expr(value: float) -> Expr:
    return value.expr if isinstance(value, Scalar) else number(value)


for _name, _op, _compute in (
    ("add", V.ADD, operator.add),
    ("sub", V.SUBTRACT, operator.sub),
    ("mul", V.MULTIPLY, operator.mul),
    ("truediv", V.DIVIDE, operator.truediv),
    ("pow", V.POWER, operator.pow),
):
    setattr(Scalar, f"__{_name}__", _binary(_op, _compute, False))
    setattr(Scalar, f"__r{_name}__", _binary(_op, _compute, True))
