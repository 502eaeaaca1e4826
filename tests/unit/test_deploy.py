"""How a play's events become answers, without a play."""

import json
import os
import signal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from torc_remote import deploy
from torc_remote.deploy import HostAnswer, _Gathered
from torc_remote.inventory import WorkflowWorkers, build_inventory
from torc_remote.ssh import SshOptions


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


def test_secrets_leave_the_environment_for_the_time_of_the_play(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORC_PASSWORD", "p")
    monkeypatch.setenv("TORC_COOKIE_HEADER", "c")
    foreign = ["ANSIBLE_STRATEGY", "_ANSIBLE_X", "RUNNER_X", "AWX_X", "JUNIT_X", "PYTHONPATH"]
    for name in foreign:
        monkeypatch.setenv(name, "x")
    with deploy._own_environment():
        assert not {"TORC_PASSWORD", "TORC_COOKIE_HEADER", *foreign} & os.environ.keys()
    assert os.environ["ANSIBLE_STRATEGY"] == "x"
    assert os.environ["TORC_PASSWORD"] == "p"
    assert os.environ["TORC_COOKIE_HEADER"] == "c"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_kept_for_the_end_of_the_play(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with deploy._termination() as terminated:
        assert not terminated.is_set()
        os.kill(os.getpid(), number)
        assert terminated.wait(5)
    assert signal.getsignal(number) == before


def test_the_collection_is_found_beside_the_package() -> None:
    assert (deploy._collections_path() / "ansible_collections/torc/remote/playbooks/run.yml").is_file()
