"""Equations as MathML, which browsers typeset by themselves."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from ..notation import GREEK
from .notation import Formula, Section

FACES = (
    '"STIX Two Math", "Cambria Math", "Latin Modern Math", "Libertinus Math", "Asana Math", '
    '"TeX Gyre Termes Math", FreeSerif, "DejaVu Math TeX Gyre", math'
)
"""Faces with measures for mathematics, without which indices stand on the line.

A browser's own `math` is one face, which few Linux systems have.
"""


def _with(tag: str, *children: Element, **attributes: str) -> Element:
    made = Element(tag, attributes)
    made.extend(children)
    return made


def _text(tag: str, text: str, **attributes: str) -> Element:
    made = Element(tag, attributes)
    made.text = text
    return made


def _op(text: str, **attributes: str) -> Element:
    return _text("mo", text, **attributes)


def _word(word: str) -> Element:
    """A name: italic if it is one letter, upright if it is a word."""
    word = GREEK.get(word, word)
    if word.strip("()").isdigit():
        return _text("mn", word)
    return _text("mi", word, **({} if len(word) == 1 else {"mathvariant": "normal"}))


def _time(time: str) -> Element:
    if len(time) == 1 or time.isdigit():
        return _word(time)
    return _with("mrow", _word(time[0]), _op(time[1]), _text("mn", time[2:]))


def _name(base: str, label: str, time: str) -> Element:
    words = [piece for word in label.split(",") for piece in (_op(","), _word(word))][1:]
    marks = _with("mrow", *words) if label else None
    if time and marks is not None:
        return _with("msubsup", _word(base), _time(time), marks)
    below = _time(time) if time else marks
    return _word(base) if below is None else _with("msub", _word(base), below)


def mathml(box: Formula) -> Element:
    """One box."""
    kind, inside = box.kind, box.inside
    parts = [mathml(part) for part in inside if isinstance(part, Formula)]
    signs = {"plus": "+", "minus": "−", "odot": "⊙", "product": "\u2062", "scaled": "\u2062"}
    if kind in signs:
        sign = _op(signs[kind], **({"rspace": "0.2em"} if signs[kind] == "\u2062" else {}))
        return _with("mrow", parts[0], sign, parts[1])
    match kind:
        case "name":
            return _name(*inside)
        case "number":
            return _text("mn", inside[0])
        case "words":
            return _text("mtext", inside[0])
        case "infix":
            return _with("mrow", parts[0], _op(inside[1]), parts[1])
        case "signed":
            return _with("mrow", _op(inside[0], form="prefix"), *parts)
        case "group":
            return _with("mrow", _op("("), *parts, _op(")"))
        case "bars":
            return _with("mrow", _op("|"), *parts, _op("|"))
        case "root":
            return _with("msqrt", *parts)
        case "fraction":
            return _with("mfrac", *parts)
        case "raised":
            return _above(*parts)
        case "turned":
            return _above(parts[0], _text("mi", "⊤", mathvariant="normal"))
        case "part":
            x, index = parts
            return _with("msub", x, _with("mrow", _op("["), index, _op("]")))
        case "row":
            return _with("mrow", *parts)
        case "holds":
            one = _text("mn", "1", mathvariant="bold")
            return _with("mrow", one, _op("["), parts[0], _op(inside[1]), parts[1], _op("]"))
        case "relation":
            return _with("mrow", parts[0], _op(inside[1]), parts[1])
        case "over":
            return _with("mrow", _over(inside[0], inside[2]), *parts)
        case "partial":
            loss = _name("L", "", "t" if inside[1] else "")
            d = [_text("mi", "∂") for _ in range(2)]
            return _with("mfrac", _with("mrow", d[0], loss), _with("mrow", d[1], *parts))
        case "given":
            formula, left, right = parts
            comma = _op(",", rspace="1.5em")
            return _with("mrow", formula, comma, left, _op("="), right)
        case "noted":
            return _with("mrow", parts[0], _op(",", rspace="1.5em"), parts[1])
        case "call":
            return _with("mrow", _word(inside[0]), _op("\u2061"), *_listed("(", parts, ")"))
        case "join":
            return _with("mrow", *_listed("[", parts, "]"))
    raise AssertionError(kind)


def _above(base: Element, exponent: Element) -> Element:
    """An exponent, over the index of a name that has one below: x_t^2; letters would be a label."""
    if base.tag == "msub" and (exponent.text == "⊤" or exponent.tag == "mn"):
        return _with("msubsup", *base, exponent)
    return _with("msup", base, exponent)


def _listed(opening: str, parts: list[Element], closing: str) -> list[Element]:
    between = [piece for part in parts for piece in (_op(","), part)][1:]
    return [_op(opening), *between, _op(closing)]


def _over(over: str, sign: str) -> Element:
    symbol = {"Σ": "∑", "Π": "∏"}.get(sign)
    if symbol is None:
        return _with("msub", _word(sign), _text("mtext", over))
    large = _op(symbol, movablelimits="false", largeop="true")
    if over != "time":
        below = _word("t") if over == "steps" else _text("mtext", over)
        return _with("munder", large, below)
    below = _with("mrow", _word("t"), _op("="), _text("mn", "1"))
    return _with("munderover", large, below, _word("T"))


def fragment(sections: list[Section]) -> str:
    """Sections as HTML: a heading and one table of equations each."""
    whole = Element("section", {"class": "derivation"})
    for section in sections:
        SubElement(whole, "h3").text = section.title
        math = SubElement(whole, "math", {"displaystyle": "true", "style": f"font-family: {FACES}"})
        table = SubElement(math, "mtable", {"displaystyle": "true"})
        for of in section.lines:
            row = SubElement(table, "mtr")
            left = [] if of.left is None else [mathml(of.left)]
            row.append(_with("mtd", *left, style="text-align: right; text-align: -webkit-right"))
            equals = [_op("=")] if of.left is not None else []
            row.append(
                _with("mtd", _with("mrow", *equals, mathml(of.right)), style="text-align: left")
            )
    indent(whole)
    return tostring(whole, encoding="unicode")


def small(fragment: str) -> str:
    """A fragment with headings as small as text, beside the headings of a notebook."""
    return fragment.replace("<h3>", '<h3 style="font-size:1em;margin:0.8em 0 0.3em">')
