"""When this host can't start jobs: it takes none, looks again, and leaves in the end."""

from __future__ import annotations

import logging
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Optional

from .errors import HostError, WorkerError

log = logging.getLogger("torc.worker")

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
PATIENCE_SECONDS = 600.0
"""How long a full disk or a process limit may last before the worker leaves."""


class Sickness:
    """What the host lacks, since when, and when to look again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._reason = ""
        self._since = self._due = 0.0
        self._pause = FIRST_PAUSE

    @property
    def pause(self) -> Optional[float]:
        """Seconds until the next look; None for a host that is well."""
        return max(0.0, self._due - time.monotonic()) if self._reason else None

    def begin(self, error: HostError) -> None:
        """A job could not be started here."""
        if not self._reason:
            self._since, self._pause = time.monotonic(), FIRST_PAUSE
            log.warning("This host can't start jobs: %s; it takes none until it can", error)
        self._reason = str(error)
        self._due = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def is_over(self, busy: bool) -> bool:
        """Whether jobs can be started (again); looks when that is due.

        Raises WorkerError after too long a time, unless the worker is ``busy`` with jobs that still run.
        """
        if not self._reason:
            return True
        if time.monotonic() < self._due:
            return False
        try:
            _try_out(self._directory)
        except HostError as error:
            self.begin(error)
            if not busy and time.monotonic() - self._since > PATIENCE_SECONDS:
                raise WorkerError("this host can't start jobs: {}".format(error)) from None
            return False
        log.info("This host can start jobs again")
        self._reason = ""
        return True


def _try_out(directory: Path) -> None:
    """Do what the start of a job does: write a file and start a process."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=str(directory)) as stream:
            stream.write(b"\n")
            stream.flush()
            subprocess.run(
                ["sh", "-c", ":"], stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, check=True
            )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HostError(
            "in {} no file can be written or no process started: {}".format(directory, reason)
        ) from None
