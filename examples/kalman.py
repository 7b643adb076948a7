"""A Kalman filter as a recurrent cell: its log-likelihood, differentiated, learns the model.

    python examples/kalman.py

A thing drifts and is seen through noise: s_t = s_{t-1} A + noise, x_t = s_t C + noise. The filter
(Kalman 1960) gives the probability of each measurement, given those before it; the gradient of its
logarithm needs no derivation of its own.
"""

import numpy as np

import tinygrad_rnn as tg

N = 2  # the state is a place and a velocity; the place is seen


class Kalman(tg.Cell):
    """(x_t, (m, P) of s_{t-1}) -> (log p(x_t | x_1 .. x_{t-1}), (m, P) of s_t)."""

    def __init__(self, friction, log_q, log_r):
        self.friction = tg.Parameter(np.array(friction))
        self.log_q = tg.Parameter(np.array(log_q))
        self.log_r = tg.Parameter(np.array(log_r))
        self.C = tg.Buffer([[1.0], [0.0]], dtype=np.float64)
        self.input_size = 1

    def motion(self):
        """The place moves by the velocity, which is kept but for friction."""
        keep = tg.reshape(1 - self.friction, (1, 1))
        one, zero = np.ones((1, 1)), np.zeros((1, 1))
        return tg.concatenate(
            [tg.concatenate([one, zero * keep], 1), tg.concatenate([one, keep], 1)], 0
        )

    def initial_state(self, batch_size):
        """Place and velocity are normally distributed around 0."""
        return (
            tg.zeros((batch_size, N), "m_0", np.float64),
            tg.tensor(np.tile(np.eye(N), (batch_size, 1, 1)), "P_0"),
        )

    def step(self, x, state):
        """One measurement x (B, 1)."""
        m, P = state
        A, C = self.motion(), self.C
        m = m @ A
        P = A.T @ P @ A + tg.exp(self.log_q) * np.diag([0.0, 1.0])
        S = (C.T @ P @ C + tg.exp(self.log_r)).named("S")  # (B, 1, 1)
        gain = (P @ C / S).named("K")
        e = x - m @ C
        m = (m + (gain @ e[:, :, None])[:, :, 0]).named("m")
        P = (P - gain @ C.T @ P).named("P")
        density = -0.5 * (e[:, 0] ** 2 / S[:, 0, 0] + tg.log(2 * np.pi * S[:, 0, 0]))
        return density, (m, P)


def log_likelihood(cell, xs):
    """The mean over sequences of log p(x_1 .. x_T); xs (T, B, 1)."""
    return tg.unroll(cell, xs).outputs.sum() / xs.shape[1]


def drawn(rng, T=40, B=50, friction=0.3, q=0.1, r=0.5):
    """Measurements (T, B, 1) of such things."""
    s, A, xs = rng.normal(size=(B, N)), np.array([[1, 0], [1, 1 - friction]]), []
    for _ in range(T):
        s = s @ A + np.sqrt(q) * rng.normal(size=(B, N)) * [0, 1]
        xs.append(s[:, :1] + np.sqrt(r) * rng.normal(size=(B, 1)))
    return np.array(xs)


def learn(steps=200, seed=0):
    """Climb the log-likelihood; the friction and the two variances found."""
    xs = drawn(np.random.default_rng(seed))
    cell = Kalman(0.0, 0.0, 0.0)
    optimiser = tg.optim.Adam(cell, lr=0.1)
    for step in range(1, steps + 1):
        loss = -log_likelihood(cell, xs)
        loss.backward()
        optimiser.step()
        if step % 50 == 0:
            print(f"step {step:3d}   log-likelihood {-loss.item():.2f}")
    return cell.friction.item(), np.exp(cell.log_q.item()), np.exp(cell.log_r.item())


if __name__ == "__main__":
    friction, q, r = learn()
    print(
        f"friction {friction:.2f} (0.30), process noise {q:.3f} (0.100), measuring {r:.3f} (0.500)"
    )
    assert abs(friction - 0.3) < 0.05
    assert abs(q - 0.1) < 0.03
    assert abs(r - 0.5) < 0.05
