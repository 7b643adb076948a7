"""Measurements at irregular times: a continuous-time cell is told the time between them.

    python examples/irregular_time.py

Each sequence is a sine wave of its own speed, looked at when chance has it. From the last look, and
the time that has passed since, the cell is to say what is seen now. Without the time it can't.
"""

import numpy as np

import tinygrad_rnn as tg

H, T = 24, 20


def batch(rng, B=64):
    """Looks (T, B, 1), the times from each to the next (T, B), and what is seen then (T, B, 1)."""
    spans = rng.exponential(0.4, (T + 1, B))
    speed, phase = rng.uniform(1, 3, B), rng.uniform(0, 2 * np.pi, B)
    wave = np.sin(speed * spans.cumsum(0) + phase)[..., None]
    return wave[:-1], spans[1:], wave[1:]


class Model(tg.Module):
    """A CfC cell, and a linear read-out of its states."""

    def __init__(self, rng):
        self.cell = tg.nn.CfCCell(1, H, rng=rng)
        self.V = tg.Parameter(rng.normal(0, 0.3, (H, 1)), dtype=np.float32)
        self.c = tg.Parameter([0.0])

    def guesses(self, looks, spans):
        """(T, B, 1)."""
        return tg.unroll(self.cell, (looks, spans)).outputs @ self.V + self.c


def loss(model, looks, spans, seen):
    """The mean squared error, the first half of a sequence left out: its speed is not yet known."""
    return tg.mse(model.guesses(looks, spans)[T // 2 :], seen[T // 2 :])


def train(with_time=True, steps=600, seed=0):
    """Train; the mean squared error on new sequences."""
    rng = np.random.default_rng(seed)
    model = Model(rng)
    optimiser = tg.optim.Adam(model, lr=0.01)

    def drawn(B):
        looks, spans, seen = batch(rng, B)
        return looks, (spans if with_time else np.full_like(spans, 0.4)), seen

    for step in range(1, steps + 1):
        objective = loss(model, *drawn(64))
        objective.backward()
        tg.optim.clip_by_norm(model, 1.0)
        optimiser.step()
        if step % 200 == 0:
            print(f"  step {step:4d}   mean squared error {objective.item():.3f}")
    with tg.no_grad():
        return loss(model, *drawn(500)).item()


if __name__ == "__main__":
    print("with the times between looks:")
    told = train()
    print("without:")
    untold = train(with_time=False)
    print(f"mean squared error with times {told:.3f}, without {untold:.3f}; of guessing 0: 0.5")
    assert told < untold / 2
