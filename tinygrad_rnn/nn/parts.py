"""Parts of a cell that is run: their operations are recorded in a scope with their name in it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from types import MethodType
from typing import TYPE_CHECKING, Any

from ..graph import current, scope

if TYPE_CHECKING:
    from .module import Module


class Running:
    """A cell whose step is being run, in `depth` scopes.

    path    where it is in the outermost of the cells that are run, with a dot behind it
    paths   {part: its path}, of all parts of the outermost, found when the first of them is run
    """

    __slots__ = ("cell", "depth", "path", "paths")

    def __init__(self, cell: Any, path: str = "", paths: dict[int, str] | None = None) -> None:
        self.cell, self.path, self.paths = cell, path, paths
        self.depth = len(current().place.scopes)

    def path_of(self, part: Module) -> str | None:
        """The path of a part of the outermost cell, if this cell has it inside."""
        if self.paths is None:
            modules = self.cell.modules() if hasattr(self.cell, "modules") else {}
            self.paths = {id(module): path for path, module in modules.items()}
        path = self.paths.get(id(part), "")
        return path if path.startswith(self.path) and path else None


running: ContextVar[Running | None] = ContextVar("running", default=None)
"""The innermost cell that is run by `unroll`."""


@contextmanager
def run(cell: Any) -> Iterator[None]:
    """Within this block, the cell's step is run: parts of it that are called have their names."""
    token = running.set(Running(cell))
    try:
        yield
    finally:
        running.reset(token)


def named(function: Callable[..., Any]) -> Callable[..., Any]:
    """A step, or a call of a module, in a scope with the name that the running cell has for it.

    None is added where the cell has opened a scope of its own around the call.
    """

    @functools.wraps(function)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer = running.get()
        if outer is None or outer.cell is self or (path := outer.path_of(self)) is None:
            return function(self, *args, **kwargs)
        has_one = len(current().place.scopes) > outer.depth
        with nullcontext() if has_one else scope(path.removeprefix(outer.path)):
            token = running.set(Running(self, f"{path}.", outer.paths))
            try:
                return function(self, *args, **kwargs)
            finally:
                running.reset(token)

    return called


def plain(step: Callable[..., Any]) -> Callable[..., Any]:
    """A step as its class has it, without a look at whether another cell is run."""
    written = getattr(step, "__wrapped__", None)
    owner = getattr(step, "__self__", None)
    return step if written is None or owner is None else MethodType(written, owner)
