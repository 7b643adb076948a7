"""Recurrent networks as recorded computation graphs: define a cell, see it unrolled, study BPTT.

The name has no tie to the project tinygrad.
"""

__version__ = "0.1.0"

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from . import nn, optim
from . import tracing as _tracing
from .anomaly import detect_anomaly
from .autodiff import Use, gradients, gradients_of_uses
from .checkpoint import checkpoint
from .elsewhere import PACKAGE as _PACKAGE
from .elsewhere import answering as _answering
from .elsewhere import unknown as _unknown
from .gradcheck import check_gradients
from .graph import no_grad, scope, timestep
from .nn import Cell, ElmanCell, GRUCell, LSTMCell, LSTMState, Module, init
from .ops import *  # noqa: F403 - the vocabulary
from .ops import custom
from .ops.registry import OPERATORS as _OPERATORS
from .per_example import per_example_gradients, per_example_norms
from .program import Trace
from .refusals import ValueDependenceError
from .scan import Scanned, scan, scan_source
from .tensor import Buffer, Parameter, Tensor, ones, tensor, zeros
from .transforms import (
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    linearize,
    stop_gradient,
    value_and_grad,
    vjp,
)
from .unroll import detach, unroll
from .unrolled import Unrolled
from .vmap import vmap

for _name in _OPERATORS:  # axis is dim in PyTorch
    if {"axis", "weights", "rng"} & {*globals()[_name].__code__.co_varnames}:
        globals()[_name] = _answering(globals()[_name])
zeros, ones = _answering(zeros), _answering(ones)
tensor = _answering(tensor)
trace = _tracing.trace  # type: ignore[assignment] # of a program; of a matrix too

if TYPE_CHECKING:
    from . import data, io, study
    from .bptt.checkpointed import Checkpointed, checkpointed
    from .bptt.online import Learner, online
    from .bptt.truncated import Window, Windows, truncated
    from .drawing.draw import draw
    from .nn.registry import cells

__all__ = [
    "Buffer",
    "GRUCell",
    "LSTMCell",
    "Cell",
    "ElmanCell",
    "LSTMState",
    "Module",
    "Parameter",
    "Scanned",
    "Tensor",
    "Trace",
    "Unrolled",
    "Use",
    "ValueDependenceError",
    "cells",
    "detach",
    "check_gradients",
    "checkpoint",
    "Checkpointed",
    "Learner",
    "online",
    "Window",
    "Windows",
    "truncated",
    "checkpointed",
    "custom",
    "data",
    "detect_anomaly",
    "draw",
    "grad",
    "gradients",
    "gradients_of_uses",
    "hessian",
    "hvp",
    "init",
    "io",
    "jacobian",
    "jvp",
    "linearize",
    "nn",
    "no_grad",
    "ones",
    "optim",
    "per_example_gradients",
    "per_example_norms",
    "scan",
    "scan_source",
    "scope",
    "stop_gradient",
    "study",
    "tensor",
    "timestep",
    "unroll",
    "value_and_grad",
    "vjp",
    "vmap",
    "zeros",
]
__all__ += [name for name in _OPERATORS if name != "trace"] + ["trace"]


_LONG = {
    **dict.fromkeys(("Checkpointed", "checkpointed"), "checkpointed"),
    **dict.fromkeys(("Learner", "online"), "online"),
    **dict.fromkeys(("Window", "Windows", "truncated"), "truncated"),
}
"""Names of `bptt`, and the file that each is in."""


def __dir__() -> list[str]:
    return [*__all__, "nn"]


def __getattr__(name: str) -> Any:
    # modules that only some programs use are imported when they are first asked for
    if name == "draw":
        return _import_module(".drawing", __name__).draw
    if name == "cells":
        return _import_module(".nn.registry", __name__).cells
    if name in _LONG:
        return getattr(_import_module(f".bptt.{_LONG[name]}", __name__), name)
    if name in ("data", "io", "study"):
        return _import_module(f".{name}", __name__)
    raise _unknown(__name__, name, _PACKAGE)
