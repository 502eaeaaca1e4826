"""Starting, breaking and stopping sandboxes: nothing of them stays, nothing of others goes."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from torc_remote.errors import TorcError
from torc_remote.processes import processes_with, tcp_sockets, with_descendants
from torc_remote.sandbox import Sandbox, find, running, start

DETACH = "nohup setsid {command} >/dev/null 2>&1 </dev/null & echo $!"


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    return bool(with_descendants({pid}))


def detach(sandbox: Sandbox, command: str) -> int:
    """Start a command on sandbox1 that outlives its session; its PID."""
    return int(sandbox.ssh("sandbox1", DETACH.format(command=command)).stdout)


def assert_gone(sandbox: Sandbox) -> None:
    assert not sandbox.layout.directory.exists()
    assert sandbox.pids() == set()
    ends = {(host.address, sandbox.layout.port) for host in sandbox.hosts}
    assert [entry for entry in tcp_sockets() if entry.local in ends or entry.remote in ends] == []
    assert find(sandbox.layout.directory) is None


@pytest.fixture
def two_hosts(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox that the test may break or stop."""
    sandbox = start(2, tmp_path / "sandbox")
    yield sandbox
    if find(sandbox.layout.directory):
        sandbox.stop()


def test_stop_ends_detached_processes_and_their_children(two_hosts: Sandbox) -> None:
    worker = detach(two_hosts, "sh -c 'env -i sleep 600 & wait'")
    until(lambda: len(with_descendants({worker})) == 2)
    family = with_descendants({worker})
    two_hosts.stop()
    assert [pid for pid in family if runs(pid)] == []
    assert_gone(two_hosts)


def test_stop_lets_processes_clean_up_and_kills_those_that_refuse(two_hosts: Sandbox, tmp_path: Path) -> None:
    polite = f"sh -c 'trap \"echo bye >{tmp_path}/bye; exit\" TERM; echo >{tmp_path}/up; while :; do sleep .05; done'"
    stubborn = detach(two_hosts, "sh -c 'trap \"\" TERM; while :; do sleep .05; done'")
    detach(two_hosts, polite)
    until((tmp_path / "up").exists)
    two_hosts.stop()
    assert (tmp_path / "bye").read_text() == "bye\n"
    assert not runs(stubborn)
    assert_gone(two_hosts)


def test_stop_leaves_other_processes_alone(two_hosts: Sandbox, tmp_path: Path) -> None:
    home = two_hosts.hosts[0].home
    marked = {**os.environ, "_TORC_SANDBOX": f"{two_hosts.layout.id}x", "HOME": str(home)}
    foreign = subprocess.Popen(["sleep", "600"], cwd=home, env=marked)
    with start(1, tmp_path / "other") as other:
        theirs = detach(other, "sleep 600")
        two_hosts.stop()
        assert foreign.poll() is None
        assert runs(theirs)
        assert other.ssh("sandbox1", "true").returncode == 0
        foreign.kill()
        foreign.wait()
    assert not runs(theirs)


def test_stop_closes_control_masters(two_hosts: Sandbox, tmp_path: Path) -> None:
    socket = tmp_path / "c"
    options = ["-o", "ControlMaster=auto", "-o", f"ControlPath={socket}", "-o", "ControlPersist=600"]
    two_hosts.ssh("sandbox2", "true", options=options)
    assert socket.exists()
    said = two_hosts.ssh("sandbox2", "", options=["-O", "check", "-S", str(socket)]).stderr
    master = int(said.partition("pid=")[2].partition(")")[0])
    os.kill(master, signal.SIGSTOP)
    slow = threading.Timer(0.5, os.kill, (master, signal.SIGCONT))
    slow.start()
    two_hosts.stop()
    assert_gone(two_hosts)
    until(lambda: not socket.exists(), 5)


def test_stop_finds_all_after_the_sshds_were_killed(two_hosts: Sandbox) -> None:
    session = subprocess.Popen(["ssh", "-F", two_hosts.layout.ssh_config, "sandbox1", "echo; exec sleep 600"],
                               stdout=subprocess.PIPE)  # fmt: skip
    assert session.stdout and session.stdout.readline()
    worker = detach(two_hosts, "sleep 600")
    listening = {entry.pid for entry in tcp_sockets() if entry.listening}
    for pid in two_hosts.sshd_pids() & listening:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not two_hosts.listening())
    assert session.poll() is None
    two_hosts.stop()
    assert session.wait(10) == 255
    assert not runs(worker)
    assert_gone(two_hosts)


def test_stop_removes_what_a_host_made_read_only_and_follows_no_link(
    two_hosts: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    (tmp_path / "mine").chmod(0o750)
    two_hosts.ssh(
        "sandbox1", f"mkdir -p a/b; touch a/b/c; ln -s {tmp_path}/mine a/b/link; chmod 0 a/b; chmod 500 a ."
    )
    two_hosts.stop()
    assert_gone(two_hosts)
    assert (tmp_path / "mine/file").exists()
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o750


def test_a_host_refuses_to_stop_its_own_sandbox(two_hosts: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as inside:
        inside.setenv("_TORC_SANDBOX", two_hosts.layout.id)
        with pytest.raises(TorcError, match="from outside"):
            two_hosts.stop()
    assert two_hosts.ssh("sandbox1", "true").returncode == 0


def test_one_hosts_sshd_goes_and_comes_while_its_worker_lives(two_hosts: Sandbox) -> None:
    worker = detach(two_hosts, "sleep 600")
    two_hosts.kill_sshd("sandbox1")
    assert two_hosts.listening() == {"sandbox2"}
    refused = two_hosts.ssh("sandbox1", "true")
    assert refused.returncode == 255
    assert "Connection refused" in refused.stderr
    assert two_hosts.ssh("sandbox2", "true").returncode == 0
    two_hosts.restart_sshd("sandbox1")
    assert two_hosts.ssh("sandbox1", f"kill -0 {worker}").returncode == 0
    assert two_hosts.handshakes() == {"sandbox1": 3, "sandbox2": 1}


def test_kill_sshd_cuts_connections(two_hosts: Sandbox) -> None:
    session = subprocess.Popen(["ssh", "-F", two_hosts.layout.ssh_config, "sandbox2", "echo; exec sleep 600"],
                               stdout=subprocess.PIPE)  # fmt: skip
    assert session.stdout and session.stdout.readline()
    two_hosts.kill_sshd("sandbox1")
    assert session.poll() is None
    two_hosts.kill_sshd("sandbox2")
    assert session.wait(10) == 255


def test_own_sshd_lines_win(tmp_path: Path) -> None:
    with start(1, tmp_path / "s", sshd_config="MaxSessions 1\nBanner none") as sandbox:
        options = ["-o", "ControlMaster=auto", "-o", f"ControlPath={tmp_path}/c"]
        argv: list[str | Path] = [
            "ssh",
            "-F",
            sandbox.layout.ssh_config,
            *options,
            "sandbox1",
            "echo; exec sleep 600",
        ]
        first = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert first.stdout and first.stdout.readline()
        second = sandbox.ssh("sandbox1", "true", options=["-S", f"{tmp_path}/c"])
        assert "Session open refused by peer" in second.stderr


def test_a_failed_start_names_the_reason_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TorcError, match="Bad configuration option: Nonsense"):
        start(2, tmp_path / "s", sshd_config="Nonsense yes")
    assert list(tmp_path.iterdir()) == []


def test_a_login_that_fails_fails_the_start(tmp_path: Path) -> None:
    with pytest.raises(TorcError, match="ssh to sandbox1 fails"):
        start(1, tmp_path / "s", sshd_config="DenyUsers *")
    assert list(tmp_path.iterdir()) == []
    assert not any(str(tmp_path) in str(found.layout.directory) for found in running())


def test_a_directory_in_use_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TorcError, match="not empty"):
        start(1, tmp_path)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_an_interrupted_start_can_be_cleaned_up(tmp_path: Path, number: signal.Signals) -> None:
    directory = tmp_path / "s"
    code = f"import sys, pathlib, torc_remote.sandbox as s; s.start(200, pathlib.Path({str(directory)!r}))"
    starter = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    until(lambda: bool((found := find_started(directory)) and len(found.listening()) >= 5))
    sandbox = find_started(directory)
    assert sandbox
    starter.send_signal(number)
    assert starter.wait(60) != 0
    if number == signal.SIGKILL:
        assert sandbox.pids()
        sandbox.stop()
    assert_gone(sandbox)
    assert processes_with(f"_TORC_SANDBOX={sandbox.layout.id}") == set()


def find_started(directory: Path) -> Sandbox | None:
    """The sandbox that another process is starting; its marker may be half written."""
    try:
        return find(directory)
    except TorcError:
        return None


def test_a_hundred_hosts(tmp_path: Path) -> None:
    with start(100, tmp_path / "s") as sandbox:
        assert len(sandbox.listening()) == 100
        assert len(sandbox.layout.worker_file.read_text().split()) == 100
        for name in ("sandbox17", "sandbox100"):
            assert sandbox.ssh(name, "echo $TORC_WORKER_NAME").stdout == f"{name}\n"
    assert_gone(sandbox)
