"""Files and user data as records: named, unique within a workflow."""

from collections.abc import Sequence
from typing import Literal

from torc_remote.builtin.server.errors import invalid
from torc_remote.builtin.server.models import FileBody, UserDataBody
from torc_remote.builtin.server.store.database import Connection, Record, find, insert, record, update

Table = Literal["file", "user_data"]


def create_named(
    connection: Connection, table: Table, bodies: Sequence[FileBody | UserDataBody]
) -> list[Record]:
    """Insert records and return them as they were ordered. Raises 404 (workflow), 422 (double name)."""
    created: list[Record] = []
    for body in bodies:
        find(connection, "workflow", body.workflow_id)
        _check_name(connection, table, body)
        values = body.given()
        created.append({"id": insert(connection, table, values), **values})
    return created


def update_named(connection: Connection, table: Table, row_id: int, body: FileBody | UserDataBody) -> Record:
    """Set what the body gives and return the record. Raises 404, 422 (another workflow, double name)."""
    row = find(connection, table, row_id)
    if body.workflow_id != row["workflow_id"]:
        raise invalid(f"{table} {row_id} belongs to workflow {row['workflow_id']}")
    _check_name(connection, table, body, row_id)
    update(connection, table, row_id, body.given())
    return record(find(connection, table, row_id))


def _check_name(connection: Connection, table: Table, body: FileBody | UserDataBody, row_id: int = 0) -> None:
    sql = f"SELECT EXISTS (SELECT 1 FROM {table} WHERE workflow_id = ? AND name = ? AND id != ?)"
    if connection.execute(sql, [body.workflow_id, body.name, row_id]).fetchone()[0]:
        message = f"Workflow {body.workflow_id} already has a {table} named '{body.name}'"
        raise invalid(message, field="name", value=body.name)
