"""Faults 57 and 58: what the server and worker files may hold."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from tests.support.proxy import proxy, reply
from tests.support.remote import SandboxFleet

HOSTS = ["sandbox1", "sandbox2", "sandbox3"]


def hostile(canary: Path) -> list[str]:
    touch = f"touch {canary}"
    return [
        f"-oProxyCommand={touch}",
        f"{{{{ lookup('pipe', '{touch}') }}}}",
        f"h\n      ansible_ssh_executable: {touch}",
        "sandbox1\0.example.com",
        "h" * 10_240,
        "s\u0430ndbox1",  # a Cyrillic a
        f"$({touch})",
        f"sandbox1;{touch}",
        "\x1b]0;title\x07h",
        "../../etc/passwd",
        "",
    ]


def store(fleet: SandboxFleet, number: int, workers: list[str]) -> list[str]:
    """Post the strings past all our checks, as anybody may who reaches the server; the server's list."""
    url = f"{fleet.url}/workflows/{number}/remote_workers"
    requests.post(url, json=workers, timeout=10).raise_for_status()
    return [entry["worker"] for entry in requests.get(url, timeout=10).json()]


def printed_safely(text: str) -> bool:
    return all(char.isprintable() or char == "\n" for char in text)


def test_57_worker_strings_from_the_server(fleet: SandboxFleet, tmp_path: Path) -> None:
    """A stored string that is no worker address is named with the reason and never reaches ssh, a shell or a
    template; `run` starts nothing because of it (`--keep-going`: the other hosts), the other commands serve
    the rest.
    """
    canary = tmp_path / "canary"
    bad = hostile(canary)
    number = fleet.sleeping()
    stored = store(fleet, number, bad)
    assert set(stored) == {*bad, *HOSTS}

    refused = fleet.torc("remote", "run", number, code=1)
    assert f"Address check failed on {len(bad)} worker(s)" in refused.stderr
    assert "'-oProxyCommand=touch" in refused.stderr
    assert r"\x00" in refused.stderr
    assert printed_safely(refused.stderr)
    states = {host["state"] for host in fleet.report("status", number, code=1)["hosts"] if host["ok"]}
    assert states == {"none"}

    commands = [["run", number, "--keep-going"], ["status", number], ["stop", number]]
    for command, state in zip(commands, ["registered", "running", "stopped"], strict=True):
        hosts = fleet.report(*command, code=1)["hosts"]
        assert [host["worker"] for host in hosts] == stored
        assert {host["worker"]: host["state"] for host in hosts} == dict.fromkeys(
            bad, "invalid"
        ) | dict.fromkeys(HOSTS, state)
    assert printed_safely(fleet.torc("remote", "list-workers", number).stdout)
    fleet.torc("remote", "remove-worker", "--", bad[0], number)
    assert bad[0] not in store(fleet, number, [])
    assert not canary.exists()


def test_57a_text_that_no_file_can_hold(fleet: SandboxFleet) -> None:
    """Half a surrogate pair, which JSON can spell, is one bad entry like the others, also in JSON output."""
    with proxy(fleet.url) as server:
        workers = [{"worker": worker, "workflow_id": 1} for worker in ("sandbox1", "h\ud800")]
        server.rule = lambda method, path: (
            reply(200, workers) if path.endswith("/remote_workers") and method == "GET" else None
        )
        number = fleet.sleeping(workers=[])
        through = replace(fleet, url=server.url)
        report = through.report("status", number, code=1)
        shown = through.torc("remote", "status", number, code=1).stdout
    assert [host["state"] for host in report["hosts"]] == ["none", "invalid"]
    assert report["hosts"][1]["worker"] == "h\ud800"
    assert r"h\ud800" in shown


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


GOOD_FILES = {
    "bom": b"\xef\xbb\xbfsandbox1\nsandbox2\n",
    "crlf": b"# hosts\r\nsandbox1\r\n\r\nsandbox2 # second\r\n",
    "no newline at the end": b"sandbox1\nsandbox2",
    "a million lines": b"# nothing here\n" * 1_000_000 + b"sandbox1\nsandbox2\n",
}


@pytest.mark.parametrize("data", GOOD_FILES.values(), ids=GOOD_FILES)
def test_58_worker_files_from_other_systems(fleet: SandboxFleet, tmp_path: Path, data: bytes) -> None:
    """A byte order mark, CRLF, comments and a million lines in a worker file are read as meant."""
    number = fleet.workflow([{"name": "a", "command": "true"}])
    file = written(tmp_path / "workers.txt", data)
    before = time.monotonic()
    fleet.torc("remote", "add-workers-from-file", file, number, "--skip-ssh-check")
    assert time.monotonic() - before < 20
    assert store(fleet, number, []) == ["sandbox1", "sandbox2"]


BAD_FILES = {
    "latin-1": (b"# B\xe4ume\nsandbox1\n", "workers.txt:1: not UTF-8 text"),
    "utf-16": ("sandbox1\n".encode("utf-16"), "workers.txt:1: not UTF-8 text"),
    "binary": (b"\0" * 100_000, "workers.txt:1: longer than"),
    "a million bad lines": (b"not a worker\n" * 1_000_000, "workers.txt:10: invalid worker"),
    "one host twice": (b"sandbox1\nSANDBOX1:22\n", "'SANDBOX1:22' (%s:2) and 'sandbox1' (%s:1)"),
}


@pytest.mark.parametrize(("data", "said"), BAD_FILES.values(), ids=BAD_FILES)
@pytest.mark.parametrize("command", ["add-workers-from-file", "run"])
def test_58a_worker_files_that_are_none(
    fleet: SandboxFleet, tmp_path: Path, data: bytes, said: str, command: str
) -> None:
    """Another encoding, binary data, bad lines and a host named twice are usage errors with file and line, the
    first ten at most; nothing is stored.
    """
    number = fleet.workflow([{"name": "a", "command": "true"}])
    file = written(tmp_path / "workers.txt", data)
    args = [file, number] if command == "add-workers-from-file" else [number, "--workers", file]
    refused = fleet.torc("remote", command, *args, code=2)
    assert said.replace("%s", str(file)) in refused.stderr
    assert len(refused.stderr.splitlines()) < 15
    assert store(fleet, number, []) == []


def test_58b_worker_files_that_are_no_files(fleet: SandboxFleet, tmp_path: Path) -> None:
    """A directory, a named pipe or a missing file is refused at once, instead of waiting for somebody to write."""
    number = fleet.workflow([{"name": "a", "command": "true"}])
    os.mkfifo(tmp_path / "pipe")
    for name, said in [("", "not a regular file"), ("pipe", "not a regular file"), ("none", "No such file")]:
        refused = fleet.torc("remote", "add-workers-from-file", tmp_path / name, number, code=2, timeout=20)
        assert said in refused.stderr
