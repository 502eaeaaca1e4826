"""The server's SQLite file: when what was answered is on the disk."""

import os
import sqlite3
from pathlib import Path

import pytest

from tests.support import wait_until
from torc_remote.builtin.server.database import Database


def test_what_was_written_is_brought_to_the_disk_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(Path(file.name).name))
    database = Database(tmp_path / "torc.db")
    for _ in range(2):
        before = len(synced)
        with database.write() as connection:
            connection.execute("INSERT INTO workflow (name, user, timestamp) VALUES ('w', 'u', '')")
        wait_until(lambda before=before: len(synced) > before, 5)
    database.close()
    assert set(synced) == {"torc.db-wal"}


def test_a_database_of_the_first_version_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "torc.db"
    Database(path).close()
    old = sqlite3.connect(path)
    tables = ("job_input", "worker_token", "event")
    old.executescript("".join(f"DROP TABLE {table};" for table in tables) + "PRAGMA user_version = 1;")
    old.close()
    database = Database(path)
    with database.read() as connection:
        for table in tables:
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0
    database.close()
    Database(path).close()
