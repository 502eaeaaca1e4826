"""Hosts that can't be reached, or not to the end: each is reported with the true reason, the others are served."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.hosts import connections, handshakes, other_torc, with_ssh_config, worker_pids
from tests.support import wait_until
from tests.support.faults import stopped
from tests.support.remote import SandboxFleet
from torc_remote.sandbox import Sandbox, start
from torc_remote.ssh.options import default_control_dir

NOTHING_DONE = "Nothing was started. Use --keep-going to start the other workers.\n"


def closed_port(fleet: SandboxFleet) -> int:
    with socket.socket() as probe:
        probe.bind((fleet.sandbox.hosts[0].address, 0))
        return int(probe.getsockname()[1])


@contextmanager
def silent_port(accepting: int) -> Iterator[int]:
    """A port that takes ``accepting`` connections and never says anything; the next one gets no answer at all."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(accepting)
        fillers = [socket.socket() for _ in range(4 if not accepting else 0)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for filler in fillers:
            filler.close()


def attempts(fleet: SandboxFleet, host: str) -> int:
    log = next(entry.log for entry in fleet.sandbox.hosts if entry.name == host)
    return log.read_text().count("Connection from ")


def check_refused_run(fleet: SandboxFleet, number: int, bad: str, reason: str) -> None:
    """`run` with one bad host: the contract's words, nothing started; with --keep-going the good host is served."""
    said = fleet.torc("remote", "run", number, code=1)
    failed = f"  {bad}: SSH connection failed to {bad}: {reason}\n"
    assert said.stderr.startswith(
        f"Error: SSH connectivity check failed for 1 worker(s):\n{failed}{NOTHING_DONE}"
    )
    assert not worker_pids(fleet, number)
    hosts = fleet.hosts("run", number, "--keep-going", code=3)
    assert hosts[bad]["state"] == "unreachable"
    assert hosts["sandbox1"]["state"] == "registered"
    assert fleet.hosts("stop", number, "--limit", "sandbox1")["sandbox1"]["state"] == "stopped"


@pytest.fixture(scope="module", autouse=True)
def status_of_black_hole(fleet: SandboxFleet) -> Iterator[tuple[float, "subprocess.Popen[str]"]]:
    """A status that takes half a minute, so it is begun before the other tests."""
    with silent_port(accepting=0) as port:
        machines = with_ssh_config(fleet, f"Host hole\n HostName 127.0.0.1\n Port {port}\n", "hole")
        number = machines.sleeping(["hole", "sandbox1"])
        yield time.monotonic(), machines.popen("-f", "json", "remote", "status", number)


def test_01_refused_port(fleet: SandboxFleet) -> None:
    """Two more tries, then the report says "Connection refused" for this host; the others are served."""
    port = closed_port(fleet)
    address = fleet.sandbox.hosts[0].address
    machines = with_ssh_config(fleet, f"Host refusing\n HostName {address}\n Port {port}\n")
    number = machines.sleeping(["refusing", "sandbox1"])
    check_refused_run(
        machines, number, "refusing", f"connect to host {address} port {port}: Connection refused"
    )


def test_03_unknown_name(fleet: SandboxFleet) -> None:
    """The report says which name could not be resolved; the others are served."""
    number = fleet.sleeping(["no-such-host.invalid", "sandbox1"])
    hosts = fleet.hosts("status", number, code=3)
    reason = (
        "SSH connection failed to no-such-host.invalid: Could not resolve hostname no-such-host.invalid: "
    )
    assert hosts["no-such-host.invalid"]["reason"].startswith(reason)
    assert hosts["sandbox1"]["state"] == "none"


def test_04_changed_host_key(fleet: SandboxFleet, tmp_path: Path) -> None:
    """Nothing is sent to a host whose key has changed; the report tells so in one sentence, with what to do."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    key = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    layout = fleet.sandbox.layout
    known = tmp_path / "known_hosts"
    entry = f"[{layout.hosts[1].address}]:{layout.port} {key}\n"
    known.write_text(entry)
    machines = with_ssh_config(fleet, f"Host sandbox2\n UserKnownHostsFile {known}\n")
    number = machines.sleeping(["sandbox1", "sandbox2"])
    before = machines.sandbox.handshakes()["sandbox2"]
    hosts = machines.hosts("status", number, code=3)
    reason = hosts["sandbox2"]["reason"]
    assert reason.startswith("SSH connection failed to sandbox2: the host key has changed: ")
    assert str(known) in reason
    assert "\n" not in reason
    assert hosts["sandbox1"]["ok"]
    assert known.read_text() == entry
    assert machines.sandbox.handshakes()["sandbox2"] == before


def test_05_wrong_key(fleet: SandboxFleet, tmp_path: Path) -> None:
    """The contract's words: Permission denied (publickey). There is no second try, which could lock the account."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    alias = f"Host mine\n HostName {fleet.sandbox.hosts[1].address}\n Port {fleet.sandbox.layout.port}\n"
    known = fleet.sandbox.layout.directory / "known_hosts"
    keys = f" IdentityFile {tmp_path}/key\n IdentitiesOnly yes\n UserKnownHostsFile {known}\n"
    machines = with_ssh_config(fleet, alias + keys, "keys")
    number = machines.sleeping(["mine", "sandbox1"])
    before = attempts(machines, "sandbox2")
    check_refused_run(machines, number, "mine", "Permission denied (publickey)")
    assert attempts(machines, "sandbox2") == before + 2


def test_06_maxstartups_refusals(fleet: SandboxFleet, tmp_path: Path) -> None:
    """A host that drops connections before the login is tried twice more, after pauses; then the report tells why."""
    with start(1, tmp_path / "busy") as busy:
        set_max_startups(busy, "1")
        machines = replace(fleet, sandbox=busy)
        number = machines.sleeping()
        host = busy.hosts[0]
        with socket.create_connection((host.address, busy.layout.port)) as filler:
            wait_until(lambda: filler.recv(4) == b"SSH-")
            reason = machines.hosts("status", number, code=3)["sandbox1"]["reason"]
            assert "before the login. Its sshd is busy (MaxStartups)" in reason
            assert host.log.read_text().count("past MaxStartups") == 3
            running = machines.popen("-f", "json", "remote", "status", number)
            wait_until(lambda: host.log.read_text().count("past MaxStartups") == 4, 20)
        assert states(running) == {"sandbox1": "none"}
        assert running.returncode == 0


def set_max_startups(sandbox: Sandbox, value: str) -> None:
    config = sandbox.layout.sshd_config
    config.write_text(config.read_text().replace("MaxStartups 1000", f"MaxStartups {value}"))
    sandbox.restart_sshd()


def states(running: "subprocess.Popen[str]") -> dict[str, str]:
    return {host["host"]: host["state"] for host in answer(running)["hosts"]}


def answer(running: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = running.communicate(timeout=90)
    try:
        found: dict[str, Any] = json.loads(out)
    except ValueError:
        pytest.fail(f"no report: {out}\n{err}")
    return found


def test_07_sshd_stopped_between_two_tasks(fleet: SandboxFleet, tmp_path: Path) -> None:
    """The others are started; the host is reported as unreachable, and a later run starts its worker alone."""
    number = fleet.sleeping()
    go = tmp_path / "go"
    slow = f'[ "$1" != --version ] || until [ -e {go} ]; do sleep 0.05; done; exec "$real" "$@"'
    with other_torc(fleet, "sandbox1", slow):
        running = fleet.popen("-f", "json", "remote", "run", number, "-v")
        assert running.stderr
        wait_until(lambda: "sandbox3: Compare the version" in next(iter(running.stderr)), 60)  # type: ignore[arg-type]
        fleet.sandbox.kill_sshd("sandbox3")
        go.touch()
        report = answer(running)
    fleet.sandbox.restart_sshd("sandbox3")
    assert running.returncode == 3
    hosts = {host["host"]: host for host in report["hosts"]}
    assert {name: host["state"] for name, host in hosts.items()} == {
        "sandbox1": "registered",
        "sandbox2": "registered",
        "sandbox3": "unreachable",
    }
    assert "Connection refused" in hosts["sandbox3"]["reason"]
    again = fleet.hosts("run", number)
    assert [host["state"] for host in again.values()] == ["already_running", "already_running", "registered"]
    assert {again[name]["pid"] for name in ("sandbox1", "sandbox2")} == {
        hosts[name]["pid"] for name in ("sandbox1", "sandbox2")
    }
    assert len(worker_pids(fleet, number)) == 3
    fleet.torc("remote", "stop", number)


# Stops its parent, so that the start is not recorded yet, and cuts the link that the script came by.
CUT = """\
if [ "$1" = run ]; then
  kill -STOP $PPID
  pid=$PPID
  until grep -q '^Name:.sshd' /proc/$pid/status; do pid=$(sed -n 's/^PPid:.//p' /proc/$pid/status); done
  kill -KILL $pid
  kill -CONT $PPID
fi
exec "$real" "$@"
"""


def test_08_link_cut_after_the_launch(fleet: SandboxFleet) -> None:
    """The outcome is reported as unknown, not guessed; the next run finds the worker and starts no second one."""
    number = fleet.sleeping()
    with other_torc(fleet, "sandbox2", CUT):
        hosts = fleet.hosts("run", number, code=3)
        assert [host["state"] for host in hosts.values()] == ["registered", "unknown", "registered"]
        assert "Whether the script ran is unknown; run the command again" in hosts["sandbox2"]["reason"]
        pids = wait_until(lambda: len(found := worker_pids(fleet, number)) == 3 and found)
        again = fleet.hosts("run", number)
        assert {host["state"] for host in again.values()} == {"already_running"}
        assert {host["pid"] for host in again.values()} == worker_pids(fleet, number) == pids
    fleet.torc("remote", "stop", number)


# A link of 4 MB/s from the host, for ssh's ProxyCommand.
SLOW_LINK = """\
import os, socket, sys, threading, time
link = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def send():
    while data := os.read(0, 65536):
        link.sendall(data)
threading.Thread(target=send, daemon=True).start()
while data := link.recv(40000):
    os.write(1, data)
    time.sleep(0.01)
"""


def test_09_link_cut_during_fetch(fleet: SandboxFleet, tmp_path: Path) -> None:
    """No part of an archive stays behind, nothing is deleted on the host, and the next collect brings it all."""
    (tmp_path / "slow.py").write_text(SLOW_LINK)
    proxy = f"ProxyCommand {sys.executable} {tmp_path}/slow.py %h %p"
    machines = with_ssh_config(fleet, f"Host sandbox2\n {proxy}\n", "slow")
    number = machines.sleeping(["sandbox1", "sandbox2"])
    machines.torc("remote", "run", number)
    machines.torc("remote", "stop", number)
    big = fleet.home("sandbox2") / f"torc_output/torc_worker_{number}_big.log"
    big.write_bytes(os.urandom(10_000_000))
    logs = fleet.directory / "cut"
    running = machines.popen("-f", "json", "remote", "collect-logs", number, "-l", logs, "--delete")
    part = f".torc_logs_{number}_sandbox2*.part"
    wait_until(lambda: any(path.stat().st_size for path in logs.glob(part)), 60)
    fleet.sandbox.kill_sshd("sandbox2")
    report = {host["host"]: host for host in answer(running)["hosts"]}
    assert running.returncode == 3
    assert report["sandbox1"]["state"] == "collected"
    assert report["sandbox2"]["reason"].startswith("SSH connection failed to sandbox2: ")
    assert [path.name for path in logs.glob("torc_logs*")] == [f"torc_logs_{number}_sandbox1.tar.gz"]
    assert not list(logs.glob(part))
    assert big.exists()
    fleet.sandbox.restart_sshd("sandbox2")
    again = fleet.hosts("collect-logs", number, "-l", logs, "--limit", "sandbox2")
    assert (again["sandbox2"]["state"], again["sandbox2"]["size"] > 10_000_000) == ("collected", True)


def test_10_stale_control_socket_and_long_control_path(fleet: SandboxFleet, tmp_path: Path) -> None:
    """A control socket that nobody serves any more is replaced; where its path would be too long, another is taken."""
    machines = with_ssh_config(fleet, "", "stale")
    number = machines.sleeping()
    machines.torc("remote", "status", number)
    directory = default_control_dir(os.environ, Path(machines.environment["TORC_REMOTE_SSH_CONFIG"]))
    sockets = list(directory.iterdir())
    assert len(sockets) == 3
    check = ["ssh", "-F", "none", "-o", f"ControlPath={sockets[0]}", "-O", "check", "any"]
    said = subprocess.run(check, capture_output=True, text=True, check=True).stderr
    found = re.search(r"pid=(\d+)", said)
    assert found
    os.kill(int(found[1]), signal.SIGKILL)
    wait_until(lambda: subprocess.run(check, capture_output=True, check=False).returncode)
    assert sockets[0].exists()
    assert all(host["ok"] for host in machines.hosts("status", number).values())
    long = tmp_path / ("x" * 100)
    long.mkdir()
    machines = replace(
        machines, environment={**machines.environment, "XDG_RUNTIME_DIR": str(long), "HOME": str(long)}
    )
    assert all(host["ok"] for host in machines.hosts("status", number).values())


def test_11_login_shell_is_nologin(fleet: SandboxFleet) -> None:
    """The report quotes what the host says instead of running anything: this account is not available."""
    number = fleet.sleeping(["sandbox1", "sandbox3"])
    config = fleet.sandbox.layout.sshd_config
    text = config.read_text()
    try:
        config.write_text(f"ForceCommand /usr/sbin/nologin\n{text}")
        fleet.sandbox.restart_sshd("sandbox3")
    finally:
        config.write_text(text)
    said = fleet.torc("remote", "run", number, code=1).stderr
    assert "Version check failed on 1 worker(s):\n  sandbox3: the host's shell did not run the script" in said
    assert "This account is currently not available." in said
    hosts = fleet.hosts("run", number, "--keep-going", code=1)
    assert [host["state"] for host in hosts.values()] == ["registered", "failed"]
    fleet.sandbox.restart_sshd("sandbox3")
    fleet.torc("remote", "stop", number)


def test_12_host_hangs_after_connecting(fleet: SandboxFleet) -> None:
    """After --host-timeout seconds the report says so and no ssh stays behind; the others are served meanwhile."""
    machines = with_ssh_config(fleet, "", "hanging")
    number = machines.sleeping()
    others = connections(machines, "sandbox3")
    with stopped(machines.sandbox, "sandbox3"):  # before the login
        hosts = machines.hosts("status", number, "--host-timeout", 4, code=3)
        assert [host["state"] for host in hosts.values()] == ["none", "none", "unreachable"]
        assert hosts["sandbox3"]["reason"] == "SSH connection failed to sandbox3: no answer within 4 s"
        assert connections(machines, "sandbox3") == others
    assert machines.hosts("run", number)["sandbox3"]["state"] == "registered"
    assert connections(machines, "sandbox3") == others + 1
    with stopped(machines.sandbox, "sandbox3"):  # on the connection that is still open
        hosts = machines.hosts("stop", number, "--host-timeout", 4, code=3)
        assert [host["state"] for host in hosts.values()] == ["stopped", "stopped", "unknown"]
        assert "Whether the script ran is unknown" in hosts["sandbox3"]["reason"]
        assert connections(machines, "sandbox3") == others
    assert machines.hosts("stop", number)["sandbox3"]["ok"]
    assert not worker_pids(fleet, number)


def test_13_twenty_hosts_behind_one_bastion(fleet: SandboxFleet, tmp_path: Path) -> None:
    """All are reached through it, with one login each; when it is down, each is reported with the bastion's reason."""
    with start(21, tmp_path / "many") as many:
        set_max_startups(many, "10:30:100")
        machines = replace(fleet, sandbox=many)
        behind = [host.name for host in many.hosts[1:]]
        machines = with_ssh_config(machines, f"Host {' '.join(behind)}\n ProxyJump sandbox1\n", "bastion")
        number = machines.sleeping([])
        with handshakes(machines) as logins:
            added = machines.hosts("add-workers", number, *behind)
            assert [host["state"] for host in added.values()] == ["added"] * 20
            assert [host["state"] for host in machines.hosts("status", number).values()] == ["none"] * 20
        assert logins == {"sandbox1": 20, **dict.fromkeys(behind, 1)}
        many.kill_sshd("sandbox1")
        hosts = machines.hosts("status", number, "--limit", "sandbox2,sandbox3", code=3)
        for name, host in hosts.items():
            assert host["reason"].startswith(
                f"SSH connection failed to {name}: the jump host failed: connect to"
            )


def test_02_blackholed_address(status_of_black_hole: "tuple[float, subprocess.Popen[str]]") -> None:
    """The connection is given up after ConnectTimeout (30 s), once; the others are served meanwhile."""
    begun, running = status_of_black_hole
    report = {host["host"]: host for host in answer(running)["hosts"]}
    assert running.returncode == 3
    assert report["sandbox1"]["state"] == "none"
    reason = report["hole"]["reason"]
    assert reason.startswith("SSH connection failed to hole: connect to host 127.0.0.1 port ")
    assert reason.endswith("Connection timed out")
    assert time.monotonic() - begun > 29
