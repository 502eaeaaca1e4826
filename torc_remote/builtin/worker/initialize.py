"""Make a fresh workflow ready to run (torc wire 3.5), without a reset: another worker may have begun meanwhile."""

from __future__ import annotations

from typing import List

from .api import JSON, Api
from .errors import DeniedError, RefusedError, WorkerError
from .times import modified

_ALL = {"offset": 0, "limit": 100000}


def initialize_if_needed(api: Api, workflow: JSON) -> JSON:
    """Initialize the workflow unless somebody did; the workflow as it is then, with its run id.

    Raises WorkerError when it is archived or lacks an input.
    """
    base = "/workflows/{}".format(workflow["id"])
    if _is_uninitialized(api, base):
        if workflow.get("is_archived"):
            raise WorkerError("workflow {} is archived".format(workflow["id"]))
        _require_inputs(api, base)
        try:
            _initialize(api, base)
        except DeniedError:  # a credential of a worker's own is good for this only until another has done it
            if _is_uninitialized(api, base):
                raise
    result: JSON = api.get(base)
    return result


def _is_uninitialized(api: Api, base: str) -> bool:
    return bool(api.get(base + "/is_uninitialized")["is_uninitialized"])


def _initialize(api: Api, base: str) -> None:
    _record_file_times(api, int(base.rpartition("/")[2]))
    # Torc's server makes running jobs ready here: so look again just before, long before another starts one.
    if _is_uninitialized(api, base):
        flags = {"only_uninitialized": "true", "clear_ephemeral_user_data": "false", "async": "false"}
        api.post(base + "/initialize_jobs", query=flags)
        _begin_first_run(api, base)


def _begin_first_run(api: Api, base: str) -> None:
    """Torc's server counts runs by resets alone, and its own client makes one with the first initialization.

    Now that the jobs are initialized nobody else comes to do it once more.
    """
    if api.get(base)["run_id"]:
        return
    try:
        api.post(base + "/reset_status")
    except RefusedError as error:  # another worker has begun, in run 0
        if error.status != 422:
            raise


def _require_inputs(api: Api, base: str) -> None:
    files: List[JSON] = [
        api.get("/files/{}".format(file_id))
        for file_id in api.get(base + "/required_existing_files")["files"]
    ]
    missing = [str(record["path"]) for record in files if modified(record["path"]) is None]
    if missing:
        raise WorkerError("required input files do not exist here: {}".format(", ".join(missing)))
    if api.get(base + "/missing_user_data")["user_data"]:
        raise WorkerError("the workflow needs user data that nobody has supplied yet")


def _record_file_times(api: Api, workflow_id: int) -> None:
    for record in api.get("/files", dict(_ALL, workflow_id=workflow_id))["items"]:
        changed = modified(record["path"])
        if changed is not None:
            api.put("/files/{}".format(record["id"]), dict(record, st_mtime=changed))
