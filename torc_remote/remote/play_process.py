"""The launched program of a play, from its start, before there is a play, to its end.

The only module that imports ansible_runner, and that as late as possible: it costs 0.1 s.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from torc_remote.errors import TorcError
from torc_remote.remote.play_environment import play_environment

# -P: the play's directory is no place to import from
_LAUNCHER = ["-P", "-m", "torc_remote.remote.launcher"]
_PREFIX = "torc-remote-play."
_OUTPUT = "output"
# A directory is made before it is in use.
_ABANDONED_SECONDS = 60
_HELD = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)


class PlayProcess:
    """The launcher, started by ansible-runner, which waits for it in a thread.

    It belongs to us as long as we hold the pipe to it: when that is closed, also because this process is no more, the
    launcher ends whatever runs and removes ``directory``.
    """

    def __init__(self, directory: Path) -> None:
        import ansible_runner
        from ansible_runner.config.command import CommandConfig

        ansible_runner.plugins.clear()  # those that report elsewhere are for the user's own plays
        self.directory = directory
        self._output = (directory / _OUTPUT).open("wb")
        fcntl.flock(self._output, fcntl.LOCK_SH)  # as long as anybody has it open, the directory is in use
        self._input, self._order = os.pipe()
        config = CommandConfig(
            private_data_dir=str(directory),
            host_cwd=str(directory),
            ident="play",
            runner_mode="subprocess",
            input_fd=self._input,
            output_fd=self._output,
            error_fd=subprocess.STDOUT,
            quiet=True,
        )
        config.prepare_run_command(sys.executable, _LAUNCHER)
        config.env = play_environment(directory)  # the runner's own would show through
        self._runner = ansible_runner.Runner(config)
        self._failure = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._runner.run()
        except OSError as error:  # of its files in the directory, which may be full or gone
            self._failure = str(error)
        finally:
            self._ended.set()

    def order(self, play: Mapping[str, Any]) -> None:
        """Tell the launcher what to run."""
        os.write(self._order, (json.dumps(play) + "\n").encode())

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, at the latest after so many seconds."""
        return self._ended.wait(seconds)

    def end(self) -> None:
        """Let go of it, and return when it is gone with all that it had started."""
        os.close(self._order)
        self._thread.join()
        os.close(self._input)
        self._output.close()

    @property
    def last_output(self) -> str:
        """What it printed at its end, and the signal that ended it, if one did."""
        files = (self.directory / _OUTPUT, self.directory / "artifacts/play/stderr")
        text = "\n".join(file.read_text(errors="replace") for file in files if file.exists())
        code = self._runner.rc or 0
        number = code - 128 if 128 < code < 193 else max(-code, 0)
        signaled = f"It was ended by signal {number} ({signal.strsignal(number)})." if number else ""
        return "\n".join(filter(None, (text, signaled, self._failure)))


@contextmanager
def launched() -> Iterator[PlayProcess]:
    """A launcher that waits for its play; whatever happens, neither it nor its directory is left.

    Raises TorcError when it can't be started.
    """
    with held_signals() as held:
        process = _launch()
    try:
        if held.is_set():
            raise KeyboardInterrupt
        yield process
    finally:
        with held_signals():
            process.end()
            shutil.rmtree(process.directory, ignore_errors=True)


def _launch() -> PlayProcess:
    directory = _private_directory()
    try:
        return PlayProcess(directory)
    except BaseException as error:
        shutil.rmtree(directory, ignore_errors=True)
        if isinstance(error, OSError):
            raise TorcError(f"Cannot write into {directory}: {error.strerror}.") from error
        raise


def _private_directory() -> Path:
    """A new directory with mode 0700."""
    try:
        # with TMPDIR=. the path would mean another directory to each program
        temporary = Path(tempfile.gettempdir()).absolute()
        _sweep(temporary)
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=temporary))
    except OSError as error:
        raise TorcError(
            f"There is no place for temporary files: {error.strerror}. Set TMPDIR to a directory of yours."
        ) from error


def _sweep(temporary: Path) -> None:
    """Remove the directories of commands that were killed together with their launchers."""
    for left in temporary.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            found = left.stat()
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > _ABANDONED_SECONDS:
                _remove_unless_used(left)


def _remove_unless_used(directory: Path) -> None:
    with (directory / _OUTPUT).open("ab") as output, suppress(BlockingIOError):
        fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def held_signals() -> Iterator[threading.Event]:
    """SIGINT and SIGTERM set the event instead of ending the program; SIGALRM is one of them that comes late.

    What is ignored stays so, as in the background of a shell's script.
    """
    event = threading.Event()

    def remember(signum: int, frame: FrameType | None) -> None:
        event.set()

    heard = [number for number in _HELD if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, remember) for number in heard}
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
