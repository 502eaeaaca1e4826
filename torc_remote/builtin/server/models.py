"""Request bodies: names and types of torc's openapi.yaml, unknown fields ignored (torc wire 3.1)."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

JobStatus = Literal[
    "uninitialized", "blocked", "ready", "pending", "running", "completed", "failed", "canceled",
    "terminated", "disabled", "pending_failed",
]  # fmt: skip
JOB_STATUSES: tuple[str, ...] = get_args(JobStatus)

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
Int64 = Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)]
# Sums of such numbers are finite too.
Number = Annotated[float, Field(ge=-1e15, le=1e15)]

JsonObject = dict[str, Any]


class Body(BaseModel):
    """A request body; types are not coerced."""

    model_config = ConfigDict(strict=True, extra="ignore")

    def given(self) -> dict[str, Any]:
        """The fields that the client set to a value."""
        return self.model_dump(exclude_none=True, exclude_unset=True)


class WorkflowBody(Body):
    """POST /workflows."""

    name: str
    user: str
    description: str | None = None
    project: str | None = None
    metadata: JsonObject | None = None
    env: dict[str, str] | None = None
    submission_directory: str | None = None
    compute_node_expiration_buffer_seconds: Int64 | None = None
    compute_node_wait_for_new_jobs_seconds: Int64 | None = None
    compute_node_ignore_workflow_completion: bool | None = None
    compute_node_wait_for_healthy_database_minutes: Int64 | None = None
    compute_node_min_time_for_new_jobs_seconds: Int64 | None = None
    resource_monitor_config: JsonObject | None = None
    execution_config: JsonObject | None = None
    slurm_defaults: JsonObject | None = None
    use_pending_failed: bool | None = None
    enable_ro_crate: bool | None = None
    dynamic_jobs: Any = None
    access_groups: Any = None


class ResourceRequirementsBody(Body):
    """POST /resource_requirements; the defaults are those of the record that every workflow has."""

    workflow_id: Int64
    name: str
    num_cpus: Int64 = 1
    num_gpus: Int64 = 0
    num_nodes: Int64 = 1
    memory: str = "1m"
    runtime: str = "P0DT1M"


class JobBody(Body):
    """One entry of POST /bulk_jobs."""

    workflow_id: Int64
    name: str
    command: str
    invocation_script: str | None = None
    env: dict[str, str] | None = None
    status: JobStatus = "uninitialized"
    cancel_on_blocking_job_failure: bool | None = None
    supports_termination: bool | None = None
    depends_on_job_ids: list[Int64] | None = None
    input_file_ids: list[Int64] | None = None
    output_file_ids: list[Int64] | None = None
    input_user_data_ids: list[Int64] | None = None
    output_user_data_ids: list[Int64] | None = None
    resource_requirements_id: Int64 | None = None
    priority: Int64 | None = None
    labels: list[str] | None = None
    scheduler_id: Int64 | None = None
    failure_handler_id: Int64 | None = None
    attempt_id: Int64 | None = None


class JobsBody(Body):
    """POST /bulk_jobs."""

    jobs: list[JobBody]


class FileBody(Body):
    """POST /files, PUT /files/{id}."""

    workflow_id: Int64
    name: str
    path: str
    st_mtime: Number | None = None


class FilesBody(Body):
    """POST /bulk_files."""

    files: list[FileBody]


class UserDataBody(Body):
    """POST /user_data, PUT /user_data/{id}."""

    workflow_id: Int64
    name: str
    data: Any = None
    is_ephemeral: bool | None = None


class UserDataListBody(Body):
    """POST /bulk_user_data."""

    user_data: list[UserDataBody]


class WorkerTokenBody(Body):
    """POST /workflows/{id}/worker_tokens: the host as its user knows it."""

    host: str


class ComputeNodeBody(Body):
    """POST /compute_nodes, PUT /compute_nodes/{id}."""

    workflow_id: Int64
    hostname: str
    pid: Int64
    start_time: str
    num_cpus: Int64
    memory_gb: Number
    num_gpus: Int64
    num_nodes: Int64
    compute_node_type: str
    end_time: str | None = None
    duration_seconds: Number | None = None
    is_active: bool | None = None
    time_limit: str | None = None
    scheduler_config_id: Int64 | None = None
    scheduler: Any = None
    labels: list[str] | None = None
    sample_count: Int64 | None = None
    peak_cpu_percent: Number | None = None
    avg_cpu_percent: Number | None = None
    peak_memory_bytes: Int64 | None = None
    avg_memory_bytes: Int64 | None = None


class FreeResources(Body):
    """What a worker has left: POST /workflows/{id}/claim_jobs_based_on_resources/{limit}. Memory in GiB."""

    num_cpus: Int64
    memory_gb: Number
    num_gpus: Int64
    num_nodes: Int64
    time_limit: str | None = None
    labels: list[str] | None = None


class ResultBody(Body):
    """What came of one attempt of a job; times in minutes and RFC 3339, memory in bytes."""

    job_id: Int64
    workflow_id: Int64
    run_id: Int64
    attempt_id: Int64 | None = None
    compute_node_id: Int64
    return_code: Int64
    exec_time_minutes: Number
    completion_time: str
    status: JobStatus
    peak_memory_bytes: Int64 | None = None
    avg_memory_bytes: Int64 | None = None
    peak_cpu_percent: Number | None = None
    avg_cpu_percent: Number | None = None


class EventBody(Body):
    """POST /events; the server's own time counts, not that of the body."""

    workflow_id: Int64
    timestamp: Int64
    data: Any


class Completion(Body):
    """One entry of POST /workflows/{id}/batch_complete_jobs."""

    job_id: Int64
    status: JobStatus
    run_id: Int64
    result: ResultBody


class CompletionsBody(Body):
    """POST /workflows/{id}/batch_complete_jobs."""

    completions: list[Completion]
