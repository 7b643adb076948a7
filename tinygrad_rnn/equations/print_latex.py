"""Equations as LaTeX (with the package amsmath, or MathJax)."""

from __future__ import annotations

from typing import Any

from .notation import GREEK, Box, Line, Section

_FUNCTIONS = {"σ": r"\sigma", "tanh": r"\tanh", "exp": r"\exp", "log": r"\log", "sin": r"\sin",
              "cos": r"\cos"}  # fmt: skip
_RELATIONS = {"≥": r"\ge", "≤": r"\le"}
_ESCAPED = str.maketrans({c: f"\\{c}" for c in "#$%&_{}"} | {"\\": r"\backslash ", "−": "-",
                          "×": r"\times ", "~": r"\sim ", "^": r"\hat{}"})  # fmt: skip


def latex(box: Box) -> str:
    """One box."""
    kind, inside = box.kind, box.inside
    parts = [latex(part) if isinstance(part, Box) else part for part in inside]
    if kind == "call":
        function = _FUNCTIONS.get(parts[0], rf"\operatorname{{{_escaped(parts[0])}}}")
        return rf"{function}\left({', '.join(parts[1:])}\right)"
    if kind == "transpose":
        timed = inside[0].kind == "name" and inside[0].inside[2] and not inside[0].inside[1]
        return (parts[0] if timed else f"{{{parts[0]}}}") + r"^{\top}"
    if kind == "join":
        return rf"\left[{', '.join(parts)}\right]"
    written: str = _WRITE[kind](*parts)
    return written


def _escaped(text: str) -> str:
    return text.translate(_ESCAPED)


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


def _number(digits: str) -> str:
    mantissa, _, exponent = digits.partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


def _over(what: str, x: str) -> str:
    return rf"\sum_{{t=1}}^{{T}} {x}" if what == "time" else rf"\sum_{{\mathrm{{{what}}}}} {x}"


def _partial(of: str, of_step: bool) -> str:
    return rf"\frac{{\partial L{'_{t}' if of_step else ''}}}{{\partial {of}}}"


_WRITE: dict[str, Any] = {
    "name": _name,
    "number": _number,
    "words": lambda x: rf"\mathrm{{{_escaped(x)}}}",
    "plus": lambda a, b: f"{a} + {b}",
    "minus": lambda a, b: f"{a} - {b}",
    "odot": lambda a, b: rf"{a} \odot {b}",
    "scaled": lambda a, b: rf"{a} \, {b}",
    "product": lambda a, b: rf"{a} \, {b}",
    "negative": lambda x: f"-{x}",
    "group": lambda x: rf"\left({x}\right)",
    "abs": lambda x: rf"\left|{x}\right|",
    "sqrt": lambda x: rf"\sqrt{{{x}}}",
    "power": lambda x, n: rf"{{{x}}}^{{{n}}}",
    "fraction": lambda a, b: rf"\frac{{{a}}}{{{b}}}",
    "over": _over,
    "holds": lambda a, r, b: rf"\mathbf{{1}}\left[{a} {_RELATIONS.get(r, r)} {b}\right]",
    "relation": lambda a, r, b: f"{a} {_RELATIONS.get(r, r)} {b}",
    "part": lambda x, index: rf"{{{x}}}_{{[{index}]}}",
    "partial": _partial,
    "where": lambda x, a, b: rf"{x}, \quad {a} = {b}",
}


def line(of: Line) -> str:
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
