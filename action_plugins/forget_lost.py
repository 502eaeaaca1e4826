"""Action plugin torc.remote.forget_lost: lets hosts forget the workers of which the server was told."""

DOCUMENTATION = r"""
---
module: forget_lost
short_description: Let hosts forget what the server was told
description:
  - A host remembers a worker that was killed until the server was told of it. Here it forgets it.
  - One task works on all hosts, also by hand, as few of them have something to forget.
options:
  needs:
    description: The variable that an earlier task registered, whose answer has C(lost) for such a host.
    type: str
    required: true
author: The torc-remote developers
"""

from typing import Any

from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result
from ansible_collections.torc.remote.plugins.plugin_utils.script_task import ScriptTask


class ActionModule(ScriptTask):
    """One script on the hosts that have something to forget."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = ScriptTask.COMMON_ARGS

    def _is_wanted(self) -> bool:
        answer = self._earlier.get(self._task.args["needs"]) or {}
        return bool(answer.get("lost")) and not self._task.check_mode

    def _act(self, args: Any) -> Result:
        return self._run_script("forget_lost", workflow=True)
