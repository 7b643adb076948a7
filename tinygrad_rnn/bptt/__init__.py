"""Long sequences: truncated BPTT, exact BPTT in little memory, gradients that run forward in time.

Each states exactly the gradient it computes. Nothing here has rules of differentiation of its own:
records are made of single steps or windows, and the engine's sweeps do the rest.
"""

from .checkpointed import Checkpointed, checkpointed
from .online import Learner, online
from .truncated import Window, Windows, truncated

__all__ = [
    "Checkpointed",
    "Learner",
    "Window",
    "Windows",
    "checkpointed",
    "online",
    "truncated",
]
