"""How an operation is written, said where it is declared: in formulas, in boxes and in NumPy.

Every printer asks the primitive for its notation; none keeps a table of operators.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

SUM, TIMES, PRODUCT, SIGN, ATOM = 1, 2, 3, 4, 5
"""How tightly a formula holds together: a sum, a product entry by entry, of matrices, a sign or a
power, and formulas that need no brackets anywhere."""

Arrangement = Literal[
    "call",  # symbol(a, b)
    "infix",  # a symbol b
    "sign",  # symbol a
    "fraction",  # a over b
    "raised",  # a to the power b
    "squared",  # a to the power 2
    "turned",  # a with a raised T
    "root",  # a under a root
    "bars",  # a between bars
    "brackets",  # [a, b]
    "total",  # a summed over axes
    "entries",  # a[index]
    "hidden",  # a: only the shape or the precision changes
    "indicator",  # 1 where a symbol b holds, else 0
    "choice",  # a where a condition holds, else b
]


def several(n: int, noun: str) -> str:
    """A number of things, in words: "1 step", "2 steps"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


class Notation(NamedTuple):
    """How one operation is written.

    form    how its arguments are arranged
    symbol  the sign, or the name before the brackets; the operation's own name if left out
    binds   how tightly the formula holds together
    numpy   the same in NumPy: a sign ("+"), a function ("np.tanh"), or an expression in the names
            of the value's own arguments ("x / (1 + np.abs(x))"), or lines that end in a
            return; left out for NumPy's ufuncs
    word    the action of its pullback, in a word, where that is no formula ("split")
    """

    form: Arrangement = "call"
    symbol: str = ""
    binds: int = ATOM
    numpy: str = ""
    word: str = ""


CALL = Notation()

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "iota": "ι", "kappa": "κ", "lambda": "λ", "lamda": "λ", "mu": "μ", "nu": "ν",
    "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "upsilon": "υ",
    "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ", "Theta": "Θ",
    "Lambda": "Λ", "Xi": "Ξ", "Pi": "Π", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
"""Greek letters by their names, which stand for them wherever a user's name is typeset."""


def infix(symbol: str, binds: int, numpy: str) -> Notation:
    """a symbol b."""
    return Notation("infix", symbol, binds, numpy)


def call(symbol: str = "", numpy: str = "", word: str = "") -> Notation:
    """symbol(a, b)."""
    return Notation("call", symbol, ATOM, numpy, word)


def hidden(numpy: str = "") -> Notation:
    """The argument itself: nothing is seen of the operation in a formula."""
    return Notation("hidden", "", ATOM, numpy)
