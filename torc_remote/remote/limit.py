"""`--limit`: which of a workflow's workers an operation is for."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torc_remote.errors import UsageError
from torc_remote.remote.workers import WorkerError, parse_worker, read_worker_file

_SHOWN = 10


def select(workers: Sequence[str], limit: str | None) -> list[str]:
    """The stored addresses that ``limit`` names, in their own order; all of them without a limit.

    ``limit`` has patterns with commas between them: an address, a host, either with ``*`` and ``?``, or ``@FILE``, a
    worker file. ``!`` before a pattern excludes what it names. Raises UsageError for a pattern that names no worker,
    and when nothing is left.
    """
    if limit is None:
        return list(workers)
    patterns = [pattern.strip() for pattern in limit.split(",")]
    excluded = [pattern for pattern in patterns if pattern.startswith("!")]
    included = [pattern for pattern in patterns if pattern not in excluded]
    wanted = {worker for pattern in included for worker in _named(workers, pattern)} or set(workers)
    unwanted = {worker for pattern in excluded for worker in _named(workers, pattern[1:])}
    selected = [worker for worker in workers if worker in wanted - unwanted]
    if not selected:
        raise UsageError(f"--limit {limit} leaves no worker.")
    return selected


def _named(workers: Sequence[str], pattern: str) -> list[str]:
    if pattern.startswith("@"):
        listed = read_worker_file(pattern[1:])
        if not listed:
            raise UsageError(f"--limit {pattern}: the file lists no worker.")
        return [worker for address in listed for worker in _matching(workers, address.stored)]
    return _matching(workers, pattern)


def _matching(workers: Sequence[str], pattern: str) -> list[str]:
    found = [worker for worker in workers if worker == pattern or _matches(worker, pattern)]
    if not found:
        more = ", ..." if len(workers) > _SHOWN else ""
        known = ", ".join(ascii(worker)[1:-1] for worker in workers[:_SHOWN])
        raise UsageError(f"--limit: no worker matches {pattern!r}. The workflow has {known}{more}.")
    return found


def _matches(worker: str, pattern: str) -> bool:
    try:
        host = parse_worker(worker).host
    except WorkerError:
        return False
    return any(fnmatchcase(name.casefold(), pattern.casefold()) for name in (worker, host))
