"""How long to wait for a server that doesn't answer."""

from __future__ import annotations

import logging
import random
import time
from typing import Optional

from .errors import UnavailableError

log = logging.getLogger("torc.worker")

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 30.0


class Outage:
    """Counts the failures since the last success. ``patience`` in seconds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: Optional[float] = None
        self._pause = FIRST_PAUSE

    @property
    def active(self) -> bool:
        """Whether the last request failed."""
        return self._since is not None

    @property
    def hopeless(self) -> bool:
        """Whether the server has been away for longer than the workflow wants to wait."""
        return self._since is not None and time.monotonic() - self._since > self._patience

    def failed(self, error: UnavailableError) -> float:
        """A request failed: seconds until the next try. They grow, and differ so that many workers don't come
        back at one moment."""
        if self._since is None:
            self._since = time.monotonic()
            log.warning("%s; trying again, running jobs go on", error)
        pause = self._pause * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return pause

    def over(self) -> None:
        """A request was answered."""
        if self._since is not None:
            log.info("The server answers again after %.0f s", time.monotonic() - self._since)
        self._since = None
        self._pause = FIRST_PAUSE
