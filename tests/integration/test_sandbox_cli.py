"""`torc sandbox` as a user types it."""

import json
import os
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

TORC = Path(sysconfig.get_path("scripts"), "torc")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment whose default sandbox is the test's own."""
    variables = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "TORC_SANDBOX_TEST": "1"}
    yield variables
    torc(variables, "stop")


def torc(environment: dict[str, str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [TORC, "sandbox", *words]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_printed_lines_make_the_hosts_usable(environment: dict[str, str], tmp_path: Path) -> None:
    script = f'eval "$({TORC} sandbox start --hosts 2)"; ssh -F "$TORC_REMOTE_SSH_CONFIG" sandbox2 pwd'
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    directory = tmp_path / "state/torc-remote/sandbox"
    assert (done.stdout, done.stderr) == (f"{directory}/hosts/sandbox2\n", "")
    again = torc(environment, "start")
    assert again.returncode == 1
    advice = f"To end it:\n    torc sandbox stop --dir {directory}\n"
    assert again.stderr == f"Error: A sandbox of 2 hosts runs already in {directory}. {advice}"


def test_start_names_the_worker_file_and_a_command_to_try(environment: dict[str, str]) -> None:
    said = torc(environment, "start", "--hosts", "1").stdout
    worker_file = Path(said.splitlines()[0].rpartition(" ")[2])
    assert worker_file.read_text() == "sandbox1\n"
    attempt = next(line for line in said.splitlines() if "try:" in line).partition("try: ")[2]
    assert subprocess.run(attempt, shell=True, timeout=30, check=False).returncode == 0


def test_list_shows_every_running_sandbox(environment: dict[str, str], tmp_path: Path) -> None:
    started = json.loads(torc(environment, "start", "-f", "json", "--dir", tmp_path / "s").stdout)
    try:
        listed = json.loads(torc(environment, "list", "-f", "json").stdout)
        assert started in listed
        assert [host["name"] for host in started["hosts"]] == ["sandbox1", "sandbox2", "sandbox3"]
        assert {host["state"] for host in started["hosts"]} == {"running"}
        table = torc(environment, "list").stdout.splitlines()
        row = f"  sandbox1 {started['hosts'][0]['address']} {started['port']} running".split()
        assert row in [line.split() for line in table]
    finally:
        stopped = torc(environment, "stop", "--dir", tmp_path / "s")
    assert stopped.stdout == f"Stopped the sandbox of 3 hosts in {tmp_path}/s.\n"
    assert started not in json.loads(torc(environment, "list", "-f", "json").stdout)


def test_stop_twice_is_fine(environment: dict[str, str], tmp_path: Path) -> None:
    torc(environment, "start", "--hosts", "1")
    assert [torc(environment, "stop").returncode for _ in range(2)] == [0, 0]
    assert json.loads(torc(environment, "stop", "-f", "json").stdout)["stopped"] == []
    assert list((tmp_path / "state").rglob("*")) == [tmp_path / "state/torc-remote"]


def test_stop_takes_no_directory_that_is_no_sandbox(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = torc(environment, "stop", "--dir", tmp_path)
    assert (refused.returncode, refused.stderr) == (
        2,
        f"Error: {tmp_path} is no sandbox, so it stays as it is\n",
    )
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize("hosts", ["0", "1001", "x"])
def test_the_number_of_hosts_is_checked(environment: dict[str, str], hosts: str) -> None:
    assert torc(environment, "start", "--hosts", hosts).returncode == 2
