"""Recurrent networks as people write them: each stresses something else in a picture.

`NETWORKS[name]()` records one and gives its loss, a single number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import tinygrad_rnn as tg

I, H, O, T = 3, 4, 2, 4  # noqa: E741 - the notation

NETWORKS: dict[str, Callable[[], tg.Tensor]] = {}


def network(function):
    """Put a network into the collection under its name."""
    NETWORKS[function.__name__] = function
    return function


def parameters(**shapes):
    """Parameters with these names and shapes."""
    rng = np.random.default_rng(0)
    return [tg.Parameter(rng.normal(0, 0.5, shape), name) for name, shape in shapes.items()]


def inputs(T=T, size=I):
    """A sequence (T, 1, size)."""
    return np.random.default_rng(1).normal(size=(T, 1, size))


def error(o, t):
    """The loss of a step."""
    return tg.cross_entropy(o, np.array([t % O]), reduction="sum")


# -- the making of a state -------------------------------------------------------------------------


@network
def dilated():
    """s_t reads s_{t-2} and not s_{t-1}."""
    U, W, V = parameters(U=(I, H), W=(H, H), V=(H, O))
    states = [tg.zeros((1, H), "s_-1"), tg.zeros((1, H), "s_0")]
    loss = 0.0
    for t, x in enumerate(inputs(6), start=1):
        with tg.timestep(t):
            states.append(tg.tanh(x @ U + states[-2] @ W).named("s"))
            loss = loss + error(states[-1] @ V, t)
    return loss


@network
def skip_from_step_3():
    """Also reads s_{t-2}, as soon as there is one that was computed."""
    U, W, R, V = parameters(U=(I, H), W=(H, H), R=(H, H), V=(H, O))
    states, loss = [tg.zeros((1, H), "s_0")], 0.0
    for t, x in enumerate(inputs(5), start=1):
        with tg.timestep(t):
            a = x @ U + states[-1] @ W
            if t >= 3:
                a = a + states[-2] @ R
            states.append(tg.tanh(a).named("s"))
            loss = loss + error(states[-1] @ V, t)
    return loss


@network
def attention_over_the_past():
    """Every step attends to all states before it."""
    U, W, A, C = parameters(U=(I, H), W=(H, H), A=(H, H), C=(H, H))
    states = [tg.zeros((1, H), "s_0")]
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            past = tg.concatenate(states)
            alpha = tg.softmax(states[-1] @ A @ past.T, axis=-1).named("alpha")
            context = (alpha @ past).named("c")
            states.append(tg.tanh(x @ U + states[-1] @ W + context @ C).named("s"))
    return tg.square(states[-1]).sum()


@network
def jordan():
    """The output is fed back, not the hidden layer."""
    U, W, V = parameters(U=(I, H), W=(O, H), V=(H, O))
    y, loss = tg.zeros((1, O), "y_0"), 0.0
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            h = tg.tanh(x @ U + y @ W).named("h")
            y = tg.softmax(h @ V, axis=-1).named("y")
            loss = loss - tg.log(y[0, t % O])
    return loss


@network
def concatenated_input():
    """s_t = tanh([x_t, s_{t-1}] W + b)."""
    W, b = parameters(W=(I + H, H), b=(H,))
    s = tg.zeros((1, H), "s_0")
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = tg.tanh(tg.concatenate([tg.tensor(x, "x"), s], axis=1) @ W + b).named("s")
    return tg.square(s).sum()


@network
def deep_transition():
    """Two layers between one state and the next."""
    U, W_1, W_2, b_1, b_2 = parameters(U=(I, H), W_1=(H, H), W_2=(H, H), b_1=(H,), b_2=(H,))
    s = tg.zeros((1, H), "s_0")
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = tg.tanh(tg.relu(x @ U + s @ W_1 + b_1) @ W_2 + b_2).named("s")
    return tg.square(s).sum()


@network
def matrix_used_twice():
    """W stands twice in the equation of a step."""
    U, W = parameters(U=(I, H), W=(H, H))
    s = tg.zeros((1, H), "s_0")
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + tg.tanh(s @ W) @ W).named("s")
    return tg.square(s).sum()


@network
def three_inner_iterations():
    """Each step lets the state settle three times with the same weights."""
    U, W = parameters(U=(I, H), W=(H, H))
    s = tg.zeros((1, H), "s_0")
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            a = x @ U
            for _ in range(3):
                s = tg.tanh(a + s @ W)
            s.named("s")
    return tg.square(s).sum()


@network
def continuous_time():
    """Euler steps of tau ds/dt = -s + tanh(x U + s W), tau learnt per unit."""
    U, W, tau, V = parameters(U=(I, H), W=(H, H), tau=(H,), V=(H, 1))
    s, dt = tg.zeros((1, H), "s_0"), 0.1
    loss = 0.0
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = (s + dt * (tg.tanh(x @ U + s @ W) - s) / tg.exp(tau)).named("s")
            loss = loss + tg.mse(s @ V, np.ones((1, 1)))
    return loss


@network
def multiplicative():
    """Products of the input's and the state's part, with learnt weights of each term."""
    U, W, alpha, beta, gamma, b = parameters(
        U=(I, H), W=(H, H), alpha=(H,), beta=(H,), gamma=(H,), b=(H,)
    )
    s = tg.zeros((1, H), "s_0")
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            u, w = x @ U, s @ W
            s = tg.tanh(alpha * u * w + beta * u + gamma * w + b).named("s")
    return tg.square(s).sum()


@network
def state_space():
    """A linear recurrence with a direct way from the input to the output."""
    A, B, C, D = parameters(A=(H,), B=(I, H), C=(H, O), D=(I, O))
    s, loss = tg.zeros((1, H), "s_0"), 0.0
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = (tg.exp(-tg.exp(A)) * s + x @ B).named("s")
            y = (s @ C + x @ D).named("y")
            loss = loss + tg.mse(y, np.zeros((1, O)))
    return loss


@network
def echo_state():
    """The recurrent matrix is a fixed array, only the reading is learnt."""
    (V,) = parameters(V=(H, O))
    rng = np.random.default_rng(2)
    U, W = rng.normal(0, 0.5, (I, H)), rng.normal(0, 0.5, (H, H))
    s, loss = tg.zeros((1, H), "s_0"), 0.0
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W).named("s")
            loss = loss + error(s @ V, t)
    return loss


@network
def no_parameters():
    """A leaky sum of its inputs."""
    s = tg.zeros((1, I), "s_0")
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = (0.9 * s + tg.tensor(x, "x")).named("s")
    return tg.square(s).sum()


@network
def scalar_state():
    """One unit, no matrices: every value is a single number."""
    u, w, b = parameters(u=(), w=(), b=())
    s, loss = tg.tensor(0.0, "s_0"), 0.0
    for t, x in enumerate([0.5, -1.0, 2.0], start=1):
        with tg.timestep(t):
            s = tg.tanh(u * x + w * s + b).named("s")
            loss = loss + tg.square(s - 1.0)
    return loss


# -- gates -----------------------------------------------------------------------------------------


def gru(before):
    """A GRU written out, with the reset gate before or after the product."""
    names = [f"{kind}_{gate}" for gate in "rzn" for kind in "UWb"]
    shapes = dict(zip(names, [(I, H), (H, H), (H,)] * 3, strict=True))
    U_r, W_r, b_r, U_z, W_z, b_z, U_n, W_n, b_n = parameters(**shapes)
    h = tg.zeros((1, H), "h_0")
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            r = tg.sigmoid(x @ U_r + h @ W_r + b_r).named("r")
            z = tg.sigmoid(x @ U_z + h @ W_z + b_z).named("z")
            n = tg.tanh(x @ U_n + ((r * h) @ W_n if before else r * (h @ W_n)) + b_n).named("n")
            h = ((1 - z) * n + z * h).named("h")
    return tg.square(h).sum()


@network
def gru_reset_before():
    return gru(before=True)


@network
def gru_reset_after():
    return gru(before=False)


@network
def peepholes():
    """An LSTM whose gates also see the memory cell."""
    U, W, b, p_i, p_f, p_o = parameters(
        U=(I, 4 * H), W=(H, 4 * H), b=(4 * H,), p_i=(H,), p_f=(H,), p_o=(H,)
    )
    h, c = tg.zeros((1, H), "h_0"), tg.zeros((1, H), "c_0")
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            i, f, g, o = tg.split(x @ U + h @ W + b, 4, axis=-1)
            i = tg.sigmoid(i + p_i * c).named("i")
            f = tg.sigmoid(f + p_f * c).named("f")
            c = (f * c + i * tg.tanh(g)).named("c")
            o = tg.sigmoid(o + p_o * c).named("o")
            h = (o * tg.tanh(c)).named("h")
    return tg.square(h).sum()


@network
def projected_lstm():
    """The state that is handed on is a projection of the hidden layer."""
    U, W, b, P = parameters(U=(I, 4 * H), W=(2, 4 * H), b=(4 * H,), P=(H, 2))
    r, c = tg.zeros((1, 2), "r_0"), tg.zeros((1, H), "c_0")
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            i, f, g, o = tg.split(x @ U + r @ W + b, 4, axis=-1)
            c = (tg.sigmoid(f) * c + tg.sigmoid(i) * tg.tanh(g)).named("c")
            h = (tg.sigmoid(o) * tg.tanh(c)).named("h")
            r = (h @ P).named("r")
    return tg.square(r).sum()


@network
def coupled_gates():
    """As much is forgotten as is written: f = 1 - i."""
    U_i, W_i, U_g, W_g, U_o, W_o = parameters(
        U_i=(I, H), W_i=(H, H), U_g=(I, H), W_g=(H, H), U_o=(I, H), W_o=(H, H)
    )
    h, c = tg.zeros((1, H), "h_0"), tg.zeros((1, H), "c_0")
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            i = tg.sigmoid(x @ U_i + h @ W_i).named("i")
            c = ((1 - i) * c + i * tg.tanh(x @ U_g + h @ W_g)).named("c")
            h = (tg.sigmoid(x @ U_o + h @ W_o) * tg.tanh(c)).named("h")
    return tg.square(h).sum()


@network
def minimal_gated_unit():
    """One gate only (Zhou et al. 2016)."""
    U_f, W_f, b_f, U, W, b = parameters(
        U_f=(I, H), W_f=(H, H), b_f=(H,), U=(I, H), W=(H, H), b=(H,)
    )
    h = tg.zeros((1, H), "h_0")
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            f = tg.sigmoid(x @ U_f + h @ W_f + b_f).named("f")
            h = ((1 - f) * h + f * tg.tanh(x @ U + (f * h) @ W + b)).named("h")
    return tg.square(h).sum()


@network
def independent_units():
    """IndRNN: the recurrence is entry by entry, two layers."""
    U_1, w_1, b_1, U_2, w_2, b_2 = parameters(
        U_1=(I, H), w_1=(H,), b_1=(H,), U_2=(H, H), w_2=(H,), b_2=(H,)
    )
    s, r = tg.zeros((1, H), "s_0"), tg.zeros((1, H), "r_0")
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            s = tg.relu(x @ U_1 + w_1 * s + b_1).named("s")
            r = tg.relu(s @ U_2 + w_2 * r + b_2).named("r")
    return tg.square(r).sum()


@network
def simple_recurrent_unit():
    """SRU: the gates depend on the input alone, so only products are recurrent."""
    W, W_f, b_f, W_r, b_r = parameters(W=(H, H), W_f=(H, H), b_f=(H,), W_r=(H, H), b_r=(H,))
    c, loss = tg.zeros((1, H), "c_0"), 0.0
    for t, x in enumerate(inputs(3, H), start=1):
        with tg.timestep(t):
            x = tg.tensor(x, "x")
            f = tg.sigmoid(x @ W_f + b_f).named("f")
            r = tg.sigmoid(x @ W_r + b_r).named("r")
            c = (f * c + (1 - f) * (x @ W)).named("c")
            h = (r * tg.tanh(c) + (1 - r) * x).named("h")
            loss = loss + tg.mse(h, np.zeros((1, H)))
    return loss


@network
def quasi_recurrent():
    """QRNN: candidates and gates of all steps come from one product outside of time."""
    W_z, W_f = parameters(W_z=(I, H), W_f=(I, H))
    X = tg.tensor(inputs(), "X")
    zs, fs = tg.unstack(tg.tanh(X @ W_z)), tg.unstack(tg.sigmoid(X @ W_f))
    c = tg.zeros((1, H), "c_0")
    for t, (z, f) in enumerate(zip(zs, fs, strict=True), start=1):
        with tg.timestep(t):
            c = (f * c + (1 - f) * z).named("c")
    return tg.square(c).sum()


# -- layers, directions, several cells -------------------------------------------------------------


@network
def encoder_decoder():
    """One cell reads, another writes the sequel; the decoder gets its own last output."""
    encoder, decoder = tg.ElmanCell(I, H, rng=0), tg.ElmanCell(O, H, rng=1)
    (V,) = parameters(V=(H, O))
    s, y, loss = tg.zeros((1, H), "s_0"), tg.zeros((1, O), "y_0"), 0.0
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t), tg.scope("encoder"):
            s = encoder.step(x, s)[1]
    for t in range(4, 7):
        with tg.timestep(t), tg.scope("decoder"):
            s = decoder.step(y, s)[1]
            y = (s @ V).named("y")
            loss = loss + error(y, t)
    return loss


@network
def translation_with_attention():
    """The decoder attends to all states of the encoder."""
    U, W, A, Q, W_d, C, V = parameters(
        U=(I, H), W=(H, H), A=(H, H), Q=(H, H), W_d=(H, H), C=(H, H), V=(H, O)
    )
    s, read, loss = tg.zeros((1, H), "s_0"), [], 0.0
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t), tg.scope("encoder"):
            s = tg.tanh(x @ U + s @ W).named("s")
            read.append(s)
    memory = tg.concatenate(read).named("memory")
    keys = memory @ A
    for t in range(4, 7):
        with tg.timestep(t), tg.scope("decoder"):
            context = tg.softmax(s @ Q @ keys.T, axis=-1) @ memory
            s = tg.tanh(s @ W_d + context @ C).named("s")
            loss = loss + error(s @ V, t)
    return loss


@network
def clockwork():
    """The slow state changes at every second step only."""
    U, W, U_slow, W_slow, R, V = parameters(
        U=(I, H), W=(H, H), U_slow=(I, 2), W_slow=(2, 2), R=(2, H), V=(H, O)
    )
    s, slow, loss = tg.zeros((1, H), "s_0"), tg.zeros((1, 2), "m_0"), 0.0
    for t, x in enumerate(inputs(6), start=1):
        with tg.timestep(t):
            if t % 2 == 0:
                slow = tg.tanh(x @ U_slow + slow @ W_slow).named("m")
            s = tg.tanh(x @ U + s @ W + slow @ R).named("s")
            loss = loss + error(s @ V, t)
    return loss


@network
def residual_stack():
    """Three Elman layers with a way around each."""
    cells = [tg.ElmanCell(H, H, rng=k) for k in range(3)]
    states = [cell.initial_state(1) for cell in cells]
    (V,) = parameters(V=(H, O))
    loss = 0.0
    for t, x in enumerate(inputs(3, H), start=1):
        with tg.timestep(t):
            below = tg.tensor(x, "x")
            for k, cell in enumerate(cells):
                out, states[k] = cell.step(below, states[k])
                below = below + out
            loss = loss + error(below @ V, t)
    return loss


@network
def three_lstms():
    """Three LSTMs, one on the other: ten parameters."""
    cells = [tg.LSTMCell(I if k == 0 else H, H, rng=k) for k in range(3)]
    states = [cell.initial_state(1) for cell in cells]
    (V,) = parameters(V=(H, O))
    loss = 0.0
    for t, h in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            for k, cell in enumerate(cells):
                h, states[k] = cell.step(h, states[k])
            loss = loss + error(h @ V, t)
    return loss


@network
def one_cell_for_two_layers():
    """Both layers use the same weights."""
    cell = tg.ElmanCell(H, H, rng=0)
    s, r, loss = cell.initial_state(1), tg.zeros((1, H), "r_0"), 0.0
    for t, x in enumerate(inputs(3, H), start=1):
        with tg.timestep(t):
            s = cell.step(x, s)[1]
            r = cell.step(s, r)[1].named("r")
            loss = loss + tg.square(r).sum()
    return loss


@network
def bidirectional_gru():
    """Two GRUs in opposite directions, read together at every step."""
    xs, (V,) = inputs(3), parameters(V=(2 * H, O))
    right, left = tg.GRUCell(I, H, rng=0), tg.GRUCell(I, H, rng=1)
    h, g, forwards, backwards, loss = right.initial_state(1), tg.zeros((1, H), "g_4"), [], {}, 0.0
    for t in (1, 2, 3):
        with tg.timestep(t):
            forwards.append(h := right.step(xs[t - 1], h)[1])
    for t in (3, 2, 1):
        with tg.timestep(t):
            g = backwards[t] = left.step(xs[t - 1], g)[1].named("g")
    for t in (1, 2, 3):
        with tg.timestep(t):
            both = tg.concatenate([forwards[t - 1], backwards[t]], axis=1)
            loss = loss + error(both @ V, t)
    return loss


@network
def reverse_only():
    """Time runs backwards."""
    U, W, V = parameters(U=(I, H), W=(H, H), V=(H, O))
    xs, s, loss = inputs(), tg.zeros((1, H), f"s_{T + 1}"), 0.0
    for t in range(T, 0, -1):
        with tg.timestep(t):
            s = tg.tanh(xs[t - 1] @ U + s @ W).named("s")
            loss = loss + error(s @ V, t)
    return loss


@network
def hypernetwork():
    """A small network's state scales the rows of the big one's weights."""
    U, W, U_z, W_z, P = parameters(U=(I, H), W=(H, H), U_z=(I, 2), W_z=(2, 2), P=(2, H))
    s, z = tg.zeros((1, H), "s_0"), tg.zeros((1, 2), "z_0")
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            z = tg.tanh(x @ U_z + z @ W_z).named("z")
            d = (z @ P).named("d")
            s = tg.tanh(x @ U + d * (s @ W)).named("s")
    return tg.square(s).sum()


@network
def fast_weights():
    """The recurrent matrix itself is a state, changed at every step."""
    U, W = parameters(U=(I, H), W=(H, H))
    s, A = tg.zeros((1, H), "s_0"), tg.zeros((H, H), "A_0")
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W + s @ A).named("s")
            A = (0.9 * A + 0.5 * (s.T @ s)).named("A")
    return tg.square(s).sum()


class Memory(tg.Cell):
    """Writes values under keys, reads them back by a query: linear attention as a recurrence."""

    def __init__(self):
        self.K, self.Q, self.V = parameters(K=(I, H), Q=(I, H), V=(I, 2))

    def initial_state(self, batch_size):
        memory = tg.zeros((batch_size, H, 2), "M_0", self.dtype)
        return {"memory": memory, "norm": tg.ones((batch_size, H), "n_0", self.dtype)}

    def step(self, x, state):
        k, q = tg.exp(x @ self.K).named("k"), tg.exp(x @ self.Q).named("q")
        memory = state["memory"] + tg.einsum("bk,bv->bkv", k, x @ self.V)
        norm = state["norm"] + k
        y = tg.einsum("bk,bkv->bv", q, memory) / (q * norm).sum(axis=-1, keepdims=True)
        return y, {"memory": memory.named("M"), "norm": norm.named("n")}


@network
def memory_cell():
    """The state is a dict of a matrix and a vector."""
    run = tg.unroll(Memory(), inputs(3))
    return sum(tg.square(y).sum() for y in run.steps)


class Nested(tg.Cell):
    """A fast and a slow pair, the slow one an average of the fast one's output."""

    def __init__(self):
        self.fast = tg.LSTMCell(I, H, rng=0)
        self.a = tg.Parameter(np.full(H, 0.1))

    def initial_state(self, batch_size):
        return self.fast.initial_state(batch_size), (tg.zeros((batch_size, H), "m_0"),)

    def step(self, x, state):
        inner, (m,) = state
        h, inner = self.fast.step(x, inner)
        m = (m + self.a * (h - m)).named("m")
        return m, (inner, (m,))


@network
def nested_state():
    run = tg.unroll(Nested(), inputs(3).astype(np.float32))
    return tg.square(run.steps[-1]).sum()


# -- no time at all -------------------------------------------------------------------------------


@network
def tree():
    """A tree of four leaves: the same composition at each of three nodes."""
    U, W = parameters(U=(I, H), W=(2 * H, H))
    a, b, c, d = (tg.tanh(x @ U) for x in inputs(4))

    def join(left, right):
        return tg.tanh(tg.concatenate([left, right], axis=1) @ W)

    return tg.square(join(join(a, b), join(c, d))).sum()


@network
def siamese():
    """Twins: one network on two inputs."""
    U, W = parameters(U=(I, H), W=(H, O))
    a, b = (tg.tanh(tg.tanh(tg.tensor(x, "x") @ U) @ W) for x in inputs(2))
    return tg.square(a - b).sum()


@network
def runge_kutta():
    """An equation ds/dt = tanh(x U + s W) - s, four evaluations a step."""
    U, W = parameters(U=(I, H), W=(H, H))
    s, h = tg.zeros((1, H), "s_0"), 0.1
    for t, x in enumerate(inputs(2), start=1):
        with tg.timestep(t):
            k1 = tg.tanh(x @ U + s @ W) - s
            k2 = tg.tanh(x @ U + (s + h / 2 * k1) @ W) - (s + h / 2 * k1)
            k3 = tg.tanh(x @ U + (s + h / 2 * k2) @ W) - (s + h / 2 * k2)
            k4 = tg.tanh(x @ U + (s + h * k3) @ W) - (s + h * k3)
            s = (s + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)).named("s")
    return tg.square(s).sum()


@network
def several_heads():
    """Four readouts a step, all losses in one sum."""
    U, W, *V = parameters(U=(I, H), W=(H, H), **{f"V_{k}": (H, O) for k in range(1, 5)})
    s, loss = tg.zeros((1, H), "s_0"), 0.0
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W).named("s")
            for head in V:
                loss = loss + tg.square(s @ head).sum()
    return loss


# -- around the recurrence -------------------------------------------------------------------------


@network
def layer_normed():
    U, W, gain, bias = parameters(U=(I, H), W=(H, H), gain=(H,), bias=(H,))
    s = tg.zeros((1, H), "s_0")
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = tg.tanh(tg.layer_norm(x @ U + s @ W, gain, bias)).named("s")
    return tg.square(s).sum()


@network
def shared_dropout():
    """The same mask at every step (Gal & Ghahramani 2016)."""
    U, W, V = parameters(U=(I, H), W=(H, H), V=(H, O))
    mask = np.random.default_rng(3).binomial(1, 0.5, (1, H)) / 0.5
    s, loss = tg.zeros((1, H), "s_0"), 0.0
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + (mask * s) @ W).named("s")
            loss = loss + error(s @ V, t)
    return loss


@network
def characters():
    """An embedding is looked up by number, and read out with the same matrix."""
    E, W, b = parameters(E=(5, H), W=(H, H), b=(H,))
    text, s, loss = [0, 3, 1, 4, 2], tg.zeros((1, H), "s_0"), 0.0
    for t in range(1, len(text)):
        with tg.timestep(t):
            s = tg.tanh(E[text[t - 1]] + s @ W + b).named("s")
            loss = loss + tg.cross_entropy(s @ E.T, np.array([text[t]]), reduction="sum")
    return loss


@network
def tied_transpose():
    """The way out is the way in, transposed once before the loop."""
    U, W = parameters(U=(I, H), W=(H, H))
    V = U.T
    s, loss = tg.zeros((1, H), "s_0"), 0.0
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W).named("s")
            loss = loss + tg.mse(s @ V, x)
    return loss


@network
def learnt_first_state():
    """s_0 is a parameter."""
    U, W, s_0, V = parameters(U=(I, H), W=(H, H), s_0=(1, H), V=(H, O))
    s, loss = s_0, 0.0
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W).named("s")
            loss = loss + error(s @ V, t)
    return loss


@network
def state_starts_as_an_array():
    """Nothing is named, and the first state is a plain array."""
    U, W = parameters(U=(I, H), W=(H, H))
    s = np.zeros((1, H))
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W)
    return (s * s).sum()


@network
def indexed_inputs():
    """The sequence is one tensor (T, B, I)."""
    U, W = parameters(U=(I, H), W=(H, H))
    X, s = tg.tensor(inputs(), "X"), tg.zeros((1, H), "s_0")
    for t in range(1, T + 1):
        with tg.timestep(t):
            s = tg.tanh(X[t - 1] @ U + s @ W).named("s")
    return tg.square(s).sum()


@network
def inputs_projected_at_once():
    """X U is computed outside of time, and a step reads its row."""
    U, W, V = parameters(U=(I, H), W=(H, H), V=(H, O))
    a = (inputs() @ U).named("a")
    s, loss = tg.zeros((1, H), "s_0"), 0.0
    for t in range(1, T + 1):
        with tg.timestep(t):
            s = tg.tanh(a[t - 1] + s @ W).named("s")
            loss = loss + error(s @ V, t)
    return loss


@network
def two_inputs():
    """A signal and a context that stays the same."""
    U, K, W, V = parameters(U=(I, H), K=(2, H), W=(H, H), V=(H, O))
    context, s, loss = tg.tensor([[1.0, -1.0]], "context"), tg.zeros((1, H), "s_0"), 0.0
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = tg.tanh(tg.tensor(x, "x") @ U + context @ K + s @ W).named("s")
            loss = loss + error(s @ V, t)
    return loss


# -- losses ----------------------------------------------------------------------------------------


def elman(T=T):
    """Yields (t, s_t) of an Elman network."""
    U, W = parameters(U=(I, H), W=(H, H))
    s = tg.zeros((1, H), "s_0")
    for t, x in enumerate(inputs(T), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W).named("s")
            yield t, s


def reading():
    return tg.Parameter(np.random.default_rng(4).normal(size=(H, O)), "V")


@network
def one_step():
    V = reading()
    ((t, s),) = elman(1)
    return error(s @ V, t)


@network
def two_steps():
    V, loss = reading(), 0.0
    for t, s in elman(2):
        loss = loss + error(s @ V, t)
    return loss


@network
def loss_at_the_end():
    V = reading()
    (*_, (t, s)) = elman()
    return error(s @ V, t)


@network
def loss_begins_with_the_first():
    """loss = L_1; then loss = loss + L_t."""
    V, loss = reading(), None
    for t, s in elman():
        with tg.timestep(t):
            here = error(s @ V, t).named("L")
            loss = here if loss is None else loss + here
    return loss


@network
def mean_of_a_list():
    """The losses are collected, and joined after the loop."""
    V, losses = reading(), []
    for t, s in elman():
        with tg.timestep(t):
            losses.append(error(s @ V, t).named("L"))
    return tg.stack(losses).mean().named("loss")


@network
def sum_of_a_list():
    """The losses are collected, and added up after the loop."""
    V, losses = reading(), []
    for t, s in elman():
        with tg.timestep(t):
            losses.append(error(s @ V, t))
    return sum(losses)


@network
def outputs_joined():
    """One loss of all outputs, joined after the loop."""
    V, outputs = reading(), []
    for t, s in elman():
        with tg.timestep(t):
            outputs.append(s @ V)
    return tg.mse(tg.stack(outputs), np.zeros((T, 1, O)))


@network
def pooled():
    """The largest of each unit over time is classified."""
    V = reading()
    states = tg.stack([s for _, s in elman()])
    return error(states.max(axis=0) @ V, 0)


@network
def auxiliary_loss():
    """Classify, and predict the next input on the side."""
    V, P = parameters(V=(H, O), P=(H, I))
    xs, loss, side = inputs(T + 1), 0.0, 0.0
    for t, s in elman():
        with tg.timestep(t):
            loss = loss + error(s @ V, t)
            side = side + tg.mse(s @ P, xs[t])
    return loss + 0.1 * side


@network
def weight_decay():
    """The weights are used once more after the loop."""
    U, W, V = parameters(U=(I, H), W=(H, H), V=(H, O))
    s, loss = tg.zeros((1, H), "s_0"), 0.0
    for t, x in enumerate(inputs(), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W).named("s")
            loss = loss + error(s @ V, t)
    return loss / T + 0.01 * (tg.square(W).sum() + tg.square(U).sum())


@network
def truncated():
    """The state is detached at every second step."""
    U, W, V = parameters(U=(I, H), W=(H, H), V=(H, O))
    s, loss = tg.zeros((1, H), "s_0"), 0.0
    for t, x in enumerate(inputs(6), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W).named("s")
            loss = loss + error(s @ V, t)
            if t % 2 == 0:
                s = s.detach()
    return loss


# -- how time is marked, and names -----------------------------------------------------------------


@network
def unmarked():
    """A plain loop: nothing says where a step begins."""
    U, W, b, V = parameters(U=(I, H), W=(H, H), b=(H,), V=(H, O))
    s, loss = tg.zeros((1, H), "s_0"), 0.0
    for t, x in enumerate(inputs(), start=1):
        s = tg.tanh(x @ U + s @ W + b)
        loss = loss + error(s @ V, t)
    return loss


@network
def unmarked_lstm():
    cell = tg.LSTMCell(I, H, rng=0)
    state = cell.initial_state(1)
    for x in inputs(3):
        h, state = cell.step(x, state)
    return tg.square(h).sum()


@network
def every_tenth():
    """Steps are numbered 10, 20, 30."""
    U, W, V = parameters(U=(I, H), W=(H, H), V=(H, O))
    s, loss = tg.zeros((1, H), "s_0"), 0.0
    for t, x in zip((10, 20, 30), inputs(3), strict=True):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W).named("s")
            loss = loss + error(s @ V, t)
    return loss


@network
def counted_from_zero():
    V, loss = reading(), 0.0
    U, W = parameters(U=(I, H), W=(H, H))
    s = tg.zeros((1, H), "s_init")
    for t, x in enumerate(inputs()):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W).named("s")
            loss = loss + error(s @ V, t)
    return loss


@network
def long_sequence():
    """Thirty steps: most are left out, and each of those shown also reads the state before last."""
    U, W, R, V = parameters(U=(I, H), W=(H, H), R=(H, H), V=(H, O))
    before, s, loss = tg.zeros((1, H), "s_-1"), tg.zeros((1, H), "s_0"), 0.0
    for t, x in enumerate(inputs(30), start=1):
        with tg.timestep(t):
            before, s = s, tg.tanh(x @ U + s @ W + before @ R).named("s")
            loss = loss + error(s @ V, t)
    return loss


@network
def odd_names():
    """Forty characters, quotes, braces, `<` and a face in the names of parameters and states."""
    names = [
        'input "weights" {of the first layer} <U>',
        "recurrent & 'hidden' \\ weights | W \N{GRINNING FACE} ....",
        "encoder.layers.0.readout_projection_weight",
    ]
    rng = np.random.default_rng(0)
    shapes = [(I, H), (H, H), (H, O)]
    U, W, V = (tg.Parameter(rng.normal(size=s), n) for s, n in zip(shapes, names, strict=True))
    s, loss = tg.zeros((1, H), "hidden <0>"), 0.0
    for t, x in enumerate(inputs(3), start=1):
        with tg.timestep(t):
            s = tg.tanh(x @ U + s @ W).named("hidden <state>")
            loss = loss + error(s @ V, t)
    return loss
