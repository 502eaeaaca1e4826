"""Who writes when: one after the other, a short write in the event loop, a long one in a thread of its own.

In the event loop a write costs two thirds of what it costs when two threads hand the interpreter to each other at every
statement. But nobody else is served in that time: so there it fails if it has to wait or takes longer than a
millisecond, and what was undone with that is done in the thread.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from torc_remote.builtin.server.store.database import BUSY_SECONDS, Database

T = TypeVar("T")


class Turns:
    """The order of writes to one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()

    async def write(self, work: Callable[[], T], is_short: bool) -> T:
        """The answer of `work`, which may be called twice; `is_short`: it is worth trying in the event loop."""
        deadline = time.monotonic() + BUSY_SECONDS
        async with self._turn:
            if is_short:
                try:
                    with self._database.hurry():
                        return work()
                except sqlite3.OperationalError:
                    pass  # another program has the file, or it takes long

            def patiently() -> T:
                self._database.wait_until(deadline)
                return work()

            return await asyncio.get_running_loop().run_in_executor(self._database.writer, patiently)
