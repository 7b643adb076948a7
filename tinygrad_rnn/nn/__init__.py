"""Modules and cells: the parts recurrent networks are made of."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from ..elsewhere import NN, unknown
from .bidirectional import Bidirectional
from .cell import Cell
from .elman import ElmanCell
from .gru import GRUCell
from .layers import Dropout, Embedding, LayerNorm, Linear, Sequential
from .lstm import LSTMCell, LSTMState
from .module import Module
from .stacked import Stacked
from .wrappers import NormalisedState, VariationalDropout, Zoneout

if TYPE_CHECKING:
    from .cells import *  # noqa: F403
    from .recurrent import GRU, LSTM, RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bidirectional",
    "Cell",
    "Dropout",
    "ElmanCell",
    "Embedding",
    "GRUCell",
    "LSTMCell",
    "LSTMState",
    "LayerNorm",
    "Linear",
    "Module",
    "NormalisedState",
    "Sequential",
    "Stacked",
    "VariationalDropout",
    "Zoneout",
]


def __getattr__(name: str) -> Any:
    if name in ("GRU", "LSTM", "RNN"):  # they stand above `scan`, which stands above cells
        return getattr(_import_module(".recurrent", __name__), name)
    # the classes of `cells` are many, and programs use few: imported when one is asked for
    if name[0].isupper():
        cells = _import_module(".cells", __name__)
        if name in cells.__all__:
            return getattr(cells, name)
    raise unknown(__name__, name, NN)


def __dir__() -> list[str]:
    return [*globals(), *__all__, *_import_module(".cells", __name__).__all__]
