"""Primitives: an operation declared once, and `apply`, the one place where things get recorded.

A primitive is its value (a NumPy function) and, for each argument, two linear maps: the pullback
rule takes the cotangent of the result to that argument's cotangent (reverse mode), the pushforward
rule takes a tangent of that argument to the result's tangent (forward mode). Constructors build
them, from rules under the names that mathematics has for each case:

`elementwise(value, d)`       one partial derivative per argument serves both modes
`linear(value, transpose)`    forward mode is the value itself, reverse mode its transpose
`bilinear(value, ta, tb)`     the same in each of two arguments
`general(value, vjp, jvp)`    the rest
`joint(forward, backward)`    one pullback rule for all arguments, from residuals of the value
`variadic(value, vjp, jvp)`   linear in any number of arguments
`flat(value)`                 no derivative: comparisons, positions

The parameters of a rule are bound, by name, when the operation is declared: to the value's own
parameters, and further

`y`       the result (unless the value itself has a parameter of that name)
`shape`   the shape of the argument that is being differentiated

The record keeps the values that rules name and nothing else. NumPy's ufuncs do not name their
arguments: they are called x, or a and b (and c).

Rules are written with operators and with this library's own functions. Those compute directly on
arrays and record on tensors, so one rule serves the first derivative at full speed and every
higher one. The `kind` of an operation and its `notation` are said here too, once, for everything
that reads a record.
"""

from .binding import Partial, Rule, Signature
from .constants import COPIED_BYTES, fingerprint, plain_array, protect
from .declare import (
    bilinear,
    elementwise,
    explain_broadcast,
    flat,
    general,
    joint,
    linear,
    transposed,
    transposes,
    variadic,
)
from .operation import Explain, Kind, Primitive
from .recording import (
    Recorded,
    apply,
    apply1,
    apply2,
    converts,
    of_precision,
    precision,
    returns,
    wrap,
)

__all__ = [
    "COPIED_BYTES", "Explain", "Kind", "Partial", "Primitive", "Recorded", "Rule", "Signature",
    "apply", "apply1", "apply2", "bilinear", "converts", "elementwise", "explain_broadcast",
    "fingerprint", "flat", "general", "joint", "linear", "of_precision", "plain_array", "precision",
    "protect", "returns", "transposed", "transposes", "variadic", "wrap",
]  # fmt: skip
