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
      - V(release_idle) marks the compute nodes of workers inactive that were stopped before they had a job, and whose
        node must be looked for. It concerns all hosts of the play.
    type: str
    choices: [version, initialize, release, release_idle]
    required: true
  workflow_id:
    description: The workflow; not needed for V(version).
    type: int
  nodes:
    description: IDs of compute nodes, separated by blanks, for V(release).
    type: str
    default: ""
  stopped_hosts:
    description: What each host's stop script answered, by inventory name, for V(release_idle).
    type: dict
    default: {}
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
hosts:
  description: The hosts whose compute node could not be told from those of workers that still run, each with O(msg).
  type: dict
  returned: for release_idle
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

try:
    from torc_remote.client.api import TorcClient
    from torc_remote.client.handoff import play_settings
    from torc_remote.client.lifecycle import ensure_runnable, release_compute_node, worker_version
    from torc_remote.client.registrations import Registration, find_nodes
    from torc_remote.errors import TorcError
except ImportError as error:
    raise AnsibleActionFail(
        "The collection torc.remote needs its Python package in Ansible's own interpreter: pip install torc-remote"
    ) from error

Result = dict[str, Any]


class ActionModule(ActionBase):
    """One call, or the few that belong together."""

    _VALID_ARGS = frozenset(
        ("call", "workflow_id", "nodes", "stopped", "stopped_hosts", "api_url", "credentials_file")
    )
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: Mapping[str, Any] | None = None) -> Result:
        """The task's result; the server's "no" is a failed one."""
        result: Result = super().run(tmp, task_vars)
        args = self._task.args
        # these concern no host, although Ansible reports them under the first one's name
        result["on_controller"] = args["call"] != "release"
        calls = {
            "version": self._version,
            "initialize": self._initialize,
            "release": self._release,
            "release_idle": self._release_idle,
        }
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

    def _release_idle(self, client: TorcClient, args: Mapping[str, Any]) -> Result:
        if self._task.check_mode:
            return {"skipped": True}
        workflow_id, said = int(args["workflow_id"]), args["stopped_hosts"]
        gone = {
            host: Registration.parse(answer["registered"])
            for host, answer in said.items()
            if answer.get("registered") and not answer.get("nodes") and not answer.get("failed")
        }
        named = [int(node) for answer in said.values() for node in str(answer.get("nodes", "")).split()]
        try:
            found = find_nodes(client, workflow_id, [*gone.values()], named)
            for node in sorted(found.dead):
                release_compute_node(client, workflow_id, node)
        except TorcError as error:  # of these hosts alone, the others' reports are not to be lost
            return {"hosts": {host: {"msg": str(error)} for host in gone}}
        doubtful = {host: found.doubtful[worker] for host, worker in gone.items() if worker in found.doubtful}
        hosts = {host: {"msg": _doubtful(nodes)} for host, nodes in doubtful.items()}
        return {"changed": bool(found.dead), "hosts": hosts}


def _doubtful(nodes: Iterable[int]) -> str:
    return (
        f"the worker is stopped, but at the server one of the compute nodes {', '.join(map(str, sorted(nodes)))} is "
        "still active for it: workers with the same host name, started in the same second, are still running. "
        "Stop those as well, then stop this one again"
    )
