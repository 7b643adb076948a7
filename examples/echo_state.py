"""An echo state network: a reservoir that never learns, and a read-out found by least squares.

    python examples/echo_state.py

The series is Mackey and Glass's (1977), which is chaotic: x' = 0.2 x(t - 17) / (1 + x(t - 17)^10)
- 0.1 x. From its past it is to be said where it will be six steps on.
"""

import numpy as np

import tinygrad_rnn as tg

H, AHEAD, WASHOUT, TRAINED = 200, 6, 100, 1500


def mackey_glass(length, delay=17, substeps=10):
    """The series by small Euler steps, with mean 0."""
    x = np.full(delay * substeps + length * substeps, 1.2)
    for k in range(delay * substeps, len(x) - 1):
        old = x[k - delay * substeps]
        x[k + 1] = x[k] + (0.2 * old / (1 + old**10) - 0.1 * x[k]) / substeps
    series = x[delay * substeps :: substeps]
    return series - series.mean()


def states(cell, series):
    """The reservoir's states along a series, (T, H). Nothing is to be differentiated."""
    with tg.no_grad():
        return tg.unroll(cell, series[:, None, None]).outputs.numpy()[:, 0]


def read_out(features, targets, ridge=1e-6):
    """The weights of ridge regression: (S^T S + ridge)^-1 S^T y."""
    S = features
    return np.linalg.solve(S.T @ S + ridge * np.eye(S.shape[1]), S.T @ targets)


def error(features, targets, V):
    """The root mean square error, as a part of the series' own deviation."""
    return np.sqrt(np.mean((features @ V - targets) ** 2)) / targets.std()


def run(seed=0):
    """Train on the first part of the series; the errors on the rest: (ours, of standing still)."""
    series = mackey_glass(2500 + AHEAD)
    x, y = series[:-AHEAD], series[AHEAD:]
    cell = tg.nn.ReservoirCell(1, H, radius=0.95, density=0.1, rng=seed, dtype=np.float64)
    S = np.concatenate([states(cell, x), x[:, None]], axis=1)
    V = read_out(S[WASHOUT:TRAINED], y[WASHOUT:TRAINED])
    return error(S[TRAINED:], y[TRAINED:], V), error(x[TRAINED:, None], y[TRAINED:], np.ones(1))


if __name__ == "__main__":
    ours, still = run()
    print(f"error {AHEAD} steps ahead: {ours:.4f} of the deviation; if nothing moved: {still:.2f}")
    assert ours < 0.05 * still
