"""The two ways in which the server says no, and the worker's own expected error."""

from __future__ import annotations

from typing import Optional


class WorkerError(Exception):
    """An expected end of the worker: one short sentence, printed as ``Error: ...`` (exit code 1)."""


class UnavailableError(Exception):
    """The server can't answer now (network, 5xx, not JSON): worth trying again; it may have done what was asked."""


class DeniedError(UnavailableError):
    """401 or 403. Fatal at the start; later on they may be put right; results are kept till then."""


class RevokedError(DeniedError):
    """The worker's own token is not good any more, and won't be again."""


class RefusedError(Exception):
    """The server answered and won't do it (3xx or 4xx): trying again changes nothing."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__("{} ({})".format(message, status))
        self.status = status
        self.message = message


class HostError(Exception):
    """This host can't do what every job needs; another one may, so it is no job's result."""


def first_line(text: str, limit: int = 200) -> Optional[str]:
    """The first line of ``text`` that says anything, cut to ``limit`` characters; None without one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:limit] if lines else None
