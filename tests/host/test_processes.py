"""How processes and sockets are found and ended, on some that are made here."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import wait_until
from torc_remote import processes
from torc_remote.processes import Process, descendants


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A shell with two children, one of which has a child; all carry MARK=family."""
    script = "sh -c 'sleep 60 & wait' & sleep 60 & echo up; wait"
    shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True,
                             env={**os.environ, "MARK": "family"})  # fmt: skip
    assert shell.stdout and shell.stdout.readline() == "up\n"
    yield shell
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()


def test_descendants_of_every_depth_are_found(family: subprocess.Popen[str]) -> None:
    wait_until(lambda: len(processes.with_descendants({family.pid})) == 4)
    assert os.getpid() not in processes.with_descendants({family.pid})


def test_only_those_of_a_program_can_be_wanted(family: subprocess.Popen[str]) -> None:
    wait_until(lambda: len(processes.with_descendants({family.pid})) == 4)
    assert len(processes.with_descendants({family.pid}, program="sh")) == 2
    assert len(processes.with_descendants({family.pid}, program="sleep")) == 1


def test_the_ended_are_left_out() -> None:
    ended = subprocess.Popen(["true"])
    wait_until(lambda: processes.with_descendants({ended.pid}) == set())
    ended.wait()
    assert processes.with_descendants({ended.pid}) == set()
    assert processes.with_descendants(set()) == set()


def test_names_with_brackets_and_blanks_do_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    strange = subprocess.Popen([program, "60"])
    try:
        wait_until(lambda: processes.with_descendants({os.getpid()}) >= {strange.pid})
    finally:
        strange.kill()
        strange.wait()


def test_marks_are_compared_whole(family: subprocess.Popen[str]) -> None:
    wait_until(lambda: len(processes.processes_with("MARK=family")) == 4)
    for other in ("MARK=famil", "MARK=familyx", "ARK=family", "MARK"):
        assert processes.processes_with(other) == set()


def test_sockets_are_seen_from_both_ends_with_their_holders() -> None:
    with socket.create_server(("127.3.4.5", 0)) as server:
        place = server.getsockname()
        with socket.create_connection(place) as near:
            far, _ = server.accept()
            with far:
                found = {(entry.local, entry.remote, entry.listening) for entry in processes.tcp_sockets()}
                holders = {entry.pid for entry in processes.tcp_sockets() if entry.local == place}
                assert (place, None, True) in found
                assert {(place, near.getsockname(), False), (near.getsockname(), place, False)} <= found
                assert holders == {os.getpid()}
    assert place not in {entry.local for entry in processes.tcp_sockets() if entry.listening}


def test_signals_pass_over_the_gone(family: subprocess.Popen[str]) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    processes.signal_all([ended.pid, family.pid], signal.SIGTERM)
    assert family.wait(10) == -signal.SIGTERM


_PARENT = """
import subprocess, sys, time
from torc_remote.processes import end_descendants
children = [
    ["sleep", "100"],
    ["setsid", "sh", "-c", "sleep 100 & sleep 100"],
    ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"],
    ["sh", "-c", "trap 'sleep 0.3; touch cleaned; exit' TERM; touch ready; while :; do sleep 0.05; done"],
]
for command in children:
    subprocess.Popen(command)
sys.stdin.readline()
end_descendants(2)
print("ended", flush=True)
sys.stdin.readline()
"""


def living(found: set[Process]) -> set[Process]:
    return found & descendants(1) | found & descendants(os.getpid())


def test_all_descendants_end_after_their_clean_up(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", _PARENT], cwd=tmp_path, stdin=pipe, stdout=pipe) as parent:
        assert parent.stdin
        assert parent.stdout
        wait_until(lambda: (tmp_path / "ready").exists() and len(descendants(parent.pid)) >= 6)
        family = descendants(parent.pid)
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == b"ended\n"
        assert (tmp_path / "cleaned").exists()
        wait_until(lambda: not living(family))
