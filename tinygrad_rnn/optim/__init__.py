"""Optimisers: update rules over the gradients that `backward` left, schedules, clipping."""

from typing import NoReturn

from ..elsewhere import OPTIM, unknown
from .clip import clip_by_norm, clip_by_value
from .optimizer import Optimizer
from .rules import SGD, Adagrad, Adam, AdamW, RMSprop
from .schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiStepLR,
    ReduceLROnPlateau,
    Schedule,
    SequentialLR,
    StepLR,
)

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
    "clip_by_norm",
    "clip_by_value",
]


def __getattr__(name: str) -> NoReturn:
    raise unknown(__name__, name, OPTIM)
