"""The requests that make a workflow of a spec: their order and their bodies (torc wire 3.4)."""

from pathlib import Path
from typing import Any, cast

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
