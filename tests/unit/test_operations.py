"""Reports: every worker once, in the order of the list, with its own state, reason and part in the exit code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.remote import operations
from torc_remote.remote.operations import Fleet, PlayOptions
from torc_remote.remote.play import HostAnswer, InterruptedPlayError
from torc_remote.remote.report import HostResult, HostStep, Report

WORKERS = ["beta", "alice@alpha:2222", "-oProxyCommand=true", "alpha"]


@pytest.fixture(autouse=True)
def known_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no server here to ask."""
    made = {"id": 42, "run_id": 1, "timestamp": "2026-11-18T12:26:40Z"}
    monkeypatch.setattr(TorcClient, "find_workflow", lambda client, number: made)
    monkeypatch.setattr(operations, "known_workers", lambda client, number: "run 1")


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return Fleet(TorcClient(Settings()), 7, WORKERS, PlayOptions())


def answers(fleet: Fleet, given: Mapping[str, HostAnswer]) -> dict[str, HostAnswer]:
    """Answers by stored address as answers by inventory name."""
    names = {address.stored: name for name, address in fleet.inventory.hosts.items()}
    return {names[worker]: answer for worker, answer in given.items()}


def ok(state: str, **values: Any) -> HostAnswer:
    return HostAnswer("ok", "status", {"state": state, **values})


def unreachable(message: str = "Connection refused") -> HostAnswer:
    return HostAnswer("unreachable", "status", {"msg": message})


def test_every_worker_once_in_the_order_of_the_list(fleet: Fleet) -> None:
    report = fleet.report("status", answers(fleet, {"alpha": ok("running", pid=12), "beta": unreachable()}))
    assert [host.worker for host in report.hosts] == WORKERS
    assert [host.state for host in report.hosts] == ["unreachable", "not_started", "invalid", "running"]
    assert [host.ok for host in report.hosts] == [False, False, False, True]
    assert report.hosts[0].reason == "SSH connection failed to beta: Connection refused"
    assert "begins with '-'" in report.hosts[2].reason
    assert report.hosts[3].details == {"pid": 12}


def test_a_worker_listed_twice_is_one_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    fleet = Fleet(TorcClient(Settings()), 7, ["h", "g", "h"], PlayOptions())
    assert [host.worker for host in fleet.report("status", {}).hosts] == ["h", "g"]


@pytest.mark.parametrize(
    ("operation", "answer", "state", "well", "reason"),
    [
        ("status", ok("none"), "none", True, ""),
        ("status", ok("stale", reason="rebooted"), "stale", True, "rebooted"),
        ("run", ok("ok", version="1.0.0"), "not_started", False, "because of other hosts"),
        ("run", HostAnswer("failed", "", {"state": "mismatch", "msg": "other"}), "mismatch", False, "other"),
        ("run", HostAnswer("failed", "", {"msg": "Traceback"}), "failed", False, "Traceback"),
        ("stop", HostAnswer("failed", "", {"state": "stopped", "msg": "500"}), "stopped", False, "500"),
        ("stop", HostAnswer(), "not_started", False, "because of other hosts"),
        ("stop", HostAnswer(cut_off="ended by signal 9."), "unknown", False, "run the command again"),
        (
            "stop",
            HostAnswer("unreachable", "", {"state": "unknown", "msg": "lost"}),
            "unknown",
            False,
            ": lost",
        ),
        ("status", unreachable("\x1b[2Jcleared"), "unreachable", False, r": \x1b[2Jcleared"),
    ],
)
def test_what_an_answer_means(
    fleet: Fleet, operation: str, answer: HostAnswer, state: str, well: bool, reason: str
) -> None:
    host = fleet.report(operation, answers(fleet, {"alpha": answer})).hosts[3]
    assert (host.state, host.ok) == (state, well)
    assert host.reason.endswith(reason)
    assert host.unreachable == (answer.status == "unreachable" or bool(answer.cut_off))


def result(state: str, well: bool = False) -> HostResult:
    return HostResult("h", "h", state, well)


@pytest.mark.parametrize(
    ("hosts", "code"),
    [
        ([], 0),
        ([result("running", True)], 0),
        ([result("running", True), result("unreachable")], 3),
        ([result("unknown"), result("unreachable")], 3),
        ([result("unreachable"), result("died")], 1),
        ([result("invalid")], 1),
    ],
)
def test_exit_codes(hosts: list[HostResult], code: int) -> None:
    assert Report("status", 1, hosts).exit_code == code


def test_a_run_that_started_nothing_has_failed(fleet: Fleet) -> None:
    checked = answers(
        fleet, {"alpha": HostAnswer("ok", "version_check", {"state": "ok"}), "beta": unreachable()}
    )
    refused = fleet.report("run", checked)
    assert refused.refused
    assert refused.exit_code == 1
    started = fleet.report("run", checked | answers(fleet, {"alpha": HostAnswer("ok", "start_worker", {})}))
    assert not started.refused
    assert not fleet.report("status", checked).refused


def test_the_summary_counts_every_host(fleet: Fleet) -> None:
    report = fleet.report("status", answers(fleet, {"alpha": ok("none"), "beta": unreachable()})).as_json()
    assert report["summary"] == {"total": 4, "ok": 1, "failed": 2, "unreachable": 1}
    assert report["hosts"][3] == {
        "worker": "alpha",
        "host": "alpha",
        "state": "none",
        "ok": True,
        "reason": "",
    }


def test_steps_are_passed_on_in_plain_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    steps: list[HostStep] = []
    fleet = Fleet(TorcClient(Settings()), 7, ["alpha"], PlayOptions(on_step=steps.append))

    def run_play(play: Any, inventory: Any, settings: Any, process: Any) -> dict[str, HostAnswer]:
        play.on_result("Look", "alpha", unreachable("\x07gone"))
        return {"alpha": unreachable("\x07gone")}

    monkeypatch.setattr(operations, "run_play", run_play)
    assert operations.status(fleet, None).exit_code == 3
    assert steps == [HostStep("Look", "alpha", False, r"SSH connection failed to alpha: \x07gone", ["alpha"])]


@pytest.mark.parametrize(
    ("operation", "role", "words"),
    [
        ("run", "start_worker", "Workers that were started go on. Run the command again"),
        ("stop", "stop", "it stops the others and tells the server"),
        ("collect-logs", "fetch_logs", "what is not here was deleted nowhere"),
        ("delete-logs", "delete_logs", "Some logs may be deleted"),
        ("status", "status", "Nothing was changed."),
    ],
)
def test_an_interruption_says_what_was_done_and_what_to_do(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, operation: str, role: str, words: str
) -> None:
    def run_play(*args: Any) -> dict[str, HostAnswer]:
        checked = HostAnswer("ok", "version_check", {"state": "ok"})
        raise InterruptedPlayError(answers(fleet, {"alpha": HostAnswer("ok", role), "beta": checked}))

    monkeypatch.setattr(operations, "run_play", run_play)
    with pytest.raises(
        InterruptedPlayError, match=r"^Interrupted\. 1 of 2 host\(s\) had answered\. "
    ) as told:
        fleet.play(operation, "any", {})
    assert words in str(told.value)
    assert told.value.exit_code == 130
