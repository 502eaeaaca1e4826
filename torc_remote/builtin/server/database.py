"""The SQLite file: one writer, many readers, rows as records."""

import contextlib
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

from torc_remote.builtin.server.errors import not_found
from torc_remote.builtin.server.private_files import DatabaseLock
from torc_remote.errors import TorcError

SCHEMA_VERSION = 4
# What brings a database of an older version to the next one.
_UPGRADES = {
    1: "CREATE TABLE job_input (job_id INTEGER PRIMARY KEY REFERENCES job ON DELETE CASCADE, "
    "hash TEXT NOT NULL) STRICT;",
    2: "CREATE TABLE worker_token (id INTEGER PRIMARY KEY AUTOINCREMENT, "
    "workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE, host TEXT NOT NULL, "
    "hash TEXT NOT NULL UNIQUE, run_id INTEGER, compute_node_id INTEGER) STRICT; "
    "CREATE INDEX worker_token_workflow ON worker_token (workflow_id);",
    3: "CREATE TABLE event (id INTEGER PRIMARY KEY AUTOINCREMENT, "
    "workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE, timestamp INTEGER NOT NULL, "
    "data TEXT NOT NULL) STRICT; CREATE INDEX event_workflow ON event (workflow_id);",
}
_SYNC_SECONDS = 0.05
# How long another program may hold the file before a request fails.
BUSY_SECONDS = 10

_log = logging.getLogger(__name__)

Record = dict[str, Any]
Connection = sqlite3.Connection

_FLAGS = frozenset({
    "cancel_on_blocking_job_failure", "compute_node_ignore_workflow_completion", "enable_ro_crate",
    "is_active", "is_archived", "is_canceled", "is_ephemeral", "supports_termination", "use_pending_failed",
})  # fmt: skip
_DOCUMENTS = frozenset({
    "data", "env", "execution_config", "labels", "metadata", "resource_monitor_config", "scheduler",
    "slurm_defaults",
})  # fmt: skip
_LABELS = {
    "compute_node": "Compute node",
    "file": "File",
    "job": "Job",
    "resource_requirements": "Resource requirements",
    "result": "Result",
    "task": "Task",
    "user_data": "User data",
    "workflow": "Workflow",
}


class Database:
    """One open database file, which no other server can open at the same time.

    Raises TorcError if another server holds the file, or if it isn't a database of this schema version.
    """

    def __init__(self, path: Path) -> None:
        # SQLite names the files beside it by this name, whatever link leads here.
        self.path = path.resolve()
        self._lock = DatabaseLock(self.path)
        self.writer = ThreadPoolExecutor(1, "writer")
        self._writing = threading.Lock()
        self._readers = threading.local()
        try:
            self._connection = self._open()
            _check_or_create(self._connection, path)
            self._connection.execute("PRAGMA journal_mode = WAL")
            # No request waits for the disk: _sync does.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._lock.make_private()
        except sqlite3.Error as error:
            raise TorcError(
                f"{path} can't be used as the server's database ({error}); name another --database."
            ) from error
        except OSError as error:
            raise TorcError(f"{path} can't be kept from other users: {error.strerror}.") from error
        self._closed = False
        self._unsynced = threading.Event()
        self._syncing = threading.Thread(target=self._sync, daemon=True)
        self._syncing.start()

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction, undone if the block raises.

        What it wrote survives the end of this process at once, and a crash of the machine a moment later.
        """
        with self._writing, _transaction(self._connection, "BEGIN IMMEDIATE"):
            yield self._connection
        self._unsynced.set()

    def wait_until(self, deadline: float) -> None:
        """From now on a write that another program's lock holds up fails at this time (of time.monotonic)."""
        milliseconds = max(0, int((deadline - time.monotonic()) * 1000))
        self._connection.execute(f"PRAGMA busy_timeout = {milliseconds}")

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view of the data on this thread's own connection; waits for no writer."""
        connection: Connection | None = getattr(self._readers, "connection", None)
        if connection is None:
            connection = self._readers.connection = self._open()
            connection.execute("PRAGMA query_only = ON")
        with _transaction(connection, "BEGIN"):
            yield connection

    def _sync(self) -> None:
        """Bring what was written to the disk, all of it at once, as long as there is something."""
        while True:
            self._unsynced.wait()
            if self._closed:
                return
            self._unsynced.clear()
            try:
                with contextlib.suppress(FileNotFoundError), Path(f"{self.path}-wal").open("rb") as log:
                    os.fsync(log)
            except OSError as error:
                _log.warning("The database is not safe on the disk (%s); trying again.", error.strerror)
                self._unsynced.set()
            time.sleep(_SYNC_SECONDS)

    def close(self) -> None:
        """Let the write under way end, fold the write-ahead log into the file and release the lock."""
        self.writer.shutdown(cancel_futures=True)
        self._closed = True
        self._unsynced.set()
        self._syncing.join()
        self._connection.close()
        self._lock.close()

    def _open(self) -> Connection:
        # Only the holder of the writing lock uses the connection for it, whatever its thread.
        connection = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA foreign_keys = ON")
        return connection


@contextlib.contextmanager
def _transaction(connection: Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check_or_create(connection: Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    while version in _UPGRADES:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_UPGRADES[version]} PRAGMA user_version = {version + 1}; COMMIT;"
        )
        version += 1
    empty = not connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_schema)").fetchone()[0]
    if version == 0 and empty:
        schema = resources.files(__package__).joinpath("schema.sql").read_text("utf-8")
        connection.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
    elif version != SCHEMA_VERSION:
        raise TorcError(
            f"{path} has schema version {version}, this server needs {SCHEMA_VERSION}; "
            "name another --database, or use the program that made this one."
        )


def record(row: sqlite3.Row) -> Record:
    """The row as it stands on the wire: unset columns left out, flags and JSON documents decoded."""
    return {name: _decode(name, row[name]) for name in row.keys() if row[name] is not None}  # noqa: SIM118  # a Row iterates over its values


def _decode(name: str, value: Any) -> Any:
    if name in _FLAGS:
        return bool(value)
    return json.loads(value) if name in _DOCUMENTS else value


def _encode(name: str, value: Any) -> Any:
    return json.dumps(value) if name in _DOCUMENTS and value is not None else value


def insert(connection: Connection, table: str, values: Mapping[str, Any]) -> int:
    """Insert one row and return its id. The keys are column names and never come from a request."""
    columns = ", ".join(values)
    marks = ", ".join("?" * len(values))
    sql = f"INSERT INTO {table} ({columns}) VALUES ({marks}) RETURNING id"
    row = connection.execute(sql, [_encode(name, value) for name, value in values.items()]).fetchone()
    return int(row["id"])


def update(connection: Connection, table: str, row_id: int, values: Mapping[str, Any]) -> None:
    """Set the given columns of one row."""
    if not values:
        return
    assignments = ", ".join(f"{name} = ?" for name in values)
    sql = f"UPDATE {table} SET {assignments} WHERE id = ?"
    connection.execute(sql, [*(_encode(name, value) for name, value in values.items()), row_id])


def find(connection: Connection, table: str, row_id: int) -> sqlite3.Row:
    """The row with this id. Raises the 404 that torc answers."""
    sql = f"SELECT * FROM {table} WHERE id = ?"
    row: sqlite3.Row | None = connection.execute(sql, [row_id]).fetchone()
    if row is None:
        raise not_found(f"{_LABELS[table]} not found with ID: {row_id}")
    return row
