"""Mistakes kept back until the search was finished: sentences that were expected, and are said."""

import re

import numpy as np
import pytest

from tinygrad_rnn import study, tree

from . import held
from .planting import without_differences

differences = pytest.fixture(autouse=True)(without_differences)

ALSO = {  # read one by one: the same in other words
    "between": (r"dL/dhigh where dL/da_high is wanted",),
    "raw": (r"dL/dh where dL/da is wanted",),
    "lam": (r"that of step t-1 for the slope of h",),
    "slope": (r"that of step t\+1 for the slope of s",),
    "wrapped": (r"beyond the end the other end's",),
    "later": (r"the slope of o for the slope of p",),
    "diagonal": (r"missing sum: without the sum",),
    "downwards": (r"W₂ where U₂ is wanted",),
    "slice": (r"the last 4 of 7 are taken",),
    "early": (r"mask.* where mask",),
    "crossed": (r"the part of dL/d(high|low) from step t\+1 where",),
}
PLACES = {  # the same place by another name
    "averaged": ("h", 5),  # the first gradient that an error enters
    "truncated": ("s", None),
    "unbiased": ("v", 2),  # the spread, which is 0 at step 1
    "sigmoid": ("a_g", 5),
    "already": ("u", 5),
    "unflipped": ("s_2", 1),  # dL/do of the second direction, by the state that it is
    "early": ("h_new", 5),
    "window": ("c", 5),
}
MISSED = {"range": "the place only"}


def compared(case):
    """What is said of a case."""
    problem = case.problem
    cell, xs, targets, loss, state = problem.draw()
    scope = {"np": np, "ys": targets, "lengths": problem.lengths}
    scope["sigmoid"] = lambda a: 1 / (1 + np.exp(-a))
    exec(case.source, scope)
    hand = scope["hand"]

    def rounded(*given):
        return hand(*(tree.map_leaves(np.float32, part) for part in given))

    given = rounded if problem.single else hand
    return study.compare(cell, xs, targets, loss, given, state, lengths=problem.lengths)


def told(name, mistake, found):
    """Whether a mistake is named, and whether it is placed."""
    words = mistake.words + ALSO.get(name, ())
    named = bool(found) and all(
        f.kind != "unknown" and any(re.search(w, f"{f.kind}: {f.words}", re.I) for w in words)
        for f in found
    )
    places = [*mistake.places, PLACES.get(name)]
    placed = bool(found) and any(
        p is not None and found[0].name == p[0] and p[1] in (found[0].step, held.ANY)
        for p in places
    )
    return named, placed


SINGLES = [
    pytest.param(
        name,
        mistake,
        id=name,
        marks=[pytest.mark.xfail(reason=MISSED[name])] if name in MISSED else [],
    )
    for name, mistake in held.SINGLE.items()
]


@pytest.mark.parametrize("case", held.CORRECT, ids=lambda c: c.text)
def test_correct_passes_are_not_rejected(case):
    found = compared(case)
    assert found.agrees, str(found)
    assert found.mistakes == ()


@pytest.mark.parametrize(("name", "mistake"), SINGLES)
def test_it_is_named_and_placed(name, mistake):
    found = compared(mistake).mistakes
    assert told(name, mistake, found) == (True, True), "; ".join(map(str, found))


@pytest.mark.parametrize("pair", held.PAIRS, ids=lambda pair: pair.text)
def test_two_at_once_are_named(pair):
    found = compared(pair).mistakes
    assert len(found) > 1
    for mistake in (pair.first, pair.second):
        said = [f"{f.kind}: {f.words}" for f in found]
        assert any(re.search(w, text, re.I) for w in mistake.words for text in said), said
