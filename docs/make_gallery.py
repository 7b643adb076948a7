"""Draw the pictures of docs/gallery.md and README.md: `python docs/make_gallery.py [FOLDER]`."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn, study

PICTURES = Path(__file__).with_name("pictures")
T = 4


def by_hand(T: int = T, cut: int | None = None) -> tg.Tensor:
    """The textbook's network, wired by hand; `cut` detaches the state before that step."""
    rng = np.random.default_rng(0)
    U, W, V = (
        tg.Parameter(rng.normal(0, 0.5, shape), name)
        for name, shape in [("U", (3, 4)), ("W", (4, 4)), ("V", (4, 2))]
    )
    s, loss = tg.zeros((1, 4), name="s_0"), 0.0
    for t in range(1, T + 1):
        with tg.timestep(t):
            if t == cut:
                s = s.detach()
            s = tg.tanh(rng.normal(size=(1, 3)) @ U + s @ W).named("s")
            loss = loss + tg.cross_entropy(s @ V, np.array([t % 2]), reduction="sum")
    return loss


def unrolled(cell: tg.Cell, T: int = 3) -> tg.Tensor:
    """A cell over random inputs; the loss is the squared last output."""
    with tg.scope(type(cell).__name__):
        run = tg.unroll(cell, np.random.default_rng(1).normal(size=(T, 1, 3)))
    return tg.square(run.steps[-1]).sum()


def linear(rho: float, T: int = 8) -> tg.Tensor:
    """s_t = x_t U + s_{t-1} W with W = rho times an orthogonal matrix, one loss at the end."""
    rng = np.random.default_rng(0)
    cell = tg.ElmanCell(3, 4, activation="identity", rng=0, dtype=np.float64)
    cell.W.assign(rho * np.linalg.qr(rng.normal(size=(4, 4)))[0])
    run = tg.unroll(cell, rng.normal(size=(T, 1, 3)))
    return run.state.sum()


def skipping(T: int = 5, first: int = 3) -> tg.Tensor:
    """From step `first` on, the state also reads the state before last, by a matrix S."""
    rng = np.random.default_rng(0)
    U, W, S = (
        tg.Parameter(rng.normal(0, 0.5, shape), name)
        for name, shape in [("U", (3, 4)), ("W", (4, 4)), ("S", (4, 4))]
    )
    states = [tg.zeros((1, 4), name="s_0")]
    for t in range(1, T + 1):
        with tg.timestep(t):
            a = rng.normal(size=(1, 3)) @ U + states[-1] @ W
            if t >= first:
                a = a + states[t - 2] @ S
            states.append(tg.tanh(a).named("s"))
    return tg.square(states[-1]).sum()


def attending(T: int = 3) -> tg.Tensor:
    """An encoder, and a decoder that attends to all of its states (Bahdanau et al. 2015)."""
    rng = np.random.default_rng(0)
    U, W, A, W_d, C = (
        tg.Parameter(rng.normal(0, 0.5, (4, 4)), name) for name in ("U", "W", "A", "W_d", "C")
    )
    s, read, loss = tg.zeros((1, 4), "s_0"), [], 0.0
    for t in range(1, T + 1):
        with tg.timestep(t):
            s = tg.tanh(rng.normal(size=(1, 4)) @ U + s @ W).named("s")
            read.append(s)
    memory = tg.concatenate(read).named("M")
    for t in range(T + 1, 2 * T + 1):
        with tg.timestep(t):
            weights = tg.softmax(s @ A @ memory.T).named("a")
            s = tg.tanh(s @ W_d + weights @ memory @ C).named("s")
            loss = loss + tg.square(s).sum()
    return loss


def stacked(T: int = 3) -> tg.Tensor:
    """Two LSTMs, the second on the outputs of the first."""
    rng = np.random.default_rng(0)
    lower, upper = tg.LSTMCell(3, 4, rng=0), tg.LSTMCell(4, 4, rng=1)
    V = tg.Parameter(rng.normal(size=(4, 2)), "V")
    below, above, loss = lower.initial_state(1), upper.initial_state(1), 0.0
    for t in range(1, T + 1):
        with tg.timestep(t):
            h, below = lower.step(rng.normal(size=(1, 3)), below)
            h, above = upper.step(h, above)
            loss = loss + tg.cross_entropy(h @ V, np.array([0]), reduction="sum")
    return loss


def bidirectional(T: int = 3) -> tg.Tensor:
    """One network reads forwards, another backwards; both are read out at every step."""
    rng = np.random.default_rng(0)
    forwards, backwards = tg.ElmanCell(3, 4, rng=0), tg.ElmanCell(3, 4, rng=1)
    V, V_r = (tg.Parameter(rng.normal(size=(4, 2)), name) for name in ("V", "V_r"))
    xs = [tg.tensor(rng.normal(size=(1, 3)), "x", np.float32) for _ in range(T)]
    s, r = tg.zeros((1, 4), "s_0"), tg.zeros((1, 4), f"r_{T + 1}")
    states, back = [s], {}
    for t in range(1, T + 1):
        with tg.timestep(t):
            states.append(forwards.step(xs[t - 1], states[-1])[1])
    for t in range(T, 0, -1):
        with tg.timestep(t):
            r = back[t] = backwards.step(xs[t - 1], r)[1].named("r")
    loss = 0.0
    for t in range(1, T + 1):
        with tg.timestep(t):
            o = states[t] @ V + back[t] @ V_r
            loss = loss + tg.cross_entropy(o, np.array([0]), reduction="sum")
    return loss


def tree() -> tg.Tensor:
    """A tree of four leaves, with one composition at each of its nodes."""
    rng = np.random.default_rng(0)
    U = tg.Parameter(rng.normal(0, 0.5, (3, 4)), "U")
    W = tg.Parameter(rng.normal(0, 0.5, (8, 4)), "W")
    a, b, c, d = (tg.tanh(rng.normal(size=(1, 3)) @ U) for _ in range(4))

    def join(left: tg.Tensor, right: tg.Tensor) -> tg.Tensor:
        return tg.tanh(tg.concatenate([left, right], axis=1) @ W)

    return tg.square(join(join(a, b), join(c, d))).sum()


def runge_kutta(T: int = 2, h: float = 0.1) -> tg.Tensor:
    """ds/dt = tanh(x U + s W) - s, with four evaluations a step."""
    rng = np.random.default_rng(0)
    U = tg.Parameter(rng.normal(0, 0.5, (3, 4)), "U")
    W = tg.Parameter(rng.normal(0, 0.5, (4, 4)), "W")
    s = tg.zeros((1, 4), "s_0")
    for t in range(1, T + 1):
        with tg.timestep(t):
            a = (rng.normal(size=(1, 3)) @ U).named("a")
            k1 = (tg.tanh(a + s @ W) - s).named("k_1")
            k2 = (tg.tanh(a + (s + h / 2 * k1) @ W) - (s + h / 2 * k1)).named("k_2")
            k3 = (tg.tanh(a + (s + h / 2 * k2) @ W) - (s + h / 2 * k2)).named("k_3")
            k4 = (tg.tanh(a + (s + h * k3) @ W) - (s + h * k3)).named("k_4")
            s = (s + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)).named("s")
    return tg.square(s).sum()


class Leaky(tg.Cell):
    """s_t = (1 - alpha) s_{t-1} + alpha tanh(x_t U + s_{t-1} W), with a learnt alpha per unit."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        rng = np.random.default_rng(0)
        self.U = tg.Parameter(rng.normal(0, 0.5, (input_size, hidden_size)))
        self.W = tg.Parameter(rng.normal(0, 0.5, (hidden_size, hidden_size)))
        self.alpha = tg.Parameter(np.full(hidden_size, 0.5))

    def step(self, x, s):
        """(x_t, s_{t-1}) -> (s_t, s_t)."""
        s = ((1 - self.alpha) * s + self.alpha * tg.tanh(x @ self.U + s @ self.W)).named("s")
        return s, s


def encoder_decoder() -> tg.Tensor:
    """One cell reads two steps, and goes on from there on two others."""
    cell, xs = tg.GRUCell(2, 3, rng=1), np.random.default_rng(0).normal(size=(4, 1, 2))
    with tg.scope("encoder"):
        read = tg.unroll(cell, xs[:2])
    with tg.scope("decoder"):
        written = tg.unroll(cell, xs[2:], read.state)
    return written.outputs.sum().named("L")


class Leak(tg.Cell):
    """A GRU, and a leaky average of its states: m_t = m_{t-1} + a (h_t - m_{t-1})."""

    def __init__(self) -> None:
        self.inner, self.a = tg.GRUCell(3, 4, rng=0), tg.Parameter(np.full(4, 0.1))

    def initial_state(self, batch_size):
        """Of the GRU, and of the average."""
        return self.inner.initial_state(batch_size), tg.zeros((batch_size, 4), "m_0")

    def step(self, x, state):
        """(x_t, (h_{t-1}, m_{t-1})) -> (m_t, (h_t, m_t))."""
        inner, m = state
        with tg.scope("GRU"):
            h, inner = self.inner.step(x, inner)
        m = (m + self.a * (h - m)).named("m")
        return m, (inner, m)


def layers(T: int = 2) -> tg.Tensor:
    """`nn.Stacked`: two LSTMs, whose scopes are "layer 1" and "layer 2"."""
    stack = nn.Stacked(tg.LSTMCell(3, 4, rng=0), tg.LSTMCell(4, 4, rng=1))
    return tg.square(tg.unroll(stack, np.ones((T, 1, 3), np.float32)).steps[-1]).sum()


def deep(T: int = 4, layers: int = 6) -> tg.Tensor:
    """Six equal layers, and a readout in every step."""
    rng = np.random.default_rng(0)
    V, loss = tg.Parameter(rng.normal(size=(4, 2)), "V"), 0.0
    stack = nn.Stacked(*(tg.LSTMCell(4 if k else 3, 4, rng=k, dtype="d") for k in range(layers)))
    for t, output in enumerate(tg.unroll(stack, rng.normal(size=(T, 1, 3))).steps, start=1):
        with tg.timestep(t):
            loss = loss + tg.square(output @ V).sum()
    return loss


def normed(T: int = 3) -> tg.Tensor:
    """s_t = tanh(layer_norm(x_t U + s_{t-1} W))."""
    rng = np.random.default_rng(0)
    U, W = (tg.Parameter(rng.normal(0, 0.5, (n, 4)), name) for n, name in ((3, "U"), (4, "W")))
    gain, bias = tg.Parameter(np.ones(4), "g"), tg.Parameter(np.zeros(4), "b")
    s = tg.zeros((1, 4), "s_0")
    for t in range(1, T + 1):
        with tg.timestep(t):
            a = rng.normal(size=(1, 3)) @ U + s @ W
            s = tg.tanh(tg.layer_norm(a, gain, bias)).named("s")
    return tg.square(s).sum()


def directions() -> tg.Tensor:
    """`nn.Bidirectional` over three steps."""
    both = nn.Bidirectional(tg.ElmanCell(2, 3, rng=0), tg.ElmanCell(2, 3, rng=1))
    run = tg.unroll(both, np.random.default_rng(0).normal(size=(3, 1, 2)))
    return run.outputs.sum().named("L")


def truncated(T: int = 6) -> list[tg.Tensor]:
    """Windows of two steps; the state is carried over, and no gradient is."""
    rng = np.random.default_rng(0)
    cell = tg.ElmanCell(2, 3, rng=rng)
    data = rng.normal(size=(T, 1, 2)), rng.normal(size=(T, 1, 3))
    windows = tg.truncated(cell, data, lambda o, y: tg.square(o - y).sum().named("L"), k1=2)
    return [window.loss for window in windows]


def truncation() -> Any:
    """The gradient of a network that repeats its input of eight steps ago, cut off after k2."""
    rng = np.random.default_rng(0)
    cell = tg.ElmanCell(1, 16, rng=1)
    cell.W.assign(cell.W.numpy() * 1.6)
    xs, V = rng.normal(size=(64, 8, 1)), rng.normal(size=(16, 1))
    ys = np.concatenate([np.zeros((8, 8, 1)), xs[:-8]])
    found = study.truncation(
        cell, (xs, ys), lambda o, y: tg.square(o @ V - y).sum(), k1=4, k2=[1, 2, 4, 8, 16, 32, 64]
    )
    return study.plots.truncation(found, 8)


def main(folder: Path) -> None:
    """Draw them all."""
    loss = by_hand()
    pictures = {
        "elman": tg.draw(loss, title="An Elman network, unrolled over four steps"),
        "elman_gradient": tg.draw(
            loss, edges="gradient", title="The same: line width is the norm of the gradient"
        ),
        "elman_backward": tg.draw(
            by_hand(3), backward=True, title="The backward pass, above the forward pass"
        ),
        "elman_backward_step": tg.draw(
            by_hand(3), backward=True, level="step", title="Backpropagation through time"
        ),
        "elman_backward_gradient": tg.draw(
            linear(0.8, 6), backward=True, edges="gradient", title="W = 0.8 Q, the backward pass"
        ),
        "elman_backward_rolled": tg.draw(
            linear(0.8, 6),
            backward=True,
            edges="gradient",
            level="rolled",
            title="W = 0.8 Q, rolled up",
        ),
        "elman_dark": tg.draw(loss, edges="gradient", theme="dark"),
        "elman_1000": tg.draw(by_hand(1000), title="A thousand steps"),
        "elman_cut": tg.draw(
            by_hand(cut=3), edges="gradient", title="The state is detached before step 3"
        ),
        "elman_cut_backward": tg.draw(by_hand(cut=3), backward=True),
        "elman_step": tg.draw(loss, level="step", title="One box per step"),
        "lstm": tg.draw(unrolled(tg.LSTMCell(3, 4, rng=0)), title="LSTM"),
        "lstm_step": tg.draw(unrolled(tg.LSTMCell(3, 4, rng=0)), level="step"),
        "lstm_rolled": tg.draw(unrolled(tg.LSTMCell(3, 4, rng=0)), level="rolled"),
        "lstm_backward_step": tg.draw(
            unrolled(tg.LSTMCell(3, 4, rng=0)), backward=True, level="step"
        ),
        "gru": tg.draw(
            unrolled(tg.GRUCell(3, 4, rng=0), 2), title="GRU, reset gate after the product"
        ),
        "stacked": tg.draw(stacked(2), title="Two LSTMs, one on the other"),
        "bidirectional": tg.draw(bidirectional(), title="One network per direction of time"),
        "encoder_decoder": tg.draw(encoder_decoder(), level="step"),
        "directions": tg.draw(directions(), level="step"),
        "nested": tg.draw(unrolled(Leak(), 2), title="A cell in a cell"),
        "nested_step": tg.draw(unrolled(Leak(), 2), level="step"),
        "nested_hidden": tg.draw(unrolled(Leak()), hide="GRU", backward=True),
        "layers": tg.draw(layers(), title="Two layers"),
        "layers_closed": tg.draw(layers(4), scope=0, edges="gradient"),
        "layers_only": tg.draw(layers(), only="layer 2"),
        "folded": tg.draw(deep(2), fold=True, level="step", title="Six layers, drawn once"),
        "folded_rolled": tg.draw(deep(), fold=True, level="rolled", edges="gradient"),
        "layer_norm": tg.draw(normed()),
        "downwards": tg.draw(
            unrolled(tg.LSTMCell(3, 4, rng=0)), direction="TB", title="Time runs downwards"
        ),
        "skipping": tg.draw(skipping(), title="A skip connection that begins at step 3"),
        "attending": tg.draw(attending(), title="A decoder that attends to an encoder"),
        "truncated": tg.draw(
            *truncated(),
            level="step",
            edges="gradient",
            title="Truncated BPTT: windows of two steps, and the gradient that each cut stops",
        ),
        "tree": tg.draw(tree(), title="A tree has no time"),
        "runge_kutta": tg.draw(
            runge_kutta(), level="step", backward=True, title="Runge and Kutta's method as a cell"
        ),
        "lstm_page": tg.draw(
            unrolled(tg.LSTMCell(3, 4, rng=0), 12), width="20cm", title="Twelve steps on 20 cm"
        ),
        "own_cell": tg.draw(unrolled(Leaky(3, 4)), title="A cell of one's own: leaky units"),
        "vanishing": tg.draw(
            linear(0.8), edges="gradient", title="W = 0.8 Q: the gradient vanishes"
        ),
        "exploding": tg.draw(
            linear(1.2), edges="gradient", title="W = 1.2 Q: the gradient explodes"
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    pictures["elman"].save(folder / "elman_graphviz.svg", renderer="graphviz")
    truncation().savefig(folder / "truncation.png")
    for name, picture in pictures.items():
        print(picture.save(folder / f"{name}.svg"), picture.stats, flush=True)
        if folder != PICTURES:  # to look at, not to keep
            picture.save(folder / f"{name}.png")


def readme(folder: Path) -> None:
    """Run the README's first program, which saves bptt.svg where it is run."""
    text = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
    program = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert program is not None
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        exec(program[1], {})  # noqa: S102 - our own


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=PICTURES)
    arguments = parser.parse_args()
    main(arguments.folder)
    readme(arguments.folder)
