"""The built-in cells, one family a file."""

from .elman import Elman
from .gru import GRU
from .lstm import LSTM, LSTMState

__all__ = ["GRU", "LSTM", "Elman", "LSTMState"]
