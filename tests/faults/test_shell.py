"""Faults 61 to 72: whatever login files, tools and names there are on a host, scripts work, and no log is lost."""

import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import wait_until
from tests.support.faults import hook_sessions, jobs, shims, start_worker
from tests.support.remote import SandboxFleet

HOST = "sandbox1"


@contextmanager
def login_file(fleet: SandboxFleet, text: str) -> Iterator[None]:
    """The account's .bashrc, which its shell reads for each command from afar."""
    file = fleet.home(HOST) / ".bashrc"
    file.write_text(text + "\n")
    try:
        yield
    finally:
        file.unlink()


def ran(fleet: SandboxFleet, command: str, **keys: Any) -> int:
    """A workflow whose only job has run this on the host, and whose worker has ended."""
    number = fleet.workflow([{"name": "a", "command": command, **keys}], [HOST])
    start_worker(fleet, number, "-p", "0.2")
    wait_until(lambda: fleet.hosts("status", number)[HOST]["state"] == "exited", 30)
    assert jobs(fleet, number) == ["completed"]
    return number


def output_of(archive: str) -> bytes:
    """What the job of an archive has said."""
    with tarfile.open(archive) as tar:
        (member,) = [name for name in tar.getnames() if name.endswith(".o")]
        file = tar.extractfile(member)
        assert file
        return file.read()


def test_61_tar_leaves_logs_out(fleet: SandboxFleet, tmp_path: Path) -> None:
    """Files that TAR_OPTIONS, or the tar itself, would leave out of an archive are collected or named, and never \
deleted as collected."""
    number = ran(fleet, "echo hello")
    hook_sessions(fleet.sandbox)
    lazy = f'exec {shutil.which("tar")} --exclude="*.o" "$@"'
    with shims(fleet.home(HOST), tar=lazy):
        host = fleet.hosts("collect-logs", number, "-l", tmp_path, "--delete", code=1)[HOST]
        assert host["state"] == "incomplete"
        assert ".o (tar left it out)" in host["reason"]
    assert list(fleet.home(HOST).glob(f"torc_output/job_stdio/job_wf{number}_*.o"))
    with login_file(fleet, 'export TAR_OPTIONS="--exclude=*.log --exclude=*.o" GZIP=-9 POSIXLY_CORRECT=1'):
        host = fleet.hosts("collect-logs", number, "-l", tmp_path, "--delete")[HOST]
    assert output_of(host["archive"]) == b"hello\n"
    assert not list(fleet.home(HOST).glob(f"torc_output/job_stdio/job_wf{number}_*"))


LOGIN_FILES = {
    "zsh": '[ -n "$ZSH_VERSION" ] || exec zsh',
    "bash": "cd() { return 1; }; unset() { :; }; printf() { :; }; export -f cd unset printf; "
    '[ -n "$ONCE" ] || ONCE=1 exec bash',
    "options": "export SHELLOPTS; set -o noclobber -o nounset; export CDPATH=/ GREP_OPTIONS=-v GLOBIGNORE='*'",
}


@pytest.mark.parametrize(
    "name", ["zsh", *(pytest.param(name, marks=pytest.mark.slow) for name in ("bash", "options"))]
)
def test_62_login_file_changes_the_shell(fleet: SandboxFleet, name: str, tmp_path: Path) -> None:
    """A login file that puts zsh or bash in the place of the shell, or exports functions and options, changes nothing \
of what is done, and jobs see what it has exported."""
    if name == "zsh" and not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    with login_file(fleet, f'export GREETING="it\'s" TAR_OPTIONS=--exclude=*.o\n{LOGIN_FILES[name]}'):
        number = ran(fleet, 'echo "$GREETING $TAR_OPTIONS"')
        assert fleet.hosts("stop", number)[HOST]["state"] == "not_running"
        host = fleet.hosts("collect-logs", number, "-l", tmp_path, "--delete")[HOST]
    assert output_of(host["archive"]) == b"it's --exclude=*.o\n"


@pytest.mark.parametrize("shell", ["fish", pytest.param("tcsh", marks=pytest.mark.slow)])
def test_62a_login_file_execs_no_posix_shell(fleet: SandboxFleet, shell: str) -> None:
    """Where a login file puts fish or csh in the place of the shell, nothing is done, and the reason says what to \
change."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    number = fleet.workflow([{"name": "a", "command": "true"}], [HOST])
    with login_file(fleet, f"exec {shell}"):
        host = fleet.hosts("status", number, code=1)[HOST]
    assert "puts fish or csh in the place of /bin/sh" in host["reason"]


@pytest.mark.slow
def test_63_the_log_is_a_directory(fleet: SandboxFleet) -> None:
    """A worker whose log can't be written is not started, with the reason, and runs once the log can be."""
    number = ran(fleet, "true")
    (log,) = fleet.home(HOST).glob(f"torc_output/torc_worker_{number}_*.log")
    log.unlink()
    log.mkdir()
    fleet.torc("workflows", "reset-status", number, "--reinitialize", "--no-prompts")
    host = fleet.hosts("run", number, code=1)[HOST]
    assert host["reason"] == f"the log {log} is no regular file"
    assert fleet.hosts("stop", number)[HOST]["state"] == "not_running"
    log.rmdir()
    start_worker(fleet, number)


@pytest.mark.slow
def test_64_a_link_by_another_spelling(fleet: SandboxFleet) -> None:
    """delete-logs removes nothing through a symbolic link, however its name is written."""
    home = fleet.home(HOST)
    (home / "mine").mkdir()
    (home / "mine/thesis").touch()
    (home / "link").symlink_to("mine")
    number = fleet.workflow([{"name": "a", "command": "true"}], [HOST])
    for name in ("link", "link//", "./link/", "link/."):
        host = fleet.hosts("delete-logs", number, "--remote-output-dir", name, code=1)[HOST]
        assert host["reason"].endswith("Nothing was removed"), (name, host)
    assert (home / "mine/thesis").exists()
