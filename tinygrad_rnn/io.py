"""Models and arrays on disk: `save`, `load`, `read`.

Files are safetensors (https://huggingface.co/docs/safetensors): numbers by name and a JSON header.
Nothing in them runs when they are read, and other libraries read and write them too.

>>> import tempfile, numpy as np, tinygrad_rnn as tg
>>> cell, V = tg.GRUCell(3, 4, rng=0), tg.Parameter(np.ones((4, 2)))
>>> other, other_V = tg.GRUCell(3, 4, rng=1), tg.Parameter(np.zeros((4, 2)))
>>> with tempfile.TemporaryDirectory() as folder:
...     path = tg.io.save({"cell": cell, "V": V}, folder + "/model.safetensors")
...     tg.io.load({"cell": other, "V": other_V}, path)
>>> bool((other.W.numpy() == cell.W.numpy()).all() and (other_V.numpy() == 1).all())
True
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import tree
from .graph import Array
from .nn.module import Module, state_to_save
from .primitive import plain_array
from .serialize import ModelFileError, Saved, read, save_arrays
from .tensor import Tensor

__all__ = ["ModelFileError", "Saved", "load", "read", "save"]


def save(what: Any, path: str | Path, description: Any = None) -> Path:
    """Write parameters, buffers and arrays to a safetensors file, under their paths.

    what          a module or cell, an object with `parameters()`, or lists, tuples and dicts of
                  them, of tensors, arrays and numbers, nested as you like
    path          an existing file is replaced, and only once all of the new one is written
    description   anything JSON can hold; `read` gives it back

    Values are written in their own dtype. Gives the path.

    Raises TypeError for parts that are no numbers, for a description that JSON cannot hold, and for
    a module that holds parameters it does not list; ValueError for two parts with one path;
    OSError if the file cannot be written.
    """
    if isinstance(what, Module):
        return what.save(path, description)
    arrays: dict[str, Array] = {}
    for name, value in _flat(what, ""):
        if not name:
            raise TypeError('save: given one array without a name; give a dict, {"W": W}')
        if name in arrays:
            raise ValueError(f"save: two parts have the path {name!r}")
        arrays[name] = value
    return save_arrays(arrays, path, description)


def load(what: Any, path: str | Path) -> Any:
    """Give a model the values in a file, and give back the description beside them.

    what   as it was for `save`: a module, or lists, tuples and dicts of modules, parameters and
           buffers. `read` gives the arrays alone

    Values take the dtype of the parameters they are for; one that would be rounded is refused.

    Raises ModelFileError, and changes nothing, if names or shapes differ, the errors of `read`, and
    TypeError where there is nothing to give values to.
    """
    if not isinstance(what, Module):
        holder = Module()
        vars(holder).update(_named(what))
        what = holder
        if not what.parameters() and not what.buffers():
            raise TypeError(
                "load: nothing in it can be given a value; wanted modules, parameters or buffers. "
                "tg.io.read(path) gives the arrays in a file"
            )
    return what.load(path)


def _named(what: Any) -> dict[str, Any]:
    if callable(getattr(what, "parameters", None)):
        given = what.parameters()
        what = given if isinstance(given, Mapping) else list(given)
    return {str(key): part for key, part in tree.entries(what) or ()}


def _flat(what: Any, path: str) -> list[tuple[str, Array]]:
    """The arrays in a structure, with their paths."""
    if isinstance(what, Module):
        prefix = f"{path}." if path else ""
        return [(prefix + name, value) for name, value in state_to_save(what).items()]
    if isinstance(what, Tensor):
        return [(path, what.numpy())]
    if callable(getattr(what, "parameters", None)):
        return _flat(_named(what), path)
    parts = tree.entries(what)
    if parts is not None:
        return [
            pair
            for key, part in parts
            for pair in _flat(part, f"{path}.{key}" if path else str(key))
        ]
    array = (
        None
        if isinstance(what, str | bytes) or what is None
        else np.asarray(plain_array(what, f"save: {path}"))
    )
    if array is None or array.dtype.kind not in "fiub":
        raise TypeError(
            f"save: {path or 'it'} is {what!r:.60}; wanted numbers, arrays, tensors and modules "
            "(text belongs into the description)"
        )
    return [(path, array)]
