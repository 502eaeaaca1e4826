"""Whose compute node was which: a node is given up only when it can't be that of a worker that runs."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest

from torc_remote.client.registrations import Found, Registration, find_nodes, parse_nodes

MINUTE = "2026-11-22T21:23:"


@dataclass
class Server:
    """The list of compute nodes, which is all that is asked of it."""

    nodes: list[dict[str, Any]] = field(default_factory=list)

    def node(self, second: float, hostname: str = "vm", pid: int = 1, is_active: bool = True) -> int:
        start = f"{MINUTE}{second:012.9f}+00:00"
        record = {"hostname": hostname, "pid": pid, "is_active": is_active, "start_time": start}
        self.nodes.append({"id": len(self.nodes) + 1, **record})
        return len(self.nodes)

    def list_compute_nodes(self, workflow_id: int, hostname: str) -> list[dict[str, Any]]:
        return [node for node in self.nodes if node["hostname"] == hostname]

    def find(self, *gone: Registration, named: tuple[int, ...] = ()) -> Found:
        return find_nodes(self, 7, gone, named)  # type: ignore[arg-type]  # the one method that is used


def worker(first: int, last: int, hostname: str = "vm") -> Registration:
    _, [idle] = parse_nodes(f"idle {hostname} {MINUTE}{first:02}Z {MINUTE}{last:02}Z", "")
    return idle


@pytest.fixture
def server() -> Server:
    return Server()


def test_the_only_node_of_that_host_and_time_is_the_workers(server: Server) -> None:
    server.node(9.99)
    own = server.node(10.999)
    server.node(11)
    server.node(10.5, hostname="other")
    assert server.find(worker(10, 10)) == Found(frozenset({own}), {})


def test_nodes_of_workers_with_a_real_pid_are_not_native_ones(server: Server) -> None:
    server.node(10, pid=4711)
    assert server.find(worker(10, 10)).dead == frozenset()


def test_two_nodes_for_one_dead_worker_stay_active(server: Server) -> None:
    nodes = {server.node(10.1), server.node(10.2)}
    gone = worker(10, 10)
    assert server.find(gone) == Found(frozenset(), {gone: frozenset(nodes)})


def test_as_many_dead_workers_as_nodes(server: Server) -> None:
    nodes = {server.node(10.1), server.node(10.2), server.node(11.5)}
    assert server.find(worker(10, 10), worker(10, 11), worker(11, 11)) == Found(frozenset(nodes), {})


def test_what_one_worker_can_have_alone_helps_to_tell_the_others(server: Server) -> None:
    nodes = [server.node(second) for second in (10.5, 11.5, 12.5)]
    first, second = worker(10, 10), worker(10, 11)
    assert server.find(first, second) == Found(frozenset(nodes[:2]), {})


def test_a_node_known_to_be_another_workers_does_not_count(server: Server) -> None:
    other, own = server.node(10.1), server.node(10.2)
    assert server.find(worker(10, 10), named=(other,)) == Found(frozenset({own}), {})


def test_a_node_that_was_released_before_is_not_mistaken(server: Server) -> None:
    """The second stop of a worker must not take the node of one that still runs for its own."""
    server.node(10.1, is_active=False)
    living = server.node(10.2)
    gone = worker(10, 10)
    assert server.find(gone) == Found(frozenset(), {gone: frozenset({living})})


def test_nothing_is_asked_about_nobody(server: Server) -> None:
    assert server.find() == Found(frozenset(), {})


def test_a_node_of_the_same_number_that_began_later_is_another_workers(server: Server) -> None:
    [named], _ = parse_nodes(f"node 2 {MINUTE}10Z", "vm other")
    before, later = (server.nodes[server.node(second) - 1] for second in (10.999, 11))
    assert named.fits(before)
    assert not named.fits(later)
    assert not named.fits(before | {"hostname": "another"})


def test_a_node_of_the_same_number_that_is_older_than_the_worker_is_another_ones() -> None:
    """It is in a copy of the database, which goes on counting where the first one did."""
    since = int(datetime.fromisoformat(f"{MINUTE}05Z").timestamp())
    [named], _ = parse_nodes(f"node 2 {MINUTE}10Z {since}", "vm other")
    for start, own in ((f"{MINUTE}07Z", True), ("2020-01-01T00:00:00Z", False)):
        assert named.fits({"id": 2, "hostname": "vm", "start_time": start}) == own


def test_lines_of_a_log_that_was_tampered_with_are_left_out() -> None:
    times = f"{MINUTE}10Z {MINUTE}11Z"
    lines = [
        "",
        "node",
        "node x " + times[:20],
        "node 3",
        f"node 4 {MINUTE}10",
        "node 5 yesterday",
        f"idle {times}",
    ]
    assert parse_nodes("\n".join([*lines, f"node 6 {MINUTE}10Z", f"idle vm {times}"]), "vm") == (
        parse_nodes(f"node 6 {MINUTE}10Z", "vm")[0],
        [worker(10, 11)],
    )
