"""What wakes the worker, and how a signal to it ends its jobs."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from types import FrameType, TracebackType
from typing import Any, Callable, Dict, List, Optional, Type

from . import processes
from .job import RunningJob

GRACE_SECONDS = 10.0
"""Time that jobs have between SIGTERM and SIGKILL."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_RESTORED = {getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ", "SIGXFZ") if hasattr(signal, name)}
"""Python ignores these itself, and subprocess gives new processes the defaults."""


class Signals:
    """A context in which the end of a job and signals end ``wait``.

    The first SIGTERM, SIGINT or SIGHUP passes SIGTERM on to the jobs, a second one or the end of the grace
    time SIGKILL. That happens in the signal handler, hence also while the worker waits for the server. What
    the worker was started to ignore (nohup, a shell's background) stays ignored, by a handler, which, unlike the
    ignoring, does not pass to the jobs.
    """

    def __init__(self) -> None:
        self.jobs: Dict[int, RunningJob] = {}
        self.stop_signal: Optional[int] = None
        self._stopped: List[RunningJob] = []
        self._old: Dict[int, Any] = {}

    def __enter__(self) -> Signals:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._old_fd = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._old_mask = signal.pthread_sigmask(signal.SIG_SETMASK, ())
        ignored = {number for number in signal.valid_signals() if signal.getsignal(number) == signal.SIG_IGN}
        for number in _STOP_SIGNALS:
            self._install(number, self._on_stop)
        for number in ignored - _RESTORED - {signal.SIGTERM}:
            self._install(number, _do_nothing)
        self._install(signal.SIGALRM, self._on_alarm)
        self._install(signal.SIGCHLD, _do_nothing)
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._old_mask)
        os.close(self._read)
        os.close(self._write)

    def wait(self, seconds: float) -> None:
        """Return at the next signal, at the latest after ``seconds``."""
        select.select([self._read], [], [], max(0.0, seconds))
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)

    def add(self, job: RunningJob) -> None:
        """A job has been started."""
        self.jobs[job.id] = job
        if self.stop_signal is not None:  # it came while the job was starting
            self._stopped.append(job)
            job.signal(signal.SIGTERM)

    def stop_jobs(self, number: int) -> None:
        """Signal all jobs; after the grace time what is left of them is killed."""
        self._stopped.extend(job for job in self.jobs.values() if job not in self._stopped)
        for job in self._stopped:
            job.signal(number)
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    def jobs_are_gone(self) -> bool:
        """Whether no process is left of the jobs that were stopped."""
        table = processes.snapshot()
        return all(job.is_gone(table) for job in self._stopped)

    def _on_stop(self, number: int, frame: Optional[FrameType]) -> None:
        first = self.stop_signal is None
        if first:
            self.stop_signal = number
        self.stop_jobs(signal.SIGTERM if first else signal.SIGKILL)

    def _on_alarm(self, number: int, frame: Optional[FrameType]) -> None:
        self.stop_jobs(signal.SIGKILL)

    def _install(self, number: int, handler: Callable[[int, Optional[FrameType]], None]) -> None:
        self._old[number] = signal.signal(number, handler)


def _do_nothing(number: int, frame: Optional[FrameType]) -> None:
    """For signals that are to wake the worker, or to be ignored by it alone."""
