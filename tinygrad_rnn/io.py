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
from .nn.module import Module, listed, state_to_save
from .primitive import plain_array
from .serialize import ModelFileError, Saved, read, read_all, save_arrays
from .tensor import Tensor

__all__ = ["ModelFileError", "Saved", "load", "read", "save"]


def save(model: Any, path: str | Path, description: Any = None) -> Path:
    """Write parameters, buffers and arrays to a safetensors file, under their paths.

    model         a module or cell, an object with `parameters()`, an optimiser, or lists, tuples
                  and dicts of them, of tensors, arrays and numbers, nested as you like
    path          an existing file is replaced, and only once all of the new one is written
    description   anything JSON can hold; `read` gives it back

    Values are written in their own dtype. Of an optimiser all is written that a step depends on, so
    that training can go on from the file. Gives the path.

    Raises TypeError for parts that are no numbers, for a description that JSON cannot hold, and for
    a module that holds parameters it does not list; ValueError for two parts with one path;
    OSError if the file cannot be written.
    """
    if isinstance(model, Module):
        return model.save(path, description)
    arrays: dict[str, Array] = {}
    states: dict[str, Any] = {}
    for name, value in _flat(model, "", states):
        if not name:
            raise TypeError('save: given one array without a name; give a dict, {"W": W}')
        if name in arrays:
            raise ValueError(f"save: two parts have the path {name!r}")
        arrays[name] = value
    return save_arrays(arrays, path, description, states)


def load(model: Any, path: str | Path) -> Any:
    """Give a model the values in a file, and give back the description beside them.

    model  as it was for `save`: a module, or lists, tuples and dicts of modules, parameters,
           buffers and optimisers. `read` gives the arrays alone

    Values take the dtype of the parameters they are for; one that would be rounded is refused.

    Raises ModelFileError, and changes nothing, if names or shapes differ, the errors of `read`, and
    TypeError where there is nothing to give values to.
    """
    if isinstance(model, Module):
        return model.load(path)
    if isinstance(model, str | Path):
        raise TypeError(
            f"load: given the path {str(model)!r} first; wanted load(model, path). "
            "tg.io.read(path) gives the arrays in a file"
        )
    arrays, description, states = read_all(path)
    holder, optimisers = Module(), _optimisers(model, "")
    vars(holder).update(_named(model) if "" not in optimisers else {})
    if not (holder.parameters() or holder.buffers() or optimisers):
        raise TypeError(
            "load: nothing in it can be given a value; wanted modules, parameters, buffers or "
            "optimisers. tg.io.read(path) gives the arrays in a file"
        )
    before = {name: optimiser.state_dict() for name, optimiser in optimisers.items()}
    wrong: str | None = None
    for name, optimiser in optimisers.items():
        if name not in states:
            wrong = f"no state of an optimiser at {name!r}" if name else "no state of an optimiser"
            break
        try:
            optimiser.load_state_dict(_joined(states[name], arrays))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            wrong = f"the state of the optimiser {name}: {error!s:.200}"
            break
    own = {k: v for k, v in arrays.items() if not any(_is_in(k, name) for name in states)}
    wrong = wrong or holder._take(own, strict=True)
    if wrong:
        for name, optimiser in optimisers.items():
            optimiser.load_state_dict(before[name])
        raise ModelFileError(f"{path}: {wrong}")
    return description


def _is_optimiser(held: Any) -> bool:
    """Whether it has a state of numbers and words that it takes back."""
    return not isinstance(held, Module | type) and callable(getattr(held, "load_state_dict", None))


def _optimisers(held: Any, path: str) -> dict[str, Any]:
    if _is_optimiser(held):
        return {path: held}
    return {
        name: found
        for key, part in (None if isinstance(held, Module) else tree.entries(held)) or ()
        for name, found in _optimisers(part, tree.below(path, key)).items()
    }


def _is_in(name: str, path: str) -> bool:
    return not path or name.startswith(f"{path}.")


def _named(held: Any) -> dict[str, Any]:
    its_own = callable(getattr(held, "parameters", None))
    parts = listed(held.parameters) if its_own else tree.entries(held)
    return {str(key): part for key, part in parts or ()}


def _flat(held: Any, path: str, states: dict[str, Any]) -> list[tuple[str, Array]]:
    """The arrays in a structure, with their paths; states of optimisers are added to `states`."""
    if isinstance(held, Module):
        return [(tree.below(path, name), value) for name, value in state_to_save(held).items()]
    if isinstance(held, Tensor):
        return [(path, held.numpy())]
    if _is_optimiser(held):
        found: dict[str, Array] = {}
        states[path] = _apart(held.state_dict(), path, found)
        return list(found.items())
    if callable(getattr(held, "parameters", None)):
        return _flat(_named(held), path, states)
    parts = tree.entries(held)
    if parts is not None:
        return [pair for key, part in parts for pair in _flat(part, tree.below(path, key), states)]
    array = None
    if held is not None and not isinstance(held, str | bytes):
        array = np.asarray(plain_array(held, f"save: {path}"))
    if array is None or array.dtype.kind not in "fiub":
        raise TypeError(
            f"save: {path or 'it'} is {held!r:.60}; wanted numbers, arrays, tensors and modules "
            "(text belongs in the description)"
        )
    return [(path, array)]


ARRAY = "array of this file"
"""The key of the text that stands for an array in the state of an optimiser."""


def _apart(state: Any, path: str, found: dict[str, Array]) -> Any:
    """A state as JSON has it; its arrays go to `found`, and their names stand for them."""
    if isinstance(state, np.ndarray):
        found[path] = state
        return {ARRAY: path}
    parts = tree.entries(state)
    if parts is None:
        return state.item() if isinstance(state, np.generic) else state
    made = [(key, _apart(part, tree.below(path, key), found)) for key, part in parts]
    return dict(made) if isinstance(state, dict) else [part for _, part in made]


def _joined(state: Any, arrays: Mapping[str, Array]) -> Any:
    """A state with its arrays in their places again."""
    if isinstance(state, dict):
        if state.keys() == {ARRAY}:
            return arrays[state[ARRAY]]
        return {key: _joined(part, arrays) for key, part in state.items()}
    return [_joined(part, arrays) for part in state] if isinstance(state, list) else state
