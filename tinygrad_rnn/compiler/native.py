"""Compiling IR, keeping the object code on disk, and calling it.

llvmlite (the extra `fast`) does the compiling. Without it, or where it fails, the NumPy backend
does everything, and says so once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
import warnings
from array import array
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .llvm_text import MACHINES, Machine

FORMAT = 1
"""Of the files in the cache; counts up when the same text is to be compiled in another way."""


class Target(NamedTuple):
    """The processor that code is made for."""

    machine: Machine
    cpu: str
    features: str
    llvm: Any
    target: Any


@cache
def target() -> Target | None:
    """This processor; None if nothing can be compiled for it."""
    if os.environ.get("TINYGRAD_RNN_SCAN", "").lower() == "numpy":
        return None
    try:
        import llvmlite.binding as llvm
    except ImportError:
        return None
    try:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        known = llvm.get_host_cpu_features()
        cpu = llvm.get_host_cpu_name()
        features = known.flatten()
        made = llvm.Target.from_default_triple().create_target_machine(
            cpu=cpu, features=features, opt=3
        )
    except Exception as error:
        _warn(f"llvmlite does not work here ({error})")
        return None
    size = 64 if known.get("avx512f") else 32 if known.get("avx2") and known.get("fma") else 16
    return Target(MACHINES[size], cpu, features, llvm, made)


def address(a: Any) -> int:
    """Of an array's first entry."""
    found: int = a.__array_interface__["data"][0]
    return found


@cache
def _offset() -> int | None:
    """Where an array object holds that address, if it does so in CPython's way."""
    if sys.implementation.name != "cpython":
        return None
    arrays = [np.empty(n, np.uint8)[n // 2 :] for n in (2, 100, 10_000)]
    for at in range(0, np.ndarray.__basicsize__, ctypes.sizeof(ctypes.c_void_p)):
        if all(ctypes.c_size_t.from_address(id(a) + at).value == address(a) for a in arrays):
            return at
    return None


def call(
    run: Callable[..., Any], arrays: list[Any], numbers: list[int], n: int, first: int, last: int
) -> None:
    """Call a compiled function with the addresses of some arrays.

    They are read where the array objects hold them: `__array_interface__` makes a dictionary for
    each, and that took a tenth of the time of a small training step.
    """
    at = _offset()
    if at is None:
        found = list(map(address, arrays))
    else:
        read = ctypes.c_int64.from_address
        found = [read(id(a) + at).value for a in arrays]
    given = array("q", found + numbers)
    begin, _ = given.buffer_info()
    run(begin, begin + given.itemsize * len(found), n, first, last)


_warned: set[str] = set()


def _warn(why: str) -> None:
    """Say once that the NumPy backend does the work."""
    if why not in _warned:
        _warned.add(why)
        warnings.warn(f"scan: {why}; its NumPy backend is used", RuntimeWarning, stacklevel=2)


def cache_folder() -> Path:
    """Where object code is kept: $TINYGRAD_RNN_CACHE, or the user's cache folder."""
    given = os.environ.get("TINYGRAD_RNN_CACHE")
    if given:
        return Path(given)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tinygrad_rnn"


_engines: dict[str, tuple[Any, Callable[..., Any]]] = {}
_lock = threading.Lock()


def compiled(text: str, name: str) -> Callable[..., Any] | None:
    """A function of some IR that takes (arguments, numbers, n, first row, last row).

    None if it can't be compiled: the reason is said in a warning.
    """
    goal = target()
    if goal is None:
        return None
    version = goal.llvm.llvm_version_info
    parts = (FORMAT, version, goal.cpu, goal.features, text)
    key = _digest(repr(parts).encode()).hex()
    with _lock:
        if key not in _engines:
            try:
                _engines[key] = _loaded(_object(text, key, goal), name, goal)
            except Exception as error:
                _warn(f"a step could not be compiled ({str(error).splitlines()[0]})")
                return None
        return _engines[key][1]


@cache
def linked(name: str) -> bool:
    """Whether a function of C's library is there for loops; LLVM ends the process if not."""
    goal = target()
    for library in (None, "libm.so.6", "ucrtbase"):
        with contextlib.suppress(OSError, TypeError, AttributeError):
            address = ctypes.cast(getattr(ctypes.CDLL(library), name), ctypes.c_void_p).value
            if goal is not None and address:
                goal.llvm.add_symbol(name, address)
                return True
    return False


def _digest(data: bytes) -> bytes:
    import hashlib  # with OpenSSL behind it, a tenth of the time that this package takes to import

    return hashlib.sha256(data).digest()


def _object(text: str, key: str, goal: Target) -> bytes:
    """The object code of some IR, from the disk if it is there."""
    path = cache_folder() / f"{key}.o"
    try:
        data = path.read_bytes()
        digest, code = data[:32], data[32:]
        if _digest(code) == digest:
            return code
    except OSError:
        pass
    llvm = goal.llvm
    module = llvm.parse_assembly(text)
    module.verify()
    builder = llvm.create_pass_builder(
        goal.target, llvm.create_pipeline_tuning_options(speed_level=3)
    )
    builder.getModulePassManager().run(module, builder)
    code = bytes(goal.target.emit_object(module))
    _keep(path, _digest(code) + code)
    return code


def _keep(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all; a folder that can't be written to is said once."""
    import tempfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(number, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except OSError as error:
        why = f"compiled steps can't be kept in {path.parent} ({error.strerror or error})"
        if why not in _warned:
            _warned.add(why)
            warnings.warn(
                f"scan: {why}; every process compiles them anew. Set TINYGRAD_RNN_CACHE to a "
                "folder that can be written to",
                RuntimeWarning,
                stacklevel=2,
            )


def _loaded(code: bytes, name: str, goal: Target) -> tuple[Any, Callable[..., Any]]:
    llvm = goal.llvm
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), goal.target)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(name)
    if not address:
        raise RuntimeError(f"no function {name} in the object code")
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3)
    return engine, kind(address)
