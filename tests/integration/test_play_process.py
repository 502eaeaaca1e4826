"""The launched program of a play: whose it is from its first moment to its last, and what it says when it can't run."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.hosts import needs_root, with_ssh_config, words
from tests.support import wait_until
from tests.support.faults import stopped
from tests.support.packages import ROOT
from tests.support.proxy import proxy
from tests.support.remote import TORC, SandboxFleet
from torc_remote import processes


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The CLI's directory for temporary files."""
    path = tmp_path / "tmp"
    path.mkdir()
    return path


@pytest.fixture
def tidy(fleet: SandboxFleet, temporary: Path) -> SandboxFleet:
    return replace(fleet, environment={"TMPDIR": str(temporary)})


@contextmanager
def silent_server(fleet: SandboxFleet) -> Iterator[SandboxFleet]:
    """The server answers when the test is over."""
    with proxy(fleet.url) as front:
        front.rule = lambda method, path: lambda handler: time.sleep(5)
        yield replace(fleet, url=front.url)


def launchers(pid: int) -> set[processes.Process]:
    """The launcher of a command, and the process of it that runs Ansible."""
    return {one for one in processes.descendants(pid) if "torc_remote.remote.launcher" in words(one.pid)}


@pytest.mark.parametrize(
    ("launched", "number"),
    [
        (0, signal.SIGINT),
        (0, signal.SIGTERM),
        (1, signal.SIGINT),
        (1, signal.SIGKILL),
        (2, signal.SIGTERM),
        (2, signal.SIGKILL),
    ],
)
def test_ended_before_there_is_a_play(
    tidy: SandboxFleet, temporary: Path, launched: int, number: signal.Signals
) -> None:
    """Neither a process nor the directory is left, however far the launcher has come."""
    with silent_server(tidy) as fleet:
        running = fleet.popen("remote", "status", 1)
        wait_until(lambda: any(temporary.iterdir()) and len(launchers(running.pid)) >= launched, 20)
        left = processes.descendants(running.pid)
        os.killpg(running.pid, number) if number != signal.SIGKILL else running.kill()
        _, said = running.communicate(timeout=30)
    assert running.returncode == (130 if number != signal.SIGKILL else -signal.SIGKILL), said
    assert "Traceback" not in said
    wait_until(lambda: not left & processes.descendants(1) and not any(temporary.iterdir()), 20)


def test_an_error_before_there_is_a_play(tidy: SandboxFleet, temporary: Path) -> None:
    said = tidy.torc("remote", "status", 4711, code=1).stderr
    assert "4711" in said
    assert not any(temporary.iterdir())


def test_what_is_abandoned_goes_with_the_next_command(tidy: SandboxFleet, temporary: Path) -> None:
    """What is in use, or may be about to be, stays."""
    abandoned, used, new = (temporary / f"torc-remote-play.{name}" for name in ("abandoned", "used", "new"))
    for path in (abandoned, used, new):
        path.mkdir()
    with (used / "output").open("w") as output:
        fcntl.flock(output, fcntl.LOCK_SH)
        for path in (abandoned, used):
            os.utime(path, (0, 0))
        tidy.torc("remote", "status", 4711, code=1)
    assert {*temporary.iterdir()} == {used, new}


def test_the_command_is_killed_in_a_play(tidy: SandboxFleet, temporary: Path) -> None:
    number = tidy.sleeping(["sandbox1", "sandbox2"])
    cold = with_ssh_config(tidy, "", "killed")
    cold = replace(cold, environment={**cold.environment, **tidy.environment})
    with stopped(cold.sandbox, "sandbox1"):
        running = cold.popen("remote", "status", number, "-v")
        assert running.stderr
        assert running.stderr.readline().startswith("sandbox2: ")
        left = processes.descendants(running.pid)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate(timeout=30)
        wait_until(lambda: not left & processes.descendants(1) and not any(temporary.iterdir()), 20)


def test_ansible_is_killed_in_a_play(tidy: SandboxFleet, temporary: Path) -> None:
    """A host that had not answered is unknown, and the reason is told; the others keep their answers."""
    number = tidy.sleeping(["sandbox1", "sandbox2"])
    cold = with_ssh_config(tidy, "", "no_ansible")
    with stopped(cold.sandbox, "sandbox1"):
        running = cold.popen("remote", "status", number, "-v")
        assert running.stderr
        assert running.stderr.readline().startswith("sandbox2: ")
        (launcher,) = (one.pid for one in launchers(running.pid) if parent(one.pid) == running.pid)
        left = processes.with_descendants([launcher])
        os.kill(min(one.pid for one in launchers(running.pid) if parent(one.pid) == launcher), signal.SIGKILL)
        out, said = running.communicate(timeout=30)
    assert running.returncode == 3
    assert "sandbox2  Not Running" in out
    assert "ended by signal 9 (Killed)" in out + said
    assert "run the command again" in out + said
    wait_until(lambda: not processes.with_descendants(left), 30)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """torc-remote as an environment of its own has it, to be damaged; the packages that it needs are shared."""
    directory = tmp_path_factory.mktemp("installation")
    venv.create(directory, symlinks=True)
    (site,) = directory.glob("lib/python*/site-packages")
    (shared,) = (path for path in map(Path, sys.path) if (path / "ansible_runner").is_dir())
    (site / "shared.pth").write_text(f"{shared}\n")
    shutil.copytree(ROOT / "torc_remote", site / "torc_remote")
    shutil.copytree(ROOT / "collections/ansible_collections", site / "ansible_collections")
    torc = directory / "bin/torc"
    torc.write_text(f"#!{directory}/bin/python\nfrom torc_remote.cli.main import main\nmain()\n")
    torc.chmod(0o755)
    return site


DAMAGES = {
    "ansible/__init__.py": (
        "import nothing",
        "Ansible can't be imported: No module named 'nothing'. Install",
    ),
    "ansible_collections/torc/remote/playbooks/status.yml": (
        "- hosts: [",
        "Ansible could not run the playbook: ",
    ),
    "ansible_collections/torc/remote/roles/status/tasks/main.yml": (
        "- nothing:",
        "could not run the playbook: ",
    ),
    "torc_remote/remote/channel.py": (
        "raise KeyError('x')",
        "unexpected RuntimeError: KeyError: 'x'. This is a fault",
    ),
}


@pytest.mark.parametrize("file", DAMAGES)
def test_an_installation_is_damaged(
    tidy: SandboxFleet, installation: Path, temporary: Path, file: str
) -> None:
    """One sentence says what is wrong, and no host is told of."""
    number = tidy.sleeping(["sandbox1"])
    text, sentence = DAMAGES[file]
    path = installation / file
    before = path.read_text() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    environment = tidy.env() | {"XDG_CACHE_HOME": str(temporary)}
    try:
        said = subprocess.run(
            [installation.parents[2] / "bin/torc", "remote", "status", str(number)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert said.returncode == 1
    assert sentence in said.stderr
    assert said.stderr.startswith("Error: ")
    assert len(said.stderr.splitlines()) == 1
    assert said.stdout == ""
    kept = list(temporary.glob("torc-remote/traceback-*"))
    assert [text in file.read_text() for file in kept] == ([True] if "unexpected" in sentence else [])


def test_a_collection_is_missing(tidy: SandboxFleet, installation: Path) -> None:
    collection = installation / "ansible_collections"
    aside = collection.rename(installation / "aside")
    try:
        said = subprocess.run(
            [installation.parents[2] / "bin/torc", "remote", "status", "1"],
            env=tidy.env(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        aside.rename(collection)
    assert said.stderr.startswith("Error: The collection torc.remote is missing beside ")
    assert said.returncode == 1


def test_no_room_for_the_files_of_a_play(tidy: SandboxFleet, temporary: Path) -> None:
    number = tidy.sleeping(["sandbox1"])
    command = f"ulimit -f 1; exec {TORC} remote status {number}"
    done = subprocess.run(
        ["bash", "-c", command], env=tidy.env(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Cannot write into ") and done.stderr.endswith(": File too large.\n")
    assert not any(temporary.iterdir())


@needs_root
def test_no_terminal_devices_no_directory_and_any_locale(tidy: SandboxFleet) -> None:
    """A machine that has no /dev/ptmx, a working directory that is gone, and locales that no Ansible would take."""
    number = tidy.sleeping(["sandbox1"])
    status = f"{TORC} remote status {number}"
    command = f"""
    mount --bind /dev/null /dev/ptmx && mkdir gone && cd gone && rmdir ../gone || exit 99
    LC_ALL=C {status} && LC_ALL=POSIX {status} && LC_ALL=xx_XX.UTF-8 {status} && LC_CTYPE=UTF-8 {status} &&
    env -u LANG -u LC_ALL {status}"""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command],
        cwd=tidy.directory,
        env=tidy.env(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Not Running: never started here") == 5
    assert done.stderr == ""
