"""With a password on the server: where it may be seen, and where it may not."""

import base64
import itertools
import os
import secrets
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from tests.conftest import StartServer
from tests.support import wait_until
from tests.support.remote import SandboxFleet
from torc_remote.sandbox import Sandbox

HOSTS = ["sandbox1", "sandbox2", "sandbox3"]
USER = "alice"
PASSWORD = f"pw-{secrets.token_hex(8)}"
COOKIE = f"session={secrets.token_hex(8)}"
PRINTING = [{"name": f"job{n}", "command": "env; sleep 0.3"} for n in range(6)]
INVENTORY = "plugin: torc.remote.torc_workers\ncache: true\ncache_plugin: jsonfile\ncache_connection: inventory_cache\n"


@pytest.fixture(scope="module")
def guarded(
    sandbox: Sandbox, start_server: StartServer, tmp_path_factory: pytest.TempPathFactory
) -> SandboxFleet:
    """A fleet whose server wants a password; the CLI has a home and a directory for temporary files of its own."""
    server = start_server(password=PASSWORD)
    directory = tmp_path_factory.mktemp("guarded")
    own = {"HOME": "home", "TMPDIR": "tmp", "XDG_RUNTIME_DIR": "runtime"}
    for name in own.values():
        (directory / name).mkdir(mode=0o700)
    environment = {name: str(directory / place) for name, place in own.items()}
    environment |= {"TORC_USERNAME": USER, "TORC_PASSWORD": PASSWORD, "TORC_COOKIE_HEADER": COOKIE}
    machines = SandboxFleet(sandbox, server.url, directory, environment)
    machines.torc("remote", "install", machines.sleeping())
    return machines


def spellings() -> list[bytes]:
    """The secrets as they are, and as HTTP sends them."""
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode())
    return [PASSWORD.encode(), basic, COOKIE.encode()]


def holds_secret(data: bytes) -> bool:
    return any(spelling in data for spelling in spellings())


def places_of_secrets(*directories: Path) -> list[str]:
    """The files below, also those inside archives, that hold a secret."""
    found = []
    for path in (path for top in directories for path in top.rglob("*") if path.is_file()):
        if path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                contents = [(m.name, archive.extractfile(m)) for m in archive if m.isfile()]
                found += [f"{path}:{name}" for name, file in contents if file and holds_secret(file.read())]
        elif holds_secret(path.read_bytes()):
            found.append(str(path))
    return found


@contextmanager
def command_lines() -> Iterator[set[bytes]]:
    """All command lines of this machine, which is all hosts at once, seen meanwhile."""
    seen: set[bytes] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.01):
            for entry in os.listdir("/proc"):  # noqa: PTH208 - as fast as can be
                if entry.isdecimal():
                    try:
                        with open(f"/proc/{entry}/cmdline", "rb") as file:  # noqa: PTH123 - as fast as can be
                            seen.add(file.read().replace(b"\0", b" "))
                    except OSError:
                        continue

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    ended.set()
    thread.join()


def password_of(pid: int) -> str:
    """What a process has as TORC_PASSWORD."""
    variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return next(line for line in variables if line.startswith("TORC_PASSWORD=")).partition("=")[2]


def files_below(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def complete(fleet: SandboxFleet, number: int) -> None:
    wait_until(lambda: "State       complete" in fleet.torc("status", number).stdout, 60)


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    for name, spelling in zip("abc", spellings(), strict=True):
        (tmp_path / name).write_bytes(b"x" + spelling)
    with tarfile.open(tmp_path / "logs.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a", "inside")
    assert len(places_of_secrets(tmp_path)) == 4
    with command_lines() as seen:
        subprocess.run(["sh", "-c", "sleep 0.3; :", PASSWORD], check=True)
    assert any(holds_secret(line) for line in seen)


def test_command_lines_show_neither_url_nor_secrets(guarded: SandboxFleet) -> None:
    # more than comes with a script's answer, so that sftp has something to do
    large = {"name": "large", "command": "head -c 100000 /dev/urandom"}
    number = guarded.workflow([*PRINTING, large], HOSTS)
    with command_lines() as seen:
        guarded.torc("remote", "run", number, "-p", 0.5)
        complete(guarded, number)
        times = itertools.count()

        def seen_while_collecting() -> bool:
            """A program that lives shorter than a look takes may be missed once."""
            guarded.torc("remote", "collect-logs", number, "-l", f"logs{next(times)}")
            return any(b"sftp" in line for line in seen.copy())

        wait_until(seen_while_collecting, 60)
        guarded.torc("remote", "stop", number)
    for program in (b"torc_remote.remote.launcher", b"ssh ", b"/bin/sh -s", b"torc run %d" % number):
        assert any(program in line for line in seen), program
    address = guarded.url.removeprefix("http://").partition("/")[0].encode()
    assert not [line for line in seen if holds_secret(line) or address in line]


def playbook(fleet: SandboxFleet, name: str, number: int, *more: str) -> "subprocess.CompletedProcess[str]":
    (fleet.directory / "torc.yml").write_text(INVENTORY)
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [
        program,
        f"torc.remote.{name}",
        "-vvv",
        "-i",
        "torc.yml",
        "-e",
        f"torc_workflow_id={number}",
        *more,
    ]
    environment = fleet.env() | {"ANSIBLE_LOG_PATH": str(fleet.directory / "ansible.log")}
    done = subprocess.run(
        command,
        cwd=fleet.directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_no_file_and_no_output_holds_a_secret(guarded: SandboxFleet) -> None:
    """Also when jobs print their environment, and with all that Ansible can tell."""
    by_cli, by_ansible = (guarded.workflow(PRINTING, HOSTS) for _ in range(2))
    said = [guarded.torc("remote", "run", by_cli, "-p", 0.5, "-v", "-o", "guarded/cli")]
    complete(guarded, by_cli)
    said.append(playbook(guarded, "run", by_ansible, "-e", "torc_output_dir=guarded/ansible"))
    complete(guarded, by_ansible)
    said += [playbook(guarded, name, by_ansible) for name in ("status", "fetch_logs", "stop")]
    said.append(guarded.torc("-f", "json", "remote", "collect-logs", by_cli, "-l", "logs"))
    wrong = replace(guarded, url="http://127.0.0.1:1/torc-service/v1")
    said.append(wrong.torc("--log-level", "trace", "remote", "status", by_cli, code=1))

    for done in said:
        assert not holds_secret((done.stdout + done.stderr).encode()), done.args
    outputs = [
        path.read_text() for host in HOSTS for path in guarded.home(host).glob("guarded/*/job_stdio/*.o")
    ]
    assert len(outputs) == 2 * len(PRINTING)
    assert all("TORC_WORKFLOW_ID=" in output for output in outputs)
    assert len(list(guarded.directory.rglob("*.tar.gz"))) >= 2 * len(HOSTS)
    assert (guarded.directory / "ansible.log").stat().st_size > 10_000
    assert places_of_secrets(guarded.directory, guarded.sandbox.layout.directory) == []


def test_no_host_has_the_users_password(guarded: SandboxFleet) -> None:
    """Each worker has a token of its own in its environment, as torc's own needs it; its jobs have not."""
    number = guarded.sleeping(HOSTS[:2])
    workers = guarded.hosts("run", number)
    pids = ",".join(str(worker["pid"]) for worker in workers.values())
    tokens = {password_of(worker["pid"]) for worker in workers.values()}
    assert len(tokens) == 2
    assert not any(PASSWORD in password_of(worker["pid"]) for worker in workers.values())
    assert places_of_secrets(*(guarded.home(host) for host in HOSTS)) == []
    for token in tokens:
        assert not any(token.encode() in path.read_bytes() for path in files_below(guarded.directory))

    def job() -> list[str]:
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", pids], capture_output=True, text=True, check=False
        )
        return listed.stdout.split()

    environments = [Path(f"/proc/{child}/environ").read_bytes() for child in wait_until(job)]
    assert not [environment for environment in environments if holds_secret(environment)]
    assert not [environment for environment in environments if b"TORC_PASSWORD=" in environment]
    works = [requests.get(f"{guarded.url}/ping", auth=(USER, token), timeout=10).ok for token in tokens]
    assert guarded.hosts("stop", number)["sandbox1"]["state"] == "stopped"
    refused = [
        requests.get(f"{guarded.url}/ping", auth=(USER, token), timeout=10).status_code for token in tokens
    ]
    assert (works, refused) == ([True, True], [401, 401])


def test_a_wrong_password_is_told_without_it(guarded: SandboxFleet) -> None:
    wrong = replace(guarded, environment={**guarded.environment, "TORC_PASSWORD": "wrong-" + PASSWORD})
    said = wrong.torc("remote", "status", 1, code=1)
    assert "TORC_PASSWORD" in said.stderr
    assert not holds_secret((said.stdout + said.stderr).encode())
