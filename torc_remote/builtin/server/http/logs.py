"""The server's own log."""

import asyncio
import logging
import math
import time


def log_to_stderr() -> None:
    """Warnings and errors of all libraries, bounded."""
    handler = logging.StreamHandler()
    handler.addFilter(OncePerMinute())
    format_ = "%(asctime)s %(levelname)s: %(message)s"
    logging.basicConfig(level=logging.WARNING, handlers=[handler], format=format_, force=True)


class OncePerMinute(logging.Filter):
    """Lets one message of each place in the program pass a minute, so that nobody can fill the disk with them."""

    _SECONDS = 60

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[object, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it passes; the next one that does tells how many did not."""
        if record.exc_info and record.exc_info[0] is asyncio.CancelledError:
            return False  # the server ends, and somebody had not sent the rest of a request
        place = (record.pathname, record.lineno, record.exc_info and record.exc_info[0])
        now = time.monotonic()
        since, hidden = self._seen.get(place, (-math.inf, 0))
        if now - since < self._SECONDS:
            self._seen[place] = (since, hidden + 1)
            return False
        self._seen[place] = (now, 0)
        if hidden:
            record.msg, record.args = f"{record.getMessage()} ({hidden} more like this)", ()
        return True
