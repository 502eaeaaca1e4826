"""The worker's log: lines as torc writes them, on stderr and in a file (torc wire 4.4)."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from pathlib import Path
from typing import Iterator

_logger = logging.getLogger("torc.worker")


class _Formatter(logging.Formatter):
    """One line a record, whatever a job's name holds: nobody can forge the lines that others look for."""

    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        text = re.sub(r"[\x00-\x1f\x7f]", lambda match: repr(match.group())[1:-1], record.getMessage())
        level = "WARN" if record.levelno == logging.WARNING else record.levelname
        text = text.encode("utf-8", "backslashreplace").decode()
        return "[{} {:<5} {}] {}".format(when, level, record.name, text)


@contextlib.contextmanager
def log_to_stderr() -> Iterator[None]:
    """Log to stderr and nowhere else."""
    _logger.setLevel(logging.INFO)
    _logger.propagate = False
    with _handler(logging.StreamHandler()):
        yield


@contextlib.contextmanager
def log_to_file(path: Path) -> Iterator[None]:
    """Log to the end of a file as well. Raises OSError when it can't be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(logging.FileHandler(str(path), encoding="utf-8")) as handler, _handler(handler):
        yield


@contextlib.contextmanager
def _handler(handler: logging.Handler) -> Iterator[None]:
    handler.setFormatter(_Formatter())
    _logger.addHandler(handler)
    try:
        yield
    finally:
        _logger.removeHandler(handler)
