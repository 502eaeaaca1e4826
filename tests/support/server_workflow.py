"""A workflow in a real database, without HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torc_remote.builtin.server.data.records import create_named
from torc_remote.builtin.server.jobs import attempts, dependencies
from torc_remote.builtin.server.jobs.claims import claim_fitting
from torc_remote.builtin.server.jobs.records import create_jobs
from torc_remote.builtin.server.models import (
    Completion,
    ComputeNodeBody,
    FileBody,
    FreeResources,
    JobBody,
    ResourceRequirementsBody,
    ResultBody,
)
from torc_remote.builtin.server.resource_requirements.records import create_requirements, default_requirements
from torc_remote.builtin.server.store.database import Database, insert
from torc_remote.builtin.server.workflows import lifecycle
from torc_remote.builtin.server.workflows.status import workflow_status


class Workflow:
    """One workflow in one open write transaction."""

    def __init__(self, connection):
        self.connection = connection
        values = {"name": "w", "user": "alice", "timestamp": "2026-01-01T00:00:00.000Z"}
        self.id = insert(connection, "workflow", values)
        create_requirements(connection, default_requirements(self.id))
        node = ComputeNodeBody(
            workflow_id=self.id, hostname="h", pid=1, start_time="", num_cpus=8, memory_gb=8.0, num_gpus=0,
            num_nodes=1, compute_node_type="local",
        )  # fmt: skip
        self.node = insert(connection, "compute_node", node.given())

    def job(self, name, **more):
        return self.jobs({"name": name, **more})[0]

    def jobs(self, *bodies):
        made = create_jobs(
            self.connection, [JobBody(workflow_id=self.id, command="true", **body) for body in bodies]
        )
        return [job["id"] for job in made]

    def file(self, name):
        return create_named(self.connection, "file", [FileBody(workflow_id=self.id, name=name, path=name)])[
            0
        ]["id"]

    def needs(self, name, **more):
        body = ResourceRequirementsBody(workflow_id=self.id, name=name, **more)
        return create_requirements(self.connection, body)["id"]

    def begin(self):
        lifecycle.reset_workflow(self.connection, self.id, force=False)
        lifecycle.initialize(self.connection, self.id, only_uninitialized=False, clear_ephemeral=False)

    def another_node(self):
        row = dict(self.connection.execute("SELECT * FROM compute_node WHERE id = ?", [self.node]).fetchone())
        return insert(self.connection, "compute_node", {**row, "id": None})

    def claim(self, limit=10, holder=None, **free):
        free = {"num_cpus": 8, "memory_gb": 8.0, "num_gpus": 0, "num_nodes": 1, **free}
        answer = claim_fitting(self.connection, self.id, FreeResources(**free), limit, holder)
        return [job["id"] for job in answer["jobs"]]

    def start(self, job, node=None):
        attempts.start_job(self.connection, job, self.run, node or self.node)

    @property
    def run(self):
        return self.connection.execute("SELECT run_id FROM workflow WHERE id = ?", [self.id]).fetchone()[0]

    def finish(self, job, return_code=0, status=None, run_id=None, node=None, attempt=None):
        """The end of a job, which starts first if it was only claimed; why it is refused, or an empty text."""
        if self.status(job) == "pending":
            self.start(job)
        return self.report(job, return_code, status, run_id or self.run, node, attempt)

    def report(self, job, return_code=0, status=None, run_id=1, node=None, attempt=None):
        status = status or ("failed" if return_code else "completed")
        result = self.result(
            job, run_id=run_id, compute_node_id=node or self.node, attempt_id=attempt, return_code=return_code,
            status=status,
        )  # fmt: skip
        entry = Completion(job_id=job, status=status, run_id=run_id, result=result)
        row = self.connection.execute("SELECT * FROM workflow WHERE id = ?", [self.id]).fetchone()
        if why := attempts.rejection(self.connection, row, entry):
            return why
        attempts.complete(self.connection, result)
        dependencies.unblock(self.connection, self.id, [job])
        return ""

    def result(self, job, **more):
        values = {"workflow_id": self.id, "run_id": 1, "compute_node_id": self.node, "return_code": 143}
        values |= {
            "exec_time_minutes": 0.5,
            "completion_time": "2026-01-01T00:01:00Z",
            "status": "terminated",
        }
        return ResultBody(job_id=job, **values | more)

    def status(self, job):
        return self.connection.execute("SELECT status FROM job WHERE id = ?", [job]).fetchone()[0]

    def summary(self):
        return workflow_status(self.connection, self.id)


@contextmanager
def open_workflow(directory: Path) -> Iterator[Workflow]:
    """A new workflow in a database of its own, in one write transaction."""
    database = Database(directory / "torc.db")
    with database.write() as connection:
        yield Workflow(connection)
    database.close()
