"""Mistakes planted by one who had not read the search: those named, and those not yet."""

import pytest

from . import later, unread
from .planting import compared, missed, without_differences

differences = pytest.fixture(autouse=True)(without_differences)
SETS = {"unread": unread, "later": later}
NAMES = [(of, name) for of, planted in SETS.items() for name in planted.TEXTS]


def told(of, mistake):
    """Whether a mistake is named and placed, and the message if not."""
    given = compared(SETS[of], mistake.cell, mistake.edits)
    if given.agrees:
        pytest.fail(f"agrees: {mistake}")
    found = given.mistakes
    names, step = mistake.place
    named = all(f.kind in mistake.kinds for f in found) and bool(found)
    placed = bool(found) and found[0].name in names and found[0].step == step
    return named and placed, missed([(mistake, found)])


def planted(which):
    """The mistakes of both sets, with names to pick one by."""
    return [
        pytest.param(of, mistake, id=f"{of}-{mistake.cell}-{k}")
        for of, planted in SETS.items()
        for k, mistake in enumerate(getattr(planted, which))
    ]


@pytest.mark.parametrize(("of", "name"), NAMES)
def test_the_passes_are_right_as_they_stand(of, name):
    found = compared(SETS[of], name)
    assert found.agrees, str(found)
    assert found.mistakes == ()


@pytest.mark.parametrize(("of", "mistake"), planted("SINGLE"))
def test_it_is_named_and_placed(of, mistake):
    right, message = told(of, mistake)
    assert right, message


@pytest.mark.xfail(raises=AssertionError, reason="not named yet")
@pytest.mark.parametrize(("of", "mistake"), planted("MISSED"))
def test_it_is_missed(of, mistake):
    right, message = told(of, mistake)
    assert right, message


@pytest.mark.parametrize(
    ("of", "name", "pair"), [(of, *pair) for of, planted in SETS.items() for pair in planted.PAIRS]
)
def test_two_at_once_are_named(of, name, pair):
    pair = [SETS[of].SINGLE[k] for k in pair]
    given = compared(SETS[of], name, [edit for m in pair for edit in m.edits])
    kinds = [f.kind for f in given.mistakes]
    assert "unknown" not in kinds
    assert all(any(k in m.kinds for k in kinds) for m in pair), missed([(pair[0], given.mistakes)])
