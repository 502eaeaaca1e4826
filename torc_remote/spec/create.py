"""A WorkflowSpec to the objects of a server (torc wire 3.4)."""

import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torc_remote.client.api import TorcClient
from torc_remote.errors import TorcError
from torc_remote.spec.model import FileSpec, JobSpec, WorkflowSpec


def create_workflow(client: TorcClient, spec: WorkflowSpec, user: str) -> int:
    """Create the workflow with all its parts; its ID. When that fails, it is deleted again."""
    workflow_id = int(client.create_workflow(_workflow(spec, user))["id"])
    try:
        _create_contents(client, spec, workflow_id)
    except BaseException as error:
        _remove(client, workflow_id, error)
        raise
    return workflow_id


def _workflow(spec: WorkflowSpec, user: str) -> dict[str, Any]:
    workflow = {
        "name": spec.name,
        "user": user,
        "description": spec.description,
        "project": spec.project,
        "metadata": spec.metadata,
        "env": spec.env or None,
        "compute_node_wait_for_new_jobs_seconds": spec.compute_node_wait_for_new_jobs_seconds,
        "resource_monitor_config": spec.resource_monitor,
        "submission_directory": str(Path.cwd()),
    }
    return {key: value for key, value in workflow.items() if value is not None}


def _create_contents(client: TorcClient, spec: WorkflowSpec, workflow_id: int) -> None:
    files = _create_files(client, spec, workflow_id)
    requirements: dict[str, int] = {}
    for item in spec.resource_requirements:
        created = client.create_resource_requirements({"workflow_id": workflow_id} | asdict(item))
        requirements[item.name] = created["id"]
    jobs: dict[str, int] = {}
    for level in spec.levels():  # a dependency's ID must exist when a job names it
        created_jobs = client.create_jobs(
            [_job(job, workflow_id, jobs, requirements, files) for job in level]
        )
        jobs |= {job.name: created["id"] for job, created in zip(level, created_jobs, strict=True)}


def _create_files(client: TorcClient, spec: WorkflowSpec, workflow_id: int) -> dict[str, int]:
    if not spec.files:
        return {}
    inputs = {name for job in spec.jobs for name in job.input_files}
    created = client.create_files([_file(file, workflow_id, file.name in inputs) for file in spec.files])
    return {file["name"]: file["id"] for file in created}


def _file(file: FileSpec, workflow_id: int, is_input: bool) -> dict[str, Any]:
    """An input file that is here has a time: that tells the server that it exists."""
    body = {"workflow_id": workflow_id, "name": file.name, "path": file.path}
    if file.st_mtime is not None:
        return body | {"st_mtime": float(file.st_mtime)}
    if is_input:
        with contextlib.suppress(OSError):
            return body | {"st_mtime": Path(file.path).stat().st_mtime}
    return body


def _job(
    job: JobSpec,
    workflow_id: int,
    jobs: dict[str, int],
    requirements: dict[str, int],
    files: dict[str, int],
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "workflow_id": workflow_id,
        "name": job.name,
        "command": job.command,
        "status": "uninitialized",
        "cancel_on_blocking_job_failure": job.cancel_on_blocking_job_failure,
        "supports_termination": False,
        "attempt_id": 1,
    }
    optional = {
        "invocation_script": job.invocation_script,
        "env": job.env or None,
        "depends_on_job_ids": [jobs[name] for name in job.depends_on] or None,
        "input_file_ids": [files[name] for name in job.input_files] or None,
        "output_file_ids": [files[name] for name in job.output_files] or None,
        "priority": job.priority,
    }
    if job.resource_requirements is not None:
        optional["resource_requirements_id"] = requirements[job.resource_requirements]
    return body | {key: value for key, value in optional.items() if value is not None}


def _remove(client: TorcClient, workflow_id: int, error: BaseException) -> None:
    try:
        client.delete_workflow(workflow_id)
    except TorcError as failure:
        error.add_note(f"Workflow {workflow_id} is left incomplete on the server: {failure}")
