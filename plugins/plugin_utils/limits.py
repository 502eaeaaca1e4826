"""How long a host may take and how much it may say."""

import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.torc.remote.plugins.plugin_utils.host_task import regularly

# What this process may grow by for one host, in bytes. Ansible keeps all that a host says in memory.
_MAX_GROWTH = 64 * 1024 * 1024


class LimitError(BaseException):
    """The host takes too long or says too much; no `except Exception` on the way may stop it."""


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise LimitError after so many seconds (0: never), or when what a host says makes this process grow too much.

    (A task's own timeout would be one more template, and Ansible has no bound on what a host says.)
    """
    deadline = time.monotonic() + seconds
    largest = _peak() + _MAX_GROWTH

    def look() -> None:
        nonlocal largest
        if seconds and time.monotonic() > deadline:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise LimitError(f"no answer within {seconds} s")
        if (peak := _peak()) > largest:
            largest = peak + _MAX_GROWTH
            raise LimitError("the host says more than any answer could be; nothing of it was kept")

    with regularly(look):
        yield


def _peak() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
