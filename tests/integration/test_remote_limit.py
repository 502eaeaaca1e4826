"""Some of the hosts: `--limit`, and the list of those that failed."""

import re
from pathlib import Path

import pytest

from tests.faults.hosts import with_ssh_config
from tests.support.remote import SandboxFleet

OPERATIONS = ["install", "run", "status", "stop", "collect-logs", "delete-logs"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_on_hosts_can_be_limited(fleet: SandboxFleet, operation: str) -> None:
    number = fleet.workflow(
        [{"name": "a", "command": "sleep 300"}], ["sandbox1", "sandbox2", "no-such.invalid"]
    )
    report = fleet.report(operation, number, "--limit", "sandbox*,!sandbox1")
    assert [host["worker"] for host in report["hosts"]] == ["sandbox2"]
    assert report["summary"]["total"] == 1
    said = fleet.torc("remote", operation, number, "--limit", "other*", code=2).stderr
    assert said == (
        "Error: --limit: no worker matches 'other*'. The workflow has no-such.invalid, sandbox1, sandbox2.\n"
    )
    if operation == "run":
        fleet.torc("remote", "stop", number, "--limit", "sandbox2")


def test_hosts_that_failed_are_listed_and_can_be_tried_again(fleet: SandboxFleet) -> None:
    broken = with_ssh_config(fleet, "Host sandbox2\n Port 1\n", "limit")
    number = fleet.sleeping()
    said = broken.torc("remote", "run", number, "--keep-going", code=3)
    assert "Started 2/3 workers" in said.stdout
    hint = re.search(r"To do it again for this one alone, add:\n    (--limit @(\S+))\n", said.stderr)
    assert hint
    assert Path(hint[2]).read_text() == "sandbox2\n"
    again = fleet.report("run", number, *hint[1].split())
    assert [(host["host"], host["state"]) for host in again["hosts"]] == [("sandbox2", "registered")]
    assert not Path(hint[2]).exists()
    fleet.torc("remote", "stop", number)


def test_a_refused_run_lists_the_hosts_that_failed(fleet: SandboxFleet) -> None:
    """Not those for which nothing was done on their account."""
    number = fleet.sleeping(["sandbox1", "no-such.invalid"])
    said = fleet.torc("remote", "run", number, code=1)
    hint = re.search(
        r"When what is wrong with this one is mended, give the same command again: it starts the workers of all. "
        r"To do something for this one alone, such as 'torc remote install', add:\n    --limit @(\S+)\n",
        said.stderr,
    )
    assert hint
    assert Path(hint[1]).read_text() == "no-such.invalid\n"


def test_there_is_no_advice_where_all_hosts_failed(fleet: SandboxFleet) -> None:
    """The command is then the same."""
    number = fleet.sleeping(["no-such.invalid", "nor-this.invalid"])
    for command, code in (("run", 1), ("status", 3)):
        assert "--limit" not in fleet.torc("remote", command, number, code=code).stderr
    (kept,) = (fleet.directory / "state/torc-remote").glob(f"failed-hosts-{number}-*")
    assert kept.read_text() == "no-such.invalid\nnor-this.invalid\n"


def test_the_list_that_cannot_be_written_is_a_warning(fleet: SandboxFleet, tmp_path: Path) -> None:
    number = fleet.sleeping(["no-such.invalid"])
    (fleet.directory / "file").touch()
    state = fleet.directory / "file" / "state"
    elsewhere = SandboxFleet(fleet.sandbox, fleet.url, fleet.directory, {"XDG_STATE_HOME": str(state)})
    said = elsewhere.torc("remote", "status", number, code=3)
    assert f"Warning: {state}/torc-remote/failed-hosts-{number}-" in said.stderr
    assert "no-such.invalid  Unknown: " in said.stdout


def test_a_run_whose_only_host_is_unreachable_is_refused(fleet: SandboxFleet) -> None:
    number = fleet.sleeping(["no-such.invalid"])
    said = fleet.torc("remote", "run", number, code=1).stderr
    assert (
        "Error: SSH connectivity check failed for 1 worker(s):\n  no-such.invalid: SSH connection failed"
        in said
    )
    assert fleet.hosts("run", number, "--keep-going", code=3)["no-such.invalid"]["state"] == "unreachable"
