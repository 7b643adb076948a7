"""Arrays in a file, as safetensors: numbers and a JSON header, nothing that runs.

Format: https://huggingface.co/docs/safetensors. A description (sizes, a vocabulary: anything that
JSON can hold) is text in the header's metadata, under the key `tinygrad_rnn`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .extras import need
from .files import write
from .graph import Array

KEY = "tinygrad_rnn"
STATES = "tinygrad_rnn.states"

DTYPES: dict[str, str] = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
"""The format's dtypes that NumPy has. BF16, which it lacks, is read as float32."""


class ModelFileError(ValueError):
    """A file that is not a saved model, or not one of the model it is to be loaded into."""


class Saved(NamedTuple):
    """The content of a file.

    arrays       {name: array}
    description  given when it was saved; None if there was none
    """

    arrays: dict[str, Array]
    description: Any


def save_arrays(
    arrays: Mapping[str, Array],
    path: str | Path,
    description: Any = None,
    states: Mapping[str, Any] | None = None,
) -> Path:
    """Write arrays by name. An older file is replaced, and only once all of the new is written.

    states   of optimisers, by path, with the names of arrays in place of them

    Raises TypeError for a description that JSON does not give back, or a dtype that the format
    lacks; OSError if the file cannot be written.
    """
    need("safetensors", "save", "a model in a file")
    from safetensors.numpy import save as to_bytes

    kinds = set(DTYPES.values())
    written = {}
    for name, array in arrays.items():
        little = np.ascontiguousarray(array).reshape(np.shape(array))  # which has an axis at least
        little = little.astype(little.dtype.newbyteorder("<"), copy=False)
        if little.dtype.str.replace("|", "").replace("b1", "?") not in kinds:
            raise TypeError(
                f"{path}: {name!r} is {array.dtype}; a safetensors file holds "
                "integers, truth values and real floats of up to 8 bytes"
            )
        written[name] = little
    metadata = {} if description is None else {KEY: _text(description)}
    if states:
        metadata[STATES] = _text(dict(states))
    return write(path, to_bytes(written, metadata or None))


def _text(description: Any) -> str:
    stack = [description]
    try:
        text = json.dumps(description)
    except (ValueError, RecursionError) as error:
        raise TypeError(f"description: {error}") from None
    while stack:  # JSON makes text of a number that is a key
        part = stack.pop()
        if isinstance(part, dict):
            if wrong := [key for key in part if not isinstance(key, str)]:
                raise TypeError(f"description: the key {wrong[0]!r} is no text")
            stack += part.values()
        elif isinstance(part, list | tuple):
            stack += part
    return text


def read(path: str | Path) -> Saved:
    """The arrays in a safetensors file, of whichever program, and the description beside them.

    Arrays have the dtype they were saved in, but for bfloat16, which becomes float32 (the same
    numbers).

    Raises ModelFileError for a file that is not safetensors, is damaged, or holds names twice or
    dtypes that NumPy lacks; OSError for one that cannot be read.

    >>> import tempfile, tinygrad_rnn as tg
    >>> cell = tg.ElmanCell(3, 4, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = tg.io.save(cell, folder + "/elman.safetensors", {"sizes": [3, 4]})
    ...     arrays, description = tg.io.read(path)
    >>> sorted(arrays), description
    (['U', 'W', 'b'], {'sizes': [3, 4]})
    """
    return Saved(*read_all(path)[:2])


def read_all(path: str | Path) -> tuple[dict[str, Array], Any, dict[str, Any]]:
    """The arrays, the description and the states of optimisers in a file; see `read`."""
    need("safetensors", "save", "a model in a file")
    import safetensors

    data = Path(path).read_bytes()
    try:
        found = dict(safetensors.deserialize(data))  # type: ignore[no-untyped-call]
    except (safetensors.SafetensorError, OverflowError) as error:
        raise ModelFileError(f"{path}: not a safetensors file ({_line(error)})") from None
    # the header has been checked by now: its length in 8 bytes, then JSON
    header = _header(data, path)
    metadata: dict[str, str] = header.pop("__metadata__", None) or {}
    arrays = {name: _array(found[name], f"{path}: {_short(name)}") for name in header}
    described = {}
    for key, entry in ((KEY, "the description"), (STATES, "the states of optimisers")):
        try:
            described[key] = json.loads(metadata.get(key, "null"))
        except (ValueError, RecursionError) as error:
            raise ModelFileError(
                f"{path}: {entry} in its metadata is not JSON ({_line(error)})"
            ) from None
    states = described[STATES]
    if states is not None and not isinstance(states, dict):
        raise ModelFileError(f"{path}: the states of optimisers in its metadata are no dict")
    return arrays, described[KEY], states or {}


def _header(data: bytes, path: str | Path) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ModelFileError(f"{path}: the name {_short(twice)} is in its header twice")
        return found

    try:
        header: dict[str, Any] = json.loads(
            data[8 : 8 + int.from_bytes(data[:8], "little")], object_pairs_hook=once
        )
    except RecursionError:
        raise ModelFileError(f"{path}: its header is nested too deeply") from None
    return header


def _array(part: Mapping[str, Any], who: str) -> Array:
    kind, shape, raw = part["dtype"], tuple(part["shape"]), part["data"]
    try:
        if kind == "BF16":  # the upper half of a float32
            halves = np.frombuffer(raw, "<u2").astype("<u4")
            return (halves << 16).view("<f4").reshape(shape)
        if kind not in DTYPES:
            raise ModelFileError(f"{who} is of the dtype {kind}, which NumPy does not have")
        return np.frombuffer(raw, DTYPES[kind]).reshape(shape).copy()
    except (ValueError, OverflowError, MemoryError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{who} cannot have the shape {shape!s:.80}") from None


def _short(name: str) -> str:
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:76]}...'"


def _line(error: object) -> str:
    """An error of another library in one line: its quotations from the file may be anything."""
    text = "".join(c if c.isprintable() else " " for c in " ".join(str(error).split()))
    return text if len(text) <= 200 else text[:196] + " ..."
