"""A block that Ctrl-C does not cut in two."""

from __future__ import annotations

import importlib
import signal
from typing import Any

# behind `signal`, which makes enumerations of numbers, in ten times the time
_plain: Any = importlib.import_module("_signal")


class Uninterrupted:
    """While the block runs, Ctrl-C waits; it is sent again when the block has ended.

    For short blocks that change several things which belong together. Outside the main thread,
    which Ctrl-C does not reach, it does nothing.
    """

    def __enter__(self) -> None:
        self._waiting = False
        self._before: Any = _plain.getsignal(_plain.SIGINT)
        if self._before is None:  # installed by another program that Python runs in
            return
        try:
            _plain.signal(_plain.SIGINT, self._wait)
        except ValueError:  # not the main thread
            self._before = None

    def _wait(self, *_: object) -> None:
        self._waiting = True

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            _plain.signal(_plain.SIGINT, self._before)
            if self._waiting:
                signal.raise_signal(signal.SIGINT)
