"""JSON of the remote commands: one shape, described by torc_remote/remote/report.schema.json, alone on stdout."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.remote import SandboxFleet

SCHEMA = json.loads((resources.files("torc_remote.remote") / "report.schema.json").read_text())
DEAD = "127.0.0.1:1"


def report(fleet: SandboxFleet, *args: str | int | Path, code: int = 0) -> dict[str, Any]:
    """The report of a command, which is all that is on stdout, and valid by the schema."""
    command, *rest = args
    done = fleet.torc("-f", "json", "remote", command, *rest, code=code)
    answer: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(answer, SCHEMA)
    assert answer["operation"] == str(command).removesuffix("-from-file")
    return answer


def workers(answer: dict[str, Any]) -> list[str]:
    return [host["worker"] for host in answer["hosts"]]


def test_every_command_prints_one_valid_report(fleet: SandboxFleet, tmp_path: Path) -> None:
    number = fleet.sleeping(workers=[])
    hosts = ["sandbox3", DEAD, "sandbox1", "sandbox2"]
    added = report(fleet, "add-workers", number, *hosts, code=3)
    assert workers(added) == hosts
    assert [host["state"] for host in added["hosts"]] == ["added", "unreachable", "added", "added"]
    file = tmp_path / "workers.txt"
    file.write_text("sandbox1\n" + DEAD)
    again = report(fleet, "add-workers-from-file", file, number, "--skip-ssh-check")
    assert [host["state"] for host in again["hosts"]] == ["already_stored", "added"]
    listed = workers(report(fleet, "list-workers", number))
    assert listed == sorted(hosts)

    refused = report(fleet, "run", number, code=1)
    assert [host["state"] for host in refused["hosts"]] == ["unreachable", *["not_started"] * 3]

    commands: list[list[str | int | Path]] = [
        ["install", number, "-v"],
        ["run", number, "-v", "--keep-going"],
        ["status", number, "-v"],
        ["collect-logs", number, "-l", tmp_path / "logs", "-v"],
        ["stop", number, "-v"],
        ["delete-logs", number, "-v"],
    ]
    for command in commands:
        assert workers(report(fleet, *command, code=3)) == listed
    assert workers(report(fleet, "remove-worker", DEAD, number)) == [DEAD]


def test_progress_is_on_stderr(fleet: SandboxFleet) -> None:
    number = fleet.sleeping(workers=["sandbox1"])
    quiet = fleet.torc("-f", "json", "remote", "status", number)
    assert quiet.stderr == ""
    told = fleet.torc("-f", "json", "remote", "status", number, "-v")
    assert json.loads(told.stdout) == json.loads(quiet.stdout)
    assert told.stderr.startswith("sandbox1: ")


@pytest.mark.parametrize("operation", SCHEMA["properties"]["operation"]["enum"])
def test_the_schema_knows_the_states(operation: str) -> None:
    well = set(SCHEMA["$defs"][operation]["then"]["properties"]["state"]["enum"])
    host = {"worker": "h", "host": "h", "ok": True, "reason": ""}
    summary = {"total": 1, "ok": 1, "failed": 0, "unreachable": 0}
    for state, valid in [(sorted(well)[0], True), ("nonsense", False)]:
        answer = {
            "operation": operation,
            "workflow_id": 1,
            "hosts": [host | {"state": state}],
            "summary": summary,
        }
        assert jsonschema.Draft202012Validator(SCHEMA).is_valid(answer) == valid


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
