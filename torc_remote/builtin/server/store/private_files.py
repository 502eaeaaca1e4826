"""The database's files: nobody else's to read, and one server's at a time."""

import contextlib
import fcntl
import os
import stat
import struct
from pathlib import Path
from typing import IO

from torc_remote.errors import TorcError

_MODE = 0o600
# Beyond all bytes of the file that SQLite locks.
_LOCK_BYTE = 2**62


class DatabaseLock:
    """Keeps a second server away; SQLite's connections must be closed before it is.

    A byte of the file itself is locked, so that its name does not matter; and the file beside it, where older versions
    look. Raises TorcError if another server has it, or if it is no file of its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with contextlib.ExitStack() as opened:
                for name in _beside(path):
                    _check_own(name)
                beside = opened.enter_context(_open(path.with_name(path.name + ".lock")))
                fcntl.flock(beside, fcntl.LOCK_EX | fcntl.LOCK_NB)
                database = opened.enter_context(_open(path))
                _lock_byte(database)
                _check_single(path, database)
                self._opened = opened.pop_all()
        except BlockingIOError as error:
            raise TorcError(
                f"Another server is using {path}; stop it, or name another --database."
            ) from error
        except OSError as error:
            raise TorcError(f"The database {path} can't be opened: {error.strerror}.") from error
        self._files = (database, beside)

    def make_private(self) -> None:
        """Take the files that were there before from others; SQLite gives new ones the database's mode."""
        for file in self._files:
            os.fchmod(file.fileno(), _MODE)
        for name in _beside(self._path):
            with contextlib.suppress(FileNotFoundError):
                # not by opening it: with the file closed again SQLite would lose its locks
                name.chmod(_MODE)

    def close(self) -> None:
        """Let another server in."""
        self._opened.close()


def _beside(path: Path) -> list[Path]:
    """The files that SQLite makes beside a database."""
    return [path.with_name(path.name + ending) for ending in ("-wal", "-shm", "-journal")]


def _check_own(path: Path) -> None:
    """SQLite would follow a link, which somebody else may have put there, and write into what it leads to."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise TorcError(f"{path} is a link, or no file at all: remove it, or name another --database.")


def _open(path: Path) -> IO[bytes]:
    # O_NONBLOCK: a named pipe would wait for somebody to read.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.fdopen(os.open(path, flags, _MODE), "rb", buffering=0)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(0, "it is no regular file")
    return file


def _lock_byte(file: IO[bytes]) -> None:
    """With a lock of the open file: SQLite releases all that are the process's own. Only Linux has such."""
    if hasattr(fcntl, "F_OFD_SETLK"):
        flock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _LOCK_BYTE, 1, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, flock)


def _check_single(path: Path, database: IO[bytes]) -> None:
    if os.fstat(database.fileno()).st_nlink > 1:
        raise TorcError(
            f"{path} has another name too (a hard link), under which SQLite would not find all that was written: "
            "remove the other name, or copy the file."
        )
