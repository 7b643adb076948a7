"""Check derivatives against differences of values, for use in anybody's tests.

Two tests, both along random directions u of one argument at a time and in float64:

    J u  =  (8 (f(x+hu) - f(x-hu)) - (f(x+2hu) - f(x-2hu))) / 12h     central differences
    w . (J u)  =  (w J) . u                                           forward against reverse

The first is for each mode by itself (reverse mode along a random cotangent w as well). Where one
fails, the direction is halved until a single entry of the argument is left to blame. For the
second order both tests are done again on the derivatives themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import numpy as np

from . import tree
from .graph import Array, no_grad
from .tensor import Parameter, Tensor, tensor
from .transforms import jvp, linearize, vjp

STEP = 2e-5
"""h: differences err by about h^4 = 2e-19 times the fifth derivative, and by 1e-16 |f| / h."""
TOLERANCE = 1e-6
"""Of two derivatives, relative to the larger."""
NOISE = 1e-9
"""Differences of values smaller than this times (1 + |f|) are rounding errors."""
EXACT = 1e-10
"""Of forward against reverse mode, where there are no differences of values."""

MODES = ("forward", "reverse")

Function = Callable[..., list[Any]]
"""From tensors (the checked leaves) to a list of tensors."""


def check_gradients(
    f: Callable[..., Any],
    *args: Any,
    modes: Sequence[str] = MODES,
    order: int = 2,
    parameters: Any = (),
    rng: np.random.Generator | int = 0,
) -> None:
    """Raise AssertionError if a derivative of f at these arguments is wrong.

    f           gives a tensor or a nested structure of tensors, the same at every call; it should
                be smooth near the arguments (no kink, no tie, no edge of its domain)
    args        its arguments: tensors, arrays, numbers or nested structures of them. All
                floats are checked, as float64; anything else is passed on as it is
    modes       "forward", "reverse" or both; with both they are also held against each other
    order       1 for f's derivatives, 2 for the derivatives of those as well, and so on
    parameters  closed over by f, to be checked too: a parameter, a dict of them, or a cell. They
                are float64 while f runs and as they were afterwards
    rng         generator or seed of the random directions

    A message names the order, the mode, the argument and the index in it. Derivatives smaller
    than a billionth of (1 + |f|) are taken for zero.

    Raises AssertionError, and ValueError if there is nothing to check, if f's value is not finite
    or if it differs from call to call.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> tg.check_gradients(lambda a, b: a @ tg.tanh(b), np.ones((2, 3)), np.ones(3))
    >>> cell = tg.ElmanCell(2, 3, rng=0)
    >>> tg.check_gradients(lambda x: cell.step(x, tg.zeros((1, 3)))[0], np.ones((1, 2)),
    ...                    parameters=cell)

    A rule with a wrong sign:

    >>> from tinygrad_rnn.primitive import apply, elementwise
    >>> cosine = elementwise("cosine", np.cos, lambda x: tg.tanh(x))
    >>> tg.check_gradients(lambda x: apply(cosine, (x,), {}), np.array([0.5]), order=1)
    Traceback (most recent call last):
    ...
    AssertionError: order 1, forward mode: the derivative of the result[0] by argument 0[0]
    is 0.46211716, central differences give -0.47942554
    """
    if order < 1 or not modes or any(mode not in MODES for mode in modes):
        raise ValueError(f"check_gradients: given modes={modes!r}, order={order}, wanted {MODES}")
    held = _named(parameters)
    leaves = tree.leaves(args)
    names = tree.paths(args, "argument")
    checked = [i for i, leaf in enumerate(leaves) if _is_float(leaf)]
    xs = [np.array(_plain(leaves[i]), np.float64) for i in checked]
    xs += [p.numpy().astype(np.float64) for p in held.values()]
    if not xs:
        raise ValueError("check_gradients: no argument is a tensor, a float or an array of floats")

    def flat(*values: Any) -> list[Any]:
        full = list(leaves)
        for i, value in zip(checked, values, strict=False):
            full[i] = value
        with _in_place(list(held.values()), values[len(checked) :]):
            result = f(*tree.rebuild(args, iter(full)))
        return [y for y in tree.leaves(result) if _is_float(y)]

    named = [names[i].replace("argument.", "argument ", 1) for i in checked]
    named += [f"parameter {name}" for name in held]
    _Check(flat, xs, named, tuple(modes), np.random.default_rng(rng)).run(order)


def _named(parameters: Any) -> dict[str, Parameter]:
    if isinstance(parameters, Parameter):
        return {str(parameters.name): parameters}
    if hasattr(parameters, "parameters"):
        parameters = parameters.parameters()
    if not isinstance(parameters, Mapping):
        parameters = {f"{i} {p.name}": p for i, p in enumerate(parameters)}
    return dict(parameters)


def _is_float(leaf: Any) -> bool:
    if isinstance(leaf, Tensor | float):
        return True
    return isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind == "f"


def _plain(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value


@contextmanager
def _in_place(parameters: Sequence[Parameter], tensors: Sequence[Tensor]) -> Iterator[None]:
    """Let parameters be these tensors for a while."""
    before = [(p._value, p._node, p._port) for p in parameters]
    try:
        for p, t in zip(parameters, tensors, strict=True):
            p._value, p._node, p._port = t._value, t._node, t._port
        yield
    finally:
        for p, (value, node, port) in zip(parameters, before, strict=True):
            p._value, p._node, p._port = value, node, port


class _Check:
    """The tests on one function of several arrays.

    f        from tensors to a list of tensors or arrays
    xs       the arrays
    names    of the arrays, for messages
    taken    modes of the derivatives that f is made of, the last first: () for a user's function
    results  names of the results
    """

    def __init__(
        self,
        f: Function,
        xs: list[Array],
        names: list[str],
        modes: tuple[str, ...],
        rng: np.random.Generator,
        taken: tuple[str, ...] = (),
        results: list[str] | None = None,
    ) -> None:
        self.f = f
        self.xs = xs
        self.names = names
        self.modes = modes
        self.rng = rng
        self.taken = taken
        self.ys = self._values(xs)
        self.results = results or [f"result {j}" for j in range(len(self.ys))]
        if len(self.ys) == 1 and not taken:
            self.results = ["the result"]
        if not self.ys:
            raise ValueError("check_gradients: f gives no tensor and no float")
        if not all(np.isfinite(y).all() for y in self.ys):
            raise ValueError(f"check_gradients: {self._what()} is not finite at these arguments")
        again = self._values(xs)
        if not all(np.allclose(a, b, 1e-9, 1e-12) for a, b in zip(self.ys, again, strict=True)):
            raise ValueError(
                "check_gradients: f differs between two calls with the same arguments; if it "
                "draws random numbers, seed its generator anew in each call"
            )

    def run(self, order: int) -> None:
        """Both tests, and again on the derivatives until the order is reached."""
        f, ws = self.f, [np.asarray(self.rng.standard_normal(y.shape)) for y in self.ys]
        if len(ws) == 1 and ws[0].size == 1:
            ws = [np.ones(ws[0].shape)]
        us = [self._direction(x) for x in self.xs]
        tests: dict[str, Compare] = {}
        push, pulled = None, None
        with no_grad():  # the results are then plain arrays
            if "forward" in self.modes:
                push = linearize(f, *self.xs)[1]
                tests["forward"] = self._forward_against_differences(push)
            if "reverse" in self.modes:
                pulled = vjp(f, *self.xs)[1](ws)
                tests["reverse"] = self._reverse_against_differences(pulled, ws)
        if push is not None and pulled is not None:
            tests["both"] = self._forward_against_reverse(push, pulled, ws)
        for k, u in enumerate(us):
            for mode, compare in tests.items():
                if u.size and compare(k, u).miss > 1:
                    self._fail(mode, k, u, compare)
        if order == 1:
            return
        for mode in self.modes:
            if mode == "forward":
                derived: Function = lambda *xs: jvp(f, xs, tuple(us))[1]  # noqa: E731
                results = [f"the tangent of {name}" for name in self.results]
            else:
                derived = lambda *xs: list(vjp(f, *xs)[1](ws))  # noqa: E731
                results = [f"the gradient by {name}" for name in self.names]
            taken = (mode, *self.taken)
            check = _Check(derived, self.xs, self.names, self.modes, self.rng, taken, results)
            check.run(order - 1)

    def _values(self, xs: Sequence[Array]) -> list[Array]:
        tensors = [tensor(x) for x in xs]
        if not self.taken:
            return [np.asarray(_plain(y)) for y in self.f(*tensors)]
        with no_grad():  # transforms record for themselves
            return [np.asarray(_plain(y)) for y in self.f(*tensors)]

    def _direction(self, x: Array) -> Array:
        """A random direction of length 1, in units of the entries where those are above 1."""
        u = self.rng.standard_normal(x.shape)
        return np.asarray(u / max(float(np.linalg.norm(u)), 1e-300) * np.maximum(1, np.abs(x)))

    def _differences(self, k: int, u: Array) -> list[Array]:
        """The derivative of every result along a direction of the k-th array."""

        def f(x: Array) -> list[Array]:
            return self._values([*self.xs[:k], x, *self.xs[k + 1 :]])

        near, far = central_differences(f, self.xs[k], u, STEP)
        return [(4 * a - b) / 3 for a, b in zip(near, far, strict=True)]

    def _forward_against_differences(self, push: Callable[..., Any]) -> Compare:
        def compare(k: int, u: Array) -> Compared:
            wanted = self._differences(k, u)
            worst = Compared(-1.0, 0.0, 0.0, "")
            found = self._pushed(push, k, u)
            for y, t, d, name in zip(self.ys, found, wanted, self.results, strict=True):
                if y.size:
                    scale = max(np.abs(t).max(), np.abs(d).max())
                    misses = np.abs(t - d) / (TOLERANCE * scale + NOISE * (1 + np.abs(y).max()))
                    i = np.unravel_index(np.argmax(_nan_is_worst(misses)), y.shape)
                    miss = float(_nan_is_worst(misses)[i])
                    if miss > worst.miss:
                        worst = Compared(miss, float(t[i]), float(d[i]), name + _at(i))
            return worst

        return compare

    def _reverse_against_differences(self, pulled: Sequence[Array], ws: list[Array]) -> Compare:
        size = 1 + _sum_of_sizes(ws, self.ys)
        where = self._combined()

        def compare(k: int, u: Array) -> Compared:
            d = self._differences(k, u)
            found, wanted = float(np.vdot(pulled[k], u)), _dot(ws, d)
            scale = max(abs(found), _sum_of_sizes(ws, d))
            return Compared(
                _miss(found, wanted, TOLERANCE * scale + NOISE * size), found, wanted, where
            )

        return compare

    def _forward_against_reverse(
        self, push: Callable[..., Any], pulled: Sequence[Array], ws: list[Array]
    ) -> Compare:
        def compare(k: int, u: Array) -> Compared:
            t = self._pushed(push, k, u)
            forward, reverse = _dot(ws, t), float(np.vdot(pulled[k], u))
            scale = _sum_of_sizes(ws, t) + _sum_of_sizes([pulled[k]], [u])
            return Compared(
                _miss(forward, reverse, EXACT * (scale + 1e-3)),
                forward,
                reverse,
                self._combined(),
            )

        return compare

    def _combined(self) -> str:
        """The number that reverse mode differentiates."""
        if len(self.ys) > 1:
            return "a random combination of the results"
        name = self.results[0]
        return name if self.ys[0].size == 1 else f"a random combination of the entries of {name}"

    def _pushed(self, push: Callable[..., Any], k: int, u: Array) -> list[Array]:
        tangents = [np.zeros(x.shape) for x in self.xs]
        tangents[k] = u
        with no_grad():
            found: list[Array] = push(*tangents)
        return found

    def _fail(self, mode: str, k: int, u: Array, compare: Compare) -> NoReturn:
        """Find an entry to blame by halving the direction, and say how it is wrong."""
        entries = np.arange(u.size)

        def along(part: Array) -> Array:
            only = np.zeros(u.shape)
            only.flat[part] = u.flat[part]
            return only

        while len(entries) > 1:
            halves = np.array_split(entries, 2)
            entries = max(halves, key=lambda half: compare(k, along(half)).miss)
        unit = np.zeros(u.shape)
        unit.flat[entries] = 1
        _, found, wanted, where = compare(k, unit)
        index = np.unravel_index(int(entries[0]), u.shape)
        said = f"the derivative of {where} by {self.names[k]}{_at(index)}"
        if mode == "both":
            text = f"{said} is {found:.8g} in forward mode, but {wanted:.8g} in reverse mode"
        else:
            text = f"{said} is {found:.8g}, central differences give {wanted:.8g}"
        raise AssertionError(f"{self._what(mode)}: {text}")

    def _what(self, mode: str | None = None) -> str:
        first = () if mode is None else ("forward and reverse",) if mode == "both" else (mode,)
        modes = (*first, *self.taken)
        return f"order {len(modes)}, {' over '.join(modes)} mode" if modes else "f"


def central_differences(
    f: Callable[[Array], Sequence[Array]], x: Array, u: Array, h: float
) -> tuple[list[Array], list[Array]]:
    """(f(x + hu) - f(x - hu)) / 2h for every result of f, and the same with 2h.

    Two estimates of the derivative along u. They err by c h^2 and by 4 c h^2, so (4 near - far) / 3
    errs by h^4 only, and their difference tells how uncertain they are.
    """
    near, far = (
        [(a - b) / (2 * d) for a, b in zip(f(x + d * u), f(x - d * u), strict=True)]
        for d in (h, 2 * h)
    )
    return near, far


class Compared(NamedTuple):
    """Two derivatives of one thing."""

    miss: float  # above 1: they differ by more than they may
    found: float
    wanted: float
    where: str


Compare = Callable[[int, Array], Compared]
"""Of an argument's number and a direction in it."""


def _nan_is_worst(misses: Array) -> Array:
    return np.where(np.isnan(misses), np.inf, misses)


def _miss(a: float, b: float, allowed: float) -> float:
    return float(_nan_is_worst(np.asarray(abs(a - b) / allowed)))


def _dot(a: Sequence[Array], b: Sequence[Array]) -> float:
    return sum(float(np.vdot(x, y)) for x, y in zip(a, b, strict=True))


def _sum_of_sizes(a: Sequence[Array], b: Sequence[Array]) -> float:
    return sum(float(np.vdot(np.abs(x), np.abs(y))) for x, y in zip(a, b, strict=True))


def _at(index: Sequence[Any]) -> str:
    return "[" + ", ".join(str(int(i)) for i in index) + "]" if len(index) else ""


__all__ = ["central_differences", "check_gradients"]
