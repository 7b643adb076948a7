"""Native code: accurate functions, products of all sizes, and computing without it."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import warnings

import numpy as np
import pytest
from compiler import cells
from compiler.test_scan import LOSSES, initial, looked_at, same

import tinygrad_rnn as tg
from tinygrad_rnn import tree
from tinygrad_rnn.compiler import llvm_text, lower, native, program, record, runtime
from tinygrad_rnn.graph import Place

pytest.importorskip("llvmlite")
KINDS = {np.float32: "float", np.float64: "double"}


def kind_of(dtype):
    machine = native.target().machine
    return llvm_text.Kind(KINDS[dtype], machine.bytes // np.dtype(dtype).itemsize)


def function(word, dtype):
    """y = f(x), entry by entry."""
    kind = kind_of(dtype)
    t = llvm_text.Text(kind)
    x = t.let("load ptr, ptr %args")
    y = t.let(f"load ptr, ptr {t.let('getelementptr ptr, ptr %args, i64 1')}")
    with t.loop("%n", kind.lanes) as i:
        p = t.let(f"getelementptr {kind.scalar}, ptr {x}, i64 {i}")
        value = getattr(t, word)(t.let(f"load {kind.vector}, ptr {p}, align {kind.size}"))
        p = t.let(f"getelementptr {kind.scalar}, ptr {y}, i64 {i}")
        t.do(f"store {kind.vector} {value}, ptr {p}, align {kind.size}")
    text = llvm_text.function("@run", "ptr %args, ptr %numbers, i64 %n, i64 %a, i64 %b", t)
    module = llvm_text.module([text], list(t.declared), native.target().machine)
    run = native.compiled(module, "run")

    def called(x):
        filled = np.zeros(-(-len(x) // 64) * 64, dtype)
        filled[: len(x)] = x
        y = np.empty_like(filled)
        given = (ctypes.c_void_p * 2)(filled.ctypes.data, y.ctypes.data)
        run(ctypes.addressof(given), None, len(filled), 0, 0)
        return y[: len(x)]

    return called


EXACT = {
    "exp": np.exp,
    "tanh": np.tanh,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "sigmoid": lambda x: np.where(x > 0, 1 / (1 + np.exp(-x)), np.exp(x) / (1 + np.exp(x))),
}


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("word", EXACT)
def test_functions_are_within_four_units_in_the_last_place(word, dtype):
    rng = np.random.default_rng(0)
    size = rng.uniform(-45 if dtype is np.float32 else -300, 3, 20000)
    x = np.concatenate([
        rng.uniform(-1, 1, 50000), rng.uniform(-20, 20, 50000), rng.uniform(-800, 800, 20000),
        10.0**size, -(10.0**size),
    ]).astype(dtype)  # fmt: skip
    with np.errstate(all="ignore"):
        wanted = EXACT[word](x.astype(np.longdouble))
        nearest = wanted.astype(dtype)
        unit = np.spacing(np.abs(nearest)).astype(np.longdouble)
        found = function(word, dtype)(x)
        finite = np.isfinite(nearest)
        error = np.abs(found.astype(np.longdouble) - wanted)[finite] / unit[finite]
    assert error.max() <= 4
    np.testing.assert_array_equal(found[~finite], nearest[~finite])


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("word", EXACT)
def test_functions_of_infinities_and_nan(word, dtype):
    x = np.array([np.inf, -np.inf, np.nan, 0.0, 1e30, -1e30], dtype)
    with np.errstate(all="ignore"):
        wanted = EXACT[word](x.astype(np.longdouble))
        ends = {"exp": [np.inf, 0], "tanh": [1, -1], "sigmoid": [1, 0], "expm1": [np.inf, -1]}
        if word in ends:
            wanted[:2] = wanted[4:] = ends[word]
    np.testing.assert_array_equal(function(word, dtype)(x), wanted.astype(dtype))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize(
    ("rows", "depth", "across"),
    [(1, 1, 1), (1, 7, 33), (2, 9, 64), (3, 32, 31), (7, 5, 20), (8, 16, 32), (19, 40, 100)],
)
def test_products(rows, depth, across, dtype):
    kind, machine = kind_of(dtype), native.target().machine
    t = llvm_text.Text(kind)
    a, b, c = (
        t.let(f"load ptr, ptr {t.let(f'getelementptr ptr, ptr %args, i64 {k}')}") for k in range(3)
    )
    t.do(
        f"call void @product(ptr {a}, i64 {depth}, ptr {b}, i64 {depth}, ptr {c}, i64 {across}, "
        f"i64 {across}, i64 %first, i64 %last)"
    )
    functions = [llvm_text.function("@run", lower.SIGNATURE, t), lower.product(kind, machine)]
    functions += [llvm_text.tile(kind, machine, n) for n in machine.rows]
    text = llvm_text.module(functions, lower.declared_by_tiles(kind), machine)
    rng = np.random.default_rng(0)
    A, B = (rng.normal(size=s).astype(dtype) for s in ((rows, depth), (depth, across)))
    packed = runtime.pack(B, kind.lanes * machine.across)
    C = np.full((rows, across), 7, dtype)
    given = (ctypes.c_void_p * 3)(A.ctypes.data, packed.ctypes.data, C.ctypes.data)
    first, last = rows // 3, rows - rows // 4
    native.compiled(text, "run")(ctypes.addressof(given), None, 1, first, last)
    tolerance = 1e-5 if dtype is np.float32 else 1e-13
    np.testing.assert_allclose(C[first:last], (A @ B)[first:last], rtol=tolerance, atol=tolerance)
    assert (C[:first] == 7).all()
    assert (C[last:] == 7).all()


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("T", "B", "widths", "across"),
    [(1, 1, [1], 1), (3, 2, [5, 13], 7), (2, 1, [12, 3], 33), (130, 3, [7, 24, 1], 65)],
)
def test_products_and_sums_over_all_steps(T, B, widths, across, count, dtype, monkeypatch):
    from tinygrad_rnn.compiler import native_products, threads

    monkeypatch.setattr(native_products, "ALONE", 0)
    monkeypatch.setattr(threads, "count", lambda: count)
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(T, B, sum(widths))).astype(dtype)
    parts = np.split(wide, np.cumsum(widths)[:-1], axis=2)  # views with rows that are apart
    parts[0] = np.ascontiguousarray(parts[0])[::-1]
    g = rng.normal(size=(T, B, across)).astype(dtype)
    tolerance = (
        {"rtol": 1e-4, "atol": 1e-4} if dtype is np.float32 else {"rtol": 1e-12, "atol": 1e-11}
    )
    sums = [np.ones((w, across), dtype) for w in [*widths, 1]]
    native_products.totals([*parts, None], g, sums)
    ones = np.ones((T, B, 1), dtype)
    for a, found in zip([*parts, ones], sums, strict=True):
        np.testing.assert_allclose(found, 1 + np.einsum("tbi,tbj->ij", a, g), **tolerance)
    for a in parts:
        b, out = rng.normal(size=(a.shape[2], across)).astype(dtype), np.empty_like(g)
        native_products.many(a, b, out)
        np.testing.assert_allclose(out, a @ b, **tolerance)


def sources(cell, xs):
    """The code of both directions."""
    s0 = tree.map_leaves(lambda t: t._value, cell.initial_state(xs.shape[1]))
    step = record.record_step(cell, (xs[0],), s0, xs.shape[1], Place(1))
    p = program.program_for(step)
    wanted = [False] + [True] * (len(p.joint.states) + len(p.joint.outside))
    return p.forward(wanted, True).source, p.backward(wanted, [True] * len(p.joint.results)).source


NATIVE = [*cells.KNOWN, "Readout", "Delay", "Twins", "WeightNorm", "Diagonal", "Largest"]


@pytest.mark.parametrize("name", NATIVE)
def test_these_cells_are_native(name):
    cell = cells.ALL[name]()
    ahead, back = sources(cell, cells.sequence(cell))
    assert "native(" in ahead
    assert "native(" in back


def test_operations_that_native_loops_lack_are_left_to_numpy():
    cell = cells.Custom()
    ahead, back = sources(cell, cells.sequence(cell))
    assert "native(" not in ahead + back


class Parts(cells.Base):
    """Parts of a state, of which one has no entries."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def step(self, x, s):
        parts = tg.split(s @ self.W + x @ self.U, self.at, axis=1)
        s = tg.concatenate([tg.tanh(part) for part in parts], axis=1)
        return s / tg.sqrt((s * s).mean(1, keepdims=True) + 1), s


@pytest.mark.parametrize("at", [[0, 1], [1, 1], [3, 3], [3, 4]])
def test_parts_without_entries(at):
    cell = Parts(at)
    xs, s0 = cells.sequence(cell, 5, 3), initial(cell, 3)
    wanted = looked_at(tg.unroll, cell, xs, s0, LOSSES["everything"])
    same(looked_at(tg.scan, cell, xs, s0, LOSSES["everything"]), wanted)


@pytest.mark.parametrize("B", [1, 2, 5, 9, 17])
@pytest.mark.parametrize("name", ["LSTM", "GRU, reset before", "Delay"])
def test_batches_of_all_sizes_and_several_threads(name, B, monkeypatch):
    from tinygrad_rnn.compiler import native_products, threads

    monkeypatch.setattr(native_products, "ALONE", 0)
    cell = cells.ALL[name]()
    xs, s0 = cells.sequence(cell, 5, B), initial(cell, B)
    wanted = looked_at(tg.unroll, cell, xs, s0, LOSSES["everything"])
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "count", lambda n=count: n)
        same(looked_at(tg.scan, cell, xs, s0, LOSSES["everything"]), wanted)


def test_addresses_are_the_same_from_the_array_objects_and_from_numpy(monkeypatch):
    cell = cells.ALL["LSTM"]()
    xs, s0 = cells.sequence(cell, 5, 9)[::-1], initial(cell, 9)
    wanted = looked_at(tg.scan, cell, xs, s0, LOSSES["everything"])
    assert native._offset() is not None or sys.implementation.name != "cpython"
    monkeypatch.setattr(native, "_offset", lambda: None)
    for one, other in zip(
        looked_at(tg.scan, cell, xs, s0, LOSSES["everything"]), wanted, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_sizes_that_are_no_multiple_of_a_vector():
    rng = np.random.default_rng(0)
    for H in (1, 3, 15, 33):
        cell = tg.GRUCell(5, H, rng=0, dtype=np.float64)
        xs, s0 = rng.normal(size=(4, 3, 5)), initial(cell, 3)
        wanted = looked_at(tg.unroll, cell, xs, s0, LOSSES["outputs"])
        same(looked_at(tg.scan, cell, xs, s0, LOSSES["outputs"]), wanted)


def run(code, **environment):
    import os

    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


ONE = """
import numpy as np, tinygrad_rnn as tg
run = tg.scan(tg.GRUCell(3, 4, rng=0), np.ones((5, 2, 3)))
run.outputs.sum().backward()
print(run.outputs.sum().item())
"""


def test_object_code_is_kept_and_a_broken_file_made_anew(tmp_path):
    first = run(ONE, TINYGRAD_RNN_CACHE=str(tmp_path))
    assert first.returncode == 0, first.stderr
    files = {p: p.read_bytes() for p in tmp_path.iterdir()}
    assert len(files) == 4  # two loops, a product before them, one after them
    for k, (path, data) in enumerate(files.items()):
        path.write_bytes(b"" if k % 2 else data[:-100] + b"x" * 100)
    again = run(ONE, TINYGRAD_RNN_CACHE=str(tmp_path))
    assert again.stdout == first.stdout
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == files


def test_a_cache_that_cannot_be_written_to_is_said_once(tmp_path):
    (tmp_path / "file").write_text("no folder")
    told = "import warnings; warnings.simplefilter('default')\n" + ONE
    found = run(told, TINYGRAD_RNN_CACHE=str(tmp_path / "file" / "in"))
    assert found.returncode == 0, found.stderr
    assert found.stderr.count("can't be kept") == 1
    assert "TINYGRAD_RNN_CACHE" in found.stderr


def test_without_llvmlite_numpy_does_it(tmp_path):
    wanted = run(ONE, TINYGRAD_RNN_CACHE=str(tmp_path))
    blocked = "import sys; sys.modules['llvmlite'] = None\n" + ONE
    found = run(blocked, TINYGRAD_RNN_CACHE=str(tmp_path))
    assert found.returncode == 0, found.stderr
    assert float(found.stdout) == pytest.approx(float(wanted.stdout), rel=1e-5)
    switched = run(ONE, TINYGRAD_RNN_SCAN="numpy")
    assert switched.stdout == found.stdout


def test_llvm_that_fails_is_said_once_and_numpy_does_it(monkeypatch):
    monkeypatch.setattr(native, "_object", lambda *_: (_ for _ in ()).throw(ValueError("no good")))
    monkeypatch.setattr(native, "_engines", {})
    monkeypatch.setattr(native, "_warned", set())
    monkeypatch.setattr(program, "_programs", type(program._programs)())
    cell = tg.GRUCell(3, 4, rng=0)
    xs = np.ones((5, 2, 3))
    with pytest.warns(RuntimeWarning, match="could not be compiled .no good.; its NumPy backend"):
        run = tg.scan(cell, xs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tg.scan(tg.LSTMCell(3, 4, rng=0), xs)
    np.testing.assert_allclose(
        run.outputs.numpy(), tg.unroll(cell, xs).outputs.numpy(), rtol=1e-5, atol=1e-6
    )


def test_the_machines_that_are_not_this_one_are_right_too(monkeypatch):
    """Narrower vectors run here as well."""
    own = native.target()
    for machine in llvm_text.MACHINES.values():
        if machine.bytes > own.machine.bytes:
            continue
        monkeypatch.setattr(program, "_machine", lambda m=machine: m)
        monkeypatch.setattr(native, "target", lambda m=machine: own._replace(machine=m))
        monkeypatch.setattr(program, "_programs", type(program._programs)())
        for name in ("LSTM", "GRU"):
            cell = cells.ALL[name]()
            xs, s0 = cells.sequence(cell, 4, 7), initial(cell, 7)
            wanted = looked_at(tg.unroll, cell, xs, s0, LOSSES["everything"])
            same(looked_at(tg.scan, cell, xs, s0, LOSSES["everything"]), wanted)
