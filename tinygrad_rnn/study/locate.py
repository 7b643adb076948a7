"""The first mistake in a backward pass derived by hand: its place and its kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..graph import Array, Node
from .last_line import in_last_line
from .mistakes import NONE, Mistake, on_the_way, sweep
from .recorded_steps import RecordedSteps

MATCH = 1e-7
"""Gradients that differ by less, relative to the largest entry, are taken to be the same."""


@dataclass(frozen=True)
class Finding:
    """A mistake in a backward pass.

    kind      "missing f'(a)", "missing transpose", "missing sum over time", "forgotten path",
              "off by one in time", "wrong sign", "wrong gate order", ..., or "unknown"
    name      the quantity v whose gradient dL/dv is the first wrong one, walking back from the loss
    step      at which step, 1 for the first; None for the gradient of a parameter
    words     the wrong rule and the right one
    explains  the gradients that are wrong by exactly this mistake
    """

    kind: str
    name: str
    step: int | None
    words: str
    explains: tuple[str, ...]

    def __str__(self) -> str:
        at = f"dL/d{self.name}" + ("" if self.step is None else f" at step {self.step}")
        if self.kind == "unknown":
            return f"{at}. {self.words}"
        by = ", ".join(f"dL/d{name}" for name in self.explains if not name.endswith("_t"))
        return f"{at}. {self.kind[0].upper()}{self.kind[1:]}: {self.words}." + (
            f" This alone gives exactly the given {by}." if by else ""
        )


def locate(
    steps: RecordedSteps, gradients: dict[str, Array], between: dict[str, Array]
) -> tuple[Finding, ...]:
    """Find the mistakes that make right gradients into the given ones.

    gradients  {name: array} of leaves
    between    {name: (T, ...)} cotangents of named quantities, as far as there are any

    Classic mistakes are tried one at a time; the one that explains most of the wrong gradients is
    taken, and others are tried on top of it for those still wrong.
    """
    given = gradients | {f"{name}_t": g for name, g in between.items()}
    named = {name: entries for name, entries in steps.named().items() if name in between}
    nodes = {name: leaf._node for name, leaf in steps.problem.leaves().items()}

    def measured(mistake: Mistake) -> dict[str, Array]:
        found = sweep(steps, mistake)
        values = {
            name: found.get(node, np.zeros(node.shape))
            for name, node in nodes.items()
            if name in gradients and node is not None
        }
        for name, entries in named.items():
            parts = [_cotangent(found, value)[..., part] for value, part in entries]
            values[f"{name}_t"] = np.stack(parts)
        return values

    findings: list[Finding] = []
    base, now = NONE, measured(NONE)
    for _ in range(4):
        off = [name for name in now if not _same(now[name], given[name])]
        if not off:
            break
        last_lines = _last_line(steps, off, given, base)
        best: tuple[Mistake, list[str], dict[str, Array]] | None = None
        if len(off) > 1 or not last_lines:
            best = _best(steps, base, off, given, measured)
        if best is not None and (len(best[1]) > 1 or not last_lines):
            mistake, explained, now = best
            name, step = _first_wrong(steps, base, base + mistake)
            findings.append(Finding(mistake.kind, name, step, mistake.words, tuple(explained)))
            base = base + mistake
            continue
        for name, (kind, words) in last_lines.items():
            findings.append(Finding(kind, name, None, words, (name,)))
            off.remove(name)
        if off:
            findings.append(_unknown(steps, given, off, now))
        break
    return tuple(_merged(findings))


def _best(
    steps: RecordedSteps,
    base: Mistake,
    off: list[str],
    given: dict[str, Array],
    measured: Callable[[Mistake], dict[str, Array]],
) -> tuple[Mistake, list[str], dict[str, Array]] | None:
    """The mistake that explains most of the wrong gradients and spoils no other: the gradients it
    explains, and all gradients with it. Of several that explain as much, the one that leaves
    most of the rest to mistakes in the last lines.
    """
    best: list[tuple[Mistake, list[str], dict[str, Array]]] = []
    for mistake in on_the_way(steps):
        got = measured(base + mistake)
        match = {name for name in got if _same(got[name], given[name])}
        explained = [name for name in off if name in match]
        spoiled = any(name not in match for name in got if name not in off)
        if not explained or spoiled or (best and len(explained) < len(best[0][1])):
            continue
        if best and len(explained) > len(best[0][1]):
            best.clear()
        best.append((mistake, explained, got))
        if len(explained) == len(off):
            break

    def left(entry: tuple[Mistake, list[str], dict[str, Array]]) -> int:
        rest = [name for name in off if name not in entry[1]]
        return len(_last_line(steps, rest, given, base + entry[0]))

    return best[0] if len(best) == 1 else max(best, key=left, default=None)


def _same(a: Array, b: Array) -> bool:
    scale = max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0))
    return bool(np.abs(a - b).max(initial=0.0) <= MATCH * scale)


def _last_line(
    steps: RecordedSteps, off: list[str], given: dict[str, Array], base: Mistake
) -> dict[str, tuple[str, str]]:
    """Of the gradients that are off, those a mistake in their own last line explains."""
    found: dict[str, tuple[str, str]] = {}
    cotangents = sweep(steps, base)
    for name, leaf in steps.problem.leaves().items():
        if name in off and leaf._node is not None:
            right = cotangents.get(leaf._node, np.zeros(leaf.shape))
            for kind, words, got in in_last_line(steps, name, right, base):
                if _same(got, given[name]):
                    found[name] = kind, words
                    break
    return found


def _cotangent(found: dict[Node, Any], value: tuple[Node, int]) -> Array:
    node, port = value
    g = found.get(node)
    if g is not None and node.primitive is not None and node.primitive.multiple:
        g = g[port]
    return np.zeros(node.output(port)[0]) if g is None else g


def _first_wrong(steps: RecordedSteps, base: Mistake, mistake: Mistake) -> tuple[str, int | None]:
    """The first value, from the loss back, whose cotangent a mistake changes."""
    right, wrong = sweep(steps, base), sweep(steps, mistake)
    for own in reversed(steps.steps):
        for node in reversed(own):
            assert node.primitive is not None
            for port in range(len(node.shape) if node.primitive.multiple else 1):
                a, b = _cotangent(right, (node, port)), _cotangent(wrong, (node, port))
                if not _same(a, b):
                    return _wrong_part(steps, (node, port), a, b), node.place.step
    for (node, _), name in steps.leaves.items():
        if not _same(_cotangent(right, (node, 0)), _cotangent(wrong, (node, 0))):
            return name, None
    raise AssertionError("a mistake that changes nothing explains nothing")


def _wrong_part(steps: RecordedSteps, value: tuple[Node, int], a: Array, b: Array) -> str:
    """The name of a value, or of the only part of it that differs."""
    blocks, start, wrong = steps.blocks(value), 0, []
    for name, width in blocks:
        part = slice(start, start + width)
        start += width
        if not _same(a[..., part], b[..., part]):
            wrong.append(name)
    return wrong[0] if len(wrong) == 1 else steps.name(value)


def _unknown(
    steps: RecordedSteps,
    given: dict[str, Array],
    off: list[str],
    now: dict[str, Array],
) -> Finding:
    """The place where gradients part that no known mistake explains."""
    between = {name[:-2] for name in given if name.endswith("_t")}
    order = [
        (t, position, name)
        for name, entries in steps.named().items()
        if name in between
        for t, ((node, _), _) in enumerate(entries, start=1)
        for position in [steps.steps[t - 1].index(node)]
    ]
    right = [f"dL/d{name}" for name in now if name not in off and not name.endswith("_t")]
    words = "None of the classic mistakes gives these numbers. "
    words += f"Right: {', '.join(right) or 'none'}. "
    words += f"Wrong: {', '.join(f'dL/d{name}' for name in off if not name.endswith('_t'))}."
    for t, _, name in sorted(order, reverse=True):
        key = f"{name}_t"
        if key in off and not _same(now[key][t - 1], given[key][t - 1]):
            return Finding("unknown", name, t, words, ())
    if "x" in off:
        wrong = [
            t
            for t, (a, b) in enumerate(zip(now["x"], given["x"], strict=True), 1)
            if not _same(a, b)
        ]
        words += f" dL/dx_t is wrong from step {wrong[-1]} on back, so look there."
        return Finding("unknown", "x", wrong[-1], words, ())
    words += (
        " To have the place found, let your function also give the gradients of named quantities, "
        f"as a second dict {{name: (T, ...)}}; the names here: {', '.join(steps.named())}."
    )
    return Finding("unknown", off[0], None, words, ())


def _merged(findings: list[Finding]) -> list[Finding]:
    """The same mistake in several last lines, said once."""
    merged: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = finding.kind, finding.words.replace(f"dL/d{finding.name}", "")
        if finding.step is not None or key not in merged:
            merged[key if finding.step is None else (str(finding), "")] = finding
        else:
            first = merged[key]
            merged[key] = Finding(
                first.kind,
                first.name,
                None,
                first.words,
                first.explains + finding.explains,
            )
    return list(merged.values())


__all__ = ["Finding", "locate"]
