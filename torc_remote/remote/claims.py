"""Whether what hosts say of compute nodes may be believed: a host is trusted with its own workers' nodes alone.

A node bears the name under which its worker registered, and a host tells under which names its workers do. It can lie
about that. What this machine knows better are the addresses of the workflow's workers, and what their hosts say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torc_remote.client.api import Json
from torc_remote.client.registrations import NamedNode, Registration, parse_nodes
from torc_remote.errors import TorcError
from torc_remote.remote.workers import parse_worker


@dataclass(frozen=True)
class Claim:
    """What one host says: the nodes of its workers that are ``gone``, those of workers that named none (``idle``), and
    the same of the worker that it has now (``held``, ``living``)."""

    gone: list[NamedNode] = field(default_factory=list)
    idle: list[Registration] = field(default_factory=list)
    held: list[NamedNode] = field(default_factory=list)
    living: list[Registration] = field(default_factory=list)

    def names(self, node: Json) -> bool:
        """Whether this node is said to be one of the host's, gone or not."""
        return _among(self.gone, node) or _among(self.held, node)

    def gives_up(self, node: Json) -> bool:
        """Whether this node is said to be one of the host's and its worker gone."""
        return _among(self.gone, node) and not _among(self.held, node)


def _among(nodes: Iterable[NamedNode], node: Json) -> bool:
    return any(named.node_id == node["id"] and named.fits(node) for named in nodes)


def read_claim(answer: Mapping[str, Any]) -> Claim:
    """The claim in a host's answer. A worker that could not be ended still has its nodes."""
    names = answer.get("node_names", "")
    gone, held = (parse_nodes(answer.get(key, ""), names) for key in ("nodes", "held"))
    if answer.get("failed"):
        return Claim([], [], gone[0] + held[0], gone[1] + held[1])
    return Claim(*gone, *held)


@dataclass(frozen=True)
class Claims:
    """The claims of the hosts of a play by inventory name, and the names that its hosts and the other workers of the
    workflow have as addresses. ``machines``: the host in each stored address, empty where there is none."""

    by_host: Mapping[str, Claim]
    own: Mapping[str, frozenset[str]]
    machines: Mapping[str, str]
    workers: frozenset[str]

    def refused(self, host: str, node: Json) -> str:
        """Why the host is not believed that this node was its worker's; empty when it is."""
        if reason := self.foreign(host, node["hostname"]):
            return f"compute node {node['id']} {reason}"
        others = [
            other
            for other, claim in self.by_host.items()
            if other != host
            and claim.names(node)
            and not (self._are_one(host, other) and claim.gives_up(node))
        ]
        if not others:
            return ""
        return (
            f"compute node {node['id']} is claimed by {', '.join(others)} as well, so it was left as it is. "
            "If both are one machine, use --limit to name it once"
        )

    def _are_one(self, host: str, other: str) -> bool:
        """Whether the workflow has one machine under two addresses, by the host's name in them."""
        return self.machines[host] == self.machines[other] != ""

    def foreign(self, host: str, name: str) -> str:
        """Why a node of this name is not the host's; empty when it can be."""
        short = _names(name)
        if short & self.own[host] or not short & self.workers:
            return ""
        return f"bears the name {name!r} of another worker of this workflow, so it was left as it is"


def make_claims(
    by_host: Mapping[str, Claim], addresses: Mapping[str, Iterable[str]], stored: Iterable[str]
) -> Claims:
    """``addresses``: by inventory name, what else a host is called, first the stored address; ``stored``: the
    workflow's workers."""
    own = {host: frozenset().union(*map(_names, (host, *addresses[host]))) for host in by_host}
    machines = {host: _machine(next(iter(addresses[host]), "")) for host in by_host}
    return Claims(by_host, own, machines, frozenset().union(*map(_names, stored)))


def _machine(address: str) -> str:
    """The host of an address; an address that is none may be a name as well."""
    try:
        return parse_worker(address).host_key
    except TorcError:
        return address.casefold()


def _names(address: str) -> frozenset[str]:
    """The host of an address as machines call themselves, with the domain and without it."""
    host = _machine(address)
    short = host.split(".")[0]
    return frozenset([host] if short.isdigit() or ":" in host else [host, short])
