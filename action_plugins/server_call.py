"""Action plugin torc.remote.server_call: what a play has to ask or tell the torc server, from the controller."""

DOCUMENTATION = r"""
---
module: server_call
short_description: Ask or tell the torc server something, from the controller
description:
  - No connection to the host is made.
options:
  call:
    description:
      - V(version) asks which version of torc the workers should have.
      - V(initialize) initializes the workflow, if that has not been done; a complete workflow is an error.
      - V(release) marks the compute nodes of a stopped worker inactive and reports their running jobs as terminated.
    type: str
    choices: [version, initialize, release]
    required: true
  workflow_id:
    description: The workflow; not needed for V(version).
    type: int
  nodes:
    description: IDs of compute nodes, separated by blanks, for V(release).
    type: str
    default: ""
  stopped:
    description: The worker was stopped just now, so the jobs that it terminated itself are counted too.
    type: bool
    default: false
  api_url:
    description: The server's URL; by default what torc's environment and configuration files say.
    type: str
  credentials_file:
    description: A private JSON file with the server's credentials; by default torc's environment.
    type: path
author: The torc-remote developers
"""

RETURN = r"""
version:
  description: The version, for example V(1.0.0).
  type: str
  returned: for version
jobs_terminated:
  description: How many jobs the released nodes were running.
  type: int
  returned: for release, when something was to be told
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

try:
    from torc_remote.client.api import TorcClient
    from torc_remote.client.handoff import play_settings
    from torc_remote.client.lifecycle import ensure_runnable, release_compute_node, worker_version
    from torc_remote.errors import TorcError
except ImportError as error:
    raise AnsibleActionFail(
        "The collection torc.remote needs its Python package in Ansible's own interpreter: pip install torc-remote"
    ) from error

Result = dict[str, Any]


class ActionModule(ActionBase):
    """One call, or the few that belong together."""

    _VALID_ARGS = frozenset(("call", "workflow_id", "nodes", "stopped", "api_url", "credentials_file"))
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: Mapping[str, Any] | None = None) -> Result:
        """The task's result; the server's "no" is a failed one."""
        result: Result = super().run(tmp, task_vars)
        args = self._task.args
        # these concern no host, although Ansible reports them under the first one's name
        result["on_controller"] = args["call"] != "release"
        calls = {"version": self._version, "initialize": self._initialize, "release": self._release}
        try:
            client = TorcClient(play_settings(args.get("api_url"), args.get("credentials_file")))
            return result | calls[args["call"]](client, args)
        except TorcError as error:
            return result | {"failed": True, "msg": str(error)}

    def _version(self, client: TorcClient, args: Mapping[str, Any]) -> Result:
        return {"version": worker_version(client)}

    def _initialize(self, client: TorcClient, args: Mapping[str, Any]) -> Result:
        return {
            "changed": ensure_runnable(client, int(args["workflow_id"]), change=not self._task.check_mode)
        }

    def _release(self, client: TorcClient, args: Mapping[str, Any]) -> Result:
        if self._task.check_mode:
            return {"skipped": True}
        workflow_id, nodes = int(args["workflow_id"]), str(args.get("nodes", "")).split()
        released = [release_compute_node(client, workflow_id, int(node)) for node in nodes]
        changed = any(node.changed for node in released)
        result: Result = {"changed": changed}
        if changed or args.get("stopped"):
            ended = [
                client.list_results(workflow_id, compute_node_id=int(n), status="terminated") for n in nodes
            ]
            result["jobs_terminated"] = sum(map(len, ended))
        return result
