"""Shell completion, by pressing TAB in the real shells."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

TORC = Path(sys.executable).with_name("torc")
SHELLS = {
    "bash": ("--norc", "-i"),
    "zsh": ("-f", "-i"),
    "fish": ("--no-config", "-i"),
}
BEFORE = {"zsh": "autoload -U compinit && compinit -u -d $HOME/.zcompdump"}


@pytest.fixture(params=SHELLS, scope="module")
def shell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pexpect.spawn]:
    """An interactive shell that has read our script."""
    home = tmp_path_factory.mktemp("home")
    name: str = request.param
    assert shutil.which(name), f"install {name}"
    script = home / "completions"
    script.write_text(
        subprocess.run([TORC, "completions", name], check=True, capture_output=True, text=True).stdout
    )
    environment = {"PATH": f"{TORC.parent}:{os.environ['PATH']}", "HOME": str(home), "TERM": "dumb"}
    child = pexpect.spawn(
        name, list(SHELLS[name]), env=environment, timeout=20, encoding="utf-8", dimensions=(40, 200)
    )
    child.sendline(f"{BEFORE.get(name, 'true')}; . {script}; echo ready")
    child.expect("ready")
    yield child
    child.close(force=True)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("torc remote sta\t--help", "Usage: torc remote status"),
        ("torc comple\t--help", "Usage: torc completions"),
        ("torc-remote collect\t--help", "Usage: torc-remote collect-logs"),
        ("torc remote run --keep\t --help", "Usage: torc remote run"),
    ],
)
def test_tab_completes_commands_and_options(shell: pexpect.spawn, typed: str, shown: str) -> None:
    shell.sendline(typed)
    shell.expect(shown)
