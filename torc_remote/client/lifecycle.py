"""What takes several requests and must be done alike by the CLI, the worker's start and the playbooks."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path

from torc_remote import __version__
from torc_remote.client.api import Json, TorcClient
from torc_remote.client.errors import ApiError
from torc_remote.errors import TorcError

SHOWN_FILES = 5


def initialize_workflow(client: TorcClient, workflow_id: int, force: bool = False) -> None:
    """Start a new run: every job becomes ready, or blocked by others (torc wire 3.5).

    Input files are looked for here, relative to the current directory, as torc does. Raises TorcError,
    before anything is changed, when the workflow is archived, and, unless ``force``, when it has running jobs
    or lacks files or user data.
    """
    if client.get_workflow(workflow_id).get("is_archived"):
        raise TorcError(f"Workflow {workflow_id} is archived.")
    if not force:
        _refuse_while_jobs_run(client, workflow_id)
        _refuse_missing_data(client, workflow_id)
    client.reset_workflow_status(workflow_id, force)
    client.reset_job_status(workflow_id)
    _record_file_times(client, workflow_id)
    client.initialize_jobs(workflow_id)


def reset_workflow(
    client: TorcClient, workflow_id: int, failed_only: bool, reinitialize: bool, force: bool
) -> int:
    """Reset the workflow and its jobs (all, or those that ended badly); the number of jobs reset.

    The server resets jobs whatever is running, and a second worker would then start them again (torc wire
    4.8): so we look first, and raise TorcError unless ``force``.
    """
    if not force:
        _refuse_while_jobs_run(client, workflow_id)
    client.reset_workflow_status(workflow_id, force)
    count = int(client.reset_job_status(workflow_id, failed_only)["updated_count"])
    if reinitialize:
        client.initialize_jobs(workflow_id, only_uninitialized=True)
    return count


def requeue_jobs(client: TorcClient, job_ids: Sequence[int]) -> list[Json]:
    """Make jobs that ended badly ready for another attempt, while others run on; the jobs as they are then.

    What was canceled because of them waits for them again. Not by initialization: torc's server makes running jobs
    ready by that as well. Raises TorcError, before anything is changed, for a job that did not end badly.
    """
    jobs = [client.get_job(number) for number in dict.fromkeys(job_ids)]
    if wrong := [job for job in jobs if job["status"] not in ("failed", "terminated")]:
        names = ", ".join(f"{job['id']} ({job['status']})" for job in wrong)
        raise TorcError(
            f"Only failed and terminated jobs can be run again alone; others are {names}. Nothing was changed."
        )
    done = []
    for job in jobs:
        run_id = client.get_workflow(job["workflow_id"])["run_id"]
        # first: the job may be over before its dependents wait for it, and an interrupted call can be repeated
        _block_below(client, job, run_id)
        done.append(client.retry_job(job["id"], run_id, job.get("attempt_id", 1) + 1))
    return done


def _block_below(client: TorcClient, job: Json, run_id: int) -> None:
    for dependent in client.list_jobs(job["workflow_id"], upstream_job_id=job["id"], status="canceled"):
        client.block_job(dependent["id"], run_id)
        _block_below(client, dependent, run_id)


def worker_version(client: TorcClient) -> str:
    """The version that workers should have: the first word of the server's own (torc wire 5)."""
    words = str(client.version().get("version", "")).split()
    return words[0] if words else __version__


def ensure_runnable(
    client: TorcClient, workflow_id: int, note: Callable[[str], object], change: bool = True
) -> bool:
    """Initialize a workflow that is not; whether that was to be done (it is not done unless ``change``).

    Input files belong to the hosts: ``note`` takes the line that says which are not here; they need not be.
    Raises TorcError for a workflow that is over: workers would come and go without a job.
    """
    ended = client.is_complete(workflow_id)
    if ended["is_complete"] or ended["is_canceled"]:
        state = "canceled" if ended["is_canceled"] else "complete"
        raise TorcError(
            f"Workflow {workflow_id} is {state}. To run it again, reset it first (with --failed-only just the jobs "
            "that failed, were terminated or canceled, and those after them):\n"
            f"    torc workflows reset-status {workflow_id} --reinitialize\n"
            f"    torc remote run {workflow_id}"
        )
    if not client.is_uninitialized(workflow_id):
        return False
    if text := inputs_elsewhere(client, workflow_id):
        note(text)
    if change:
        _initialize_once(client, workflow_id)
    return True


def _initialize_once(client: TorcClient, workflow_id: int) -> None:
    """Without a reset: others may do it at the same moment, and their workers may have begun."""
    if client.get_workflow(workflow_id).get("is_archived"):
        raise TorcError(f"Workflow {workflow_id} is archived.")
    _refuse_missing_user_data(client, workflow_id)
    _record_file_times(client, workflow_id)
    # torc's server makes running jobs ready here: so look again just before, long before another's worker starts one
    if client.is_uninitialized(workflow_id):
        client.initialize_jobs(workflow_id, only_uninitialized=True)
        _begin_first_run(client, workflow_id)


def _begin_first_run(client: TorcClient, workflow_id: int) -> None:
    """Torc's server counts runs by resets alone, and its own client makes one with the first initialization.

    Now that the jobs are initialized nobody else comes to do it once more.
    """
    if client.get_workflow(workflow_id)["run_id"]:
        return
    try:
        client.reset_workflow_status(workflow_id)
    except ApiError as error:  # a worker has begun, in run 0
        if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            raise


def inputs_elsewhere(client: TorcClient, workflow_id: int) -> str:
    """The sentences that say which input files are not on this machine; empty when all are."""
    paths = _files_not_here(client, workflow_id)
    if not paths:
        return ""
    shown = ", ".join(paths[:SHOWN_FILES]) + (", ..." if len(paths) > SHOWN_FILES else "")
    return (
        f"Input files that are not on this machine, seen from the current directory: {shown}. What counts is that "
        "the workers' machines have them, relative paths from the home directory; nobody has looked there."
    )


def _refuse_while_jobs_run(client: TorcClient, workflow_id: int) -> None:
    counts = client.workflow_status(workflow_id)["jobs_by_status"]
    if running := counts.get("running", 0) + counts.get("pending", 0):
        raise TorcError(
            f"Workflow {workflow_id} has {running} running job(s). Stop its workers first "
            f"('torc remote stop {workflow_id}', or 'torc cancel {workflow_id}'), or use --force, and what runs loses "
            "its results. To run failed jobs again beside the others: 'torc jobs reset-status JOB...'."
        )


def _refuse_missing_data(client: TorcClient, workflow_id: int) -> None:
    if missing := _files_not_here(client, workflow_id):
        raise TorcError(f"Workflow {workflow_id} needs files that are not here: {', '.join(missing)}")
    _refuse_missing_user_data(client, workflow_id)


def _refuse_missing_user_data(client: TorcClient, workflow_id: int) -> None:
    if user_data := client.missing_user_data(workflow_id):
        raise TorcError(f"Workflow {workflow_id} needs user data that is missing: {user_data}")


def _files_not_here(client: TorcClient, workflow_id: int) -> list[str]:
    paths = [str(client.get_file(number)["path"]) for number in client.required_existing_files(workflow_id)]
    return [path for path in paths if _modified(path) is None]


def _record_file_times(client: TorcClient, workflow_id: int) -> None:
    for file in client.list_files(workflow_id):
        if (changed := _modified(file["path"])) is not None:
            client.update_file(file | {"st_mtime": changed})


def _modified(path: str) -> float | None:
    try:
        return Path(path).stat().st_mtime
    except (OSError, ValueError):
        return None
