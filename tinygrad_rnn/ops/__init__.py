"""The vocabulary: every operation, each declared once through `tinygrad_rnn.primitive`."""

from typing import Any

import numpy as np

from .elementwise import (
    abs,
    add,
    divide,
    exp,
    log,
    multiply,
    negative,
    power,
    relu,
    sigmoid,
    sqrt,
    square,
    subtract,
    tanh,
    where,
)
from .linalg import matmul
from .loss import cross_entropy, log_softmax, mse, softmax
from .reduce import mean, sum
from .shape import (
    astype,
    broadcast_to,
    concatenate,
    expand_dims,
    getitem,
    reshape,
    scatter,
    split,
    stack,
    swapaxes,
    transpose,
    unstack,
)

__all__ = [
    "FOR_NUMPY",
    "abs",
    "add",
    "astype",
    "broadcast_to",
    "concatenate",
    "cross_entropy",
    "divide",
    "exp",
    "expand_dims",
    "getitem",
    "log",
    "log_softmax",
    "matmul",
    "mean",
    "mse",
    "multiply",
    "negative",
    "power",
    "relu",
    "reshape",
    "scatter",
    "sigmoid",
    "softmax",
    "split",
    "sqrt",
    "square",
    "stack",
    "subtract",
    "sum",
    "swapaxes",
    "tanh",
    "transpose",
    "unstack",
    "where",
]

FOR_NUMPY: dict[Any, Any] = {
    getattr(np, name): function
    for name, function in list(globals().items())
    if name in __all__ and hasattr(np, name)
}
"""NumPy's functions and ours of the same name, for NumPy's protocols."""
