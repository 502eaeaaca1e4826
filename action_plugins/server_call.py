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
      - V(initialize) initializes the workflow, if that has not been done; a complete workflow is an error. Input files
        have to be on the hosts; those that are not on the controller are named in a warning.
      - V(release) marks the compute nodes of workers that are gone inactive and makes their running jobs ready again,
        for all hosts of the play at once.
    type: str
    choices: [version, initialize, release]
    required: true
  answers:
    description:
      - For V(release), the name of the variable that holds, for each host of the play, what its script answered.
      - It is a name, as the arguments of M(torc.remote.run_script) are.
    type: str
  max_attempts:
    description: For V(release), the number of workers that may die of a job before it is terminated instead.
    type: int
    default: 3
  terminate:
    description: For V(release), whether all jobs are terminated instead.
    type: bool
    default: false
notes:
  - The variables torc_workflow_id and torc_api_url are read directly; so are torc_username, torc_password,
    torc_cookie_header, torc_tls_ca_cert and torc_tls_insecure, which may be vaulted. Without them torc's environment
    and configuration files count.
author: The torc-remote developers
"""

RETURN = r"""
version:
  description: The version, for example V(1.0.0).
  type: str
  returned: for version
hosts:
  description:
    - By inventory name, where there is something to tell, V(jobs_requeued) and V(jobs_terminated), the numbers of jobs
      that the worker was running and that are ready again or terminated; V(jobs_unassigned), the number of the
      workflow's jobs that are claimed and not started by nobody knows whom; V(msg) where the server could not be told
      or the worker's node could not be found.
  type: dict
  returned: for release
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.torc.remote.plugins.plugin_utils import answers
from ansible_collections.torc.remote.plugins.plugin_utils.controller_task import ControllerTask
from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result

from torc_remote.client.api import Json, TorcClient
from torc_remote.client.errors import ApiError
from torc_remote.client.lifecycle import ensure_runnable, worker_version
from torc_remote.client.play_settings import play_settings
from torc_remote.client.registrations import NamedNode, find_nodes
from torc_remote.client.release import MAX_ATTEMPTS, End, release_compute_node, unassigned_jobs
from torc_remote.errors import TorcError
from torc_remote.remote.claims import Claim, Claims, make_claims, read_claim
from torc_remote.text import printable


class ActionModule(ControllerTask):
    """One call, or the few that belong together."""

    _VALID_ARGS = frozenset(("call", "answers", "max_attempts", "terminate"))

    def _work(self) -> Result:
        """The task's result; the server's "no" is a failed one."""
        calls = {
            "version": self._version,
            "initialize": self._initialize,
            "release": self._release,
        }
        try:
            return calls[self._task.args["call"]](TorcClient(play_settings(self._value)))
        except TorcError as error:
            return {"failed": True, "msg": str(error)}

    def _version(self, client: TorcClient) -> Result:
        return {"version": worker_version(client)}

    def _initialize(self, client: TorcClient) -> Result:
        workflow_id = int(self._value("torc_workflow_id"))
        notes: list[str] = []
        changed = ensure_runnable(client, workflow_id, notes.append, change=not self._task.check_mode)
        return {"changed": changed, "warnings": [printable(text) for text in notes]}

    def _release(self, client: TorcClient) -> Result:
        """For all hosts in one call: Ansible would need a process for each."""
        if self._task.check_mode:
            return {"skipped": True}
        workflow_id, given = int(self._value("torc_workflow_id")), self.answers(self._task.args["answers"])
        by_host = {host: read_claim(given.get(host, {})) for host in self.all_hosts}
        hostvars = self._variables["hostvars"]
        addresses = {
            host: [str(hostvars[host].get(key, "")) for key in ("torc_worker", "ansible_host")]
            for host in by_host
        }
        reports = _Release(client, workflow_id, given, self._ends(given)).tell(by_host, addresses)
        hosts = {host: report for host, report in reports.items() if report}
        changed = any(report.pop("changed", False) for report in hosts.values())
        if answers.FILE is not None:  # a failure is that host's alone
            for host, report in hosts.items():
                answers.append(answers.FILE, self._task, host, report | {"failed": "msg" in report})
            return {"changed": changed}
        return {
            "changed": changed,
            "failed": any("msg" in report for report in hosts.values()),
            "msg": "; ".join(f"{host}: {report['msg']}" for host, report in hosts.items() if "msg" in report),
            "hosts": hosts,
        }

    def _ends(self, given: Mapping[str, Mapping[str, Any]]) -> dict[str, End]:
        """By host, how its worker ended: where no stop has asked for it, it died."""
        args = self._task.args
        terminate = bool(boolean(args.get("terminate", False)))
        most = int(args.get("max_attempts", MAX_ATTEMPTS))
        return {
            host: End(host, died=not answer.get("asked"), terminate=terminate, max_attempts=most)
            for host, answer in given.items()
        }


@dataclass(frozen=True)
class _Release:
    """What the server is told of the workers that are gone, by what their hosts answered."""

    client: TorcClient
    workflow_id: int
    answers: Mapping[str, Mapping[str, Any]]
    ends: Mapping[str, End]

    def tell(self, by_host: Mapping[str, Claim], addresses: Mapping[str, Iterable[str]]) -> dict[str, Result]:
        """By host, what is to be reported of it."""
        gone = [host for host, claim in by_host.items() if claim.gone or claim.idle]
        if not gone:
            return {}
        try:
            stored = self.client.list_remote_workers(self.workflow_id)
        except TorcError as error:
            return {} if _is_unknown(error) else {host: _failed_report(error) for host in gone}
        claims = make_claims(by_host, addresses, stored)
        reports = self._named(claims) | self._idle(claims)
        ended = [host for host, report in reports.items() if self._has_ended(host, report)]
        try:
            unassigned = unassigned_jobs(self.client, self.workflow_id) if ended else 0
        except TorcError as error:
            return reports | {host: _failed_report(error) for host in ended}
        return reports | {
            host: reports[host] | {"jobs_unassigned": unassigned} for host in ended if unassigned
        }

    def _has_ended(self, host: str, report: Result) -> bool:
        """Whether the host's worker has ended in this play, or the server did not know of its end."""
        return bool(report.get("changed")) or self.answers[host].get("state") == "stopped"

    def _named(self, claims: Claims) -> dict[str, Result]:
        """Release the nodes that the hosts' workers named; what became of the jobs that were running there."""
        gone = {host: claim.gone for host, claim in claims.by_host.items() if claim.gone}
        if not gone:
            return {}
        try:
            nodes = {node["id"]: node for node in self.client.list_compute_nodes(self.workflow_id)}
            at_rest = _nodes_at_rest(self.client, self.workflow_id, nodes.values())
            own = {
                host: [one for one in named if (node := nodes.get(one.node_id)) and one.fits(node)]
                for host, named in gone.items()
            }
            active = {
                host: {one: nodes[one.node_id] for one in named if one.node_id not in at_rest}
                for host, named in own.items()
            }
            reports = {host: self._nodes(host, named, claims) for host, named in active.items()}
            terminated = self._terminated()
        except TorcError as error:
            return {} if _is_unknown(error) else {host: _failed_report(error) for host in gone}
        for host, report in reports.items():
            if self._has_ended(host, report):
                report.setdefault("jobs_requeued", 0)
                report["jobs_terminated"] = sum(terminated[named.node_id] for named in own[host])
        return reports

    def _terminated(self) -> Counter[int]:
        """By compute node, how many jobs have been terminated there, by us or by a worker's own report."""
        over = {job["id"] for job in self.client.list_jobs(self.workflow_id, status="terminated")}
        results = self.client.list_results(self.workflow_id, status="terminated") if over else []
        return Counter(result["compute_node_id"] for result in results if result["job_id"] in over)

    def _nodes(self, host: str, gone: Mapping[NamedNode, Json], claims: Claims) -> Result:
        """Release the nodes of one host, but for those that it is not believed to have had."""
        report: Result = {}
        refused = []
        requeued = 0
        for named, node in gone.items():
            try:
                if reason := claims.refused(host, node):
                    refused.append(reason)
                    continue
                released = release_compute_node(
                    self.client, self.workflow_id, named.node_id, self.ends[host], named.fits
                )
            except TorcError as error:
                return _failed_report(error)
            if released.changed:
                requeued += len(released.requeued)
                report = {"changed": True, "jobs_requeued": requeued}
        return report | ({"msg": "; ".join(refused)} if refused else {})

    def _idle(self, claims: Claims) -> dict[str, Result]:
        """Release the nodes of native workers that had no job, which don't know them; hosts may share a name."""
        by_host = claims.by_host
        gone = {host: claim.idle for host, claim in by_host.items() if claim.idle}
        if not gone:
            return {}
        refused = {
            host: f"the node of its worker {reason}"
            for host, idle in gone.items()
            for worker in idle
            if (reason := claims.foreign(host, worker.hostname))
        }
        believed = {host: idle for host, idle in gone.items() if host not in refused}
        named = [node.node_id for claim in by_host.values() for node in (*claim.gone, *claim.held)]
        living = [worker for claim in by_host.values() for worker in claim.living]
        try:
            workers = [worker for idle in believed.values() for worker in idle]
            found = find_nodes(self.client, self.workflow_id, workers, named, living)
            for node in sorted(found.dead):
                release_compute_node(self.client, self.workflow_id, node)
        except TorcError as error:
            return {} if _is_unknown(error) else {host: {"msg": str(error)} for host in gone}
        doubtful = {
            host: nodes
            for host, idle in believed.items()
            if (nodes := frozenset().union(*(found.doubtful.get(worker, ()) for worker in idle)))
        }
        return (
            {host: {"changed": bool(found.dead)} for host in believed}
            | {host: {"msg": _doubtful(nodes)} for host, nodes in doubtful.items()}
            | {host: {"msg": reason} for host, reason in refused.items()}
        )


def _nodes_at_rest(client: TorcClient, workflow_id: int, nodes: Iterable[Json]) -> set[int]:
    """The nodes that the server knows to be inactive; none while there are jobs that may be theirs all the same."""
    counts = client.workflow_status(workflow_id)["jobs_by_status"]
    if counts.get("running") or counts.get("pending"):
        return set()
    return {node["id"] for node in nodes if not node.get("is_active")}


def _is_unknown(error: TorcError) -> bool:
    """The workflow was deleted, or the database is another one: there is nothing to tell."""
    return isinstance(error, ApiError) and error.status == HTTPStatus.NOT_FOUND


def _failed_report(error: TorcError) -> Result:
    return {"msg": f"the worker is gone, but the server could not be told: {error}"}


def _doubtful(nodes: Iterable[int]) -> str:
    return (
        f"the worker is stopped, but at the server one of the compute nodes {', '.join(map(str, sorted(nodes)))} is "
        "still active for it: workers with the same host name, started in the same second, are still running. "
        "Stop those as well, then stop this one again"
    )
