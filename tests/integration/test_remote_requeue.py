"""What becomes of the jobs of a worker that has died or was stopped: they run again.

The same tests run with torc's own server and workers (tests/interop/test_requeue.py).
"""

import os
import signal
from pathlib import Path

from tests.support import wait_until
from tests.support.faults import kill_session
from tests.support.remote import SandboxFleet
from tests.support.workers import Rest
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.client.release import EVENTS

ONE = ["sandbox1"]
SECOND_TIME = "if [ -e was-here ]; then exit 0; fi; touch was-here; sleep 300"
"""Ends at its second start, wherever that is in one home."""


def chain(command: str) -> list[dict[str, object]]:
    """A job with this command, and one that depends on it."""
    return [{"name": "a", "command": command}, {"name": "b", "command": "true", "depends_on": ["a"]}]


def started(fleet: SandboxFleet, number: int, *options: str | int) -> int:
    """Run the workflow on sandbox1 until `a` runs; the worker's PID."""
    marker = fleet.home("sandbox1") / "was-here"
    marker.unlink(missing_ok=True)
    pid: int = fleet.hosts("run", number, "-p", 0.5, *options)["sandbox1"]["pid"]
    await_state(fleet, number, "running")
    wait_until(marker.exists, 20)
    return pid


def await_state(fleet: SandboxFleet, number: int, state: str) -> None:
    wait_until(lambda: Rest(fleet.url).states(number)["a"] == state, 30)


def events(fleet: SandboxFleet, number: int) -> list[tuple[object, ...]]:
    found = TorcClient(Settings(api_url=fleet.url, username="tester")).list_events(number, category=EVENTS)
    keys = ("event_type", "job_name", "attempt_id", "host", "reason")
    return [tuple(event["data"][key] for key in keys) for event in found]


def test_a_killed_worker_costs_nothing(fleet: SandboxFleet) -> None:
    """It ran `a`, on which `b` depends; run again, and both complete."""
    number = fleet.workflow(chain(SECOND_TIME), ONE)
    pid = started(fleet, number)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: fleet.hosts("status", number)["sandbox1"]["state"] == "exited", 20)
    assert Rest(fleet.url).states(number) == {"a": "running", "b": "blocked"}
    said = fleet.torc("remote", "run", number, "-p", 0.5).stdout
    assert ", 1 job of the worker before is ready again\n" in said
    wait_until(lambda: Rest(fleet.url).states(number) == {"a": "completed", "b": "completed"}, 60)
    assert Rest(fleet.url).jobs(number)["a"]["attempt_id"] == 2
    assert events(fleet, number) == [("job_requeued", "a", 1, "sandbox1", "died")]


def test_stop_loses_nothing(fleet: SandboxFleet) -> None:
    """What ran is ready again, and not counted as a death; the next run goes on."""
    number = fleet.workflow(chain(SECOND_TIME), ONE)
    started(fleet, number, "--max-attempts", 1)
    stopped = fleet.torc("remote", "stop", number, "--max-attempts", 1)
    assert stopped.stdout.splitlines()[0].endswith(", 1 job is ready again")
    assert f"1 job(s) are ready again. To go on:\n    torc remote run {number}\n" in stopped.stderr
    assert Rest(fleet.url).states(number) == {"a": "ready", "b": "blocked"}
    assert events(fleet, number) == [("job_requeued", "a", 1, "sandbox1", "stopped")]
    fleet.torc("remote", "run", number, "-p", 0.5)
    wait_until(lambda: Rest(fleet.url).states(number) == {"a": "completed", "b": "completed"}, 60)


def test_stop_terminates_where_it_is_told_to(fleet: SandboxFleet) -> None:
    number = fleet.workflow(chain(SECOND_TIME), ONE)
    started(fleet, number)
    stopped = fleet.torc("remote", "stop", number, "--terminate")
    assert stopped.stdout.splitlines()[0].endswith(", 1 job was terminated")
    assert "1 job(s) were terminated. To run them again, with those that failed" in stopped.stderr
    assert Rest(fleet.url).states(number)["a"] == "terminated"
    assert Rest(fleet.url).results(number)["a"]["return_code"] == 143


def test_a_job_of_which_workers_die_ends(fleet: SandboxFleet) -> None:
    """Stops in between don't count. What depends on it is canceled."""
    number = fleet.workflow(chain("touch was-here; sleep 300"), ONE)
    started(fleet, number)
    fleet.torc("remote", "stop", number)
    kill_session(started(fleet, number))
    again = fleet.hosts("stop", number, "--max-attempts", 2)["sandbox1"]
    assert (again["jobs_requeued"], again["jobs_terminated"]) == (1, 0)
    kill_session(started(fleet, number))
    report = fleet.hosts("stop", number, "--max-attempts", 2)["sandbox1"]
    assert (report["jobs_requeued"], report["jobs_terminated"]) == (0, 1)
    wait_until(lambda: Rest(fleet.url).states(number) == {"a": "terminated", "b": "canceled"}, 20)
    assert events(fleet, number) == [
        ("job_requeued", "a", 1, "sandbox1", "stopped"),
        ("job_requeued", "a", 2, "sandbox1", "died"),
        ("job_terminated", "a", 3, "sandbox1", "died"),
    ]


def test_run_terminates_a_job_of_which_too_many_workers_have_died(fleet: SandboxFleet) -> None:
    number = fleet.workflow(chain("touch was-here; sleep 300"), ONE)
    kill_session(started(fleet, number))
    said = fleet.torc("remote", "run", number, "-p", 0.5, "--max-attempts", 1).stdout
    assert ", 1 job of the worker before was terminated (too many workers have died of it)\n" in said
    assert events(fleet, number) == [("job_terminated", "a", 1, "sandbox1", "died")]


def test_a_finished_job_is_finished_although_its_worker_was_stopped(fleet: SandboxFleet) -> None:
    """Only the built-in worker asks a job to end; one that does so well is complete."""
    polite = "trap 'exit 0' TERM; touch was-here; sleep 300 & wait"
    number = fleet.workflow(chain(polite), ONE)
    started(fleet, number)
    fleet.torc("remote", "stop", number)
    native = Path(fleet.home("sandbox1") / ".local/bin/torc").read_bytes()[:4] == b"\x7fELF"
    assert Rest(fleet.url).states(number)["a"] == ("ready" if native else "completed")
