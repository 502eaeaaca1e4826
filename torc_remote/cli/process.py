"""What the process needs before a command runs: standard streams that can't break, and an orderly end."""

import io
import os
import signal
import sys
from typing import Any, TextIO

from torc_remote.errors import TorcError


def prepare_process() -> None:
    """Make SIGTERM unwind as Ctrl-C does, and give each standard stream a file that can be used.

    A closed stream would lend its number to the next file that is opened. A reader who leaves (`... | head`) must
    not stop a command that is half-way through its hosts, nor change its exit code.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.stdin = sys.stdin or _nowhere(0, "r")
    sys.stdout = _patient(sys.stdout or _nowhere(1, "w"))
    sys.stderr = _patient(sys.stderr or _nowhere(2, "w"))


def _nowhere(number: int, mode: str) -> Any:
    descriptor = os.open(os.devnull, os.O_RDWR)
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.set_inheritable(number, True)
    return open(number, mode, closefd=False)


def _patient(stream: TextIO) -> io.TextIOWrapper:
    raw = _Outlet(stream.fileno(), "w", closefd=False)
    # what can't be encoded is escaped, as JSON does with half a surrogate pair
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=raw.isatty(),
    )


def check_output() -> None:
    """Raise TorcError when standard output did not take all that was written."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Outlet) and raw.failure:
        raise TorcError(
            f"The output is not complete: {raw.failure.strerror}. The command itself has come to its end."
        )


class _Outlet(io.FileIO):
    """Once nobody reads any more, or nothing more can be written, the rest goes nowhere.

    ``failure`` is then why the output is not whole; a reader who left wanted no more.
    """

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            self.failure = None if isinstance(error, BrokenPipeError) else error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(data)
