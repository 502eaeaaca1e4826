"""What a job's work depends on, to notice that it has changed since the job was initialized (torc wire 3.5).

Every function works inside a transaction of its caller.
"""

import hashlib
from collections.abc import Iterator

from torc_remote.builtin.server.store.database import Connection

# Lists are in the order of the primary keys. Data that a job makes is no input of its own.
_INPUTS = """SELECT id, json_array(command, invocation_script, env,
        (SELECT json_group_array(depends_on_job_id) FROM job_depends_on WHERE job_id = job.id),
        (SELECT json_group_array(json_array(file_id, is_output)) FROM job_file WHERE job_id = job.id),
        (SELECT json_group_array(json_array(user_data_id, is_output, CASE WHEN NOT is_output THEN data END))
         FROM job_user_data JOIN user_data ON user_data.id = user_data_id WHERE job_id = job.id)) AS inputs
    FROM job WHERE workflow_id = ?"""


def remember_inputs(connection: Connection, workflow_id: int) -> None:
    """Keep what each job's inputs are now."""
    connection.executemany(
        "INSERT OR REPLACE INTO job_input (job_id, hash) VALUES (?, ?)",
        list(_hashes(connection, workflow_id)),
    )


def changed_jobs(connection: Connection, workflow_id: int) -> list[int]:
    """The jobs whose inputs are not those that were kept; jobs never initialized are not among them."""
    sql = "SELECT job_id, hash FROM job_input JOIN job ON job.id = job_id WHERE workflow_id = ?"
    kept: dict[int, str] = dict(connection.execute(sql, [workflow_id]).fetchall())
    return [job_id for job_id, now in _hashes(connection, workflow_id) if kept.get(job_id, now) != now]


def _hashes(connection: Connection, workflow_id: int) -> Iterator[tuple[int, str]]:
    for row in connection.execute(_INPUTS, [workflow_id]):
        yield row["id"], hashlib.sha256(row["inputs"].encode()).hexdigest()
