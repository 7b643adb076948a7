"""Parameters in safetensors files."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import tinygrad_rnn as tg
from tinygrad_rnn import serialize


class Two(tg.Cell):
    def __init__(self, rng):
        self.inner = tg.ElmanCell(2, 3, rng=rng, dtype=np.float64)
        self.V = tg.Parameter(rng.normal(size=(3, 2)).astype(np.float32).T.copy().T)


def test_every_parameter_and_the_description_come_back(tmp_path, rng):
    cell = Two(rng)
    description = {"kind": "two", "sizes": [2, 3], "vocabulary": 'aä\n"𝄞'}
    path = serialize.save(cell, tmp_path / "two.safetensors", description)
    other = Two(rng)
    assert serialize.load(other, path) == description
    for name, p in cell.parameters().items():
        q = other.parameters()[name]
        np.testing.assert_array_equal(p.numpy(), q.numpy())
        assert p.dtype == q.dtype
    assert [entry.name for entry in tmp_path.iterdir()] == ["two.safetensors"]


def test_the_same_model_gives_the_same_bytes(tmp_path):
    cell = tg.ElmanCell(2, 3, rng=0)
    a, b = (serialize.save(cell, tmp_path / name, {"x": 1, "y": 2}).read_bytes() for name in "ab")
    assert a == b


def test_a_description_that_json_lacks_leaves_no_file(tmp_path):
    with pytest.raises(TypeError):
        serialize.save(tg.ElmanCell(2, 3, rng=0), tmp_path / "m", {"x": object()})
    assert not list(tmp_path.iterdir())


def loaded(path, cell=None):
    return serialize.load(cell or tg.ElmanCell(2, 3, rng=0), path)


@pytest.mark.parametrize("data", [b"", b"text", pickle.dumps({"U": 1}), b"\xff" * 100])
def test_a_file_that_is_not_safetensors_is_named(tmp_path, data):
    path = tmp_path / "wrong.bin"
    path.write_bytes(data)
    with pytest.raises(serialize.ModelFileError, match=r"wrong\.bin: not a safetensors file"):
        loaded(path)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_damaged_file_is_never_another_error(tmp_path_factory, noise, place):
    path = tmp_path_factory.mktemp("damaged") / "m"
    data = bytearray(serialize.save(tg.ElmanCell(2, 3, rng=0), path, {}).read_bytes())
    data[place : place + len(noise)] = noise
    path.write_bytes(data)
    message = str(path)
    try:
        loaded(path)
    except serialize.ModelFileError as error:
        message = str(error)
    assert message.startswith(str(path))


@pytest.mark.parametrize(
    "metadata", [None, {"other": "1"}, {"tinygrad_rnn": "not JSON"}, {"tinygrad_rnn": "[1]"}]
)
def test_a_file_without_our_metadata_is_named(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file({"U": np.zeros((2, 3), np.float32)}, path, metadata)
    refusal = r"foreign\.safetensors: .*without the metadata"
    with pytest.raises(serialize.ModelFileError, match=refusal):
        loaded(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"U": (2, 3), "W": (3, 3)}, r"no parameter 'b' \(3,\) in it; it has 'U' \(2, 3\), 'W'"),
        ({"U": (2, 4), "W": (3, 3), "b": (3,)}, r"'U' has shape \(2, 4\), wanted \(2, 3\)"),
        ({"U": (2, 3), "W": (3, 3), "b": (3,), "V": (1,)}, r"'V' \(1,\) is not one of ElmanCell"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(tmp_path, arrays, message):
    path = tmp_path / "m.safetensors"
    arrays = {name: np.zeros(shape, np.float32) for name, shape in arrays.items()}
    save_file(arrays, path, {"tinygrad_rnn": json.dumps({})})
    cell = tg.ElmanCell(2, 3, rng=0)
    with pytest.raises(serialize.ModelFileError, match=message) as error:
        loaded(path, cell)
    assert "m.safetensors" in str(error.value)
    assert [p.version for p in cell.parameters().values()] == [0, 0, 0]
