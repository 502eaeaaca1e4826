"""The command line as a program of its own: what it prints, imports and leaves with."""

import subprocess
import sys
from pathlib import Path

import pytest

TORC = Path(sys.executable).with_name("torc")


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['torc', '--help']; from torc_remote.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print(*sys.modules, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Usage: torc" in result.stdout
    loaded = {name.split(".")[0] for name in result.stderr.split()}
    assert loaded.isdisjoint(
        {"requests", "urllib3", "ansible", "ansible_runner", "fastapi", "rich", "yaml", "ssl"}
    )


def test_prompt_password_without_a_terminal() -> None:
    """Not even /dev/tty, as in cron."""
    command = [TORC, "--prompt-password", "jobs", "list", "1"]
    result = subprocess.run(command, input="s3cret\n", capture_output=True, text=True, start_new_session=True)
    assert result.returncode == 2
    assert result.stderr == (
        "Error: --prompt-password needs a terminal to ask on. Put the password into TORC_PASSWORD instead.\n"
    )


def test_a_reader_that_leaves_is_no_failure() -> None:
    command = f"{TORC} --help | true; echo ${{PIPESTATUS[0]}}; {TORC} --help >&-"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert result.stderr == ""
    assert result.stdout in ("0\n", "1\n")


@pytest.mark.parametrize("name", ["torc", "torc-remote"])
def test_version(name: str) -> None:
    result = subprocess.run([TORC.with_name(name), "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"{name} 1.0.0\n"


def test_usage_errors() -> None:
    result = subprocess.run([TORC, "jobs", "list", "one"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "'one' is not a valid integer" in result.stderr
