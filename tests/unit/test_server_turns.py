"""Where a write is done: in the event loop if it is short, else in a thread, and in both cases once."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from torc_remote.builtin.server.store import database as module
from torc_remote.builtin.server.store.database import Database
from torc_remote.builtin.server.store.turns import Turns

LONG = "INSERT INTO event (workflow_id, timestamp, data) SELECT 1, value, '' FROM generate"
NUMBERS = "WITH RECURSIVE generate (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM generate WHERE value < 200000)"


class Writes:
    """A database with a workflow, and in which threads writes were tried."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path)
        self.turns = Turns(self.database)
        self.threads: list[str] = []
        with self.database.write() as connection:
            connection.execute("INSERT INTO workflow (name, user, timestamp) VALUES ('w', 'u', '')")

    def work(self, sql: str, then: Callable[[], None] = lambda: None) -> Callable[[], None]:
        def write() -> None:
            self.threads.append(threading.current_thread().name.partition("_")[0])
            with self.database.write() as connection:
                connection.execute("INSERT INTO event (workflow_id, timestamp, data) VALUES (1, 0, 'mark')")
                connection.execute(sql)
                then()

        return write

    def do(self, *works: Callable[[], None], is_short: bool = True) -> None:
        async def all_at_once() -> None:
            await asyncio.gather(*(self.turns.write(work, is_short) for work in works))

        asyncio.run(all_at_once())

    @property
    def marks(self) -> int:
        """How often something was done."""
        with self.database.read() as connection:
            return int(connection.execute("SELECT count(*) FROM event WHERE data = 'mark'").fetchone()[0])


@pytest.fixture
def writes(tmp_path: Path) -> Iterator[Writes]:
    opened = Writes(tmp_path / "torc.db")
    yield opened
    opened.database.close()


def test_a_short_write_is_done_in_the_event_loop(writes: Writes) -> None:
    writes.do(*[writes.work("SELECT 1")] * 3)
    assert (writes.threads, writes.marks) == (["MainThread"] * 3, 3)


def test_what_is_not_short_is_done_in_the_thread(writes: Writes) -> None:
    writes.do(writes.work("SELECT 1"), is_short=False)
    assert (writes.threads, writes.marks) == (["writer"], 1)


def test_a_long_write_is_undone_and_done_in_the_thread(writes: Writes) -> None:
    """And the next one is short again."""
    writes.do(writes.work(f"{NUMBERS} {LONG}"), writes.work("SELECT 1"))
    assert (writes.threads, writes.marks) == (["MainThread", "writer", "MainThread"], 2)


def test_a_commit_is_not_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_STEPS", 1)
    writes = Writes(tmp_path / "torc.db")
    writes.do(*[writes.work("SELECT 1", lambda: time.sleep(0.01))] * 5)
    assert writes.marks == 5
    assert len(writes.threads) < 10, "all were done twice"
    writes.database.close()


def test_nobody_waits_in_the_event_loop_for_another_program(writes: Writes) -> None:
    other = sqlite3.connect(writes.database.path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    async def wait() -> float:
        start = time.monotonic()
        writing = asyncio.create_task(writes.turns.write(writes.work("SELECT 1"), True))
        await asyncio.sleep(0)
        until_here = time.monotonic() - start
        other.execute("ROLLBACK")
        await writing
        return until_here

    assert asyncio.run(wait()) < 1
    assert writes.marks == 1
    other.close()
