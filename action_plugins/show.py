"""Action plugin torc.remote.show: shows what the hosts answered, a line a host."""

DOCUMENTATION = r"""
---
module: show
short_description: Show what the hosts answered
description:
  - Without C(-v) Ansible shows of a result no more than V(ok). This shows each host's state, process and reason.
  - No connection to the hosts is made.
options:
  answers:
    description: The variables that earlier tasks registered; what a later one says counts.
    type: list
    elements: str
    required: true
author: The torc-remote developers
"""

RETURN = r"""
msg:
  description: A line of text by host.
  type: dict
  returned: always
"""

from collections import ChainMap

from ansible_collections.torc.remote.plugins.plugin_utils.controller_task import ControllerTask
from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result


class ActionModule(ControllerTask):
    """One list for all hosts."""

    _VALID_ARGS = frozenset(("answers",))

    def _work(self) -> Result:
        if self.by_cli:
            return {}
        names = reversed(self._task.args["answers"])
        given = [self.answers(name) for name in names]
        lines = {
            host: _line(ChainMap(*(dict(answers[host]) for answers in given if host in answers)))
            for host in self.hosts
        }
        return {"msg": lines, "_ansible_verbose_always": True}


def _line(answer: ChainMap[str, object]) -> str:
    parts = [
        answer.get("state"),
        f"PID {answer['pid']}" if answer.get("pid") else "",
        f"exit code {answer['exit_code']}" if answer.get("exit_code") not in (None, "") else "",
        answer.get("reason"),
    ]
    return ", ".join(str(part) for part in parts if part)
