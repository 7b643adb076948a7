"""Equations as Unicode text."""

from __future__ import annotations

from typing import Any

from ..notation import ATOM, GREEK
from .notation import Formula, FormulaLine, Section

_SUPERSCRIPT = dict(zip(
    "0123456789abcdefghijklmnoprstuvwxyz,()",
    "⁰¹²³⁴⁵⁶⁷⁸⁹ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ˒⁽⁾", strict=True,
))  # fmt: skip
_SUPERSCRIPT |= dict(zip("βγδφχ", "ᵝᵞᵟᵠᵡ", strict=True))
_SUPERSCRIPT |= dict(zip("ABDEGHIJKLMNOPRUVW", "ᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵁⱽᵂ", strict=True))
_SUBSCRIPT = dict(zip("0123456789+−t", "₀₁₂₃₄₅₆₇₈₉₊₋ₜ", strict=True))
_LETTERS = dict(zip("aehijklmnoprstuvx", "ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
_LETTERS |= dict(zip("βγρφχ", "ᵦᵧᵨᵩᵪ", strict=True))
_BOUND = ("odot", "scaled", "product", "turned", "raised", "part")


def text(box: Formula, within: str = "") -> str:
    """One box on one line."""
    kind, inside = box.kind, box.inside
    parts = [text(part, kind) if isinstance(part, Formula) else str(part) for part in inside]
    if kind == "fraction":
        above, below = (
            p if isinstance(b, Formula) and b.level == ATOM and b.kind != "fraction" else f"({p})"
            for p, b in zip(parts, inside, strict=True)
        )
        return f"({above} / {below})" if within in _BOUND else f"{above} / {below}"
    if kind == "call":
        return f"{parts[0]}({', '.join(parts[1:])})"
    if kind == "join":
        return f"[{', '.join(parts)}]"
    if kind == "row":
        return "".join(parts)
    written: str = _WRITE[kind](*parts)
    return written


def _name(base: str, label: str, time: str) -> str:
    base = GREEK.get(base, base)
    label = ",".join(GREEK.get(part, part) for part in label.split(","))
    if not time:
        return base + _raised(label, {**_LETTERS, **_SUBSCRIPT}, "_")
    known = all(c in _SUBSCRIPT for c in time)  # there is no small T
    when = "".join(_SUBSCRIPT[c] for c in time) if known else f"_{{{time}}}"
    return base + _raised(label, _SUPERSCRIPT, "^") + when


def _raised(label: str, letters: dict[str, str], mark: str) -> str:
    """A label in small letters, if Unicode has all of them."""
    if all(c in letters for c in label):
        return "".join(letters[c] for c in label)
    return f"{mark}{label}" if mark == "_" else f"{mark}{{{label}}}"


def _turned(x: str) -> str:
    """A transpose: of W_f it is (W_f)ᵀ, so that the T is no part of the label."""
    return f"({x})ᵀ" if "_" in x and not x.endswith(")") else f"{x}ᵀ"


def _over(over: str, x: str, sign: str) -> str:
    if over in ("time", "steps"):
        return f"{sign}ₜ {x}"
    return f"{sign}_{over}{'' if x.startswith('(') and len(sign) > 1 else ' '}{x}"


def _raised_to(base: str, exponent: str) -> str:
    small = {**_SUPERSCRIPT, "-": "⁻", "−": "⁻"}
    if all(c in small for c in exponent):
        return base + "".join(small[c] for c in exponent)
    return f"{base}^({exponent})"


def _partial(of: str, of_step: Any) -> str:
    return f"∂L{'ₜ' if of_step == 'True' else ''}/∂{of}"


_WRITE: dict[str, Any] = {
    "name": _name,
    "number": str,
    "words": str,
    "plus": lambda a, b: f"{a} + {b}",
    "minus": lambda a, b: f"{a} − {b}",
    "odot": lambda a, b: f"{a} ⊙ {b}",
    "scaled": lambda a, b: f"{a} {b}",
    "product": lambda a, b: f"{a} {b}",
    "infix": lambda a, sign, b: f"{a} {sign} {b}",
    "signed": lambda sign, x: f"{sign}{x}",
    "group": lambda x: f"({x})",
    "bars": lambda x: f"|{x}|",
    "root": lambda x: f"√({x})",
    "turned": _turned,
    "raised": _raised_to,
    "over": _over,
    "holds": lambda a, relation, b: f"1[{a} {relation} {b}]",
    "relation": lambda a, relation, b: f"{a} {relation} {b}",
    "part": lambda x, index: f"{x}[{index}]",
    "partial": _partial,
    "given": lambda x, a, b: f"{x}, where {a} = {b}",
    "noted": lambda x, words: f"{x}, {words}",
}


def line(of: FormulaLine) -> str:
    """left = right."""
    return text(of.right) if of.left is None else f"{text(of.left)} = {text(of.right)}"


def unicode(sections: list[Section]) -> str:
    """Sections, their equations aligned at the equals signs."""
    blocks = []
    for section in sections:
        lefts = [text(of.left) if of.left is not None else "" for of in section.lines]
        width = max(map(len, lefts), default=0)
        rows = [
            f"    {left:>{width}} = {text(of.right)}" if left else f"    {text(of.right)}"
            for left, of in zip(lefts, section.lines, strict=True)
        ]
        blocks.append("\n".join([section.title, *rows]))
    return "\n\n".join(blocks)
