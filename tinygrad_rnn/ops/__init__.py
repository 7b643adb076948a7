"""The vocabulary: every operation, each declared once through `tinygrad_rnn.primitive`.

`OPERATORS` in `registry` knows them all; the manual (docs/operators.md) is printed from it.
"""
# ruff: noqa: F403 - each file says in `__all__` which of its names are operators

from . import (
    activation,
    cumulative,
    custom,
    decompose,
    einstein,
    elementwise,
    index,
    join,
    linalg,
    loss,
    normalise,
    random,
    reduce,
    shape,
)
from .activation import *
from .cumulative import *
from .decompose import *
from .einstein import *
from .elementwise import *
from .index import *
from .join import *
from .linalg import *
from .loss import *
from .normalise import *
from .random import *
from .reduce import *
from .registry import for_numpy
from .shape import *

FOR_NUMPY = for_numpy()
"""What to call instead of NumPy's functions when they are called on tensors."""

__all__ = ["FOR_NUMPY", "custom"]
__all__ += activation.__all__
__all__ += cumulative.__all__
__all__ += decompose.__all__
__all__ += einstein.__all__
__all__ += elementwise.__all__
__all__ += index.__all__
__all__ += join.__all__
__all__ += linalg.__all__
__all__ += loss.__all__
__all__ += normalise.__all__
__all__ += random.__all__
__all__ += reduce.__all__
__all__ += shape.__all__
