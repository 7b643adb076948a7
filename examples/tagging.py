"""Tags for words: an LSTM in each direction, and a conditional random field above them.

    python examples/tagging.py

Sentences of different lengths stand in one batch. Names are to be found in them: their first word
is B, the others are I, all other words O. One, two or three words that might be a name are one only
if "says" comes after them, so that a tagger must read backwards too; and I must not follow O, which
the field's transitions learn. The field is that of Lafferty, McCallum & Pereira (2001), and over
LSTMs in both directions that of Huang, Xu & Yu (2015).
"""

import numpy as np

import tinygrad_rnn as tg

WORDS, TAGS, H = 12, 3, 16  # word 0 stands in the padding, 1 is "says", from 7 on: no names
O, B, I = range(TAGS)  # noqa: E741


def sentence(rng):
    """Words and tags."""
    words, tags = [], []
    for _ in range(rng.integers(1, 4)):
        n, name = rng.integers(1, 4), rng.random() < 0.5
        words += [*rng.integers(2, 7, n), 1 if name else rng.integers(7, WORDS)]
        tags += [B, *[I] * (n - 1), O] if name else [O] * (n + 1)
    return words, tags


def batch(rng, size=32):
    """Words and tags (T, B), zeros in the padding, and lengths (B,)."""
    pairs = [sentence(rng) for _ in range(size)]
    lengths = np.array([len(words) for words, _ in pairs])
    words, tags = np.zeros((2, lengths.max(), size), int)
    for k, (w, t) in enumerate(pairs):
        words[: len(w), k], tags[: len(t), k] = w, t
    return words, tags, lengths


class Tagger(tg.Module):
    """Scores of tags (emissions) from both directions, and of a tag after a tag (transitions)."""

    def __init__(self, rng, dtype=np.float32):
        def drawn(*shape):
            return tg.Parameter(rng.normal(0, 0.3, shape), dtype=dtype)

        self.E = drawn(WORDS, H)
        self.both = tg.nn.Bidirectional(
            tg.LSTMCell(H, H, rng=rng, dtype=dtype), tg.LSTMCell(H, H, rng=rng, dtype=dtype)
        )
        self.V, self.c = drawn(2 * H, TAGS), drawn(TAGS)
        self.A = drawn(TAGS, TAGS)  # A[i, j]: of tag j after tag i

    def emissions(self, words, lengths):
        """(T, B, tags)."""
        run = tg.unroll(self.both, tg.embedding(words, self.E), lengths=lengths)
        return run.outputs @ self.V + self.c


def log_likelihood(emissions, A, tags, lengths):
    """Of each sentence's tags, (B,): their score, less the log of all taggings' exp(score)."""
    batch, score, every = np.arange(len(lengths)), 0.0, emissions[0]
    for t in range(len(tags)):
        inside = t < lengths
        with tg.timestep(t + 1):
            here = emissions[t][batch, tags[t]] + (A[tags[t - 1], tags[t]] if t else 0)
            score = score + tg.where(inside, here, 0)
            if t:  # over the tag before: the forward algorithm
                new = tg.logsumexp(every[:, :, None] + A, axis=1) + emissions[t]
                every = tg.where(inside[:, None], new, every)
    return score - tg.logsumexp(every, axis=1)


def loss(model, words, tags, lengths):
    """Minus the mean log-likelihood of the sentences' tags."""
    return -log_likelihood(model.emissions(words, lengths), model.A, tags, lengths).mean()


def best(emissions, A):
    """The tags of the highest score for one sentence, (T, tags): Viterbi's algorithm."""
    score, came_from = emissions[0], []
    for e in emissions[1:]:
        table = score[:, None] + A
        came_from.append(table.argmax(0))
        score = table.max(0) + e
    tags = [score.argmax()]
    for before in reversed(came_from):
        tags.append(before[tags[-1]])
    return np.array(tags[::-1])


def train(steps=150, seed=0):
    """Train; the part of new sentences whose tags are all right."""
    rng = np.random.default_rng(seed)
    model = Tagger(rng)
    optimiser = tg.optim.Adam(model, lr=0.02)
    for step in range(1, steps + 1):
        objective = loss(model, *batch(rng))
        objective.backward()
        tg.optim.clip_by_norm(model, 5.0)
        optimiser.step()
        if step % 50 == 0:
            print(f"step {step:4d}   {objective.item():.3f} nats a sentence")
    words, tags, lengths = batch(rng, 300)
    with tg.no_grad():
        e, A = model.emissions(words, lengths).numpy(), model.A.numpy()
    right = [(best(e[:n, k], A) == tags[:n, k]).all() for k, n in enumerate(lengths)]
    return np.mean(right)


if __name__ == "__main__":
    right = train()
    print(f"sentences tagged without a mistake: {right:.0%}")
    assert right > 0.9
