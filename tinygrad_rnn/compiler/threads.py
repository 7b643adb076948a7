"""A few threads of our own, for loops that run through all steps for a part of the rows each.

The BLAS library's threads spin while they wait, and would take the processor from these.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue
from typing import Any

from ..uninterrupted import Uninterrupted


@cache
def count() -> int:
    """How many threads are used: $TINYGRAD_RNN_THREADS, $OMP_NUM_THREADS, or the processors."""
    for name in ("TINYGRAD_RNN_THREADS", "OMP_NUM_THREADS"):
        given = os.environ.get(name, "")
        if given.isdigit() and int(given):
            return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Worker:
    """A thread that waits for work."""

    def __init__(self) -> None:
        self.work: SimpleQueue[tuple[Callable[[], None], Any]] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True, name="tinygrad_rnn").start()

    def _run(self) -> None:
        while True:
            job, done = self.work.get()
            try:
                job()
            finally:
                done.release()


_workers: list[_Worker] = []
_free = threading.Lock()
_process = os.getpid()


def share(jobs: list[Callable[[], None]]) -> None:
    """Do some jobs at the same time; a second caller meanwhile does its own one by one.

    Ctrl-C waits until they are done.
    """
    if len(jobs) == 1 or not _free.acquire(blocking=False):
        for job in jobs:
            job()
        return
    try:
        with Uninterrupted():  # nobody leaves while another still writes to the buffers
            _share(jobs)
    finally:
        _free.release()


def _share(jobs: list[Callable[[], None]]) -> None:
    global _process  # noqa: PLW0603
    if _process != os.getpid():  # a forked process has no threads but its first
        _process = os.getpid()
        _workers.clear()
    while len(_workers) < len(jobs) - 1:
        _workers.append(_Worker())
    waiting = []
    for worker, job in zip(_workers, jobs[1:], strict=False):
        done = threading.Lock()
        done.acquire()
        waiting.append(done)
        worker.work.put((job, done))
    try:
        jobs[0]()
    finally:
        raised: BaseException | None = None
        while waiting:
            try:
                waiting[-1].acquire()
                waiting.pop()
            except BaseException as error:  # of a signal: raised when the others are done
                raised = error
        if raised is not None:
            raise raised
