"""What we read from /proc, on processes and sockets made here."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from torc_remote import processes


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


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
    until(lambda: len(processes.with_descendants({family.pid})) == 4)
    assert os.getpid() not in processes.with_descendants({family.pid})


def test_only_those_of_a_program_can_be_wanted(family: subprocess.Popen[str]) -> None:
    until(lambda: len(processes.with_descendants({family.pid})) == 4)
    assert len(processes.with_descendants({family.pid}, program="sh")) == 2
    assert len(processes.with_descendants({family.pid}, program="sleep")) == 1


def test_the_ended_are_left_out() -> None:
    ended = subprocess.Popen(["true"])
    until(lambda: processes.with_descendants({ended.pid}) == set())
    ended.wait()
    assert processes.with_descendants({ended.pid}) == set()
    assert processes.with_descendants(set()) == set()


def test_names_with_brackets_and_blanks_do_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    strange = subprocess.Popen([program, "60"])
    try:
        until(lambda: processes.with_descendants({os.getpid()}) >= {strange.pid})
    finally:
        strange.kill()
        strange.wait()


def test_marks_are_compared_whole(family: subprocess.Popen[str]) -> None:
    until(lambda: len(processes.processes_with("MARK=family")) == 4)
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
