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
    """What keeps a second server away; SQLite's connections must be closed before it is."""

    def __init__(self, *files: IO[bytes]) -> None:
        self._files = files

    def close(self) -> None:
        """Let another server in."""
        for file in self._files:
            file.close()


def lock_privately(path: Path) -> DatabaseLock:
    """Make or take the database file and the files beside it, with mode 0600, for this server alone.

    A byte of the file itself is locked, so that its name does not matter; and the file beside it, where older versions
    look. Raises TorcError if another server has it, or if it is no file of its own.
    """
    try:
        with contextlib.ExitStack() as opened:
            beside = opened.enter_context(_open(path.with_name(path.name + ".lock"), os.O_CREAT))
            fcntl.flock(beside, fcntl.LOCK_EX | fcntl.LOCK_NB)
            database = opened.enter_context(_open(path, os.O_CREAT))
            _lock_byte(database)
            for ending in ("-wal", "-shm", "-journal"):
                with contextlib.suppress(FileNotFoundError):
                    _open(path.with_name(path.name + ending)).close()
            _check_single(path, database)
            opened.pop_all()
    except BlockingIOError as error:
        raise TorcError(f"Another server is using {path}; stop it, or name another --database.") from error
    except OSError as error:
        raise TorcError(
            f"The database {path} can't be opened: {error.strerror} ({error.filename})."
        ) from error
    return DatabaseLock(database, beside)


def _open(path: Path, more: int = 0) -> IO[bytes]:
    # O_NONBLOCK: a named pipe would wait for somebody to read.
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | more
    file = os.fdopen(os.open(path, flags, _MODE), "rb", buffering=0)
    with contextlib.ExitStack() as opened:
        opened.push(file)
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is no regular file", str(path))
        os.fchmod(file.fileno(), _MODE)
        opened.pop_all()
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
