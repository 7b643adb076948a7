"""Schedules: the fewest forward steps, and never more states than there are slots."""

from functools import cache
from math import comb

import pytest

from tinygrad_rnn.bptt.plan import parsed, planned
from tinygrad_rnn.bptt.schedule import Online, actions, evaluations


def carried_out(parts, slots):
    """Forward steps of a schedule, and the most states kept; it has to go over every one."""
    kept, n = [], 0
    for part in parts:
        kept.append(n)
        n += part
    steps, most, ahead = 0, len(kept), sum(parts)
    for start, reach, stop in actions(parts, slots):
        while kept[-1] != start:
            kept.pop()
        steps += (reach if stop is None else stop) - start
        if stop is None:
            kept.append(reach)
            most = max(most, len(kept))
        else:
            assert stop == ahead
            ahead = reach
    assert ahead == 0
    return steps, most


@cache
def fewest(steps, slots):
    """By trying every place for the next state to keep."""
    if steps <= 1:
        return steps
    if slots == 1:
        return steps * (steps + 1) // 2
    return min(
        first + fewest(steps - first, slots - 1) + fewest(first, slots) for first in range(1, steps)
    )


@pytest.mark.parametrize("slots", range(1, 21))
def test_forward_steps_are_the_fewest(slots):
    for steps in range(1, 61):
        count, most = carried_out([steps], slots)
        assert count == evaluations(steps, slots) == fewest(steps, slots)
        assert most <= slots


@pytest.mark.parametrize(
    ("steps", "slots", "total"),
    [
        (5, 2, 11), (7, 3, 16), (8, 2, 22), (10, 1, 55), (10, 2, 30), (10, 3, 25), (36, 3, 146),
        (35, 3, 140), (100, 5, 416), (100, 10, 322), (1000, 10, 4636), (1000, 100, 2898),
    ],
)  # fmt: skip
def test_published_totals(steps, slots, total):
    assert carried_out([steps], slots)[0] == total


def test_a_million_steps_need_no_deep_recursion():
    r = 4
    assert comb(100 + r - 1, 100) < 10**6 <= comb(100 + r, 100)
    assert carried_out([10**6], 100) == ((r + 1) * 10**6 - comb(100 + r, 101), 100)


@pytest.mark.parametrize("slots", [1, 2, 3, 10])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 97, 300])
def test_online_keeps_no_more_than_its_slots(steps, slots):
    online = Online(slots)
    for t in range(1, steps):
        online.offer(t)
        assert len(online.kept) <= slots
        assert online.kept[-1] <= t
    assert sum(online.parts(steps)) == steps
    assert carried_out(online.parts(steps), slots)[1] <= slots
    if slots == 10 and steps == 300:  # those given up are every other one
        assert online.kept == list(range(0, 300, 32))


def test_square_root_segments_run_no_step_more_than_twice():
    for steps in (1, 2, 9, 10, 99, 100, 101):
        plan = planned(steps, 8, 100, "sqrt", None)
        assert plan.segment**2 >= steps > (plan.segment - 1) ** 2
        assert plan.evaluations == steps + (plan.slots - 1) * plan.segment < 2 * steps
        done = [(start, reach, stop) for start, reach, stop in plan.actions() if stop is not None]
        assert all(start == reach for start, reach, _ in done)
        assert sum(stop - reach for _, reach, stop in done) == steps


@pytest.mark.parametrize("steps", [10, 1000, 12345])
@pytest.mark.parametrize("memory", [5000, 20_000, 10**6])
def test_the_plan_for_a_budget_fits_and_is_the_best_that_does(steps, memory):
    plan = planned(steps, 100, 1000, None, memory)
    assert plan.slots * 100 + plan.segment * 1000 == plan.bytes <= memory
    count = sum((a.stop or a.reach) - a.start for a in plan.actions())
    assert count == plan.evaluations
    for slots in (2, 5, memory // 100 - 10):
        if slots * 100 + 1000 <= memory:
            assert plan.evaluations <= planned(steps, 100, 1000, slots, None).evaluations


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MB", 64 * 10**6), ("1 GiB", 2**30), ("1.5kb", 1500), ("300", 300), (300, 300)],
)
def test_sizes(text, size):
    assert parsed(text) == size
