"""A recurrent cell of one's own, in ten lines, trained on a task that needs memory.

    python examples/own_cell.py
    tinygrad-rnn study --cell examples/own_cell.py:MinimalGatedUnit

The cell mixes its old state with a candidate through one learned gate (a minimal gated unit). The
task: a sequence of numbers of which two are marked; say their sum after the last step. Always
answering 1 has a mean squared error of 1/6.
"""

import numpy as np

import tinygrad_rnn as tg


class MinimalGatedUnit(tg.Cell):
    """f = sigma(x U_f + s W_f + b_f),   s' = (1 - f) s + f tanh(x U + (f s) W)."""

    def __init__(self, input_size, hidden_size, *, rng=None):
        rng = np.random.default_rng(rng)

        def matrix(rows):
            value = rng.normal(0, rows**-0.5, (rows, hidden_size))
            return tg.Parameter(value.astype(np.float32))

        self.U, self.U_f = matrix(input_size), matrix(input_size)
        self.W, self.W_f = matrix(hidden_size), matrix(hidden_size)
        self.b_f = tg.Parameter(np.full(hidden_size, -1, np.float32))

    def step(self, x, s):  # -> (output, next state)
        f = tg.sigmoid(x @ self.U_f + s @ self.W_f + self.b_f).named("f")
        candidate = tg.tanh(x @ self.U + (f * s) @ self.W)
        s = (s + f * (candidate - s)).named("s")
        return s, s


def batch(rng, T=20, B=64):
    """The adding problem: numbers and marks (T, B, 2), and the sums (B, 1)."""
    numbers, marks = rng.uniform(0, 1, (T, B)), np.zeros((T, B))
    for column in range(B):
        marks[rng.integers(0, T // 2), column] = marks[rng.integers(T // 2, T), column] = 1
    return np.stack([numbers, marks], axis=-1), (numbers * marks).sum(0)[:, None]


def train(steps=400):
    """Train a cell and a linear read-out of its last state; the last mean squared error."""
    rng = np.random.default_rng(1)
    cell = MinimalGatedUnit(2, 24, rng=rng)
    V, c = tg.Parameter(rng.normal(0, 0.2, (24, 1)), "V", np.float32), tg.Parameter([1.0], "c")
    optimiser = tg.optim.Adam([cell, [V, c]], lr=0.01)

    error = np.inf

    for step in range(1, steps + 1):
        xs, sums = batch(rng)
        run = tg.unroll(cell, xs)
        loss = tg.mse(run.state @ V + c, sums)
        loss.backward()
        tg.optim.clip_by_norm([cell, [V, c]], 1.0)
        optimiser.step()
        error = loss.item()
        if step % 50 == 0:
            print(f"step {step:4d}   mean squared error {error:.4f}")
    return error


if __name__ == "__main__":
    assert train() < 1 / 6 / 3, "it should be well below the 1/6 of a constant answer"
