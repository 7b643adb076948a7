"""Gradients that run forward in time: the cosine of each method's to that of BPTT, over a run.

Run it with `python examples/forward_in_time.py`; it takes about half a minute.

Three tasks (copy a sign, add two marked numbers, add two bits seen some steps ago), four cells.
Each cell is first trained for a while by truncated BPTT, so that its Jacobians are those of a
network that works; then each method follows the same sequences with the weights as they are.
"""

import numpy as np

import tinygrad_rnn as tg

T, H, RUNS, UPDATES = 20, 8, 6, 60
METHODS = ("rtrl", "snap-1", "snap-2", "e-prop", "rflo", "kf-rtrl", "uoro")


class Leaky(tg.Cell):
    """s_t = (1 - a) s_{t-1} + a tanh(x_t U + s_{t-1} W), a cell of one's own."""

    def __init__(self, input_size: int, hidden_size: int, *, rng: int) -> None:
        draw = np.random.default_rng(rng).normal
        self.U = tg.Parameter(draw(0, 0.5, (input_size, hidden_size)))
        self.W = tg.Parameter(draw(0, hidden_size**-0.5, (hidden_size, hidden_size)))

    def step(self, x, s):
        s = 0.7 * s + 0.3 * tg.tanh(x @ self.U + s @ self.W)
        return s, s


def copy(rng):
    """A sign at the first step, asked for at the last."""
    xs, ys = np.zeros((T, 1, 2)), np.zeros((T, 1, 1))
    xs[0, 0, 0], xs[-1, 0, 1] = rng.choice([-1.0, 1.0]), 1
    ys[-1] = xs[0, 0, 0]
    return xs, ys


def adding(rng):
    """Two of the numbers are marked; their sum so far is asked for at every step."""
    xs = np.stack([rng.random((T, 1)), np.zeros((T, 1))], -1)
    xs[rng.choice(T // 2), 0, 1] = xs[T // 2 + rng.choice(T // 2), 0, 1] = 1
    return xs, np.cumsum(xs[..., :1] * xs[..., 1:], 0)


def delayed_add(rng):
    """The sum of the bits of three and of eight steps ago."""
    bits = rng.integers(2, size=(T + 8, 1, 1)).astype(float)
    return np.concatenate([bits[8:], np.ones((T, 1, 1))], -1), bits[5:-3] + bits[:-8]


CELLS = {
    "Elman": lambda: tg.ElmanCell(2, H, rng=0, dtype=np.float64),
    "LSTM": lambda: tg.LSTMCell(2, H, rng=0, dtype=np.float64),
    "GRU": lambda: tg.GRUCell(2, H, rng=0, dtype=np.float64),
    "leaky": lambda: Leaky(2, H, rng=0),
}


def flat(gradients):
    return np.concatenate([g.ravel() for g in gradients])


def cosines(cell, task):
    """The cosine of each method's gradient to BPTT's, over several sequences."""
    rng = np.random.default_rng(0)
    V = tg.Parameter(rng.normal(0, 0.3, (H, 1)))

    def loss(outputs, targets):
        return tg.square(outputs @ V - targets).sum()

    weights = list(cell.parameters().values())
    optimiser = tg.optim.Adam([*weights, V], lr=0.01)
    for _ in range(UPDATES):
        for window in tg.truncated(cell, task(rng), loss, k1=T):
            window.backward()
            optimiser.step()
    sequences = [task(rng) for _ in range(RUNS)]
    full = 0
    for xs, ys in sequences:
        full = full + flat(tg.gradients(loss(tg.unroll(cell, xs).outputs, ys), weights))
    found = {}
    for method in METHODS:
        learner = tg.online(cell, loss, method=method, rng=1)
        total = np.zeros_like(full)
        for xs, ys in sequences:
            learner.reset()
            optimiser.zero_grad()
            for x, y in zip(xs, ys, strict=True):
                learner.step(x, y)
            total += flat(learner.gradients().values())
        found[method] = total @ full / (np.linalg.norm(total) * np.linalg.norm(full))
    return found


def main() -> None:
    print("task         cell   " + "".join(method.rjust(9) for method in METHODS))
    for task in (copy, adding, delayed_add):
        for name, make in CELLS.items():
            row = cosines(make(), task)
            cells = "".join(f"{row[method]:9.3f}" for method in METHODS)
            print(f"{task.__name__:12} {name:7}{cells}", flush=True)


if __name__ == "__main__":
    main()
