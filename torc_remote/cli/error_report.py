"""How a failed command ends: what is printed, and the exit code."""

import io
import os
import tempfile
import traceback
from pathlib import Path

import click

from torc_remote.cli.output import say
from torc_remote.cli.process import was_interrupted
from torc_remote.errors import TorcError, shortage

INTERRUPTED = 130


def report(error: BaseException) -> int:
    """Print what went wrong on stderr; return the exit code."""
    if isinstance(error, click.Abort | KeyboardInterrupt) or _comes_of_interrupt(error):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        text = io.StringIO()
        error.show(text)
        say(text.getvalue().rstrip("\n"), err=True)
        return error.exit_code
    if isinstance(error, TorcError):
        say("\n".join([f"Error: {error}", *getattr(error, "__notes__", [])]), err=True)
        return error.exit_code
    if isinstance(error, OSError) and _is_nowhere():
        click.echo("Error: The current directory has been removed. Change to another one (cd).", err=True)
        return 1
    if isinstance(error, OSError | RuntimeError | MemoryError) and (lack := shortage(str(error))):
        say(f"Error: {lack}.", err=True)
        return 1
    kept = _keep("".join(traceback.format_exception(error)))
    say(f"Error: unexpected {type(error).__name__}: {error}. {kept}", err=True)
    return 1


def _comes_of_interrupt(error: BaseException) -> bool:
    """Whether the interrupt came out as something else, such as the end of a program that got it too."""
    return was_interrupted() and getattr(error, "exit_code", None) != INTERRUPTED


def _is_nowhere() -> bool:
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd() is this
    except OSError:
        return True
    return False


def _keep(text: str) -> str:
    """Write the traceback to a file that only the user can read, and say where; else show it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "torc-remote"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix="traceback-", suffix=".txt", dir=cache, text=True)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        return f"This is a fault in torc-remote; please report it.\n{text}"
    return f"This is a fault in torc-remote; please report it with {name}"
