"""Action plugin torc.remote.gate: ends the play when a host has failed."""

DOCUMENTATION = r"""
---
module: gate
short_description: End the play when a host has failed
description:
  - Ends the play before anything is changed, unless every host is fit or the variable torc_keep_going is true and at
    least one host is.
  - Ansible's own any_errors_fatal can't be switched by a variable, and max_fail_percentage overlooks hosts that are
    unreachable.
notes:
  - Takes no options. No connection to the hosts is made.
author: The torc-remote developers
"""

from ansible_collections.torc.remote.plugins.plugin_utils.controller_task import ControllerTask
from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result


class ActionModule(ControllerTask):
    """One look at what the hosts answered so far."""

    _VALID_ARGS: frozenset[str] = frozenset()

    def _work(self) -> Result:
        fit = self.hosts
        unfit = [host for host in self.all_hosts if host not in fit]
        if not unfit or (self._flag("torc_keep_going") and fit):
            return {}
        names = ", ".join(unfit)
        return {
            "failed": True,
            "refused": True,
            "msg": f"Nothing was started, as not all hosts passed the check: {names}. "
            "To start the others: -e torc_keep_going=true",
        }
