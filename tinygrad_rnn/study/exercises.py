"""Derive it yourself: a cell's backward pass as questions, with graded answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np

from ..equations import derive, notation, print_text
from ..equations.expr import Expr, Form
from ..equations.sizes import grows
from ..graph import Array
from ..nn import Cell
from ..unroll import step_by_step
from .level import Candidate, constant
from .lines import SENSELESS, Lines
from .locate import said
from .rewrites import Rewrite, Scope, at_one_use, before_slopes, insertions, on_one_path, rewrites
from .trial import Numbers, Trial

T, B = 3, 2
CLOSE = 1e-7

Answer = Callable[..., Any]


class Question(NamedTuple):
    """One line of the backward pass.

    name   its name in `check` and `reveal`: "h" for dL/dh_t, "next_h" for the gradient that step t
           hands back to step t-1, "W" for step t's part of dL/dW, "x" for dL/dx_t
    text   the question
    shape  of the answer, with B for the batch's size
    line   its number among the lines
    """

    name: str
    text: str
    shape: str
    line: int


@dataclass(frozen=True)
class Grade:
    """An answer, graded.

    name    of the question
    points  1 if it is right, 0 if not, or if it was revealed before
    reason  the mistake in it; "right" if there is none
    """

    name: str
    points: int
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.points} of 1. {self.reason[:1].upper()}{self.reason[1:]}."


class Exercise:
    """The backward pass of a cell, as questions. Print it to see them; see `exercise`.

    questions  in the order in which a step computes them
    grades     {name: the best grade so far}
    """

    def __init__(self, form: Form, seed: int = 0) -> None:
        self._form = form
        self._lines = Lines(form)
        rng = np.random.default_rng(seed)
        self._trial = Trial(self._lines, _numbers(form, rng))
        self.questions = tuple(_questions(self._lines))
        self.grades: dict[str, Grade] = {}
        self._revealed: set[str] = set()

    @property
    def points(self) -> int:
        """The points so far."""
        return sum(grade.points for grade in self.grades.values())

    @property
    def next(self) -> Question | None:
        """The first question without a right answer."""
        for question in self.questions:
            grade = self.grades.get(question.name)
            if (grade is None or grade.points == 0) and question.name not in self._revealed:
                return question
        return None

    def names(self, question: str) -> list[str]:
        """The names of the arguments that an answer may take."""
        return list(self._given(self._question(question), 1))

    def check(self, name: str, answer: Answer) -> Grade:
        """Grade one line.

        name    of the question
        answer  a function of some of `names(name)`, which are called with NumPy arrays, right
                ones whatever was answered before; it returns the line's value at step t

        The reason never holds the expected numbers. Raises KeyError for an unknown name and
        TypeError for arguments that are not among the names.
        """
        question = self._question(name)
        line = self._lines.lines[question.line]
        wanted = [np.asarray(self._trial.value(line.value, t)) for t in range(1, T + 1)]
        given = [self._asked(question, answer, t) for t in range(1, T + 1)]
        reason = _compared(given, wanted, question)
        if reason == "":
            reason = self._searched(question, given, wanted)
        points = int(reason == "right" and name not in self._revealed)
        if reason == "right" and not points:
            reason = "right, after its equation was revealed"
        grade = Grade(name, points, reason)
        if name not in self.grades or self.grades[name].points <= points:
            self.grades[name] = grade
        return grade

    def reveal(self, name: str) -> str:
        """One line's equation. Its point is lost."""
        question = self._question(name)
        self._revealed.add(name)
        line = self._lines.lines[question.line]
        return f"{question.text} = {_printed(self._lines.derived(line.value))}"

    def __repr__(self) -> str:
        done = f"{self.points} of {len(self.questions)} points"
        return f"<exercise on {self._form.cell}: {done}; print it for the questions>"

    def _repr_html_(self) -> str:
        return f'<pre style="white-space:pre-wrap">{escape(str(self))}</pre>'

    def __str__(self) -> str:
        forward = notation.page(self._form)[0]
        names = ", ".join(self.names(self.questions[0].name))
        name = max(len(q.name) for q in self.questions)
        rows = [
            f"    {q.name:{name}}  {q.text}, of shape {q.shape}{self._mark(q.name)}"
            for q in self.questions
        ]
        return "\n".join(
            [
                print_text.unicode([forward]),
                "",
                "Derive, for step t, from the last to the first",
                *rows,
                "",
                f"The first may use {names}; every line may use those above it, as d_NAME.",
                f"{self.points} of {len(self.questions)} points",
            ]
        )

    def _mark(self, name: str) -> str:
        if name in self._revealed:
            return "   (revealed)"
        grade = self.grades.get(name)
        return "" if grade is None else "   right" if grade.points else "   wrong so far"

    def _question(self, name: str) -> Question:
        for question in self.questions:
            if question.name == name:
                return question
        known = ", ".join(q.name for q in self.questions)
        raise KeyError(f"exercise: no question {name!r}; there are {known}")

    def _given(self, question: Question, t: int) -> dict[str, Any]:
        """The names an answer may use: values of the forward pass, and the lines above."""
        lines, trial = self._lines, self._trial
        found: dict[str, Any] = dict(trial.numbers.parameters)
        found |= {k: np.asarray(v) for k, v in lines.form.constants.items()} | lines.form.scalars
        found["x"] = trial.numbers.inputs[0][t - 1]
        for symbol in lines.forward:
            found[symbol.symbol.name] = trial.value(symbol, t)
        for state in lines.states:
            found[f"{state.symbol.name}_prev"] = trial.value(state, t)
        for error in lines.form.errors:
            found[error.symbol.name] = trial.value(error, t)
        for k, line in enumerate(lines.lines):
            if line.kind == "carry":
                found[f"next_{line.of}"] = trial.value(line.target, t)
            elif line.kind == "backward" and k < question.line:
                found[f"d_{line.of}"] = trial.value(line.target, t)
        return found

    def _asked(self, question: Question, answer: Answer, t: int) -> Any:
        given = self._given(question, t)
        wanted = inspect.signature(answer).parameters
        unknown = [n for n in wanted if n not in given]
        if unknown:
            raise TypeError(
                f"exercise: the answer to {question.name!r} takes {', '.join(unknown)}, which is "
                f"not known there; there are {', '.join(given)}"
            )
        copies = {n: np.array(given[n]) for n in wanted}
        return np.asarray(answer(**copies), np.float64)

    def _searched(self, question: Question, given: list[Array], wanted: list[Array]) -> str:
        """The rewrite of the line that gives the answer, in words."""
        lines = self._lines
        line = lines.lines[question.line]
        c = constant(given, wanted)
        if c is not None:
            known = {
                -1.0: "wrong sign",
                0.0: "it is zero",
                1 / B: "a mean over the batch for a sum",
            }
            return known.get(c, f"wrong constant factor: {c:.6g} times what is right")
        found: list[Rewrite] = []
        with np.errstate(all="ignore"):
            for r in _every(line.value, Scope(lines, question.line)):
                try:
                    same = all(
                        _same(np.asarray(self._trial.value(r.value, t)), given[t - 1])
                        for t in range(1, T + 1)
                    )
                except SENSELESS:
                    continue
                if same:
                    found.append(r)
        if not found:
            return "another value, which no single slip explains"
        best = min(found, key=lambda r: r.cost)
        return f"{best.kind}: {said(Candidate(best.kind, *best.detail), lines)}"


def exercise(cell: Cell, input_size: int | None = None, seed: int = 0) -> Exercise:
    """An exercise: derive the backward pass of a cell, line by line.

    It shows the forward equations and asks for every line of the backward pass. Answers are Python
    functions. A wrong one is graded with the search of `compare`: the reason is told, and
    never the expected numbers. The whole pass at once is graded by `compare` itself.

    cell        any cell that `derive` can read
    input_size  size of x_t, if it is not known
    seed        of the numbers that answers are tried on

    Raises TypeError if `cell` is none, for a model that needs the whole sequence, and for a cell
    that takes several inputs at once.

    >>> import tinygrad_rnn as tg
    >>> from tinygrad_rnn import study
    >>> task = study.exercise(tg.ElmanCell(2, 3))
    >>> [question.name for question in task.questions]
    ['s', 'a', 'next_s', 'U', 'W', 'b', 'x']
    >>> print(task.check("a", lambda d_s, s: d_s * (1 - s)))
    a: 0 of 1. Wrong f'(a): 1 - y for the slope of sₜ.
    >>> print(task.check("a", lambda d_s, s: d_s * (1 - s * s)))
    a: 1 of 1. Right.
    >>> task.reveal("next_s")
    'the part of ∂L/∂sₜ₋₁ from step t = δₜ Wᵀ'
    """
    step_by_step("exercise", cell, "and an exercise is about one cell: give it each of its cells")
    form = derive(cell, input_size).form
    if len(form.inputs) > 1:
        raise TypeError(
            f"exercise: for cells of one input, x_t (B, I); {type(cell).__name__} takes "
            f"{len(form.inputs)} at once"
        )
    return Exercise(form, seed)


def _every(value: Any, scope: Scope) -> Iterator[Rewrite]:
    for make in (rewrites, on_one_path, before_slopes, at_one_use, insertions):
        yield from make(value, scope)


def _compared(given: list[Array], wanted: list[Array], question: Question) -> str:
    """ "right", the fault of the shape, or nothing."""
    if any(g.shape != w.shape for g, w in zip(given, wanted, strict=True)):
        shape = next(g.shape for g, w in zip(given, wanted, strict=True) if g.shape != w.shape)
        sizes = "×".join(map(str, shape)) or "1"
        return f"its shape is {sizes} for a batch of {B}; wanted {question.shape}"
    if any(not np.isfinite(g).all() for g in given):
        return "it is not finite"
    same = all(_same(g, w) for g, w in zip(given, wanted, strict=True))
    return "right" if same else ""


def _same(a: Array, b: Array) -> bool:
    if a.shape != b.shape:
        return False
    scale = max(float(np.abs(b).max(initial=0.0)), 1e-300)
    return bool((np.abs(a - b) <= CLOSE * scale).all())


def _questions(lines: Lines) -> Iterator[Question]:
    meanings = {m.delta: m for m in lines.form.meanings}
    states = iter(lines.states)
    for k, line in enumerate(lines.lines):
        sizes = (line.target if line.kind == "sum" else line.value).shape
        shape = "×".join("B" if grows(n) else str(int(n)) for n in sizes) or "1"
        if line.kind == "backward":
            meaning = meanings.get(line.target)
            own = next((s for s in lines.forward if s.symbol.name == line.of), None)
            of = meaning.of if meaning else own
            text = f"∂L/∂{line.of + 'ₜ' if of is None else _printed(of)}"
            if meaning is not None and meaning.definition is not None:
                text += f" for {_printed(meaning.of)} = {_printed(meaning.definition)}"
            yield Question(line.of, text, shape, k)
        elif line.kind == "carry":
            text = f"the part of ∂L/∂{_printed(next(states))} from step t"
            yield Question(f"next_{line.of}", text, shape, k)
        elif line.kind == "sum":
            yield Question(
                line.of, f"the part of ∂L/∂{_printed(line.target)} from step t", shape, k
            )
        elif line.kind == "input":
            yield Question("x", f"∂L/∂{_printed(line.target)}", shape, k)


def _printed(e: Expr) -> str:
    return print_text.text(notation.boxed(e))


def _numbers(form: Form, rng: np.random.Generator) -> Numbers:
    def drawn(e: Expr, *first: int) -> Array:
        sizes = tuple(B if grows(n) else int(n) for n in e.shape)
        return np.asarray(rng.normal(0, 0.7, (*first, *sizes)))

    return Numbers(
        {g.of.symbol.name: drawn(g.of) for g in form.parameters},
        [drawn(g.of, T) for g in form.inputs],
        [drawn(c.state) for c in form.carries],
        [drawn(e, T) for e in form.errors],
    )


__all__ = ["Exercise", "Grade", "Question", "exercise"]
