"""The states of a job in words, and in groups for SQL (torc wire 3.2)."""

COMPLETE = ("completed", "failed", "canceled", "terminated")
HELD = ("pending", "running")  # by a worker
UNFINISHED_SQL = "('uninitialized', 'blocked', 'ready', 'pending', 'running', 'pending_failed')"
COMPLETE_SQL = str(COMPLETE)
HELD_SQL = str(HELD)
UNTOUCHED_SQL = str(("disabled", *HELD))  # by resets

# A job that nobody holds and that has no outcome.
RESET_SQL = """status = 'uninitialized', start_time = NULL, compute_node_id = NULL, run_id = NULL,
    attempt_id = 1"""
