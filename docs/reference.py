"""Which page of the reference a public name stands on, and how code finds its page."""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

from make_operators import GROUPS

import tinygrad_rnn as tg
from tinygrad_rnn import drawing, equations, nn, ops
from tinygrad_rnn.nn import cells

MODULES = {
    "tensors": ("Tensors and the record", None),
    "gradients": ("Gradients and transforms", None),
    "sequences": ("Cells over sequences", None),
    "long": ("Long sequences", "bptt"),
    "cells": ("Cells", None),
    "modules": ("Modules and layers", "nn"),
    "init": ("Initial values", "nn.init"),
    "optim": ("Optimisers and clipping", "optim"),
    "operators": ("Operators", None),
    "custom": ("Operations of your own", "custom"),
    "draw": ("Pictures", "drawing"),
    "study": ("Study of gradients", "study"),
    "plots": ("Plots of a study", "study.plots"),
    "handwritten": ("Backward passes by hand", "study.handwritten"),
    "data": ("Data", "data"),
    "io": ("Files", "io"),
}
"""Each page: its title, and the module that it describes."""

TABLES = ["All operators in tables <../operators>", "All cells in pictures <../cells>"]

TENSORS = [
    "Tensor",
    "Parameter",
    "Buffer",
    "tensor",
    "zeros",
    "ones",
    "timestep",
    "scope",
    "no_grad",
    "detach",
    "stop_gradient",
    "trace",
    "Trace",
    "ValueDependenceError",
    "detect_anomaly",
]
GRADIENTS = [
    "gradients",
    "gradients_of_uses",
    "Use",
    "grad",
    "value_and_grad",
    "vjp",
    "jvp",
    "jacobian",
    "hessian",
    "hvp",
    "linearize",
    "vmap",
    "checkpoint",
    "per_example_gradients",
    "per_example_norms",
    "check_gradients",
]
SEQUENCES = ["unroll", "Unrolled", "scan", "Scanned", "scan_source"]


def public(module: ModuleType) -> list[str]:
    """The public names of a module that are neither modules nor plain constants."""
    return [
        name
        for name in module.__all__
        if not isinstance(value := getattr(module, name), ModuleType) and callable(value)
    ]


def names() -> dict[str, dict[str, list[str]]]:
    """Every page, its sections, and the full names in each, in the order of reading."""

    def of(prefix: str, names: list[str]) -> list[str]:
        return [f"tinygrad_rnn.{prefix}{name}" for name in names]

    built_in = ["Cell", "ElmanCell", "LSTMCell", "LSTMState", "GRUCell", "cells"]
    layers = [name for name in public(nn) if name not in built_in and name != "Module"]
    groups = {
        title: of(
            "",
            [
                name
                for name in getattr(ops, group).__all__
                if name in tg.__all__ and name not in TENSORS
            ],
        )
        for group, title in GROUPS.items()
    }
    pages = {
        "tensors": {"": of("", TENSORS)},
        "gradients": {"": of("", GRADIENTS)},
        "sequences": {"": of("", SEQUENCES)},
        "long": {"": of("", tg.bptt.__all__)},
        "cells": {
            "A cell, and the three that everybody knows": of("", built_in),
            "From the literature": [
                *of("nn.", [name for name in public(cells) if hasattr(nn, name)]),
                *of("nn.cells.", [name for name in public(cells) if not hasattr(nn, name)]),
            ],
        },
        "modules": {"": [*of("", ["Module"]), *of("nn.", layers)]},
        "operators": groups,
        "draw": {
            "": [*of("", ["draw"]), *of("drawing.", [n for n in drawing.__all__ if n != "draw"])]
        },
    }
    for page, (_, module) in MODULES.items():
        if page not in pages:
            assert module is not None
            named = public(importlib.import_module(documented(module)))
            pages[page] = {"": of(module + ".", named)}
    return {page: pages[page] for page in MODULES}


def documented(module: str) -> str:
    """Where a module is imported from."""
    return "tinygrad_rnn." + {"custom": "ops.custom"}.get(module, module)


def write(folder: Path) -> None:
    """The pages, with one more for each name made by autosummary."""
    folder.mkdir(exist_ok=True)
    index = [
        "Reference",
        "=========",
        "",
        "Every public name, from its docstring. ``tg`` is ``import tinygrad_rnn as tg``.",
        "",
        ".. toctree::",
        "   :maxdepth: 1",
        "",
        *(f"   {page}" for page in [*MODULES, *TABLES]),
    ]
    put(folder / "index.rst", index)
    for page, sections in names().items():
        title, module = MODULES[page]
        lines = [title, "=" * len(title), ""]
        if module:
            lines += [f".. automodule:: {documented(module)}", "   :no-members:", ""]
        lines += [".. currentmodule:: tinygrad_rnn", ""]
        for section, entries in sections.items():
            if section:
                lines += [section, "-" * len(section), ""]
            lines += [".. autosummary::", "   :toctree: names", "   :nosignatures:", ""]
            lines += [*(f"   ~{name.removeprefix('tinygrad_rnn.')}" for name in entries), ""]
        put(folder / f"{page}.rst", lines)


def put(path: Path, lines: list[str]) -> None:
    """Write a page, and leave one that is as it should be alone, so that it isn't read again."""
    text = "\n".join(lines) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


class Links:
    """Finds the documented name that a piece of code means."""

    def __init__(self) -> None:
        pages = names()
        self.names = {name for sections in pages.values() for n in sections.values() for name in n}
        self.by_identity = {id(resolve(name)): name for name in sorted(self.names, reverse=True)}

    def __call__(self, code: str, within: str = "") -> str | None:
        """The full name meant by code such as `tg.unroll`, or `Adam()` on the page `within`."""
        match = re.fullmatch(r"(tg\.)?([A-Za-z_][\w.]*)(\(.*\))?", code)
        if not match or match[0] == within:
            return None
        name, places = match[2], ["tinygrad_rnn."]
        if within:  # a docstring: names of its own module, and not its own arguments
            if name in arguments(resolve(within)):
                return None
            owner = within.rpartition(".")[0] + "."
            places = [owner, owner.rpartition(".nn.")[0] + ".nn.", *places]
        elif not match[1] and not name.startswith("study."):  # `nn.LSTM` may be PyTorch's
            return None
        for place in places:
            if (found := self.find(place + name)) and found != within:
                return found
        return None

    def has_namesake(self, name: str) -> bool:
        """Whether another name differs in its capitals only."""
        return any(other != name and other.lower() == name.lower() for other in self.names)

    def ancestor(self, cls: type) -> str | None:
        """The documented class that a class inherits most from."""
        names = (self.by_identity.get(id(base)) for base in cls.__mro__[1:])
        return next((name for name in names if name), None)

    def find(self, name: str) -> str | None:
        """A documented name, a method of one, or another name for one."""
        if name in self.names:
            return name
        owner, _, member = name.rpartition(".")
        if owner in self.names:  # a method of a class; other attributes are in its docstring
            value = getattr(resolve(owner), "__dict__", {}).get(member)
            is_shown = inspect.isfunction(value) and value.__doc__ and not member.startswith("_")
            return name if is_shown else None
        try:
            return self.by_identity.get(id(resolve(name)))
        except (ImportError, AttributeError):
            return None


def resolve(name: str) -> object:
    """The object with a full name."""
    value: object = tg
    for part in name.split(".")[1:]:
        if isinstance(value, ModuleType) and not hasattr(value, part):
            value = importlib.import_module(f"{value.__name__}.{part}")
        else:
            value = getattr(value, part)
    return value


def arguments(value: object) -> list[str]:
    """The names of the arguments of a function or class."""
    try:
        return list(inspect.signature(value).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []


assert equations.Derivation is tg.study.Derivation
