"""Times as torc writes them."""

from datetime import UTC, datetime


def now() -> str:
    """RFC 3339 with an offset, as in a job's start_time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def now_zulu() -> str:
    """RFC 3339 with milliseconds and Z, as in a workflow's timestamp."""
    return now()[:23] + "Z"


def now_ms() -> int:
    """Milliseconds since 1970, as in a task."""
    return int(datetime.now(UTC).timestamp() * 1000)
