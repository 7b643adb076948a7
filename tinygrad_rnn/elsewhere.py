"""Names that PyTorch, Keras and NumPy have for things with another name here, and ours.

Nothing of theirs is there under two names. Who writes one from memory is told ours in a sentence.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any, NoReturn, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

TENSORS = {
    "add_": "x + b, which gives a new tensor",
    "addmm": "c + a @ b",
    "assign_add": "p.assign(p.numpy() + b)",
    "assign_sub": "p.assign(p.numpy() - b)",
    "bmm": "a @ b",
    "bool": "x != 0",
    "chunk": "tg.split(x, n)",
    "clamp": "x.clip(low, high)",
    "clamp_": "x.clip(low, high), which gives a new tensor",
    "clone": "x, whose value never changes",
    "contiguous": "x, which has no memory layout",
    "copy": "x, whose value never changes",
    "copy_": "p.assign(value) to change a parameter",
    "cpu": "x, which is in main memory",
    "cuda": "x: arrays are NumPy's, in main memory",
    "data": "x.numpy() to read and p.assign(value) to change a parameter",
    "detach_": "x.detach(), which gives a new tensor",
    "device": "x: arrays are NumPy's, in main memory",
    "dim": "x.ndim",
    "div": "x / b",
    "div_": "x / b, which gives a new tensor",
    "double": "x.astype(np.float64)",
    "eq": "x == b",
    "expand": "tg.broadcast_to(x, shape)",
    "expand_as": "tg.broadcast_to(x, b.shape)",
    "fill": "tg.full_like(x, number)",
    "fill_": "tg.full_like(x, number)",
    "flat": "tg.ravel(x)",
    "float": "x.astype(np.float32)",
    "gather": "tg.take_along_axis(x, index, axis)",
    "ge": "x >= b",
    "grad_fn": "tg.draw(x), a picture of the record",
    "gt": "x > b",
    "half": "x.astype(np.float32): half precision cannot count past 2048",
    "index_add_": "tg.index_add(x, index, b)",
    "index_select": "tg.take(x, i, axis)",
    "indices": "x.argmax(axis)",
    "int": "x.numpy().astype(int)",
    "is_contiguous": "x, which has no memory layout",
    "is_cuda": "x: arrays are NumPy's, in main memory",
    "is_leaf": "isinstance(x, tg.Parameter)",
    "itemsize": "x.dtype.itemsize",
    "le": "x <= b",
    "long": "x.numpy().astype(int)",
    "lt": "x < b",
    "masked_fill": "tg.where(mask, number, x)",
    "masked_fill_": "tg.where(mask, number, x)",
    "masked_select": "x[mask]",
    "mm": "a @ b",
    "mul": "x * b",
    "mul_": "x * b, which gives a new tensor",
    "mv": "a @ b",
    "narrow": "x[a:b]",
    "nbytes": "x.numpy().nbytes",
    "ne": "x != b",
    "neg": "-x",
    "new_zeros": "tg.zeros(shape)",
    "normal_": "tg.init.normal(shape, rng)",
    "numel": "x.size",
    "permute": "x.transpose(axes)",
    "pow": "x ** n",
    "put": "tg.index_update(x, indices, b)",
    "register_hook": "tg.gradients(loss, x), for any tensor",
    "requires_grad": "tg.Parameter(value), or x.detach()",
    "requires_grad_": "tg.Parameter(value), and p.frozen = True to leave it out",
    "retain_grad": "tg.gradients(loss, x), for any tensor",
    "scatter_": "tg.index_update(x, index, b)",
    "scatter_add": "tg.index_add(x, index, b)",
    "scatter_add_": "tg.index_add(x, index, b)",
    "searchsorted": "np.searchsorted(x.numpy(), b)",
    "select": "x[i]",
    "strides": "x.numpy().strides",
    "sub": "x - b",
    "sub_": "x - b, which gives a new tensor",
    "t": "x.T",
    "to": "x.astype(dtype); arrays are NumPy's, in main memory",
    "topk": "tg.argsort(x), and the last k of it",
    "type": "x.dtype",
    "type_as": "x.astype(b.dtype)",
    "unbind": "tg.unstack(x)",
    "uniform_": "tg.init.uniform(shape, rng)",
    "unsqueeze": "tg.expand_dims(x, axis)",
    "values": "x, whose value never changes",
    "view": "x.reshape(shape)",
    "view_as": "x.reshape(b.shape)",
    "zero_": "tg.zeros_like(x)",
}
"""Methods and attributes of PyTorch's tensors and NumPy's arrays."""
MODULES = {
    "add": "nn.Sequential(layer, layer, ...)",
    "add_module": "self.name = module",
    "all_weights": "layer.torch_state_dict()",
    "apply": "for m in model.modules().values()",
    "bias": "the attribute that print(model) shows, such as .b",
    "bias_hh": "the attribute that print(cell) shows, such as .d",
    "bias_hh_l0": "layer.torch_state_dict()",
    "bias_ih": "the attribute that print(cell) shows, such as .b",
    "bias_ih_l0": "layer.torch_state_dict()",
    "build": "its constructor, which is told all sizes",
    "children": "model.modules()",
    "compile": "an optimiser of tg.optim and a loop: loss.backward(), optimiser.step()",
    "count_params": "sum(p.size for p in model.parameters().values())",
    "cpu": "the model, which is in main memory",
    "cuda": "the model: arrays are NumPy's, in main memory",
    "double": "model.astype(np.float64), which gives a copy",
    "evaluate": "a loop under tg.no_grad()",
    "fit": "a loop: loss.backward(), optimiser.step()",
    "flatten_parameters": "the layer as it is: there is nothing to flatten",
    "float": "model.astype(np.float32), which gives a copy",
    "forward": "model(x), or cell.step(x, state) of a cell",
    "from_pretrained": "embedding.W.assign(values)",
    "get_initial_state": "cell.initial_state(batch_size)",
    "get_weights": "model.state_dict()",
    "half": "model.astype(np.float32): half precision cannot count past 2048",
    "init_hidden": "cell.initial_state(batch_size)",
    "load_weights": "model.load(path)",
    "named_buffers": "model.buffers().items()",
    "named_children": "model.modules().items()",
    "named_modules": "model.modules().items()",
    "named_parameters": "model.parameters().items()",
    "predict": "model(x) under tg.no_grad()",
    "register_buffer": "self.name = tg.Buffer(value)",
    "register_module": "self.name = module",
    "register_parameter": "self.name = tg.Parameter(value)",
    "requires_grad_": "model.freeze() and model.unfreeze()",
    "reset_parameters": "a new one, or p.assign(value)",
    "reset_states": "cell.initial_state(batch_size)",
    "save_weights": "model.save(path)",
    "set_weights": "model.load_state_dict(values)",
    "summary": "print(model)",
    "to": "model.astype(dtype), which gives a copy; arrays are NumPy's, in main memory",
    "trainable": "model.freeze() and model.unfreeze()",
    "trainable_variables": "model.parameters().values()",
    "trainable_weights": "model.parameters().values()",
    "variables": "model.state_dict()",
    "weight": "the attribute that print(model) shows, such as .W",
    "weight_hh": "the attribute that print(cell) shows, such as .W",
    "weight_hh_l0": "layer.torch_state_dict()",
    "weight_ih": "the attribute that print(cell) shows, such as .U",
    "weight_ih_l0": "layer.torch_state_dict()",
    "weights": "model.state_dict()",
    "zero_grad": "backward() alone: it replaces gradients and does not add to them",
    "zero_state": "cell.initial_state(batch_size)",
}
"""Methods and attributes of PyTorch's and Keras's modules."""
PACKAGE = {
    "FloatTensor": "tg.tensor(value)",
    "GradientTape": "loss.backward(), or tg.gradients(loss, wrt): every operation is recorded",
    "LongTensor": "a NumPy array of integers",
    "Sequential": "tg.nn.Sequential",
    "Variable": "tg.tensor(value), or tg.Parameter(value)",
    "arange": "np.arange(n)",
    "as_tensor": "tg.tensor(value)",
    "autograd": "tg.gradients(loss, wrt)",
    "bmm": "a @ b",
    "cat": "tg.concatenate(tensors, axis)",
    "chunk": "tg.split(x, n, axis)",
    "clamp": "tg.clip(x, low, high)",
    "concat": "tg.concatenate(tensors, axis)",
    "constant": "NumPy's arrays, which are constants beside tensors",
    "cuda": "arrays of NumPy, in main memory",
    "device": "arrays of NumPy, in main memory",
    "enable_grad": "a block without tg.no_grad()",
    "eye": "np.eye(n)",
    "float32": "np.float32",
    "float64": "np.float64",
    "from_numpy": "tg.tensor(array)",
    "full": "np.full(shape, number)",
    "function": "tg.scan(cell, xs) for a compiled loop",
    "functional": "tg.softmax, tg.relu, tg.cross_entropy, ...",
    "gather": "tg.take_along_axis(x, index, axis)",
    "inference_mode": "tg.no_grad()",
    "int64": "np.int64",
    "is_tensor": "isinstance(x, tg.Tensor)",
    "jit": "tg.scan(cell, xs) for a compiled loop",
    "keras": "tg.nn",
    "lax": "tg.scan(cell, xs)",
    "layers": "tg.nn",
    "load": "model.load(path), or tg.io.load(modules, path)",
    "long": "np.int64",
    "manual_seed": "a generator where numbers are drawn: rng=np.random.default_rng(seed)",
    "mm": "a @ b",
    "multinomial": "rng.choice(n, p=probabilities)",
    "normal": "tg.init.normal(shape, rng)",
    "numpy": "NumPy's functions, which take tensors",
    "rand": "tg.tensor(rng.random(shape))",
    "randint": "rng.integers(n, size=shape)",
    "randn": "tg.tensor(rng.normal(size=shape))",
    "random": "np.random.default_rng(seed)",
    "randperm": "rng.permutation(n)",
    "save": "model.save(path), or tg.io.save(modules, path)",
    "set_grad_enabled": "tg.no_grad()",
    "topk": "tg.argsort(x), and the last k of it",
    "unsqueeze": "tg.expand_dims(x, axis)",
    "utils": "tg.optim.clip_by_norm(model, norm), tg.data.pad(sequences), "
    "xs[rng.permutation(n)] for a DataLoader",
}
"""Names in `torch`, `tensorflow` and `jax`."""
NN = {
    "BCELoss": "tg.bce_with_logits(x, targets)",
    "BCEWithLogitsLoss": "tg.bce_with_logits(x, targets)",
    "CrossEntropyLoss": "tg.cross_entropy(logits, targets)",
    "Dense": "nn.Linear(input_size, output_size)",
    "Flatten": "x.reshape(len(x), -1)",
    "GELU": "tg.gelu, a function",
    "L1Loss": "tg.l1(x, targets)",
    "LSTMStateTuple": "nn.LSTMState(h, c)",
    "LayerNormalization": "nn.LayerNorm(size)",
    "LeakyReLU": "tg.leaky_relu, a function",
    "LogSoftmax": "tg.log_softmax(x), whose axis is the last",
    "MSELoss": "tg.mse(x, targets)",
    "Masking": "tg.unroll(cell, xs, mask=mask), or lengths=",
    "ModuleDict": "a dict",
    "ModuleList": "a list",
    "MultiRNNCell": "nn.Stacked(cell, cell, ...)",
    "NLLLoss": "tg.nll(log_probabilities, targets)",
    "Parameter": "tg.Parameter(value)",
    "ParameterDict": "a dict",
    "ParameterList": "a list",
    "RNNCell": "nn.ElmanCell(input_size, hidden_size)",
    "ReLU": "tg.relu, a function, which nn.Sequential takes as it is",
    "Sigmoid": "tg.sigmoid, a function, which nn.Sequential takes as it is",
    "SimpleRNN": "nn.RNN(input_size, hidden_size)",
    "SimpleRNNCell": "nn.ElmanCell(input_size, hidden_size)",
    "SmoothL1Loss": "tg.huber(x, targets)",
    "Softmax": "tg.softmax(x), whose axis is the last",
    "StackedRNNCells": "nn.Stacked(cell, cell, ...)",
    "Tanh": "tg.tanh, a function, which nn.Sequential takes as it is",
    "TimeDistributed": "the layer itself, which takes (T, B, I)",
    "functional": "tg.softmax, tg.relu, tg.cross_entropy, ...",
    "utils": "tg.optim.clip_by_norm(model, norm), tg.data.pad(sequences), tg.unroll(..., lengths=)",
}
"""Names in `torch.nn` and `keras.layers`."""
OPTIM = {
    "Adadelta": "tg.optim.Adam",
    "Adamax": "tg.optim.Adam",
    "LBFGS": "tg.optim.Adam; or scipy.optimize.minimize with gradients from tg.gradients",
    "NAdam": "tg.optim.Adam",
    "RAdam": "tg.optim.Adam",
    "RMSProp": "tg.optim.RMSprop",
    "Rprop": "tg.optim.RMSprop",
    "SGDM": "tg.optim.SGD(model, lr, momentum=0.9)",
    "clip_grad_norm_": "tg.optim.clip_by_norm(model, norm)",
    "clip_grad_value_": "tg.optim.clip_by_value(model, bound)",
    "lr_scheduler": "tg.optim.StepLR and its like",
}
"""Names in `torch.optim` and `keras.optimizers`."""
INIT = {
    "constant_": "np.full(shape, number)",
    "eye_": "tg.init.identity(shape)",
    "glorot_uniform": "tg.init.xavier(shape, rng)",
    "he_normal": "tg.init.kaiming(shape, rng)",
    "kaiming_normal_": "p.assign(tg.init.kaiming(p.shape, rng))",
    "kaiming_uniform_": "p.assign(tg.init.kaiming(p.shape, rng))",
    "normal_": "p.assign(tg.init.normal(p.shape, rng))",
    "ones_": "p.assign(np.ones(p.shape))",
    "orthogonal_": "p.assign(tg.init.orthogonal(p.shape, rng))",
    "uniform_": "p.assign(tg.init.uniform(p.shape, rng))",
    "xavier_normal_": "p.assign(tg.init.xavier(p.shape, rng))",
    "xavier_uniform_": "p.assign(tg.init.xavier(p.shape, rng))",
    "zeros_": "p.assign(np.zeros(p.shape))",
}
"""Names in `torch.nn.init` and `keras.initializers`."""
ARGUMENTS = {
    "batch_first": "time_axis=1",
    "correction": "ddof",
    "create_graph": "tg.gradients(loss, wrt, create_graph=True)",
    "device": "nothing: arrays are NumPy's, in main memory",
    "dim": "axis",
    "dims": "axis",
    "h0": "state",
    "hx": "state",
    "init": "state",
    "initial_state": "state",
    "keepdim": "keepdims",
    "num_steps": "xs of so many steps",
    "p": "rate",
    "requires_grad": "tg.Parameter(value)",
    "retain_graph": "keep_record=True",
    "return_sequences": "run.outputs, or run.steps[-1]",
    "sequence_length": "lengths",
    "set_to_none": "nothing: backward() replaces gradients",
    "time_major": "time_axis=1 for (B, T, I)",
    "training": "model.train() and model.eval()",
    "unbiased": "ddof=0 or 1",
    "weight": "weights",
}
"""Arguments of functions and of tensors' methods."""
SETTINGS = {
    "activation": "an activation of its own",
    "device": "nothing: arrays are NumPy's, in main memory",
    "dropout": "nn.VariationalDropout around the cell, or nn.Dropout",
    "embedding_dim": "output_size",
    "go_backwards": "tg.unroll(cell, xs, reverse=True)",
    "in_features": "input_size",
    "input_dim": "input_size, or classes of an nn.Embedding",
    "input_shape": "input_size",
    "kernel_initializer": "p.assign(value)",
    "mask_zero": "tg.unroll(cell, xs, lengths=...)",
    "normalized_shape": "size",
    "num_embeddings": "classes",
    "out_features": "output_size",
    "output_dim": "output_size",
    "p": "rate",
    "padding_idx": "tg.unroll(cell, xs, lengths=...), where padding counts nowhere",
    "recurrent_dropout": "nn.VariationalDropout around the cell",
    "return_sequences": "output and state, which every layer gives",
    "return_state": "output and state, which every layer gives",
    "stateful": "tg.detach(state), given to the next call",
    "unit_forget_bias": "forget_bias=1.0",
    "units": "hidden_size, after input_size",
    "use_bias": "bias",
}
"""Arguments of constructors of modules."""

OPTIONS = {
    "amsgrad": "Adam as it is",
    "beta_1": "betas=(b1, b2)",
    "beta_2": "betas=(b1, b2)",
    "clipnorm": "tg.optim.clip_by_norm(model, norm) before step()",
    "clipvalue": "tg.optim.clip_by_value(model, bound) before step()",
    "decay": "tg.optim.ExponentialLR and its like",
    "rho": "alpha",
    "epsilon": "eps",
    "learning_rate": "lr",
    "params": "parameters",
}
"""Arguments of constructors of optimisers."""
OPTIMISERS = {
    "apply_gradients": "loss.backward(), optimiser.step()",
    "minimize": "loss.backward(), optimiser.step()",
}
"""Methods of optimisers."""


class Substituted:
    """An attribute that a class has not: asked for, it raises, and names its substitute."""

    def __init__(self, name: str, use: str, owner: str = "a tensor") -> None:
        self.name = name
        self.use = use
        self.owner = owner

    def __get__(self, instance: Any, owner: Any) -> NoReturn:
        raise AttributeError(f"{self.owner} has no attribute {self.name!r}; use {self.use}")


def unknown(module: str, name: str, table: dict[str, str]) -> AttributeError:
    """The error for a name that a module has not, with ours if there is one."""
    use = f"; use {table[name]}" if name in table else ""
    return AttributeError(f"module {module!r} has no attribute {name!r}{use}")


def not_there(names: Iterable[str], table: dict[str, str]) -> str:
    """Of arguments that a function has not, with ours."""
    return "; ".join(f"no argument {name!r}, use {table[name]}" for name in names)


def refuse_theirs(cls: type, given: Collection[str], table: dict[str, str]) -> None:
    """Raise TypeError for arguments that the constructor of a class has not, with ours."""
    if theirs := table.keys() & given:
        own = inspect.signature(cls).parameters.values()
        if all(p.name not in theirs and p.kind is not p.VAR_KEYWORD for p in own):
            takes = ", ".join(p.name for p in own)
            raise TypeError(f"{cls.__name__}: {not_there(sorted(theirs), table)}; it takes {takes}")


def answering(function: F) -> F:
    """A function that names ours where it is given an argument of PyTorch's that it has not."""

    @functools.wraps(function)
    def answered(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError:
            own = function.__code__.co_varnames
            theirs = [name for name in kwargs if name in ARGUMENTS and name not in own]
            if not theirs:
                raise
            raise TypeError(f"{function.__name__}: {not_there(theirs, ARGUMENTS)}") from None

    return answered  # type: ignore[return-value]
