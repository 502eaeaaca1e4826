"""Resource requirements as records (torc wire 2.1, 3.4)."""

import sqlite3

from torc_remote.builtin.server.errors import invalid
from torc_remote.builtin.server.models import ResourceRequirementsBody
from torc_remote.builtin.server.resource_requirements.units import duration_seconds
from torc_remote.builtin.server.store.database import Connection, Record, find, insert, record
from torc_remote.values import read_memory


def default_requirements(workflow_id: int) -> ResourceRequirementsBody:
    """What a job gets that names no requirements: the record that every workflow has."""
    return ResourceRequirementsBody(workflow_id=workflow_id, name="default")


def create_requirements(connection: Connection, body: ResourceRequirementsBody) -> Record:
    """Insert and return one record. Raises 404 (workflow), 422 (size, duration, double name)."""
    find(connection, "workflow", body.workflow_id)
    values = body.model_dump()
    for name, least in (("num_cpus", 1), ("num_gpus", 0), ("num_nodes", 1)):
        if values[name] < least:
            raise invalid(f"{name} must be at least {least}", field=name, value=values[name])
    _check_name(connection, body)
    row_id = insert(connection, "resource_requirements", {**values, **_measures(body)})
    return {"id": row_id, **values}


def _check_name(connection: Connection, body: ResourceRequirementsBody) -> None:
    sql = "SELECT EXISTS (SELECT 1 FROM resource_requirements WHERE workflow_id = ? AND name = ?)"
    if connection.execute(sql, [body.workflow_id, body.name]).fetchone()[0]:
        message = f"Workflow {body.workflow_id} already has resource requirements named '{body.name}'"
        raise invalid(message, field="name", value=body.name)


def _measures(body: ResourceRequirementsBody) -> dict[str, float]:
    try:
        memory = read_memory(body.memory)
    except ValueError as error:
        raise invalid(str(error), field="memory", value=body.memory) from error
    try:
        return {"memory_bytes": memory, "runtime_seconds": duration_seconds(body.runtime)}
    except ValueError as error:
        raise invalid(str(error), field="runtime", value=body.runtime) from error


def requirements_view(row: sqlite3.Row) -> Record:
    """The record without the numbers that only claims use."""
    view = record(row)
    del view["memory_bytes"], view["runtime_seconds"]
    return view
