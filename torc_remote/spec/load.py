"""Spec files to WorkflowSpec: the keys that we serve, each checked before anything is created."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torc_remote.spec import parameters
from torc_remote.spec.check import check
from torc_remote.spec.fields import Fields
from torc_remote.spec.files import resolve_tokens
from torc_remote.spec.model import (
    FileSpec,
    JobSpec,
    ResourceRequirements,
    SpecError,
    UnsupportedSpecError,
    WorkflowSpec,
)
from torc_remote.spec.monitor import read_monitor
from torc_remote.spec.text import parse
from torc_remote.spec.variables import substitute_variables

# The keys of torc 1.0 (torc wire 2.1, 2.2): those that we serve, and those that we refuse with a hint at the
# native engine.
_WORKFLOW_KEYS = (
    "name description project metadata env variables parameters jobs files resource_requirements "
    "resource_monitor resource_monitor_config compute_node_wait_for_new_jobs_seconds"
)
_WORKFLOW_ELSEWHERE = (
    "user parameters_file user_data failure_handlers actions "
    "execution_config compute_node_ignore_workflow_completion compute_node_wait_for_healthy_database_minutes "
    "compute_node_expiration_buffer_seconds use_pending_failed enable_ro_crate dynamic_jobs access_groups "
    "slurm_schedulers slurm_defaults"
)
_JOB_KEYS = (
    "name command invocation_script env depends_on input_files output_files resource_requirements priority "
    f"cancel_on_blocking_job_failure {parameters.KEYS}"
)
_JOB_ELSEWHERE = (
    "supports_termination failure_handler scheduler depends_on_regexes input_file_regexes "
    "output_file_regexes input_user_data input_user_data_regexes output_user_data output_user_data_regexes "
    "parameters_file use_parameters_file stdio labels"
)
_FILE_KEYS = f"name path st_mtime {parameters.KEYS}"
_FILE_ELSEWHERE = "identifier parameters_file use_parameters_file"
_REQUIREMENTS_KEYS = "name num_cpus memory num_gpus num_nodes runtime"
# list of the spec: (keys that we serve, keys that we refuse)
_ITEM_KEYS = {
    "jobs": (_JOB_KEYS, _JOB_ELSEWHERE),
    "files": (_FILE_KEYS, _FILE_ELSEWHERE),
    "resource_requirements": (_REQUIREMENTS_KEYS, ""),
}
# as torc's specs have it; torc_remote.values.read_memory takes more
_MEMORY = r"[0-9]+[kKmMgGtT]?"
_DURATION = r"P(?=.*[0-9])(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?"


def load_spec(path: str | Path) -> WorkflowSpec:
    """The workflow that a YAML or JSON file describes; ``-`` is stdin. Raises SpecError."""
    return parse_spec(read_spec(path), "stdin" if str(path) == "-" else str(path))


def read_spec(path: str | Path) -> str:
    """The text of a spec file; ``-`` is stdin. Raises SpecError."""
    try:
        return sys.stdin.read() if str(path) == "-" else Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError(f"Cannot read the spec {path}: {reason}.") from error


def parse_spec(text: str, source: str) -> WorkflowSpec:
    """The workflow that ``text`` describes; ``source``, a file's name, decides the format, for errors too.

    Raises UnsupportedSpecError for what only the real torc does, and SpecError for all other faults.
    """
    suffix = Path(source).suffix.lower()
    if suffix in (".json5", ".kdl"):
        raise UnsupportedSpecError(f"{source}: the format {suffix[1:]} (only YAML and JSON)")
    is_json = suffix == ".json" or (suffix not in (".yaml", ".yml") and text.lstrip().startswith("{"))
    data = parse(text, source, is_json)
    # Before any value is looked at, so that a spec for the real torc is known as such.
    fields = Fields(data, source, _WORKFLOW_KEYS, _WORKFLOW_ELSEWHERE)
    for kind in _ITEM_KEYS:
        list(_items(fields, kind))
    spec = _workflow(Fields(substitute_variables(data, source), source, _WORKFLOW_KEYS))
    try:
        check(spec)
    except SpecError as error:
        raise SpecError(f"{source}: {error}") from error
    return spec


def _workflow(fields: Fields) -> WorkflowSpec:
    shared = parameters.read_parameters(fields)
    files = tuple(_file(item) for item in _expanded(fields, "files", shared))
    paths = {file.name: file.path for file in files}
    jobs = tuple(resolve_tokens(_job(item), paths) for item in _expanded(fields, "jobs", shared))
    if not jobs:
        raise SpecError(f"{fields.where}: the key 'jobs' must be a list of at least one job.")
    return WorkflowSpec(
        name=fields.text("name"),
        jobs=jobs,
        description=fields.optional("description", fields.text),
        project=fields.optional("project", fields.text),
        metadata=fields.optional("metadata", fields.mapping),
        env=parameters.fill_single(fields.environment("env"), shared, fields.where),
        resource_requirements=tuple(_requirements(item) for item in _items(fields, "resource_requirements")),
        files=files,
        resource_monitor=read_monitor(fields),
        compute_node_wait_for_new_jobs_seconds=fields.optional(
            "compute_node_wait_for_new_jobs_seconds", fields.integer
        ),
    )


def _items(workflow: Fields, kind: str) -> Iterator[Fields]:
    """The items of one list of the workflow, their keys checked."""
    for number, item in enumerate(workflow.items(kind), 1):
        yield Fields(item, _place(workflow.where, kind, number, item), *_ITEM_KEYS[kind])


def _expanded(workflow: Fields, kind: str, shared: parameters.Values) -> Iterator[Fields]:
    """The items of one list, each as often as its parameters say."""
    for number, item in enumerate(_items(workflow, kind), 1):
        for copy in parameters.expand(item, shared):
            yield Fields(copy, _place(workflow.where, kind, number, copy), *_ITEM_KEYS[kind])


def _job(fields: Fields) -> JobSpec:
    return JobSpec(
        name=fields.text("name"),
        command=fields.text("command"),
        env=fields.environment("env"),
        depends_on=fields.names("depends_on"),
        resource_requirements=fields.optional("resource_requirements", fields.text),
        cancel_on_blocking_job_failure=fields.flag("cancel_on_blocking_job_failure", True),
        invocation_script=fields.optional("invocation_script", fields.text),
        input_files=fields.names("input_files"),
        output_files=fields.names("output_files"),
        priority=fields.optional("priority", fields.integer),
    )


def _file(fields: Fields) -> FileSpec:
    return FileSpec(fields.text("name"), fields.text("path"), fields.optional("st_mtime", fields.number))


def _requirements(fields: Fields) -> ResourceRequirements:
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
    word = kind if kind == "resource_requirements" else kind.removesuffix("s")
    name = item.get("name") if isinstance(item, dict) else None
    return f"{source}: {word} {number} ('{name}')" if isinstance(name, str) else f"{source}: {word} {number}"
