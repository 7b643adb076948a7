"""Sequences of many lengths as one array; text as numbers: characters or words as classes, windows.

>>> from tinygrad_rnn import data
>>> words = data.WordVocabulary.of("the cat sat and the dog sat too")
>>> lines = [words.encode(line) for line in ("the dog sat", "the cat", "a cat sat too")]
>>> ids, lengths = data.pad(lines)
>>> ids.shape, lengths
((4, 3), array([3, 2, 4]))
>>> words.decode(ids[:2, 1])
['the', 'cat']
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .graph import Array

__all__ = [
    "Padded",
    "TextError",
    "Vocabulary",
    "TextWindow",
    "WordVocabulary",
    "buckets",
    "pad",
    "read_text",
    "split_text",
    "standard_library_text",
    "unpad",
    "windows",
]

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


@dataclass(frozen=True)
class WordVocabulary:
    """Words, or symbols of any kind that are strings, as classes 0..V-1.

    words     all of them, each once; the class of a word is its place
    unknown   the one among them that stands for all others; None refuses others

    >>> vocabulary = WordVocabulary.of("to be or not to be", special=("<pad>",))
    >>> vocabulary.words
    ('<pad>', '<unk>', 'be', 'to', 'not', 'or')
    >>> vocabulary.encode("to see or not to see")
    array([3, 1, 5, 4, 3, 1])
    >>> vocabulary.decode([3, 2])
    ['to', 'be']
    """

    words: tuple[str, ...]
    unknown: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.words, str) or not all(isinstance(word, str) for word in self.words):
            raise TypeError("a vocabulary of words is made of a tuple of strings")
        object.__setattr__(self, "words", tuple(self.words))
        if not self.words or len(set(self.words)) != len(self.words):
            raise ValueError("a vocabulary is made of words that are all different")
        if self.unknown is not None and self.unknown not in self.words:
            raise ValueError(f"the unknown word {self.unknown!r} is not in the vocabulary")

    @classmethod
    def of(
        cls,
        words: str | Iterable[str],
        *,
        most: int | None = None,
        least: int = 1,
        special: Sequence[str] = (),
        unknown: str | None = "<unk>",
    ) -> WordVocabulary:
        """The words of a text, the most frequent first and those of one frequency by alphabet.

        words     of the text; a string is cut at its white space
        most      how many to keep at most, special ones and the unknown one not counted
        least     how often a word has to occur
        special   words of your own in front: for padding, a beginning, an end
        unknown   put behind those; None for none
        """
        counts = Counter(words.split() if isinstance(words, str) else words)
        first = [*special] if unknown is None or unknown in special else [*special, unknown]
        found = [word for word, n in counts.items() if n >= least and word not in first]
        found.sort(key=lambda word: (-counts[word], word))
        return cls((*first, *found[:most]), unknown)

    def encode(self, words: str | Iterable[str]) -> Ids:
        """The class of every word, (N,) integers; a string is cut at its white space.

        Raises TextError for a word that is not in the vocabulary, if none stands for it.
        """
        classes = {word: i for i, word in enumerate(self.words)}
        other = None if self.unknown is None else classes[self.unknown]
        ids = []
        for word in words.split() if isinstance(words, str) else words:
            found = classes.get(word, other)
            if found is None:
                raise TextError(f"word {word!r:.60} is not among the {len(self)} of the vocabulary")
            ids.append(found)
        return np.array(ids, np.int64)

    def decode(self, ids: Any) -> list[str]:
        """The words that classes stand for."""
        return [self.words[i] for i in ids]

    def __len__(self) -> int:
        return len(self.words)


# ------------------------------------------------------------------------------------------------
# Sequences of many lengths


class Padded(NamedTuple):
    """Sequences side by side, with padding behind the shorter ones.

    values    (T, B, ...), T the length of the longest
    lengths   (B,) integers, as `unroll` takes them
    """

    values: Array
    lengths: Ids


def pad(sequences: Iterable[Any], value: float = 0, *, length: int | None = None) -> Padded:
    """Sequences of many lengths as one array (T, B, ...) with time first, and their lengths.

    sequences   B arrays (T_b, ...), alike but for their first axis; T_b may be 0
    value       in the padding. Under `lengths` it does not matter; a loss has to leave it out
    length      T; the longest sequence's if left out

    The array has the sequences' dtype. Raises ValueError for no sequences, sequences that are not
    alike, and one longer than `length`.

    >>> values, lengths = pad([[1, 2, 3], [4], []])
    >>> values
    array([[1, 4, 0],
           [2, 0, 0],
           [3, 0, 0]])
    >>> lengths
    array([3, 1, 0])
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    if not arrays:
        raise ValueError("pad: given no sequences, wanted at least one")
    for b, array in enumerate(arrays):
        if array.ndim == 0 or array.dtype.kind not in "fiub":
            raise ValueError(
                f"pad: sequence {b} is {array.dtype} of shape {array.shape}; wanted numbers, "
                "(T, ...)"
            )
    like = next((array for array in arrays if array.size), arrays[0])
    for b, array in enumerate(arrays):
        if array.shape[1:] != like.shape[1:] and array.size:
            raise ValueError(
                f"pad: sequence {b} has shape {array.shape}, wanted (T, {str(like.shape[1:])[1:]}"
            )
    lengths = np.array([len(array) for array in arrays], np.int64)
    T = int(lengths.max()) if length is None else length
    if lengths.max() > T:
        b = int(lengths.argmax())
        raise ValueError(f"pad: sequence {b} has {lengths[b]} steps, more than length={T}")
    dtype = np.result_type(*[array.dtype for array in arrays if array.size] or [like.dtype])
    values = np.full((T, len(arrays), *like.shape[1:]), value, dtype)
    for b, array in enumerate(arrays):
        if array.size:
            values[: len(array), b] = array
    return Padded(values, lengths)


def unpad(values: Any, lengths: Any) -> list[Array]:
    """The sequences in an array (T, B, ...), each without its padding: the reverse of `pad`.

    values    an array or a tensor
    lengths   (B,)

    >>> unpad(np.array([[1, 4], [2, 0]]), [2, 1])
    [array([1, 2]), array([4])]
    """
    array = values.numpy() if hasattr(values, "numpy") else np.asarray(values)
    if array.ndim < 2 or array.shape[1] != len(lengths):
        raise ValueError(
            f"unpad: given shape {array.shape} and {len(lengths)} lengths; wanted (T, B, ...) and B"
        )
    return [array[:n, b] for b, n in enumerate(lengths)]


def buckets(
    lengths: Sequence[int] | Ids, batch_size: int, *, rng: np.random.Generator | int | None = None
) -> list[Ids]:
    """Batches of sequences of like length, so that little of them is padding.

    lengths      of all sequences
    batch_size   B; one batch may be smaller
    rng          generator or seed that orders the batches, and sequences of the same length; None
                 leaves them as they are, the shortest first

    Gives the numbers of the sequences in each batch: every sequence is in one.

    >>> sequences = [[1, 2, 3], [4], [5, 6], [7]]
    >>> for batch in buckets([len(s) for s in sequences], batch_size=2):
    ...     print(batch, pad([sequences[i] for i in batch]).values.tolist())
    [1 3] [[4, 7]]
    [2 0] [[5, 1], [6, 2], [0, 3]]
    """
    if batch_size < 1:
        raise ValueError(f"buckets: batch_size: given {batch_size}, wanted at least 1")
    sizes = np.asarray(lengths)
    if rng is None:
        order = np.argsort(sizes, kind="stable")
    else:
        rng = np.random.default_rng(rng)
        order = rng.permutation(len(sizes))
        order = order[np.argsort(sizes[order], kind="stable")]
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


# ------------------------------------------------------------------------------------------------
# Text to train on


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


class TextWindow(NamedTuple):
    """Part of B sequences, side by side.

    inputs    (T, B) classes
    targets   (T, B): the characters that follow, targets[t] = inputs[t + 1]
    first     True if the sequences begin here, so that no state is to be carried in
    """

    inputs: Ids
    targets: Ids
    first: bool


def windows(ids: Ids, length: int, batch_size: int) -> Iterator[TextWindow]:
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
        yield TextWindow(inputs[part], targets[part], start == 0)
