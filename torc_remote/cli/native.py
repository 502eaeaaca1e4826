"""Commands that we don't have go to a native torc elsewhere on PATH: installing ours takes nothing away."""

import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from torc_remote.cli.app import App
from torc_remote.errors import TorcError

if TYPE_CHECKING:
    from torc_remote.spec import WorkflowSpec

# In its presence `torc --version` of ours prints MARKER as well, and nothing is handed over: no loop.
GUARD = "_TORC_REMOTE_HANDOVER"
MARKER = "torc-remote"

# Spellings that torc 1.0 rejects (torc wire 1.4), so that handing them over would not help.
RENAMED = {
    "submit-slurm": "torc slurm generate FILE | torc submit -",
    "workflows create-slurm": "torc slurm generate FILE | torc submit -",
    "workflows submit": "torc submit",
    "workflows run": "torc run",
    "workflows initialize": "torc workflows init",
    "workflows reinitialize": "torc workflows reinit",
    "run-jobs": "torc run",
    "reports": "torc status",
}


def run_native(ctx: click.Context, name: str, known: list[str]) -> NoReturn:
    """Replace this process by a native torc with the same words.

    Raises UsageError when the command is spelled otherwise in torc 1.0 or when there is no native torc.
    """
    path = " ".join([*ctx.command_path.split()[1:], name])
    if path in RENAMED:
        raise click.UsageError(f"torc 1.0 has no 'torc {path}'. Use: {RENAMED[path]}", ctx)
    native = find_native()
    if native is None:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise click.UsageError(
            f"No such command '{ctx.command_path} {name}'.{hint} "
            "A native torc would be asked, but there is none on PATH.",
            ctx,
        )
    become_native(native, ctx.ensure_object(App).argv)


def become_native(
    native: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> NoReturn:
    """Replace this process by the native torc; ``environment`` is added to ours."""
    sys.stdout.flush()
    os.execve(native, [native, *arguments], os.environ | (environment or {}) | {GUARD: "1"})  # noqa: S606  (checked)


def load_spec_or_run_native(app: App, file: str, arguments: Sequence[str]) -> "WorkflowSpec":
    """The spec in ``file`` (- for stdin), or a native torc with ``arguments`` in our place.

    The latter for a spec that only torc's own server and workers can run, where there are such.
    Raises SpecError.
    """
    from torc_remote.spec import UnsupportedSpecError, parse_spec, read_spec

    text = read_spec(file)
    try:
        return parse_spec(text, "stdin" if file == "-" else file)
    except UnsupportedSpecError:
        if native := _native_for_its_server(app):
            if file == "-":
                _put_into_stdin(text)
            _become_native_client(app, native, arguments)
        raise


def _native_for_its_server(app: App) -> str | None:
    try:
        ours = MARKER in str(app.client().version().get("version"))
    except TorcError:
        return None
    return None if ours else find_native()


def _put_into_stdin(text: str) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        os.dup2(file.fileno(), 0)


def _become_native_client(app: App, native: str, arguments: Sequence[str]) -> NoReturn:
    from torc_remote.client.play_settings import client_environment

    check = ["--skip-version-check"] * app.skip_version_check
    become_native(native, ["--format", app.format, *arguments, *check], client_environment(app.settings))


def find_native() -> str | None:
    """The first torc on PATH that is not ours: it prints ``torc X.Y.Z`` without our marker.

    None also inside of a hand-over.
    """
    if GUARD in os.environ:
        return None
    return next((str(candidate) for candidate in _candidates() if _is_native(candidate)), None)


def _candidates() -> Iterator[Path]:
    ours = Path(sys.argv[0]).resolve()
    for directory in os.get_exec_path():
        candidate = Path(directory) / "torc"
        if candidate.is_absolute() and os.access(candidate, os.X_OK) and candidate.resolve() != ours:
            yield candidate


def _is_native(candidate: Path) -> bool:
    try:
        answer = subprocess.run(
            [candidate, "--version"],
            env=os.environ | {GUARD: "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    lines = answer.stdout.split("\n")
    return bool(re.match(r"torc \d+\.\d+\.\d+", lines[0])) and MARKER not in lines
