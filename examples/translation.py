"""A sequence to a sequence: an encoder, and a decoder that attends to its states.

    python examples/translation.py

A toy language: numbers are to be said backwards, digit by digit. Encoder and decoder are GRUs; at
every step the decoder looks at all the encoder's states, with weights from a small network of its
own state and theirs: Bahdanau, Cho & Bengio, "Neural machine translation by jointly learning to
align and translate", ICLR 2015.
"""

import numpy as np

import tinygrad_rnn as tg

DIGITS, H = 10, 32
START = END = DIGITS  # one more symbol begins and ends what is said
SYMBOLS = DIGITS + 1


def batch(rng, B=64, longest=7):
    """Digits (T, B), lengths (B,), what is said (S, B) with its end, and (S, B) before it."""
    lengths = rng.integers(2, longest + 1, B)
    read = np.full((longest, B), END)
    said = np.full((longest + 1, B), END)
    for k, n in enumerate(lengths):
        read[:n, k] = rng.integers(0, DIGITS, n)
        said[:n, k] = read[:n, k][::-1]
    before = np.concatenate([np.full((1, B), START), said[:-1]])
    return read, lengths, said, before


class Decoder(tg.Cell):
    """Its state is a GRU's; it reads the symbol before and the memory, weighted."""

    def __init__(self, rng, dtype):
        def drawn(*shape):
            return tg.Parameter(rng.normal(0, shape[0] ** -0.5, shape), dtype=dtype)

        self.gru = tg.GRUCell(2 * H, H, rng=rng, dtype=dtype)
        self.E = drawn(SYMBOLS, H)
        self.P, self.Q, self.v = drawn(H, H), drawn(H, H), drawn(H, 1)
        self.V = drawn(2 * H, SYMBOLS)

    def step(self, x, state):
        """The symbol before (B,), and (hidden state, encoder's states (B, T, H), mask (B, T))."""
        h, memory, mask = state
        scores = (tg.tanh((h @ self.P)[:, None] + memory @ self.Q) @ self.v)[..., 0]
        a = tg.softmax(tg.where(mask, scores, -1e9), axis=1).named("a")
        context = (a[:, None] @ memory)[:, 0].named("context")
        h, _ = self.gru.step(tg.concatenate([tg.embedding(x, self.E), context], axis=1), h)
        return (tg.concatenate([h, context], axis=1) @ self.V, a), (h, memory, mask)


class Translator(tg.Module):
    """An encoder and a decoder."""

    def __init__(self, rng, dtype=np.float32):
        self.E = tg.Parameter(rng.normal(0, 0.3, (SYMBOLS, H)), dtype=dtype)
        self.encoder = tg.GRUCell(H, H, rng=rng, dtype=dtype)
        self.decoder = Decoder(rng, dtype)

    def start(self, read, lengths):
        """The decoder's first state."""
        run = tg.unroll(self.encoder, tg.embedding(read, self.E), lengths=lengths)
        memory = tg.moveaxis(run.outputs, 0, 1)
        mask = np.arange(len(read)) < lengths[:, None]
        return run.state, memory, mask


def loss(model, read, lengths, said, before):
    """The cross-entropy of what is said, up to its end, a symbol."""
    run, losses = tg.unroll(model.decoder, before, model.start(read, lengths)), []
    for t, ((scores, _), y) in enumerate(zip(run.steps, said, strict=True), start=1):
        with tg.timestep(t):
            each = tg.cross_entropy(scores, y, reduction="none")
            losses.append(tg.where(t <= lengths + 1, each, 0).sum())
    return sum(losses) / (lengths + 1).sum()


def say(model, read, lengths):
    """What the decoder says by itself, (S, B): the most probable symbols; and its attention."""
    with tg.no_grad():
        state, x, said, looked = model.start(read, lengths), np.full(len(lengths), START), [], []
        for _ in range(len(read) + 1):
            (scores, a), state = model.decoder.step(x, state)
            x = scores.numpy().argmax(1)
            said.append(x)
            looked.append(a.numpy())
    return np.array(said), np.array(looked)


def train(steps=300, seed=0):
    """Train; the part of new numbers that are said without a mistake, and an example."""
    rng = np.random.default_rng(seed)
    model = Translator(rng)
    optimiser = tg.optim.Adam(model, lr=0.005)
    for step in range(1, steps + 1):
        objective = loss(model, *batch(rng))
        objective.backward()
        tg.optim.clip_by_norm(model, 1.0)
        optimiser.step()
        if step % 100 == 0:
            print(f"step {step:4d}   {objective.item():.3f} nats a symbol")
    read, lengths, said, _ = batch(rng, 200)
    heard, looked = say(model, read, lengths)
    inside = np.arange(len(said))[:, None] <= lengths
    return np.mean(((heard == said) | ~inside).all(0)), read[:, 0], lengths[0], looked[:, 0]


if __name__ == "__main__":
    right, read, n, looked = train()
    print(f"said without a mistake: {right:.0%}")
    print("where the decoder looked at", *read[:n])
    for row in looked[:n, :n]:
        print("  ", *(".:*#"[min(int(4 * a), 3)] for a in row))
    assert right > 0.9
