"""The answers of a play's hosts, as its tasks leave them for each other and for the command that launched the play.

The CLI names a file, to which each task appends a line of JSON for each host:
``{"task", "role", "name", "host", "status", "result"}``. ``name`` is the variable that the task registers, ``status``
is ``ok``, ``failed``, ``unreachable`` or ``skipped``. By hand the registered variables say the same.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Result = Mapping[str, Any]

FILE = os.environ.get("_TORC_REMOTE_ANSWERS")
"""The file of the CLI's play. Ansible reads the plugins once, so this is the same for a whole play."""


BAD = ("failed", "unreachable")
"""How a host can have answered that leaves the play."""


def append(path: str, task: Any, host: str | None, result: Result, name: str | None = None) -> None:
    """Add what ``task`` learned of ``host`` (None: of the play): one write, so that lines of processes don't mix."""
    line = {
        "task": task.get_name(),
        "role": task._role.get_name(include_role_fqcn=False) if task._role else "",
        "name": registered_name(task) if name is None else name,
        "host": host,
        "status": status(result),
        "result": result,
    }
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, (json.dumps(line) + "\n").encode())
    finally:
        os.close(descriptor)


def lines(path: str) -> list[dict[str, Any]]:
    """All that was added so far."""
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


def status(result: Result) -> str:
    """How a task ended on a host, in one word."""
    bad = [word for word in ("unreachable", "failed", "skipped") if result.get(word)]
    return bad[0] if bad else "ok"


def registered_name(task: Any) -> str:
    """The variable that the task registers; since ansible-core 2.21 it is the key of a dict."""
    name = task.register or ""
    return name if isinstance(name, str) else next(iter(name))


class Earlier:
    """What the hosts answered to the tasks before, in a play of the CLI."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[str, Result]] = {}
        self.failed: set[str] = set()
        """The hosts that have failed or did not answer; the play goes on without them."""
        for line in lines(FILE or os.devnull):
            if line["host"] is None:
                continue
            if line["status"] in BAD:
                self.failed.add(line["host"])
            self._answers.setdefault(line["host"], {})[line["name"]] = line["result"]

    def of(self, host: str) -> dict[str, Result]:
        """The results on one host by registered name."""
        return self._answers.get(host, {})
