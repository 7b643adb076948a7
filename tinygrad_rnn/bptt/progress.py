"""How far long work has come, on standard error."""

from __future__ import annotations

import sys
from time import monotonic

PATIENCE = 3.0
"""Seconds of work before anything is said."""


class Progress:
    """A line that says how far the work is, once it has taken some seconds.

    On a terminal it is written over itself every half second and is gone at the end; elsewhere a
    line is written each half minute.

    work   its name and size
    total  in units of `advance`
    """

    def __init__(self, work: str, total: int) -> None:
        self.work = work
        self.total = total
        self.done = 0
        self._next = monotonic() + PATIENCE
        self._began = monotonic()
        self._width = 0

    def advance(self, units: int = 1) -> None:
        """So much more is done."""
        self.done += units
        if self.done % 64 == 0 or units > 1:
            now = monotonic()
            if now >= self._next:
                self._say(now)

    def _say(self, now: float) -> None:
        terminal = sys.stderr.isatty()
        left = (now - self._began) * (self.total - self.done) / max(self.done, 1)
        text = f"{self.work}: {self.done / self.total:4.0%}, {left:.0f} s left"
        self._next = now + (0.5 if terminal else 30.0)
        if terminal:
            sys.stderr.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:  # leave the terminal as it was found
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
