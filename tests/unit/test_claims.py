"""Which host is believed that a compute node was its worker's."""

from typing import Any

import pytest

from torc_remote.remote.claims import Claims, make_claims, read_claim

TIME = "2026-11-22T21:23:10Z"


def node(hostname: str, number: int = 1, second: float = 10.5) -> dict[str, Any]:
    return {"id": number, "hostname": hostname, "start_time": f"2026-11-22T21:23:{second:04}+00:00"}


def said(names: str, **nodes: str) -> dict[str, Any]:
    return {"node_names": names, **{key: f"node {numbers} {TIME}" for key, numbers in nodes.items()}}


def claims(answers: dict[str, dict[str, Any]], stored: list[str], **addresses: str) -> Claims:
    by_host = {host: read_claim(answer) for host, answer in answers.items()}
    return make_claims(by_host, {host: [addresses.get(host, "")] for host in answers}, stored)


def test_an_honest_host_is_believed() -> None:
    """Machines may all have one name, also that of none of the workers."""
    all_alike = {host: said("localhost vm", nodes=number) for host, number in (("h1", "1"), ("h2", "2"))}
    made = claims(all_alike, ["h1", "u@h2:22", "[fe80::1]:22", "no worker at all"])
    assert made.refused("h1", node("vm", 1)) == made.refused("h2", node("vm", 2)) == ""


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("h2", "h1"),
        ("H2", "h1"),
        ("h2.example.com", "h1"),
        ("h3", "h1"),
        ("h3.example.com", "h1"),
        ("10.0.0.2", "h1"),
    ],
)
def test_the_name_of_another_worker_is_not_a_hosts_own(name: str, own: str) -> None:
    """With or without a domain; the worker need not be among the play's hosts."""
    stored = [own, "u@h2:2200", "h3.example.com", "10.0.0.2"]
    made = claims({"h1": said(f"h1 {name}", nodes="1")}, stored, h1=own)
    assert "of another worker of this workflow" in made.refused("h1", node(name))
    assert made.refused("h1", node("h1")) == made.refused("h1", node("10.0.0.3")) == ""


def test_several_workers_on_one_machine_share_its_name() -> None:
    made = claims({"a": said("gate", nodes="1")}, ["gate:2201", "gate:2202"], a="gate:2201")
    assert made.refused("a", node("gate")) == ""


@pytest.mark.parametrize(
    "other", [{"held": "1"}, {"nodes": "1"}], ids=["its worker runs", "it claims it too"]
)
def test_a_node_that_two_claim_is_nobodys(other: dict[str, str]) -> None:
    made = claims({"h1": said("vm", nodes="1"), "h2": said("vm", **other)}, [])
    assert "compute node 1 is claimed by h2 as well" in made.refused("h1", node("vm"))


def test_a_worker_that_could_not_be_ended_has_its_node() -> None:
    failed = said("vm", nodes="1") | {"failed": True}
    assert not read_claim(failed).gone
    assert claims({"h1": said("vm", nodes="1"), "h2": failed}, []).refused("h1", node("vm"))


def test_an_old_log_claims_nothing() -> None:
    """It names numbers that a new database has given to others since."""
    made = claims({"h1": said("vm", nodes="1"), "h2": said("other", nodes="1")}, [])
    assert made.refused("h1", node("vm")) == ""
    late = f"node 1 {TIME.replace('23:10', '22:10')}"
    made = claims({"h1": said("vm", nodes="1"), "h2": {"node_names": "vm", "held": late}}, [])
    assert made.refused("h1", node("vm")) == ""


def test_one_machine_under_two_addresses_may_give_up_a_node_twice() -> None:
    """Its one worker is found through both; another machine's word, or that of a living worker, still counts."""
    addresses = {"stored": ["vm", "root@vm:22"], "vm": "vm", "root_vm_22": "root@VM:22"}
    gone = claims({"vm": said("vm", nodes="1"), "root_vm_22": said("vm", nodes="1")}, **addresses)  # type: ignore[arg-type]
    assert gone.refused("vm", node("vm")) == gone.refused("root_vm_22", node("vm")) == ""
    held = claims({"vm": said("vm", nodes="1"), "root_vm_22": said("vm", held="1")}, **addresses)  # type: ignore[arg-type]
    assert "claimed by root_vm_22 as well" in held.refused("vm", node("vm"))
