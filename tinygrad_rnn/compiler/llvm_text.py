"""LLVM IR as text: vectors of a width that the processor has, loops, and accurate functions.

exp is 2^n times a polynomial, after Cephes (Moshier 1989); the logistic function, tanh and expm1
are made from it. The logarithm is that of FDLIBM (Sun Microsystems 1993). Each is within 4 units in
the last place over the whole range, infinities and NaN included. Other functions of C's library
are called, entry by entry.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

Value = str
"""The name of a value in the text."""


class Machine(NamedTuple):
    """The processor that code is generated for.

    bytes   of a vector register
    rows    heights of the tiles of a product, largest first
    across  vectors in the width of a tile
    """

    bytes: int
    rows: tuple[int, ...]
    across: int


MACHINES = {
    64: Machine(64, (12, 8, 4, 2, 1), 2),
    32: Machine(32, (6, 4, 2, 1), 2),
    16: Machine(16, (4, 2, 1), 2),
}


class Kind(NamedTuple):
    """A type of number in vectors of the machine's width."""

    scalar: str
    lanes: int

    @property
    def vector(self) -> str:
        """Its vector type."""
        return f"<{self.lanes} x {self.scalar}>"

    @property
    def suffix(self) -> str:
        """As in the names of intrinsics."""
        return f"v{self.lanes}{'f32' if self.scalar == 'float' else 'f64'}"

    @property
    def size(self) -> int:
        """Bytes of a number."""
        return 4 if self.scalar == "float" else 8

    @property
    def full(self) -> bool:
        """Whether a vector has 64 bytes, as those of AVX-512 have."""
        return self.lanes * self.size == 64

    @property
    def ints(self) -> str:
        """The vector type of integers of the same size."""
        return f"<{self.lanes} x i{8 * self.size}>"

    @property
    def bits(self) -> str:
        """The vector type of truth values."""
        return f"<{self.lanes} x i1>"

    @property
    def true(self) -> str:
        """A vector of truth values that all hold, in text."""
        return f"<{', '.join(['i1 true'] * self.lanes)}>"

    def number(self, value: float) -> str:
        """A number in text: the bits of a double, as LLVM has it."""
        if self.scalar == "float":
            value = struct.unpack("f", struct.pack("f", value))[0]
        return f"0x{struct.unpack('>Q', struct.pack('>d', value))[0]:016X}"

    def splat(self, value: float) -> str:
        """A vector of equal numbers in text."""
        one = f"{self.scalar} {self.number(value)}"
        return f"<{', '.join([one] * self.lanes)}>"

    def whole(self, value: int) -> str:
        """A vector of equal integers in text."""
        return f"<{', '.join([f'i{8 * self.size} {value}'] * self.lanes)}>"


AS_IS = ", !llvm.loop !0"
METADATA = '!0 = distinct !{!0, !1}\n!1 = !{!"llvm.loop.unroll.disable"}'


class Text:
    """The body of a function that is being written."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.lines: list[str] = []
        self.slots: list[str] = []
        self.declared: dict[str, None] = {}
        self._n = 0

    def fresh(self, word: str = "v") -> str:
        """A name that is not taken."""
        self._n += 1
        return f"{word}{self._n}"

    def let(self, right: str) -> Value:
        """An instruction with a result."""
        name = "%" + self.fresh()
        self.lines.append(f"  {name} = {right}")
        return name

    def do(self, text: str) -> None:
        """An instruction without one."""
        self.lines.append(f"  {text}")

    def slot(self, kind: str) -> Value:
        """A local variable, which becomes a register."""
        name = "%" + self.fresh("slot")
        self.slots.append(f"  {name} = alloca {kind}")
        return name

    @contextmanager
    def loop(
        self, count: str, step: int = 1, begin: str = "0", as_is: bool = False
    ) -> Iterator[Value]:
        """A loop over i64 from begin to count - 1; as it is: not unrolled by LLVM."""
        at = self.slot("i64")
        head, body, end = (self.fresh(w) for w in ("head", "body", "end"))
        self.do(f"store i64 {begin}, ptr {at}")
        self.do(f"br label %{head}")
        self.lines.append(f"{head}:")
        i = self.let(f"load i64, ptr {at}")
        more = self.let(f"icmp slt i64 {i}, {count}")
        self.do(f"br i1 {more}, label %{body}, label %{end}")
        self.lines.append(f"{body}:")
        yield i
        self.do(f"store i64 {self.let(f'add i64 {i}, {step}')}, ptr {at}")
        self.do(f"br label %{head}" + AS_IS * as_is)
        self.lines.append(f"{end}:")

    @contextmanager
    def while_(self, more: Callable[[], Value]) -> Iterator[None]:
        """A loop as long as something is true, which is looked at before each turn."""
        head, body, end = (self.fresh(w) for w in ("head", "body", "end"))
        self.do(f"br label %{head}")
        self.lines.append(f"{head}:")
        self.do(f"br i1 {more()}, label %{body}, label %{end}")
        self.lines.append(f"{body}:")
        yield
        self.do(f"br label %{head}")
        self.lines.append(f"{end}:")

    def masks(self, left: Value, count: int) -> list[Value]:
        """For so many vectors beside each other which entries there are, if so many are left."""
        lanes = self.kind.lanes
        left = self.let(f"trunc i64 {left} to i32")
        numbers = ", ".join(f"i32 {k}" for k in range(lanes))
        found, v = [], f"<{lanes} x i32>"
        for c in range(count):
            have = self.let(f"sub i32 {left}, {c * lanes}")
            one = self.let(f"insertelement {v} poison, i32 {have}, i64 0")
            have = self.let(f"shufflevector {v} {one}, {v} poison, {v} zeroinitializer")
            found.append(self.let(f"icmp slt {v} <{numbers}>, {have}"))
        return found

    def intrinsic(self, result: str, name: str, *arguments: tuple[str, str]) -> Value:
        """A call of one of LLVM's own functions."""
        kinds = ", ".join(kind for kind, _ in arguments)
        self.declared[f"declare {result} @{name}({kinds})"] = None
        given = ", ".join(f"{kind} {value}" for kind, value in arguments)
        return self.let(f"call {result} @{name}({given})")

    # -- arithmetic of vectors ------------------------------------------------------------------

    def binary(self, word: str, a: Value, b: Value) -> Value:
        """fadd, fsub, fmul or fdiv."""
        return self.let(f"{word} contract {self.kind.vector} {a}, {b}")

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a b + c."""
        v = self.kind.vector
        return self.intrinsic(v, f"llvm.fma.{self.kind.suffix}", (v, a), (v, b), (v, c))

    def unary(self, word: str, a: Value) -> Value:
        """fabs, sqrt, rint, floor, ceil or trunc."""
        v = self.kind.vector
        return self.intrinsic(v, f"llvm.{word}.{self.kind.suffix}", (v, a))

    def negative(self, a: Value) -> Value:
        """-a."""
        return self.let(f"fneg {self.kind.vector} {a}")

    def compare(self, word: str, a: Value, b: Value) -> Value:
        """oeq, ogt, ... as truth values."""
        return self.let(f"fcmp {word} {self.kind.vector} {a}, {b}")

    def select(self, which: Value, a: Value, b: Value) -> Value:
        """a where true, else b."""
        v = self.kind.vector
        return self.let(f"select {self.kind.bits} {which}, {v} {a}, {v} {b}")

    def extreme(self, word: str, a: Value, b: Value) -> Value:
        """The larger ("ogt") or smaller ("olt") of two; NaN if one is."""
        chosen = self.select(self.compare(word, a, b), a, b)
        return self.select(self.compare("uno", a, a), a, chosen)

    def polynomial(self, x: Value, coefficients: Sequence[float]) -> Value:
        """Highest power first."""
        y = self.kind.splat(coefficients[0])
        for c in coefficients[1:]:
            y = self.fma(y, x, self.kind.splat(c))
        return y

    def exp(self, x: Value) -> Value:
        """e^x."""
        k = self.kind
        single = k.scalar == "float"
        low, high = (-104.0, 89.0) if single else (-746.0, 710.0)
        hi, lo = LN2_SINGLE if single else LN2_DOUBLE
        c = self.select(self.compare("ogt", x, k.splat(high)), k.splat(high), x)
        c = self.select(self.compare("olt", c, k.splat(low)), k.splat(low), c)
        n = self._powers_of_two(c)
        r = self.fma(n, k.splat(-hi), c)
        r = self.fma(n, k.splat(-lo), r)
        p = self.polynomial(r, EXP_SINGLE if single else EXP_DOUBLE)
        y = self.fma(self.binary("fmul", r, r), p, r)
        y = self.binary("fadd", y, k.splat(1.0))
        if k.full:
            return self._scaled(y, n)
        # NaN has no integer: 0 will do, the result is NaN through y
        known = self.select(self.compare("ord", n, n), n, k.splat(0.0))
        whole = self.let(f"fptosi {k.vector} {known} to {k.ints}")
        half = self.let(f"ashr {k.ints} {whole}, {k.whole(1)}")
        rest = self.let(f"sub {k.ints} {whole}, {half}")
        for part in (half, rest):
            bias, shift = (127, 23) if single else (1023, 52)
            biased = self.let(f"add {k.ints} {part}, {k.whole(bias)}")
            power = self.let(f"shl {k.ints} {biased}, {k.whole(shift)}")
            y = self.binary("fmul", y, self.let(f"bitcast {k.ints} {power} to {k.vector}"))
        return y

    def _powers_of_two(self, x: Value) -> Value:
        """x / ln 2 as a whole number: beside a large one there is no place for a fraction."""
        k = self.kind
        large = k.splat(1.5 * 2.0 ** (23 if k.scalar == "float" else 52))
        return self.binary("fsub", self.fma(x, k.splat(1.4426950408889634), large), large)

    def _scaled(self, y: Value, n: Value) -> Value:
        """y 2^n, in one instruction of AVX-512."""
        k = self.kind
        name = f"llvm.x86.avx512.mask.scalef.{'ps' if k.scalar == 'float' else 'pd'}.512"
        everywhere, rounding = (f"i{k.lanes}", "-1"), ("i32", "4")  # as the processor is set
        zero = (k.vector, "zeroinitializer")
        return self.intrinsic(
            k.vector, name, (k.vector, y), (k.vector, n), zero, everywhere, rounding
        )

    def expm1(self, x: Value) -> Value:
        """e^x - 1, also where that is small."""
        k = self.kind
        single = k.scalar == "float"
        hi, lo = LN2_SINGLE if single else LN2_DOUBLE
        low, high = (-40.0, 89.0) if single else (-60.0, 710.0)
        c = self.select(self.compare("ogt", x, k.splat(high)), k.splat(high), x)
        c = self.select(self.compare("olt", c, k.splat(low)), k.splat(low), c)
        n = self._powers_of_two(c)
        r = self.fma(n, k.splat(-hi), c)
        r = self.fma(n, k.splat(-lo), r)
        p = self.polynomial(r, EXP_SINGLE if single else EXP_DOUBLE)
        y = self.fma(self.binary("fmul", r, r), p, r)
        half = self._power(self.binary("fsub", n, k.splat(1.0)))  # 2^n itself may be too large
        rest = self.binary("fsub", half, k.splat(0.5))
        return self.binary("fmul", self.fma(half, y, rest), k.splat(2.0))

    def _power(self, n: Value) -> Value:
        """2^n, for whole numbers n within the exponents that there are."""
        k = self.kind
        if k.full:
            return self._scaled(k.splat(1.0), n)
        known = self.select(self.compare("ord", n, n), n, k.splat(0.0))  # NaN has no integer
        whole = self.let(f"fptosi {k.vector} {known} to {k.ints}")
        bias, shift = (127, 23) if k.scalar == "float" else (1023, 52)
        power = self.let(f"shl {k.ints} {self.let(f'add {k.ints} {whole}, {k.whole(bias)}')}, "
                         f"{k.whole(shift)}")  # fmt: skip
        return self.let(f"bitcast {k.ints} {power} to {k.vector}")

    def log(self, x: Value) -> Value:
        """The natural logarithm."""
        k = self.kind
        single = k.scalar == "float"
        least, up, shift = (2.0**-126, 25, 23) if single else (2.0**-1022, 54, 52)
        small = self.compare("olt", x, k.splat(least))
        scaled = self.select(small, self.binary("fmul", x, k.splat(2.0**up)), x)
        bits = self.let(f"bitcast {k.vector} {scaled} to {k.ints}")
        # the exponent, such that the fraction is between sqrt(1/2) and sqrt(2)
        root = struct.unpack("I" if single else "Q", struct.pack("f" if single else "d", 0.5**0.5))[
            0
        ]
        above = self.let(f"sub {k.ints} {bits}, {k.whole(root)}")
        whole = self.let(f"ashr {k.ints} {above}, {k.whole(shift)}")
        taken = self.let(f"shl {k.ints} {whole}, {k.whole(shift)}")
        m = self.let(f"bitcast {k.ints} {self.let(f'sub {k.ints} {bits}, {taken}')} to {k.vector}")
        n = self.let(f"sitofp {k.ints} {whole} to {k.vector}")
        n = self.select(small, self.binary("fsub", n, k.splat(float(up))), n)
        f = self.binary("fsub", m, k.splat(1.0))
        s = self.binary("fdiv", f, self.binary("fadd", k.splat(2.0), f))
        z = self.binary("fmul", s, s)
        r = self.binary("fmul", z, self.polynomial(z, LOG_SINGLE if single else LOG_DOUBLE))
        half = self.binary("fmul", k.splat(0.5), self.binary("fmul", f, f))
        hi, lo = LN2_SINGLE if single else LN2_DOUBLE
        y = self.fma(n, k.splat(lo), self.binary("fmul", s, self.binary("fadd", half, r)))
        y = self.binary("fsub", self.binary("fsub", half, y), f)
        y = self.negative(self.binary("fsub", y, self.binary("fmul", n, k.splat(hi))))
        y = self.select(self.compare("oeq", x, k.splat(0.0)), k.splat(-math.inf), y)
        y = self.select(self.compare("oeq", x, k.splat(math.inf)), k.splat(math.inf), y)
        return self.select(self.compare("oge", x, k.splat(0.0)), y, k.splat(math.nan))

    def log1p(self, x: Value) -> Value:
        """log(1 + x), also where x is small."""
        k = self.kind
        u = self.binary("fadd", k.splat(1.0), x)
        lost = self.binary("fsub", x, self.binary("fsub", u, k.splat(1.0)))
        y = self.binary("fadd", self.log(u), self.binary("fdiv", lost, u))
        ends = self.compare("oeq", u, k.splat(math.inf))
        y = self.select(ends, u, y)
        y = self.select(self.compare("oeq", u, k.splat(0.0)), k.splat(-math.inf), y)
        return self.select(self.compare("oeq", x, k.splat(0.0)), x, y)

    def logaddexp(self, a: Value, b: Value) -> Value:
        """log(e^a + e^b)."""
        equal = self.compare("oeq", a, b)  # infinities too
        apart = self.unary("fabs", self.binary("fsub", a, b))
        apart = self.select(equal, self.kind.splat(0.0), apart)
        more = self.log1p(self.exp(self.negative(apart)))
        return self.binary("fadd", self.extreme("ogt", a, b), more)

    def sign(self, a: Value) -> Value:
        """1, 0 or -1; NaN of NaN."""
        k = self.kind
        y = self.select(self.compare("olt", a, k.splat(0.0)), k.splat(-1.0), a)
        return self.select(self.compare("ogt", a, k.splat(0.0)), k.splat(1.0), y)

    def remainder(self, a: Value, b: Value) -> Value:
        """The rest of a by whole multiples of b, of b's sign."""
        k = self.kind
        r = self.library("fmod", a, b)
        zero = k.splat(0.0)
        apart = self.let(
            f"xor {k.bits} {self.compare('olt', r, zero)}, {self.compare('olt', b, zero)}"
        )
        wrong = self.let(f"and {k.bits} {apart}, {self.compare('one', r, zero)}")
        return self.select(wrong, self.binary("fadd", r, b), r)

    def library(self, name: str, *arguments: Value) -> Value:
        """A function of C's library, of one entry after the other, in double precision."""
        kind = self.kind
        self.declared[f"declare double @{name}({', '.join(['double'] * len(arguments))})"] = None
        y = "poison"
        for lane in range(kind.lanes):
            given = []
            for a in arguments:
                one = self.let(f"extractelement {kind.vector} {a}, i64 {lane}")
                if kind.scalar == "float":
                    one = self.let(f"fpext float {one} to double")
                given.append(f"double {one}")
            one = self.let(f"call double @{name}({', '.join(given)})")
            if kind.scalar == "float":
                one = self.let(f"fptrunc double {one} to float")
            y = self.let(f"insertelement {kind.vector} {y}, {kind.scalar} {one}, i64 {lane}")
        return y

    def total(self, a: Value) -> Value:
        """The sum of the entries of a vector, a number."""
        kind = self.kind
        name = f"llvm.vector.reduce.fadd.{kind.suffix}"
        self.declared[f"declare {kind.scalar} @{name}({kind.scalar}, {kind.vector})"] = None
        zero = f"{kind.scalar} {kind.number(0.0)}"
        return self.let(f"call reassoc {kind.scalar} @{name}({zero}, {kind.vector} {a})")

    def most(self, word: str, a: Value) -> Value:
        """The largest entry ("ogt") of a vector, or the smallest; NaN if one is."""
        kind, v, half = self.kind, self.kind.vector, self.kind.lanes // 2
        while half:
            places = ", ".join(f"i32 {(k + half) % kind.lanes}" for k in range(kind.lanes))
            turned = f"shufflevector {v} {a}, {v} poison, <{kind.lanes} x i32> <{places}>"
            a, half = self.extreme(word, a, self.let(turned)), half // 2
        return self.let(f"extractelement {v} {a}, i64 0")

    def sigmoid(self, x: Value) -> Value:
        """1 / (1 + e^-x)."""
        one = self.kind.splat(1.0)
        e = self.exp(self.negative(self.unary("fabs", x)))
        s = self.binary("fdiv", one, self.binary("fadd", one, e))
        below = self.compare("olt", x, self.kind.splat(0.0))
        return self.binary("fmul", self.select(below, e, one), s)

    def tanh(self, x: Value) -> Value:
        """The hyperbolic tangent: (e^2|x| - 1) / (e^2|x| + 1), with the sign of x."""
        k = self.kind
        size = self.unary("fabs", x)
        size = self.select(self.compare("ogt", size, k.splat(20.0)), k.splat(20.0), size)
        e = self.expm1(self.binary("fadd", size, size))
        y = self.binary("fdiv", e, self.binary("fadd", e, k.splat(2.0)))
        return self.intrinsic(k.vector, f"llvm.copysign.{k.suffix}", (k.vector, y), (k.vector, x))


LN2_SINGLE = (0.693145751953125, 1.428606765330187e-06)
LN2_DOUBLE = (6.93147180369123816490e-01, 1.90821492927058770002e-10)
LOG_SINGLE = (0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693)
LOG_DOUBLE = (1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01,
              2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01,
              6.666666666666735130e-01)  # fmt: skip
EXP_SINGLE = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
              5.0000001201e-1)  # fmt: skip
EXP_DOUBLE = (1 / 6227020800, 1 / 479001600, 1 / 39916800, 1 / 3628800, 1 / 362880, 1 / 40320,
              1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5)  # fmt: skip


def tile(kind: Kind, machine: Machine, rows: int, packed: bool = False) -> str:
    """A function that computes one tile of a product, C = A @ B or C = D + A @ B.

    A   rows of numbers, `lda` apart; packed: its columns, one after the other
    B   K rows of a panel, as wide as the tile, one after the other
    D   rows to begin with, `ldd` apart, or null
    """
    across = machine.across
    t = Text(kind)
    v, size = kind.vector, kind.size
    parts = 4 if rows == 1 else 2 if rows == 2 else 1  # sums that do not wait for each other
    sums = [[[t.slot(v) for _ in range(across)] for _ in range(rows)] for _ in range(parts)]
    zero = "zeroinitializer"
    for part in sums:
        for row in part:
            for slot in row:
                t.do(f"store {v} {zero}, ptr {slot}")

    def one(k: Value, part: int) -> None:
        at = t.let(f"mul i64 {k}, {across * kind.lanes * size}")
        row = t.let(f"getelementptr i8, ptr %B, i64 {at}")
        b = []
        for c in range(across):
            p = t.let(f"getelementptr i8, ptr {row}, i64 {c * kind.lanes * size}")
            b.append(t.let(f"load {v}, ptr {p}, align {size}"))
        for r in range(rows):
            begin = str(r) if packed else t.let(f"mul i64 %lda, {r}")
            start = t.let(f"mul i64 {k}, {rows}") if packed else k
            p = t.let(
                f"getelementptr {kind.scalar}, ptr %A, i64 {t.let(f'add i64 {start}, {begin}')}"
            )
            a = t.let(f"load {kind.scalar}, ptr {p}, align {size}")
            a = t.let(f"insertelement {v} poison, {kind.scalar} {a}, i64 0")
            mask = f"<{kind.lanes} x i32> zeroinitializer"
            a = t.let(f"shufflevector {v} {a}, {v} poison, {mask}")
            for c in range(across):
                slot = sums[part][r][c]
                so_far = t.let(f"load {v}, ptr {slot}")
                t.do(f"store {v} {t.fma(a, b[c], so_far)}, ptr {slot}")

    if parts == 1:
        with t.loop("%K", as_is=True) as k:
            one(k, 0)
    else:
        whole = t.let(f"and i64 %K, {-parts}")
        with t.loop(whole, parts) as k:
            for number in range(parts):
                one(t.let(f"add i64 {k}, {number}"), number)
        with t.loop("%K", 1, whole) as k:
            one(k, 0)
    more = t.let("icmp ne ptr %D, null")
    for r in range(rows):
        for c in range(across):
            total = t.let(f"load {v}, ptr {sums[0][r][c]}")
            for part in sums[1:]:
                total = t.binary("fadd", total, t.let(f"load {v}, ptr {part[r][c]}"))
            mask = f"%mask{c}"
            first = c * kind.lanes
            start = t.let(f"add i64 {t.let(f'mul i64 %ldd, {r}')}, {first}")
            d = t.let(f"getelementptr {kind.scalar}, ptr %D, i64 {start}")
            read = t.let(f"select i1 {more}, {kind.bits} {mask}, {kind.bits} zeroinitializer")
            before = masked_load(t, d, read)
            start = t.let(f"add i64 {t.let(f'mul i64 %ldc, {r}')}, {first}")
            p = t.let(f"getelementptr {kind.scalar}, ptr %C, i64 {start}")
            masked_store(t, t.binary("fadd", total, before), p, mask)
    masks = ", ".join(f"{kind.bits} %mask{c}" for c in range(across))
    return function(
        f"@tile_{kind.suffix}_{rows}" + "_packed" * packed,
        f"ptr %A, i64 %lda, ptr %B, i64 %K, ptr %C, i64 %ldc, ptr %D, i64 %ldd, {masks}",
        t,
        "internal ",
    )


def masked_load(t: Text, p: Value, mask: Value) -> Value:
    """The numbers at an address where true, else 0."""
    v, kind = t.kind.vector, t.kind
    name = f"llvm.masked.load.{kind.suffix}.p0"
    return t.intrinsic(
        v, name, ("ptr", p), ("i32", str(kind.size)), (kind.bits, mask), (v, "zeroinitializer")
    )


def masked_store(t: Text, value: Value, p: Value, mask: Value) -> None:
    """Store where true."""
    kind = t.kind
    name = f"llvm.masked.store.{kind.suffix}.p0"
    t.declared[f"declare void @{name}({kind.vector}, ptr, i32, {kind.bits})"] = None
    t.do(f"call void @{name}({kind.vector} {value}, ptr {p}, i32 {kind.size}, {kind.bits} {mask})")


def function(name: str, parameters: str, t: Text, linkage: str = "") -> str:
    """A function as text."""
    slots, body = "\n".join(t.slots), "\n".join(t.lines)
    head = f"define {linkage}void {name}({parameters}) #0 {{\nentry:"
    return f"{head}\n{slots}\n{body}\n  ret void\n}}\n"


def module(functions: Sequence[str], declared: Sequence[str], machine: Machine) -> str:
    """A module as text."""
    bits = 8 * machine.bytes
    attributes = (
        f'attributes #0 = {{ nounwind "min-legal-vector-width"="{bits}" '
        f'"prefer-vector-width"="{bits}" }}'
    )
    return "\n".join([*dict.fromkeys(declared), *functions, attributes, METADATA]) + "\n"
