"""Equations as LaTeX (with the package amsmath, or MathJax)."""

from __future__ import annotations

import re
from typing import Any

from ..notation import GREEK
from .notation import Formula, FormulaLine, Section

_FUNCTIONS = "arccos arcsin arctan cos cosh exp log max min sin sinh tan tanh"
"""Functions that LaTeX has a command for."""
_SIGNS = {"≥": r"\ge", "≤": r"\le", "≠": r"\ne", "∧": r"\wedge", "∨": r"\vee", "⊻": r"\veebar",
          "¬": r"\neg ", "·": r"\cdot", "−": "-"}  # fmt: skip
_ESCAPED = str.maketrans({c: f"\\{c}" for c in "#$%&_{}"} | {"\\": r"\backslash ", "−": "-",
                          "×": r"\times ", "~": r"\sim ", "^": r"\hat{}"})  # fmt: skip


def latex(box: Formula) -> str:
    """One box."""
    kind, inside = box.kind, box.inside
    parts = [latex(part) if isinstance(part, Formula) else part for part in inside]
    if kind == "call":
        return rf"{_function(parts[0])}\left({', '.join(parts[1:])}\right)"
    if kind in ("turned", "raised"):
        exponent = parts[1] if kind == "raised" else r"\top"
        clear = inside[0].kind == "name" and (exponent == r"\top" or exponent.isdigit())
        if clear and not (inside[0].inside[1] and inside[0].inside[2]):  # nothing above it yet
            return f"{parts[0]}^{{{exponent}}}"
        return f"{{{parts[0]}}}^{{{exponent}}}"
    if kind == "row":
        return "".join(
            _inline(part.inside[0]) if part.kind == "words" else latex(part) for part in inside
        )
    if kind == "part":
        index = inside[1]
        inner = _inline(index.inside[0]) if index.kind == "words" else parts[1]
        return rf"{{{parts[0]}}}_{{[{inner}]}}"
    if kind == "join":
        return rf"\left[{', '.join(parts)}\right]"
    written: str = _WRITE[kind](*parts)
    return written


def _escaped(text: str) -> str:
    return text.translate(_ESCAPED)


def _inline(text: str) -> str:
    """Text beside letters, as in an index: words upright, signs as they are in formulas."""
    signs = {":": "{:}", "−": "-", "×": r"\times", "…": r"\ldots "}
    pieces = re.findall(r"[^\W\d][\w=]+|.", text)
    return "".join(rf"\text{{{_escaped(p)}}}" if len(p) > 1 else signs.get(p, p) for p in pieces)


def _sign(sign: str) -> str:
    """A sign between two arguments."""
    return _SIGNS.get(sign) or rf"\mathbin{{{_escaped(sign)}}}"


def _letters(word: str) -> str:
    """A name: italic if it is one letter, upright if it is a word."""
    if word in GREEK:
        return r"\lambda" if word == "lamda" else f"\\{word}"
    plain = len(word) == 1 or word.strip("()").isdigit()
    return _escaped(word) if plain else rf"\mathrm{{{_escaped(word)}}}"


def _name(base: str, label: str, time: str) -> str:
    label = ",".join(map(_letters, label.split(","))) if label else ""
    if not time:
        return _letters(base) + (f"_{{{label}}}" if label else "")
    return _letters(base) + (f"^{{{label}}}" if label else "") + f"_{{{time.replace('−', '-')}}}"


def _function(name: str) -> str:
    """A function's name: a command of LaTeX, a Greek letter, or upright."""
    letters = {letter: command for command, letter in GREEK.items()}
    if name in _FUNCTIONS.split():
        return f"\\{name}"
    return f"\\{letters[name]}" if name in letters else rf"\operatorname{{{_escaped(name)}}}"


def _over(over: str, x: str, sign: str) -> str:
    symbol = {"Σ": r"\sum", "Π": r"\prod"}.get(sign) or _function(sign)
    if over == "time":
        return rf"{symbol}_{{t=1}}^{{T}} {x}"
    if over == "steps":
        return rf"{symbol}_{{t}} {x}"
    return rf"{symbol}_{{\mathrm{{{over.replace('−', '-').replace(' ', '~')}}}}} {x}"


def _partial(of: str, of_step: bool) -> str:
    return rf"\frac{{\partial L{'_{t}' if of_step else ''}}}{{\partial {of}}}"


_WRITE: dict[str, Any] = {
    "name": _name,
    "number": str,
    "words": lambda x: rf"\mathrm{{{_escaped(x)}}}",
    "plus": lambda a, b: f"{a} + {b}",
    "minus": lambda a, b: f"{a} - {b}",
    "odot": lambda a, b: rf"{a} \odot {b}",
    "scaled": lambda a, b: rf"{a} \, {b}",
    "product": lambda a, b: rf"{a} \, {b}",
    "infix": lambda a, sign, b: f"{a} {_sign(sign)} {b}",
    "signed": lambda sign, x: f"{_SIGNS.get(sign) or _escaped(sign)}{x}",
    "group": lambda x: rf"\left({x}\right)",
    "bars": lambda x: rf"\left|{x}\right|",
    "root": lambda x: rf"\sqrt{{{x}}}",
    "fraction": lambda a, b: rf"\frac{{{a}}}{{{b}}}",
    "over": _over,
    "holds": lambda a, r, b: rf"\mathbf{{1}}\left[{a} {_SIGNS.get(r, r)} {b}\right]",
    "relation": lambda a, r, b: f"{a} {_SIGNS.get(r, r)} {b}",
    "partial": _partial,
    "given": lambda x, a, b: rf"{x}, \quad {a} = {b}",
    "noted": lambda x, words: rf"{x}, \quad {words.replace('mathrm', 'text', 1)}",
}


def line(of: FormulaLine) -> str:
    """left &= right, for an align environment."""
    left = "" if of.left is None else latex(of.left)
    return rf"{left} &= {latex(of.right)}"


def sheet(sections: list[Section]) -> str:
    """Sections as paragraphs with aligned equations."""
    blocks = []
    for section in sections:
        rows = " \\\\\n".join(f"  {line(of)}" for of in section.lines)
        blocks.append(f"{section.title}\n\\begin{{align*}}\n{rows}\n\\end{{align*}}")
    return "\n\n".join(blocks)
