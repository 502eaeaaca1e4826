"""Which compute node was whose, from what workers' logs tell (torc wire 4.4).

A log names a node by its number, which may be another worker's by now: a new database counts from 1 again. That of one
of torc's own workers which ended before it had a job names none, and it registers pid 1 whatever its process is (torc
wire 4.1). So what counts is when the worker registered, by the host's own clock, which is also the one that the node's
start time is of. The scripts that run on hosts say this in lines ``node ID TIME [SINCE]`` and ``idle HOST FROM UNTIL``.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from torc_remote.client.api import Json, TorcClient
from torc_remote.text import one_line

_NATIVE_PID = 1
_LOG_RESOLUTION = timedelta(seconds=1)
_CLOCK_STEP = timedelta(minutes=1)
_FIRST_YEAR, _LAST_YEAR = 2000, 2200
_NEWEST = 2000


@dataclass(frozen=True)
class NamedNode:
    """The log of a worker that has one of these names named its node first at this time, which is cut to seconds.

    ``since``: when the worker was started, by the same clock, where its record tells.
    """

    node_id: int
    seen: datetime
    names: frozenset[str]
    since: datetime | None = None

    def fits(self, node: Json) -> bool:
        """Whether the node of this number is the worker's: it bears its name, was there by then and is no older.

        A copy of a database has older nodes of the same number and name.
        """
        started = datetime.fromisoformat(node["start_time"])
        older = self.since is not None and started < self.since - _CLOCK_STEP
        return node["hostname"] in self.names and not older and started < self.seen + _LOG_RESOLUTION


@dataclass(frozen=True)
class Registration:
    """A worker registered one node under this host name between two lines of its log, which are cut to seconds."""

    hostname: str
    first: datetime
    last: datetime

    def fits(self, node: Json) -> bool:
        """Whether this can be the node that was registered."""
        started = datetime.fromisoformat(node["start_time"])
        return node["hostname"] == self.hostname and self.first <= started < self.last + _LOG_RESOLUTION


def parse_nodes(text: str, names: str) -> tuple[list[NamedNode], list[Registration]]:
    """What a host's script said of its workers, which have these names.

    A log that was tampered with proves nothing: lines without a time are left out.
    """
    named, idle = [], []
    for kind, *fields in filter(None, map(str.split, text.splitlines())):
        with suppress(ValueError, OverflowError):
            if kind == "node":
                number, seen, *since = fields
                started = _checked(datetime.fromtimestamp(int(since[0]), UTC)) if since else None
                named.append(NamedNode(int(number), _time(seen), frozenset(names.split()), started))
            elif kind == "idle":
                hostname, first, last = fields
                idle.append(Registration(hostname, _time(first), _time(last)))
    return named, idle


def known_workers(client: TorcClient, workflow: Json) -> str:
    """What the server knows of a workflow's run and compute nodes, as nodes.sh takes it (is_foreign)."""
    nodes = sorted(client.list_compute_nodes(workflow["id"]), key=lambda node: int(node["id"]))
    return "\n".join([f"run {workflow['run_id']}", *map(_known_node, nodes[-_NEWEST:])])


def _known_node(node: Json) -> str:
    started = datetime.fromisoformat(node["start_time"]).astimezone(UTC)
    return f"node {node['id']} {int(started.timestamp())} {started:%Y-%m-%dT%H:%M:%SZ} {one_line(node['hostname'])}"


def _time(text: str) -> datetime:
    return _checked(datetime.fromisoformat(text))


def _checked(time: datetime) -> datetime:
    if time.tzinfo is None or not _FIRST_YEAR <= time.year < _LAST_YEAR:
        raise ValueError(f"no time zone in {time}, or nobody's year")
    return time


@dataclass(frozen=True)
class Found:
    """``dead``: nodes of workers that are gone. ``doubtful``: one of a worker's nodes here may be, but which?"""

    dead: frozenset[int]
    doubtful: dict[Registration, frozenset[int]]


def find_nodes(
    client: TorcClient,
    workflow_id: int,
    gone: Sequence[Registration],
    named: Iterable[int],
    living: Sequence[Registration] = (),
) -> Found:
    """The active nodes of workers that are proven to be gone; ``named`` are nodes known to be of other workers.

    What can be the node of one that is ``living`` stays.

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
    dead -= {node["id"] for node in natives if any(worker.fits(node) for worker in living)}
    doubtful = {
        worker: left
        for worker, choice in zip(gone, choices, strict=True)
        if (left := (choice - dead) & active)
    }
    return Found(frozenset(dead & active), doubtful)


def _groups(choices: Sequence[frozenset[int]]) -> Iterator[frozenset[int]]:
    yield from set(choices)
    yield frozenset().union(*choices)
