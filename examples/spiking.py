"""Spiking units, trained through their spikes by a surrogate gradient.

    python examples/spiking.py

Two inputs each spike once. Which of them came first? The network answers by how often its units
spike. A spike's own derivative is 0, so that nothing could be learned by it; the gradient takes the
slope of a smooth step in its place.
"""

import numpy as np

import tinygrad_rnn as tg

H, T = 32, 20


def batch(rng, B=64):
    """Spikes (T, B, 2), one an input at different steps, and the input that was first (B,)."""
    times = np.array([rng.choice(T - 5, 2, replace=False) for _ in range(B)])
    spikes = np.zeros((T, B, 2), np.float32)
    for k in range(2):
        spikes[times[:, k], np.arange(B), k] = 1
    return spikes, times.argmin(1)


class Model(tg.Module):
    """Spiking units; their spikes are counted by a linear read-out."""

    def __init__(self, rng):
        self.cell = tg.nn.LIFCell(2, H, beta=0.95, rng=rng)
        self.cell.U.assign(rng.normal(0, 1.5, (2, H)).astype(np.float32))
        self.cell.W.assign(rng.normal(0, 1 / H**0.5, (H, H)).astype(np.float32))
        self.V = tg.Parameter(rng.normal(0, 0.3, (H, 2)), dtype=np.float32)

    def scores(self, spikes):
        """(B, 2)."""
        return tg.unroll(self.cell, spikes).outputs.mean(0) @ self.V


def loss(model, spikes, first):
    """The mean cross-entropy."""
    return tg.cross_entropy(model.scores(spikes), first)


def train(steps=150, seed=0):
    """Train; the part of new sequences that are told right."""
    rng = np.random.default_rng(seed)
    model = Model(rng)
    optimiser = tg.optim.Adam(model, lr=0.01)
    for step in range(1, steps + 1):
        objective = loss(model, *batch(rng))
        objective.backward()
        tg.optim.clip_by_norm(model, 1.0)
        optimiser.step()
        if step % 50 == 0:
            print(f"step {step:4d}   cross-entropy {objective.item():.3f}")
    spikes, first = batch(rng, 500)
    with tg.no_grad():
        run = tg.unroll(model.cell, spikes)
        print(f"a unit spikes {run.outputs.mean().item() * T:.1f} times in {T} steps")
        return float(np.mean(model.scores(spikes).numpy().argmax(1) == first))


if __name__ == "__main__":
    right = train()
    print(f"told right: {right:.0%}")
    assert right > 0.9
