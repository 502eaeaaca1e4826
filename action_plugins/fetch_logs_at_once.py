"""Action plugin torc.remote.fetch_logs_at_once: brings the logs of all hosts to the controller, from one task."""

DOCUMENTATION = r"""
---
module: fetch_logs_at_once
short_description: Collect the logs of a workflow's workers from all hosts, from one task
description:
  - For the C(torc remote) command. Does on each host what M(torc.remote.fetch_logs) does, in the way of
    M(torc.remote.ask_hosts). It is not meant to delete.
notes:
  - Takes no options.
author: The torc-remote developers
"""

from ansible_collections.torc.remote.plugins.action.ask_hosts import ActionModule as AskHosts
from ansible_collections.torc.remote.plugins.action.fetch_logs import ActionModule as FetchLogs


class ActionModule(AskHosts, FetchLogs):
    """Asks as the one does, each host as the other does."""

    _VALID_ARGS = frozenset()
