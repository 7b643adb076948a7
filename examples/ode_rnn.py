"""ODE-RNN: between observations the hidden state follows a differential equation of its own.

    python examples/ode_rnn.py

Rubanova, Chen & Duvenaud, "Latent ordinary differential equations for irregularly-sampled time
series", NeurIPS 2019: h' = f(h) from one look to the next, solved here by Runge-Kutta steps, and a
GRU takes in what is seen there. Points run round on ellipses and are looked at when chance has it;
the network is to say where they are at the next look, and can say so at any time in between.
"""

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn

H, T, STEPS = 24, 16, 2


def paths(rng, B):
    """Functions of time (..., B) -> places (..., B, 2): ellipses, with a speed and a phase each."""
    size, tilt = rng.uniform(0.5, 1, (2, B)), rng.uniform(0, np.pi, B)
    speed, phase = rng.uniform(1, 2, B), rng.uniform(0, 2 * np.pi, B)

    def place(t):
        a, b = size[0] * np.cos(speed * t + phase), size[1] * np.sin(speed * t + phase)
        return np.stack(
            [a * np.cos(tilt) - b * np.sin(tilt), a * np.sin(tilt) + b * np.cos(tilt)], -1
        )

    return place


def batch(rng, B=64):
    """Looks (T, B, 2), the times from each to the next (T, B, 1), what is seen then (T, B, 2)."""
    place, times = paths(rng, B), rng.exponential(0.5, (T + 1, B)).cumsum(0)
    return place(times[:-1]), np.diff(times, axis=0)[..., None], place(times[1:])


class ODERNNCell(tg.Cell):
    """n = GRU(x_t, h_{t-1}), and h_t = n after dt_t of h' = tanh(h A + a) C."""

    def __init__(self, input_size, hidden_size, *, evolves=True, rng=None, dtype=np.float32):
        rng = np.random.default_rng(rng)
        self.input_size, self.hidden_size, self.evolves = input_size, hidden_size, evolves
        self.gru = tg.GRUCell(input_size, hidden_size, rng=rng, dtype=dtype)
        self.inner = nn.Linear(hidden_size, hidden_size, rng=rng, dtype=dtype)
        self.C = tg.Parameter(rng.normal(0, 0.1, (hidden_size, hidden_size)), dtype=dtype)

    def slope(self, h):
        """f(h)."""
        return tg.tanh(self.inner(h)) @ self.C

    def evolved(self, h, dt):
        """The state dt (B, 1) later: the classical fourth-order method, in equal steps."""
        d = dt / STEPS
        for _ in range(STEPS):
            k_1 = self.slope(h)
            k_2 = self.slope(h + d / 2 * k_1)
            k_3 = self.slope(h + d / 2 * k_2)
            k_4 = self.slope(h + d * k_3)
            h = h + d / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
        return h

    def step(self, x, h):
        """((x_t, dt_t), h_{t-1}) -> (h_t, h_t)."""
        x, dt = x
        h, _ = self.gru.step(x, h)
        h = self.evolved(h, dt if self.evolves else 0 * dt).named("h")
        return h, h


class Model(tg.Module):
    """The cell, and a linear read-out of its states."""

    def __init__(self, rng, evolves=True, dtype=np.float32):
        self.cell = ODERNNCell(2, H, evolves=evolves, rng=rng, dtype=dtype)
        self.read = nn.Linear(H, 2, rng=rng, dtype=dtype)

    def __call__(self, looks, spans):
        """Guesses (T, B, 2)."""
        return self.read(tg.unroll(self.cell, (looks, spans)).outputs)


def loss(model, looks, spans, seen):
    """The mean squared error, without the first looks, from which no speed can be told."""
    return tg.mse(model(looks, spans)[4:], seen[4:])


def train(evolves=True, steps=150, seed=0):
    """Train; the model and its mean squared error on new paths."""
    rng = np.random.default_rng(seed)
    model = Model(rng, evolves)
    optimiser = tg.optim.Adam(model, lr=0.01)
    for step in range(1, steps + 1):
        objective = loss(model, *batch(rng))
        objective.backward()
        tg.optim.clip_by_norm(model, 1.0)
        optimiser.step()
        if step % 50 == 0:
            print(f"  step {step:4d}   mean squared error {objective.item():.4f}")
    with tg.no_grad():
        return model, loss(model, *batch(rng, 500)).item()


if __name__ == "__main__":
    print("a state that evolves between looks:")
    model, evolving = train()
    print("one that stays:")
    staying = train(evolves=False)[1]
    print(f"mean squared error {evolving:.4f} with the equation, {staying:.4f} without")
    assert evolving < staying / 2
