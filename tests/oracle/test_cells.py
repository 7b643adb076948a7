"""The cells give PyTorch's losses and gradients, in float64."""

import numpy as np
import pytest

import tinygrad_rnn as tg

torch = pytest.importorskip("torch")

SHAPES = [(1, 1, 1, 1), (1, 3, 2, 4), (5, 1, 3, 2), (7, 4, 3, 5)]


def close(given, wanted):
    wanted = wanted.detach().numpy()
    scale = np.abs(wanted).max(initial=0.0)
    np.testing.assert_allclose(given, wanted, rtol=1e-10, atol=1e-10 * scale)


def leaf(value):
    """A tensor of PyTorch with gradient, from ours or an array."""
    array = value if isinstance(value, np.ndarray) else value.numpy()
    return torch.tensor(array.copy(), requires_grad=True)


def elman(cell, p, xs, states):
    """PyTorch's RNN has tanh and relu; identity is a loop."""
    if cell.activation == "identity":
        outputs, s = [], states[0]
        for x in xs:
            s = x @ p["U"] + s @ p["W"] + p["b"]
            outputs.append(s)
        return torch.stack(outputs), [s]
    weights = {"weight_ih_l0": p["U"].T, "weight_hh_l0": p["W"].T, "bias_ih_l0": p["b"]}
    zero = {"bias_hh_l0": torch.zeros_like(p["b"])}
    rnn = torch.nn.RNN(*cell.U.shape, nonlinearity=cell.activation, dtype=torch.float64)
    out, s = torch.func.functional_call(rnn, weights | zero, (xs, states[0][None]))
    return out, [s[0]]


def lstm(cell, p, xs, states):
    H = cell.hidden_size
    weights = {"weight_ih_l0": p["U"].T, "weight_hh_l0": p["W"].T, "bias_ih_l0": p["b"]}
    zero = {"bias_hh_l0": torch.zeros_like(p["b"])}
    rnn = torch.nn.LSTM(cell.U.shape[0], H, dtype=torch.float64)
    start = tuple(s[None] for s in states)
    out, (h, c) = torch.func.functional_call(rnn, weights | zero, (xs, start))
    return out, [h[0], c[0]]


def gru_after(cell, p, xs, states):
    weights = {
        "weight_ih_l0": p["U"].T,
        "weight_hh_l0": p["W"].T,
        "bias_ih_l0": p["b"],
        "bias_hh_l0": p["d"],
    }
    rnn = torch.nn.GRU(cell.U.shape[0], cell.hidden_size, dtype=torch.float64)
    out, h = torch.func.functional_call(rnn, weights, (xs, states[0][None]))
    return out, [h[0]]


def gru_before(cell, p, xs, states):
    H, h, outputs = cell.hidden_size, states[0], []
    for x in xs:
        a, u = x @ p["U"] + p["b"], h @ p["W"]
        r = torch.sigmoid(a[:, :H] + u[:, :H])
        z = torch.sigmoid(a[:, H : 2 * H] + u[:, H:])
        n = torch.tanh(a[:, 2 * H :] + (r * h) @ p["W_n"])
        h = (1 - z) * n + z * h
        outputs.append(h)
    return torch.stack(outputs), [h]


CELLS = {
    "elman tanh": (lambda i, h, rng: tg.ElmanCell(i, h, rng=rng, dtype=np.float64), elman),
    "elman relu": (
        lambda i, h, rng: tg.ElmanCell(i, h, activation="relu", rng=rng, dtype=np.float64),
        elman,
    ),
    "elman identity": (
        lambda i, h, rng: tg.ElmanCell(i, h, activation="identity", rng=rng, dtype=np.float64),
        elman,
    ),
    "lstm": (lambda i, h, rng: tg.LSTMCell(i, h, rng=rng, dtype=np.float64), lstm),
    "gru after": (lambda i, h, rng: tg.GRUCell(i, h, rng=rng, dtype=np.float64), gru_after),
    "gru before": (
        lambda i, h, rng: tg.GRUCell(i, h, reset="before", rng=rng, dtype=np.float64),
        gru_before,
    ),
}


@pytest.mark.parametrize("where", ["every step", "last step", "last state"])
@pytest.mark.parametrize(("T", "B", "I", "H"), SHAPES)
@pytest.mark.parametrize("name", CELLS)
def test_loss_and_all_gradients(name, T, B, I, H, where):  # noqa: E741
    rng = np.random.default_rng(0)
    make, oracle = CELLS[name]
    cell = make(I, H, rng)
    x = tg.tensor(rng.normal(size=(T, B, I)))
    start = cell.initial_state(B)
    parts = start if isinstance(start, tuple) else (start,)
    parts = [tg.tensor(rng.normal(size=part.shape)) for part in parts]
    state = type(start)(*parts) if isinstance(start, tuple) else parts[0]
    weight, state_weight = rng.normal(size=(T, B, H)), rng.normal(size=(len(parts), B, H))

    def loss(outputs, states, constant):
        if where == "every step":
            return (outputs**2 * constant(weight)).sum()
        if where == "last step":
            return (outputs[-1] ** 2 * constant(weight[-1])).sum()
        total = 0
        for s, w in zip(states, state_weight, strict=True):
            total = total + (s * constant(w)).sum()
        return total

    run = tg.unroll(cell, x, state)
    ends = run.state if isinstance(run.state, tuple) else (run.state,)
    ours = loss(run.outputs, ends, lambda w: w)
    parameters = cell.parameters()
    found = tg.gradients(ours, [*parameters.values(), x, *parts])

    p = {key: leaf(value) for key, value in parameters.items()}
    their_x, their_states = leaf(x), [leaf(part) for part in parts]
    theirs = loss(*oracle(cell, p, their_x, their_states), torch.tensor)
    theirs.backward()
    close(ours.item(), theirs)
    for g, wanted in zip(found, [*p.values(), their_x, *their_states], strict=True):
        close(g, wanted.grad if wanted.grad is not None else torch.zeros_like(wanted))
