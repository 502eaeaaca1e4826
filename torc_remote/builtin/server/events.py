"""Events: what happened to a workflow, kept for those who ask later (torc wire 3.6)."""

import json
from typing import Any

from torc_remote.builtin.server.clock import now_ms
from torc_remote.builtin.server.database import Connection, Record


def create_event(connection: Connection, workflow_id: int, data: Any) -> Record:
    """Store what happened, at the server's own time; the record. `data` may be any JSON, `null` too."""
    values = [workflow_id, now_ms(), json.dumps(data)]
    sql = "INSERT INTO event (workflow_id, timestamp, data) VALUES (?, ?, ?) RETURNING id"
    event_id = int(connection.execute(sql, values).fetchone()["id"])
    return {"id": event_id, "workflow_id": workflow_id, "timestamp": values[1], "data": data}
