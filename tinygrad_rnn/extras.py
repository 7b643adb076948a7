"""Packages that only some programs need: the error when one is missing."""

from __future__ import annotations


def need(package: str, extra: str, who: str) -> None:
    """Raise ModuleNotFoundError, with the command that installs it, if a package is missing.

    >>> need("numpy", "core", "the engine")
    >>> need("no_such_package", "draw", "a plot")
    Traceback (most recent call last):
    ModuleNotFoundError: a plot needs no_such_package: python -m pip install "tinygrad_rnn[draw]"
    """
    from importlib.util import find_spec

    if find_spec(package) is None:
        line = f'python -m pip install "tinygrad_rnn[{extra}]"'
        raise ModuleNotFoundError(f"{who} needs {package}: {line}", name=package)
