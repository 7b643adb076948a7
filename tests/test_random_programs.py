"""Random programs, differentiated in every way; and wrong rules that this has to notice."""

from typing import Any

import numpy as np
import pytest
import random_programs
from check_programs import check, fault
from random_programs import Draw, Line, Program

import tinygrad_rnn as tg
from tinygrad_rnn.primitive import apply, general

PROGRAMS = 800  # more by hand: python tests/check_programs.py 5000
BLOCK = 50


@pytest.mark.parametrize("first", range(0, PROGRAMS, BLOCK))
def test_all_derivatives_of_a_program_agree(first):
    for number, program in random_programs.programs(first, BLOCK):
        found = fault(program, number)
        assert found is None, f"program {number}\n{found}"


def test_programs_are_of_every_kind():
    """The cases of the check, counted over the programs that the suite runs."""
    seen: dict[str, int] = {}
    for _, program in random_programs.programs(0, 300):
        text = str(program)
        read = [name for line in program.lines for name in line.reads]
        ys = program(*program.arrays)
        for kind, there in {
            "several outputs": len(program.outputs) > 1,
            "of several outputs": "tg.split" in text or "tg.unstack" in text,
            "empty": any(np.size(y) == 0 for y in ys),
            "without axes": any(np.ndim(y) == 0 for y in ys),
            "reuse": len(read) > len(set(read)),
            "loop": "for t in" in text,
            "join": "tg.stack" in text or "tg.concatenate" in text,
            "index": "[np.array(" in text,
            "product": "@" in text,
            "constant": "# a constant" in text,
            "deep": len(program.lines) > 8,
        }.items():
            seen[kind] = seen.get(kind, 0) + there
    assert min(seen.values()) > 15, seen


# -- a check that cannot fail would be none ------------------------------------------------------


def cut(x: Any) -> Any:
    return x.numpy() if isinstance(x, tg.Tensor) else x


def thrice_if_recorded(g: Any, x: Any) -> Any:
    return g * x * (3.0 if isinstance(x, tg.Tensor) else 2.0)


# the square, with a rule for each mode of which one is wrong, and the message
WRONG = {
    "factor, both modes": (lambda g, x: g * x, lambda t, x: t * x, "central differences"),
    "factor, reverse": (lambda g, x: g * x, lambda t, x: 2 * t * x, "forward mode"),
    "factor, forward": (lambda g, x: 2 * g * x, lambda t, x: t * x, "forward mode"),
    "sum, reverse": (lambda g, x: 2 * tg.sum(g) * x, lambda t, x: 2 * t * x, "forward mode"),
    "recorded only": (thrice_if_recorded, lambda t, x: 2 * t * x, "recorded reverse mode"),
    "second order, reverse": (
        lambda g, x: 2 * g * cut(x),
        lambda t, x: 2 * t * x,
        "reverse over reverse",
    ),
    "tiny": (lambda g, x: (2 + 1e-6) * g * x, lambda t, x: 2 * t * x, "forward mode"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_found(name):
    pull, push, said = WRONG[name]
    primitive = general("suspect", np.square, pull, push)
    extra = {"suspect": lambda x: apply(primitive, (x,), {})}
    messages = []
    for seed in range(40):
        program = Draw(seed, extra).program()
        used = [line for line in program.lines if "suspect" in line.code]
        if used:
            messages.append(fault(program, seed))
    found = [message for message in messages if message]
    assert len(messages) > 20
    # a use may be empty, lead to no output, or end where there is no derivative
    assert len(found) > len(messages) / 3
    assert all("suspect" in message for message in found)
    assert sum(said in message for message in found) > len(found) / 2, found


REUSE = Program(
    {"x0": np.array([1.0, 2.0])},
    (),
    (Line(("v1",), "v1 = x0 * x0", ("x0",)), Line(("v2",), "v2 = tg.exp(v1) / v1", ("v1",))),
    ("v2",),
    {},
)


def test_a_lost_use_is_found(monkeypatch):
    check(REUSE)
    every = tg.gradients_of_uses
    monkeypatch.setattr(tg, "gradients_of_uses", lambda *a, **k: every(*a, **k)[1:])
    with pytest.raises(AssertionError, match="the sum over the uses"):
        check(REUSE)


def test_a_gradient_left_by_another_sweep_is_found(monkeypatch):
    backward = tg.Tensor.backward
    monkeypatch.setattr(tg.Tensor, "backward", lambda y: backward(y, 1.5))
    with pytest.raises(AssertionError, match=r"backward\(\)"):
        check(REUSE)


def test_another_value_on_tensors_is_found():
    double = {"f": lambda x: x * 2.0 if isinstance(x, tg.Tensor) else x * 3.0}
    line = Line(("v1",), "v1 = f(x0)", ("x0",))
    with pytest.raises(AssertionError, match="the value on tensors"):
        check(REUSE._replace(lines=(line,), outputs=("v1",), extra=double))


def test_the_smallest_wrong_part_is_shown():
    wrong = general("wrong", np.square, lambda g, x: g * x, lambda t, x: t * x)
    lines = (
        *REUSE.lines,
        Line(("v3",), "v3 = wrong(v1)", ("v1",)),
        Line(("v4",), "v4 = v3 * v2", ("v2", "v3")),
    )
    program = REUSE._replace(lines=lines, outputs=("v4",), extra={"wrong": wrong})
    message = fault(program)
    assert message is not None
    assert message.splitlines()[1:] == [
        "x0 = np.array([1.0, 2.0]).reshape((2,))", "v1 = x0 * x0", "v3 = wrong(v1)", "# ('v3',)",
    ]  # fmt: skip
