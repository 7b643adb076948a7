"""Every cell against another program: that of torchrecurrent or PyTorch, or the paper's equations.

Those are written once more with PyTorch, in columns as papers have them. torchrecurrent's LEM reads
the old memory where the paper has the new one, so that it is written out here.
"""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import tree

torch = pytest.importorskip("torch")
torchrecurrent = pytest.importorskip("torchrecurrent")
sigmoid, tanh = torch.sigmoid, torch.tanh

T, B, I, H = 4, 3, 3, 4  # noqa: E741


# -- torchrecurrent --------------------------------------------------------------------------------


def theirs(cell_name, weights, **options):
    """A step of a cell of torchrecurrent, its weights made of ours; biases left out are zero."""

    def step(cell, p, x, states):
        module = getattr(torchrecurrent, cell_name)(I, H, **options).double()
        given = {k: torch.zeros_like(v) for k, v in module.named_parameters() if k != "beta"}
        given |= weights(p)
        assert {k: v.shape for k, v in given.items()}.items() <= {
            k: v.shape for k, v in module.named_parameters()
        }.items()
        state = states[0] if len(states) == 1 else tuple(states)
        if cell_name == "JANETCell":  # which has its one state twice
            state = states[0], states[0]
        new = torch.func.functional_call(module, given, (x, state))
        new = list(new) if isinstance(new, tuple) else [new]
        return new[0], new[: len(states)]

    return step


def cat(*parts):
    return torch.cat([part.T if part.ndim == 2 else part for part in parts])


def gates(*letters):
    """U, W and b of several gates, one below the other."""

    def weights(p):
        return {
            "weight_ih": cat(*(p[f"U_{k}"] for k in letters)),
            "weight_hh": cat(*(p[f"W_{k}"] for k in letters)),
            "bias_ih": cat(*(p[f"b_{k}"] for k in letters)),
        }

    return weights


def plain(p, **more):
    return {"weight_ih": p["U"].T, "bias_ih": p["b"]} | more


# -- the papers' equations, in columns -------------------------------------------------------------


def columns(rule):
    """A step from a rule for columns: rule(cell, p, x, *states) -> output, states; p transposed."""

    def step(cell, p, x, states):
        turned = {k: v.T if v.ndim == 2 else v[..., None] for k, v in p.items()}
        x = [part.T for part in x] if isinstance(x, tuple) else x.T
        output, *new = rule(cell, turned, x, *(s.T for s in states))
        return output.T, [s.T for s in new]

    return step


def lstm_rest(i, f, g, o, c):
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    return sigmoid(o) * tanh(c), c


def projected_lstm(cell, p, x, states):
    weights = {"weight_ih_l0": p["U"].T, "weight_hh_l0": p["W"].T, "bias_ih_l0": p["b"]}
    weights |= {"bias_hh_l0": torch.zeros_like(p["b"]), "weight_hr_l0": p["P"].T}
    rnn = torch.nn.LSTM(I, H, proj_size=H // 2, dtype=torch.float64)
    start = tuple(s[None] for s in states)
    out, (h, c) = torch.func.functional_call(rnn, weights, (x[None], start))
    return out[0], [h[0], c[0]]


def layer_norm_lstm(cell, p, x, states):
    h, c = states

    def LN(v, k):
        return torch.nn.functional.layer_norm(v, v.shape[1:], p[f"alpha_{k}"], p[f"beta_{k}"], 1e-5)

    i, f, g, o = (LN(x @ p["U"], "x") + LN(h @ p["W"], "h") + p["b"]).chunk(4, 1)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(LN(c, "c"))
    return h, [h, c]


@columns
def cifg(cell, p, x, h, c):
    f, g, o = (p["U"] @ x + p["W"] @ h + p["b"]).chunk(3)
    h, c = lstm_rest(-f, f, g, o, c)  # sigma(-f) = 1 - sigma(f)
    return h, h, c


@columns
def min_gru(cell, p, x, h):
    z = sigmoid(p["U_z"] @ x + p["b_z"])
    h = (1 - z) * h + z * (p["U_n"] @ x + p["b_n"])
    return h, h


@columns
def min_lstm(cell, p, x, h):
    f, i = (sigmoid(p[f"U_{k}"] @ x + p[f"b_{k}"]) for k in "fi")
    h = (f * h + i * (p["U_n"] @ x + p["b_n"])) / (f + i)
    return h, h


@columns
def sru(cell, p, x, c):
    candidate, f, r = (p["U"] @ x).chunk(3)
    f, r = sigmoid(f + p["v_f"] * c + p["b_f"]), sigmoid(r + p["v_r"] * c + p["b_r"])
    c = f * c + (1 - f) * candidate
    return r * c + (1 - r) * (p["U_x"] @ x if "U_x" in p else x), c


@columns
def highway(cell, p, x, s):
    for layer in range(1, cell.depth + 1):
        a = p[f"W_{layer}"] @ s + p[f"b_{layer}"]
        h, t = (a + p["U"] @ x if layer == 1 else a).chunk(2)
        s = tanh(h) * sigmoid(t) + s * (1 - sigmoid(t))
    return s, s


@columns
def clockwork(cell, p, x, h, t):
    """Modules of 2, 1 and 1 units with periods 1, 2, 4: block rows of W, cut off to the left."""
    blocks = [(0, 2, 1), (2, 3, 2), (3, 4, 4)]
    step, new = int(t[0, 0].item()) + 1, []
    for start, end, period in blocks:
        if step % period:
            new.append(h[start:end])
        else:
            a = p["U"][start:end] @ x + p["W"][start:end, start:] @ h[start:] + p["b"][start:end]
            new.append(tanh(a))
    h = torch.cat(new)
    return h, h, t + 1


@columns
def orthogonal(cell, p, x, h):
    A = torch.triu(p["A"].T, 1)
    a = p["U"] @ x + torch.matrix_exp(A - A.T).T @ h
    h = a / a.abs() * torch.relu(a.abs() + p["b"])
    return h, h


@columns
def lem(cell, p, x, y, z):
    dt_1, dt_2 = (cell.dt * sigmoid(p[f"U_{k}"] @ x + p[f"W_{k}"] @ y + p[f"b_{k}"]) for k in "12")
    z = z + dt_1 * (tanh(p["U_z"] @ x + p["W_z"] @ y + p["b_z"]) - z)
    y = y + dt_2 * (tanh(p["U_y"] @ x + p["W_y"] @ z + p["b_y"]) - y)
    return y, y, z


@columns
def lmu(cell, p, x, h, m):
    """The matrices are blocks of the exponential of [[A, B], [0, 0]] / theta."""
    D, theta = cell.memory_size, cell.theta
    both = torch.zeros(D + 1, D + 1, dtype=torch.float64)
    for i in range(D):
        for j in range(D):
            both[i, j] = (2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1))
        both[i, D] = (2 * i + 1) * (-1) ** i
    both = torch.matrix_exp(both / theta)
    u = p["e_x"] @ x + p["e_h"] @ h + p["e_m"] @ m
    m = both[:D, :D] @ m + both[:D, D:] @ u
    h = tanh(p["U"] @ x + p["W"] @ h + p["M"] @ m)
    return h, h, m


@columns
def ltc(cell, p, x, s):
    x, span = x if isinstance(x, list) else (x, 1)
    d, decay = span / cell.unfolds, torch.nn.functional.softplus(p["q"])
    for _ in range(cell.unfolds):
        f = sigmoid(p["U"] @ x + p["W"] @ s + p["b"])
        s = (s + d * f * p["A"]) / (1 + d * (decay + f))
    return s, s


@columns
def cfc(cell, p, x, s):
    x, span = x if isinstance(x, list) else (x, 1)
    f, g, k = (p["U"] @ x + p["W"] @ s + p["b"]).chunk(3)
    s = sigmoid(-f * span) * tanh(g) + (1 - sigmoid(-f * span)) * tanh(k)
    return s, s


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u > 0).double()

    @staticmethod
    def backward(ctx, g):
        (u,) = ctx.saved_tensors
        return g / (10 * u.abs() + 1) ** 2


@columns
def lif(cell, p, x, v, z):
    v = 0.9 * v + p["U"] @ x + p["W"] @ z - z
    z = Spike.apply(v - 1)
    return z, v, z


@columns
def reservoir(cell, p, x, s):
    U, W, b = (torch.tensor(held.numpy().T) for held in cell.buffers().values())
    s = (1 - cell.leak) * s + cell.leak * tanh(U @ x + W @ s + b[:, None])
    return s, s


ORACLES = {
    "peephole-lstm": theirs(
        "PeepholeLSTMCell",
        lambda p: plain(p, weight_hh=p["W"].T, weight_ph=cat(p["p_i"], p["p_f"], p["p_o"])),
    ),
    "projected-lstm": projected_lstm,
    "layer-norm-lstm": layer_norm_lstm,
    "cifg": cifg,
    "mlstm": theirs(
        "MultiplicativeLSTMCell",
        lambda p: {
            "weight_ih": cat(p["U_m"], p["U"]),
            "weight_hh": p["W_m"].T,
            "weight_mh": p["W"].T,
            "bias_mh": p["b"],
        },
    ),
    "janet": theirs("JANETCell", gates("f", "c")),
    "mgu": theirs("MGUCell", gates("f", "n")),
    "ugrnn": theirs("UGRNNCell", gates("c", "g")),
    "fastgrnn": theirs(
        "FastGRNNCell",
        lambda p: {
            "weight_ih": p["U"].T,
            "weight_hh": p["W"].T,
            "bias_ih": cat(p["b_z"], p["b_n"]),
            "zeta": p["zeta"][None],
            "nu": p["nu"][None],
        },
        nonlinearity="sigmoid",
    ),
    "mingru": min_gru,
    "minlstm": min_lstm,
    "sru": sru,
    "sru, I = H": sru,
    "indrnn": theirs("IndRNNCell", lambda p: plain(p, vector_u=p["w"]), nonlinearity="relu"),
    "brc": theirs(
        "BRCell",
        lambda p: {
            "weight_ih": cat(p["U_a"], p["U_c"], p["U"]),
            "weight_hh": cat(p["w_a"], p["w_c"]),
        },
    ),
    "nbrc": theirs(
        "NBRCell",
        lambda p: {
            "weight_ih": cat(p["U_a"], p["U_c"], p["U"]),
            "weight_hh": cat(p["W_a"], p["W_c"]),
        },
    ),
    "highway": highway,
    "clockwork": clockwork,
    "orthogonal": orthogonal,
    "antisymmetric": theirs(
        "AntisymmetricRNNCell", lambda p: plain(p, weight_hh=p["W"].T), epsilon=0.1, gamma=0.01
    ),
    "antisymmetric-gated": theirs(
        "GatedAntisymmetricRNNCell",
        lambda p: {
            "weight_ih": cat(p["U_z"], p["U"]),
            "weight_hh": p["W"].T,
            "bias_ih": cat(p["b_z"], p["b"]),
        },
        epsilon=0.1,
        gamma=0.01,
    ),
    "cornn": theirs(
        "coRNNCell",
        lambda p: plain(p, weight_hh=p["W_y"].T, weight_ch=p["W_z"].T),
        dt=0.1,
        gamma=1.0,
        epsilon=0.5,
    ),
    "lem": lem,
    "lmu": lmu,
    "ltc": ltc,
    "ltc, time spans": ltc,
    "cfc": cfc,
    "cfc, time spans": cfc,
    "lif": lif,
    "reservoir": reservoir,
}


def test_every_registered_cell_has_an_oracle():
    """Elman, LSTM and GRU have theirs in test_cells.py."""
    assert set(tg.cells()) - set(ORACLES) == {"elman", "lstm", "gru", "gru-before"}


def leaf(array):
    return torch.tensor(np.array(array), requires_grad=True)


def close(given, wanted):
    wanted = wanted.detach().numpy()
    np.testing.assert_allclose(given, wanted, rtol=1e-8, atol=1e-8 * np.abs(wanted).max(initial=0))


@pytest.mark.parametrize("name", ORACLES)
def test_outputs_states_and_all_gradients(name):
    rng = np.random.default_rng(0)
    size = H if name.endswith("I = H") else I
    cell = tg.cells()[name.partition(",")[0]].make(size, H, rng=rng, dtype=np.float64)
    for p in cell.parameters().values():
        p.assign(p.numpy() + rng.normal(0, 0.3, p.shape))
    xs = tg.tensor(rng.normal(size=(T, B, size)))
    start = cell.initial_state(B)
    parts = [
        tg.tensor(s.numpy() + (0 if s.name == "t_0" else rng.normal(0, 1, s.shape)))
        for s in tree.leaves(start)
    ]
    inputs = [xs]
    if name.endswith("time spans"):
        inputs.append(tg.tensor(rng.uniform(0.2, 2.0, (T, B, 1))))
    given = tuple(inputs) if len(inputs) > 1 else xs
    run = tg.unroll(cell, given, tree.rebuild(start, iter(parts)))
    after = tree.leaves(run.state)
    parameters = list(cell.parameters().values())
    ends = [*run.steps, *after]
    weights = [rng.normal(size=end.shape) for end in ends]
    found = tg.gradients(ends, [*parameters, *inputs, *parts], weights)

    p = {k: leaf(v.numpy()) for k, v in cell.parameters().items()}
    their_inputs, states = [leaf(t.numpy()) for t in inputs], [leaf(s.numpy()) for s in parts]
    first, outputs = list(states), []
    for x in zip(*their_inputs, strict=True):
        x = x if len(x) > 1 else x[0]
        output, states = ORACLES[name](cell, p, x, states)
        outputs.append(output)
    their_ends = [*outputs, *states]
    for end, wanted in zip(ends, their_ends, strict=True):
        close(end.numpy(), wanted)
    loss = sum((end * torch.tensor(w)).sum() for end, w in zip(their_ends, weights, strict=True))
    loss.backward()
    names = [
        *p,
        *("x", "span")[: len(inputs)],
        *(s.name or f"state {k}" for k, s in enumerate(parts)),
    ]
    for label, g, theirs_ in zip(names, found, [*p.values(), *their_inputs, *first], strict=True):
        if label.startswith("state") and name == "clockwork" and g.shape == (B, 1):
            continue  # the count of steps, which has no derivative
        close(g, theirs_.grad)
        assert np.any(g), label


class LateOutputGate(tg.nn.PeepholeLSTMCell):
    """Its output gate sees the old memory: a peephole in the wrong place."""

    def step(self, x, state):
        h, c = state
        i, f, g, o = tg.split(x @ self.U + h @ self.W + self.b, 4, axis=-1)
        i, f, o = (tg.sigmoid(a + p * c) for a, p in ((i, self.p_i), (f, self.p_f), (o, self.p_o)))
        c = f * c + i * tg.tanh(g)
        h = o * tg.tanh(c)
        return h, type(state)(h, c)


def test_a_wrong_equation_is_found(monkeypatch):
    monkeypatch.setattr(tg.nn.PeepholeLSTMCell, "step", LateOutputGate.step)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test_outputs_states_and_all_gradients("peephole-lstm")
