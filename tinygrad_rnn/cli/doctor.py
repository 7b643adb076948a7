"""The command `tinygrad-rnn doctor`."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ..compiler import native, threads

KERNELS = {
    "x86_64": ("Haswell", "SkylakeX", "Cooperlake", "Zen"),
    "AMD64": ("Haswell", "SkylakeX", "Zen"),
}
BETTER = 1.15
"""How much faster a setting has to be to be worth a line in the shell."""

PRODUCT = """
import time, numpy as np
a, b = np.ones((3200, 256), np.float32), np.ones((256, 1024), np.float32)
best = 1e9
for _ in range(8):
    start = time.perf_counter()
    a @ b
    best = min(best, time.perf_counter() - start)
print(2e-9 * a.size * b.shape[1] / best)
"""

STEP = """
import time, numpy as np, tinygrad_rnn as tg
cell, xs = tg.LSTMCell(16, 64, rng=0), np.ones((100, 16, 16), np.float32)
best = 1e9
for _ in range(40):
    start = time.perf_counter()
    tg.square(tg.scan(cell, xs).outputs).sum().backward()
    best = min(best, time.perf_counter() - start)
print(1e3 * best)
"""
"""A training step of a small LSTM: threads that wait for its small products only spin."""


def command(
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure nothing: no other kernels, no threads.")
    ] = False,
) -> None:
    """Show what this machine computes with, and whether a setting would make it faster."""
    for name, value in report().items():
        print(f"{name:15}{value}")
    if quick:
        return
    speeds = products()
    if not speeds:
        print(f"{'products':15}could not be timed")
        return
    now = speeds.pop("", 0.0)
    shown = ", ".join(f"{kernel} {speed:.0f}" for kernel, speed in speeds.items())
    print(
        f"{'products':15}{now:.0f} GFLOP/s in single precision" + (f"; as {shown}" if shown else "")
    )
    print(advice(now, speeds))
    if threads_matter():
        default, one = (timed(STEP, **setting) for setting in ({}, ONE_THREAD))
        if default is None or one is None:
            print(f"{'small steps':15}could not be timed")
            return
        print(f"{'small steps':15}{default:.2f} ms; {one:.2f} with one thread of the BLAS library")
        print(threads_advice(default, one))


def report() -> dict[str, str]:
    """The versions and settings in use, by name."""
    goal = native.target()
    found = {
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} processors",
        "Python, NumPy": f"{platform.python_version()}, {np.__version__}",
        "BLAS": blas(),
        "threads": f"{threads.count()} for scan"
        + "".join(f", {k}={os.environ[k]}" for k in SETTINGS if k in os.environ),
    }
    if goal is None:
        why = "switched off by TINYGRAD_RNN_SCAN" if _installed("llvmlite") else (
            'not installed: python -m pip install "tinygrad_rnn[fast]"'
        )  # fmt: skip
        found["scan"] = f"NumPy loops (llvmlite: {why})"
    else:
        bits = 8 * goal.machine.bytes
        found["scan"] = (
            f"machine code for {goal.cpu}, {bits} bits wide, llvmlite {_installed('llvmlite')}"
        )
        found["cache"] = cache(native.cache_folder())
    drawn = [name for name in ("graphviz", "matplotlib", "pygraphviz") if _installed(name)]
    found["pictures"] = ", ".join(f"{name} {_installed(name)}" for name in drawn) or "SVG only"
    return found


SETTINGS = ("TINYGRAD_RNN_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
            "OPENBLAS_CORETYPE")  # fmt: skip


ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


def threads_matter() -> bool:
    """Whether NumPy's OpenBLAS may use several threads."""
    given = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS")
    return bool(_kernel()) and given != "1" and (os.cpu_count() or 1) > 1


def threads_advice(now: float, one: float) -> str:
    """The line for one's shell, if small steps are faster with one thread."""
    if now < BETTER * one:
        return "Threads of the BLAS library do not slow small steps down."
    return (
        f"One thread is {now / one:.1f} times as fast for small models (large products want all "
        "of them). Put\nthis into your shell, before Python starts:\n"
        "    export OPENBLAS_NUM_THREADS=1"
    )


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def blas() -> str:
    """The BLAS library that NumPy was built with, and the kernel that it chose."""
    config: Any = np.show_config(mode="dicts")
    built = config.get("Build Dependencies", {}).get("blas", {})
    name = f"{built.get('name', 'unknown')} {built.get('version', '')}".strip()
    kernel = _kernel()
    return f"{name}, kernel {kernel}" if kernel else name


def _kernel() -> str:
    """The kernel that OpenBLAS in NumPy's wheel runs with; nothing if it is another library."""
    root = Path(np.__file__).parent
    for path in [*root.parent.glob("numpy.libs/*openblas*"), *root.glob(".dylibs/*openblas*")]:
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for name in ("scipy_openblas_get_corename64_", "scipy_openblas_get_corename"):
            function: Callable[[], Any] | None = getattr(library, name, None)
            if function is not None:
                function.restype = ctypes.c_char_p  # type: ignore[attr-defined]
                return str(function().decode())
    return ""


def cache(folder: Path) -> str:
    """The state of the folder for object code."""
    try:
        files = [path.stat().st_size for path in folder.glob("*.o")]
    except OSError as error:
        return f"{folder} ({error.strerror})"
    parent = next(p for p in (folder, *folder.parents) if p.exists())
    writable = "" if os.access(parent, os.W_OK) else ", which cannot be written to"
    return f"{folder}{writable}: {len(files)} loops, {sum(files) / 1e6:.1f} MB"


def products() -> dict[str, float]:
    """GFLOP/s of a product, by kernel; "" is the one that is chosen without a setting."""
    found = {}
    others = KERNELS.get(platform.machine(), ()) if _kernel() else ()
    for kernel in ("", *others):
        speed = timed(PRODUCT, **({"OPENBLAS_CORETYPE": kernel} if kernel else {}))
        if speed is not None:
            found[kernel] = speed
    return found


def timed(code: str, **settings: str) -> float | None:
    """The number that a process of its own prints; None if it fails, as with a kernel for another
    processor."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code],
        capture_output=True, text=True, env=os.environ | settings, check=False,
    )  # fmt: skip
    return None if done.returncode else float(done.stdout)


def advice(now: float, others: dict[str, float]) -> str:
    """The line for one's shell, if another kernel is faster."""
    best = max(others, key=lambda kernel: others[kernel], default="")
    if not best or others[best] < BETTER * now:
        return "No other kernel is clearly faster."
    return (
        f"{best} is {others[best] / now:.1f} times as fast. Put this into your shell, before "
        f"Python starts:\n    export OPENBLAS_CORETYPE={best}"
    )
