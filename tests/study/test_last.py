"""Mistakes planted when the search was finished: those it finds now."""

import pytest

from . import last
from .planting import compared, missed, outcomes, without_differences

differences = pytest.fixture(autouse=True)(without_differences)


@pytest.mark.parametrize("name", last.TEXTS)
def test_the_passes_are_right_as_they_stand(name):
    found = compared(last, name)
    assert found.agrees, str(found)
    assert found.mistakes == ()


@pytest.mark.parametrize("cell", last.TEXTS)
def test_they_are_named(cell):
    wrong = [entry for entry in outcomes(last, cell) if not entry[1]]
    assert not wrong, missed(wrong)


@pytest.mark.parametrize("cell", last.TEXTS)
def test_they_are_placed(cell):
    wrong = [entry for entry in outcomes(last, cell) if not entry[2]]
    assert not wrong, missed(wrong)
