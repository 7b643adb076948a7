"""Tables of results and the numbers in them: laid out once, for text, Markdown and terminals."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WRONG = "color:#b3261e;font-weight:bold"


class Tabled:
    """A result that a notebook, and the terminal, are shown as its table."""

    def table(self) -> Table:
        """The result as a table."""
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def _repr_markdown_(self) -> str:
        return self.table()._repr_markdown_()


def as_markdown(text: str) -> str:
    """Text as Markdown that shows it as it is.

    >>> print(as_markdown("|dL/d<x>| of s_0"))
    \\|dL/d\\<x\\>\\| of s_0
    """
    return re.sub(r"([\\`*\[\]<>|~$&]|(?<!\w)_|_(?!\w))", r"\\\1", text)


@dataclass(frozen=True)
class Table:
    """Words and numbers in rows and columns. Prints as text; rich shows it as a table of its own.

    heads    of the columns
    rows     the entries
    title    above it
    numbers  the columns of numbers, from 0: they stand at the right
    wrong    the rows to be marked, from 0
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    numbers: Sequence[int] = ()
    wrong: Sequence[int] = ()

    def __str__(self) -> str:
        lines = [self.heads, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(
                entry.rjust(width) if i in self.numbers else entry.ljust(width)
                for i, (entry, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        rule = "─" * max(map(len, text))
        return "\n".join([*filter(None, [self.title]), text[0], rule, *text[1:]])

    def _repr_html_(self) -> str:
        def line(tag: str, row: Sequence[str], style: str = "") -> str:
            cells = "".join(
                f'<{tag} style="text-align:{self._side(i)}">{escape(entry)}</{tag}>'
                for i, entry in enumerate(row)
            )
            return f'<tr style="{style}">{cells}</tr>'

        rows = [
            line("td", row, WRONG if i in self.wrong else "") for i, row in enumerate(self.rows)
        ]
        title = f"<caption>{escape(self.title)}</caption>" if self.title else ""
        head = f"<thead>{line('th', self.heads)}</thead>"
        return f"<table>{title}{head}<tbody>{''.join(rows)}</tbody></table>"

    def _side(self, column: int) -> str:
        return "right" if column in self.numbers else "left"

    def markdown(self) -> str:
        """A table in Markdown, without the title."""
        rule = ["---:" if i in self.numbers else "---" for i in range(len(self.heads))]
        rows = [[as_markdown(cell) for cell in row] for row in [self.heads, *self.rows]]
        return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], rule, *rows[1:]])

    def _repr_markdown_(self) -> str:
        title = f"{as_markdown(self.title)}\n\n" if self.title else ""
        return title + self.markdown()

    def __rich__(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table as RichTable

        table = RichTable(
            title=self.title or None,
            title_justify="left",
            title_style="",
            header_style="",
            box=SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for i, head in enumerate(self.heads):
            table.add_column(head, justify="right" if i in self.numbers else "left", no_wrap=True)
        for i, row in enumerate(self.rows):
            table.add_row(*row, style="bold red" if i in self.wrong else None)
        return table


def figures(x: float) -> str:
    """A number with four significant figures.

    >>> figures(23.4712), figures(0.00123456), figures(1.2e-9)
    ('23.47', '0.001235', '1.200e-09')
    """
    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    digits = 3 - math.floor(math.log10(abs(x)))
    return f"{x:.{max(0, digits)}f}" if digits <= 7 else f"{x:.3e}"


def shape(sizes: Sequence[int]) -> str:
    """A shape: 3×4, and 1 for a single number.

    >>> shape((3, 4)), shape(())
    ('3×4', '1')
    """
    return "×".join(map(str, sizes)) or "1"


__all__ = ["Table", "figures", "shape"]
