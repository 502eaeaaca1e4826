"""The requests that make a workflow of a spec: their order and their bodies (torc wire 3.4)."""

from pathlib import Path
from typing import Any, cast

import pytest

from torc_remote.client.api import TorcClient
from torc_remote.spec import create_workflow, parse_spec

SPEC = """
name: fan
description: two after one
env: {WF_VAR: wf}
resource_requirements:
  - {name: small, num_cpus: 1, memory: 100m, runtime: PT5M}
resource_monitor: {jobs: {enabled: true, granularity: time_series}}
jobs:
  - {name: prep, command: echo prep, resource_requirements: small, env: {JOB_VAR: "1"}}
  - {name: join, command: echo join, depends_on: [left, prep]}
  - {name: left, command: echo left, depends_on: [prep], cancel_on_blocking_job_failure: false}
"""


class Recorder:
    """Stands for TorcClient: keeps what is created, and gives out IDs from 10 on."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.last_id = 9

    def _new(self, body: dict[str, Any]) -> dict[str, Any]:
        self.last_id += 1
        return body | {"id": self.last_id}

    def create_workflow(self, body: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(("workflow", body))
        return self._new(body)

    def create_files(self, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.requests.append(("files", bodies))
        return [self._new(body) for body in bodies]

    def create_resource_requirements(self, body: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(("requirements", body))
        return self._new(body)

    def create_jobs(self, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.requests.append(("jobs", bodies))
        return [self._new(body) for body in bodies]


def job(name: str, **others: Any) -> dict[str, Any]:
    return {
        "workflow_id": 10,
        "name": name,
        "command": f"echo {name}",
        "status": "uninitialized",
        "cancel_on_blocking_job_failure": True,
        "supports_termination": False,
        "attempt_id": 1,
    } | others


def test_order_and_bodies() -> None:
    recorder = Recorder()
    assert create_workflow(cast("TorcClient", recorder), parse_spec(SPEC, "w.yaml"), "alice") == 10
    (_, workflow), *others = recorder.requests
    assert workflow.pop("resource_monitor_config")["jobs"] == {"enabled": True, "granularity": "time_series"}
    assert workflow == {
        "name": "fan",
        "user": "alice",
        "description": "two after one",
        "env": {"WF_VAR": "wf"},
        "submission_directory": str(Path.cwd()),
    }
    small = {
        "name": "small",
        "num_cpus": 1,
        "num_gpus": 0,
        "num_nodes": 1,
        "memory": "100m",
        "runtime": "PT5M",
    }
    assert others == [
        ("requirements", {"workflow_id": 10} | small),
        ("jobs", [job("prep", env={"JOB_VAR": "1"}, resource_requirements_id=11)]),
        ("jobs", [job("left", depends_on_job_ids=[12], cancel_on_blocking_job_failure=False)]),
        ("jobs", [job("join", depends_on_job_ids=[13, 12])]),
    ]


def test_files_come_first_and_inputs_that_exist_have_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in", "out", "told"):
        Path(name).touch()
    spec = """
name: w
project: p
metadata: {a: [1]}
files: [{name: i, path: in}, {name: g, path: gone}, {name: o, path: out}, {name: t, path: told, st_mtime: 5}]
jobs:
  - {name: a, command: echo a, input_files: [i, g, t], output_files: [o], priority: 0, invocation_script: nice}
"""
    recorder = Recorder()
    create_workflow(cast("TorcClient", recorder), parse_spec(spec, "w.yaml"), "alice")
    (_, workflow), files, jobs = recorder.requests
    assert (workflow["project"], workflow["metadata"]) == ("p", {"a": [1]})
    common = {"workflow_id": 10}
    assert files == (
        "files",
        [
            common | {"name": "i", "path": "in", "st_mtime": Path("in").stat().st_mtime},
            common | {"name": "g", "path": "gone"},
            common | {"name": "o", "path": "out"},
            common | {"name": "t", "path": "told", "st_mtime": 5.0},
        ],
    )
    relations = {"input_file_ids": [11, 12, 14], "output_file_ids": [13]}
    assert jobs == ("jobs", [job("a", invocation_script="nice", priority=0, **relations)])
