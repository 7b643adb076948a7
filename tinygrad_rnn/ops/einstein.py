"""Einstein summation, in the whole of NumPy's notation.

An expression is first made simple: the ellipsis is spelt out, repeated letters of one operand
become its diagonal, and letters that nobody else has are summed. The rest is done two operands
at a time, and a product of two in which every letter is in two of (a, b, result) is bilinear with
transposes of the same kind.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph import Shape, current
from ..primitive import apply, bilinear
from .linalg import diagonal
from .reduce import sum
from .registry import operator, values
from .shape import broadcast_to, transpose

__all__ = ["einsum"]


def _product(a: Any, b: Any, left: str, right: str, to: str) -> Any:
    """One batched matrix product: letters that all three have, of a alone, of b alone, summed."""
    both = [c for c in left if c in right and c in to]
    summed = [c for c in left if c in right and c not in to]
    rows = [c for c in left if c not in right]
    columns = [c for c in right if c not in left]
    size: dict[str, int] = {}
    for letters, operand in ((left, a), (right, b)):
        for c, n in zip(letters, operand.shape, strict=True):
            size[c] = n if size.get(c, 1) == 1 else size[c]

    def arranged(x: Any, letters: str, *groups: list[str]) -> Any:
        order = [c for group in groups for c in group]
        x = np.transpose(x, [letters.index(c) for c in order])
        x = np.broadcast_to(x, [size[c] for c in order])
        return x.reshape([int(np.prod([size[c] for c in group])) for group in groups])

    y = arranged(a, left, both, rows, summed) @ arranged(b, right, both, summed, columns)
    order = both + rows + columns
    return np.transpose(y.reshape([size[c] for c in order]), [order.index(c) for c in to])


_einsum = bilinear(
    "einsum",
    _product,
    lambda g, b, shape, left, right, to: _widened(_pair(g, b, to, right, left), shape),
    lambda g, a, shape, left, right, to: _widened(_pair(a, g, left, to, right), shape),
)


def _widened(g: Any, shape: Shape) -> Any:
    """A cotangent that has size 1 where a summed letter had size 1 on the other side."""
    whole = np.broadcast_shapes(g.shape, shape)
    return g if g.shape == whole else broadcast_to(g, whole)


def _pair(a: Any, b: Any, left: str, right: str, to: str) -> Any:
    return apply(_einsum, (a, b), {"left": left, "right": right, "to": to})


def _fail(subscripts: str, shapes: Sequence[Any], why: str) -> ValueError:
    shown = ", ".join(map(str, shapes))
    return ValueError(f"einsum{current().place}: {subscripts!r} for shapes {shown}: {why}")


def _from_lists(arguments: Sequence[Any]) -> tuple[str, list[Any]]:
    """einsum(a, [0, 1], b, [1, 2], [0, 2]) as letters."""

    def letters(numbers: Sequence[Any]) -> str:
        return "".join("..." if n is Ellipsis else string.ascii_letters[n] for n in numbers)

    n = len(arguments) // 2
    inputs = ",".join(letters(arguments[2 * i + 1]) for i in range(n))
    to = "->" + letters(arguments[-1]) if len(arguments) % 2 else ""
    return inputs + to, list(arguments[0 : 2 * n : 2])


def _spelt_out(subscripts: str, shapes: Sequence[Any]) -> tuple[list[str], str]:
    """The letters of every operand and of the result, without ellipses."""
    text = subscripts.replace(" ", "")
    inputs, arrow, to = text.partition("->")
    parts = inputs.split(",")
    if len(parts) != len(shapes):
        raise _fail(subscripts, shapes, f"{len(parts)} terms for {len(shapes)} operands")
    letters = text.replace("->", "").replace("...", "").replace(",", "")
    wrong = [c for c in letters if c not in string.ascii_letters]
    if wrong:
        raise _fail(subscripts, shapes, f"{wrong[0]!r} is not a letter")
    free = [c for c in string.ascii_letters if c not in letters]
    longest = 0
    for part, shape in zip(parts, shapes, strict=True):
        named = len(part.replace("...", ""))
        if part.count("...") > 1:
            raise _fail(subscripts, shapes, f"the term {part!r} has more than one ellipsis")
        if named > len(shape) or (named < len(shape) and "..." not in part):
            raise _fail(
                subscripts,
                shapes,
                f"the term {part!r} names {named} axes, the operand {shape} has {len(shape)}",
            )
        if "..." in part:
            longest = max(longest, len(shape) - named)
    dots = "".join(free[:longest])
    spelt = []
    for part, shape in zip(parts, shapes, strict=True):
        n = len(shape) - len(part.replace("...", ""))
        spelt.append(part.replace("...", dots[longest - n :] if n else ""))
    if not arrow:
        once = sorted(c for c in set(letters) if letters.count(c) == 1)
        to = dots + "".join(once)
    elif dots and "..." not in to:
        raise _fail(subscripts, shapes, "the result has no place for the axes of the ellipsis")
    to = to.replace("...", dots)
    for c in to:
        if to.count(c) > 1 or not any(c in part for part in spelt):
            why = "twice in the result" if to.count(c) > 1 else "in no operand"
            raise _fail(subscripts, shapes, f"{c!r} is {why}")
    size: dict[str, int] = {}
    for part, shape in zip(spelt, shapes, strict=True):
        for c, n in zip(part, shape, strict=True):
            if size.setdefault(c, n) != n and 1 not in (n, size[c]):
                raise _fail(subscripts, shapes, f"{c!r} is both {size[c]} and {n}")
            size[c] = max(n, size[c]) if n else n
    return spelt, to


def _simplified(x: Any, letters: str, elsewhere: str) -> tuple[Any, str]:
    """Diagonals taken and lonely letters summed."""
    for c in letters:
        while letters.count(c) > 1:
            i = letters.index(c)
            j = letters.index(c, i + 1)
            x = diagonal(x, 0, i, j)
            letters = letters[:i] + letters[i + 1 : j] + letters[j + 1 :] + c
    lonely = [i for i, c in enumerate(letters) if c not in elsewhere]
    if lonely:
        x = sum(x, tuple(lonely))
        letters = "".join(c for c in letters if c in elsewhere)
    return x, letters


@operator(
    "products of the operands' entries, summed over letters that the result does not have",
    "to each operand: einsum of g and the other operands, to the operand's letters",
)
def einsum(*operands: Any) -> Any:
    """Einstein summation: einsum("tbi,ih->tbh", x, U), in the whole of NumPy's notation.

    operands  the subscripts, then one tensor or array per term: letters name axes, `...` the axes
              that are left, a repeated letter a diagonal; without "->" the letters that occur once
              make the result, in alphabetical order. Or, as NumPy has it too, tensors and lists of
              axis numbers in turn: einsum(a, [0, 1], b, [1, 2], [0, 2])

    Operands are multiplied from left to right, two at a time, as batched matrix products.
    Raises ValueError that names the term, the letter and the shapes.

    >>> import tinygrad_rnn as tg
    >>> tg.einsum("bij,bjk->bik", tg.ones((5, 2, 3)), tg.ones((5, 3, 4))).shape
    (5, 2, 4)
    >>> tg.einsum("ii", tg.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor(5., dtype=float32)
    """
    if isinstance(operands[0], str):
        subscripts, arrays = operands[0], list(operands[1:])
    else:
        subscripts, arrays = _from_lists(operands)
    arrays = [np.asarray(x) if isinstance(x, list | float | int) else x for x in arrays]
    terms, to = _spelt_out(subscripts, [values(x).shape for x in arrays])
    x, letters = _simplified(arrays[0], terms[0], to + "".join(terms[1:]))
    for i in range(1, len(arrays)):
        later = to + "".join(terms[i + 1 :])
        y, own = _simplified(arrays[i], terms[i], later + letters)
        x, letters = _simplified(x, letters, later + own)
        keep = "".join(dict.fromkeys(c for c in letters + own if c in later))
        x, letters = _pair(x, y, letters, own, to if i == len(arrays) - 1 else keep), keep
    if len(arrays) == 1 and letters != to:
        x = transpose(x, [letters.index(c) for c in to])
    return x
