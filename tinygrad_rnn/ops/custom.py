"""Operations of your own, declared like the library's.

A primitive is called like a function, with arrays by position and parameters by name. It works on
arrays and tensors, in both modes, to any order, and all readers of a record know it: pictures,
derivations, gates, messages. These constructors make one:

- `elementwise(name, value, *d)`: on matching entries, from one partial derivative per argument
- `linear(name, value, transpose)`: linear in one argument
- `bilinear(name, value, first, second)`: linear in each of two arguments, one transpose for each
- `general(name, value, vjp, jvp)`: any other, from a pullback rule and a pushforward rule per
  argument
- `joint(name, forward, backward, arguments=n)`: one rule for all arguments, from residuals that
  the forward pass leaves
- `variadic(name, value, vjp, jvp)`: linear in any number of arguments
- `flat(name, value)`: recorded, without derivative

An elementwise operation takes its value and its derivative. The parameters of a rule are bound by
name to those of the value, whatever they are called, arrays and parameters alike. Two names are
added: `y`, the result, and `shape`, that of the argument being differentiated. The record keeps
the values that rules name, and no others. NumPy's ufuncs do not name their arguments: they are
called `x`, or `a`, `b`, `c`.

>>> import numpy as np, tinygrad_rnn as tg
>>> cube = tg.custom.elementwise("cube", lambda v: v**3, lambda v: 3 * v * v)
>>> x = tg.tensor([1.0, 2.0])
>>> y = cube(x)
>>> y
tensor([1., 8.], dtype=float32)
>>> tg.gradients(y.sum(), x)
array([ 3., 12.], dtype=float32)
>>> power = tg.custom.elementwise(
...     "power", lambda x, n=2: x**n, lambda x, n: n * x ** (n - 1)
... )
>>> tg.gradients(power(x, n=4).sum(), x)
array([ 4., 32.], dtype=float32)

A linear operation takes its value and its transpose. Rules are written with this library's
functions, so that they can be differentiated in their turn; `g` is the cotangent of the result.

>>> mirror = tg.custom.linear("mirror", lambda x, axis: np.flip(x, axis),
...                           lambda g, axis: mirror(g, axis=axis))
>>> mirror(x, axis=0)
tensor([2., 1.], dtype=float32)

Any other takes a pullback rule, `vjp`, from a cotangent of the result to that of the argument, or
a list of them, one per argument (None for an argument without derivative). The pushforward rule,
`jvp`, from a tangent of the argument to that of the result, may be left out: forward mode is then
derived from `vjp`. `tg.check_gradients` tells whether the rules are right.

>>> unit = tg.custom.general(
...     "unit",
...     lambda x: x / np.linalg.norm(x),
...     vjp=lambda g, x, y: (g - y * tg.vecdot(g, y)) / tg.norm(x),
... )
>>> v = tg.tensor([3.0, 4.0])
>>> tg.gradients(unit(v)[0], v).round(3)
array([ 0.128, -0.096], dtype=float32)
>>> tg.check_gradients(unit, np.array([3.0, 4.0]))

A whole step may be one operation. The value of a `joint` one gives its residuals beside the
result, and its rule all cotangents at once. In forward mode and for higher derivatives `forward`
is run again on tensors, so it is to be written with this library's functions.

>>> def forward(x, s, W):
...     s_new = tg.tanh(x + s @ W)
...     return s_new, (s, W, 1 - s_new * s_new)
>>> def backward(g, residuals):
...     s, W, slope = residuals
...     d = g * slope
...     return d, d @ W.T, s.T @ d
>>> fused = tg.custom.joint("fused", forward, backward, arguments=3)
>>> tg.check_gradients(fused, np.ones((1, 2)), np.ones((1, 2)), np.eye(2))

A `Notation` says how an operation is written: how its arguments are arranged ("infix", say, for
`a ⋆ b`; a call if left out), its symbol, and the same in NumPy. Every elementwise operation of one
argument that bends is taken for an activation function (`activation=False` if it is none).

>>> rational = tg.custom.elementwise(
...     "rational",
...     lambda x: x / (1 + np.abs(x)),
...     lambda x: 1 / (1 + abs(x)) ** 2,
...     notation=tg.custom.Notation(symbol="ρ", numpy="x / (1 + np.abs(x))"),
... )
>>> class Rational(tg.Cell):
...     def __init__(self):
...         self.W = tg.Parameter(0.5 * np.eye(3))
...     def step(self, x, s):
...         s = rational(x + s @ self.W).named("s")
...         return s, s
>>> derivation = tg.study.derive(Rational())
>>> for line in str(derivation).splitlines():
...     if line.startswith(("    sₜ =", "    δₜ = (")):
...         print(line)
    sₜ = ρ(uₜ)
    δₜ = (eₜ + δₜ₊₁ Wᵀ) / (1 + |uₜ|)²
>>> "return x / (1 + np.abs(x))" in derivation.source()
True
>>> list(tg.study.gates(tg.unroll(Rational(), np.zeros((4, 1, 3)))))
['s']

Declarations that do not fit are refused at once, with a TypeError: a rule with a parameter that
the value does not have, another number of rules than arguments, a value or rule whose parameters
cannot be read. So is a call with another number of arrays, an unknown parameter, or one missing. A
rule that returns nothing, or a cotangent of another shape than its argument, is named in the
backward pass; so is, in forward mode, an operation without `jvp` whose `vjp` leaves this library's
functions.
"""

from ..notation import Notation
from ..primitive import Primitive, bilinear, elementwise, flat, general, joint, linear, variadic

__all__ = [
    "Notation",
    "Primitive",
    "bilinear",
    "elementwise",
    "flat",
    "general",
    "joint",
    "linear",
    "variadic",
]
