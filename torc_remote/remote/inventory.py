"""Workers to Ansible inventory: one pure conversion for the CLI and for the inventory plugin.

What the server says becomes names and data here, never an option or a template.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torc_remote.remote.workers import WorkerAddress, WorkerError, parse_worker
from torc_remote.ssh.options import SshOptions

# Ansible takes these for the controller or for groups; a worker of that name gets a hash behind it.
_RESERVED = {"all", "ungrouped", "localhost", "127.0.0.1", "torc_workers"}
_RESERVED_PATTERN = re.compile(r"torc_workflow_[0-9]+")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]+")
_SURROGATES = re.compile("[\ud800-\udfff]")
_HASH_STEP = 8
# Ansible's caches make a file for each host, whose name begins with its own.
_LONGEST_NAME = 230


@dataclass(frozen=True)
class WorkflowWorkers:
    """The workers of one workflow as the server lists them (the stored strings, in its order).

    ``key`` is what hosts know the workflow by (client.api.workflow_key).
    """

    workflow_id: int
    name: str
    workers: Sequence[str]
    key: str = ""


@dataclass(frozen=True)
class SkippedWorker:
    """A stored string that is no worker address, and why."""

    workflow_id: int
    stored: str
    reason: str


@dataclass(frozen=True)
class Inventory:
    """``data``: what Ansible's yaml inventory plugin reads, JSON-serialisable.

    ``hosts``: address by inventory name. ``labels``: what reports call a host, by inventory name: the bare
    host, or the stored string where two entries share it. Both in the order of the worker lists.
    ``skipped``: entries that were left out.
    """

    data: dict[str, Any]
    hosts: dict[str, WorkerAddress]
    labels: dict[str, str]
    skipped: list[SkippedWorker] = field(default_factory=list)


def build_inventory(
    workflows: Sequence[WorkflowWorkers], options: SshOptions, *, keep_going: bool = False
) -> Inventory:
    """The inventory of the workers of one or several workflows.

    Every distinct stored string is one host. One that serves several workflows is in the group of each and
    has ``torc_workflow_ids``, but no ``torc_workflow_id`` and ``torc_workflow_name``. Raises WorkerError that
    lists the entries that are no addresses, unless ``keep_going`` is set, which leaves them out.
    """
    members, skipped = _parse_all(workflows)
    if skipped and not keep_going:
        raise WorkerError("\n".join(f"Workflow {bad.workflow_id}: {bad.reason}" for bad in skipped))
    addresses = {stored: address for group in members.values() for stored, address in group.items()}
    serving = {stored: [w for w in workflows if stored in members[w.workflow_id]] for stored in addresses}
    names = host_names(addresses.values())
    host_vars = {
        names[stored]: _host_vars(names[stored], address, serving[stored])
        for stored, address in addresses.items()
    }
    keys = {str(workflow.workflow_id): workflow.key for workflow in workflows if workflow.key}
    variables = options.group_vars() | ({"torc_workflow_keys": keys} if keys else {})
    groups: dict[str, Any] = {"torc_workers": {"vars": variables, "hosts": host_vars}}
    for workflow_id, group in members.items():
        groups[f"torc_workflow_{workflow_id}"] = {"hosts": {names[stored]: {} for stored in group}}
    labels = _labels(addresses.values())
    return Inventory(
        data={"all": {"children": groups}},
        hosts={names[stored]: address for stored, address in addresses.items()},
        labels={names[stored]: labels[stored] for stored in addresses},
        skipped=skipped,
    )


def _parse_all(
    workflows: Sequence[WorkflowWorkers],
) -> tuple[dict[int, dict[str, WorkerAddress]], list[SkippedWorker]]:
    """Addresses by workflow and stored string, and what is none."""
    members: dict[int, dict[str, WorkerAddress]] = {}
    skipped: list[SkippedWorker] = []
    for workflow in workflows:
        group = members.setdefault(workflow.workflow_id, {})
        for stored in workflow.workers:
            try:
                group[stored] = parse_worker(stored)
            except WorkerError as error:
                skipped.append(SkippedWorker(workflow.workflow_id, stored, str(error)))
    return members, skipped


def _host_vars(name: str, address: WorkerAddress, workflows: Sequence[WorkflowWorkers]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "torc_worker": address.stored,
        "torc_workflow_ids": [workflow.workflow_id for workflow in workflows],
    }
    if len(workflows) == 1:
        found["torc_workflow_id"] = workflows[0].workflow_id
        # A lone surrogate, which JSON can spell, is no text that could be written to a file.
        found["torc_workflow_name"] = _SURROGATES.sub("\ufffd", workflows[0].name)
    if name != address.host:
        found["ansible_host"] = address.host
    if address.user:
        found["ansible_user"] = address.user
    if address.port:
        found["ansible_port"] = address.port
    return found


def host_names(addresses: Iterable[WorkerAddress]) -> dict[str, str]:
    """Inventory names by stored string: no two alike (in any case), whatever the order of the addresses.

    The bare host where nothing else shares it and it is made of ``[A-Za-z0-9._-]``, else user_host_port with
    other characters replaced. Where names clash, each of them gets a hash of its stored string, and so does one that
    is too long and therefore cut.
    """
    entries = list(addresses)
    shared = _shared_hosts(entries)
    base = {entry.stored: _base_name(entry, shared) for entry in entries}
    digits = {stored: 2 * _HASH_STEP if len(name) > _LONGEST_NAME else 0 for stored, name in base.items()}
    while True:
        names = {stored: _with_hash(base[stored], stored, digits[stored]) for stored in base}
        clashing = _clashing(names, digits)
        if not clashing:
            return names
        for stored in clashing:
            digits[stored] += _HASH_STEP


def _shared_hosts(entries: Iterable[WorkerAddress]) -> set[str]:
    seen: set[str] = set()
    shared: set[str] = set()
    for entry in entries:
        (shared if entry.host_key in seen else seen).add(entry.host_key)
    return shared


def _base_name(entry: WorkerAddress, shared: set[str]) -> str:
    if entry.host_key not in shared and _PLAIN_NAME.fullmatch(entry.host):
        return entry.host
    parts = [entry.user, entry.host, str(entry.port) if entry.port else None]
    return re.sub(r"[^A-Za-z0-9._-]", "_", "_".join(part for part in parts if part))


def _with_hash(name: str, stored: str, digits: int) -> str:
    return (
        f"{name[:_LONGEST_NAME]}_{hashlib.sha256(stored.encode()).hexdigest()[:digits]}" if digits else name
    )


def _clashing(names: Mapping[str, str], digits: Mapping[str, int]) -> list[str]:
    """The stored strings that need a (longer) hash; with all 64 digits only the other one has to give way."""
    owners: dict[str, list[str]] = {}
    for stored, name in names.items():
        owners.setdefault(name.casefold(), []).append(stored)
    return [
        stored
        for name, group in owners.items()
        if len(group) > 1 or name in _RESERVED or _RESERVED_PATTERN.fullmatch(name)
        for stored in group
        if digits[stored] < 64
    ]


def _labels(addresses: Iterable[WorkerAddress]) -> dict[str, str]:
    entries = list(addresses)
    shared = _shared_hosts(entries)
    return {entry.stored: entry.stored if entry.host_key in shared else entry.host for entry in entries}


def to_yaml(inventory: Inventory) -> str:
    """The inventory as a file for ``ansible-playbook -i``, every string in it unsafe: pure data."""
    return as_data(inventory.data)


def as_data(values: Mapping[str, Any]) -> str:
    """YAML for Ansible in which no string is a template, nor anything but a string.

    JSON, which is YAML: behind the tag ``!unsafe`` Ansible would take a quoted "~" for null and "010" for 8.
    """
    return json.dumps(_marked(values))


def _marked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item) for item in value]
    return {"__ansible_unsafe": value} if isinstance(value, str) else value
