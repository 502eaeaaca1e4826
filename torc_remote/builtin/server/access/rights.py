"""What a worker with a token of its own may ask: every route has a rule here or is forbidden to it.

That a job is changed by its holder alone is the affair of jobs/attempts.py. The rules see to it that a worker
names no compute node but its own.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from torc_remote.builtin.server.access.tokens import WorkerToken, forbidden
from torc_remote.builtin.server.http import BASE_PATH
from torc_remote.builtin.server.store.database import Connection, Database, find
from torc_remote.builtin.server.workflows.lifecycle import is_uninitialized


@dataclass(frozen=True)
class _Asked:
    """A request of a worker; ``names``: the parameters of path and query."""

    connection: Connection
    token: WorkerToken
    names: Mapping[str, str]
    body: Any

    def number(self, name: str) -> int:
        return int(self.names[name])

    def need(self, right: bool, what: str) -> None:
        if not right:
            raise forbidden(f"The worker of {self.token.host} may not use {what}")


_Rule = Callable[[_Asked], None]


async def authorize(request: Request) -> None:
    """Raises 403 for what the worker whose token came with the request may not do."""
    token: WorkerToken | None = request.scope.get("torc_worker")
    if token is None:
        return
    path = request.scope["route"].path.removeprefix(BASE_PATH)
    rule = RULES.get((request.method, path))
    database: Database = request.app.state.database
    if rule is None:
        raise forbidden(f"The worker of {token.host} may not use {request.method} {path}")
    names = {**request.query_params, **request.path_params}

    def check(body: Any) -> None:
        with database.read() as connection:
            rule(_Asked(connection, token, names, body))

    try:
        # what the route reads, not another reading of the same bytes
        await run_in_threadpool(check, await request.json() if await request.body() else None)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise forbidden(f"The worker of {token.host} sent a request that names no workflow or node") from None


def _anything(_asked: _Asked) -> None:
    """Nothing that is anybody's."""


def _own_workflow(asked: _Asked) -> None:
    asked.need(asked.number("workflow_id") == asked.token.workflow_id, "another workflow")


def _own(table: str, name: str) -> _Rule:
    """What belongs to the token's workflow."""

    def rule(asked: _Asked) -> None:
        row = find(asked.connection, table, asked.number(name))
        asked.need(row["workflow_id"] == asked.token.workflow_id, "another workflow")

    return rule


def _first_steps(asked: _Asked) -> None:
    """Who finds a workflow uninitialized initializes it; nothing has been done that could be undone."""
    _own_workflow(asked)
    asked.need(is_uninitialized(asked.connection, asked.token.workflow_id), "a workflow that is initialized")


def _this_run(asked: _Asked) -> None:
    run_id = find(asked.connection, "workflow", asked.token.workflow_id)["run_id"]
    asked.need(asked.token.run_id in (None, run_id), f"run {run_id}, which came after its own")


def _own_nodes(asked: _Asked, nodes: Iterable[Any]) -> None:
    asked.need(all(node == asked.token.node_id for node in nodes), "another worker's compute node")


def _new_node(asked: _Asked) -> None:
    asked.need(asked.body["workflow_id"] == asked.token.workflow_id, "another workflow")
    _this_run(asked)


def _own_node(asked: _Asked) -> None:
    _own_nodes(asked, [asked.number("node_id")])


def _claim(asked: _Asked) -> None:
    _own_workflow(asked)
    _own_nodes(asked, [asked.number("compute_node_id")])
    _this_run(asked)


def _held_job(asked: _Asked) -> None:
    _own("job", "job_id")(asked)
    _own_nodes(asked, [asked.number("compute_node_id")])
    job = find(asked.connection, "job", asked.number("job_id"))
    asked.need(job["compute_node_id"] == asked.token.node_id, "a job that it has not claimed")


def _give_back(asked: _Asked) -> None:
    _held_job(asked)
    asked.need(asked.names["status"] == "ready", f"the state {asked.names['status']}")


def _completion(asked: _Asked) -> None:
    _own("job", "job_id")(asked)
    _own_nodes(asked, [asked.body["compute_node_id"]])


def _completions(asked: _Asked) -> None:
    _own_workflow(asked)
    _own_nodes(asked, [entry["result"]["compute_node_id"] for entry in asked.body["completions"]])


def _file_time(asked: _Asked) -> None:
    """The time of a file that a job of its own makes."""
    _own("file", "file_id")(asked)
    file = find(asked.connection, "file", asked.number("file_id"))
    same = all(asked.body[name] == file[name] for name in ("workflow_id", "name", "path"))
    made_here = asked.connection.execute(
        """SELECT 1 FROM job_file JOIN job ON job.id = job_id
           WHERE file_id = ? AND is_output AND status = 'running' AND compute_node_id = ?""",
        [file["id"], asked.token.node_id],
    ).fetchone()
    first = is_uninitialized(asked.connection, asked.token.workflow_id)
    asked.need(same and bool(made_here or first), "a file that no job of its own makes")


_OF_WORKFLOW = (
    "", "/is_complete", "/is_uninitialized", "/status", "/active_task", "/actions", "/actions/pending",
    "/ro_crate_entities", "/failure_handlers", "/required_existing_files", "/missing_user_data",
)  # fmt: skip
_LISTS = (
    "/jobs", "/files", "/resource_requirements", "/compute_nodes", "/scheduled_compute_nodes", "/slurm_schedulers",
)  # fmt: skip
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

RULES: Mapping[tuple[str, str], _Rule] = {
    ("GET", "/ping"): _anything,
    ("GET", "/version"): _anything,
    **{("GET", f"/workflows/{{workflow_id}}{path}"): _own_workflow for path in _OF_WORKFLOW},
    **{("GET", path): _own_workflow for path in _LISTS},
    ("GET", "/jobs/{job_id}"): _own("job", "job_id"),
    ("GET", "/files/{file_id}"): _own("file", "file_id"),
    ("GET", "/resource_requirements/{requirements_id}"): _own("resource_requirements", "requirements_id"),
    ("GET", "/compute_nodes/{node_id}"): _own_node,
    ("POST", "/compute_nodes"): _new_node,
    ("PUT", "/compute_nodes/{node_id}"): _own_node,
    ("POST", "/workflows/{workflow_id}/claim_jobs_based_on_resources/{limit}"): _claim,
    ("POST", "/workflows/{workflow_id}/claim_next_jobs"): _claim,
    ("PUT", "/jobs/{job_id}/start_job/{run_id}/{compute_node_id}"): _held_job,
    ("PUT", "/jobs/{job_id}/manage_status_change/{status}/{run_id}"): _give_back,
    ("POST", "/jobs/{job_id}/retry/{run_id}"): _held_job,
    ("POST", "/jobs/{job_id}/complete_job/{status}/{run_id}"): _completion,
    ("POST", "/workflows/{workflow_id}/batch_complete_jobs"): _completions,
    ("PUT", "/files/{file_id}"): _file_time,
    ("POST", "/workflows/{workflow_id}/reset_status"): _first_steps,
    ("POST", "/workflows/{workflow_id}/reset_job_status"): _first_steps,
    ("POST", "/workflows/{workflow_id}/initialize_jobs"): _first_steps,
    # what is not served does nothing
    **{(method, "/{path:path}"): _anything for method in _METHODS},
}
"""By method and path of the route, below the base path."""
