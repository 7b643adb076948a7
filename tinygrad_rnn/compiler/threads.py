"""A few threads of our own, for loops that run through all steps for a part of the rows each.

The BLAS library's threads spin while they wait, and would take the processor from these.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import cache
from queue import SimpleQueue


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
        self.work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True, name="tinygrad_rnn").start()

    def _run(self) -> None:
        while True:
            self.work.get()()


_workers: list[_Worker] = []
_free = threading.Lock()
_process = os.getpid()


def share(jobs: list[Callable[[], None]]) -> None:
    """Do some jobs at the same time; a second caller meanwhile does its own one by one."""
    global _process  # noqa: PLW0603
    if len(jobs) == 1 or not _free.acquire(blocking=False):
        for job in jobs:
            job()
        return
    try:
        if _process != os.getpid():  # a forked process has no threads but its first
            _process = os.getpid()
            _workers.clear()
        while len(_workers) < len(jobs) - 1:
            _workers.append(_Worker())
        locks = []
        for worker, job in zip(_workers, jobs[1:], strict=False):
            done = threading.Lock()
            done.acquire()

            def run(job: Callable[[], None] = job, done: threading.Lock = done) -> None:
                try:
                    job()
                finally:
                    done.release()

            locks.append(done)
            worker.work.put(run)
        try:
            jobs[0]()
        finally:
            for lock in locks:  # nobody leaves while another still writes to the buffers
                _wait(lock)
    finally:
        _free.release()


def _wait(lock: threading.Lock) -> None:
    """Wait for a job; an interrupt is raised when it is done, not before."""
    interrupt: BaseException | None = None
    while True:
        try:
            lock.acquire()
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt
