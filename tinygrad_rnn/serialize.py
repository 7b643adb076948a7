"""A cell's parameters on disk, as safetensors: numbers and a JSON header, nothing that runs.

Format: https://huggingface.co/docs/safetensors. The cell's description (kind, sizes, vocabulary)
is one JSON object in the header's metadata, under the key `tinygrad_rnn`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .graph import Array
from .nn.cell import Cell

KEY = "tinygrad_rnn"


class ModelFileError(ValueError):
    """A file that is not a saved model, or not one of the cell it is to be loaded into."""


def save(cell: Cell, path: str | Path, description: Mapping[str, Any]) -> Path:
    """Write the parameters of a cell, and its description, to a safetensors file.

    cell          parameters are written under their names, in their own dtype
    path          an existing file is replaced, and only once all of the new one is written
    description   anything JSON can hold; `read` gives it back

    Raises TypeError for a description that JSON cannot hold, OSError if the file cannot be written.

    >>> import tempfile, tinygrad_rnn as tg
    >>> from tinygrad_rnn import serialize
    >>> cell = tg.ElmanCell(3, 4, rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     about = {"kind": "elman", "sizes": [3, 4]}
    ...     path = serialize.save(cell, folder + "/elman.safetensors", about)
    ...     arrays, description = serialize.read(path)
    >>> sorted(arrays), description
    (['U', 'W', 'b'], {'kind': 'elman', 'sizes': [3, 4]})
    """
    from safetensors.numpy import save as to_bytes

    path = Path(path)
    arrays = {name: np.asarray(p.numpy(), order="C") for name, p in cell.parameters().items()}
    data = to_bytes(arrays, {KEY: json.dumps(description)})
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(data)
    os.replace(unfinished, path)
    return path


def read(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the description that `save` wrote: ({name: array}, description).

    Raises ModelFileError for a file that is not safetensors or was not written by `save`, OSError
    for one that cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    data = Path(path).read_bytes()
    try:
        arrays = from_bytes(data)
    except (SafetensorError, KeyError) as error:  # KeyError: a dtype that NumPy lacks
        raise ModelFileError(f"{path}: not a safetensors file ({error})") from None
    # the header has been checked by now: its length in 8 bytes, then JSON
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    try:
        description = json.loads(header["__metadata__"][KEY])
    except (KeyError, ValueError):
        description = None
    if not isinstance(description, dict):
        raise ModelFileError(
            f"{path}: safetensors, but without the metadata {KEY!r} that describes the model"
        )
    return arrays, description


def load(cell: Cell, path: str | Path) -> dict[str, Any]:
    """Give a cell the parameters in a file, and give back the description beside them.

    Nothing is changed unless everything fits. Values take the dtype of the cell's parameters.

    Raises ModelFileError if names or shapes differ, and the errors of `read`.
    """
    arrays, description = read(path)
    assign(cell, arrays, path)
    return description


def assign(cell: Cell, arrays: Mapping[str, Array], path: str | Path) -> None:
    """Give a cell's parameters the values of arrays that were read from `path`; see `load`."""
    parameters = cell.parameters()
    for name, parameter in parameters.items():
        if name not in arrays:
            raise ModelFileError(
                f"{path}: no parameter {name!r} {parameter.shape} in it; it has "
                + ", ".join(f"{key!r} {arrays[key].shape}" for key in sorted(arrays))
            )
        if arrays[name].shape != parameter.shape:
            raise ModelFileError(
                f"{path}: parameter {name!r} has shape {arrays[name].shape}, "
                f"wanted {parameter.shape}"
            )
    for name in sorted(arrays):
        if name not in parameters:
            raise ModelFileError(
                f"{path}: parameter {name!r} {arrays[name].shape} is not one of "
                f"{type(cell).__name__}, which has {', '.join(map(repr, parameters))}"
            )
    for name, parameter in parameters.items():
        parameter.assign(arrays[name])
