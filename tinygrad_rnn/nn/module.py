"""The module: parameters and buffers held in attributes, found by their paths."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import FunctionType, MethodType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .. import tree
from ..elsewhere import MODULES, SETTINGS, Substituted, refuse_theirs
from ..graph import Array, Leaf, Node
from ..notation import several
from ..outside import reached
from ..primitive import plain_array
from ..tensor import FLOAT, Buffer, Parameter, Tensor
from . import parts

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


class ParameterPath(str):
    """The path of a parameter; taken for the parameter, as in PyTorch's loops, it says so."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{self!r} is the path of a parameter and has no attribute {name!r}: parameters() is a "
            "dict, and the parameters are its .values()"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        getattr(self, name)


class Parameters(dict[str, Parameter]):
    """The parameters of a module by path; an optimiser asks it for the module.

    module   whose parameters they are
    """

    def __init__(self, found: Mapping[str, Parameter], module: Module) -> None:
        super().__init__({ParameterPath(path): p for path, p in found.items()})
        self.module = module

    def __or__(self, other: Any) -> Any:
        """Two together; ValueError for parameters of one path, of which one would be lost."""
        lost = [path for path, p in self.items() if path in other and other[path] is not p]
        if lost:
            raise ValueError(
                f"both have {', '.join(map(repr, lost))}: one would be lost; an optimiser takes a "
                "list of modules, [a, b], and tg.io.save a dict of them"
            )
        return super().__or__(other)


class Module:
    """A part of a model: it holds parameters, buffers and other modules in its attributes.

    They are found, and named by their paths, in attributes, in lists, tuples, dicts and dataclasses
    nested as you like, in modules inside this one, and in objects with a method `parameters()`. A
    parameter or buffer that is held in several places is one, under the first of its names.

    parameter  `tg.Parameter`: is trained and saved
    buffer     `tg.Buffer`: an array with a dtype of its own that is saved and not trained
    training   True; False after `eval()`: layers such as dropout ask for it

    >>> import numpy as np, tinygrad_rnn as tg
    >>> class Readout(tg.Module):
    ...     def __init__(self, sizes):
    ...         self.Vs = [tg.Parameter(np.zeros(size)) for size in sizes]
    ...         self.scale = tg.Buffer(np.ones(3))
    >>> model = Readout([(4, 2), (2, 3)])
    >>> list(model.parameters()), list(model.buffers())
    (['Vs.0', 'Vs.1'], ['scale'])
    >>> model
    Readout(Vs.0 (4, 2), Vs.1 (2, 3), scale (3,) fixed; 14 parameters)
    """

    training: bool = True

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """A setting of PyTorch's or Keras's that the constructor has not is answered with ours."""
        if kwargs:
            refuse_theirs(cls, kwargs.keys(), SETTINGS)
        return super().__new__(cls)

    def __init_subclass__(cls, **options: Any) -> None:
        """A method `forward` is run by a call of the module, as in PyTorch.

        Steps, and calls of users' modules, look whether they are parts of a cell that is run.
        """
        super().__init_subclass__(**options)
        if "forward" in vars(cls) and "__call__" not in vars(cls):
            cls.__call__ = vars(cls)["forward"]  # type: ignore[method-assign]
        ours = cls.__module__.startswith(__package__.partition(".")[0] + ".")
        for name in ("step",) if ours else ("step", "__call__"):
            if isinstance(vars(cls).get(name), FunctionType):
                setattr(cls, name, parts.named(vars(cls)[name]))

    # -- discovery -------------------------------------------------------------------------------

    def parameters(self) -> dict[str, Parameter]:
        """The parameters by path, such as `W`, `layers.0.W` or `encoder.W`; a shared one once."""
        return Parameters(_once(self, Parameter), self)

    def buffers(self) -> dict[str, Buffer]:
        """The buffers by path; a shared one once."""
        return _once(self, Buffer)

    def modules(self) -> dict[str, Module]:
        """The modules inside this one by path, and this one itself under the name ""."""
        return {"": self} | _once(self, Module)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of states and data: of parameters, buffers and other tensors, promoted.

        A weight may be a tensor that was computed, so tensors in attributes count too. If there is
        none of all these, that of float arrays in attributes; float32 without any.
        """
        return weights_dtype(self) or FLOAT

    # -- training --------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set `training` here and in all modules inside; gives the module itself."""
        for module in self.modules().values():
            module.training = mode
        return self

    def eval(self) -> Self:
        """The same as `train(False)`: dropout and its like do nothing."""
        return self.train(False)

    def freeze(self) -> Self:
        """Keep all parameters as they are: `backward` and optimisers leave them out.

        >>> import numpy as np, tinygrad_rnn as tg
        >>> cell = tg.ElmanCell(1, 2, rng=0).freeze()
        >>> tg.unroll(cell, np.ones((3, 1, 1))).outputs.sum().backward()
        >>> cell.W.grad is None, cell.unfreeze().W.frozen
        (True, False)
        """
        for p in self.parameters().values():
            p.frozen = True
        return self

    def unfreeze(self) -> Self:
        """Let all parameters be trained again."""
        for p in self.parameters().values():
            p.frozen = False
        return self

    # -- values ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Array]:
        """Copies of the values of all parameters and buffers, by path.

        >>> import tinygrad_rnn as tg
        >>> {name: array.shape for name, array in tg.ElmanCell(1, 2).state_dict().items()}
        {'U': (1, 2), 'W': (2, 2), 'b': (2,)}
        """
        return {name: np.array(held.numpy()) for name, held in self._saved().items()}

    def load_state_dict(self, values: Mapping[str, Any], strict: bool = True) -> None:
        """Give parameters and buffers the values of a `state_dict`; their dtypes stay.

        values  arrays by path
        strict  all of them are wanted and no others; False: those that are given by a known name

        Raises ValueError, and changes nothing, for values that are missing, unexpected, of another
        shape, or that would be rounded (float64 into a float32 parameter).
        """
        if wrong := self._take(values, strict):
            raise ValueError(f"{type(self).__name__}.load_state_dict: {wrong}")

    def _take(self, values: Mapping[str, Any], strict: bool) -> str | None:
        """Take values for parameters and buffers if all fit; else the faults, and nothing is."""
        _check_mapping(values, type(self).__name__)
        own = self._saved()
        first = {id(held): name for name, held in own.items()}
        known = {name: first[id(held)] for name, held in _named(self) if id(held) in first}
        missing = [name for name in own if name not in values] if strict else []
        wrong = [f"{_short(name)} {own[name].shape} is missing" for name in missing]
        new: dict[str, Array] = {}
        for name, value in values.items():
            if name not in known and name not in own:
                if strict:
                    wrong.append(f"{_short(name)} {np.shape(value)!s:.80} is unexpected")
                continue
            main = known.get(name, name)
            array = plain_array(
                value.numpy() if isinstance(value, Tensor) else value,
                f"{type(self).__name__}: {name}",
            )
            fault = _misfit(own[main], array)
            if fault is None and main in new and not _same(new[main], array):
                fault = f"is another value than {main!r}, which is the same parameter"
            if fault is not None:
                wrong.append(f"{_short(name)} {fault}")
            new.setdefault(main, array)
        if wrong:
            more = f"; and {len(wrong) - 8} more" if len(wrong) > 8 else ""
            return "; ".join(wrong[:8]) + more
        for name, array in new.items():
            own[name].assign(array)
        return None

    def save(self, path: str | Path, description: Any = None) -> Path:
        """Write parameters and buffers to a safetensors file, under their paths.

        path          an existing file is replaced, and only once all of the new one is written
        description   anything JSON can hold: sizes, a vocabulary

        Raises TypeError if the module holds parameters that it does not list, or for a description
        that JSON cannot hold; OSError if the file cannot be written.

        >>> import tempfile, tinygrad_rnn as tg
        >>> cell, other = tg.ElmanCell(1, 2, rng=0), tg.ElmanCell(1, 2, rng=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = cell.save(folder + "/cell.safetensors", {"sizes": [1, 2]})
        ...     other.load(path)
        {'sizes': [1, 2]}
        >>> bool((other.W.numpy() == cell.W.numpy()).all())
        True
        """
        from ..serialize import save_arrays

        return save_arrays(state_to_save(self), path, description)

    def load(self, path: str | Path) -> Any:
        """Take the values in a safetensors file, and give back the description beside them.

        Values take the dtype of the parameters they are for; one that would be rounded is refused.

        Raises ModelFileError, and changes nothing, for a file of another kind or with other names
        or shapes; OSError if it cannot be read.
        """
        from ..serialize import ModelFileError, read

        arrays, description = read(path)
        if wrong := self._take(arrays, strict=True):
            raise ModelFileError(f"{path}: not the values of {type(self).__name__}: {wrong}")
        return description

    def with_parameters(self, values: Mapping[str, ArrayLike | Tensor]) -> Self:
        """A copy of this module with these values for its parameters; it stays as it is.

        values  by the names that `parameters()` gives: all of them, in the same shapes. An array
                becomes a new parameter of its dtype. A tensor is put in place as it is, so that
                gradients flow back through it: weights after a recorded step of descent, say

        Raises ValueError for other names or shapes, and for two values of a shared parameter.

        >>> import tinygrad_rnn as tg
        >>> cell = tg.ElmanCell(1, 2, rng=0)
        >>> double = {name: p.numpy().astype("float64") for name, p in cell.parameters().items()}
        >>> cell.with_parameters(double).dtype, cell.dtype
        (dtype('float64'), dtype('float32'))
        """
        who, own = f"{type(self).__name__}.with_parameters", self.parameters()
        _check_mapping(values, who)
        known = {name: p for name, p in _named(self) if isinstance(p, Parameter)} | own
        if not own.keys() <= values.keys() <= known.keys():
            wrong = [f"{name!r} is unknown" for name in values if name not in known]
            wrong += [f"{name!r} is missing" for name in own if name not in values]
            raise ValueError(f"{who}: {', '.join(wrong)}; wanted {', '.join(own) or 'none'}")
        new: dict[int, Tensor] = {}
        for name, value in values.items():
            p = known[name]
            tensor = value if isinstance(value, Tensor) else Parameter(value, p.name)
            if tensor.shape != p.shape:
                raise ValueError(
                    f"{who}: {name} is given with shape {tensor.shape}, wanted {p.shape}"
                )
            other = new.setdefault(id(p), tensor)
            if other is not tensor and not _same(other._value, tensor._value):
                raise ValueError(f"{who}: {name} shares its parameter, but is given other values")
        return copy.deepcopy(self, dict[int, Any](new))

    def astype(self, dtype: DTypeLike) -> Self:
        """A copy of this module with all its parameters and buffers of floats in a dtype.

        >>> import tinygrad_rnn as tg
        >>> tg.ElmanCell(1, 2).astype("float64").dtype
        dtype('float64')
        """
        new: dict[int, Any] = {}
        for held in self._saved().values():
            if held.dtype.kind == "f":
                copied = type(held)(held.numpy().astype(dtype), held.name)
                if isinstance(held, Parameter) and isinstance(copied, Parameter):
                    copied.frozen = held.frozen
                new[id(held)] = copied
        return copy.deepcopy(self, new)

    def _saved(self) -> dict[str, Parameter | Buffer]:
        return {**self.parameters(), **self.buffers()}

    # -- attributes ------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(vars(self).get(name), Parameter) and isinstance(
            value, np.ndarray | np.generic | float | int | list
        ):
            raise TypeError(
                f"{type(self).__name__}.{name} is a parameter; {name}.assign(value) gives it "
                "another value (del it first to put something else in its place)"
            )
        object.__setattr__(self, name, value)
        for path, held in _inside(value, name, ()):
            if isinstance(held, Parameter | Buffer) and held.name is None:
                held.named(path)

    def __dir__(self) -> list[str]:
        own = vars(self)
        return [name for name in super().__dir__() if name in own or name not in MODULES]

    def __repr__(self) -> str:
        inner = [*_once(self, Module).items()]
        outermost = [
            (path, module)
            for path, module in inner
            if not any(path.startswith(f"{other}.") for other, _ in inner)
        ]
        direct = [
            f"{path} {held.shape}{' fixed' if isinstance(held, Buffer) else ''}"
            for path, held in self._saved().items()
            if not any(path.startswith(f"{other}.") for other, _ in outermost)
        ]
        count = self._count()
        if not inner:
            return f"{type(self).__name__}({', '.join(direct)}{'; ' if direct else ''}{count})"
        lines = [f"{path}: {module!r}".replace("\n", "\n  ") for path, module in outermost]
        return "\n  ".join([f"{type(self).__name__}({count}", *lines, *direct]) + "\n)"

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f'<tr><td style="text-align:left">{escape(path)}</td>'
            f"<td>{' × '.join(map(str, held.shape)) or '1'}</td>"
            f'<td style="text-align:left">{_standing(held)}</td></tr>'
            for path, held in self._saved().items()
        )
        head = f"<p><b>{escape(type(self).__name__)}</b>, {self._count()}</p>"
        return f"{head}<table><tbody>{rows}</tbody></table>" if rows else head

    def _count(self) -> str:
        n = sum(p.size for p in self.parameters().values())
        return several(n, "parameter")


def _standing(held: Parameter | Buffer) -> str:
    if isinstance(held, Buffer):
        return "fixed"
    return "frozen" if held.frozen else ""


for _name, _use in MODULES.items():
    setattr(Module, _name, Substituted(_name, _use, "a module"))


def check_sizes(who: str, **sizes: Any) -> None:
    """Raise ValueError or TypeError for a size that is no integer or too small.

    An input may have no entries: a network that runs by itself.
    """
    for name, size in sizes.items():
        least = 0 if name == "input_size" else 1
        if not isinstance(size, int | np.integer) or isinstance(size, bool):
            raise TypeError(f"{who}: {name}: given {size!r:.60}, wanted an integer")
        if size < least:
            raise ValueError(f"{who}: {name}: given {size}, wanted at least {least}")


def state_to_save(module: Module) -> dict[str, Array]:
    """A module's `state_dict`; TypeError if it holds parameters that would not be in it."""
    if fault := unlisted(module):
        raise TypeError(f"save: {fault}")
    return module.state_dict()


def weights_dtype(model: Any) -> np.dtype[Any] | None:
    """See `Module.dtype`; None if the model holds no numbers."""
    if not isinstance(model, Module) or type(model).dtype is not Module.dtype:
        own: np.dtype[Any] | None = getattr(model, "dtype", None)
        return own
    return promoted(_numbers(model, []))


def counting(model: Any, inputs: list[Any]) -> list[Any]:
    """The inputs of the steps, as tensors where their dtype has to count beside the weights.

    An array beside a tensor adopts its dtype. Where weights are float32 and the run is not, because
    other weights or the state are float64, that would round the inputs.
    """
    own = _numbers(model, []) if isinstance(model, Module) else []
    dtypes = {t.dtype for t in own if isinstance(t, Tensor) and t.dtype.kind == "f"}

    def leaf(x: Any) -> Any:
        counts = isinstance(x, np.ndarray) and x.dtype.kind == "f" and dtypes - {x.dtype}
        return Tensor(x, None, 0) if counts else x

    if any(leaf(x) is not x for x in tree.leaves(inputs[0])):
        return [tree.map_leaves(leaf, step) for step in inputs]
    return inputs


def promoted(parts: Iterable[Any]) -> np.dtype[Any] | None:
    """The dtype of tensors of floats together or, without any, of arrays; None without those."""
    tensors, arrays = set(), set()
    for part in parts:
        if isinstance(part, Tensor):
            tensors.add(part._value.dtype)
        elif hasattr(part, "dtype"):
            arrays.add(part.dtype)
    found = _floats(tensors) or _floats(arrays)
    if not found:
        return None
    dtype = np.result_type(*found) if len(found) > 1 else found[0]
    return dtype if dtype.itemsize in (4, 8) else FLOAT  # half precision is for storage


def _floats(dtypes: Iterable[Any]) -> list[np.dtype[Any]]:
    return [dtype for dtype in dtypes if getattr(dtype, "kind", "") == "f"]


def run_dtype(model: Any, *given: Any) -> np.dtype[Any] | None:
    """The dtype that a run computes in: of a model's weights and of tensors given, promoted.

    Arrays given are constants, and count only if there are neither weights nor tensors.
    """
    weights = weights_dtype(model)
    parts = tree.leaves(given)
    if weights is None:
        return promoted(parts)
    tensors = promoted([part for part in parts if isinstance(part, Tensor)])
    return weights if tensors is None else np.promote_types(weights, tensors)


# ------------------------------------------------------------------------------------------------
# Parameters that are used and not listed


def unlisted(
    module: Module, used: Collection[Node] | None = None, reached_only: bool = False
) -> str | None:
    """A sentence about parameters that a module uses and does not list; None if there are none.

    used          leaves of a record. If left out, all the module holds counts as used: its
                  attributes and all that they hold in turn, but not the variables of functions
    reached_only  of these leaves only those that the module's code can get at: others may belong to
                  another model that made the record too
    """
    own = {p._node for p in module.parameters().values()}
    if used is None:
        but: tuple[type, ...] = (FunctionType, MethodType, property)
    else:
        used, but = [n for n in used if n not in own and _is_trainable(n)], ()
        if not used:
            return None
    found: dict[Any, str] = {}
    for name, value in reached({"self": module}, but):
        if isinstance(value, Parameter) and value._node not in own and not value.frozen:
            found.setdefault(value._node, name)
    lost = [
        (found.get(node), node)
        for node in (found if used is None else used)
        if node in found or not reached_only
    ]
    if not lost:
        return None
    words = [
        f"{node.name() or 'without a name'!r} {node.shape}" + (f", held as {name}" if name else "")
        for name, node in lost
    ]
    who = type(module).__name__
    return (
        f"{who} uses the parameter{'s' if len(lost) > 1 else ''} {'; '.join(words)}, not listed by "
        f"{who}.parameters(): hold it in an attribute of a tg.Module, or in a list or dict there "
        "(or set its .frozen, if it is not to be trained)"
    )


def _is_trainable(node: Node) -> bool:
    return isinstance(node, Leaf) and node.kind == "parameter" and not node.fixed


# ------------------------------------------------------------------------------------------------
# The walk


def _named(module: Module) -> Iterator[tuple[str, Any]]:
    """Every parameter, buffer and module in a module with its path, shared ones at each place."""
    return _inside(vars(module), "", (module,))


def _once(module: Module, kind: type[T]) -> dict[str, T]:
    found: dict[str, T] = {}
    met: set[int] = {id(module)}
    for path, held in _inside(vars(module), "", (module,), asked=kind is Parameter):
        if not isinstance(held, kind) or id(held) in met:
            continue
        if path in found:
            raise ValueError(
                f"{type(module).__name__}: two of its parts have the path {path!r}; give a key of "
                "a dict without a dot"
            )
        met.add(id(held))
        found[path] = held
        if isinstance(held, Parameter | Buffer) and held.name is None:
            held.named(path)  # put into a list after that was assigned
    return found


_WITHOUT_PARTS = frozenset({bool, float, int, str, type(None), FunctionType})
"""Types of most attributes; a quick look for them, as every `unroll` walks through its cell."""


def _inside(
    value: Any, path: str, around: tuple[Any, ...], asked: bool = True
) -> Iterator[tuple[str, Any]]:
    """Parameters, buffers and modules in a value, with their paths.

    around   the modules and containers that the value is in, which may hold each other
    asked    a module with a `parameters` of its own is asked for them, and has nothing else
    """
    if isinstance(value, Parameter | Buffer):
        yield path, value
        return
    if any(value is outer for outer in around):
        return
    if isinstance(value, Module):
        yield path, value
    around = (*around, value)
    for key, part in _parts(value, path, asked):
        if type(part) not in _WITHOUT_PARTS:
            yield from _inside(part, tree.below(path, key), around, asked)


def _parts(value: Any, path: str = "", asked: bool = False) -> Iterable[tuple[Any, Any]]:
    """The parts of a module, an object with `parameters()` or a container, by name."""
    if isinstance(value, Module):
        its_own = asked and type(value).parameters is not Module.parameters
        return (value.parameters() if its_own else vars(value)).items()
    if isinstance(value, str | bytes | type):
        return ()
    if isinstance(value, set | frozenset):
        if any(isinstance(part, Parameter | Buffer | Module) for part in value):
            raise TypeError(
                f"{path}: parameters in a set have no order, so no names; hold them in a list"
            )
        return ()
    if isinstance(value, deque):
        return enumerate(value)
    if isinstance(value, SimpleNamespace):
        return vars(value).items()
    parts = tree.entries(value)
    if parts is None and callable(getattr(value, "parameters", None)):
        return listed(value.parameters)
    return parts or ()


def _numbers(value: Any, found: list[Any], around: tuple[Any, ...] = ()) -> list[Any]:
    """All tensors and arrays in a value."""
    around = (*around, value)
    for _, part in _parts(value):
        if isinstance(part, Tensor | np.ndarray):
            found.append(part)
        elif type(part) not in _WITHOUT_PARTS and not any(part is outer for outer in around):
            _numbers(part, found, around)
    return found


def listed(parameters: Callable[[], Any]) -> list[tuple[Any, Any]]:
    """The parameters that an object which is no module lists."""
    given = parameters()
    return list(given.items() if isinstance(given, Mapping) else enumerate(given))


def _misfit(held: Parameter | Buffer, array: Array) -> str | None:
    if array.shape != held.shape:
        return f"has shape {array.shape}, wanted {held.shape}"
    if array.dtype.kind not in "fiub" or (array.dtype.kind == "f" and held.dtype.kind != "f"):
        return f"is {array.dtype}, wanted {held.dtype}"
    if not _same(array.astype(held.dtype), array):
        return (
            f"is {array.dtype} and would be rounded to {held.dtype}: make the model {array.dtype} "
            f"with .astype, or the value {held.dtype}"
        )
    return None


def _check_mapping(values: Any, who: str) -> None:
    if not isinstance(values, Mapping):
        raise TypeError(f"{who}: given a {type(values).__name__}, wanted {{path: value}}")


def _short(name: str) -> str:
    return f"{name!r}" if len(name) <= 80 else f"{name[:76]!r}..."


def _same(a: Array, b: Array) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
