"""Random programs: text, so that a failure is a program to run.

A program is a few leaves and lines of Python, each of which makes new values from earlier ones.
Lines are drawn one after the other and tried on plain arrays: one that warns, grows too large or
has a kink nearby is not taken.
"""

from __future__ import annotations

import re
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
        """All the values by name, from the inputs: tensors or arrays."""
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
                return None  # a misfit: most often of shapes
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
        slopes: list[list[Any]] = []
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
            slopes.append([(r - l) / (2 * step) for r, l in zip(right, left, strict=True)])  # noqa: E741
        for wide, narrow in zip(*slopes, strict=True):  # they differ where one is infinite
            if np.any(np.abs(wide - narrow) > 0.03 * (1 + np.abs(narrow))):
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


def programs(first: int, count: int) -> Iterator[tuple[int, Program]]:
    for seed in range(first, first + count):
        yield seed, Draw(seed).program()
