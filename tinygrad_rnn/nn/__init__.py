"""Cells: the parts recurrent networks are made of."""

from .cell import Cell
from .cells import GRU, LSTM, Elman, LSTMState

__all__ = ["GRU", "LSTM", "Cell", "Elman", "LSTMState"]
