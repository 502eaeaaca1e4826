"""What an operation did on each host: results, the report of them all, its shape as JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torc_remote.host.answers import DETAILS, FAILED_STATES, OK_STATES
from torc_remote.remote.play import HostAnswer
from torc_remote.remote.workers import WorkerAddress
from torc_remote.text import one_line

# A host of `run` that passed its check, when nothing was started because of others.
_CHECKED = ("ok", "reachable")


@dataclass(frozen=True)
class HostResult:
    """What one host answered to one operation.

    ``worker`` is the stored address, ``host`` what reports call it. ``state`` is the script's word, or ``failed``,
    ``unreachable``, ``unknown`` (the link was lost, the host may have done it all the same), ``invalid`` (the
    stored string is no address), ``not_started`` (nothing was tried, because of other hosts). ``reason`` says why it
    is not ``ok``. ``details`` holds what else is known (answers.DETAILS).
    """

    worker: str
    host: str
    state: str
    ok: bool
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unreachable(self) -> bool:
        return self.state in ("unreachable", "unknown")


@dataclass(frozen=True)
class HostStep:
    """One host has done one step of an operation, well or not. ``hosts``: all that take part in the operation."""

    step: str
    host: str
    ok: bool
    outcome: str
    hosts: Sequence[str]


OnStep = Callable[[HostStep], None]


@dataclass(frozen=True)
class Report:
    """The results of one operation, in the order of the worker list; every host once.

    ``refused``: some host did not pass its check, so nothing was started on any. ``workflow_key``: see Fleet.
    """

    operation: str
    workflow_id: int
    hosts: Sequence[HostResult]
    refused: bool = False
    workflow_key: str = ""

    @cached_property
    def failed(self) -> list[HostResult]:
        return [host for host in self.hosts if not host.ok]

    @property
    def exit_code(self) -> int:
        """0 all well, 1 some host failed or nothing was started, 3 some host unreachable and none failed otherwise."""
        if not self.failed:
            return 0
        return 3 if not self.refused and all(host.unreachable for host in self.failed) else 1

    def as_json(self) -> dict[str, Any]:
        """The shape of report.schema.json."""
        hosts = [
            {
                "worker": h.worker,
                "host": h.host,
                "state": h.state,
                "ok": h.ok,
                "reason": h.reason,
                **h.details,
            }
            for h in self.hosts
        ]
        ok = len(self.hosts) - len(self.failed)
        unreachable = sum(host.unreachable for host in self.failed)
        summary = {
            "total": len(hosts),
            "ok": ok,
            "failed": len(self.failed) - unreachable,
            "unreachable": unreachable,
        }
        return {
            "operation": self.operation,
            "workflow_id": self.workflow_id,
            "hosts": hosts,
            "summary": summary,
        }


def host_result(operation: str, address: WorkerAddress, label: str, answer: HostAnswer) -> HostResult:
    """What becomes of one host's last answer in a report; ``label`` is what reports call the host."""
    values = answer.values
    details = {name: values[name] for name in DETAILS if name in values}
    state = str(values.get("state", ""))
    ok = answer.status == "ok" and state in OK_STATES[operation]
    reason = str(values.get("reason") or values.get("msg") or "")
    if answer.status == "unreachable":
        state = "unknown" if state == "unknown" else "unreachable"
        reason = ssh_reason(address, answer)
    elif answer.status == "failed":
        state, reason = state if state in FAILED_STATES else "failed", str(values.get("msg") or "failed")
    elif answer.status == "silent" or (operation == "run" and state in _CHECKED):
        state, reason = "not_started", "nothing was done here, because of other hosts"
        if answer.cut_off:
            state, reason = "unknown", f"it may have been done here or not: {unfinished(answer.cut_off)}"
    elif not ok:
        state, reason = (
            "failed",
            f"the host's answer can't be used: {state or 'nothing'!r} is none to {operation}",
        )
    return HostResult(address.stored, label, state, ok, one_line(reason) or ("" if ok else state), details)


def unfinished(why: str) -> str:
    """Why a play did not come to its end, and what to do."""
    return f"Ansible did not come to the end of the play ({why.rstrip('.')}); run the command again"


def ssh_reason(address: WorkerAddress, answer: HostAnswer) -> str:
    """The contract's form."""
    return f"SSH connection failed to {address.host}: {answer.values.get('msg', 'no answer')}"
