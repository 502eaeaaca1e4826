"""In a play of the CLI each task works on all hosts, with processes of our own."""

import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.hosts import handshakes, other_torc, with_ssh_config
from tests.support import wait_until
from tests.support.faults import alive, parent_of, stopped
from tests.support.remote import SandboxFleet
from torc_remote import __version__, processes

HOSTS = ["sandbox1", "sandbox2", "sandbox3"]


@pytest.fixture
def cold(fleet: SandboxFleet, tmp_path: Path) -> SandboxFleet:
    """No connection is open, as another file is another scope for them."""
    return with_ssh_config(fleet, "", tmp_path.name)


def answered(running: "subprocess.Popen[str]", hosts: int) -> list[str]:
    """The first hosts that answer, of a command with -v."""
    assert running.stderr
    return [running.stderr.readline().split(":")[0] for _ in range(hosts)]


def asking(running: "subprocess.Popen[str]") -> list[int]:
    """The ssh processes that ask hosts now."""
    family = processes.with_descendants([running.pid])
    return [pid for pid in family if Path(f"/proc/{pid}/comm").read_text() == "ssh\n"]


@pytest.mark.parametrize(
    ("parallel", "order"), [(1, ["sandbox1", "sandbox2"]), (2, ["sandbox2", "sandbox3"])]
)
def test_as_many_at_a_time_as_asked_for(cold: SandboxFleet, parallel: int, order: list[str]) -> None:
    number = cold.sleeping(HOSTS)
    with stopped(cold.sandbox, "sandbox1"):
        status = ["status", number, "-v", "--host-timeout", 6, "--max-parallel-ssh", parallel]
        running = cold.popen("remote", *status)
        try:
            assert answered(running, 2) == order
        finally:
            running.communicate()
    assert running.returncode == 3


def killed_while_asking(cold: SandboxFleet, *command: str | int) -> str:
    """What a command says when sandbox1 does not answer and the process that asks it is killed."""
    with stopped(cold.sandbox, "sandbox1"):
        running = cold.popen("remote", *command, "-v")
        assert {*answered(running, 2)} == {"sandbox2", "sandbox3"}
        (ssh,) = asking(running)
        os.kill(parent_of(ssh), signal.SIGKILL)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 1
    return said


def test_a_process_that_asks_is_killed(cold: SandboxFleet) -> None:
    """A host without an answer is never left out in silence."""
    said = killed_while_asking(cold, "status", cold.sleeping(HOSTS))
    assert "not all hosts could be asked; the processes that ask ended with [" in said
    assert "-9" in said


def test_nothing_is_started_when_the_check_is_not_finished(cold: SandboxFleet) -> None:
    number = cold.sleeping(HOSTS)
    said = killed_while_asking(cold, "run", number, "--keep-going")
    assert "not all hosts could be asked" in said
    assert {host["state"] for host in cold.hosts("status", number).values()} == {"none"}


def test_interrupted(cold: SandboxFleet) -> None:
    number = cold.sleeping(HOSTS)
    with stopped(cold.sandbox, "sandbox1"):
        running = cold.popen("remote", "status", number, "-v")
        answered(running, 2)
        family = processes.with_descendants([running.pid])
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=60)
        wait_until(lambda: not any(alive(pid) for pid in family), 20)
    assert running.returncode == 130
    assert "Interrupted" in said


def test_nobody_is_left_asking_when_the_controller_dies(cold: SandboxFleet) -> None:
    """Each ends with the host that it is at."""
    number = cold.sleeping(HOSTS)
    with stopped(cold.sandbox, "sandbox1"):
        options = ["-v", "--host-timeout", 6, "--max-parallel-ssh", 1]
        running = cold.popen("remote", "status", number, *options)
        wait_until(lambda: asking(running), 60)
        before = cold.sandbox.handshakes()
        (ssh,) = asking(running)
        asker = parent_of(ssh)
        processes.signal_all(processes.with_descendants([running.pid]) - {ssh, asker}, signal.SIGKILL)
        running.communicate()
        wait_until(lambda: not alive(asker), 60)
    assert cold.sandbox.handshakes()["sandbox2"] == before["sandbox2"]


def test_one_process_brings_the_logs_of_several_hosts(cold: SandboxFleet, tmp_path: Path) -> None:
    """By sftp too: each host's archive holds its own files."""
    number = cold.workflow([{"name": "a", "command": "true"}], HOSTS)
    texts = {host: os.urandom(200_000) for host in HOSTS}  # not in the answer of the script
    for host, text in texts.items():
        log = cold.home(host) / "torc_output/job_stdio" / f"job_wf{number}_j1_r1_a1.o"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(text)
    with handshakes(cold) as gained:
        hosts = cold.hosts("collect-logs", number, "-l", tmp_path / "logs", "--max-parallel-ssh", 1)
    assert gained == dict.fromkeys(HOSTS, 1)
    for host, text in texts.items():
        with tarfile.open(hosts[host]["archive"]) as archive:
            (job,) = [member for member in archive.getmembers() if member.name.endswith(log.name)]
            file = archive.extractfile(job)
            assert file
            assert file.read() == text


@contextmanager
def other_version(fleet: SandboxFleet, hosts: list[str]) -> Iterator[None]:
    """These hosts have another torc."""
    with ExitStack() as others:
        for host in hosts:
            others.enter_context(other_torc(fleet, host, "echo torc 0.0.1"))
        yield


@pytest.mark.parametrize("bad", ["sandbox1", "sandbox2"], ids=["the first host", "another host"])
def test_run_with_a_host_that_fails_its_check(fleet: SandboxFleet, bad: str) -> None:
    """It is left out, named by the check, and its worker is neither started nor looked for."""
    number = fleet.sleeping(HOSTS)
    good = [host for host in HOSTS if host != bad]
    with other_version(fleet, [bad]):
        refused = fleet.hosts("run", number, code=1)
        assert {refused[host]["state"] for host in good} == {"not_started"}
        assert refused[bad]["state"] == "mismatch"
        hosts = fleet.hosts("run", number, "--keep-going", "--max-parallel-ssh", 1, code=1)
    assert [hosts[host]["state"] for host in good] == ["registered", "registered"]
    assert [hosts[host]["version"] for host in good] == [__version__, __version__]
    assert hosts[bad]["reason"] == f"Version mismatch: local={__version__}, {bad}=0.0.1"
    again = fleet.hosts("run", number)
    assert again[bad]["state"] == "registered"
    assert {again[host]["state"] for host in good} == {"already_running"}


def test_nothing_is_initialized_for_hosts_that_all_fail(fleet: SandboxFleet) -> None:
    number = fleet.sleeping(HOSTS)
    with other_version(fleet, HOSTS):
        hosts = fleet.hosts("run", number, "--keep-going", code=1)
    assert {host["state"] for host in hosts.values()} == {"mismatch"}
    jobs = json.loads(fleet.torc("-f", "json", "jobs", "list", number).stdout)
    assert {job["status"] for job in jobs["items"]} == {"uninitialized"}
