"""Spec files to WorkflowSpec: the keys that we serve, each checked before anything is created."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torc_remote.spec.fields import Fields
from torc_remote.spec.model import JobSpec, ResourceRequirements, SpecError, WorkflowSpec
from torc_remote.spec.monitor import read_monitor
from torc_remote.spec.text import parse

# What torc 1.0 knows (torc wire 2.1, 2.2) and we don't serve: refused with a hint at the native engine.
_WORKFLOW_ELSEWHERE = (
    "user project metadata variables parameters parameters_file files user_data failure_handlers actions "
    "execution_config compute_node_ignore_workflow_completion compute_node_wait_for_healthy_database_minutes "
    "compute_node_expiration_buffer_seconds use_pending_failed enable_ro_crate dynamic_jobs access_groups "
    "slurm_schedulers slurm_defaults slurm_config"
)
_JOB_ELSEWHERE = (
    "invocation_script supports_termination failure_handler scheduler depends_on_regexes input_files "
    "input_file_regexes output_files output_file_regexes input_user_data input_user_data_regexes "
    "output_user_data output_user_data_regexes parameters parameter_mode use_parameters parameters_file "
    "use_parameters_file stdio priority labels"
)
_MEMORY = r"[0-9]+[kKmMgGtT]?"
_DURATION = r"P(?=.*[0-9])(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?"


def load_spec(path: str | Path) -> WorkflowSpec:
    """The workflow that a YAML or JSON file describes; ``-`` is stdin. Raises SpecError."""
    if str(path) == "-":
        return parse_spec(sys.stdin.read(), "stdin")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError(f"Cannot read the spec {path}: {reason}.") from error
    return parse_spec(text, str(path))


def parse_spec(text: str, source: str) -> WorkflowSpec:
    """The workflow that ``text`` describes; ``source``, a file's name, decides the format, for errors too."""
    suffix = Path(source).suffix.lower()
    if suffix in (".json5", ".kdl"):
        raise SpecError(
            f"{source}: specs are read from YAML and JSON; the native 'torc create' reads {suffix[1:]}."
        )
    is_json = suffix == ".json" or (suffix not in (".yaml", ".yml") and text.lstrip().startswith("{"))
    spec = _workflow(parse(text, source, is_json), source)
    try:
        _check_names(spec)
        spec.levels()
    except SpecError as error:
        raise SpecError(f"{source}: {error}") from error
    return spec


def _workflow(data: Any, source: str) -> WorkflowSpec:
    known = (
        "name description env jobs resource_requirements resource_monitor resource_monitor_config "
        "compute_node_wait_for_new_jobs_seconds"
    )
    fields = Fields(data, source, known, _WORKFLOW_ELSEWHERE)
    requirements = enumerate(fields.items("resource_requirements"), 1)
    jobs = tuple(
        _job(job, _place(source, "job", number, job)) for number, job in enumerate(fields.items("jobs"), 1)
    )
    if not jobs:
        raise SpecError(f"{source}: the key 'jobs' must be a list of at least one job.")
    return WorkflowSpec(
        name=fields.text("name"),
        jobs=jobs,
        description=fields.optional("description", fields.text),
        env=fields.environment("env"),
        resource_requirements=tuple(
            _requirements(item, _place(source, "resource_requirements", number, item))
            for number, item in requirements
        ),
        resource_monitor=read_monitor(fields),
        compute_node_wait_for_new_jobs_seconds=fields.optional(
            "compute_node_wait_for_new_jobs_seconds", fields.integer
        ),
    )


def _job(data: Any, where: str) -> JobSpec:
    known = "name command env depends_on resource_requirements cancel_on_blocking_job_failure"
    fields = Fields(data, where, known, _JOB_ELSEWHERE)
    return JobSpec(
        name=fields.text("name"),
        command=fields.text("command"),
        env=fields.environment("env"),
        depends_on=fields.names("depends_on"),
        resource_requirements=fields.optional("resource_requirements", fields.text),
        cancel_on_blocking_job_failure=fields.flag("cancel_on_blocking_job_failure", True),
    )


def _requirements(data: Any, where: str) -> ResourceRequirements:
    fields = Fields(data, where, "name num_cpus memory num_gpus num_nodes runtime")
    least = {"num_gpus": 0, "num_nodes": 1}
    optional: dict[str, Any] = {
        key: fields.integer(key, number) for key, number in least.items() if key in fields
    }
    if "runtime" in fields:
        optional["runtime"] = fields.text("runtime", _DURATION, 'an ISO 8601 duration such as "PT1H30M"')
    return ResourceRequirements(
        name=fields.text("name"),
        num_cpus=fields.integer("num_cpus", 1),
        memory=fields.text("memory", _MEMORY, 'a text such as "100m" or "2g"'),
        **optional,
    )


def _place(source: str, kind: str, number: int, item: Any) -> str:
    """Where an item of a list is: by its name if it has one, and always by its number."""
    name = item.get("name") if isinstance(item, dict) else None
    return f"{source}: {kind} {number} ('{name}')" if isinstance(name, str) else f"{source}: {kind} {number}"


def _check_names(spec: WorkflowSpec) -> None:
    jobs = _unique("job", (job.name for job in spec.jobs))
    requirements = _unique("resource_requirements", (item.name for item in spec.resource_requirements))
    for job in spec.jobs:
        if missing := [name for name in job.depends_on if name not in jobs]:
            raise SpecError(f"job '{job.name}' depends on '{missing[0]}', which is no job of this spec.")
        if job.resource_requirements is not None and job.resource_requirements not in requirements:
            raise SpecError(
                f"job '{job.name}' names the resource_requirements '{job.resource_requirements}', "
                "which this spec does not define."
            )


def _unique(kind: str, names: Iterable[str]) -> set[str]:
    seen = set[str]()
    for name in names:
        if name in seen:
            raise SpecError(f"two {kind} entries have the name '{name}'.")
        seen.add(name)
    return seen
