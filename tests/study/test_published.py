"""Mistakes that people published, in passes of nine styles: named, and placed where they are."""

import pytest

from . import published
from .planting import compared, missed, outcomes, without_differences

differences = pytest.fixture(autouse=True)(without_differences)
GITHUB = "https://github.com/"
MISSED = (
    GITHUB + "elixir-nx/axon/pull/646",  # the missing term is said, dL/dk is left unexplained
    GITHUB + "ooples/AiDotNet/pull/722 (own unit)",  # the place only
)
"""Mistakes without their name."""


@pytest.mark.parametrize("name", published.TEXTS)
def test_the_passes_are_right_as_they_stand(name):
    found = compared(published, name)
    assert found.agrees, str(found)
    assert found.mistakes == ()


def test_there_are_enough_of_them():
    assert len(published.SINGLE) >= 25
    assert len({m.cell for m in published.SINGLE}) == len(published.TEXTS) >= 8
    assert all(m.source.startswith("https://") for m in published.SINGLE)


def test_nine_of_ten_may_be_named():
    """The others are MISSED; those below are."""
    assert len(MISSED) <= 0.1 * len(published.SINGLE)


@pytest.mark.parametrize("cell", published.TEXTS)
def test_they_are_named(cell):
    wrong = [
        entry
        for entry in outcomes(published, cell)
        if not entry[1] and entry[0].source not in MISSED
    ]
    assert not wrong, missed(wrong)


@pytest.mark.parametrize("cell", published.TEXTS)
def test_they_are_placed(cell):
    """All of them, so none is placed where it is not."""
    wrong = [entry for entry in outcomes(published, cell) if not entry[2]]
    assert not wrong, missed(wrong)


@pytest.mark.parametrize(("name", "pair"), published.PAIRS)
def test_two_at_once_are_named(name, pair):
    given = compared(published, name, [edit for m in pair for edit in m.edits])
    kinds = [f.kind for f in given.mistakes]
    assert "unknown" not in kinds
    assert all(any(k in m.kinds for k in kinds) for m in pair), missed([(pair[0], given.mistakes)])
