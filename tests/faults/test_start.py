"""Starting workers where something is in the way: never two of them, never a reason untold."""

import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.faults.hosts import forget_home, needs_root, other_torc, with_ssh_config, worker_pids
from tests.support import wait_until
from tests.support.faults import record, sleeping_twice
from tests.support.remote import SandboxFleet
from torc_remote import processes

PAIR = ["sandbox1", "sandbox2"]


@pytest.fixture(autouse=True)
def clean_hosts(fleet: SandboxFleet) -> Iterator[None]:
    """Each test begins and ends with hosts on which nothing was ever started."""
    yield
    sandbox = fleet.sandbox
    workers = processes.processes_with(f"_TORC_SANDBOX={sandbox.layout.id}")
    processes.signal_all(processes.with_descendants(workers) - sandbox.sshd_pids(), signal.SIGKILL)
    for host in PAIR:
        forget_home(fleet, host)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes.with_descendants([pid]))


def test_14_twice_one_after_the_other(fleet: SandboxFleet) -> None:
    """The second run says "Already running" with the PID of the first one's worker and starts nothing."""
    number = fleet.sleeping(PAIR)
    first = fleet.hosts("run", number)
    assert [host["state"] for host in first.values()] == ["registered"] * 2
    said = fleet.torc("remote", "run", number).stdout
    for name, host in first.items():
        assert f"  [OK] {name}: Already running (PID {host['pid']})\n" in said
    assert worker_pids(fleet, number) == {host["pid"] for host in first.values()}


def test_15_twice_at_the_same_moment(fleet: SandboxFleet) -> None:
    """One of the two commands starts the worker, the other one finds it; both are well."""
    number = fleet.sleeping(PAIR)
    both = [fleet.popen("-f", "json", "remote", "run", number) for _ in range(2)]
    outputs = [running.communicate(timeout=120) for running in both]
    assert [running.returncode for running in both] == [0, 0], "\n".join(map(str, outputs))
    hosts = [host for out, _ in outputs for host in json.loads(out)["hosts"]]
    for name in PAIR:
        ours = [host for host in hosts if host["host"] == name]
        assert sorted(host["state"] for host in ours) == ["already_running", "registered"]
        assert len({host["pid"] for host in ours}) == 1
    assert worker_pids(fleet, number) == {host["pid"] for host in hosts}


def test_16_after_kill_9_of_the_worker(fleet: SandboxFleet) -> None:
    """Status says that SIGKILL ended it; run starts a new one and keeps the old one's log."""
    number = sleeping_twice(fleet, PAIR)
    first = fleet.hosts("run", number)
    kill(first["sandbox1"]["pid"])
    said = fleet.torc("remote", "status", number).stdout
    assert "Not Running: ended by SIGKILL" in said
    assert "1/2 workers running" in said
    second = fleet.hosts("run", number)
    assert [host["state"] for host in second.values()] == ["registered", "already_running"]
    assert worker_pids(fleet, number) == {host["pid"] for host in second.values()}
    (log,) = (fleet.home("sandbox1") / "torc_output").glob(f"torc_worker_{number}_*.log")
    assert log.read_text().count("Starting torc job runner") == 2


def check_broken_record(fleet: SandboxFleet, content: bytes) -> None:
    """A live worker on the one host, a dead one on the other, and the records of both say nothing any more."""
    number = sleeping_twice(fleet, PAIR)
    first = fleet.hosts("run", number)
    kill(first["sandbox2"]["pid"])
    for name in PAIR:
        record(fleet.home(name), number).write_bytes(content)
    assert fleet.hosts("status", number)["sandbox2"]["state"] == "stale"
    second = fleet.hosts("run", number)
    assert (second["sandbox1"]["state"], second["sandbox1"]["pid"]) == (
        "already_running",
        first["sandbox1"]["pid"],
    )
    assert second["sandbox2"]["state"] == "registered"
    assert worker_pids(fleet, number) == {host["pid"] for host in second.values()}


def test_17_empty_pid_file(fleet: SandboxFleet) -> None:
    """A worker that lives is found all the same and no second one is started; where none lives, one is started."""
    check_broken_record(fleet, b"")


def test_18_garbage_in_the_pid_file(fleet: SandboxFleet) -> None:
    """As with an empty one: what it says is not believed, the processes tell."""
    check_broken_record(fleet, b"pid=1\nstart=\0\xff$(kill -9 1)\npid=-1\n" + os.urandom(500))


@contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """Not even root can change it, where root is who we are."""
    root = os.getuid() == 0
    mode = path.stat().st_mode
    if not root:
        path.chmod(0o500)
    elif subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
        pytest.skip("this file system has no immutable files")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True) if root else path.chmod(mode)


def test_19_unwritable_pid_file(fleet: SandboxFleet) -> None:
    """No worker is started that could not be recorded; the reason names the place. The other host is served."""
    number = fleet.sleeping(PAIR)
    state = fleet.home("sandbox1") / ".local/state/torc-remote"
    state.mkdir(parents=True)
    with unwritable(state):
        hosts = fleet.hosts("run", number, code=1)
    assert [host["state"] for host in hosts.values()] == ["failed", "registered"]
    assert str(state) in hosts["sandbox1"]["reason"]
    assert worker_pids(fleet, number) == {hosts["sandbox2"]["pid"]}


@needs_root
def test_record_of_an_ended_worker_that_cannot_be_replaced(fleet: SandboxFleet) -> None:
    """As in fault 19: no worker is started that could not be recorded."""
    number = fleet.sleeping(["sandbox1"])
    kill(fleet.hosts("run", number)["sandbox1"]["pid"])
    file = record(fleet.home("sandbox1"), number)
    with unwritable(file):
        hosts = fleet.hosts("run", number, code=1)
    assert hosts["sandbox1"]["state"] == "failed"
    assert str(file) in hosts["sandbox1"]["reason"]
    assert not worker_pids(fleet, number)


@contextmanager
def full_disk(path: Path) -> Iterator[Path]:
    """A file system without a free byte at this place; the file that fills it."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", path], check=True)
    filler = path / "filler"
    try:
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(1_000_000))
        yield filler
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@needs_root
def test_20_disk_full(fleet: SandboxFleet) -> None:
    """No worker is started; the reason names the place and asks whether the disk is full. Later it can be started."""
    number = fleet.sleeping()
    state, output = fleet.home("sandbox1") / ".local/state", fleet.home("sandbox2") / "torc_output"
    with full_disk(state) as filler, full_disk(output):
        hosts = fleet.hosts("run", number, code=1)
        assert [host["state"] for host in hosts.values()] == ["failed", "failed", "registered"]
        for name, place in (("sandbox1", state), ("sandbox2", output)):
            assert str(place) in hosts[name]["reason"]
            assert "is the disk full?" in hosts[name]["reason"]
        assert worker_pids(fleet, number) == {hosts["sandbox3"]["pid"]}
        filler.unlink()
        assert fleet.hosts("run", number, "--limit", "sandbox1")["sandbox1"]["state"] == "registered"
        fleet.torc("remote", "stop", number, "--limit", "!sandbox2")


@needs_root
def test_21_home_read_only(fleet: SandboxFleet) -> None:
    """No worker is started there; the reason asks whether the home is writable. The other host is served."""
    number = fleet.sleeping(PAIR)
    home = fleet.home("sandbox1")
    subprocess.run(["mount", "--bind", home, home], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", home], check=True)
        hosts = fleet.hosts("run", number, code=1)
    finally:
        subprocess.run(["umount", "-l", home], check=True)
    assert [host["state"] for host in hosts.values()] == ["failed", "registered"]
    assert "is the home directory writable?" in hosts["sandbox1"]["reason"]
    assert worker_pids(fleet, number) == {hosts["sandbox2"]["pid"]}


def test_22_output_directory_is_a_file(fleet: SandboxFleet) -> None:
    """No worker is started there and the file stays as it is; the reason names it. The other host is served."""
    number = fleet.sleeping(PAIR)
    file = fleet.home("sandbox1") / "results"
    file.write_text("mine")
    hosts = fleet.hosts("run", number, "-o", "results", code=1)
    assert [host["state"] for host in hosts.values()] == ["failed", "registered"]
    assert hosts["sandbox1"]["reason"] == (
        f"the output directory {file} cannot be made or is not a directory"
    )
    assert worker_pids(fleet, number) == {hosts["sandbox2"]["pid"]}
    assert file.read_text() == "mine"
    file.unlink()


def test_23_output_directory_with_an_odd_name(fleet: SandboxFleet, tmp_path: Path) -> None:
    """Spaces, quotes, unicode, a leading dash, `$(…)`, newlines: all part of the name through a worker's whole life."""
    name = "-rf o'd\"d ünï\\$(touch ran) `touch ran`;touch ran;*{{ 7*7 }}\n=1\n"
    number = fleet.workflow([{"name": "a", "command": "echo done"}], ["sandbox1"])
    home = fleet.home("sandbox1")
    before = {path.name for path in home.iterdir()}
    fleet.torc("remote", "run", number, f"--output-dir={name}")
    wait_until(lambda: not worker_pids(fleet, number), 30)
    assert {path.name for path in home.iterdir()} - before == {name}
    assert fleet.hosts("status", number)["sandbox1"]["output_dir"] == str(home / name)
    collected = fleet.hosts("collect-logs", number, "-l", tmp_path)
    with tarfile.open(collected["sandbox1"]["archive"]) as tar:
        assert any(member.endswith(".o") for member in tar.getnames())
    assert fleet.hosts("delete-logs", number)["sandbox1"]["state"] == "deleted"
    assert {path.name for path in home.iterdir()} == before
    assert not list(fleet.sandbox.layout.directory.rglob("ran"))


def test_24_worker_dies_at_once(fleet: SandboxFleet) -> None:
    """A server that the worker can't reach: FAILED with the end of the worker's log, which says why."""
    number = fleet.sleeping(PAIR)
    said = fleet.torc("remote", "run", number, "--worker-url", "http://127.0.0.1:1/torc-service/v1", code=1)
    for name in PAIR:
        assert f"  [FAILED] {name}: Process died immediately. Last log:\n    " in said.stderr
    assert (
        "Error: connection refused: cannot reach the server at http://127.0.0.1:1/torc-service/v1"
        in said.stderr
    )
    assert "Started 0/2 workers" in said.stdout


def test_25_worker_dies_after_a_second(fleet: SandboxFleet) -> None:
    """A worker that ends before the server has accepted it is a failure with its log and exit code, however slow."""
    number = fleet.sleeping(PAIR)
    dying = 'if [ "$1" = run ]; then sleep 1; echo "no licence" >&2; exit 7; fi; exec "$real" "$@"'
    with other_torc(fleet, "sandbox1", dying):
        hosts = fleet.hosts("run", number, code=1)
    assert [host["state"] for host in hosts.values()] == ["died", "registered"]
    assert (hosts["sandbox1"]["log"], hosts["sandbox1"]["exit_code"]) == ("no licence", 7)


def test_26_torc_not_on_the_path(fleet: SandboxFleet) -> None:
    """The check fails with the PATH that the host has without a login, and with what to do; nothing is started."""
    number = fleet.sleeping(PAIR)
    torc = fleet.home("sandbox1") / ".local/bin/torc"
    hidden = torc.rename(torc.with_name("hidden"))
    try:
        said = fleet.torc("remote", "run", number, code=1).stderr
    finally:
        hidden.rename(torc)
    path = fleet.sandbox.ssh("sandbox1", "echo $PATH").stdout.strip()
    expected = f"  sandbox1: torc was not found on this host. Searched: PATH={path}, ~/.local/bin,"
    assert f"Error: Version check failed on 1 worker(s):\n{expected}" in said
    assert "torc remote install" in said
    assert not worker_pids(fleet, number)


def test_27_torc_of_another_version(fleet: SandboxFleet) -> None:
    """The contract's message with both versions, nothing is started; --skip-version-check starts all the same."""
    number = fleet.sleeping(PAIR)
    old = 'if [ "$1" = --version ]; then echo "torc 0.6.5"; else exec "$real" "$@"; fi'
    with other_torc(fleet, "sandbox1", old):
        said = fleet.torc("remote", "run", number, code=1).stderr
        mismatch = "  sandbox1: Version mismatch: local=1.0.0, sandbox1=0.6.5\n"
        assert f"Error: Version check failed on 1 worker(s):\n{mismatch}" in said
        assert not worker_pids(fleet, number)
        hosts = fleet.hosts("run", number, "--skip-version-check")
        assert [host["state"] for host in hosts.values()] == ["registered"] * 2


def test_28_noise_with_the_version(fleet: SandboxFleet) -> None:
    """The version is found among other lines; what names none is quoted in the report."""
    number = fleet.sleeping(PAIR)
    noise = "echo 'Loading modules: gcc 12.2'; echo 'torc is provided by 3.14' >&2"
    with other_torc(fleet, "sandbox1", f'{noise}; exec "$real" "$@"'):
        hosts = fleet.hosts("run", number)
        assert (hosts["sandbox1"]["state"], hosts["sandbox1"]["version"]) == ("registered", "1.0.0")
    number = fleet.sleeping(PAIR)
    with other_torc(fleet, "sandbox1", f"{noise}; exit 4"):
        said = fleet.torc("remote", "run", number, code=1).stderr
    assert "--version failed with code 4 and said: " in said
    assert "Loading modules: gcc 12.2" in said


def test_29_server_answers_401(fleet: SandboxFleet, start_server: StartServer) -> None:
    """One error from the command itself; where only the workers are refused, their reason is shown."""
    locked = start_server(password="right")
    secret = {**fleet.environment, "TORC_PASSWORD": "right"}
    ours = replace(fleet, url=locked.url, environment=secret)
    number = ours.sleeping(PAIR)
    wrong = replace(ours, environment={**secret, "TORC_PASSWORD": "wrong-one"})
    said = wrong.torc("remote", "run", number, code=1).stderr
    assert said.count("\n") == 1
    assert "401" in said
    assert "wrong-one" not in said
    other = start_server(password="different")
    said = ours.torc("remote", "run", number, "--worker-url", other.url, code=1).stderr
    assert said.count("Process died immediately. Last log:") == 2
    assert "401" in said
    assert not worker_pids(ours, number)
    assert [host["state"] for host in ours.hosts("run", number).values()] == ["registered"] * 2


def test_30_localhost_url_for_a_remote_host(fleet: SandboxFleet) -> None:
    """A warning tells that the worker would look for the server on its own machine, and which option helps."""
    host, layout = fleet.sandbox.hosts[0], fleet.sandbox.layout
    proxy = f"ssh -F {layout.ssh_config} -W {host.address}:{layout.port} sandbox2"
    far = f"""\
Host far
  HostName 192.0.2.7
  ProxyCommand {proxy}
  IdentityFile {layout.directory}/user_key
  UserKnownHostsFile {layout.directory}/known_hosts
  HostKeyAlias [{host.address}]:{layout.port}
"""
    machines = with_ssh_config(fleet, far, "far")
    number = machines.sleeping(["far"])
    said = machines.torc("remote", "run", number)
    assert "Warning: the workers are told that the server is at 127.0.0.1" in said.stderr
    assert "--worker-url http://" in said.stderr
    assert "Started 1/1 workers" in said.stdout
    assert "Warning" not in fleet.torc("remote", "run", fleet.sleeping(["sandbox2"])).stderr
