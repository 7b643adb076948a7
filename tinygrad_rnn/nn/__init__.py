"""Cells: the parts recurrent networks are made of."""

from .cell import Cell
from .elman import ElmanCell
from .gru import GRUCell
from .lstm import LSTMCell, LSTMState

__all__ = ["GRUCell", "LSTMCell", "Cell", "ElmanCell", "LSTMState"]
