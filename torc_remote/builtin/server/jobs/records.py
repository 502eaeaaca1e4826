"""Jobs as records: creation with its checks, and the views that endpoints give (torc wire 3.4, 3.6)."""

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from torc_remote.builtin.server.errors import invalid
from torc_remote.builtin.server.models import JobBody
from torc_remote.builtin.server.store.database import Connection, Record, find, insert, record

_INTERNAL = ("result_id", "run_id")
_UNSET = {"invocation_script": "", "scheduler_id": 0, "failure_handler_id": 0}
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

# field on the wire -> (table of the relation, its column, is_output or None)
_RELATIONS: dict[str, tuple[str, str, int | None]] = {
    "depends_on_job_ids": ("job_depends_on", "depends_on_job_id", None),
    "input_file_ids": ("job_file", "file_id", 0),
    "output_file_ids": ("job_file", "file_id", 1),
    "input_user_data_ids": ("job_user_data", "user_data_id", 0),
    "output_user_data_ids": ("job_user_data", "user_data_id", 1),
}
_TARGETS = {"depends_on_job_id": "job", "file_id": "file", "user_data_id": "user_data"}
OUTPUTS = ("output_file_ids", "output_user_data_ids")


def is_env_name(name: str) -> bool:
    """Whether a shell can have a variable of this name."""
    return _ENV_NAME.fullmatch(name) is not None


def labels_fit(labels: str, mark: str) -> str:
    """SQL: does the job go to a worker with these labels, a JSON array that is bound to `mark`?

    A labeled job goes only to one that has all of its labels, and an unlabeled job only to one that has none.
    """
    if labels == "[]":
        return f"job.labels = {mark}"
    return f"""job.labels <> '[]' AND NOT EXISTS (
        SELECT 1 FROM json_each(job.labels) WHERE value NOT IN (SELECT value FROM json_each({mark})))"""


def label_list(text: str) -> str:
    """The labels in a text with commas, as a JSON array."""
    return json.dumps([label.strip() for label in text.split(",") if label.strip()])


def job_view(row: sqlite3.Row) -> Record:
    """A job as `GET /jobs` shows it: three unset columns come as an empty text or 0."""
    return _UNSET | claimed_view(row)


def claimed_view(row: sqlite3.Row) -> Record:
    """A job as the claim endpoints show it: unset columns left out."""
    view = record(row)
    for name in _INTERNAL:
        view.pop(name, None)
    if not view["labels"]:
        del view["labels"]
    return view


def add_relations(
    connection: Connection, views: Sequence[Record], fields: Iterable[str] = _RELATIONS
) -> None:
    """Put the non-empty relations of each job into its view."""
    by_id = {view["id"]: view for view in views}
    sql = " UNION ALL ".join(map(_related, fields)) + " ORDER BY other"
    for field, job_id, other in connection.execute(sql, {"ids": json.dumps([*by_id])}):
        by_id[job_id].setdefault(field, []).append(other)


def _related(field: str) -> str:
    """SQL: the field's name, the job and what it is related to, for the jobs in `:ids`."""
    table, column, is_output = _RELATIONS[field]
    restriction = "" if is_output is None else f"AND is_output = {is_output}"
    return f"""SELECT '{field}', job_id, {column} AS other FROM {table}
        WHERE job_id IN (SELECT value FROM json_each(:ids)) {restriction}"""


def find_job(connection: Connection, job_id: int) -> Record:
    """One job with its relations, as start_job answers. Raises the 404 that torc answers."""
    view = job_view(find(connection, "job", job_id))
    add_relations(connection, [view])
    return view


def create_jobs(connection: Connection, bodies: Sequence[JobBody]) -> list[Record]:
    """Insert jobs of one workflow and return them in the order of the request.

    Raises the 422 that torc answers to an empty list, double names, mixed workflows, bad names of environment
    variables, negative priorities, bad labels, and ids that the workflow lacks.
    """
    if not bodies:
        raise invalid("Bulk job creation requires a non-empty `jobs` array")
    workflow_id = bodies[0].workflow_id
    workflow = record(find(connection, "workflow", workflow_id))
    for body in bodies:
        _check(body, workflow_id)
    _check_names(connection, workflow_id, [body.name for body in bodies])
    _check_ids(connection, workflow_id, bodies)
    default = _default_requirements(connection, workflow_id)
    return [_create(connection, body, workflow.get("env", {}), default) for body in bodies]


def _create(connection: Connection, body: JobBody, workflow_env: dict[str, str], default: int) -> Record:
    given = body.given()
    requirements = body.resource_requirements_id or default
    values = {"status": "uninitialized", **given, "resource_requirements_id": requirements}
    if env := workflow_env | (body.env or {}):
        values["env"] = env
    columns = {name: value for name, value in values.items() if name not in _RELATIONS}
    job_id = insert(connection, "job", columns)
    for field, (table, column, is_output) in _RELATIONS.items():
        for other in dict.fromkeys(values.get(field, [])):
            _relate(connection, table, {"job_id": job_id, column: other}, is_output)
    return {"id": job_id, **{name: value for name, value in values.items() if value != []}}


def _relate(connection: Connection, table: str, ids: dict[str, int], is_output: int | None) -> None:
    values = ids if is_output is None else {**ids, "is_output": is_output}
    columns, marks = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", [*values.values()])


def _check(body: JobBody, workflow_id: int) -> None:
    if body.workflow_id != workflow_id:
        raise invalid("All jobs of a bulk create request must belong to one workflow")
    if body.status not in ("uninitialized", "disabled"):
        raise invalid(f"Job '{body.name}' cannot be created with status '{body.status}'")
    if body.priority is not None and body.priority < 0:
        raise invalid(f"Job '{body.name}' has a negative priority", field="priority", value=body.priority)
    for name in body.env or ():
        if not is_env_name(name):
            raise invalid(f"Job '{body.name}': '{name}' is no name for an environment variable", field="env")
    for label in body.labels or ():
        if not label.strip() or "," in label:
            raise invalid(f"Job '{body.name}': '{label}' is no label", field="labels", value=label)


def _check_names(connection: Connection, workflow_id: int, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise invalid(f"Duplicate job name '{name}' in bulk create request")
        seen.add(name)
    existing = connection.execute(
        "SELECT name FROM job WHERE workflow_id = ? AND name IN (SELECT value FROM json_each(?))",
        [workflow_id, json.dumps(names)],
    ).fetchone()
    if existing is not None:
        raise invalid(f"Job name '{existing['name']}' already exists in workflow {workflow_id}")


def _check_ids(connection: Connection, workflow_id: int, bodies: Sequence[JobBody]) -> None:
    wanted: dict[str, set[int]] = defaultdict(set)
    for body in bodies:
        for field, (_, column, _) in _RELATIONS.items():
            wanted[_TARGETS[column]].update(getattr(body, field) or ())
        if body.resource_requirements_id is not None:
            wanted["resource_requirements"].add(body.resource_requirements_id)
    for table, ids in wanted.items():
        _check_present(connection, workflow_id, table, ids)


def _check_present(connection: Connection, workflow_id: int, table: str, ids: Collection[int]) -> None:
    rows: list[Any] = connection.execute(
        f"SELECT id FROM {table} WHERE workflow_id = ? AND id IN (SELECT value FROM json_each(?))",
        [workflow_id, json.dumps(list(ids))],
    ).fetchall()
    if missing := sorted(set(ids) - {row["id"] for row in rows}):
        raise invalid(f"Workflow {workflow_id} has no {table} with ID {missing[0]}", value=missing[0])


def _default_requirements(connection: Connection, workflow_id: int) -> int:
    row = connection.execute(
        "SELECT id FROM resource_requirements WHERE workflow_id = ? AND name = 'default'", [workflow_id]
    ).fetchone()
    return int(row["id"])
