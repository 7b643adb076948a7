"""The workloads: cells of certain sizes, in this library, in PyTorch and in JAX.

A training step is: forward, backward, plain gradient descent; cross entropy summed over all steps
of o_t = s_t V + c. All libraries get the same weights and data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg


class Workload(NamedTuple):
    """A cell by its name in `CELLS`, and sizes."""

    cell: str
    T: int
    B: int
    I: int  # noqa: E741
    H: int
    O: int  # noqa: E741


WORKLOADS = {
    "elman_char": Workload("elman", 50, 32, 64, 128, 64),
    "elman_small": Workload("elman", 1000, 1, 8, 32, 8),
    "elman_big": Workload("elman", 100, 64, 128, 512, 128),
    "lstm_mid": Workload("lstm", 100, 32, 64, 256, 64),
    "lstm_small": Workload("lstm", 100, 16, 16, 64, 16),
    "gru_mid": Workload("gru", 100, 32, 64, 256, 64),
    "mgu_small": Workload("mgu", 100, 16, 16, 64, 16),
    "cifg_mid": Workload("cifg", 100, 32, 64, 256, 64),
    "pair_small": Workload("pair", 100, 16, 16, 64, 16),
}
"""The last three are cells of a user's own; for the last two nothing was ever tuned."""


class Own(tg.Cell):
    """A user's own cell: a few matrices, drawn as PyTorch draws them.

    names   of (U, W, b) of its gates
    """

    names: tuple[str, ...]

    def __init__(self, I: int, H: int, *, rng: np.random.Generator) -> None:  # noqa: E741
        def draw(*shape: int) -> tg.Parameter:
            return tg.Parameter(rng.uniform(-(H**-0.5), H**-0.5, shape).astype(np.float32))

        for name in self.names:
            setattr(self, f"U{name}", draw(I, H))
            setattr(self, f"W{name}", draw(H, H))
            setattr(self, f"b{name}", draw(H))
        self.hidden_size = H


class MGU(Own):
    """The minimal gated unit (Zhou et al. 2016)."""

    names = ("", "_f")

    def step(self, x: Any, s: Any, /) -> Any:
        """One step."""
        p: Any = self
        f = tg.sigmoid(x @ p.U_f + s @ p.W_f + p.b_f)
        n = tg.tanh(x @ p.U + (f * s) @ p.W + p.b)
        s = s + f * (n - s)
        return s, s


class TwoStates(Own):
    """States of two leaves."""

    def initial_state(self, batch_size: int) -> Any:
        """Zeros."""
        return tuple(
            [tg.zeros((batch_size, self.hidden_size), name, self.dtype) for name in ("h_0", "c_0")]
        )


class CIFG(TwoStates):
    """An LSTM whose input gate is 1 - f (Greff et al. 2017)."""

    names = ("_f", "_g", "_o")

    def step(self, x: Any, state: Any, /) -> Any:
        """One step."""
        h, c = state
        p: Any = self
        f = tg.sigmoid(x @ p.U_f + h @ p.W_f + p.b_f)
        g = tg.tanh(x @ p.U_g + h @ p.W_g + p.b_g)
        o = tg.sigmoid(x @ p.U_o + h @ p.W_o + p.b_o)
        c = f * c + (1 - f) * g
        h = o * tg.tanh(c)
        return h, (h, c)


class Pair(TwoStates):
    """A fast state and a slow one, which scales it."""

    names = ("_a", "_m")

    def step(self, x: Any, state: Any, /) -> Any:
        """One step."""
        h, m = state
        p: Any = self
        a = tg.tanh(x @ p.U_a + h @ p.W_a + p.b_a)
        m = 0.9 * m + 0.1 * tg.relu(x @ p.U_m + m @ p.W_m + p.b_m)
        h = a / (1 + tg.abs(m)) + 0.1 * h
        return h, (h, m)


CELLS: dict[str, Any] = {
    "elman": tg.ElmanCell, "lstm": tg.LSTMCell, "gru": tg.GRUCell, "mgu": MGU, "cifg": CIFG,
    "pair": Pair,
}  # fmt: skip
TWO_STATES = {"lstm", "cifg", "pair"}
BUILT_IN = {"elman": "RNN", "lstm": "LSTM", "gru": "GRU"}
"""PyTorch's layers."""


class Instance(NamedTuple):
    """A workload with its numbers."""

    xs: Any
    targets: Any
    cell: Any
    V: tg.Parameter
    c: tg.Parameter
    lr: float


def instance(w: Workload, dtype: Any = np.float32) -> Instance:
    """The same numbers in every process."""
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(w.T, w.B, w.I)).astype(np.float32)
    targets = rng.integers(0, w.O, (w.T, w.B))
    cell = CELLS[w.cell](w.I, w.H, rng=rng)
    drawn = rng.uniform(-(w.H**-0.5), w.H**-0.5, (w.H, w.O)).astype(np.float32)
    cell = cell.with_parameters({k: p.numpy().astype(dtype) for k, p in cell.parameters().items()})
    V, c = tg.Parameter(drawn.astype(dtype), "V"), tg.Parameter(np.zeros(w.O, dtype), "c")
    return Instance(xs.astype(dtype), targets, cell, V, c, 0.1 / (w.T * w.B))


def torch_steps(torch: Any) -> dict[str, Callable[..., Any]]:
    """The same steps, as one writes them in PyTorch."""

    def elman(p: Any, x: Any, s: Any) -> Any:
        s = torch.tanh(x @ p["U"] + s @ p["W"] + p["b"])
        return s, s

    def lstm(p: Any, x: Any, state: Any) -> Any:
        h, c = state
        i, f, g, o = torch.chunk(x @ p["U"] + h @ p["W"] + p["b"], 4, -1)
        i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
        c = f * c + i * g
        h = o * torch.tanh(c)
        return h, (h, c)

    def gru(p: Any, x: Any, h: Any) -> Any:
        size = h.shape[-1]
        a_rz, a_n = torch.split(x @ p["U"] + p["b"], [2 * size, size], -1)
        u_rz, u_n = torch.split(h @ p["W"] + p["d"], [2 * size, size], -1)
        r, z = torch.chunk(torch.sigmoid(a_rz + u_rz), 2, -1)
        n = torch.tanh(a_n + r * u_n)
        h = n + z * (h - n)
        return h, h

    def mgu(p: Any, x: Any, s: Any) -> Any:
        f = torch.sigmoid(x @ p["U_f"] + s @ p["W_f"] + p["b_f"])
        n = torch.tanh(x @ p["U"] + (f * s) @ p["W"] + p["b"])
        s = s + f * (n - s)
        return s, s

    def cifg(p: Any, x: Any, state: Any) -> Any:
        h, c = state
        f = torch.sigmoid(x @ p["U_f"] + h @ p["W_f"] + p["b_f"])
        g = torch.tanh(x @ p["U_g"] + h @ p["W_g"] + p["b_g"])
        o = torch.sigmoid(x @ p["U_o"] + h @ p["W_o"] + p["b_o"])
        c = f * c + (1 - f) * g
        h = o * torch.tanh(c)
        return h, (h, c)

    def pair(p: Any, x: Any, state: Any) -> Any:
        h, m = state
        a = torch.tanh(x @ p["U_a"] + h @ p["W_a"] + p["b_a"])
        m = 0.9 * m + 0.1 * torch.relu(x @ p["U_m"] + m @ p["W_m"] + p["b_m"])
        h = a / (1 + torch.abs(m)) + 0.1 * h
        return h, (h, m)

    return {"elman": elman, "lstm": lstm, "gru": gru, "mgu": mgu, "cifg": cifg, "pair": pair}


def jax_steps(jnp: Any, sigmoid: Any) -> dict[str, Any]:
    """Per cell: the names of the matrices of x, and the step from its products with them."""

    def elman(q: Any, a: Any, s: Any) -> Any:
        s = jnp.tanh(a[0] + s @ q["W"] + q["b"])
        return s, s

    def lstm(q: Any, a: Any, state: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(a[0] + h @ q["W"] + q["b"], 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(q: Any, a: Any, h: Any) -> Any:
        size = h.shape[-1]
        own, u = a[0] + q["b"], h @ q["W"] + q["d"]
        r, z = jnp.split(sigmoid(own[:, : 2 * size] + u[:, : 2 * size]), 2, axis=-1)
        n = jnp.tanh(own[:, 2 * size :] + r * u[:, 2 * size :])
        h = n + z * (h - n)
        return h, h

    def mgu(q: Any, a: Any, s: Any) -> Any:
        f = sigmoid(a[0] + s @ q["W_f"] + q["b_f"])
        n = jnp.tanh(a[1] + (f * s) @ q["W"] + q["b"])
        s = s + f * (n - s)
        return s, s

    def cifg(q: Any, a: Any, state: Any) -> Any:
        h, c = state
        f = sigmoid(a[0] + h @ q["W_f"] + q["b_f"])
        g = jnp.tanh(a[1] + h @ q["W_g"] + q["b_g"])
        o = sigmoid(a[2] + h @ q["W_o"] + q["b_o"])
        c = f * c + (1 - f) * g
        h = o * jnp.tanh(c)
        return (h, c), h

    def pair(q: Any, a: Any, state: Any) -> Any:
        h, m = state
        fast = jnp.tanh(a[0] + h @ q["W_a"] + q["b_a"])
        m = 0.9 * m + 0.1 * jnp.maximum(a[1] + m @ q["W_m"] + q["b_m"], 0)
        h = fast / (1 + jnp.abs(m)) + 0.1 * h
        return (h, m), h

    return {"elman": (("U",), elman), "lstm": (("U",), lstm), "gru": (("U",), gru),
            "mgu": (("U_f", "U"), mgu), "cifg": (("U_f", "U_g", "U_o"), cifg),
            "pair": (("U_a", "U_m"), pair)}  # fmt: skip
