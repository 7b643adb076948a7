"""Captions: what is seen in an image is the first state of an LSTM, which then writes words.

    python examples/captions.py

As in Vinyals, Toshev, Bengio & Erhan, "Show and tell: a neural image caption generator", CVPR 2015,
in small: images are 8 by 8 points of colour with noise, with one or two shapes in them, and the
captions say which, the left one first.
"""

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn

COLOURS = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}
SHAPES = {
    "square": ("###", "# #", "###"),
    "cross": (" # ", "###", " # "),
    "bar": ("###", "   ", "   "),
}
WORDS = tg.data.WordVocabulary(("<begin>", "<end>", "a", "beside", *COLOURS, *SHAPES))
BEGIN, END = 0, 1
V, H, LONGEST = len(WORDS.words), 64, 8


def image(rng):
    """An image (8 * 8 * 3,), and its caption."""
    points, said = rng.normal(0, 0.1, (8, 8, 3)), []
    for column in (0, 5) if rng.random() < 0.7 else rng.choice([0, 5], 1):
        colour, shape = rng.choice(list(COLOURS)), rng.choice(list(SHAPES))
        inside = np.array([[point == "#" for point in line] for line in SHAPES[shape]])
        points[3 : 3 + 3, column : column + 3][inside] += COLOURS[colour]
        said.append(f"a {colour} {shape}")
    return points.ravel(), " beside ".join(said)


def batch(rng, B=64):
    """Images (B, 192), and classes of words (T, B): before each, to be said, and whether real."""
    images, captions = zip(*[image(rng) for _ in range(B)], strict=True)
    said, lengths = tg.data.pad([[*WORDS.encode(caption), END] for caption in captions])
    before = np.concatenate([np.full((1, B), BEGIN), said[:-1]])
    return np.stack(images), before, said, np.arange(len(said))[:, None] < lengths


class Captioner(tg.Module):
    """Features of an image, the first state that is made of them, and an LSTM with a read-out."""

    def __init__(self, rng, dtype=np.float32):
        self.see = nn.Sequential(nn.Linear(192, H, rng=rng, dtype=dtype), tg.relu)
        self.h, self.c = (nn.Linear(H, H, rng=rng, dtype=dtype) for _ in "hc")
        self.embed = nn.Embedding(V, 16, rng=rng, dtype=dtype)
        self.cell = tg.LSTMCell(16, H, rng=rng, dtype=dtype)
        self.read = nn.Linear(H, V, rng=rng, dtype=dtype)

    def first(self, images):
        """(B, 192) -> the LSTM's first state."""
        features = self.see(images)
        return nn.LSTMState(tg.tanh(self.h(features)), tg.tanh(self.c(features)))

    def __call__(self, images, before):
        """Scores of the words (T, B, V), each after those before it."""
        return self.read(tg.unroll(self.cell, self.embed(before), self.first(images)).outputs)

    def write(self, images):
        """The likeliest word after the likeliest: captions."""
        with tg.no_grad():
            word, state, found = np.full(len(images), BEGIN), self.first(images), []
            for _ in range(LONGEST):
                output, state = self.cell.step(self.embed(word), state)
                word = self.read(output).argmax(-1).numpy()
                found.append(word)
        return [" ".join(WORDS.decode(ids[: [*ids, END].index(END)])) for ids in np.stack(found, 1)]


def loss(model, images, before, said, real):
    """The mean cross entropy of the words that are there."""
    return tg.cross_entropy(model(images, before), np.where(real, said, -1), ignore_index=-1)


def train(steps=300, seed=0):
    """Train; the model, and the part of new images whose caption is right to the last word."""
    rng = np.random.default_rng(seed)
    model = Captioner(rng)
    optimiser = tg.optim.Adam(model, lr=0.003)
    for step in range(1, steps + 1):
        objective = loss(model, *batch(rng))
        objective.backward()
        optimiser.step()
        if step % 100 == 0:
            print(f"step {step:4d}   cross entropy {objective.item():.3f}")
    images, captions = zip(*[image(rng) for _ in range(300)], strict=True)
    written = model.write(np.stack(images))
    for pair in zip(captions[:4], written, strict=False):
        print("  {:38} {}".format(*pair))
    return model, np.mean([a == b for a, b in zip(captions, written, strict=True)])


if __name__ == "__main__":
    right = train()[1]
    print(f"captions right to the last word: {right:.0%}")
    assert right > 0.9
