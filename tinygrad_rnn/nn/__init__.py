"""Cells: the parts recurrent networks are made of."""

from .cell import Cell
from .elman import Elman
from .gru import GRU
from .lstm import LSTM, LSTMState

__all__ = ["GRU", "LSTM", "Cell", "Elman", "LSTMState"]
