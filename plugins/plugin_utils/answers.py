"""The answers of a play's hosts, as its tasks leave them for each other and for the command that launched the play.

In a play of the CLI they are lines of a file (torc_remote.remote.channel). By hand the registered variables say it.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

try:
    from torc_remote.remote import channel
except ImportError as error:
    raise AnsibleActionFail(
        "The collection torc.remote needs its Python package in Ansible's own interpreter: pip install torc-remote"
    ) from error

Result = Mapping[str, Any]

FILE = channel.path
"""The file of the CLI's play. Ansible reads the plugins once, so this is the same for a whole play."""

BAD = ("failed", "unreachable")
"""How a host can have answered that leaves the play."""


def append(path: str, task: Any, host: str | None, result: Result) -> None:
    """Add what ``task`` learned of ``host`` (None: of the play)."""
    _append(path, task, host, status(result), result, registered_name(task))


def append_begin(path: str, task: Any) -> None:
    """Add that ``task`` begins: from now on hosts may be changed."""
    _append(path, task, None, "begun", {}, "")


def append_failure(path: str, task: Any, message: str) -> None:
    """Add that ``task`` failed, and no host is to blame."""
    _append(path, task, None, "failed", {"msg": message}, "")


def _append(path: str, task: Any, host: str | None, status: str, result: Result, name: str) -> None:
    role = task._role.get_name(include_role_fqcn=False) if task._role else ""
    names = {"task": task.get_name(), "role": role, "name": name, "host": host}
    channel.append(path, {**names, "status": status, "result": result})


def lines(path: str) -> list[dict[str, Any]]:
    """All that was added so far."""
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


def status(result: Result) -> str:
    """How a task ended on a host, in one word."""
    bad = [key for key in ("unreachable", "failed", "skipped") if result.get(key)]
    return bad[0] if bad else "ok"


def registered_name(task: Any) -> str:
    """The variable that the task registers; since ansible-core 2.21 it is the key of a dict."""
    name = task.register or ""
    return name if isinstance(name, str) else next(iter(name))


class Earlier:
    """What the hosts answered to the tasks before, in a play of the CLI."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[str, Result]] = {}
        self._of_play: dict[str, Result] = {}
        self.failed: set[str] = set()
        """The hosts that have failed or did not answer; the play goes on without them."""
        for line in lines(FILE or os.devnull):
            if line["host"] is None:
                self._of_play[line["name"]] = line["result"]
                continue
            if line["status"] in BAD:
                self.failed.add(line["host"])
            self._answers.setdefault(line["host"], {})[line["name"]] = line["result"]

    def of(self, host: str) -> dict[str, Result]:
        """The results on one host by registered name, and those of the tasks that run once."""
        return self._of_play | self._answers.get(host, {})
