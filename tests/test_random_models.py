"""Random models, batches, masks and directions: each sequence is as if run alone."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn, tree

MERGES = ["concat", "sum", "mul", "ave"]


def random_cell(inputs, units, rng):
    kinds = (tg.ElmanCell, tg.LSTMCell, tg.GRUCell, nn.MGUCell, nn.CIFGCell)
    cell = kinds[rng.integers(len(kinds))](inputs, units, rng=rng, dtype=np.float64)
    around = rng.integers(4)
    if around == 0:
        return nn.NormalisedState(cell)
    return nn.Zoneout(cell, 0.3, rng=0).eval() if around == 1 else cell


def random_model(inputs, rng, depth=0):
    """A model, and the size of its outputs."""
    units = int(rng.integers(1, 4))
    kind = rng.integers(4) if depth < 2 else 0
    if kind == 0:
        return random_cell(inputs, units, rng), units
    if kind == 1:
        merge = MERGES[rng.integers(4)]
        cells = (random_cell(inputs, units, rng) for _ in range(2))
        return nn.Bidirectional(*cells, merge), units * (1 + (merge == "concat"))
    lower, size = random_model(inputs, rng, depth + 1)
    upper, size = random_model(size, rng, depth + 1)
    return nn.Stacked(lower, upper), size


def loss_of(run, weights):
    return (run.outputs * weights).sum() + sum((s * s).sum() for s in tree.leaves(run.state))


@pytest.mark.parametrize("seed", range(30))
def test_each_sequence_is_as_if_run_alone(seed):
    rng = np.random.default_rng(seed)
    steps, batch, inputs = (int(rng.integers(1, n)) for n in (6, 5, 4))
    model, size = random_model(inputs, rng)
    xs = rng.normal(size=(steps, batch, inputs))
    if rng.integers(2):
        options = {"mask": rng.random((steps, batch)) < 0.6}
        mask = options["mask"]
    else:
        options = {"lengths": rng.integers(0, steps + 1, batch)}
        mask = np.arange(steps)[:, None] < options["lengths"]
    options["reverse"] = bool(rng.integers(2))
    x = tg.tensor(np.where(mask[..., None], xs, rng.choice([np.nan, np.inf, 1e300])))
    parameters = list(model.parameters().values())
    weights = rng.normal(size=(steps, batch, size))

    run = tg.unroll(model, x, **options)
    found = tg.gradients(loss_of(run, weights), [*parameters, x])
    wanted = [np.zeros(p.shape) for p in (*parameters, x)]
    assert not run.outputs.numpy()[~mask].any()
    for b in range(batch):
        own = mask[:, b]
        ends = [part.numpy()[b] for part in tree.leaves(run.state)]
        if not own.any():
            for end, first in zip(ends, tree.leaves(model.initial_state(1)), strict=True):
                np.testing.assert_array_equal(end, first.numpy()[0])
            continue
        one = tg.tensor(xs[own, b : b + 1])
        alone = tg.unroll(model, one, reverse=options["reverse"])
        outputs = run.outputs.numpy()[own, b]
        np.testing.assert_allclose(outputs, alone.outputs.numpy()[:, 0], atol=1e-13)
        for end, part in zip(ends, tree.leaves(alone.state), strict=True):
            np.testing.assert_allclose(end, part.numpy()[0], atol=1e-13)
        *gs, dx = tg.gradients(loss_of(alone, weights[own, b : b + 1]), [*parameters, one])
        for total, g in zip(wanted, gs, strict=False):
            total += g
        wanted[-1][own, b] = dx[:, 0]
    for g, w in zip(found, wanted, strict=True):
        np.testing.assert_allclose(g, w, atol=1e-12 * (1 + np.abs(w).max(initial=0)))
    scanned = tg.scan(model, x.numpy(), **options)
    np.testing.assert_allclose(scanned.outputs.numpy(), run.outputs.numpy(), atol=1e-12)
