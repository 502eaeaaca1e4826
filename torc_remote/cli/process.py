"""What the process needs before a command runs: standard streams that can't break, and an orderly end."""

import io
import os
import resource
import signal
import sys
from types import FrameType
from typing import Any, TextIO

from torc_remote.errors import TorcError

_FILES = 64
_SOON = 0.01
_arrived: set[int] = set()


def prepare_process() -> None:
    """Make SIGTERM unwind as Ctrl-C does, and give each standard stream a file that can be used.

    An interrupt that whoever started us lets us ignore stays ignored. A closed stream would lend its number to the next
    file that is opened. A reader who leaves (`... | head`) must not stop a command that is half-way through its hosts,
    nor change its exit code.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        if number != signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.stdin = sys.stdin or _nowhere(0, "r")
    sys.stdout = _patient(sys.stdout or _nowhere(1, "w"))
    sys.stderr = _patient(sys.stderr or _nowhere(2, "w"))


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, but not within an import, whose machinery may swallow it: then when that is over."""
    _arrived.add(number)
    if _is_importing(frame):
        signal.setitimer(signal.ITIMER_REAL, _SOON)
    else:
        raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def was_interrupted() -> bool:
    """Whatever has become of the exception."""
    return bool(_arrived)


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


def require_files() -> None:
    """Let the process have the files open that any command may need. Raises TorcError when it can't."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < _FILES:
        if 0 <= hard < _FILES:
            raise TorcError(
                f"This process may have {hard} files open, and needs {_FILES}. Raise the limit with ulimit -n."
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))


def ignore_interrupts() -> None:
    """For a command that has come to its end: the interpreter's own end would turn one into death by a signal."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


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
