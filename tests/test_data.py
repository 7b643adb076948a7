"""Text: reading, classes, windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn.data import (
    STANDARD_LIBRARY,
    TextError,
    Vocabulary,
    read_text,
    split_text,
    standard_library_text,
    windows,
)


def test_line_ends_and_byte_order_mark_are_gone(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("\ufeffa\r\nb\rç\n".encode())
    assert read_text(path) == "a\nb\nç\n"


@pytest.mark.parametrize("content", [b"", b" \n\t\r\n"])
def test_a_file_without_text_is_named(tmp_path, content):
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    with pytest.raises(TextError, match=rf"empty\.txt: no text in it \({len(content)} bytes"):
        read_text(path)


def test_bytes_that_are_not_utf8_are_named_with_their_place(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes("naïve".encode("latin-1"))
    with pytest.raises(TextError, match=r"latin\.txt: not UTF-8 text: byte 0xef at offset 2"):
        read_text(path)


def test_most_modules_of_the_list_have_source():
    text = standard_library_text()
    assert len(text) > 1_000_000
    assert text == standard_library_text()
    single = [standard_library_text([name]) for name in STANDARD_LIBRARY[:3]]
    assert text.startswith("\n".join(single))


def test_no_source_at_all_is_an_error():
    with pytest.raises(TextError, match="none of 2 standard-library modules has source"):
        standard_library_text(["sys", "no_such_module"])


@given(st.text(min_size=1))
def test_decoding_undoes_encoding(text):
    vocabulary = Vocabulary.of(text)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert sorted(set(ids.tolist())) == list(range(len(vocabulary)))


def test_an_unknown_character_is_named():
    with pytest.raises(TextError, match="'ß' is not among the 2"):
        Vocabulary.of("ab").encode("aß")


@pytest.mark.parametrize("characters", ["", "aba"])
def test_a_vocabulary_has_each_character_once(characters):
    with pytest.raises(ValueError, match="all different"):
        Vocabulary(characters)


@given(st.integers(1, 40), st.integers(2, 500), st.integers(5, 60))
def test_both_parts_of_a_text_hold_a_window(window, length, most):
    text = "x" * length
    if length < 2 * (window + 1):
        with pytest.raises(TextError, match=f"has {length} characters, wanted at least"):
            split_text(text, window, most)
        return
    train, held_out = split_text(text, window, most)
    assert train + held_out == text
    assert min(len(train), len(held_out)) > window
    assert len(held_out) <= max(most, window + 1)


@given(st.integers(2, 300), st.integers(1, 12), st.integers(1, 9))
def test_windows_are_pieces_of_sequences_that_go_on(size, length, batch_size):
    ids = np.arange(size)
    if size <= length:
        with pytest.raises(TextError, match="too few for a window"):
            next(windows(ids, length, batch_size))
        return
    parts = list(windows(ids, length, batch_size))
    assert [part.first for part in parts] == [True] + [False] * (len(parts) - 1)
    inputs = np.concatenate([part.inputs for part in parts])
    targets = np.concatenate([part.targets for part in parts])
    assert all(len(part.inputs) == length for part in parts)
    np.testing.assert_array_equal(targets, inputs + 1)
    assert (np.diff(inputs, axis=0) == 1).all()
    assert inputs.size == np.unique(inputs).size
    assert inputs.shape[1] == min(batch_size, (size - 1) // length)
    # what is left out at the end of every sequence is less than a window
    assert (size - 1) // inputs.shape[1] - len(inputs) < length
