"""Code from memory of PyTorch, Keras or NumPy works, or is answered with ours."""

import inspect
import re

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import elsewhere, nn


def world():
    cell, model = tg.ElmanCell(3, 4, rng=0), nn.Linear(3, 1, rng=0)
    x, v = tg.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "x"), np.ones((1, 3), np.float32)
    run = tg.unroll(cell, np.ones((2, 1, 3)))
    loss = (model(v) ** 2).sum() + (run.outputs**2).sum()
    loss.backward(keep_record=True)
    optimizer = tg.optim.Adam([*model.parameters().values(), *cell.parameters().values()])
    return {
        "np": np, "tg": tg, "nn": nn, "cell": cell, "model": model, "x": x, "v": v, "h": run.state,
        "loss": loss, "optimizer": optimizer, "mask": np.array([True, False]), "f": np.sin,
    }  # fmt: skip


WORK = """
x.shape[0]
x.reshape(-1, 3)
x.transpose(0, 1)
x.detach().numpy()
x.tolist()
x.clip(0, 1)
x.sum(axis=1, keepdims=True)
x[:, None, :]
np.exp(x)
np.concatenate([x, x])
nn.Linear(3, 4, bias=False)
nn.Sequential(nn.Linear(3, 4), tg.relu, nn.Linear(4, 1))(v)
nn.LSTM(input_size=3, hidden_size=4, num_layers=2, batch_first=True)
model.train().eval()
optimizer.zero_grad()
optimizer.step()
optimizer.param_groups[0]["lr"]
tg.optim.SGD(model.parameters(), 0.1)
loss.item()
cell.hidden_size
"""
ANSWERED = """
x.sum(dim=1)                         | sum: no argument 'dim', use axis
x.mean(-1, keepdim=True)             | mean: no argument 'keepdim', use keepdims
x.argmax(dim=1)                      | argmax: no argument 'dim', use axis
tg.softmax(x, dim=1)                 | softmax: no argument 'dim', use axis
tg.stack([x, x], dim=0)              | stack: no argument 'dim', use axis
tg.tensor([1.0], requires_grad=True) | tensor: no argument 'requires_grad', use tg.Parameter(value)
loss.backward(retain_graph=True)     | backward: no argument 'retain_graph', use keep_record=True
loss.backward(create_graph=True)     | use tg.gradients(loss, wrt, create_graph=True)
tg.zeros(2, 3)                       | zeros: a second size, 3; the shape is one tuple
tg.Tensor([1.0])                     | tg.tensor(value) makes one
tg.cat([x, x])                       | use tg.concatenate(tensors, axis)
tg.manual_seed(0)                    | rng=np.random.default_rng(seed)
tg.GradientTape()                    | use loss.backward()
tg.jit(f)                            | use tg.scan(cell, xs)
tg.nonsense                          | module 'tinygrad_rnn' has no attribute 'nonsense'
nn.functional.relu(x)                | use tg.softmax, tg.relu
nn.CrossEntropyLoss()                | use tg.cross_entropy(logits, targets)
nn.ModuleList([model])               | use a list
nn.Dense(3)                          | use nn.Linear(input_size, output_size)
nn.init.xavier_uniform_(cell.W)      | use p.assign(tg.init.xavier(p.shape, rng))
nn.utils.clip_grad_norm_(model, 1.0) | use tg.optim.clip_by_norm(model, norm)
tg.optim.lr_scheduler                | use tg.optim.StepLR
nn.Linear(in_features=3, out_features=4) | Linear: no argument 'in_features', use input_size
nn.LSTM(32, return_sequences=True)   | use output and state, which every layer gives
tg.GRUCell(units=3)                  | GRUCell: no argument 'units', use hidden_size
nn.Dropout(p=0.5)                    | Dropout: no argument 'p', use rate
tg.optim.LBFGS(model)                | use tg.optim.Adam; or scipy.optimize
tg.optim.Adam(model, learning_rate=1) | Adam: no argument 'learning_rate', use lr
tg.optim.Adam(list(model.parameters())) | parameters() is a dict: give it, or its .values()
optimizer.minimize(loss)             | use loss.backward(), optimiser.step()
optimizer.zero_grad(set_to_none=True) | backward() replaces gradients
nn.LSTM(3, 4).weight_ih_l0           | use layer.torch_state_dict()
nn.Embedding.from_pretrained(v)      | use embedding.W.assign(values)
tg.unroll(cell, v, initial_state=h)  | unroll: no argument 'initial_state', use state
tg.scan(cell, v, sequence_length=3)  | scan: no argument 'sequence_length', use lengths
tg.cross_entropy(x, 0, weight=v)     | cross_entropy: no argument 'weight', use weights
tg.study.derive(tg.GRUCell)          | derive: given the class GRUCell (without its arguments)
cell(v, h)                           | cell.step(x, state) gives (output, state) for one step
cell.init_hidden(1)                  | use cell.initial_state(batch_size)
model.forward(v)                     | use model(x)
model.weight                         | print(model)
model.zero_grad()                    | it replaces gradients
model.fit(x, x)                      | loss.backward(), optimiser.step()
model.named_parameters()             | use model.parameters().items()
[p.numel() for p in model.parameters()] | parameters() is a dict
[setattr(p, "requires_grad", False) for p in model.parameters()] | the parameters are its .values()
cell.__setattr__("W", np.zeros((4, 4))) | W.assign(value) gives it another value
cell.W.__isub__(0.1)                 | whose value changes by assign
setattr(cell.W, "data", 0)           | p.assign(value) to change a parameter
x.view(2, -1)                        | use x.reshape(shape)
x.permute(1, 0)                      | use x.transpose(axes)
x.to("cuda")                         | use x.astype(dtype)
x.clamp(min=0)                       | use x.clip(low, high)
x.expand(4, 2, 3)                    | use tg.broadcast_to(x, shape)
x.zero_()                            | use tg.zeros_like(x)
x.__setitem__(0, 1.0)                | tg.index_update(t, index, value)
np.array([x, x])                     | or tg.stack([...]) to join tensors
"""


@pytest.mark.parametrize("line", WORK.strip().splitlines())
def test_works(line):
    eval(line, world())


@pytest.mark.parametrize("line", ANSWERED.strip().splitlines())
def test_is_answered(line):
    program, _, wanted = line.partition("|")
    with pytest.raises((TypeError, AttributeError), match=re.escape(wanted.strip())) as raised:
        eval(program.strip(), world())
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_number_put_into_an_array_is_answered_below_numpy():
    """NumPy raises its own error from ours, which Python prints first."""
    out = np.zeros(3)
    with pytest.raises(ValueError, match="sequence") as raised:
        out[0] = world()["loss"]
    assert "as in out[t] = loss with an array `out`; use .item()" in str(raised.value.__cause__)


def test_nothing_is_there_under_a_name_of_theirs():
    for module, table in ((tg, elsewhere.PACKAGE), (nn, elsewhere.NN), (tg.optim, elsewhere.OPTIM),
                          (tg.init, elsewhere.INIT)):  # fmt: skip
        assert not [name for name in table if hasattr(module, name)]
    for name in elsewhere.MODULES:
        assert not hasattr(tg.Module(), name)
    for name in elsewhere.TENSORS:
        assert not hasattr(world()["x"], name)


def test_what_is_named_is_there():
    """Every `tg.name` and `nn.Name` in a substitute."""
    tables = [table for name, table in vars(elsewhere).items() if name.isupper()]
    uses = {use for table in tables if isinstance(table, dict) for use in table.values()}
    assert len(uses) > 100
    for use in uses:
        for path in re.findall(r"\b(?:tg|nn)(?:\.\w+)+", use):
            found = {"tg": tg, "nn": nn}[path.split(".")[0]]
            for name in path.split(".")[1:]:
                found = getattr(found, name)


def test_a_name_of_theirs_may_be_one_of_the_users():
    class Own(tg.Module):
        def __init__(self, units, p):
            self.weight, self.bias = tg.Parameter(np.ones(units)), p

        def forward(self, x):
            return self.weight * x

    own = Own(units=2, p=3)
    assert own(2.0).shape == own.forward(2.0).shape == (2,)
    assert own.bias == 3
    assert list(inspect.signature(tg.sum).parameters)[:3] == ["x", "axis", "keepdims"]


def test_two_models_parameters_under_one_name_are_not_lost():
    cell, model = tg.ElmanCell(3, 4, rng=0), nn.Linear(3, 1, rng=0)
    with pytest.raises(ValueError, match=r"both have 'W', 'b': one would be lost"):
        cell.parameters() | model.parameters()
    both = cell.parameters() | {"V": model.W}
    assert list(both) == ["U", "W", "b", "V"]
    assert len(cell.parameters() | cell.parameters()) == 3
    with pytest.raises(ValueError, match=r"wanted a tensor, or several: list\(model.param"):
        tg.gradients((cell.W * cell.W).sum(), cell)
