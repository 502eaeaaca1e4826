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


def event(kind: str, host: str, role: str = "status", **result: Any) -> dict[str, Any]:
    data = {
        "host": host,
        "task": "torc.remote.status : Look",
        "role": role,
        "res": result,
    }
    return {"event": kind, "event_data": data}


def test_the_last_task_wins_and_earlier_values_stay(gathered: _Gathered) -> None:
    gathered.add(event("runner_on_ok", "a", "version_check", state="ok", version="1.0.0"))
    gathered.add(event("runner_on_failed", "a", "start_worker", state="died"))
    gathered.add(event("runner_on_start", "b"))
    assert gathered.answers == {
        "a": HostAnswer("failed", "start_worker", {"state": "died", "version": "1.0.0"}),
        "b": HostAnswer(),
    }


def test_what_fails_on_the_controller_is_no_hosts_fault(gathered: _Gathered) -> None:
    """A task that runs once bears the first host's name."""
    gathered.add(event("runner_on_failed", "a", on_controller=True, msg="Workflow 1 is complete"))
    assert gathered.controller_error == "Workflow 1 is complete"
    assert gathered.answers["a"].status == "silent"


def test_results_are_passed_on_as_they_come() -> None:
    seen: list[tuple[str, str, str]] = []
    workers = [WorkflowWorkers(1, "", ["a"])]
    inventory = build_inventory(workers, SshOptions(Path("/run")))
    gathered = _Gathered(inventory, lambda step, host, answer: seen.append((step, host, answer.status)))
    gathered.add(event("runner_on_unreachable", "a"))
    assert seen == [("Look", "a", "unreachable")]


def beginning(action: str) -> dict[str, Any]:
    return {"event": "playbook_on_task_start", "event_data": {"task_action": action}}


def line(host: str, status: str = "ok", **result: Any) -> bytes:
    names = {"task": "torc.remote.status : Look", "role": "status", "host": host}
    return json.dumps({**names, "status": status, "result": result}).encode() + b"\n"


def test_lines_are_read_once_they_are_whole(gathered: _Gathered, tmp_path: Path) -> None:
    path = tmp_path / "answers"
    path.write_bytes(b"")
    gathered.add(beginning("torc.remote.ask_hosts"))
    with path.open("rb") as lines, path.open("ab", buffering=0) as answers:
        gathered.read(lines)
        first, second = (
            line("a", state="running", failed=False),
            line("b", "unreachable", unreachable=True, msg="ä"),
        )
        answers.write(first + second[:-3])
        gathered.read(lines)
        assert gathered.answers["a"] == HostAnswer("ok", "status", {"state": "running", "failed": False})
        assert gathered.answers["b"].status == "silent"
        answers.write(second[-3:] + line("a", "failed", failed=True))
        gathered.read(lines)
    assert gathered.answers["b"] == HostAnswer("unreachable", "status", {"unreachable": True, "msg": "ä"})
    assert gathered.answers["a"].status == "failed"


def test_lines_wait_for_the_events_of_earlier_tasks(gathered: _Gathered) -> None:
    lines = BytesIO(line("a", state="registered"))
    gathered.add(beginning("torc.remote.run_script"))
    gathered.read(lines)
    gathered.add(event("runner_on_ok", "a", state="started"))
    gathered.add(beginning("torc.remote.ask_hosts"))
    gathered.read(lines)
    assert gathered.answers["a"].values["state"] == "registered"


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
