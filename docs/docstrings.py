"""The library's docstrings as reStructuredText, for the site.

They are written to be read with `help`: equations are indented, and arguments stand in two columns,

    name    description, which may go on
            under itself

so a paragraph is a literal block, a definition list, a bulleted list, a doctest or prose. An
equation by itself is a literal block even where it is not indented.
"""

import re
from collections.abc import Iterator
from textwrap import dedent, indent

ENTRY = re.compile(r"(\S(?:.*?\S)??)(  +)(\S.*)|(\S+)( )(\S.*)")
NAMES = re.compile(r"\S+(?:, \S+)*")
SPECIAL = re.compile(r"(\*\*\w[^*]*\w\*\*)|([\\*_|])")
EQUATION = re.compile(r"(?!>>>)[^`]* (?:=|<-) [^`]*[^`.,:]")


def rst(docstring: str) -> str:
    """The whole docstring."""
    paragraphs = re.split(r"\n *\n", docstring.strip("\n"))
    shown = []
    for i, paragraph in enumerate(p.rstrip() for p in paragraphs if p.strip()):
        first, alone = paragraph.split("\n")[0], EQUATION.fullmatch(paragraph)
        is_equation = i and alone and EQUATION.fullmatch(first.split("  ")[0].rstrip(","))
        shown.append(
            block("    " + paragraph.replace("\n", "\n    ") if is_equation else paragraph)
        )
    return "\n\n".join("\n".join(lines) for lines in shown)


def block(text: str) -> Iterator[str]:
    """The lines of one paragraph."""
    lines = text.split("\n")
    if text.startswith(">>>"):
        yield text
    elif text.startswith(" "):
        yield from (".. code-block:: text", "", indent(dedent(text), "    "))
    elif text.startswith("- "):
        items = re.split(r"\n(?=- )", text)
        yield from ("- " + prose(" ".join(item[2:].split())) for item in items)
    elif entries := columns(lines):
        for name, description in entries:
            yield from (literal(name), indent(rst(description), "    "))
    else:
        yield prose(text)


def columns(lines: list[str]) -> list[tuple[str, str]]:
    """The entries of a paragraph in two columns, or none if it is none."""
    first = ENTRY.fullmatch(lines[0])
    if not first or not first[1]:
        return []
    at = first.start(3)
    entries: list[tuple[str, list[str]]] = []
    for line in lines:
        name, rest, wide = line[:at], line[at:], ENTRY.fullmatch(line)
        if wide and wide[1] and NAMES.fullmatch(wide[1]) and len(wide[1]) > at:
            entries.append((wide[1], [wide[3]]))
        elif name.strip() and not name.startswith(" ") and name.endswith(" "):
            entries.append((name.strip(), [rest]))
        elif entries and not name.strip():
            entries[-1][1].append(rest)
        elif wide:  # a name as long as its column
            entries.append((wide[1] or wide[4], [wide[3] or wide[6]]))
        else:
            return []
    return [(name, "\n".join(description)) for name, description in entries]


def prose(text: str) -> str:
    """Running text: code in backticks, everything else as it is."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        raise ValueError(f"an odd number of backticks in {text!r}")
    parts[::2] = [SPECIAL.sub(lambda m: m[1] or f"\\{m[2]}", part) for part in parts[::2]]
    for i in range(1, len(parts), 2):
        before = "\\ " if parts[i - 1][-1:].isalnum() else ""
        after = "\\ " if parts[i + 1][:1].isalnum() else ""
        parts[i] = before + literal(parts[i]) + after
    return "".join(parts)


def literal(code: str) -> str:
    """A piece of code in running text."""
    return f"``{code}``"
