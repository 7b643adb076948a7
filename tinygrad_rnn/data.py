"""Text as numbers: reading it, its characters as classes, and windows to train on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Ids = np.ndarray[Any, np.dtype[np.int64]]

STANDARD_LIBRARY = (
    "argparse", "ast", "bdb", "calendar", "cmd", "configparser", "copy", "csv", "dataclasses",
    "difflib", "doctest", "fileinput", "gettext", "gzip", "inspect", "linecache", "logging",
    "mailbox", "mimetypes", "optparse", "pdb", "pprint", "queue", "random", "shutil", "smtplib",
    "socketserver", "string", "subprocess", "tarfile", "tempfile", "textwrap", "threading",
    "timeit", "tokenize", "trace", "traceback", "typing", "uuid", "weakref",
)  # fmt: skip
"""Modules whose source is trained on when no text is given: plain English and plain Python."""


class TextError(ValueError):
    """A text that cannot be used: empty, not UTF-8, too short, or with unknown characters."""


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, with line ends as `\\n` and without a byte order mark.

    Raises TextError for a file that is empty or is not UTF-8, and OSError for one that cannot be
    read.
    """
    data = Path(path).read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(
            f"{path}: not UTF-8 text: byte 0x{data[error.start]:02x} at offset {error.start} "
            f"({error.reason}); convert the file to UTF-8 first"
        ) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise TextError(f"{path}: no text in it ({len(data)} bytes, nothing but white space)")
    return text


def standard_library_text(modules: Sequence[str] = STANDARD_LIBRARY) -> str:
    """The source text of modules of the standard library, joined; nothing is imported or run.

    Modules that this Python does not have, or has without source, are left out. The text is the
    same for the same Python version.

    Raises TextError if there is no source at all.

    >>> text = standard_library_text(["textwrap"])
    >>> "def wrap(self, text):" in text
    True
    """
    sources: list[str] = []
    for name in modules:
        spec = find_spec(name)
        # a frozen module's loader has no get_source, or gives None
        get_source = getattr(spec.loader if spec else None, "get_source", None)
        source = get_source(name) if get_source else None
        if source:
            sources.append(source)
    if not sources:
        raise TextError(
            f"none of {len(modules)} standard-library modules has source text in this Python"
        )
    return "\n".join(sources)


@dataclass(frozen=True)
class Vocabulary:
    """The characters of a text as classes 0..V-1.

    characters   all of them, each once; the class of a character is its place

    >>> vocabulary = Vocabulary.of("hello")
    >>> vocabulary.characters, len(vocabulary)
    ('ehlo', 4)
    >>> vocabulary.encode("hole")
    array([1, 3, 2, 0])
    >>> vocabulary.decode([1, 3, 2, 0])
    'hole'
    """

    characters: str

    def __post_init__(self) -> None:
        if not isinstance(self.characters, str):
            kind = type(self.characters).__name__
            raise TypeError(f"a vocabulary is made of characters, a str; given a {kind}")
        if not self.characters or len(set(self.characters)) != len(self.characters):
            raise ValueError("a vocabulary is made of characters that are all different")

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """The characters that a text is made of, in the order of their code points."""
        return cls("".join(sorted(set(text))))

    def encode(self, text: str) -> Ids:
        """The class of every character, (len(text),) integers.

        Raises TextError for a character that is not in the vocabulary.
        """
        classes = {character: i for i, character in enumerate(self.characters)}
        try:
            return np.array([classes[character] for character in text], np.int64)
        except KeyError as error:
            raise TextError(
                f"character {error.args[0]!r} is not among the {len(self)} of the vocabulary"
            ) from None

    def decode(self, ids: Any) -> str:
        """The text that classes stand for."""
        return "".join(self.characters[i] for i in ids)

    def __len__(self) -> int:
        return len(self.characters)


def split_text(text: str, window: int, most: int = 50_000) -> tuple[str, str]:
    """The text split in two: the part to train on, and the last tenth, which training never sees.

    window   length that a training window has; both parts have room for one and the character
             that follows it
    most     number of characters held out at most

    Raises TextError if the text is too short for that.

    >>> train, held = split_text("abcdefghij" * 10, window=5)
    >>> len(train), len(held)
    (90, 10)
    """
    least = window + 1
    if len(text) < 2 * least:
        raise TextError(
            f"the text has {len(text)} characters, wanted at least {2 * least}: a window of "
            f"{window} and the character after it to train on, and the same again held out"
        )
    size = max(least, min(most, len(text) // 10))
    return text[:-size], text[-size:]


class Window(NamedTuple):
    """Part of B sequences, side by side.

    inputs    (T, B) classes
    targets   (T, B): the characters that follow, targets[t] = inputs[t + 1]
    first     True if the sequences begin here, so that no state is to be carried in
    """

    inputs: Ids
    targets: Ids
    first: bool


def windows(ids: Ids, length: int, batch_size: int) -> Iterator[Window]:
    """A text once through: cut into B equal sequences, and those into windows of T steps.

    Window k+1 goes on where window k ended, so that a state can be carried over (truncated BPTT).
    The characters at the end that do not fill a window are left out.

    ids          (N,) classes
    length       T
    batch_size   B; fewer sequences if the text is too short for so many

    Raises TextError if not even one window fits.

    >>> for inputs, targets, first in windows(np.arange(9), length=2, batch_size=2):
    ...     print(inputs.tolist(), targets.tolist(), first)
    [[0, 4], [1, 5]] [[1, 5], [2, 6]] True
    [[2, 6], [3, 7]] [[3, 7], [4, 8]] False
    """
    B = min(batch_size, (len(ids) - 1) // length)
    if B < 1:
        raise TextError(
            f"{len(ids)} characters are too few for a window of {length} and the one after it"
        )
    size = (len(ids) - 1) // B
    inputs = ids[: B * size].reshape(B, size).T
    targets = ids[1 : B * size + 1].reshape(B, size).T
    for start in range(0, size - length + 1, length):
        part = slice(start, start + length)
        yield Window(inputs[part], targets[part], start == 0)
