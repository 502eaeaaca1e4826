"""The base of the tasks that run once, on the controller, for all hosts of a play."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from ansible_collections.torc.remote.plugins.plugin_utils import answers
from ansible_collections.torc.remote.plugins.plugin_utils.play_task import PlayTask, Result


class ControllerTask(PlayTask):
    """A task for the whole play; subclasses have ``_work``."""

    BYPASS_HOST_LOOP = True
    _requires_connection = False

    by_cli = answers.FILE is not None
    """Whether the CLI launched the play."""

    def run(self, tmp: str | None = None, task_vars: Mapping[str, Any] | None = None) -> Result:
        """The task's result, which in a play of the CLI stands in the file as well, for no host."""
        result: Result = super().run(tmp, task_vars)
        self._variables = task_vars or {}
        result |= self._work()
        if answers.FILE is not None:
            answers.append(answers.FILE, self._task, None, result)
        return result

    @cached_property
    def _earlier(self) -> answers.Earlier:
        return answers.Earlier()

    @property
    def all_hosts(self) -> list[str]:
        """The hosts that the play began with, of this batch."""
        hosts: list[str] = self._variables["ansible_play_hosts_all"]
        return hosts

    @property
    def hosts(self) -> list[str]:
        """The hosts that have not failed so far."""
        return [host for host in self._variables["ansible_play_hosts"] if host not in self._earlier.failed]

    def answers(self, name: str) -> dict[str, answers.Result]:
        """By host, what it answered to the task that registers ``name``, also where that failed."""
        if self.by_cli:
            found = {host: self._earlier.of(host).get(name) for host in self.all_hosts}
        else:
            hostvars = self._variables["hostvars"]
            found = {host: hostvars[host].get(name) for host in self.all_hosts}
        return {host: answer for host, answer in found.items() if answer is not None}
