"""What the tests of the built-in worker share: workflows made over REST, worker processes, old Pythons."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests

from torc_remote.client.config import Settings
from torc_remote.client.transport import Transport

Record = dict[str, Any]


class Rest:
    """The server's REST interface, as little of it as the tests need."""

    def __init__(self, url: str, password: str = "") -> None:
        self.url = url
        self._auth = ("tester", password) if password else None

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The decoded reply; fails unless the server agrees."""
        reply = requests.request(method, self.url + path, json=body, auth=self._auth, timeout=10)
        assert reply.ok, (reply.status_code, reply.text)
        return reply.json()

    def create(self, jobs: list[Record], needs: Record | None = None, **workflow: object) -> int:
        """A workflow of jobs, each with the requirements ``needs`` if given; its ID.

        ``depends_on`` of a job names earlier ones.
        """
        workflow_id = self.call("POST", "/workflows", {"name": "test", "user": "tester"} | workflow)["id"]
        requirements = {}
        if needs:
            record = {
                "workflow_id": workflow_id,
                "name": "small",
                "num_cpus": 1,
                "num_gpus": 0,
                "num_nodes": 1,
            }
            record |= {"memory": "1m", "runtime": "PT1M"} | needs
            requirements["resource_requirements_id"] = self.call("POST", "/resource_requirements", record)[
                "id"
            ]
        ids: dict[str, int] = {}
        for level in _levels(jobs):
            bodies = []
            for job in level:
                depends_on = [ids[name] for name in job.get("depends_on", ())]
                fields = {key: value for key, value in job.items() if key != "depends_on"}
                bodies.append(
                    {"workflow_id": workflow_id, "depends_on_job_ids": depends_on} | requirements | fields
                )
            made = self.call("POST", "/bulk_jobs", {"jobs": bodies})["jobs"]
            ids |= {job["name"]: job["id"] for job in made}
        return int(workflow_id)

    def initialize(self, workflow_id: int) -> None:
        """Make the workflow ready, as ``torc remote run`` does before it starts the workers."""
        base = f"/workflows/{workflow_id}"
        self.call("POST", f"{base}/reset_status")
        self.call("POST", f"{base}/initialize_jobs?only_uninitialized=false&async=false")

    def jobs(self, workflow_id: int) -> dict[str, Record]:
        """The jobs by name."""
        return {job["name"]: job for job in self._items(f"/jobs?workflow_id={workflow_id}")}

    def states(self, workflow_id: int) -> dict[str, str]:
        """The jobs' states by name."""
        return {name: job["status"] for name, job in self.jobs(workflow_id).items()}

    def results(self, workflow_id: int) -> dict[str, Record]:
        """The latest results by the name of the job."""
        return {result["job_name"]: result for result in self._items(f"/results?workflow_id={workflow_id}")}

    def nodes(self, workflow_id: int) -> list[Record]:
        """The compute nodes."""
        return self._items(f"/compute_nodes?workflow_id={workflow_id}")

    def _items(self, path: str) -> list[Record]:
        items: list[Record] = self.call("GET", path)["items"]
        return items


class FakeWorker:
    """The requests of a worker (torc wire 4.1, 4.2), without its processes."""

    def __init__(self, settings: Settings, workflow_id: int, hostname: str) -> None:
        self.transport = Transport(settings)
        self.workflow_id = workflow_id
        node = {
            "workflow_id": workflow_id,
            "hostname": hostname,
            "pid": 1,
            "start_time": "2026-11-22T18:46:53.530715555+00:00",
            "is_active": True,
            "num_cpus": 2,
            "memory_gb": 2.0,
            "num_gpus": 0,
            "num_nodes": 1,
            "compute_node_type": "local",
        }
        self.node_id = int(self.transport.request("POST", "/compute_nodes", json=node)["id"])

    def claim(self, count: int, **query: int) -> list[int]:
        path = f"/workflows/{self.workflow_id}/claim_next_jobs"
        return [job["id"] for job in self.transport.request("POST", path, {"limit": count, **query})["jobs"]]

    def start(self, count: int) -> list[int]:
        claimed = self.claim(count)
        for job_id in claimed:
            self.transport.request("PUT", f"/jobs/{job_id}/start_job/1/{self.node_id}")
        return claimed


def _levels(jobs: list[Record]) -> Iterator[list[Record]]:
    """The jobs in groups such that dependencies come in an earlier one."""
    made: set[str] = set()
    while len(made) < len(jobs):
        level = [job for job in jobs if job["name"] not in made and made >= set(job.get("depends_on", ()))]
        yield level
        made |= {job["name"] for job in level}


@dataclass
class WorkerProcess:
    """A worker that runs in ``directory``; its jobs do so as well."""

    process: subprocess.Popen[bytes]
    directory: Path

    @property
    def log(self) -> str:
        """What it has written to stderr."""
        return (self.directory / "worker.err").read_text()

    def wait(self, timeout: float = 30) -> int:
        """The exit code."""
        return self.process.wait(timeout)


@contextmanager
def worker(
    url: str,
    workflow_id: int,
    directory: Path,
    *options: str,
    command: tuple[str, ...] = (sys.executable, "-m", "torc_remote.builtin.worker"),
    **variables: str,
) -> Iterator[WorkerProcess]:
    """A worker process in a session of its own; whatever the test left of that session is killed."""
    directory.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TORC_")}
    with (directory / "worker.err").open("ab") as log:
        process = subprocess.Popen(
            [*command, "run", str(workflow_id), "-p", "0.3", *options],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment | {"TORC_API_URL": url} | variables,
            start_new_session=True,
        )
    try:
        yield WorkerProcess(process, directory)
    finally:
        for pid in session_members(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait(10)


def run_worker(url: str, workflow_id: int, directory: Path, *options: str, **more: Any) -> WorkerProcess:
    """Run a worker to its end."""
    with worker(url, workflow_id, directory, *options, **more) as started:
        started.wait()
        return started


def session_members(session: int) -> list[int]:
    """The processes of a session that are alive."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            members.append(int(stat.parent.name))
    return members


@cache
def old_python(version: str) -> str:
    """An interpreter of that version, on PATH or made by pyenv; skips the test where there is none."""
    found = [shutil.which(f"python{version}")]
    found += sorted(map(str, Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python")))
    for path in filter(None, found):
        if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return path
    pytest.skip(f"no Python {version} on this machine")


def lines_of(path: Path) -> Callable[[], list[str]]:
    """For wait_until: the lines of a file that may not exist yet."""
    return lambda: path.read_text().splitlines()
