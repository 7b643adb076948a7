"""Modules and cells: the parts recurrent networks are made of."""

from .cell import Cell
from .elman import ElmanCell
from .gru import GRUCell
from .lstm import LSTMCell, LSTMState
from .module import Module

__all__ = ["GRUCell", "LSTMCell", "Cell", "ElmanCell", "LSTMState", "Module"]
