"""Tensors and parameters: the values a program handles while it is being recorded.

`Tensor` is one class because it is one object to its users: attributes of the array, ways into and
out of NumPy, the record (`backward`, `named`, `detach`), and the operators of `ops` as methods.
After it come the leaves of a model (`Parameter`, `Buffer`) and functions that make tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import ops
from .autodiff import backward
from .elsewhere import TENSORS, Substituted, answering
from .graph import Array, Leaf, Node, Shape, current, printable
from .ops.registry import Binary, Unary
from .ops.without_rule import without_rule
from .primitive import Recorded, of_precision, plain_array, precision, returns

FLOAT = np.dtype(np.float32)
FEW = 100
"""So many numbers are all printed; of more, those at the edges, with the shape."""
"""The dtype of numbers that come without one of their own."""


def real_array(data: ArrayLike, dtype: DTypeLike | None, who: str) -> Array:
    """A new array of floats; arrays keep their dtype, other numbers become float32."""
    if isinstance(data, Recorded):
        raise TypeError(f"{who}: given a tensor; use .detach() to keep its value only")
    array = np.array(plain_array(data, who))
    if dtype is None:
        if not hasattr(data, "__array__") and array.dtype.kind in "fiub":
            dtype = FLOAT
        elif array.dtype.kind != "f":
            hint = "" if array.dtype.kind == "c" else "; give dtype=np.float32, or .astype() it"
            raise TypeError(
                f"{who}: gradients need real floats, given {array.dtype} of shape {array.shape}"
                + hint
            )
        else:
            dtype = array.dtype
    if np.dtype(dtype).kind != "f" or array.dtype.kind not in "fiub":
        raise TypeError(
            f"{who}: gradients need real floats, given {array.dtype}, dtype={np.dtype(dtype)}"
        )
    if np.dtype(dtype).itemsize not in (4, 8):
        raise TypeError(
            f"{who}: given {np.dtype(dtype)}; tensors are float32 or float64 (half precision "
            "cannot count past 2048): give dtype=np.float32"
        )
    return array.astype(dtype, copy=False)


def _of_dtype(value: ArrayLike, dtype: np.dtype[Any], who: str) -> Array:
    """A new array of real numbers of a dtype."""
    array = plain_array(value, who)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{who}: given {array.dtype} of shape {array.shape}, wanted real numbers")
    return np.array(array, dtype)


def _is_no_number(other: Any) -> bool:
    """Whether a tensor is unequal to this without a look: `t == None`, or a name in a list."""
    return other is None or isinstance(other, str | bytes)


def _has_gradient(node: Node | None) -> bool:
    """Whether a gradient could flow back from here to any leaf: not through comparisons alone."""
    if isinstance(node, Leaf) and node.kind == "detached":
        return False
    stack = [] if node is None else [node]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node.primitive is None:
            return True
        for i, source in enumerate(node.inputs):
            if source is None or source in seen or node.primitive.pulls[i] is None:
                continue
            if source.output(node.ports[i])[1].kind == "f":
                seen.add(source)
                stack.append(source)
    return False


_MADE: Any = object()


@returns
class Tensor(Recorded):
    """A value, and the place in the record that it came from.

    Made by `tensor`, `zeros`, `ones`, `Parameter` and by operations on those, not directly. A
    tensor's value never changes. Operators and methods follow NumPy: `+ - * / ** @`, indexing,
    `.sum(axis)`, `.reshape(shape)`, ... Plain arrays and numbers beside a tensor are constants:
    they take its dtype and no gradient is recorded for them. A large constant array is kept by
    reference; if it is written to before the backward pass, that raises an error.
    """

    __slots__ = ()

    def __init__(self, value: Any, node: Node | None = _MADE, port: int = 0) -> None:
        if node is _MADE:
            raise TypeError("tg.Tensor is the class of all tensors; tg.tensor(value) makes one")
        self._value = value
        self._node = node
        self._port = port

    # -- reading ---------------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """The size along each axis."""
        shape: Shape = self._value.shape
        return shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._value.shape)

    @property
    def size(self) -> int:
        """The number of entries."""
        return int(self._value.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the entries: float32 or float64; truth values and integers of comparisons."""
        dtype: np.dtype[Any] = self._value.dtype
        return dtype

    @property
    def name(self) -> str | None:
        """The name given with `named`, or None."""
        return None if self._node is None else self._node.name(self._port)

    @property
    def recorded(self) -> bool:
        """Whether gradients can be asked for: False for values computed under `no_grad`."""
        return self._node is not None

    def numpy(self) -> Array:
        """The value as a read-only NumPy array (a view: nothing is copied)."""
        self._looked_at(".numpy()")
        view = np.asarray(self._value).view()
        view.flags.writeable = False
        return view

    def item(self) -> Any:
        """The value of a tensor with one entry, as a Python float (or bool, or int)."""
        if self.size != 1:
            raise ValueError(f"item() needs a single entry, given shape {self.shape}")
        self._looked_at(".item()")
        return self._value.item()

    def tolist(self) -> Any:
        """The value as nested lists of Python numbers."""
        self._looked_at(".tolist()")
        return self._value.tolist()

    def _looked_at(self, how: str) -> None:
        for inspector in current().inspectors:
            inspector.look(self, how)

    def _number(self, how: str) -> Any:
        """The value for one of Python's conversions, unless that would cut the record unseen."""
        self._looked_at(how)
        value = self.item()
        if current().recording and self.dtype.kind == "f" and _has_gradient(self._node):
            raise TypeError(
                f"{how} of {self._what()} that is recorded: its gradient would be lost without a "
                "word, as in out[t] = loss with an array `out`; use .item() for the number or "
                ".numpy() for the array, or keep tensors in a list and join them with tg.stack"
            )
        return value

    def __float__(self) -> float:
        return float(self._number("float()"))

    def __int__(self) -> int:
        return int(self._number("int()"))

    def __complex__(self) -> complex:
        return complex(self._number("complex()"))

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(
                f"{self._what()} is of {self.dtype} and does not count or index; int(t.item()) "
                "gives an integer, and t.numpy().astype(int) an array of them"
            )
        self._looked_at("an index or range()")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        if self.size != 1:
            raise TypeError(
                f"format {spec!r} is for one number, given {self._what()}; format the entries of "
                ".numpy(), or print it under np.printoptions"
            )
        return format(self.item(), spec)

    def __bool__(self) -> bool:
        self._looked_at("`if`, `while`, `and`, `or`, `not` or bool()")
        if self.size != 1:
            raise ValueError(
                f"bool() needs a single entry, given shape {self.shape}: .any() or .all() of a "
                "comparison is one (`in` and .remove() of a list compare too; `is` does not)"
            )
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a tensor without axes (shape ())")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a tensor without axes (shape ())")
        return iter(ops.unstack(self))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __repr__(self) -> str:
        value = np.asarray(self._value)
        few = 3 if value.ndim < 3 else 1
        text = np.array2string(
            value, separator=", ", prefix="tensor(", threshold=FEW, edgeitems=few
        )
        shape = f", shape={self.shape}" if "..." in text else ""
        name = "" if self.name is None else f", name={self.name!r}"
        return f"tensor({text}{shape}, dtype={self.dtype}{name})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self.dtype.kind in "biu":  # there is no gradient to lose
            self._looked_at("a NumPy function")
            return np.array(self._value, dtype)
        raise TypeError(
            "a tensor does not turn into an array by itself, because that would cut the record; "
            "use .numpy() for the value, or tg.stack([...]) to join tensors"
        )

    def __copy__(self) -> Tensor:
        return self  # its value never changes

    def __reduce_ex__(self, protocol: Any) -> Any:
        node = self._node
        if node is not None and not isinstance(node, Leaf):
            raise TypeError(
                f"{self._what()} is part of a record ({node!r}), which can be neither copied nor "
                "pickled: .detach() gives its value as a new tensor and .numpy() the array, which "
                "can; so can parameters and tensors made from data"
            )
        kind = "" if node is None else node.kind
        if isinstance(self, Buffer):
            kind = "buffer"
        elif isinstance(self, Parameter) and self.frozen:
            kind = "frozen"
        return _again, (kind, np.asarray(self._value), self.name)

    # -- the record ------------------------------------------------------------------------------

    def named(self, name: str) -> Tensor:
        """Name this value for pictures and messages, and return it.

        Raises ValueError for a name with characters that cannot be printed (lines, terminal codes).

        >>> import tinygrad_rnn as tg
        >>> tg.tanh(tg.zeros((1, 2))).named("s").name
        's'
        """
        node = self._node
        if node is not None:
            if node.names is None:
                node.names = {}
            node.names[self._port] = printable(name)
        return self

    def detach(self) -> Tensor:
        """The same value as a new beginning: no gradient flows back through it.

        The record behind it is not kept alive. Pictures show the cut.
        """
        node = self._node
        if node is None:
            return self
        self._looked_at(".detach()")
        name = node.name(self._port)
        leaf = Leaf("detached", self.shape, self.dtype, name, node.serial, self._value)
        return of_precision(Tensor(self._value, leaf, 0), precision(self))

    def backward(
        self,
        cotangent: ArrayLike | None = None,
        *,
        accumulate: bool = False,
        keep_record: bool = False,
    ) -> None:
        """Put the gradient of this tensor into `.grad` of every parameter and leaf it depends on.

        cotangent    dL/d(this), of this tensor's shape; may be left out for a single number
        accumulate   add to the gradients of the previous `backward` instead of replacing them
        keep_record  keep the saved values, so that the record can be differentiated again

        A second call *replaces* the gradients of the first. Giving a parameter another value (as an
        optimiser does) clears its gradient, and an optimiser refuses gradients that two different
        calls left, so neither a stale nor a doubled gradient goes unnoticed.

        Raises ValueError (not a single number and no cotangent, or a wrong shape) and RuntimeError
        (nothing recorded, record already used, parameter changed since the forward pass).

        >>> import tinygrad_rnn as tg
        >>> w = tg.Parameter([1.0, 2.0], "w")
        >>> (w * w).sum().backward()
        >>> w.grad
        array([2., 4.], dtype=float32)
        >>> (3 * w).sum().backward()        # replaces
        >>> w.grad
        array([3., 3.], dtype=float32)
        >>> (3 * w).sum().backward(accumulate=True)
        >>> w.grad
        array([6., 6.], dtype=float32)
        """
        backward(self, cotangent, accumulate=accumulate, keep_record=keep_record)

    @property
    def grad(self) -> Array | None:
        """The gradient from the last `backward`: a read-only array of this shape, or None.

        Only leaves have one: parameters and tensors made from data. For anything else that was
        recorded, ask `gradients(loss, it)`. May be set, to an array of this shape.
        """
        node = self._node
        if not isinstance(node, Leaf) or node.kind == "detached":
            raise RuntimeError(
                f"{self._what()} is not a parameter or a tensor made from data, so it has no "
                ".grad; ask tg.gradients(loss, it)"
            )
        return node.grad

    @grad.setter
    def grad(self, value: ArrayLike | None) -> None:
        self.grad  # noqa: B018 - the same refusal as for reading
        node = self._node
        assert isinstance(node, Leaf)
        if value is None:
            node.grad = None
            return
        array = _of_dtype(value, self.dtype, "grad")
        if array.shape != self.shape:
            raise ValueError(f"grad: given shape {array.shape}, wanted {self.shape}")
        array.flags.writeable = False
        node.grad = array

    def _what(self) -> str:
        return f"tensor {self.name!r}" if self.name else f"a tensor of shape {self.shape}"

    # -- operators -------------------------------------------------------------------------------

    __hash__ = object.__hash__

    __add__: Binary[[]] = ops.add

    def __radd__(self, other: Any) -> Tensor:
        return ops.add(other, self)

    __sub__: Binary[[]] = ops.subtract

    def __rsub__(self, other: Any) -> Tensor:
        return ops.subtract(other, self)

    __mul__: Binary[[]] = ops.multiply

    def __rmul__(self, other: Any) -> Tensor:
        return ops.multiply(other, self)

    __truediv__: Binary[[]] = ops.divide

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.divide(other, self)

    __mod__: Binary[[]] = ops.remainder

    def __rmod__(self, other: Any) -> Tensor:
        return ops.remainder(other, self)

    __floordiv__: Binary[[]] = ops.floor_divide

    def __rfloordiv__(self, other: Any) -> Tensor:
        return ops.floor_divide(other, self)

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return ops.divmod(self, other)

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return ops.divmod(other, self)

    def __round__(self, decimals: int | None = None) -> Tensor:
        return ops.round(self, decimals or 0)

    __pow__: Binary[[]] = ops.power

    def __rpow__(self, other: Any) -> Tensor:
        return ops.power(other, self)

    __matmul__: Binary[[]] = ops.matmul

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    __neg__: Unary[[]] = ops.negative

    def __pos__(self) -> Tensor:
        return self

    __abs__: Unary[[]] = ops.abs
    __getitem__ = ops.getitem

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise TypeError(
            "a tensor cannot be assigned into, because its value is part of the record; "
            "tg.index_update(t, index, value) gives a new tensor with the entries replaced"
        )

    __pandas_priority__ = 5000  # series * tensor is ours, as array * tensor is

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = ops.FOR_NUMPY.get(ufunc)
        if function is None or method != "__call__" or kwargs:
            raise without_rule(ufunc, function, method, kwargs)
        return function(*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        ours = ops.FOR_NUMPY.get(function)
        if ours is None:
            raise without_rule(function)
        return ours(*args, **kwargs)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in OF_OTHERS]

    # comparisons are recorded too; they give truth values, which have no derivative

    __lt__: Any = ops.less
    __le__: Any = ops.less_equal
    __gt__: Any = ops.greater
    __ge__: Any = ops.greater_equal

    def __eq__(self, other: Any) -> Any:
        return NotImplemented if _is_no_number(other) else ops.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        return NotImplemented if _is_no_number(other) else ops.not_equal(self, other)

    __invert__ = ops.logical_not
    __and__: Any = ops.logical_and
    __rand__: Any = ops.logical_and
    __or__: Any = ops.logical_or
    __ror__: Any = ops.logical_or
    __xor__: Any = ops.logical_xor
    __rxor__: Any = ops.logical_xor

    # -- methods that NumPy's arrays have too ----------------------------------------------------

    @property
    def T(self) -> Tensor:  # noqa: N802 - NumPy's name
        """The axes in reverse order."""
        return ops.transpose(self)

    @property
    def mT(self) -> Tensor:  # noqa: N802 - NumPy's name
        """The last two axes exchanged: the transpose of every matrix of a batch."""
        return ops.swapaxes(self, -1, -2)

    def reshape(self, *shape: Any, order: str = "C") -> Tensor:
        """See `reshape`; the shape may be given as one tuple or as several numbers."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape, order)

    def transpose(self, *axes: Any) -> Tensor:
        """See `transpose`; the axes may be given as one tuple or as several numbers."""
        return ops.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    # an operator is a function, so as an attribute it is a method

    all = ops.all
    any = ops.any
    argmax = ops.argmax
    argmin = ops.argmin
    argsort = ops.argsort
    astype = ops.astype
    clip = ops.clip
    cumprod = ops.cumprod
    cumsum = ops.cumsum
    diagonal = ops.diagonal
    dot = ops.dot
    flatten = ops.ravel
    max = ops.max
    mean = ops.mean
    min = ops.min
    nonzero = ops.nonzero
    prod = ops.prod
    ravel = ops.ravel
    repeat = ops.repeat
    round = ops.round
    squeeze = ops.squeeze
    std = ops.std
    sum = ops.sum
    swapaxes = ops.swapaxes
    take = ops.take
    trace = ops.trace
    var = ops.var


OF_OTHERS = {
    name: use
    for name, use in ({name: f"tg.{name}(x)" for name in ops.OPERATORS} | TENSORS).items()
    if not hasattr(Tensor, name)
}
"""Attributes that tensors of other libraries have, and substitutes."""


class _Substituted(Substituted):
    def __set__(self, instance: Any, value: Any) -> None:
        self.__get__(instance, type(instance))


for _name, _use in OF_OTHERS.items():
    # not __getattr__, with which Python takes longer for every other attribute
    setattr(Tensor, _name, _Substituted(_name, _use))
for _name, _operator in ops.OPERATORS.items():
    _theirs = "axis" in _operator.function.__code__.co_varnames  # dim in PyTorch
    if _theirs and vars(Tensor).get(_name) is _operator.function:
        setattr(Tensor, _name, answering(_operator.function))
Tensor.backward = answering(Tensor.backward)  # type: ignore[method-assign]


class _Held(Tensor):
    """A named leaf whose value can be changed, by `assign` and nothing else."""

    __slots__ = ("version",)

    version: int
    _kind = "tensor"

    def _begin(self, array: Array, name: str | None, fixed: bool) -> None:
        leaf = Leaf(self._kind, array.shape, array.dtype, name, 0, array)
        leaf.fixed = fixed
        Tensor.__init__(self, array, leaf, 0)

    def assign(self, value: ArrayLike) -> None:
        """Give it another value of the same shape; its dtype stays.

        The old array is left as it is, so views handed out earlier keep showing the old value.
        """
        array = _of_dtype(value, self.dtype, f"assign to {self._what()}")
        if array.shape != self.shape:
            raise ValueError(
                f"assign to {self._what()}: given shape {array.shape}, wanted {self.shape}"
            )
        self._replace(array)

    def _replace(self, array: Array) -> None:
        old = self._node
        assert isinstance(old, Leaf)
        self._begin(array, None, old.fixed)
        if old.names is not None:  # looked at when it was given
            assert self._node is not None
            self._node.names = old.names.copy()
        self.version += 1

    def __repr__(self) -> str:
        return super().__repr__().replace("tensor(", f"{type(self).__name__}(", 1)


class Parameter(_Held):
    """A named leaf whose value can be changed, by `assign` and nothing else.

    value   array or nested list; copied. Float arrays keep their dtype, other numbers are float32
    name    for pictures, tables and files; a `Module` names its parameters after its attributes

    Each change counts up `version` and clears `.grad`. A backward pass over a record made with an
    earlier version is an error, never a wrong gradient.

    Raises TypeError for integer or complex arrays.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> W = tg.Parameter(np.zeros((2, 2)), "W")
    >>> W.assign(np.eye(2))
    >>> W.version, W.shape
    (1, (2, 2))
    """

    __slots__ = ()

    _kind = "parameter"

    def __init__(
        self, value: ArrayLike, name: str | None = None, dtype: DTypeLike | None = None
    ) -> None:
        array = real_array(value, dtype, f"Parameter {name or ''}".strip())
        self._begin(array, name, fixed=False)
        self.version = 0

    @property
    def frozen(self) -> bool:
        """Whether `backward` and optimisers leave this parameter out. May be set.

        `gradients` still gives its gradient where it is asked for.
        """
        assert isinstance(self._node, Leaf)
        return self._node.fixed

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        assert isinstance(self._node, Leaf)
        self._node.fixed = bool(frozen)
        if frozen:
            self._node.grad = None

    def _replace(self, array: Array) -> None:
        assert isinstance(self._node, Leaf)
        self._node.stale = True
        super()._replace(array)

    def _changed(self, other: Any) -> NoReturn:
        raise TypeError(
            f"{self._what()} is a parameter, whose value changes by assign: p.assign(p.numpy() - "
            "rate * p.grad), or by an optimiser's step()"
        )

    __iadd__ = __isub__ = __imul__ = __itruediv__ = _changed

    def __copy__(self) -> Parameter:
        copied = Parameter(self._value, self.name)
        copied.frozen = self.frozen
        return copied


class Buffer(_Held):
    """An array of a module with a dtype of its own, which is saved with it and not trained.

    value   array or nested list of real numbers; copied. Arrays keep their dtype, other numbers are
            float32
    name    for pictures, tables and files; a `Module` names its buffers after its attributes

    Beside other tensors it counts with its dtype, as they do: a float64 buffer makes a float64
    result, where a plain array would adopt the tensor's. `backward` leaves it out. `assign` gives
    it another value.

    >>> import numpy as np, tinygrad_rnn as tg
    >>> A = tg.Buffer(np.eye(2), "A")
    >>> (tg.ones((1, 2)) @ A).dtype
    dtype('float64')
    """

    __slots__ = ()

    def __init__(
        self, value: ArrayLike, name: str | None = None, dtype: DTypeLike | None = None
    ) -> None:
        who = f"Buffer {name or ''}".strip()
        kind = np.dtype(dtype or getattr(value, "dtype", FLOAT)).kind
        array = np.array(value, dtype) if kind in "iub" else real_array(value, dtype, who)
        self._begin(array, name, fixed=True)
        self.version = 0

    def __copy__(self) -> Buffer:
        return Buffer(self._value, self.name)


def tensor(data: ArrayLike, name: str | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """A tensor from numbers; the data are copied, and gradients with respect to it are recorded.

    data    array or nested list. NumPy float arrays keep their dtype, other numbers are float32
    name    for pictures and messages

    Raises TypeError for integer, complex and half precision arrays.

    >>> import tinygrad_rnn as tg
    >>> x = tg.tensor([[1.0, 2.0]], name="x")
    >>> (x * x).sum().backward()
    >>> x.grad
    array([[2., 4.]], dtype=float32)
    """
    return _leaf(real_array(data, dtype, "tensor"), name)


def zeros(shape: int | Shape, name: str | None = None, dtype: DTypeLike = FLOAT) -> Tensor:
    """A tensor of zeros, float32 unless told otherwise.

    >>> import tinygrad_rnn as tg
    >>> tg.zeros((1, 4), name="s_0").shape
    (1, 4)
    """
    _one_shape("zeros", name)
    return _leaf(real_array(np.zeros(shape, dtype), None, "zeros"), name)


def ones(shape: int | Shape, name: str | None = None, dtype: DTypeLike = FLOAT) -> Tensor:
    """A tensor of ones, float32 unless told otherwise.

    >>> import tinygrad_rnn as tg
    >>> tg.ones(2)
    tensor([1., 1.], dtype=float32)
    """
    _one_shape("ones", name)
    return _leaf(real_array(np.ones(shape, dtype), None, "ones"), name)


def _one_shape(who: str, name: Any) -> None:
    if isinstance(name, int | np.integer):
        raise TypeError(f"{who}: a second size, {name}; the shape is one tuple: {who}((2, 3))")


def _again(kind: str, array: Array, name: str | None) -> Tensor:
    """The result of copying or unpickling: an unrecorded tensor or a new leaf."""
    if kind in ("parameter", "frozen"):
        parameter = Parameter(array, name)
        parameter.frozen = kind == "frozen"
        return parameter
    if kind == "buffer":
        return Buffer(array, name)
    array = array.copy()
    return Tensor(array, Leaf(kind, array.shape, array.dtype, name) if kind else None, 0)


def constant(array: Array, dtype: DTypeLike | None = None) -> Tensor:
    """A tensor of an array that no gradient is computed for; the data are copied."""
    made = _leaf(np.array(array, dtype), None)
    made._node.fixed = True  # type: ignore[union-attr]
    return made


def _leaf(array: Array, name: str | None) -> Tensor:
    return Tensor(array, Leaf("tensor", array.shape, array.dtype, name, 0, array), 0)
