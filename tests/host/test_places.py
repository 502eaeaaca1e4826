"""What a record proves: a worker counts as gone only where its number means the process that it was."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.support.faults import alive, edit
from tests.support.host_scripts import ScriptHost, script_host

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes namespaces")

UNKNOWN = "it was started on another machine or in another container that has this name and home"
OLD = {"place": None}
"""What records of earlier versions lack."""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ScriptHost]:
    with script_host(tmp_path / "home") as host:
        yield host


def twin(host: ScriptHost, *spaces: str, inside: str = ":") -> ScriptHost:
    """Another machine with the home and the name of this one."""
    return ScriptHost(host.home, spaces=spaces, inside=inside)


def with_a_machine_id(directory: Path, text: str) -> str:
    """What a root shell does to be on another machine."""
    file = directory / "machine-id"
    file.write_text(f"{text}\n")
    places = "for id in /etc/machine-id /var/lib/dbus/machine-id; do"
    return f"{places} [ ! -e $id ] || mount --bind {file} $id || exit; done"


def refused(host: ScriptHost, pid: int) -> None:
    """Nothing is said, and nothing done, of a worker that may live elsewhere."""
    for answer in (host.status(), host.start(), host.stop(), host.stop(force=True), host.delete()):
        assert (answer["state"], answer["failed"]) == ("unknown", "1")
        assert UNKNOWN in answer["msg"]
        assert "nodes" not in answer
    assert alive(pid)


@pytest.mark.skipif(not Path("/etc/machine-id").exists(), reason="no machine-id here")
def test_a_twin_machine(host: ScriptHost, tmp_path: Path) -> None:
    pid = int(host.start()["pid"])
    refused(twin(host, inside=with_a_machine_id(tmp_path, "b" * 32)), pid)
    assert host.status()["state"] == "running"


def test_a_container_of_the_same_name(host: ScriptHost) -> None:
    """The number is no process there, and the kernel, the name and the home are the same."""
    pid = int(host.start()["pid"])
    refused(twin(host, "--pid", "--fork", "--mount-proc", "--uts"), pid)
    assert host.status()["state"] == "running"
    assert host.stop()["state"] == "stopped"


def test_what_was_seen_to_end_is_known_everywhere(host: ScriptHost) -> None:
    """The worker's parent wrote it down."""
    host.start()
    host.stop()
    wait_until(lambda: [*host.state().glob("exit.*")] != [])
    assert twin(host, "--pid", "--fork", "--mount-proc").status()["state"] == "exited"


@pytest.mark.parametrize("values", [{}, OLD], ids=["today's record", "earlier record"])
def test_a_reboot_is_later_than_the_record(host: ScriptHost, values: dict[str, None]) -> None:
    """A copy of the machine that was up before the worker was started is no proof."""
    host.start()
    host.end()
    file = host.state() / "record"
    edit(file, boot="another", since=int(time.time()) + 3600, **values)
    refused(host, os.getpid())
    edit(file, since=1)
    assert host.status()["state"] == "stale"
    assert "rebooted" in host.status()["reason"]


def test_a_record_of_an_earlier_version(host: ScriptHost) -> None:
    """As it was written before it named its place."""
    pid = int(host.start()["pid"])
    edit(host.state() / "record", **OLD)
    assert host.status()["state"] == "running"
    assert host.start()["state"] == "already_running"
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: host.status()["state"] == "exited")
    again = host.start()
    assert again["state"] == "started"
    assert again["nodes"].startswith("node 7 ")
    assert host.stop()["state"] == "stopped"


def test_a_host_that_was_renamed(host: ScriptHost) -> None:
    """It is known to be the same machine, so its worker is found, and no second one is started."""
    pid = host.start()["pid"]
    named = twin(host, "--uts", inside="hostname renamed")
    assert (named.status()["state"], named.status()["pid"]) == ("running", pid)
    assert named.start()["state"] == "already_running"
    stopped = named.stop()
    assert stopped["state"] == "stopped"
    assert stopped["node_names"] == f"renamed renamed {os.uname().nodename}"
    elsewhere = twin(host, "--uts", "--pid", "--fork", "--mount-proc", inside="hostname other")
    assert elsewhere.status()["state"] == "none"
