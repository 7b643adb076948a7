"""Text: reading, classes, windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_rnn as tg
from tinygrad_rnn import data
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
    # less than a window is left out at the end of every sequence
    assert (size - 1) // inputs.shape[1] - len(inputs) < length


# ------------------------------------------------------------------------------------------------
# Words


def test_words_by_frequency_and_alphabet():
    text = "b a c a b d a"
    vocabulary = data.WordVocabulary.of(text, least=1, most=3)
    assert vocabulary.words == ("<unk>", "a", "b", "c")
    assert data.WordVocabulary.of(text, least=2).words == ("<unk>", "a", "b")
    assert data.WordVocabulary.of(["x y", "z"], unknown=None).words == ("x y", "z")
    special = data.WordVocabulary.of(text, special=("<s>", "<unk>", "b"))
    assert special.words == ("<s>", "<unk>", "b", "a", "c", "d")
    ids = special.encode("a nothing d")
    assert ids.tolist() == [3, 1, 5]
    assert ids.dtype == np.int64
    assert special.decode(ids) == ["a", "<unk>", "d"]
    assert special.encode([]).shape == (0,)


def test_words_that_are_not_there():
    vocabulary = data.WordVocabulary(("a", "b"))
    with pytest.raises(data.TextError, match="word 'c' is not among the 2 of the vocabulary"):
        vocabulary.encode("a c")
    with pytest.raises(TypeError, match="a tuple of strings"):
        data.WordVocabulary("ab")
    with pytest.raises(ValueError, match="all different"):
        data.WordVocabulary(("a", "a"))
    with pytest.raises(ValueError, match="'c' is not in the vocabulary"):
        data.WordVocabulary(("a",), "c")
    with pytest.raises(TypeError, match="characters, a str; given a list"):
        data.Vocabulary(["a"])


# ------------------------------------------------------------------------------------------------
# Sequences of many lengths


def test_padding_and_back(rng):
    sequences = [rng.normal(size=(n, 3)) for n in (4, 0, 1, 7)]
    values, lengths = data.pad(sequences, value=-9)
    assert values.shape == (7, 4, 3)
    assert lengths.tolist() == [4, 0, 1, 7]
    for b, n in enumerate(lengths):
        np.testing.assert_array_equal(values[:n, b], sequences[b])
        assert (values[n:, b] == -9).all()
    for a, b in zip(data.unpad(values, lengths), sequences, strict=True):
        np.testing.assert_array_equal(a, b)
    assert data.pad(sequences, length=9).values.shape == (9, 4, 3)
    assert data.pad([[1], [2, 3]]).values.dtype == np.int64
    assert data.pad([np.ones(2, np.float32), []]).values.dtype == np.float32
    assert data.pad([[], []]).values.shape == (0, 2)


def test_padding_does_not_matter_to_a_network(rng):
    cell = tg.GRUCell(3, 4, rng=0, dtype=np.float64)
    sequences = [rng.normal(size=(n, 3)) for n in (4, 2, 5)]
    values, lengths = data.pad(sequences, value=np.nan)
    run = tg.unroll(cell, values, lengths=lengths)
    for out, one in zip(data.unpad(run.outputs, lengths), sequences, strict=True):
        alone = tg.unroll(cell, one[:, None]).outputs.numpy()[:, 0]
        np.testing.assert_allclose(out, alone, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: data.pad([]), "given no sequences"),
        (lambda: data.pad([1, 2]), r"sequence 0 is int64 of shape \(\); wanted numbers"),
        (lambda: data.pad(["ab"]), "sequence 0 is <U2"),
        (lambda: data.pad([np.ones((2, 3)), np.ones((2, 4))]), r"1 has shape \(2, 4\), wanted \(T"),
        (lambda: data.pad([[1, 2]], length=1), "sequence 0 has 2 steps, more than length=1"),
        (lambda: data.unpad(np.ones((2, 3)), [1]), r"shape \(2, 3\) and 1 lengths"),
        (lambda: data.buckets([1, 2], 0), "batch_size: given 0"),
    ],
)
def test_sequences_that_do_not_fit_are_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_buckets_hold_every_sequence_once_with_little_padding(rng):
    lengths = rng.integers(1, 100, 1000)
    for seed in (None, 0, 1):
        batches = data.buckets(lengths, 32, rng=seed)
        assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
        assert sorted(map(len, batches)) == [8] + [32] * 31
        padding = sum(lengths[b].max() * len(b) - lengths[b].sum() for b in batches)
        assert padding < 0.05 * lengths.sum()
    first, same, other = (data.buckets(lengths, 32, rng=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert data.buckets([], 4) == []
