"""Models and arrays in safetensors files: everything saved is read, everything else is named."""

import json
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

import tinygrad_rnn as tg
from tinygrad_rnn import io


class Two(tg.Cell):
    def __init__(self, rng):
        self.inner = tg.ElmanCell(2, 3, rng=rng, dtype=np.float64)
        self.V = tg.Parameter(rng.normal(size=(3, 2)).astype(np.float32).T.copy().T)
        self.order = tg.Buffer(np.array([2, 0, 1]))


def equal(a, b):
    assert list(a) == list(b)
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name])
        assert value.dtype == b[name].dtype


DESCRIPTIONS = [
    {"kind": "two", "sizes": [2, 3], "vocabulary": 'aä\n"𝄞\ud800'},
    None, "text", "", 0, [1, [2]], True, 1.5, {}, {"a": {"b": None}},
]  # fmt: skip


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=repr)
def test_every_value_and_any_description_come_back(tmp_path, rng, description):
    model = Two(rng)
    path = io.save(model, tmp_path / "two.safetensors", description)
    other = Two(rng)
    assert io.load(other, path) == description
    equal(other.state_dict(), model.state_dict())
    assert io.read(path).description == description
    assert [entry.name for entry in tmp_path.iterdir()] == ["two.safetensors"]
    assert model.save(path) == path  # a module's own methods, without a description
    assert other.load(path) is None


def test_the_same_model_gives_the_same_bytes(tmp_path):
    cell = tg.ElmanCell(2, 3, rng=0)
    a, b = (io.save(cell, tmp_path / name, {"x": 1, "y": 2}).read_bytes() for name in "ab")
    assert a == b


@pytest.mark.parametrize(
    ("description", "match"),
    [
        ({"x": object()}, "object is not JSON"),
        ({"x": [{1: 2}]}, "the key 1 is no text"),
        ({"x": np.zeros(2)}, "ndarray is not JSON"),
    ],
)
def test_a_description_that_json_does_not_give_back_leaves_no_file(tmp_path, description, match):
    with pytest.raises(TypeError, match=match):
        io.save(tg.ElmanCell(2, 3, rng=0), tmp_path / "m", description)
    circle = []
    circle.append(circle)
    with pytest.raises(TypeError, match="description: Circular"):
        io.save(tg.ElmanCell(2, 3, rng=0), tmp_path / "m", circle)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------
# Other things than modules


class Listing:
    def __init__(self, rng):
        self.own = [tg.Parameter(rng.normal(size=2)), tg.Parameter(rng.normal(size=(1, 2)))]

    def parameters(self):
        return iter(self.own)


def some(rng):
    return {
        "cell": tg.GRUCell(2, 3, rng=rng),
        "heads": [tg.Parameter(rng.normal(size=3)), (tg.Buffer(np.array([True, False])),)],
        "listing": Listing(rng),
    }


def test_containers_are_saved_and_loaded(tmp_path, rng):
    saved, other = some(rng), some(rng)
    path = io.save(saved, tmp_path / "m", "words")
    arrays = io.read(path).arrays
    assert sorted(arrays) == [
        "cell.U", "cell.W", "cell.b", "cell.d",
        "heads.0", "heads.1.0", "listing.0", "listing.1",
    ]  # fmt: skip
    assert io.load(other, path) == "words"
    np.testing.assert_array_equal(other["cell"].W.numpy(), saved["cell"].W.numpy())
    np.testing.assert_array_equal(other["heads"][1][0].numpy(), [True, False])
    np.testing.assert_array_equal(other["listing"].own[1].numpy(), saved["listing"].own[1].numpy())


def test_a_list_an_object_and_parameters_by_name(tmp_path, rng):
    for make in (
        lambda: [tg.ElmanCell(1, 2), tg.Parameter(np.ones(2))],
        lambda: Listing(rng),
        lambda: tg.ElmanCell(1, 2).parameters(),
    ):
        saved, other = make(), make()
        path = io.save(saved, tmp_path / "m")
        before = io.read(path).arrays
        io.load(other, path)
        equal(io.read(io.save(other, path)).arrays, before)


@pytest.mark.parametrize(
    "dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", ">f8", ">i4"]
)
def test_arrays_of_every_dtype_come_back(tmp_path, dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    given = {"a": array, "turned": array.T, "one": array[1, 1], "none": array[:0], "t": 3}
    path = io.save(given, tmp_path / "m")
    for name, value in io.read(path).arrays.items():
        np.testing.assert_array_equal(value, given[name])
        assert value.shape == np.shape(given[name])
        if name != "t":
            assert value.dtype == np.dtype(dtype).newbyteorder("=")


def test_tensors_and_numbers_are_saved(tmp_path):
    h = tg.tanh(tg.Parameter([0.5, 1.0]))
    path = io.save({"h": h, "n": 3, "x": 0.5, "list": [1, 2]}, tmp_path / "m")
    arrays = io.read(path).arrays
    np.testing.assert_array_equal(arrays["h"], h.numpy())
    assert (arrays["n"], arrays["x"], arrays["list.1"]) == (3, 0.5, 2)


@pytest.mark.parametrize(
    ("saved", "error", "match"),
    [
        ({"a": "text"}, TypeError, "save: a is 'text'; wanted numbers"),
        ({"a": [None]}, TypeError, r"save: a\.0 is None"),
        ({"a": np.array([1j])}, TypeError, "save: a is array"),
        ({"a": np.array(["b"])}, TypeError, "save: a is array"),
        ({"a": np.zeros(1, np.longdouble)}, TypeError, "'a' is float128"),
        (np.zeros(3), TypeError, "one array without a name"),
        ({"a.b": 1, "a": {"b": 2}}, ValueError, r"two parts have the path 'a\.b'"),
    ],
)
def test_what_cannot_be_saved_is_named(tmp_path, saved, error, match):
    with pytest.raises(error, match=match):
        io.save(saved, tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_parameter_that_would_be_lost_is_named(tmp_path):
    class Helper:
        def __init__(self):
            self.V = tg.Parameter(np.eye(3), "V")

    cell = tg.ElmanCell(2, 3)
    cell.helper = Helper()
    for save in (cell.save, lambda path: io.save({"cell": cell}, path)):
        with pytest.raises(
            TypeError, match=r"'V' \(3, 3\), held as self\.helper\.V, not listed by"
        ):
            save(tmp_path / "m")
    cell.helper.V.frozen = True
    cell.save(tmp_path / "m")


def trained(optimiser, cell, steps):
    for k in range(steps):
        xs = np.random.default_rng(k).normal(size=(3, 2, 2))
        tg.unroll(cell, xs).outputs.sum().backward()
        optimiser.step()


OPTIMISERS = {
    "adam": lambda c: tg.optim.Adam(c, lr=0.01, betas=(0.8, 0.9)),
    "sgd": lambda c: tg.optim.SGD([{"params": c.U, "lr": 0.5}, c.W, c.b], momentum=0.9),
    "rmsprop": lambda c: tg.optim.RMSprop(c, centered=True, momentum=0.5),
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_training_goes_on_from_a_file(tmp_path, name):
    cell = tg.ElmanCell(2, 3, rng=0)
    optimiser = OPTIMISERS[name](cell)
    trained(optimiser, cell, 3)
    path = io.save({"cell": cell, "training": [optimiser]}, tmp_path / "m", {"step": 3})
    trained(optimiser, cell, 2)

    other = tg.ElmanCell(2, 3, rng=1)
    again = OPTIMISERS[name](other)
    assert io.load({"cell": other, "training": [again]}, path) == {"step": 3}
    trained(again, other, 2)
    equal(other.state_dict(), cell.state_dict())
    alone = OPTIMISERS[name](other)
    io.save(again, path)
    io.load(alone, path)
    assert repr(alone.state_dict()) == repr(again.state_dict())
    with pytest.raises(io.ModelFileError, match="not the values of ElmanCell"):
        other.load(path)


def test_the_state_of_an_optimiser_that_does_not_fit_is_named(tmp_path):
    cell = tg.ElmanCell(2, 3, rng=0)
    adam, sgd = tg.optim.Adam(cell), tg.optim.SGD(cell, momentum=0.9)
    trained(adam, cell, 2)
    path = io.save({"cell": cell, "optimiser": adam}, tmp_path / "m")
    before = repr((cell.state_dict(), sgd.state_dict()))
    for models, words in (
        ({"cell": cell, "optimiser": sgd}, "the state of the optimiser optimiser: SGD: group 0"),
        ({"cell": cell, "other": adam}, "no state of an optimiser at 'other'"),
        (sgd, "no state of an optimiser"),
        ({"cell": tg.ElmanCell(2, 4), "optimiser": adam}, r"'cell\.U' has shape \(2, 3\), wanted"),
    ):
        with pytest.raises(io.ModelFileError, match=words):
            io.load(models, path)
    assert repr((cell.state_dict(), sgd.state_dict())) == before
    hostile = {"__metadata__": {"tinygrad_rnn.states": json.dumps({"optimiser": {"a": [1, None]}})}}
    path.write_bytes(raw(hostile))
    with pytest.raises(io.ModelFileError, match="the state of the optimiser optimiser"):
        io.load({"optimiser": adam}, path)


def test_there_must_be_something_to_load_into(tmp_path):
    path = io.save({"a": 1}, tmp_path / "m")
    with pytest.raises(TypeError, match="nothing in it can be given a value"):
        io.load({"a": np.zeros(1)}, path)


# ------------------------------------------------------------------------------------------------
# Files of other programs


def test_pytorchs_files_are_read(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as torch_save

    model = torch.nn.Linear(3, 2)
    x = torch.tensor([1.5, -0.1, 3e38, float("inf")])
    parts = {"bf": x.to(torch.bfloat16), "half": x[:2].half(), "n": torch.arange(3)}
    torch_save({**model.state_dict(), **parts}, tmp_path / "m", {"format": "pt"})
    arrays, description = io.read(tmp_path / "m")
    assert description is None
    np.testing.assert_array_equal(arrays["weight"], model.weight.detach().numpy())
    np.testing.assert_array_equal(arrays["bf"], parts["bf"].float().numpy())
    assert (arrays["bf"].dtype, arrays["half"].dtype) == (np.float32, np.float16)
    np.testing.assert_array_equal(arrays["half"], parts["half"].numpy())
    ours = tg.nn.Linear(3, 2)
    ours.load_state_dict({"W": arrays["weight"].T, "b": arrays["bias"]})
    wanted = model(torch.ones(1, 3)).detach()
    np.testing.assert_allclose(ours(np.ones((1, 3))).numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_ours_are_read_by_pytorch(tmp_path):
    pytest.importorskip("torch")
    from safetensors.torch import load_file

    cell = tg.GRUCell(2, 3, rng=0)
    found = load_file(cell.save(tmp_path / "m", {"a": 1}))
    np.testing.assert_array_equal(found["W"].numpy(), cell.W.numpy())


def test_half_precision_is_loaded_where_nothing_is_lost(tmp_path):
    cell = tg.ElmanCell(1, 2, rng=0)
    halves = {k: v.astype(np.float16) for k, v in cell.state_dict().items()}
    path = io.save(halves, tmp_path / "m")
    cell.load(path)
    assert cell.W.dtype == np.float32
    np.testing.assert_array_equal(cell.W.numpy(), halves["W"])
    with pytest.raises(io.ModelFileError, match="'U' is float64 and would be rounded"):
        cell.load(io.save({k: v + 1e-12 for k, v in cell.astype(float).state_dict().items()}, path))


# ------------------------------------------------------------------------------------------------
# Damaged and hostile files


def raw(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="F32", shape=(1,), start=0, end=4):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


HOSTILE = {
    "empty": (b"", "not a safetensors file"),
    "text": (b"text", "not a safetensors file"),
    "pickle": (pickle.dumps({"U": 1}), "not a safetensors file"),
    "noise": (b"\xff" * 100, "not a safetensors file"),
    "nested metadata": (raw({"__metadata__": {"tinygrad_rnn": {"a": 1}}}), "not a safetensors f"),
    "metadata of text": (raw({"__metadata__": "x", "U": entry()}, b"abcd"), "not a safetensors"),
    "deep header": (raw(b"[" * 100_000 + b"]" * 100_000), "not a safetensors file"),
    "deep description": (
        raw({"__metadata__": {"tinygrad_rnn": "[" * 100_000 + "]" * 100_000}}),
        "description in its metadata is not JSON",
    ),
    "description": (raw({"__metadata__": {"tinygrad_rnn": "{"}}), "is not JSON"),
    "states": (raw({"__metadata__": {"tinygrad_rnn.states": "["}}), "the states of optimisers in"),
    "no states": (raw({"__metadata__": {"tinygrad_rnn.states": "[1]"}}), "metadata are no dict"),
    "huge number": (
        raw({"__metadata__": {"tinygrad_rnn": "1" * 5000}}), "is not JSON",
    ),
    "zero size": (raw({"U": entry(shape=(0, 2**62), end=0)}), "'U' cannot have the shape"),
    "zero size, many axes": (raw({"U": entry(shape=[0] + [1] * 100, end=0)}), "'U' cannot have th"),
    "huge": (raw({"U": entry(shape=(2**40,), end=2**42)}), "not a safetensors file"),
    "dtype": (raw({"U": entry("F8_E4M3", end=1)}, b"a"), "'U' is of the dtype F8_E4M3, which NumP"),
    "twice": (
        raw(json.dumps({"U": entry(), "V": entry()}).replace("V", "U").encode(), b"abcd"),
        "(the name 'U' is in its header twice|not a safetensors file)",
    ),
    "long name": (raw({"U" * 10**6: entry(shape=(0, 2**62), end=0)}), "cannot have the shape"),
    "escape in a name": (raw({"\x1b[31m": entry(shape=(0, 2**62), end=0)}), r"'\\x1b\[31m' cannot"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_no_model_is_named_in_one_line(tmp_path, name):
    data, words = HOSTILE[name]
    path = tmp_path / "wrong.bin"
    path.write_bytes(data)
    with pytest.raises(io.ModelFileError, match=rf"wrong\.bin.*{words}") as caught:
        io.read(path)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 400 + len(str(path))
    with pytest.raises(io.ModelFileError):
        tg.ElmanCell(2, 3, rng=0).load(path)


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_damaged_file_is_never_another_error(tmp_path_factory, noise, place):
    path = tmp_path_factory.mktemp("damaged") / "m"
    data = bytearray(io.save(tg.ElmanCell(2, 3, rng=0), path, {}).read_bytes())
    data[place : place + len(noise)] = noise
    path.write_bytes(data)
    message = str(path)
    try:
        tg.ElmanCell(2, 3, rng=0).load(path)
    except io.ModelFileError as error:
        message = str(error)
    assert message.startswith(str(path))
    assert len(message.split("\n")) == 1


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        io.read(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"U": (2, 3), "W": (3, 3)}, r"'b' \(3,\) is missing"),
        ({"U": (2, 4), "W": (3, 3), "b": (3,)}, r"'U' has shape \(2, 4\), wanted \(2, 3\)"),
        ({"U": (2, 3), "W": (3, 3), "b": (3,), "V": (1,)}, r"'V' \(1,\) is unexpected"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(tmp_path, arrays, message):
    path = tmp_path / "m.safetensors"
    save_file({name: np.zeros(shape, np.float32) for name, shape in arrays.items()}, path)
    cell = tg.ElmanCell(2, 3, rng=0)
    wanted = rf"m\.safetensors: not the values of ElmanCell: {message}"
    with pytest.raises(io.ModelFileError, match=wanted):
        cell.load(path)
    assert [p.version for p in cell.parameters().values()] == [0, 0, 0]


def test_a_thousand_faults_are_told_in_a_line(tmp_path):
    path = io.save({f"{'x' * 500}{i}": 1 for i in range(1000)}, tmp_path / "m")
    with pytest.raises(io.ModelFileError, match="and 995 more") as caught:
        tg.ElmanCell(2, 3, rng=0).load(path)
    assert len(str(caught.value)) < 1200


def test_the_path_before_the_model_is_noticed(tmp_path):
    cell = tg.ElmanCell(2, 3, rng=0)
    for path in (tmp_path / "m", str(tmp_path / "m")):
        io.save(cell, path)
        with pytest.raises(
            TypeError, match=r"given the path '.*m' first; wanted load\(model, path\)"
        ):
            io.load(path, cell)
