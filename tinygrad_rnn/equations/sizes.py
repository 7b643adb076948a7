"""Sizes of axes in letters: H, 3H, I + H + 1, H/2."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np

Letters = tuple[str, ...]


class Count:
    """How many entries there are: a sum of products of letters, as 2H + 1.

    terms  {letters: how many times}; no letters for the number alone
    """

    __slots__ = ("terms",)

    def __init__(self, terms: Mapping[Letters, Fraction | int]) -> None:
        self.terms = {letters: Fraction(n) for letters, n in terms.items() if n}

    @classmethod
    def of(cls, letter: str) -> Count:
        """One letter."""
        return cls({(letter,): 1})

    def plus(self, other: Count, times: int = 1) -> Count:
        """The sum, or with times = -1 the difference."""
        terms = dict(self.terms)
        for letters, n in other.terms.items():
            terms[letters] = terms.get(letters, Fraction(0)) + times * n
        return Count(terms)

    def times(self, other: Count) -> Count:
        """The product."""
        terms: dict[Letters, Fraction] = {}
        for a, m in self.terms.items():
            for b, n in other.terms.items():
                letters = (*a, *b)
                terms[letters] = terms.get(letters, Fraction(0)) + m * n
        return Count(terms)

    def over(self, n: int) -> Count:
        """A part of it."""
        return Count({letters: m / n for letters, m in self.terms.items()})

    @property
    def letter(self) -> str | None:
        """The letter, if it is one."""
        (first, *more) = self.terms.items() or [((), 0)]
        return first[0][0] if not more and len(first[0]) == 1 and first[1] == 1 else None

    @property
    def key(self) -> tuple[tuple[Letters, Fraction], ...]:
        """The same for equal counts."""
        return tuple(sorted(self.terms.items()))

    def __repr__(self) -> str:
        return " + ".join("*".join([str(n), *letters]) for letters, n in self.terms.items()) or "0"


NOTHING = Count({})


class Size(int):
    """The size of an axis whose origin is known: the number it had while tracing, and more.

    count   the same in letters; None if only some places along the axis are known
    places  {position along the axis: its count}, where parts of it begin and end
    rate    how many entries more there are for one example more in the batch, which had `batch`;
            sums and differences with sizes that grow are such sizes
    """

    count: Count | None
    places: dict[int, Count]
    rate: int
    batch: int

    def __new__(
        cls, size: int, count: Count | None, places: Mapping[int, Count] | None = None,
        rate: int = 0, batch: int = 0,
    ) -> Size:  # fmt: skip
        """A size that was `size` in a trace with `batch` examples."""
        self = super().__new__(cls, size)
        self.count, self.rate, self.batch = count, rate, batch
        self.places = {k: c for k, c in (places or {}).items() if 0 < k < size}
        return self

    @functools.cached_property
    def key(self) -> object:
        """The same for equal sizes of one origin."""
        places = tuple((k, c.key) for k, c in sorted(self.places.items()))
        return int(self), self.count and self.count.key, places, self.rate

    def at(self, batch: int) -> int:
        """The size in a batch of another size."""
        return int(self) + self.rate * (batch - self.batch)

    def _with(self, other: int, sign: int, found: int) -> int:
        more = other if isinstance(other, Size) else Size(other, Count({(): other}))
        rate = self.rate + sign * more.rate
        if not rate:
            return found
        counts = [size.count or Count({(): int(size)}) for size in (self, more)]
        count = counts[0].plus(counts[1], sign)
        return Size(found, count, None, rate, self.batch or more.batch)

    def __add__(self, other: int) -> int:
        return self._with(other, 1, int(self) + int(other))

    __radd__ = __add__

    def __sub__(self, other: int) -> int:
        return self._with(other, -1, int(self) - int(other))

    def __rsub__(self, other: int) -> int:
        return Size(other, Count({(): other}))._with(self, -1, other - int(self))


def grows(size: int) -> bool:
    """Whether a size grows with the batch."""
    return isinstance(size, Size) and size.rate != 0


def counted(size: int) -> Count | None:
    """A size in letters; None for a number that nothing more is known of."""
    return size.count if isinstance(size, Size) else None


def place(size: int, k: int) -> Count | None:
    """A position along an axis in letters, if that is known."""
    if k == 0:
        return NOTHING
    if k == size or grows(k):
        return counted(size if k == size else k)
    return size.places.get(k) if isinstance(size, Size) else None


def between(size: int, start: int, stop: int) -> int:
    """The size of a part of an axis."""
    ends = [place(size, k) for k in (start, stop)]
    if grows(size) or not isinstance(size, Size) or None in ends:
        return stop - start
    first, last = (end for end in ends if end is not None)
    places = {k - start: c.plus(first, -1) for k, c in size.places.items() if start < k < stop}
    return Size(stop - start, last.plus(first, -1), places)


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape of arrays of these shapes together; sizes keep their origin."""
    joint = np.broadcast_shapes(*map(tuple, shapes))
    found = []
    for axis, n in enumerate(joint, -len(joint)):
        own = [shape[axis] for shape in shapes if len(shape) >= -axis and shape[axis] == n]
        found.append(max(own, key=grows))
    return tuple(found)


__all__ = ["NOTHING", "Count", "Size", "between", "broadcast", "counted", "grows", "place"]
