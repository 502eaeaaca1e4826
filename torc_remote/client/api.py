"""TorcClient: torc's REST API, one method an endpoint, what is on the wire in and out (torc wire 3, 4)."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote

from torc_remote.client.config import Settings
from torc_remote.client.errors import ApiError, ServerError
from torc_remote.client.transport import Params, Transport
from torc_remote.errors import TorcError

Json = dict[str, Any]

API_VERSION = "0.23.0"
PAGE = 100_000  # the server's own upper limit
PART = 10_000  # so many records in one request stay far below the limits of servers

T = TypeVar("T")


def workflow_key(workflow: Json) -> str:
    """What tells a workflow apart from others with its number, part of the name of its workers' records.

    It is the time at which it was made, in milliseconds since 1970: the server gives it with the workflow, and it
    survives restart, reset and update (torc wire 3.3). So a server under two names is one, and a new database behind
    the same URL is another. Raises ServerError where the server gives no such time.
    """
    try:
        made = datetime.fromisoformat(str(workflow.get("timestamp")))
    except ValueError as error:
        raise ServerError(f"The server does not tell when workflow {workflow.get('id')} was made.") from error
    return str(round(made.replace(tzinfo=made.tzinfo or UTC).timestamp() * 1000))


class TorcClient:
    """A session with the server of ``settings``.

    Every method raises ApiError where the server says no, and ServerError where none is to be had.
    ``timeout`` is (to connect, between two pieces of the answer), in seconds.
    """

    def __init__(self, settings: Settings, timeout: tuple[float, float] = (10, 120)) -> None:
        self.settings = settings
        self._transport = Transport(settings, timeout)
        self._version: Json | None = None

    # -- server

    def ping(self) -> Json:
        return self._get("/ping")

    def version(self) -> Json:
        """``{"version": "1.0.0 (unknown)", "api_version": "0.23.0", ...}``; asked once."""
        if self._version is None:
            self._version = self._get("/version")
        return self._version

    def check_version(self) -> str | None:
        """Compare API versions (torc wire 5): None, or a warning. Raises TorcError when they can't work.

        A server that doesn't tell its version is let pass, as torc does.
        """
        try:
            theirs = self.version().get("api_version")
        except ApiError:
            return None
        if not isinstance(theirs, str):
            return None
        ours, parts = API_VERSION.split("."), theirs.split(".")
        if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
            return f"the server's API version '{theirs}' can't be read; ours is {API_VERSION}."
        if parts[0] != ours[0]:
            raise TorcError(
                f"API version incompatible: the server has {theirs}, this client {API_VERSION}. "
                "Use --skip-version-check to go on all the same."
            )
        return (
            None if parts[1] == ours[1] else f"API version mismatch: server {theirs}, client {API_VERSION}."
        )

    # -- workflows

    def list_workflows(self, **filters: Any) -> list[Json]:
        """``filters``: user, name, is_archived, sort_by, reverse_sort, limit, ..."""
        return self._list("/workflows", filters)

    def create_workflow(self, workflow: Json) -> Json:
        return self._post("/workflows", json=workflow)

    def get_workflow(self, workflow_id: int) -> Json:
        return self._get(f"/workflows/{workflow_id}")

    def find_workflow(self, workflow_id: int) -> Json | None:
        """The workflow; None for one that the server does not know (any more)."""
        try:
            return self.get_workflow(workflow_id)
        except ApiError as error:
            if error.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                return None
            raise

    def workflow_key(self, workflow_id: int) -> str:
        """See the function of this name; empty for a workflow that the server does not know (any more)."""
        workflow = self.find_workflow(workflow_id)
        return workflow_key(workflow) if workflow else ""

    def delete_workflow(self, workflow_id: int) -> Json:
        return self._object("DELETE", f"/workflows/{workflow_id}")

    def cancel_workflow(self, workflow_id: int) -> Json:
        return self._put(f"/workflows/{workflow_id}/cancel")

    def workflow_status(self, workflow_id: int) -> Json:
        return self._get(f"/workflows/{workflow_id}/status")

    def is_complete(self, workflow_id: int) -> Json:
        """``{"is_canceled": bool, "is_complete": bool}``"""
        return self._get(f"/workflows/{workflow_id}/is_complete")

    def is_uninitialized(self, workflow_id: int) -> bool:
        return bool(self._get(f"/workflows/{workflow_id}/is_uninitialized")["is_uninitialized"])

    def reset_workflow_status(self, workflow_id: int, force: bool = False) -> Json:
        """A new run of the workflow: run_id + 1. The server refuses while jobs run, unless ``force``."""
        return self._post(f"/workflows/{workflow_id}/reset_status", {"force": True} if force else None)

    def reset_job_status(self, workflow_id: int, failed_only: bool = False) -> Json:
        """``{"updated_count": n, ...}``; done whatever runs, so look first (lifecycle.reset_workflow)."""
        return self._post(f"/workflows/{workflow_id}/reset_job_status", {"failed_only": failed_only})

    def initialize_jobs(self, workflow_id: int, only_uninitialized: bool = False) -> Json:
        """Add dependency edges, set blocked and ready; done when this returns."""
        flags = {"only_uninitialized": only_uninitialized, "clear_ephemeral_user_data": False, "async": False}
        return self._post(f"/workflows/{workflow_id}/initialize_jobs", flags)

    def required_existing_files(self, workflow_id: int) -> list[int]:
        return list(self._get(f"/workflows/{workflow_id}/required_existing_files")["files"])

    def missing_user_data(self, workflow_id: int) -> list[int]:
        return list(self._get(f"/workflows/{workflow_id}/missing_user_data")["user_data"])

    # -- what a workflow consists of

    def list_files(self, workflow_id: int, **filters: Any) -> list[Json]:
        return self._list("/files", {"workflow_id": workflow_id} | filters)

    def get_file(self, file_id: int) -> Json:
        return self._get(f"/files/{file_id}")

    def update_file(self, file: Json) -> Json:
        return self._put(f"/files/{file['id']}", file)

    def create_files(self, files: Sequence[Json]) -> list[Json]:
        """The created files with their IDs."""
        return [
            made
            for part in _parts(files)
            for made in self._post("/bulk_files", json={"files": part})["files"]
        ]

    def create_resource_requirements(self, requirements: Json) -> Json:
        return self._post("/resource_requirements", json=requirements)

    def create_jobs(self, jobs: Sequence[Json]) -> list[Json]:
        """The created jobs with their IDs, in the order of ``jobs``."""
        return [
            made for part in _parts(jobs) for made in self._post("/bulk_jobs", json={"jobs": part})["jobs"]
        ]

    def create_worker_token(self, workflow_id: int, host: str) -> str | None:
        """A credential for this workflow's worker on this host alone; None from a server that has none to give."""
        try:
            return str(self._post(f"/workflows/{workflow_id}/worker_tokens", json={"host": host})["token"])
        except ApiError as error:
            if error.status not in (404, 405, 501):
                raise
            self.get_workflow(workflow_id)  # or is it that which is unknown?
            return None

    # -- jobs and results

    def list_jobs(self, workflow_id: int, **filters: Any) -> list[Json]:
        """``filters``: status, active_compute_node_id, include_relationships, name, limit, ..."""
        return self._list("/jobs", {"workflow_id": workflow_id} | filters)

    def get_job(self, job_id: int) -> Json:
        return self._get(f"/jobs/{job_id}")

    def start_job(self, job_id: int, run_id: int, node_id: int) -> Json:
        """From pending to running, on this compute node."""
        return self._put(f"/jobs/{job_id}/start_job/{run_id}/{node_id}")

    def retry_job(self, job_id: int, run_id: int, max_retries: int, node_id: int | None = None) -> Json:
        """From running, failed or terminated to ready, while the attempt is below ``max_retries`` (torc wire 4.2).

        With ``node_id`` the built-in server refuses unless the job is on this compute node; torc's own does not look.
        """
        params = {"max_retries": max_retries, "compute_node_id": node_id}
        return self._post(f"/jobs/{job_id}/retry/{run_id}", params)

    def block_job(self, job_id: int, run_id: int) -> Json:
        """From canceled to blocked: the job waits again for those that it depends on."""
        return self._put(f"/jobs/{job_id}/manage_status_change/blocked/{run_id}")

    def batch_complete_jobs(self, workflow_id: int, completions: Sequence[Json]) -> Json:
        """``{"completed": [ids], "errors": [{"job_id", "message"}]}`` (torc wire 4.2)."""
        return self._post(
            f"/workflows/{workflow_id}/batch_complete_jobs", json={"completions": list(completions)}
        )

    def list_results(self, workflow_id: int, **filters: Any) -> list[Json]:
        """``filters``: job_id, run_id, return_code, status, compute_node_id, all_runs, limit, ..."""
        return self._list("/results", {"workflow_id": workflow_id} | filters)

    def create_result(self, result: Json) -> Json:
        """A result for a running job's attempt, which ends nothing: the worker's own comes too late then.

        An attempt has one result: the server answers 500 to a second one.
        """
        return self._post("/results", json=result)

    # -- events

    def create_event(self, workflow_id: int, data: Json) -> Json:
        """Note what happened; the server adds ``id`` and ``timestamp`` (milliseconds since 1970)."""
        return self._post("/events", json={"workflow_id": workflow_id, "timestamp": 0, "data": data})

    def list_events(self, workflow_id: int, **filters: Any) -> list[Json]:
        """``filters``: category (that of the data), after_timestamp, limit, ..."""
        return self._list("/events", {"workflow_id": workflow_id} | filters)

    # -- compute nodes: the workers that registered

    def list_compute_nodes(self, workflow_id: int, **filters: Any) -> list[Json]:
        """``filters``: hostname, is_active, limit, ..."""
        return self._list("/compute_nodes", {"workflow_id": workflow_id} | filters)

    def get_compute_node(self, node_id: int) -> Json:
        return self._get(f"/compute_nodes/{node_id}")

    def update_compute_node(self, node: Json) -> Json:
        return self._put(f"/compute_nodes/{node['id']}", node)

    # -- remote workers: the addresses of a workflow's machines (torc wire 3.3)

    def list_remote_workers(self, workflow_id: int) -> list[str]:
        """The stored addresses, in the server's order (that of the text)."""
        answer = self._transport.request("GET", f"/workflows/{workflow_id}/remote_workers")
        return [str(entry["worker"]) for entry in answer]

    def add_remote_workers(self, workflow_id: int, workers: Sequence[str]) -> None:
        """Store addresses. The server ignores those that it has and checks nothing."""
        for part in _parts(workers):
            self._transport.request("POST", f"/workflows/{workflow_id}/remote_workers", json=part)

    def remove_remote_worker(self, workflow_id: int, worker: str) -> None:
        self._transport.request("DELETE", f"/workflows/{workflow_id}/remote_workers/{quote(worker, safe='')}")

    # -- the shapes of requests

    def _get(self, path: str, params: Params | None = None) -> Json:
        return self._object("GET", path, params)

    def _post(self, path: str, params: Params | None = None, json: Any = None) -> Json:
        return self._object("POST", path, params, json)

    def _put(self, path: str, json: Any = None) -> Json:
        return self._object("PUT", path, None, json)

    def _object(self, method: str, path: str, params: Params | None = None, json: Any = None) -> Json:
        answer = self._transport.request(method, path, params, json)
        if not isinstance(answer, dict):
            raise ServerError(f"The server's answer to {method} {path} is not a JSON object.")
        return answer

    def _list(self, path: str, params: Params) -> list[Json]:
        """All items over all pages; ``limit`` in ``params`` is the most wanted, from ``offset`` on."""
        wanted, offset = params.get("limit"), params.get("offset") or 0
        items: list[Json] = []
        while wanted is None or len(items) < wanted:
            limit = PAGE if wanted is None else min(PAGE, wanted - len(items))
            page = self._get(path, params | {"offset": offset + len(items), "limit": limit})
            items += page["items"]
            if not page.get("has_more") or not page["items"]:
                break
        return items


def _parts(items: Sequence[T]) -> Iterator[list[T]]:
    return (list(items[start : start + PART]) for start in range(0, len(items), PART))
