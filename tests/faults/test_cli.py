"""Fault 60: the command line in odd places, and what interrupts it."""

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.support.proxy import proxy
from tests.support.remote import TORC, SandboxFleet
from torc_remote import processes

HOSTS = ["sandbox1", "sandbox2", "sandbox3"]
DEAD = ["127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1"]
SIGNALS = [signal.SIGINT, signal.SIGTERM]

by_signal = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)


@pytest.fixture
def tidy(fleet: SandboxFleet, tmp_path: Path) -> SandboxFleet:
    """The fleet with a directory of its own for temporary files."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    return replace(fleet, environment={**fleet.environment, "TMPDIR": str(temporary)})


def interrupt(running: "subprocess.Popen[str]", number: signal.Signals) -> tuple[str, str]:
    """Send a signal to the CLI alone; it must leave with 130 and take all its processes along."""
    started = processes.descendants(running.pid)
    os.kill(running.pid, number)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130, err
    assert "Interrupted." in err
    assert "Traceback" not in err
    assert not started & processes.descendants(1)
    return out, err


def no_files_left(fleet: SandboxFleet) -> bool:
    return not list(Path(fleet.environment["TMPDIR"]).iterdir())


@contextmanager
def frozen(fleet: SandboxFleet) -> Iterator[None]:
    """The hosts' sshds accept connections and say nothing."""
    fleet.sandbox.restart_sshd()  # without the shared connections of earlier commands
    pids = fleet.sandbox.sshd_pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def workers_alive(fleet: SandboxFleet, number: int) -> dict[str, int]:
    hosts = fleet.hosts("status", number)
    return {name: host["pid"] for name, host in hosts.items() if host["state"] == "running"}


@by_signal
def test_60a_interrupted_while_the_server_is_silent(tidy: SandboxFleet, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM while the server doesn't answer: exit code 130 at once."""
    with proxy(tidy.url) as front:
        front.rule = lambda method, path: lambda handler: time.sleep(5)
        running = replace(tidy, url=front.url).popen("remote", "status", 1)
        wait_until(lambda: front.seen, 20)
        interrupt(running, number)
    assert no_files_left(tidy)


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("run", signal.SIGINT),
        ("run", signal.SIGTERM),
        ("add-workers", signal.SIGINT),
        ("stop", signal.SIGTERM),
        ("collect-logs", signal.SIGINT),
    ],
)
def test_60b_interrupted_while_hosts_are_silent(
    tidy: SandboxFleet, command: str, number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM while hosts don't answer: exit code 130, no ssh or Ansible process and no file stays."""
    workflow = tidy.sleeping(workers=[] if command == "add-workers" else HOSTS)
    words = HOSTS if command == "add-workers" else []
    with frozen(tidy):
        running = tidy.popen("remote", command, workflow, *words)
        wait_until(lambda: connecting(running.pid), 30)
        interrupt(running, number)
    assert no_files_left(tidy)
    if command == "add-workers":
        assert tidy.torc("remote", "list-workers", workflow).stdout.startswith("Workflow")


def connecting(pid: int) -> list[str]:
    """The ssh processes below one of ours."""
    pids = [str(process.pid) for process in processes.descendants(pid)]
    command = ["ps", "-o", "comm=", "-p", ",".join(pids)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout if pids else ""
    return [name for name in listed.split() if name == "ssh"]


@by_signal
def test_60c_interrupted_after_a_worker_was_started(tidy: SandboxFleet, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM during `run`: workers that were started go on, and the next `run` finds them."""
    workflow = tidy.sleeping()
    running = tidy.popen("remote", "run", workflow)
    records = f".local/state/torc-remote/*/{workflow}-*/record"
    wait_until(lambda: any(list(tidy.home(host).glob(records)) for host in HOSTS), 30)
    interrupt(running, number)
    assert no_files_left(tidy)
    before = workers_alive(tidy, workflow)
    assert before
    again = tidy.hosts("run", workflow)
    assert {name: again[name]["pid"] for name in before} == before
    assert {again[name]["state"] for name in before} == {"already_running"}
    tidy.torc("remote", "stop", workflow)


@by_signal
def test_60d_interrupted_while_logs_are_fetched(
    tidy: SandboxFleet, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM during `collect-logs`: no half archive, here or on the host, and the logs are still there."""
    workflow = tidy.sleeping(["sandbox1"])
    tidy.torc("remote", "run", workflow)
    tidy.torc("remote", "stop", workflow)
    log = tidy.home("sandbox1") / f"torc_output/job_stdio/job_wf{workflow}_j1_r1_a1.o"
    log.parent.mkdir(exist_ok=True)
    log.write_bytes(os.urandom(50_000_000))
    logs = tmp_path / "logs"
    packed = f"torc-logs-{workflow}-{tidy.key(workflow)}.*"
    running = tidy.popen("remote", "collect-logs", workflow, "-l", logs, "--delete")
    wait_until(lambda: list(logs.glob(".*.part")), 60)
    interrupt(running, number)
    assert no_files_left(tidy)
    assert list(logs.iterdir()) == []
    assert log.exists()
    assert not list(Path("/tmp").glob(packed))
    tidy.torc("remote", "collect-logs", workflow, "-l", logs, "--delete")
    assert len(list(logs.glob("*.tar.gz"))) == 1


def on_terminal(
    fleet: SandboxFleet, *args: str | int, columns: int = 80
) -> tuple["subprocess.Popen[bytes]", int]:
    """`torc ARGS` on a terminal of its own, and our end of it."""
    ours, theirs = pty.openpty()
    environment = fleet.env() | {"COLUMNS": str(columns), "TERM": "xterm"}
    running = subprocess.Popen(
        [TORC, *map(str, args)],
        env=environment,
        cwd=fleet.directory,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=os.setsid,
    )
    os.close(theirs)
    return running, ours


def read_terminal(ours: int, until: Callable[[str], bool] = lambda text: False) -> str:
    """What appears on the terminal until the condition holds or the program has left."""
    text = b""
    deadline = time.monotonic() + 60
    while not until(text.decode(errors="replace")) and time.monotonic() < deadline:
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        try:
            text += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    return text.decode(errors="replace")


def test_60e_interrupted_at_a_question(fleet: SandboxFleet) -> None:
    """Ctrl-C where a command asks for the workflow: exit code 130."""
    fleet.workflow([{"name": "a", "command": "true"}])
    fleet.workflow([{"name": "a", "command": "true"}])
    running, ours = on_terminal(fleet, "remote", "status")
    read_terminal(ours, lambda text: "Enter workflow ID" in text)

    # Python may be about to wait for a key when the signal comes, and then sees it only with the next one
    for _ in range(3):
        os.kill(running.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.wait(10)
            break
    assert running.returncode == 130
    os.close(ours)


@pytest.mark.parametrize("redirect", [">&-", "2>&- >&- <&-", "2>&1 | true"])
def test_60f_nobody_reads(fleet: SandboxFleet, redirect: str) -> None:
    """With stdout closed, or a reader that leaves early, every host is served and the exit code is the right one."""
    number = fleet.sleeping([*DEAD[:1], "sandbox1"])
    command = f"set -o pipefail; torc remote run {number} --keep-going {redirect}"
    path = f"{TORC.parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", command], env=fleet.env() | {"PATH": path}, check=False, timeout=60)
    assert done.returncode == 3
    assert list(workers_of(fleet, number)) == ["sandbox1"]
    fleet.torc("remote", "stop", number, code=3)


def workers_of(fleet: SandboxFleet, number: int) -> dict[str, int]:
    hosts = fleet.hosts("status", number, code=None)
    return {name: host["pid"] for name, host in hosts.items() if host["state"] == "running"}


@pytest.mark.parametrize("columns", [40, 12])
def test_60g_a_narrow_terminal(fleet: SandboxFleet, columns: int) -> None:
    """On a terminal of 40 columns the progress bar stays on its line and no host, state or reason is cut off."""
    number = fleet.sleeping(["sandbox1", DEAD[0]])
    running, ours = on_terminal(fleet, "remote", "status", number, columns=columns)
    text = read_terminal(ours)
    assert running.wait(20) == 3
    os.close(ours)
    words = " ".join(text.split())  # lines are broken between words
    assert "sandbox1" in words
    assert "Not Running: never started here, or its logs were deleted" in words
    assert "Connection refused" in words


def test_60h_parallel_connections(fleet: SandboxFleet) -> None:
    """`--max-parallel-ssh` 0 or less is a usage error, exit code 2; 10000 works."""
    number = fleet.sleeping()
    for value in (0, -1, "many"):
        refused = fleet.torc("remote", "status", number, f"--max-parallel-ssh={value}", code=2)
        assert "--max-parallel-ssh" in refused.stderr
    assert len(fleet.hosts("status", number, "--max-parallel-ssh", 10_000)) == 3


def test_60i_no_workers(fleet: SandboxFleet) -> None:
    """A workflow without workers is an error that says how to add them, exit code 1."""
    number = fleet.workflow([{"name": "a", "command": "true"}])
    said = fleet.torc("remote", "run", number, code=1).stderr
    assert said.startswith(f"Error: No workers configured for workflow {number}.")


def test_60j_all_hosts_dead(fleet: SandboxFleet) -> None:
    """When all hosts are dead, each is named with its reason: `run` starts nothing and exits with 1,
    the others with 3.
    """
    number = fleet.sleeping(DEAD)
    refused = fleet.torc("remote", "run", number, code=1).stderr
    assert "Error: SSH connectivity check failed for 3 worker(s):" in refused
    for command in ("status", "stop", "collect-logs", "delete-logs"):
        report = fleet.report(command, number, code=3)
        assert [host["worker"] for host in report["hosts"]] == DEAD
        assert all("Connection refused" in host["reason"] for host in report["hosts"])
        assert report["summary"] == {"total": 3, "ok": 0, "failed": 0, "unreachable": 3}


def test_60k_one_of_many_dead(fleet: SandboxFleet) -> None:
    """One dead host of many: `run` names it and starts nothing; `--keep-going` starts all others, exit code 3."""
    number = fleet.sleeping([*HOSTS, DEAD[0]])
    refused = fleet.torc("remote", "run", number, code=1)
    assert "failed for 1 worker(s)" in refused.stderr
    assert workers_of(fleet, number) == {}
    started = fleet.torc("remote", "run", number, "--keep-going", code=3)
    assert "Started 3/4 workers" in started.stdout
    assert "[FAILED] 127.0.0.1" in started.stderr
    assert list(workers_of(fleet, number)) == HOSTS
    fleet.torc("remote", "stop", number, code=3)


def test_60l_two_commands_at_once(fleet: SandboxFleet) -> None:
    """Two `run` at the same moment: both report every host, and each host has one worker."""
    number = fleet.sleeping()
    both = [fleet.popen("-f", "json", "remote", "run", number) for _ in range(2)]
    outputs = [running.communicate(timeout=90) for running in both]
    assert [running.returncode for running in both] == [0, 0], outputs
    pids = workers_alive(fleet, number)
    assert len(pids) == 3
    stopping = [fleet.popen("remote", "stop", number) for _ in range(2)]
    said = [running.communicate(timeout=90) for running in stopping]
    assert [running.returncode for running in stopping] == [0, 0], said
    assert workers_alive(fleet, number) == {}


def test_60m_no_terminal(fleet: SandboxFleet) -> None:
    """Without a terminal nothing is asked and no bar is drawn: the omitted workflow is an error, exit code 1."""
    refused = fleet.torc("remote", "status", code=1)
    assert "a workflow ID is required when stdin is not a terminal" in refused.stderr
    number = fleet.sleeping()
    done = fleet.torc("remote", "status", number)
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
