"""The vocabulary: every operation, each declared once through `tinygrad_rnn.primitive`.

`OPERATORS` in `registry` knows them all; the manual (docs/operators.md) is printed from it.
"""
# ruff: noqa: F403 - each file says in `__all__` which of its names are operators

from typing import TYPE_CHECKING

from . import custom as custom
from .activation import *
from .arithmetic import *
from .arrange import *
from .compare import *
from .convolution import *
from .cumulative import *
from .decompose import *
from .einstein import *
from .elementwise import *
from .exponential import *
from .index import *
from .interpolate import *
from .inverse import *
from .join import *
from .linalg import *
from .loss import *
from .normalise import *
from .order import *
from .random import *
from .reduce import *
from .registry import OPERATORS as OPERATORS
from .registry import for_numpy
from .shape import *
from .special import *

FOR_NUMPY = for_numpy()
"""The functions to call in place of NumPy's when those are called on tensors."""

if not TYPE_CHECKING:  # a type checker knows no list but one spelt out, and without one sees all
    __all__ = ["custom", *OPERATORS]  # noqa: PLE0604
