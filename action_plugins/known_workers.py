"""Action plugin torc.remote.known_workers: asks the torc server which workers it knows."""

DOCUMENTATION = r"""
---
module: known_workers
short_description: Ask the torc server which workers it knows
description:
  - Asks for the workflow's run and its compute nodes, by which hosts tell whether a worker is this server's and of this
    run. Nothing is known of them where the server does not answer.
  - No connection to the hosts is made.
notes:
  - Takes no options. Of the server it reads the same variables as M(torc.remote.server_call). Where the variable
    torc_known_workers says what the server knows, it is not asked.
author: The torc-remote developers
"""

RETURN = r"""
workers:
  description: Lines for O(torc.remote.run_script#module:known).
  type: str
  returned: always
"""

from ansible_collections.torc.remote.plugins.plugin_utils.controller_task import ControllerTask
from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result

from torc_remote.errors import TorcError


class ActionModule(ControllerTask):
    """One question for all hosts."""

    _VALID_ARGS: frozenset[str] = frozenset()

    def _work(self) -> Result:
        given = self._value("torc_known_workers")
        if given is not None:
            return {"workers": given}
        try:
            return {"workers": self._ask_known_workers()}
        except TorcError:
            return {"workers": ""}
