"""Random programs, and one check that holds all ways to differentiate them together.

A program is a few leaves and lines of Python, each of which makes new values from earlier ones.
It is text, so that a failure is a program to run. Lines are drawn one after the other and tried on
plain arrays: what warns, grows too large or has a kink nearby is not taken.

Many more programs than the suite runs:

    python tests/random_programs.py 5000 [FIRST]
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.ops.registry import OPERATORS

LARGEST, MOST_ENTRIES = 30.0, 60
SIZES = (0, 1, 1, 2, 2, 2, 3, 3, 3)
NEAR = 1e-3
"""How far from a kink every line of a program has to stay."""


class Line(NamedTuple):
    """A statement: the names it makes, the code, and the names it reads."""

    makes: tuple[str, ...]
    code: str
    reads: tuple[str, ...]


class Program(NamedTuple):
    """Leaves (names and arrays; those in `constants` are not differentiated), lines, outputs."""

    leaves: dict[str, Any]
    constants: tuple[str, ...]
    lines: tuple[Line, ...]
    outputs: tuple[str, ...]
    extra: dict[str, Any]

    def run(self, *leaves: Any) -> dict[str, Any]:
        """All the values by name, from what is differentiated: tensors or arrays."""
        given = dict(zip(self.differentiated, leaves, strict=True))
        values = {"np": np, "tg": tg, **self.extra, **self.leaves, **given}
        exec("\n".join(line.code for line in self.lines), values)
        return values

    def __call__(self, *leaves: Any) -> list[Any]:
        values = self.run(*leaves)
        return [values[name] for name in self.outputs]

    @property
    def differentiated(self) -> list[str]:
        return [name for name in self.leaves if name not in self.constants]

    @property
    def arrays(self) -> list[Any]:
        return [self.leaves[name] for name in self.differentiated]

    def towards(self, *outputs: str) -> Program:
        """The part of it that these values need."""
        needed, lines = set(outputs), []
        for line in reversed(self.lines):
            if needed & set(line.makes):
                lines.append(line)
                needed |= set(line.reads)
        leaves = {name: x for name, x in self.leaves.items() if name in needed}
        return self._replace(leaves=leaves, lines=tuple(lines[::-1]), outputs=outputs)

    def __str__(self) -> str:
        leaves = [
            f"{name} = np.array({x.tolist()}).reshape({x.shape})"
            + ("  # a constant" if name in self.constants else "")
            for name, x in self.leaves.items()
        ]
        return "\n".join([*leaves, *(line.code for line in self.lines), f"# {self.outputs}"])


# ------------------------------------------------------------------------------------------------
# Drawing


class Draw:
    """One program being drawn: the generator, and the values so far."""

    def __init__(self, seed: int, extra: dict[str, Any] | None = None) -> None:
        self.rng = np.random.default_rng(seed)
        self.extra = extra or {}
        self.values: dict[str, Any] = {}
        self.recorded: list[str] = []
        self.favourite = ""

    def program(self) -> Program:
        for i in range(self.below(1, 4)):
            shape = tuple(self.rng.choice(SIZES, self.below(0, 4)).tolist())
            self.values[f"x{i}"] = self.rng.uniform(-2, 2, shape)
        leaves = dict(self.values)
        constants = tuple(name for name in list(leaves)[1:] if self.chance(0.2))
        self.recorded = [name for name in leaves if name not in constants]
        lines: list[Line] = []
        count = self.below(1, 14)
        for _ in range(3 * count):
            line = self.line(f"v{len(self.values)}")
            if line is not None and self.takes(line):
                lines.append(line)
            if len(lines) == count:
                break
        made = [name for name in self.recorded if name not in leaves] or self.recorded
        read = {name for line in lines for name in line.reads}
        outputs = [name for name in made if name not in read]
        if self.chance(0.5):
            count = min(len(made), self.below(1, 4))
            outputs = self.rng.choice(made, count, replace=False).tolist()
        return Program(leaves, constants, tuple(lines), tuple(outputs), self.extra)

    def line(self, name: str) -> Line | None:
        """A line that may work."""
        kinds = [*KINDS, *([_extra] * 4 if self.extra else [])]
        drawn = kinds[self.below(0, len(kinds))](self)
        if drawn is None:
            return None
        code = "\n".join(drawn) if isinstance(drawn, list) else drawn
        reads = tuple(dict.fromkeys(re.findall(r"\b[xv]\d+(?:_\d+)?\b", code)))
        if isinstance(drawn, list):
            return Line((name,), code.replace("out", name), reads)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                result = eval(code, {"np": np, "tg": tg, **self.extra, **self.values})
            except Exception:
                return None  # what does not fit: most often shapes
        several = isinstance(result, tuple | list)
        count = len(result) if several else 1
        if count == 0:
            return None
        names = tuple(f"{name}_{k}" for k in range(count)) if several else (name,)
        target = ", ".join(names) + ("," if several and count == 1 else "")
        return Line(names, f"{target} = {code}", reads)

    def takes(self, line: Line) -> bool:
        """Whether a line has values worth going on with; then they are kept."""
        if not set(line.reads) & set(self.recorded):
            return False
        code = compile(line.code, "<line>", "exec")
        here = self._tried(code, line, 0.0)
        if here is None:
            return False
        u = {name: self.rng.choice([-1.0, 1.0], np.shape(self.values[name])) for name in line.reads}
        for step in (NEAR, NEAR / 7):
            right, left = self._tried(code, line, step, u), self._tried(code, line, -step, u)
            if right is None or left is None:
                return False
            for y, r, l in zip(here, right, left, strict=True):  # noqa: E741
                if r.shape != y.shape or l.shape != y.shape:
                    return False
                # of a smooth function, this is its second derivative times step^2
                if np.any(np.abs(r + l - 2 * y) > 0.03 * step * (1 + np.abs(y))):
                    return False
        self.values.update(zip(line.makes, here, strict=True))
        self.recorded += line.makes
        return True

    def _tried(
        self, code: Any, line: Line, step: float, u: dict[str, Any] | None = None
    ) -> list[Any] | None:
        values = {"np": np, "tg": tg, **self.extra, **self.values}
        for name in line.reads if u else ():
            values[name] = values[name] + step * u[name]  # type: ignore[index]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                exec(code, values)
            except Exception:
                return None
        made = [np.asarray(values[name], float) for name in line.makes]
        fine = all(y.size <= MOST_ENTRIES and np.all(np.abs(y) <= LARGEST) for y in made)
        return made if fine else None

    # -- choices

    def below(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high))

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def one(self, among: Sequence[Any]) -> Any:
        return among[self.below(0, len(among))]

    def value(self, fits: Callable[[Any], bool] = lambda x: True) -> str | None:
        """The name of a value; more often a late one, or the one that is used again and again."""
        names = [name for name, x in self.values.items() if fits(x)]
        if not names:
            return None
        if self.favourite not in names or self.chance(0.05):
            self.favourite = self.one(names)
        if self.chance(0.3):
            return self.favourite
        return self.one(names[-3:] if self.chance(0.5) else names)

    def axis(self, x: Any) -> int:
        return self.below(-x.ndim, x.ndim)

    def axes(self, x: Any) -> Any:
        """An axis, several, or None for all."""
        if x.ndim == 0 or self.chance(0.2):
            return None
        if x.ndim > 1 and self.chance(0.25):
            return tuple(sorted(self.rng.choice(x.ndim, 2, replace=False).tolist()))
        return self.axis(x)


Drawn = str | list[str] | None
"""An expression, or the lines of a loop that make `out`; None if nothing fits."""


def _within(name: str, low: float, high: float) -> str:
    """A value brought between bounds, as code."""
    if (low, high) == (-3.0, 3.0):
        return name
    return f"({low} + {high - low} * tg.sigmoid({name}))"


def _elementwise(draw: Draw) -> Drawn:
    op = OPERATORS[draw.one([name for name, op in OPERATORS.items() if op.domain])]
    names = [draw.value() for _ in op.domain]
    args = [_within(str(n), *bounds) for n, bounds in zip(names, op.domain, strict=True)]
    return f"tg.{op.name}({', '.join(args)})"


def _arithmetic(draw: Draw) -> Drawn:
    a, b = str(draw.value()), str(draw.value())
    return draw.one(
        [
            *(f"{a} + {b}", f"{a} * {b}", f"{a} - {b}", f"{a} + {a} * {b}", f"{a} * {a} + {a}"),
            *(f"{a} / (1 + {b} ** 2)", f"-{a}", f"{a} ** 3", f"0.5 * {a}", f"{a} - 1", f"1 - {a}"),
            *(f"{a} / 2", f"2 / (2 + tg.abs({a}))", f"{a} * np.ones(3)", f"{a}.sum() * {b}"),
            f"{a} + {b}.sum()",
        ]
    )


def _reduction(draw: Draw) -> Drawn:
    name = str(draw.value())
    x = draw.values[name]
    op = draw.one(["sum", "sum", "mean", "max", "min", "prod", "var", "std", "logsumexp", "norm"])
    axis, keepdims = draw.axes(x), draw.chance(0.3)
    more = ", ord=3" if op == "norm" and isinstance(axis, int) and draw.chance(0.5) else ""
    return f"tg.{op}({name}, axis={axis}, keepdims={keepdims}{more})"


def _along(draw: Draw) -> Drawn:
    name = draw.value(lambda x: x.ndim > 0)
    if name is None:
        return None
    axis = draw.axis(draw.values[name])
    op = draw.one(["softmax", "log_softmax", "cumsum", "cumprod", "cummax", "flip"])
    return f"tg.{op}({name}, axis={axis})"


def _shaped(draw: Draw) -> Drawn:
    name = str(draw.value())
    x = draw.values[name]
    if x.ndim == 0:
        calls = ["[None]", ".reshape(1, 1)", "[...]", "[()]", "[None].sum()", " * np.ones(3)"]
        return f"{name}{draw.one(calls)}"
    i, j = draw.axis(x), draw.axis(x)
    return draw.one(
        [
            *(f"{name}.T", f"tg.ravel({name})", f"tg.swapaxes({name}, {i}, {j})"),
            *(f"tg.moveaxis({name}, {i}, {j})", f"tg.expand_dims({name}, {i})", f"{name}[None]"),
            *(f"tg.squeeze({name})", f"tg.broadcast_to({name}, (2, *{name}.shape))"),
            *(f"tg.roll({name}, 1, {i})", f"tg.repeat({name}, 2, {i})", f"tg.tile({name}, 2)"),
            *(f"tg.pad({name}, 1)", f"tg.reshape({name}, ({x.size},))", f"tg.flip({name})"),
            f"tg.reshape({name}, {x.shape[::-1]})",
        ]
    )


def _indexed(draw: Draw) -> Drawn:
    name = draw.value(lambda x: x.ndim > 0)
    if name is None:
        return None
    x = draw.values[name]
    n = x.shape[0]
    some = draw.rng.integers(-n, n, draw.below(0, 4)).tolist() if n else []
    mask = (draw.rng.random(n) < 0.6).tolist()
    index = draw.one(
        [
            *("0", "-1", "1:", ":-1", "::-1", "::2", "..., 0", "..., None", "0:0", "-1:"),
            *(f"np.array({some}, int)", f"np.array({mask}, bool)", f"..., np.array({some}, int)"),
            f"np.array({some}, int), None",
        ]
    )
    if draw.chance(0.7):
        return f"{name}[{index}]"
    index = f"np.s_[{index}]"
    other = str(draw.value())
    op = draw.one(["index_add", "index_update"])
    if draw.chance(0.5):
        return f"tg.{op}({name}, {index}, {other})"
    return f"tg.take({name}, np.array({some}, int), 0)"


def _joined(draw: Draw) -> Drawn:
    name = str(draw.value())
    shape = draw.values[name].shape
    same = [other for other, x in draw.values.items() if x.shape == shape]
    parts = [name, *(draw.one(same) for _ in range(draw.below(0, 3)))]
    axis = draw.below(0, max(len(shape), 1))
    listed = ", ".join(parts)
    if draw.chance(0.5) or not shape:
        return f"tg.stack([{listed}], {axis})"
    return f"tg.concatenate([{listed}], {axis})"


def _parted(draw: Draw) -> Drawn:
    """Several outputs, of which later lines may use some."""
    name = draw.value(lambda x: x.ndim > 0)
    if name is None:
        return None
    x = draw.values[name]
    axis = draw.axis(x)
    square = x.ndim > 1 and x.shape[-1] == x.shape[-2] > 0
    calls = [
        f"tg.unstack({name}, {axis})", f"tg.split({name}, {max(x.shape[axis], 1)}, {axis})",
        f"tg.split({name}, [1], {axis})",
    ]  # fmt: skip
    if square:
        regular = f"{name} + 4 * np.eye({x.shape[-1]})"
        calls += [f"tg.slogdet({regular})", f"tg.qr({regular})"]
    return draw.one(calls)


def _product(draw: Draw) -> Drawn:
    a = draw.value(lambda x: x.ndim > 0)
    if a is None:
        return None
    x = draw.values[a]
    n = x.shape[-1]
    fitting = {
        f"{a} @ {{b}}": lambda y: y.ndim > 0 and y.shape[max(y.ndim - 2, 0)] == n,
        f"tg.vecdot({a}, {{b}})": lambda y: y.ndim > 0 and y.shape[-1] in (1, n),
        f"tg.inner({a}, {{b}})": lambda y: y.ndim > 0 and y.shape[-1] == n,
        f"tg.outer({a}, {{b}})": lambda y: True,
        f"tg.einsum('...i,...i->...', {a}, {{b}})": lambda y: y.ndim > 0 and y.shape[-1] == n,
        f"{a} @ tg.swapaxes({a}, -1, -2) + {{b}}": lambda y: x.ndim > 1,
        f"tg.solve({a} + 4 * np.eye({n}), {{b}})": lambda y: (
            x.ndim == 2 and x.shape[0] == n and y.ndim > 0 and y.shape[max(y.ndim - 2, 0)] == n
        ),
    }
    code, fits = draw.one(list(fitting.items()))
    b = draw.value(fits)
    return None if b is None else code.format(b=b)


def _composed(draw: Draw) -> Drawn:
    a, b = str(draw.value()), str(draw.value())
    x = draw.values[a]
    classes = draw.rng.integers(0, max(x.shape[-1], 1), x.shape[:-1]).tolist() if x.ndim else 0
    how = draw.one(["none", "sum", "mean"])
    return draw.one(
        [
            f"tg.cross_entropy({a}, np.array({classes}, int), '{how}')",
            f"tg.layer_norm({a}, eps=0.1)",
            f"tg.rms_norm({a}, eps=0.1)",
            f"tg.mse({a}, {b}, '{how}')",
            f"tg.bce_with_logits({a}, tg.sigmoid({b}), '{how}')",
            f"tg.where({a} > 0, {a}, {b})",
            f"tg.where(np.arange(3) > 0, {a}, {b})",
            f"tg.clip({a}, -1, 1)",
        ]
    )


def _reused(draw: Draw) -> Drawn:
    """Several uses of one value, whose cotangents come in different shapes and orders."""
    a, b = str(draw.value()), str(draw.value())
    terms = [
        *(f"{a}[None]", f"{a}[...]", f"{a}[..., None]", f"{a} * np.ones(3)", f"-{a}", a),
        *(
            f"{a} * {b}",
            f"{a} - {b}",
            f"tg.stack([{a}, {a}])",
            f"tg.broadcast_to({a}, (2, *{a}.shape))",
        ),
    ]
    if draw.values[a].ndim and len(draw.values[a]):
        terms += [
            f"{a}[0]",
            f"{a}[::-1]",
            f"{a}[np.array([0, 0])]",
            f"{a}[-1:]",
            f"tg.unstack({a})[0]",
        ]
    return " + ".join(f"({draw.one(terms)}).sum()" for _ in range(draw.below(2, 6)))


def _loop(draw: Draw) -> Drawn:
    """A recurrence over a few steps, each value of which the next one reads."""
    s, w, b = (str(draw.value()) for _ in range(3))
    update = draw.one(
        [
            *(f"tg.tanh(out * {w} + {b})", f"tg.sigmoid({w}) * out + tg.sin({b})"),
            f"out - {b} / 4",
            *(f"tg.tanh(out @ {w} + {b})", f"tg.tanh({w}[t] + out)", f"tg.tanh({w}[-t:] @ out)"),
        ]
    )
    if "[" in update and (draw.values[w].ndim == 0 or len(draw.values[w]) == 0):
        return None
    steps = draw.below(1, 4) if "[" not in update else len(draw.values[w])
    lines = [f"out = {s}", f"for t in range({steps}):", "    with tg.timestep(t):"]
    collected = draw.chance(0.3)
    if not collected:
        return [*lines, f"        out = {update}"]
    return [
        *("all_ = []", *lines, f"        out = {update}", "    all_.append(out)"),
        "out = tg.stack(all_)",
    ]


def _extra(draw: Draw) -> Drawn:
    name = str(draw.value())
    return f"{draw.one(list(draw.extra))}({name})"


KINDS: list[Callable[[Draw], Drawn]] = [
    *(_elementwise, _elementwise, _arithmetic, _arithmetic, _reduction, _reduction, _along),
    *(_shaped, _shaped, _indexed, _indexed, _joined, _parted, _product, _product, _composed, _loop),
    *(_reused, _reused),
]


# ------------------------------------------------------------------------------------------------
# Checking


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
    pushed = [_plain(t) for t in tg.jvp(program, tuple(xs), tuple(us))[1]]
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
    hessian = tg.gradients(linked, xs, [np.ones(())] * len(linked)) if linked else us
    twice = _dot(hessian, us) if linked else 0.0
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
    between = [
        values[name]
        for line in program.lines
        for name in line.makes
        if name not in program.outputs and values[name].recorded
    ][-2:]
    # an output may be another's name (an index that takes all of it): its cotangent is no use
    seeded = {(y._node, y._port) for y in ys}
    for x in [*xs, *between]:
        if (x._node, x._port) not in seeded:
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
    for y, w, x in zip([*ys], [*ws], [*ys], strict=True):
        assert y.dtype == np.float32, f"float32 became {y.dtype}"
        assert y.shape == w.shape == x.shape
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


def _plain(x: Any) -> Any:
    return x.numpy() if isinstance(x, tg.Tensor) else x


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
    """What is wrong with a program: the message, and the smallest part of it that is wrong."""
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


def programs(first: int, count: int) -> Iterator[tuple[int, Program]]:
    for seed in range(first, first + count):
        yield seed, Draw(seed).program()


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
