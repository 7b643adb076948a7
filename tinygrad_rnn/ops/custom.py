"""Operations of your own, declared like the library's.

Every operation here was made by one of five constructors, and they are yours too. A primitive is
called like a function, with arguments by position and parameters by name. It then works on arrays
and tensors, in both modes, to any order, in pictures and in messages.

An operation on matching entries takes its value and its derivative. The name of the derivative's
parameter says what it needs: `x` (or `a`, `b`, `c`) an argument, `y` the result, and any other
name a parameter of the call.

>>> import numpy as np, tinygrad_rnn as tg
>>> cube = tg.custom.elementwise("cube", lambda x: x**3, lambda x: 3 * x * x)
>>> x = tg.tensor([1.0, 2.0])
>>> y = cube(x)
>>> y
tensor([1., 8.], dtype=float32)
>>> tg.gradients(y.sum(), x)
array([ 3., 12.], dtype=float32)

A linear operation takes its value and its transpose. Rules are written with this library's
functions, so that they can be differentiated in their turn; `g` is the cotangent of the result.

>>> mirror = tg.custom.linear("mirror", lambda x, axis: np.flip(x, axis),
...                           lambda g, axis: mirror(g, axis=axis))
>>> mirror(x, axis=0)
tensor([2., 1.], dtype=float32)

Anything else takes a rule for each mode: `vjp` brings a cotangent of the result back to the
argument, `jvp` a tangent of the argument on to the result. `tg.check_gradients` tells whether they
are right.

>>> unit = tg.custom.general(
...     "unit",
...     lambda x: x / np.linalg.norm(x),
...     vjp=lambda g, x, y: (g - y * tg.vecdot(g, y)) / tg.norm(x),
...     jvp=lambda t, x, y: (t - y * tg.vecdot(t, y)) / tg.norm(x),
... )
>>> v = tg.tensor([3.0, 4.0])
>>> tg.gradients(unit(v)[0], v).round(3)
array([ 0.128, -0.096], dtype=float32)
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
