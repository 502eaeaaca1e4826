"""Credentials of single workers: what a host can do to the server when it lies.

Whoever has the password can have a token made for one workflow and one host. Its worker sends it as the password. It is
good for what a worker does (torc wire 4), bound to the compute node that is registered with it, and dead when that
node is inactive: so the worker's farewell, `stop` and the deletion of the workflow revoke it. After a reset it can
only say farewell. The database has only its hash: it is random enough for a plain one.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from torc_remote.builtin.server.errors import ApiError
from torc_remote.builtin.server.jobs.holders import give_back
from torc_remote.builtin.server.store.database import Connection, find, insert, update
from torc_remote.builtin.server.workflows.lifecycle import is_uninitialized
from torc_remote.builtin.worker.connection import TOKEN_PREFIX

_BYTES = 32


@dataclass(frozen=True)
class WorkerToken:
    """Who a request comes from: the worker of one host. ``node_id``: its compute node, once it is registered."""

    id: int
    workflow_id: int
    host: str
    run_id: int | None
    node_id: int | None


def forbidden(message: str) -> ApiError:
    """403 in torc's shape."""
    return ApiError(403, {"error": "Forbidden", "message": message})


def issue(connection: Connection, workflow_id: int, host: str) -> str:
    """A new token for the workflow's worker on this host. Raises 404 for an unknown workflow.

    Earlier ones that no worker has used are void; one whose worker runs stays good until the new worker registers.
    """
    workflow = find(connection, "workflow", workflow_id)
    token = TOKEN_PREFIX + secrets.token_urlsafe(_BYTES)
    unused = "DELETE FROM worker_token WHERE workflow_id = ? AND host = ? AND compute_node_id IS NULL"
    connection.execute(unused, [workflow_id, host])
    run_id = None if is_uninitialized(connection, workflow_id) else workflow["run_id"]
    values = {"workflow_id": workflow_id, "host": host, "hash": _hash(token), "run_id": run_id}
    insert(connection, "worker_token", values)
    return token


def recognize(connection: Connection, password: str) -> WorkerToken | None:
    """The token that was sent as the password, if it is a good one."""
    sent = _hash(password)
    row = connection.execute("SELECT * FROM worker_token WHERE hash = ?", [sent]).fetchone()
    if row is None or not hmac.compare_digest(row["hash"], sent):
        return None
    return WorkerToken(row["id"], row["workflow_id"], row["host"], row["run_id"], row["compute_node_id"])


def register(connection: Connection, token: WorkerToken, node_id: int) -> None:
    """The token's worker has this compute node now, and earlier tokens of its host are void.

    It registers twice when the first answer was lost: the node that it does not know of does no work.
    """
    run_id = find(connection, "workflow", token.workflow_id)["run_id"]
    if token.node_id is not None:
        update(connection, "compute_node", token.node_id, {"is_active": False})
        give_back(connection, find(connection, "compute_node", token.node_id))
    update(connection, "worker_token", token.id, {"compute_node_id": node_id, "run_id": run_id})
    earlier = "DELETE FROM worker_token WHERE workflow_id = ? AND host = ? AND id < ?"
    connection.execute(earlier, [token.workflow_id, token.host, token.id])


def revoke(connection: Connection, node_id: int) -> None:
    """The worker of this compute node is gone."""
    connection.execute("DELETE FROM worker_token WHERE compute_node_id = ?", [node_id])


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
