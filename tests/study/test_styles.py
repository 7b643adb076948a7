"""Passes in further styles: lengths, masks, two directions, targets, gradients in other forms."""

import re

import numpy as np
import pytest

from tinygrad_rnn import study

from . import styles
from .planting import without_differences

differences = pytest.fixture(autouse=True)(without_differences)


def compared(text, edits=()):
    """The verdict on a pass with its text edited."""
    source = styles.TEXTS[text]
    for old, new in edits:
        assert source.count(old) == 1, f"{old!r} is there {source.count(old)} times"
        source = source.replace(old, new)
    cell, xs, targets, options = styles.drawn(text)
    scope = {"np": np, "targets": targets, **options}
    exec(source, scope)
    return study.compare(cell, xs, targets, hand=scope["hand"], **options)


@pytest.mark.parametrize("text", styles.TEXTS)
def test_the_passes_are_right_as_they_stand(text):
    found = compared(text)
    assert found.agrees, str(found)
    assert found.mistakes == ()


@pytest.mark.parametrize("name", styles.M)
def test_they_are_named_and_placed(name):
    mistake = styles.M[name]
    found = compared(mistake.text, mistake.edits).mistakes
    message = "; ".join(map(str, found))
    assert found, message
    words = [f"{f.kind}: {f.words}" for f in found]
    if name not in styles.PLACE_ONLY:
        assert "unknown" not in {f.kind for f in found}, message
        assert all(any(re.search(w, text, re.I) for w in mistake.words) for text in words), message
    first = found[0]
    assert any(
        first.name == name and step in (first.step, styles.ANY) for name, step in mistake.places
    ), message
