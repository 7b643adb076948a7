"""Cells from the literature, one family a file, and the registry of all cells.

They are loaded when one of them is first asked for: `tg.nn.MGUCell` is enough.
"""

from .bistable import BRCCell, NBRCCell
from .cifg import CIFGCell
from .clockwork import Clocked, ClockworkCell
from .continuous import CfCCell, LTCCell, Timed
from .dynamical import (
    AntisymmetricCell,
    CoRNNCell,
    GatedAntisymmetricCell,
    LEMCell,
    LEMState,
    Oscillators,
)
from .fast_grnn import FastGRNNCell
from .gated_units import JANETCell, MGUCell, UGRNNCell
from .highway import HighwayCell
from .independent import IndRNNCell, SRUCell
from .layer_norm_lstm import LayerNormLSTMCell
from .lmu import LMUCell, LMUState
from .min_units import MinGRUCell, MinLSTMCell
from .multiplicative_lstm import MultiplicativeLSTMCell
from .orthogonal import OrthogonalCell
from .peephole_lstm import PeepholeLSTMCell
from .projected_lstm import ProjectedLSTMCell
from .reservoir import ReservoirCell
from .spiking import LIFCell, SpikingState, spike

__all__ = [
    "AntisymmetricCell",
    "BRCCell",
    "CIFGCell",
    "CfCCell",
    "Clocked",
    "ClockworkCell",
    "CoRNNCell",
    "FastGRNNCell",
    "GatedAntisymmetricCell",
    "HighwayCell",
    "IndRNNCell",
    "JANETCell",
    "LEMCell",
    "LEMState",
    "LIFCell",
    "LMUCell",
    "LMUState",
    "LTCCell",
    "LayerNormLSTMCell",
    "MGUCell",
    "MinGRUCell",
    "MinLSTMCell",
    "MultiplicativeLSTMCell",
    "NBRCCell",
    "OrthogonalCell",
    "Oscillators",
    "PeepholeLSTMCell",
    "ProjectedLSTMCell",
    "ReservoirCell",
    "SRUCell",
    "SpikingState",
    "Timed",
    "UGRNNCell",
    "spike",
]
