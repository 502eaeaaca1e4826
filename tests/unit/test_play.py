"""How a play's lines become answers, without a play."""

import json
import os
import resource
import signal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from torc_remote.remote import channel, play
from torc_remote.remote.inventory import WorkflowWorkers, build_inventory
from torc_remote.remote.play import HostAnswer, PlayError, _Gathered
from torc_remote.remote.play_process import held_signals
from torc_remote.ssh.options import SshOptions

TEXT_OF_2_18 = "[WARNING]: odd\n\nPLAY [x] ***\nERROR! could not find x\nOrigin: run.yml:1\n"
TEXT_OF_2_19 = "[ERROR]: first\n[ERROR]: could not find x\n\nOrigin: run.yml:1\n\n"


@pytest.fixture
def gathered() -> _Gathered:
    workers = [WorkflowWorkers(1, "", ["a", "b"])]
    return _Gathered(build_inventory(workers, SshOptions(Path("/run"))), None)


def line(host: str | None, status: str = "ok", role: str = "status", **result: Any) -> bytes:
    names = {"task": "torc.remote.status : Look", "role": role, "name": "torc_status", "host": host}
    return json.dumps({**names, "status": status, "result": result}).encode() + b"\n"


def test_the_last_task_wins_and_earlier_values_stay(gathered: _Gathered) -> None:
    first = line("a", role="version_check", state="ok", version="1.0.0")
    gathered.read(BytesIO(first + line("a", "failed", "start_worker", state="died")))
    assert gathered.answers == {
        "a": HostAnswer("failed", "start_worker", {"state": "died", "version": "1.0.0"}),
        "b": HostAnswer(),
    }


def test_what_fails_on_the_controller_is_no_hosts_fault(gathered: _Gathered) -> None:
    gathered.read(BytesIO(line(None, "failed", msg="Workflow 1 is complete")))
    assert gathered.controller_error == "Workflow 1 is complete"
    assert gathered.answers["a"].status == "silent"


def test_a_refusal_is_no_error(gathered: _Gathered) -> None:
    gathered.read(BytesIO(line(None, "failed", refused=True, msg="Nothing was started")))
    assert gathered.controller_error is None


def test_a_task_that_leaves_a_host_out_says_nothing_of_it(gathered: _Gathered) -> None:
    gathered.read(BytesIO(line("a", state="running") + line("a", "skipped", skipped=True)))
    assert gathered.answers["a"] == HostAnswer("ok", "status", {"state": "running"})


def test_results_are_passed_on_as_they_come() -> None:
    seen: list[tuple[str, str, str]] = []
    workers = [WorkflowWorkers(1, "", ["a"])]
    inventory = build_inventory(workers, SshOptions(Path("/run")))
    gathered = _Gathered(inventory, lambda step, host, answer: seen.append((step, host, answer.status)))
    gathered.read(BytesIO(line("a", "unreachable")))
    assert seen == [("Look", "a", "unreachable")]


def test_lines_are_read_once_they_are_whole(gathered: _Gathered, tmp_path: Path) -> None:
    path = tmp_path / "answers"
    path.write_bytes(b"")
    with path.open("rb") as lines, path.open("ab", buffering=0) as answers:
        first, second = line("a", state="running"), line("b", "unreachable", msg="ä")
        answers.write(first + second[:-3])
        gathered.read(lines)
        assert gathered.answers["a"] == HostAnswer("ok", "status", {"state": "running"})
        assert gathered.answers["b"].status == "silent"
        answers.write(second[-3:] + line("a", "failed"))
        gathered.read(lines)
    assert gathered.answers["b"] == HostAnswer("unreachable", "status", {"msg": "ä"})
    assert gathered.answers["a"].status == "failed"


def test_a_play_has_ended_when_its_last_line_says_so(gathered: _Gathered, tmp_path: Path) -> None:
    assert not gathered.begun
    gathered.read(BytesIO(line(None, "begun")))
    assert (gathered.begun, gathered.ended) == (True, False)
    file = tmp_path / "answers"
    file.touch()
    channel.append_end(str(file))
    gathered.read(BytesIO(file.read_bytes()))
    assert gathered.ended


def test_a_play_whose_answers_are_damaged_has_not_ended(gathered: _Gathered, tmp_path: Path) -> None:
    """A full disk cuts a line off, which is an error where it is written, and there is room again for the next."""
    file = tmp_path / "answers"
    file.touch()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            channel.append(str(file), json.loads(line("a")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with file.open("ab") as answers:
        answers.write(line("b", state="running"))
    channel.append_end(str(file))
    gathered.read(BytesIO(file.read_bytes()))
    assert not gathered.ended


@pytest.mark.parametrize("said", [TEXT_OF_2_18, TEXT_OF_2_19], ids=["core 2.18", "core 2.19"])
def test_ansibles_last_error_is_told_in_one_line(said: str) -> None:
    with pytest.raises(
        PlayError, match=r"^Ansible could not run the playbook: could not find x Origin: run.yml:1$"
    ):
        play._reason(said, begun=False)
    assert play._reason(said, begun=True) == "could not find x Origin: run.yml:1"
    with pytest.raises(PlayError, match="it said nothing"):
        play._reason("", begun=False)


def test_a_traceback_is_kept_whole() -> None:
    said = "Traceback (most recent call last):\n  File x\nKeyError: 'a'\n"
    with pytest.raises(RuntimeError, match=r"^KeyError: 'a'$") as raised:
        play._reason(said, begun=False)
    assert str(raised.value.__cause__) == said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_kept_for_the_end_of_the_play(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with held_signals() as held:
        assert not held.is_set()
        os.kill(os.getpid(), number)
        assert held.wait(5)
    assert signal.getsignal(number) == before
