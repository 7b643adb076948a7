"""One check that holds all ways to differentiate a program together.

Many more random programs than the suite runs:

    python tests/check_programs.py 5000 [FIRST]
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from random_programs import Program, programs

import tinygrad_rnn as tg


def check(program: Program, seed: int = 0) -> None:
    """Raise AssertionError if two ways to a derivative of a program disagree.

    Held together: the values on arrays and on tensors; reverse mode; reverse mode that is recorded;
    the sum over all uses, of leaves and of a value in between; `backward`; forward mode; central
    differences. Of second order: reverse over reverse, forward over reverse, differences.
    """
    rng = np.random.default_rng(seed)
    arrays = program.arrays
    ws = [rng.normal(size=np.shape(y)) for y in program(*arrays)]
    us = [rng.normal(size=x.shape) for x in arrays]
    xs = [tg.tensor(x) for x in arrays]
    values = program.run(*xs)
    ys = [values[name] for name in program.outputs]
    for y, plain in zip(ys, program(*arrays), strict=True):
        _same("the value on tensors", y.numpy(), "on arrays", plain, 1e-12)

    g = tg.gradients(ys, xs, ws, keep_record=True)
    _check_reverse(program, xs, values, ws, g)
    slope = _dot(g, us)
    pushed = [t.numpy() for t in tg.jvp(program, tuple(xs), tuple(us))[1]]
    _same("reverse mode", slope, "forward mode", _dot(ws, pushed), 1e-9, _size(g, us))
    _near("reverse mode", slope, lambda h: _differences(program, arrays, us, ws, h), _size(g, us))

    # second order
    def gradient(*xs: Any) -> list[Any]:
        return tg.gradients(program(*xs), list(xs), ws, create_graph=True)

    recorded = gradient(*xs)
    for a, b in zip(g, recorded, strict=True):
        _same("reverse mode", a, "recorded reverse mode", b.numpy(), 1e-9)
    inner = [(a * u).sum() for a, u in zip(recorded, us, strict=True)]
    linked = [part for part in inner if part.recorded]
    twice = _dot(tg.gradients(linked, xs, [1.0] * len(linked)), us) if linked else 0.0
    pushed = tg.jvp(gradient, tuple(arrays), tuple(us))[1]
    size = _size(pushed, us)
    _same("reverse over reverse", twice, "forward over reverse", _dot(pushed, us), 1e-8, size)

    def slopes(h: float) -> float:
        moved = [[x + s * h * u for x, u in zip(arrays, us, strict=True)] for s in (1, -1)]
        right, left = ([t.numpy() for t in gradient(*map(tg.tensor, m))] for m in moved)
        return (_dot(right, us) - _dot(left, us)) / (2 * h)

    _near("reverse over reverse", twice, slopes, size)


def _check_reverse(
    program: Program, xs: list[Any], values: dict[str, Any], ws: list[Any], g: list[Any]
) -> None:
    ys = [values[name] for name in program.outputs]
    made = [values[name] for line in program.lines for name in line.makes]
    between = [x for x in made if all(x is not y for y in ys)][-2:]
    for x in [*xs, *between]:
        if (x._node, x._port) not in {(y._node, y._port) for y in ys}:  # that is no use
            uses = tg.gradients_of_uses(ys, x, ws, keep_record=True)
            total = sum((use.gradient for use in uses), np.zeros(x.shape))
            wanted = tg.gradients(ys, x, ws, keep_record=True)
            _same("reverse mode", wanted, "the sum over the uses", total, 1e-9)
    together = tg.gradients(ys, [*between, *xs], ws, keep_record=True)[len(between) :]
    loss: Any = 0.0
    for y, w in zip(ys, ws, strict=True):
        loss = loss + (y * w).sum()
    loss.backward()
    for x, a, b in zip(xs, g, together, strict=True):
        _same("reverse mode", a, "reverse mode beside values in between", b, 1e-9)
        left = np.zeros(x.shape) if x.grad is None else x.grad
        _same("reverse mode", a, "backward()", left, 1e-9)
    narrow = [tg.tensor(x.numpy(), dtype=np.float32) for x in xs]
    ys = program(*narrow)
    for y, w in zip(ys, ws, strict=True):
        assert (y.dtype, y.shape) == (np.float32, w.shape), f"float32 became {y.dtype}, {y.shape}"
    for x, a in zip(narrow, tg.gradients(ys, narrow, ws), strict=True):
        assert (a.dtype, a.shape) == (np.float32, x.shape), f"a gradient of {a.dtype}, {a.shape}"


def _differences(
    program: Program, arrays: list[Any], us: list[Any], ws: list[Any], h: float
) -> float:
    total = 0.0
    for steps, weight in [(1, 8), (-1, -8), (2, -1), (-2, 1)]:
        moved = program(*[x + steps * h * u for x, u in zip(arrays, us, strict=True)])
        total += weight / (12 * h) * _dot(ws, moved)
    return total


def _dot(a: Sequence[Any], b: Sequence[Any]) -> float:
    return sum(float(np.vdot(x, y)) for x, y in zip(a, b, strict=True))


def _size(a: Sequence[Any], b: Sequence[Any]) -> float:
    return _dot([np.abs(x) for x in a], [np.abs(x) for x in b])


def _same(
    first: str, a: Any, second: str, b: Any, allowed: float, size: float | None = None
) -> None:
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape, f"{first} has the shape {a.shape}, {second} {b.shape}"
    largest = np.abs(b).max(initial=0.0) if size is None else size
    wrong = ~(np.abs(a - b) <= allowed * (1 + largest))  # nan is wrong
    assert not wrong.any(), f"{first} gives {a[wrong][0]!r}, {second} {b[wrong][0]!r}"


def _near(first: str, found: float, numeric: Callable[[float], float], size: float) -> None:
    """Against differences, which are as good as two of them agree."""
    coarse, fine = numeric(1e-4), numeric(3e-5)
    allowed = 1e-6 * (1 + size) + 10 * abs(coarse - fine)
    wrong = not abs(found - fine) <= allowed
    assert not wrong, f"{first} gives {found!r}, central differences {fine!r}"


def fault(program: Program, seed: int = 0) -> str | None:
    """The fault of a program: the message, and the smallest part of it that is wrong."""
    try:
        check(program, seed)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    else:
        return None
    for line in program.lines:
        for name in line.makes:
            part = program.towards(name)
            if part.differentiated:
                try:
                    check(part, seed)
                except Exception as error:
                    return f"{type(error).__name__}: {error}\n{part}"
    return f"{said}\n{program}"


if __name__ == "__main__":
    warnings.simplefilter("error")
    total, begin = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    faults = 0
    for number, drawn in programs(begin, total):
        message = fault(drawn, number)
        if message is not None:
            faults += 1
            print(f"-- program {number}\n{message}\n", flush=True)
    print(f"{total} programs, {faults} with a fault")
    sys.exit(faults > 0)
