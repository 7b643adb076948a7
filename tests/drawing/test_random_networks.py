"""Any program draws: random ones, and those whose first states are arrays or lie further back."""

from collections import Counter

import numpy as np
import pytest
from drawing.random_networks import H, random_network

import tinygrad_rnn as tg

PROGRAMS = 40
LEVELS = ["op", "step", "rolled"]


def every_link_is_drawn(drawing):
    layout = drawing.layout
    ways = Counter([*layout.ways, *(link for rail in layout.rails for link, _ in rail.ways)])
    assert ways == Counter(drawing.model.links)
    assert len(drawing.svg) > 1000


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("level", LEVELS)
def test_random_networks(level, backward):
    for seed in range(PROGRAMS):
        loss = random_network(seed)
        if isinstance(loss, tg.Tensor):
            every_link_is_drawn(tg.draw(loss, level=level, backward=backward))


def lstm_from_arrays():
    W = tg.Parameter(np.full((H, H), 0.1), "W")
    h, c = np.zeros((1, H)), np.ones((1, H))
    for t in (1, 2, 3):
        with tg.timestep(t):
            c = c * tg.sigmoid(h @ W)
            h = tg.tanh(c)
    return (h * h).sum()


def lags_from_arrays():
    W = tg.Parameter(np.full((H, H), 0.1), "W")
    states = [np.zeros((1, H)) for _ in range(5)]
    for t in range(1, 8):
        with tg.timestep(t):
            states.append(tg.tanh(states[-1] @ W + states[-2] @ W + states[-5] @ W))
    return (states[-1] * states[-1]).sum()


def double_backward():
    W = tg.Parameter(np.full((H, H), 0.1), "W")
    s = tg.zeros((1, H), "s_0")
    for t in (1, 2, 3):
        with tg.timestep(t):
            s = tg.tanh(s @ W + 1.0).named("s")
    (g,) = tg.gradients((s * s).sum(), [W], create_graph=True)
    return (g * g).sum()


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("network", [lstm_from_arrays, lags_from_arrays, double_backward])
def test_first_states_of_every_kind(network, level, backward):
    every_link_is_drawn(tg.draw(network(), level=level, backward=backward))


def test_states_that_begin_as_arrays_are_states_at_every_level():
    for level in ("op", "step"):
        drawing = tg.draw(lstm_from_arrays(), level=level)
        first = [box for box in drawing.model.boxes if box.key[0] == "first"]
        assert first
        for box in first:
            y = drawing.layout.rects[box].y
            assert y in {r.y for b, r in drawing.layout.rects.items() if b.kind == "value"}


@pytest.mark.parametrize("level", LEVELS)
def test_corresponding_operations_with_other_numbers_of_axes(level):
    """A product of two axes in one branch, of three in the other: no rule fits their union."""
    M = tg.tensor(np.ones((1, 4, H)), name="M")
    W, R = (tg.Parameter(np.full((n, H), 0.2), name) for n, name in [(H, "W"), (4, "R")])
    s = tg.tensor(np.ones((1, H)), name="s_0")
    for t in range(1, 8):
        with tg.timestep(t):
            q = s @ W
            if t % 2:
                s = tg.tanh((M * tg.reshape(q, (1, 1, H))).sum(axis=-1) @ R).named("s")
            else:
                s = tg.tanh(s * q).named("s")
    every_link_is_drawn(tg.draw(tg.square(s).sum(), level=level, backward=True))
