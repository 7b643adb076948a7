"""Mistakes that people published, in passes of nine styles: named, and placed where they are."""

import functools

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import study, tree
from tinygrad_rnn.study import comparison

from .published import ALONE, APART, FIRST, LAST, MAKE, PAIRS, TEXTS, B, I, T

SINGLE = [*FIRST, *APART, *LAST]


@pytest.fixture(autouse=True)
def without_differences(monkeypatch):
    """Central differences take longer than all the rest, and are tested elsewhere."""
    nothing = comparison.Agreement(0, 0, 1, 1, 0, 1)
    monkeypatch.setattr(comparison, "_by_differences", lambda *_: nothing)


def problem(name):
    rng = np.random.default_rng(0)
    cell = MAKE[name](rng).astype(np.float64)
    batch = 1 if name in ALONE else B
    start = tree.map_leaves(
        lambda s: tg.tensor(rng.normal(0, 0.7, s.shape), s.name), cell.initial_state(batch)
    )
    xs = rng.normal(size=(T, batch, I))
    size = tg.unroll(cell, xs[:1], start).steps[0].shape[-1]
    return cell, xs, rng.normal(size=(T, batch, size)), start


def compared(name, edits=()):
    text = TEXTS[name]
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    scope = {"np": np}
    exec(text, scope)
    cell, xs, ys, start = problem(name)
    return study.compare(cell, xs, ys, hand=scope[name], state=start)


@functools.cache
def outcomes():
    """(mistake, whether it was named right, whether it was placed right, findings)."""
    found = []
    for mistake in SINGLE:
        given = compared(mistake.cell, mistake.edits)
        assert not given.agrees, mistake
        named = all(f.kind in mistake.kinds for f in given.mistakes) and bool(given.mistakes)
        first = given.mistakes[0]
        found.append((mistake, named, (first.name, first.step) == mistake.place, given.mistakes))
    return found


def missed(results):
    return "\n".join(
        f"{m.cell}: {m.edits} -> {'; '.join(map(str, found))}" for m, *_, found in results
    )


@pytest.mark.parametrize("name", TEXTS)
def test_the_passes_are_right_as_they_stand(name):
    found = compared(name)
    assert found.agrees, str(found)
    assert found.mistakes == ()


def test_there_are_enough_of_them():
    assert len(SINGLE) >= 25
    assert len({m.cell for m in SINGLE}) == len(TEXTS) >= 8
    assert all(m.source.startswith("https://") for m in SINGLE)


def test_nine_of_ten_are_named():
    wrong = [entry for entry in outcomes() if not entry[1]]
    assert len(wrong) <= 0.1 * len(SINGLE), missed(wrong)


def test_nineteen_of_twenty_are_placed():
    wrong = [entry for entry in outcomes() if not entry[2]]
    assert len(wrong) <= 0.05 * len(SINGLE), missed(wrong)


def test_no_right_place_is_blamed():
    """Where the place is not found, no step of any quantity is named."""
    for mistake, _, placed, found in outcomes():
        assert placed or found[0].step is None, missed([(mistake, found)])


def test_half_of_the_pairs_are_named():
    wrong = []
    for name, pair in PAIRS:
        given = compared(name, [edit for m in pair for edit in m.edits])
        kinds = [f.kind for f in given.mistakes]
        both = all(any(k in m.kinds for k in kinds) for m in pair) and "unknown" not in kinds
        if not both:
            wrong.append((pair[0], given.mistakes))
    assert len(wrong) <= len(PAIRS) / 2, missed(wrong)
