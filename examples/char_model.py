"""A character-level recurrent network, from text to text: cell, truncated BPTT, sampling.

Run it with `python examples/char_model.py`; it takes some seconds.
"""

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.data import Vocabulary, standard_library_text, windows

H, T, B = 64, 25, 16
rng = np.random.default_rng(0)


class CharModel(tg.Cell):
    """s_t = tanh(U[x_t] + s_{t-1} W + b),  o_t = s_t V + c."""

    def __init__(self, size: int) -> None:
        self.U = tg.Parameter(rng.normal(0, 0.1, (size, H)).astype(np.float32))
        self.W = tg.Parameter(rng.normal(0, 0.1, (H, H)).astype(np.float32))
        self.b = tg.Parameter(np.zeros(H, np.float32))
        self.V = tg.Parameter(rng.normal(0, 0.01, (H, size)).astype(np.float32))
        self.c = tg.Parameter(np.zeros(size, np.float32))

    def step(self, x: np.ndarray, s: tg.Tensor) -> tuple[tg.Tensor, tg.Tensor]:
        s = tg.tanh(self.U[x] + s @ self.W + self.b).named("s")
        return s @ self.V + self.c, s


text = standard_library_text(["argparse", "textwrap", "threading"])
vocabulary = Vocabulary.of(text)
cell = CharModel(len(vocabulary))
optimiser = tg.optim.Adam(cell, lr=5e-3)
print(f"{len(text):,} characters, ln V = {np.log(len(vocabulary)):.2f}")


def steps():
    """Characters and those that follow; and where the text begins anew."""
    for _ in range(2):
        for inputs, targets, first in windows(vocabulary.encode(text), T, B):
            for t, (x, y) in enumerate(zip(inputs, targets, strict=True)):
                yield x, y, np.full(B, first and t == 0)


def loss(outputs, targets):
    return tg.cross_entropy(outputs, targets, "sum") / B


# the state goes on from window to window; the gradient does not
for i, window in enumerate(tg.truncated(cell, steps(), loss, k1=T)):
    window.backward()
    tg.optim.clip_by_norm(cell, 5.0)
    optimiser.step()
    if i % 100 == 0:
        print(f"update {i:4}: {window.loss.item() / T:.2f} nats per character")

x, s, written = vocabulary.encode("d"), cell.initial_state(1), "d"
with tg.no_grad():
    for _ in range(200):
        o, s = cell.step(x, s)
        p = tg.softmax(o).numpy()[0].astype(float)
        x = rng.choice(len(vocabulary), size=1, p=p / p.sum())
        written += vocabulary.decode(x)
print(written)
