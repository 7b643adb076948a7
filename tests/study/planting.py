"""Passes with mistakes planted in them, compared with autodiff."""

import functools

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import study, tree
from tinygrad_rnn.equations import derive
from tinygrad_rnn.study import comparison, ordered


def without_differences(monkeypatch):
    """Central differences take longer than all the rest, and are tested elsewhere."""
    nothing = comparison.Agreement(0, 0, 1, 1, 0, 1)
    monkeypatch.setattr(comparison, "_by_differences", lambda *_: nothing)


@functools.cache
def problem(passes, name):
    """A cell, inputs, targets and a first state, for a pass of a module of passes."""
    rng = np.random.default_rng(0)
    cell = passes.MAKE[name](rng).astype(np.float64)
    batch = 1 if name in passes.ALONE else passes.B
    start = tree.map_leaves(
        lambda s: tg.tensor(rng.normal(0, 0.7, s.shape), s.name), cell.initial_state(batch)
    )
    if name in getattr(passes, "LEARNED", ()):
        start = None
    xs = rng.normal(size=(passes.T, batch, passes.I))
    size = tg.unroll(cell, xs[:1], start).steps[0].shape[-1]
    return cell, xs, rng.normal(size=(passes.T, batch, size)), start


def compared(passes, name, edits=()):
    """The verdict on a pass with its text edited."""
    text = passes.TEXTS[name]
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    scope = {"np": np}
    exec(text, scope)
    cell, xs, ys, start = problem(passes, name)
    with pytest.MonkeyPatch.context() as patch:  # one derivation for all mistakes in a pass
        patch.setattr(ordered, "derive", functools.partial(derived, (passes, name)))
        return study.compare(cell, xs, ys, hand=scope[name], state=start)


def derived(key, cell, size):
    """The derivation of the cell of a pass."""
    if key not in DERIVED:
        DERIVED[key] = derive(cell, size)
    return DERIVED[key]


DERIVED = {}


@functools.cache
def outcomes(passes, cell):
    """(mistake, whether it was named right, whether it was placed right, findings)."""
    found = []
    for mistake in passes.SINGLE:
        if mistake.cell == cell:
            given = compared(passes, mistake.cell, mistake.edits)
            assert not given.agrees, mistake
            named = all(f.kind in mistake.kinds for f in given.mistakes) and bool(given.mistakes)
            names, step = mistake.place
            first = given.mistakes[0]
            placed = first.name in names and first.step == step
            found.append((mistake, named, placed, given.mistakes))
    return found


def missed(results):
    """The mistakes and the verdicts, for a message."""
    return "\n".join(
        f"{m.cell}: {m.edits} -> {'; '.join(map(str, found))}" for m, *_, found in results
    )
