"""Which compute node was whose, for torc's own workers that ended before they had a job.

Such a worker's log never names its node, and it registers pid 1 whatever its process is (torc wire 4.1). What is
known is the host's name and when, by the host's own clock, which is also the one that the node's start time is of.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from torc_remote.client.api import Json, TorcClient

_NATIVE_PID = 1
_LOG_RESOLUTION = timedelta(seconds=1)


@dataclass(frozen=True)
class Registration:
    """A worker registered one node under this host name between two lines of its log, which are cut to seconds."""

    hostname: str
    first: datetime
    last: datetime

    @classmethod
    def parse(cls, text: str) -> "Registration":
        """From ``HOST FIRST LAST`` as the host's script says it. Raises ValueError."""
        hostname, first, last = text.split()
        return cls(hostname, datetime.fromisoformat(first), datetime.fromisoformat(last))

    def fits(self, node: Json) -> bool:
        """Whether this can be the node that was registered."""
        started = datetime.fromisoformat(node["start_time"])
        return node["hostname"] == self.hostname and self.first <= started < self.last + _LOG_RESOLUTION


@dataclass(frozen=True)
class Found:
    """``dead``: nodes of workers that are gone. ``doubtful``: one of a worker's nodes here may be, but which?"""

    dead: frozenset[int]
    doubtful: dict[Registration, frozenset[int]]


def find_nodes(
    client: TorcClient, workflow_id: int, gone: Sequence[Registration], named: Iterable[int]
) -> Found:
    """The active nodes of workers that are proven to be gone; ``named`` are nodes known to be of other workers.

    Where several workers of one host name began in the same seconds, nobody can tell their nodes apart. But
    when as many of them are gone as there are nodes they can have, all these nodes are dead.
    """
    natives = [
        node
        for hostname in {worker.hostname for worker in gone}
        for node in client.list_compute_nodes(workflow_id, hostname=hostname)
        if node["pid"] == _NATIVE_PID and node["id"] not in set(named)
    ]
    active = {node["id"] for node in natives if node.get("is_active")}
    choices = [frozenset(node["id"] for node in natives if worker.fits(node)) for worker in gone]
    dead: set[int] = set()
    for group in _groups(choices):
        if len(group) <= sum(choice <= group for choice in choices):
            dead |= group
    doubtful = {
        worker: left
        for worker, choice in zip(gone, choices, strict=True)
        if (left := (choice - dead) & active)
    }
    return Found(frozenset(dead & active), doubtful)


def _groups(choices: Sequence[frozenset[int]]) -> Iterator[frozenset[int]]:
    yield from set(choices)
    yield frozenset().union(*choices)
