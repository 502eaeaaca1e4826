"""The library behind `torc remote`: each operation takes a workflow's workers and answers with a Report."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torc_remote.client.api import Json, TorcClient, workflow_key
from torc_remote.client.config import Settings
from torc_remote.client.lifecycle import ensure_runnable, worker_version
from torc_remote.client.registrations import known_workers
from torc_remote.client.release import MAX_ATTEMPTS
from torc_remote.errors import TorcError
from torc_remote.remote.executables import require_program
from torc_remote.remote.inventory import Inventory, WorkflowWorkers, build_inventory
from torc_remote.remote.play import HostAnswer, InterruptedPlayError, Play, PlayError, run_play
from torc_remote.remote.report import (
    HostResult,
    HostStep,
    OnStep,
    Report,
    host_result,
    ssh_reason,
    unfinished,
)
from torc_remote.remote.workers import shown
from torc_remote.ssh.options import (
    SshOptions,
    default_control_dir,
    ensure_control_dir,
    find_ssh_config,
    require_ssh,
)
from torc_remote.text import one_line, printable

if TYPE_CHECKING:
    from torc_remote.remote.play_process import PlayProcess

_START_ROLE = "start_worker"
# By operation the role whose answer is the end of it, and what is to be known after Ctrl-C.
_INTERRUPTED = {
    "run": (
        _START_ROLE,
        "Workers that were started go on. Run the command again: it starts only what is missing.",
    ),
    "status": ("status", "Nothing was changed."),
    "stop": (
        "stop",
        "Some workers may be stopped without the server having been told which jobs that ended. Run the command again: "
        "it stops the others and tells the server.",
    ),
    "collect-logs": (
        "fetch_logs",
        "Archives that are here are whole, and what is not here was deleted nowhere. Run the command again: it "
        "collects only what is missing.",
    ),
    "delete-logs": ("delete_logs", "Some logs may be deleted. Run the command again: it deletes the others."),
    "install": (
        "install_torc",
        "torc may be installed on some. Run the command again: what is the same stays.",
    ),
    "reach": ("", "No worker was added."),
}


@dataclass(frozen=True)
class PlayOptions:
    """How to work on the hosts: ``forks`` at a time, ``host_timeout`` seconds for each step on a host (0: no bound).

    ``on_step`` is called for each host as it answers. With ``keep_going`` bad hosts are left out instead of
    stopping everything. ``process`` is a launched program that waits for the play; without one it is started then.
    """

    forks: int = 10
    host_timeout: int = 60
    keep_going: bool = False
    on_step: OnStep | None = None
    process: "PlayProcess | None" = None


class Fleet:
    """The workers of one workflow and the way to them; of stored strings that are no addresses only a report."""

    def __init__(
        self, client: TorcClient, workflow_id: int, workers: Sequence[str], options: PlayOptions
    ) -> None:
        self.client = client
        self.workflow_id = workflow_id
        self.workers = list(dict.fromkeys(workers))
        self.options = options
        self.inventory = _inventory(workflow_id, self.workers)

    @property
    def settings(self) -> Settings:
        return self.client.settings

    @cached_property
    def workflow(self) -> Json | None:
        """As the server has it; None when it does not know it any more."""
        return self.client.find_workflow(self.workflow_id)

    @cached_property
    def workflow_key(self) -> str:
        """What hosts know the workflow by; empty when the server does not know it any more."""
        return workflow_key(self.workflow) if self.workflow else ""

    def play(self, operation: str, playbook: str, variables: Mapping[str, Any]) -> Report:
        """Run a playbook on all hosts; its last words on each become the report."""
        play = Play(
            playbook=playbook,
            variables={
                "torc_workflow_id": self.workflow_id,
                "torc_workflow_key": self.workflow_key,
                "torc_host_timeout": self.options.host_timeout,
                **{name: value for name, value in variables.items() if value is not None},
            },
            forks=self.options.forks,
            on_result=self._relay,
        )
        if not self.inventory.hosts:
            return self.report(operation, {})
        try:
            answers = run_play(play, self.inventory, self.settings, self.options.process)
        except InterruptedPlayError as error:
            raise InterruptedPlayError(error.answers, _interrupted(operation, error.answers)) from None
        report = self.report(operation, answers)
        cut_off = next(iter(answers.values())).cut_off
        if cut_off and not report.failed:
            raise PlayError(f"All hosts answered, but {unfinished(cut_off)}")
        if report.failed and all(host.state == "not_started" for host in report.failed):
            raise PlayError(
                "Ansible left out a step on some hosts and does not say why. "
                "Perhaps this account may start no more processes on this machine (ulimit -u)."
            )
        return report

    def _relay(self, step: str, host: str, answer: HostAnswer) -> None:
        if not self.options.on_step:
            return
        outcome = str(answer.values.get("msg") or answer.values.get("state") or answer.status)
        if answer.status == "unreachable":
            outcome = ssh_reason(self.inventory.hosts[host], answer)
        labels = self.inventory.labels
        ok = answer.status == "ok"
        self.options.on_step(HostStep(step, labels[host], ok, one_line(outcome), list(labels.values())))

    def report(self, operation: str, answers: Mapping[str, HostAnswer]) -> Report:
        """One result a worker in the order of the list, also for those that answered nothing."""
        results = {
            address.stored: host_result(
                operation, address, self.inventory.labels[name], answers.get(name, HostAnswer())
            )
            for name, address in self.inventory.hosts.items()
        }
        for bad in self.inventory.skipped:
            results[bad.stored] = HostResult(bad.stored, shown(bad.stored), "invalid", False, bad.reason)
        hosts = [results[worker] for worker in self.workers]
        return Report(
            operation, self.workflow_id, hosts, self._refused(operation, answers), self.workflow_key
        )

    def _refused(self, operation: str, answers: Mapping[str, HostAnswer]) -> bool:
        started = any(answer.role == _START_ROLE for answer in answers.values())
        return operation == "run" and not started and not self.options.keep_going


def configured_workers(client: TorcClient, workflow_id: int) -> list[str]:
    """The stored addresses. Raises TorcError when there are none."""
    workers = client.list_remote_workers(workflow_id)
    if not workers:
        raise TorcError(
            f"No workers configured for workflow {workflow_id}. "
            "Use 'torc remote add-workers' or '--workers' flag."
        )
    return workers


@dataclass(frozen=True)
class RunOptions:
    """What `run` passes on to the workers. ``worker``: what the user chose (names of worker_options)."""

    worker: Mapping[str, object] = field(default_factory=dict)
    executable: str | None = None
    worker_url: str | None = None
    skip_version_check: bool = False
    max_attempts: int = MAX_ATTEMPTS


def run(fleet: Fleet, options: RunOptions, note: Callable[[str], object] = lambda text: None) -> Report:
    """Check all hosts, initialize the workflow where needed, start the workers, see that they stay.

    By default nothing is started unless every host passes its check. ``note`` takes what the user should know before.
    """
    ensure_runnable(fleet.client, fleet.workflow_id, lambda text: note(printable(text)), change=False)
    if fleet.inventory.skipped and not fleet.options.keep_going:
        return fleet.report("run", {})
    return fleet.play(
        "run",
        "run",
        {
            **{f"torc_{name}": value for name, value in options.worker.items()},
            "torc_executable": options.executable,
            "torc_worker_url": options.worker_url,
            "torc_skip_version_check": options.skip_version_check,
            "torc_expected_version": worker_version(fleet.client),
            "torc_keep_going": fleet.options.keep_going,
            "torc_max_attempts": options.max_attempts,
        },
    )


def status(fleet: Fleet, output_dir: str | None) -> Report:
    """Ask every host for its worker."""
    # that the play need not ask, nor load what asks
    known = known_workers(fleet.client, fleet.workflow) if fleet.workflow else ""
    return fleet.play("status", "status", {"torc_output_dir": output_dir, "torc_known_workers": known})


def stop(
    fleet: Fleet,
    output_dir: str | None,
    force: bool,
    terminate: bool = False,
    max_attempts: int = MAX_ATTEMPTS,
) -> Report:
    """End the workers and their jobs' processes; these jobs are ready again then, or, to ``terminate``, over."""
    variables = {
        "torc_output_dir": output_dir,
        "torc_force": force,
        "torc_terminate": terminate,
        "torc_max_attempts": max_attempts,
    }
    return fleet.play("stop", "stop", variables)


def collect_logs(
    fleet: Fleet, destination: Path, output_dir: str | None, delete: bool, all_workflows: bool = False
) -> Report:
    """Bring one archive from each host into ``destination``."""
    variables = {
        "torc_local_output_dir": str(destination.absolute()),
        "torc_output_dir": output_dir,
        "torc_delete": delete,
        "torc_all_workflows": all_workflows,
    }
    return fleet.play("collect-logs", "fetch_logs", variables)


def delete_logs(fleet: Fleet, output_dir: str | None, all_workflows: bool = False) -> Report:
    """Remove what the workers made on the hosts."""
    variables = {"torc_output_dir": output_dir, "torc_all_workflows": all_workflows}
    return fleet.play("delete-logs", "delete_logs", variables)


def install(fleet: Fleet, binary: Path | None) -> Report:
    """Put the built-in worker, or a native torc, on the hosts. Raises TorcError when ``binary`` is no program."""
    if binary:
        require_program(binary)
    return fleet.play("install", "install_torc", {"torc_binary": str(binary.absolute()) if binary else None})


def check_reachable(fleet: Fleet) -> Report:
    """Which hosts answer?"""
    return fleet.play("reach", "reach", {})


def _inventory(workflow_id: int, workers: Sequence[str]) -> Inventory:
    require_ssh()
    config = find_ssh_config(os.environ.get("TORC_REMOTE_SSH_CONFIG"))
    options = SshOptions(ensure_control_dir(default_control_dir(os.environ, config)), config)
    return build_inventory([WorkflowWorkers(workflow_id, "", workers)], options, keep_going=True)


def _interrupted(operation: str, answers: Mapping[str, HostAnswer]) -> str:
    """What was done, what was not and what to do."""
    role, words = _INTERRUPTED[operation]
    done = sum(answer.status != "silent" and answer.role in ("", role) for answer in answers.values())
    return f"Interrupted. {done} of {len(answers)} host(s) had answered. {words}"
