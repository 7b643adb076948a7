"""Shared by the tests of optimisers."""

import copy

import pytest

import tinygrad_rnn as tg

OPTIMIZERS = {
    "SGD": tg.optim.SGD,
    "momentum": lambda p, **k: tg.optim.SGD(p, momentum=0.9, nesterov=True, **k),
    "Adam": tg.optim.Adam,
    "AdamW": tg.optim.AdamW,
    "RMSprop": lambda p, **k: tg.optim.RMSprop(p, momentum=0.9, centered=True, **k),
    "Adagrad": tg.optim.Adagrad,
}
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def quadratic(*parameters):
    loss = 0.0
    for k, p in enumerate(parameters, start=1):
        loss = loss + k * (p * p).sum()
    return loss


def parameter(rng, shape, name):
    return tg.Parameter(rng.normal(size=shape), name)


def snapshot(optimiser):
    return copy.deepcopy((optimiser.state_dict(), [p.numpy() for p in optimiser.parameters]))
