"""The two functions of a compiled step, in NumPy: the forward and the backward loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

from ..graph import Place as Where
from ..ops.primitives import ADD, CONCATENATE
from ..program import Constant, Equation, Var
from ..runs import same
from .llvm_text import Machine
from .lower import Store
from .lower_rows import UnsupportedError
from .native_loops import inside, native_loop, sunk
from .numpy_code import (
    BLOCK_BYTES,
    CACHE_BYTES,
    STEPS,
    Compiled,
    Emitter,
    Place,
    Targets,
    Writer,
    in_place,
    targets,
    width,
)
from .numpy_rewrite import factored, of_wholes
from .split import Part, Split


class _Loop:
    """The common part of both directions: buffers, views and the lines of a step."""

    def __init__(
        self,
        w: Writer,
        part: Part,
        need: dict[Var, Place],
        taken: set[Var],
        native: bool,
        ends: Sequence[Any] = (),
        late: Collection[Var] = (),
    ) -> None:
        """Choose where values are.

        ends   values that are read after the loop
        late   values whose memory has something else before they are computed
        """
        self.w = w
        self.part = part
        self.targets: Targets = targets(part.loop, need, taken)
        places = dict(self.targets.places)
        for e in (*part.before, *part.after):
            for v in e.outputs:
                if need.get(v) == "stack":
                    places[v] = "stack"
                elif len(e.outputs) == 1 and e.primitive.kind in ("elementwise", "bilinear"):
                    places[v] = "block"
        self.places = places
        self.emit = Emitter(w, part, places, native)
        self.emit.strided.update(
            v for v, (_, index, _) in self.targets.parts.items() if index.startswith(":")
        )
        if not native:
            self._share_memory([*ends, *need], late)
        self.packs: list[str] = []
        self.given: set[Var] | None = None  # arrays of a native loop
        self.viewed = {v for e in self.targets.views for v in e.outputs}
        self.own = [
            v
            for v in places
            if v not in self.viewed
            and v not in self.targets.parts
            and v not in taken
            and v not in self.emit.instead
        ]

    def _share_memory(self, ends: Iterable[Any], late: Collection[Var]) -> None:
        """Values that only one operation reads are in the memory of its result."""
        part, emit = self.part, self.emit
        read = [a for e in (*part.before, *part.loop, *part.after) for a in e.inputs]
        uses = Counter(a for a in (*read, *ends) if isinstance(a, Var))
        sharing: set[Any] = {*self.targets.parts, *(v for v, _, _ in self.targets.parts.values())}
        sharing.update(a for e in self.targets.views for a in (*e.inputs, *e.outputs))
        for equations in (part.before, part.loop, part.after):
            emit.instead |= in_place(equations, uses, self.places, sharing, late, emit.strided)

    def root(self, v: Var) -> Var:
        """The value whose buffer holds this one."""
        sources = {u: e.inputs[0] for e in self.targets.views for u in e.outputs}
        while v in self.targets.parts or v in sources:
            source = self.targets.parts[v][0] if v in self.targets.parts else sources[v]
            assert isinstance(source, Var)
            v = source
        return v

    def allocate(
        self, at: int, more: Iterable[Var] = (), seen: Iterable[Var] = ()
    ) -> tuple[list[str], list[str]]:
        """Buffers, and views of those that stay where they are, as lines before line `at`.

        more   further values that have a buffer for a block
        seen   values that a user gets: their memory is nobody else's

        Gives the names of the buffers from the pool: of blocks, and of all steps.
        """
        visible = {self.root(v) for v in seen}
        blocks: list[str] = []
        stacks: list[str] = []
        w, after = self.w, self.w.lines[at:]
        del self.w.lines[at:]
        outside = {v for e in (*self.part.before, *self.part.after) for v in e.outputs}
        own = [v for v in self.own if v not in outside or v in self.emit.buffered]
        size = width([*(v for v in own if self.places[v] != "fixed"), *more])
        steps = (BLOCK_BYTES if self.emit.native else CACHE_BYTES) // max(1, size)
        w.line(1, f"K = min(T, {max(steps, 1 if self.emit.native else STEPS)})")
        for v in more:
            dtype = w.put(v.dtype, f"{v.dtype}")
            w.line(1, f"blk_{w.name(v)} = take((K, {_sizes(v)}), {dtype})")
            blocks.append(f"blk_{w.name(v)}")
        for v in own:
            name, dtype = w.name(v), w.put(v.dtype, f"{v.dtype}")
            place = self.places[v]
            if place == "fixed":
                if self._there(v):
                    w.line(1, f"{name} = np.empty({v.shape}, {dtype})")
            elif place == "block":
                w.line(1, f"blk_{name} = take((K, {_sizes(v)}), {dtype})")
                blocks.append(f"blk_{name}")
            elif v in visible:
                w.line(1, f"all_{name} = np.empty((T, {_sizes(v)}), {dtype})")
            else:
                w.line(1, f"all_{name} = take((T, {_sizes(v)}), {dtype})")
                stacks.append(f"all_{name}")
        for v, (whole, index, _) in self.targets.parts.items():
            name, place = w.name(v), self.places[v]
            if place == "fixed" and self._there(self.root(v)):
                w.line(1, f"{name} = {w.name(whole)}[{index}]")
            elif place == "stack":
                w.line(1, f"all_{name} = all_{w.name(whole)}[:, {index}]")
        for e in self.targets.views:
            source = e.inputs[0]
            assert isinstance(source, Var)
            comma = "," * e.primitive.multiple
            place = self.places[source]
            if place == "fixed" and self._there(self.root(source)):
                left = ", ".join([w.name(v) for v in e.outputs]) + comma
                w.line(1, f"{left} = {self.emit.call(e, w.name)}")
            elif place == "stack":
                left = ", ".join([f"all_{w.name(v)}" for v in e.outputs]) + comma
                f = w.put(e.primitive.value, f"f_{e.primitive.name}")
                params = w.put(dict(e.params), "p")
                w.line(1, f"{left} = batch({f}, T, [all_{w.name(source)}], [True], {params})")
        for text in [*self.packs, *self.emit.sums]:
            w.line(1, text)
        w.lines += after
        return blocks, stacks

    def _there(self, v: Var) -> bool:
        """Whether a value of one step has memory: in native loops most are in registers only."""
        return self.given is None or v in self.given or v in {self.root(u) for u in self.given}

    def block(self, stacks: Iterable[Var]) -> None:
        """The buffers of one block; `stacks` are of all steps, too."""
        w = self.w
        outside = {v for e in (*self.part.before, *self.part.after) for v in e.outputs}
        for v in self.own:
            name = w.name(v)
            if self.places[v] == "block" and v not in outside:
                w.line(2, f"b_{name} = blk_{name}[:n]")
        for v in dict.fromkeys([*stacks, *(v for v, p in self.places.items() if p == "stack")]):
            w.line(2, f"b_{w.name(v)} = all_{w.name(v)}[a:b]")
        for v, (whole, index, _) in self.targets.parts.items():
            if self.places[v] == "block":
                w.line(2, f"b_{w.name(v)} = b_{w.name(whole)}[:, {index}]")
        for e in self.targets.views:
            source = e.inputs[0]
            assert isinstance(source, Var)
            if self.places[source] == "block":
                left = ", ".join([f"b_{w.name(v)}" for v in e.outputs]) + "," * e.primitive.multiple
                w.line(2, f"{left} = {self.emit.batched(e)}")

    def run(
        self,
        lines: Sequence[str],
        rows: Sequence[tuple[str, str]],
        fixed: set[Var],
        backwards: bool = False,
    ) -> None:
        """The loop over the steps of a block, and before it the values that it reads.

        rows   further names of one step's values, and the arrays of all steps
        fixed  values that have one place for all steps
        """
        w = self.w
        for v in self.emit.read:
            self.emit.write_needed(2, v)
        if not lines:
            return
        found = [
            (w.name(v), _each(v, f"b_{w.name(v)}"))
            for v in self.emit.read
            if self.places.get(v, "stack") != "fixed" and v not in fixed
        ]
        names, stacks = zip(*[*found, *rows], strict=True) if found or rows else ((), ())
        turn = "[::-1]" * backwards
        if not names:
            w.line(2, "for _ in range(n):")
        elif len(names) == 1:
            w.line(2, f"for {names[0]} in {stacks[0]}{turn}:")
        else:
            given = ", ".join([f"{stack}{turn}" for stack in stacks])
            w.line(2, f"for {', '.join(names)} in zip({given}):")
        for text in lines:
            w.line(3, text)

    def run_native(
        self,
        machine: Machine,
        rows: int,
        equations: Sequence[Equation],
        stores: Sequence[Store],
        stored: set[Var],
        names: dict[Var, tuple[str, bool]],
        backwards: bool,
    ) -> None:
        """The loop over the steps of a block as a call of native code.

        names   arrays that have names of their own, and whether they have an axis of steps

        Raises UnsupportedError.
        """
        w = self.w

        def array(v: Var) -> tuple[str, bool]:
            if v in names:
                return names[v]
            if self.part.level[v] == "once" or self.places.get(v, "stack") == "fixed":
                return w.name(v), False
            return f"b_{w.name(v)}", True

        run, arrays, packed, width = native_loop(
            equations,
            rows,
            machine,
            stored=stored | {v for v, p in self.places.items() if p != "fixed"} & self._made(),
            stores=stores,
            inside=inside(self.targets.views, self.targets.parts),
            by_step=lambda v: array(v)[1],
            overwritten=[v for v, (_, each) in names.items() if not each],
            backwards=backwards,
        )
        self.given = set(arrays)
        for v in arrays:
            if v not in names:
                self.emit.write_needed(2, v)
        panels = []
        for v in packed:
            name = f"panels_{w.name(v)}"
            self.packs.append(f"{name} = pack({w.name(v)}, {width})")
            panels.append(name)
        call = w.put(run, "native")
        given = ", ".join([array(v)[0] for v in arrays])
        w.line(2, f"{call}(n, [{given}], [{', '.join(panels)}])")

    def _made(self) -> set[Var]:
        return {v for e in self.part.loop for v in e.outputs}

    def steps(self) -> list[str]:
        """The lines of one step."""
        lines: list[str] = []
        done = set(map(id, self.targets.views))
        for e in self.part.loop:
            if id(e) in done:
                for v in e.outputs:
                    self.emit.read.setdefault(v)
                continue
            lines += self._written(e)
        return lines

    def _written(self, e: Equation) -> list[str]:
        emit = self.emit
        if e.primitive is CONCATENATE and len(e.outputs) == 1:
            return self._joined(e)
        out = emit.step(e.outputs[0])
        if len(e.outputs) == 1:
            lines = emit.values(e, emit.step, out, None)
            return lines or [f"{out}[...] = {emit.call(e, emit.step)}"]
        names = [f"r_{self.w.name(v)}" for v in e.outputs]
        outs = [emit.step(v) for v in e.outputs]
        return [
            f"{', '.join(names)}, = {emit.call(e, emit.step)}",
            *(f"{o}[...] = {r}" for o, r in zip(outs, names, strict=True)),
        ]

    def _joined(self, e: Equation) -> list[str]:
        """A concatenation: arguments that are not there already are copied."""
        whole, axis, start = e.outputs[0], e.params["axis"], 0
        out, lines = self.emit.step(whole), []
        for a in e.inputs:
            size = a.shape[axis] if isinstance(a, Var) else a.value.shape[axis]
            index = f"{':, ' * axis}{start}:{start + size}"
            if not isinstance(a, Var) or self.targets.parts.get(a, ())[:2] != (whole, index):
                lines.append(f"{out}[{index}] = {self.emit.step(a)}")
            start += size
        return lines


def _each(v: Var, stack: str) -> str:
    """One value after the other, as arrays that can be written to."""
    return stack if v.shape else f"entries({stack})"


def _sizes(v: Var) -> str:
    return ", ".join(map(str, v.shape)) + ("," if v.shape else "")


def forward(s: Split, keep: bool, machine: Machine | None = None) -> Compiled:
    """`_forward`, with native loops if there is a machine and they can do it."""
    if machine is not None:
        try:
            return _forward(s, keep, machine)
        except UnsupportedError:
            pass
    return _forward(s, keep, None)


def backward(s: Split, present: Sequence[bool], machine: Machine | None = None) -> Compiled:
    """`_backward`, with native loops if there is a machine and they can do it."""
    if machine is not None:
        try:
            return _backward(s, present, machine)
        except UnsupportedError:
            pass
    return _backward(s, present, None)


def _rows(s: Split) -> int:
    """B, as the leaves of the state have it."""
    sizes = {c.before.shape[0] for c in s.carries if c.before.shape}
    if len(sizes) != 1:
        raise UnsupportedError("a state without a batch")
    return next(iter(sizes))


def _forward(s: Split, keep: bool, machine: Machine | None) -> Compiled:
    """The forward loop: run(T, xs, s0, outside, constants) -> (results, states, kept, held).

    results  for every distinct result all steps, (T, ...)
    states   for every leaf of the state (T + 1, ...)
    kept     values that the backward pass reads; only with keep
    held     their memory, to be given back
    """
    w, j, part = Writer(), s.joint, s.forward
    kept = [v for v in s.kept if v not in (*j.xs, *j.states)] if keep else []
    need: dict[Var, Place] = {}
    if machine is not None:
        part = sunk(part, {*kept, *j.results}, _rows(s))
    else:
        part = of_wholes(part, [*kept, *j.results])
    for e in part.after:
        need |= {a: "block" for a in e.inputs if isinstance(a, Var) and part.level[a] == "loop"}
    need |= dict.fromkeys(kept, "stack")
    home: dict[Var, int] = {}
    makers = {v: e for e in part.loop for v in e.outputs}
    for k, c in enumerate(s.carries):
        maker = makers.get(c.after)
        if maker is None or c.after in home:
            continue
        if len(maker.outputs) == 1 and not _view(maker, makers):
            home[c.after] = k
    need |= {v: "stack" for v in j.results if v not in home}
    ends = [*kept, *j.results, *(c.after for c in s.carries)]
    loop = _Loop(w, part, need, set(home), machine is not None, ends)
    emit = loop.emit
    w.line(0, "def forward(T, xs, s0, outside, constants):")
    _unpack(w, "all_", j.xs, "xs")
    _unpack(w, "", j.outside, "outside")
    _unpack(w, "", j.constants, "constants")
    for e in part.once:
        emit.write_once(1, e)
    for k, c in enumerate(s.carries):
        dtype = w.put(c.before.dtype, f"{c.before.dtype}")
        w.line(1, f"S{k} = np.empty((T + 1, {_sizes(c.before)}), {dtype})")
        w.line(1, f"S{k}[0] = s0[{k}]")
        w.line(1, f"all_{w.name(c.before)} = S{k}[:-1]")
        if home.get(c.after) == k:
            w.line(1, f"all_{w.name(c.after)} = S{k}[1:]")
            loop.places[c.after] = "stack"
    at = len(w.lines)
    w.line(1, "for a in range(0, T, K):")
    w.line(2, "b = min(a + K, T)")
    w.line(2, "n = b - a")
    loop.block([*j.xs, *j.states, *home])
    for k, c in enumerate(s.carries):
        if part.level.get(c.after) != "loop":
            emit.write_needed(2, c.after)
            w.line(2, f"S{k}[a + 1 : b + 1] = {emit.many(c.after)}")
    moved = [
        k
        for k, c in enumerate(s.carries)
        if part.level.get(c.after) == "loop" and home.get(c.after) != k
    ]
    if machine is not None and part.loop:
        there = {
            k: Var(f"S{k}", s.carries[k].before.shape, s.carries[k].before.dtype) for k in moved
        }
        loop.run_native(
            machine,
            _rows(s),
            part.loop,
            [Store(s.carries[k].after, v) for k, v in there.items()],
            set(home),
            {v: (f"S{k}[a + 1 : b + 1]", True) for k, v in there.items()},
            backwards=False,
        )
    else:
        lines, rows = loop.steps(), []
        for k in moved:
            after = s.carries[k].after
            rows.append((w.free("next"), _each(after, f"S{k}[a + 1 : b + 1]")))
            lines.append(f"{rows[-1][0]}[...] = {emit.step(after)}")
        loop.run(lines, rows, set())
    for v in (*j.results, *kept):
        emit.write_needed(2, v)
    results = []
    for v in j.results:
        if part.level[v] == "once":
            w.line(1, f"all_{w.name(v)} = np.broadcast_to({w.name(v)}, (T, {_sizes(v)}))")
        results.append(f"all_{w.name(v)}")
    states = [f"S{k}" for k in range(len(s.carries))]
    kept_names = [f"all_{w.name(v)}" for v in kept]
    blocks, stacks = loop.allocate(at, (), j.results)
    if blocks:
        w.line(1, f"give({_list(blocks)})")
    w.line(1, f"return {_list(results)}, {_list(states)}, {_list(kept_names)}, {_list(stacks)}")
    return w.done("forward")


def _backward(s: Split, present: Sequence[bool], machine: Machine | None) -> Compiled:
    """The backward loop:
    run(T, xs, states, kept, outside, constants, G, g_last) -> (of x, of s_0, of outside).

    present   for every distinct result whether it has a cotangent
    G         these cotangents, (T, ...), or None
    g_last    for every leaf of the state the cotangent of its last value, or None
    """
    w, j, part = Writer(), s.joint, s.backward
    kept = [v for v in s.kept if v not in (*j.xs, *j.states)]
    need: dict[Var, Place] = {}
    ends = [a for _, a in (*s.totals, *s.to_x)] + [c.back for c in s.carries]
    if machine is not None:
        part = sunk(part, {a for a in ends if isinstance(a, Var)}, _rows(s))
    else:
        part = factored(part, [a for a in ends if isinstance(a, Var)])
    after_reads: list[Any] = [a for e in part.after for a in e.inputs]
    after_reads += [a for _, a in (*s.totals, *s.to_x)]
    for a in after_reads:
        if isinstance(a, Var) and part.level[a] == "loop":
            need[a] = "block"
    made = {v: e for e in (*part.loop, *part.after) for v in e.outputs}
    given = [a for _, a in s.to_x if isinstance(a, Var) and a in made]
    need |= dict.fromkeys(given, "stack")
    home: dict[Var, int] = {}
    makers = {v: e for e in part.loop for v in e.outputs}
    for k, c in enumerate(s.carries):
        e = makers.get(c.back) if isinstance(c.back, Var) else None
        if (
            isinstance(c.back, Var)
            and e is not None
            and c.back not in home
            and c.back not in need
            and len(e.outputs) == 1
            and not _view(e, makers)
        ):
            home[c.back] = k
    loop = _Loop(w, part, need, set(home), machine is not None, ends, home)
    emit = loop.emit
    seeds = [
        (r, g) for r, g in enumerate(j.seeds) if g is not None and part.level.get(g) is not None
    ]
    carried = [(r, g) for r, g in seeds if part.level[g] == "loop"]
    read = [a for e in (*part.before, *part.loop, *part.after) for a in e.inputs]
    read += [c.back for c in s.carries if c.back is not None]
    read += [a for _, a in (*s.totals, *s.to_x)]
    used = {a for a in read if isinstance(a, Var)}
    w.line(0, "def backward(T, xs, states, kept, outside, constants, G, g_last):")
    _unpack(w, "all_", j.xs, "xs")
    _unpack(w, "", j.outside, "outside")
    _unpack(w, "", j.constants, "constants")
    _unpack(w, "all_", kept, "kept")
    for k, c in enumerate(s.carries):
        w.line(1, f"all_{w.name(c.before)} = states[{k}][:-1]")
    for e in part.once:
        emit.write_once(1, e)
    blocks = [g for _, g in carried if need.get(g) is not None]
    for k, c in enumerate(s.carries):
        if not c.live:
            continue
        dtype = w.put(c.before.dtype, f"{c.before.dtype}")
        w.line(1, f"r{k} = np.zeros({c.before.shape}, {dtype})")
        w.line(1, f"if g_last[{k}] is not None:")
        w.line(2, f"r{k}[...] = g_last[{k}]")
        if isinstance(c.back, Var) and home.get(c.back) == k:
            w.line(1, f"{w.name(c.back)} = r{k}")
            loop.places[c.back] = "fixed"
    fixed: set[Var] = set()
    there: dict[int, int] = {}
    for r, g in seeds:
        dtype = w.put(g.dtype, f"{g.dtype}")
        if (r, g) in carried:
            if g not in need:
                leaf = _accumulator(s, part, home, r, g) if machine is None else None
                memory = f"np.empty({g.shape}, {dtype})" if leaf is None else f"r{leaf}"
                w.line(1, f"{w.name(g)} = {memory}")
                fixed.add(g)
                if leaf is not None:
                    there[r] = leaf
        elif present[r]:
            w.line(1, f"all_{w.name(g)} = G[{r}]")
        else:
            w.line(1, f"all_{w.name(g)} = np.zeros((T, {_sizes(g)}), {dtype})")
    at = len(w.lines)
    direct: dict[int, Var] = {}
    for k, atom in s.to_x:
        if isinstance(atom, Var) and atom in made and atom not in direct.values():
            direct[k] = atom
        else:
            v = j.xs[k]
            dtype = w.put(v.dtype, f"{v.dtype}")
            w.line(1, f"dx{k} = np.empty((T, {_sizes(v)}), {dtype})")
    w.line(1, "for b in range(T, 0, -K):")
    w.line(2, "a = max(b - K, 0)")
    w.line(2, "n = b - a")
    for g in blocks:
        w.line(2, f"b_{w.name(g)} = blk_{w.name(g)}[:n]")
    for r, _ in carried:
        if present[r]:
            w.line(2, f"b_G{r} = G[{r}][a:b]")
    ahead = [g for r, g in seeds if (r, g) not in carried]
    loop.block([v for v in (*j.xs, *j.states, *kept, *ahead) if v in used])
    carries = {
        r: [k for k, c in enumerate(s.carries) if c.result == r and c.live] for r, _ in carried
    }
    others = [
        (k, c)
        for k, c in enumerate(s.carries)
        if c.live and not (isinstance(c.back, Var) and home.get(c.back) == k)
    ]
    if machine is not None and (part.loop or carried):
        names: dict[Var, tuple[str, bool]] = {}
        begin: list[Equation] = []
        own = {k: Var(f"r{k}", c.before.shape, c.before.dtype) for k, c in enumerate(s.carries)}
        names |= {v: (f"r{k}", False) for k, v in own.items()}
        for r, g in carried:
            parts = [own[k] for k in carries[r]]
            if present[r]:
                parts.insert(0, Var(f"G{r}", g.shape, g.dtype))
                names[parts[0]] = (f"b_G{r}", True)
            begin += _summed(parts, g)
            loop.places[g] = "block" if g in need else "fixed"
        loop.run_native(
            machine,
            _rows(s),
            [*begin, *part.loop],
            [Store(Constant(0.0) if c.back is None else c.back, own[k]) for k, c in others],
            {*home, *(g for g in blocks)},
            names,
            backwards=True,
        )
    else:
        lines: list[str] = []
        rows: list[tuple[str, str]] = []
        add = w.put(np.add, "add")
        for r, g in carried:
            out, words = w.name(g), [f"r{k}" for k in carries[r]]
            if r in there and len(words) == 1 and not present[r]:
                continue
            if present[r]:
                rows.append((w.free("G"), _each(g, f"b_G{r}")))
                words.insert(0, rows[-1][0])
            if g in need:
                rows.append((out, _each(g, f"b_{out}")))
            if len(words) == 1:
                lines.append(f"{out}[...] = {words[0]}")
            else:
                lines.append(f"{add}({words[0]}, {words[1]}, {out})")
            lines += [f"{add}({out}, {p}, {out})" for p in words[2:]]
        lines += loop.steps()
        for k, c in others:
            lines.append(f"r{k}[...] = {0 if c.back is None else emit.step(c.back)}")
        loop.run(lines, rows, {*fixed, *(g for _, g in carried)}, backwards=True)
    for k, atom in s.to_x:
        emit.write_needed(2, atom)
        if k not in direct:
            w.line(2, f"dx{k}[a:b] = {emit.many(atom)}")
    sums = [(k, emit.total(2, atom)) for k, atom in s.totals]
    emit.write_totals(2)
    for text in emit.ends:
        w.line(1, text)
    for k, value in sums:
        w.line(1, f"d{k} = {value}")
    to_x = [
        f"all_{w.name(direct[k])}" if k in direct else f"dx{k}" if k in dict(s.to_x) else "None"
        for k in range(len(j.xs))
    ]
    first = [f"r{k}" if c.live else "None" for k, c in enumerate(s.carries)]
    totals = [f"d{k}" if k in dict(s.totals) else "None" for k in range(len(j.outside))]
    used_blocks, _ = loop.allocate(at, blocks, loop.own)
    if used_blocks:
        w.line(1, f"give({_list(used_blocks)})")
    w.line(1, f"return {_list(to_x)}, {_list(first)}, {_list(totals)}")
    return w.done("backward")


def _accumulator(s: Split, part: Part, home: dict[Var, int], r: int, g: Var) -> int | None:
    """The leaf of the state whose accumulator the whole cotangent of a result may stand in: it is
    not read any more when the accumulator gets its new value."""
    if any(c.back is g for c in s.carries):  # handed on after the step
        return None
    for k, c in enumerate(s.carries):
        if c.result == r and c.live and isinstance(c.back, Var) and home.get(c.back) == k:
            makes = [c.back in e.outputs for e in part.loop].index(True)
            reads = [n for n, e in enumerate(part.loop) if g in e.inputs]
            return k if all(n < makes for n in reads) else None
    return None


def _summed(parts: Sequence[Var], out: Var) -> list[Equation]:
    """Equations for the sum of some values."""
    if len(parts) == 1:
        return [Equation(same, (parts[0],), {}, (out,), Where())]
    found, total = [], parts[0]
    for k, part in enumerate(parts[1:], start=2):
        new = out if k == len(parts) else Var(f"{out.name}_{k}", out.shape, out.dtype)
        found.append(Equation(ADD, (total, part), {}, (new,), Where()))
        total = new
    return found


def _view(e: Equation, made: Any) -> bool:
    from .numpy_code import is_view

    return is_view(e) and e.inputs[0] in made


def _unpack(w: Writer, prefix: str, variables: Sequence[Var], source: str) -> None:
    if variables:
        w.line(1, f"{', '.join(prefix + w.name(v) for v in variables)}, = {source}")


def _list(names: Sequence[str]) -> str:
    return f"[{', '.join(names)}]"


__all__ = ["Constant", "backward", "forward"]
