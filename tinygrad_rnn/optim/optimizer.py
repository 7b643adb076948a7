"""The optimiser that others are made from: groups, state, and a step that is done or not at all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np

from ..autodiff import Generation, parameters_of, used_up
from ..elsewhere import OPTIMISERS, OPTIONS, Substituted, answering, refuse_theirs
from ..graph import Array
from ..nn.module import Module, unlisted
from ..notation import several
from ..tensor import Parameter
from ..uninterrupted import Uninterrupted
from .parameters import Trainable, Unused, check_finite, gradients, leaf_of, listed, modules_in

Limits = Mapping[str, float | tuple[float, ...]]


class Optimizer:
    """Subclass it, and write `update`, for an optimiser of your own.

    parameters   a cell, parameters, a mapping of parameters, several of these; or groups with
                 options of their own: [{"params": cell.U, "lr": 0.1}, {"params": [V, c]}]
    defaults     the options, `lr` among them, by name; a group that leaves one out takes this one
    unused       "error": a parameter without a gradient is refused; "skip": a step leaves it alone

    `param_groups` is a list of dicts, each with "params" and every option; options may be changed
    between steps. `lr` reads and sets the learning rate of all groups. `state` holds the memory
    of `update` for each parameter. `limits`, of the class, are of the options that are numbers (or
    tuples of them): at least 0, and below the limit.

    Raises TypeError for an object without parameters, ValueError for none at all, one in two
    groups, and an option that is unknown or out of range.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> class SignSGD(tg.optim.Optimizer):
    ...     def __init__(self, parameters, lr=0.01):
    ...         super().__init__(parameters, {"lr": lr})
    ...     def update(self, p, g, state, *, lr):
    ...         p -= lr * np.sign(g)
    >>> w = tg.Parameter([1.0, -3.0], "w")
    >>> optimiser = SignSGD({"w": w}, lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimiser.step()
    >>> w
    Parameter([ 0.5, -2.5], dtype=float32, name='w')
    """

    limits: ClassVar[Limits] = {"lr": math.inf}

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """An option of PyTorch's or Keras's that the constructor has not is answered with ours."""
        refuse_theirs(cls, kwargs.keys(), OPTIONS)
        return super().__new__(cls)

    def __init__(
        self, parameters: Trainable, defaults: Mapping[str, Any], *, unused: Unused = "error"
    ) -> None:
        self.unused = unused
        self.defaults = dict(defaults)
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Parameter, dict[str, Any]] = {}
        self._modules: list[Module] = []
        self._others = 0
        for given in _groups(parameters):
            self._add_group(given)
            self._modules += modules_in(given["params"])
        if not self.state:
            raise ValueError(f"{self._name}: given no parameters")

    def _add_group(self, given: Mapping[str, Any]) -> None:
        members = tuple(listed(given["params"]))
        for name in given:
            if name != "params" and name not in self.defaults:
                raise ValueError(
                    f"{self._name}: a group with option {name!r}; its options are "
                    + ", ".join(map(repr, self.defaults))
                )
        for p in members:
            if p in self.state:
                raise ValueError(f"{self._name}: parameter {p.name!r} is in two groups")
        group = {**self.defaults, **given, "params": members}
        self._options(group)
        self.param_groups.append(group)
        self.state.update((p, {}) for p in members)

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def parameters(self) -> list[Parameter]:
        """The parameters of all groups, in order."""
        return list(self.state)

    @property
    def lr(self) -> float:
        """The learning rate of all groups; ValueError if theirs differ."""
        rates = list(dict.fromkeys(group["lr"] for group in self.param_groups))
        if len(rates) > 1:
            raise ValueError(
                f"{self._name}: the groups have learning rates {', '.join(map(str, rates))}; "
                'read and set param_groups[i]["lr"]'
            )
        return float(rates[0])

    @lr.setter
    def lr(self, rate: float) -> None:
        self.lr  # noqa: B018 - the same refusal as for reading
        rate = self._checked("lr", rate)
        for group in self.param_groups:
            group["lr"] = rate

    def __repr__(self) -> str:
        groups = [
            f"{several(len(group['params']), 'parameter')}, "
            + ", ".join(f"{name}={group[name]}" for name in self.defaults)
            for group in self.param_groups
        ]
        return f"{self._name}({'; '.join(groups)})"

    @answering
    def zero_grad(self) -> None:
        """Drop the gradients unused. Seldom needed: `backward` replaces them and `step` clears."""
        for p in self.state:
            p.grad = None

    def step(self) -> None:
        """Update every parameter once from its `.grad`, which is cleared.

        All of it happens or nothing: options and gradients are looked at before anything is
        written, and Ctrl-C waits until the step is done.

        Raises RuntimeError if a gradient is missing, if two backward calls left them, or if the
        loss depends on a parameter that a module given uses and does not list, and
        FloatingPointError, naming the parameter, if one is not finite or its squares are not.
        """
        found = gradients(self.parameters, self.unused)
        check_finite(found, squared=True)
        given = [self._options(group) for group in self.param_groups]
        todo = [
            (p, p._value.copy(order="K"), found[p], options)
            for group, options in zip(self.param_groups, given, strict=True)
            for p in group["params"]
            if p in found
        ]
        generation = leaf_of(todo[0][0]).generation
        if generation is not None and self._modules:
            self._check_all_listed(generation, len(found))
        with Uninterrupted(), np.errstate(all="ignore"):
            for p, value, g, options in todo:
                state = self.state[p]
                state["step"] = state.get("step", 0) + 1
                self.update(value, g, state, **options)
            for p, value, _, _ in todo:
                p._replace(value)
            if generation is not None:  # None: set by hand
                used_up(generation)

    def _check_all_listed(self, generation: Generation, found: int) -> None:
        """Refuse a step that would leave out parameters which the modules given use.

        found   how many of the optimiser's parameters have a gradient of this generation
        """
        reached = parameters_of(generation)
        if len(reached) == found and generation.number == generation.training.number:
            self._others = 0
            return  # those with a gradient are among them, and no others
        own = {p._node for p in self.state}
        others = [leaf for leaf in reached if leaf not in own]
        if len(others) == self._others:
            return  # those of other models: looked at before
        for module in self._modules:
            mine = [p for p in module.parameters().values() if p._node in others]
            if mine:
                raise RuntimeError(
                    f"{self._name}: {type(module).__name__} has got the parameter "
                    f"{mine[0].name!r} {mine[0].shape} since this optimiser was made; make it "
                    "after the last parameter"
                )
            if fault := unlisted(module, others, reached_only=True):
                raise RuntimeError(f"{self._name}: {fault}")
        self._others = len(others)

    def update(self, p: Array, g: Array, state: dict[str, Any], *args: Any, **options: Any) -> None:
        """Change one parameter: to be written by a subclass.

        p        a copy of the parameter's value, to be changed in place
        g        its gradient, of the same shape and dtype, read-only
        state    of this parameter, kept from step to step: arrays and numbers by name; "step"
                 counts the parameter's updates and is 1 in the first
        options  of the parameter's group, by name; numbers are Python's, so float32 stays float32

        If it raises, no parameter is changed, but states may be: check before writing to them.
        """
        raise TypeError(f"{self._name} has no update(self, p, g, state, *, lr, ...)")

    # -- saving ----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """A copy of all that a step depends on but parameters and gradients.

        {"parameters": [{"name", "shape", "state": {name: array or number}}, ...],
         "param_groups": [{option: value, ..., "params": indices into the above}, ...]}

        >>> import tinygrad_rnn as tg
        >>> w = tg.Parameter([1.0], "w")
        >>> optimiser = tg.optim.SGD([w], lr=0.1, momentum=0.9)
        >>> (w * w).sum().backward()
        >>> optimiser.step()
        >>> optimiser.state_dict()["parameters"]
        [{'name': 'w', 'shape': (1,), 'state': {'step': 1, 'v': array([2.], dtype=float32)}}]
        """
        index = {p: i for i, p in enumerate(self.state)}
        return {
            "parameters": [
                {
                    "name": p.name,
                    "shape": p.shape,
                    "state": {k: _copied(v) for k, v in state.items()},
                }
                for p, state in self.state.items()
            ],
            "param_groups": [
                {**group, "params": [index[p] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a result of `state_dict`; arrays are copied and take the parameters' dtype.

        Raises ValueError, and changes nothing, if the groups, the options, or the parameters'
        names or shapes differ.
        """
        if not {"parameters", "param_groups"} <= set(saved):
            raise ValueError(
                f"{self._name}: given a dict of {', '.join(map(repr, saved))}, wanted a "
                "result of state_dict()"
            )
        index = {p: i for i, p in enumerate(self.state)}
        states = dict(zip(self.state, self._saved_states(saved["parameters"]), strict=True))
        given = saved["param_groups"]
        if len(given) != len(self.param_groups):
            raise ValueError(
                f"{self._name}: the state has {len(given)} groups, wanted {len(self.param_groups)}"
            )
        groups = []
        for i, (group, other) in enumerate(zip(self.param_groups, given, strict=True)):
            members = [index[p] for p in group["params"]]
            if list(other["params"]) != members:
                raise ValueError(
                    f"{self._name}: group {i} of the state has parameters {other['params']}, "
                    f"wanted {members}"
                )
            names = set(other) - {"params", "initial_lr"}
            if names != set(self.defaults):
                raise ValueError(
                    f"{self._name}: group {i} of the state has options {sorted(names)}, "
                    f"wanted {sorted(self.defaults)}"
                )
            groups.append({**other, "params": group["params"]})
            self._options(groups[-1])
        with Uninterrupted():
            self.state = states
            # the dicts stay the same objects: schedules and programs hold on to them
            for group, new in zip(self.param_groups, groups, strict=True):
                group.update(new)

    def _saved_states(self, saved: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        if len(saved) != len(self.state):
            raise ValueError(
                f"{self._name}: the state is of {len(saved)} parameters, wanted {len(self.state)}"
            )
        for i, (p, entry) in enumerate(zip(self.state, saved, strict=True)):
            name, shape = entry["name"], tuple(entry["shape"])
            if (name, shape) != (p.name, p.shape):
                raise ValueError(
                    f"{self._name}: parameter {i} of the state is {name!r} {shape}, "
                    f"wanted {p.name!r} {p.shape}"
                )
            yield {k: _copied(v, p.dtype) for k, v in entry["state"].items()}

    # -- options ---------------------------------------------------------------------------------

    def _options(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a group, checked."""
        return {name: self._checked(name, group[name]) for name in self.defaults}

    def _checked(self, name: str, value: Any) -> Any:
        if name in self.limits:
            return _within(self.limits[name], value, f"{self._name}: {name}")
        return value.item() if isinstance(value, np.generic) else value


for _name, _use in OPTIMISERS.items():
    setattr(Optimizer, _name, Substituted(_name, _use, "an optimiser"))


def _groups(parameters: Trainable) -> list[Mapping[str, Any]]:
    """The groups given, after one of all that is in no group."""
    if not isinstance(parameters, list | tuple):
        return [{"params": parameters}]
    groups = [part for part in parameters if isinstance(part, Mapping) and "params" in part]
    rest = [part for part in parameters if not any(part is group for group in groups)]
    return [{"params": rest}, *groups] if rest else groups


def _within(limit: float | tuple[float, ...], value: Any, label: str) -> Any:
    """An option as a number, or as several, of at least 0 and below a limit."""
    if type(value) is float and type(limit) is float and 0 <= value < limit:
        return value
    if isinstance(limit, tuple):
        if not isinstance(value, tuple | list) or len(value) != len(limit):
            raise ValueError(f"{label}: given {value!r:.60}, wanted {len(limit)} numbers")
        return tuple(_within(*pair, label) for pair in zip(limit, value, strict=True))
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number < limit:
        wanted = "a number of at least 0" + (f" and below {limit:g}" if limit < math.inf else "")
        raise ValueError(f"{label}: given {value!r:.60}, wanted {wanted}")
    return number


def _copied(value: Any, dtype: Any = None) -> Any:
    """A copy of an entry of a state; floats as `dtype`."""
    if not isinstance(value, np.ndarray):
        return value
    return np.array(value, dtype if value.dtype.kind == "f" else None)
