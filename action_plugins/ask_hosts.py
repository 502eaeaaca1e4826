"""Action plugin torc.remote.ask_hosts: runs one of the collection's shell scripts on all hosts, from one task."""

DOCUMENTATION = r"""
---
module: ask_hosts
short_description: Run one of the collection's shell scripts, which only looks, on all hosts from one task
description:
  - For the C(torc remote) command, whose commands that change nothing need none of what Ansible keeps for each host and
    task. Ansible's own way is a process for each host and task, which costs more than the question itself.
  - As many processes as Ansible has forks ask one host after the other through Ansible's connection, as
    M(torc.remote.run_script) does. The hosts' answers don't become the task's result; they go to a file as they come.
options:
  script:
    description: File name below C(files/) of the calling role. It has to be one that changes nothing.
    type: str
    required: true
  workflow:
    description: As for M(torc.remote.run_script).
    type: bool
    default: false
  arguments:
    description: As for M(torc.remote.run_script), but with the first host's values, the same for all.
    type: list
    elements: str
    default: []
  flags:
    description: As O(arguments), for boolean variables.
    type: list
    elements: str
    default: []
notes:
  - The variable torc_answers_file names the file on the controller that gets a line of JSON for each host, an object
    with the task's name, the host's name and its result.
author: The torc-remote developers
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ansible_collections.torc.remote.plugins.action.run_script import ActionModule as RunScript

Result = dict[str, Any]

_NUMBER_BYTES = 4


class ActionModule(RunScript):
    """One task for all hosts of the play; a host that fails is no failure of the task."""

    BYPASS_HOST_LOOP = True

    _VALID_ARGS = frozenset(("script", "workflow", "arguments", "flags"))

    def _work(self) -> Result:
        path = self._value("torc_answers_file")
        if not path:
            return _failure("torc_answers_file names no file; leave the tag at_once to the CLI")
        hosts = self._variables["ansible_play_hosts"]
        waiting, fill = os.pipe()
        answers = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        forks = min(int(self._variables["ansible_forks"]), len(hosts))
        processes = [self._fork(hosts, waiting, fill, answers) for _ in range(forks)]
        os.close(waiting)
        with suppress(BrokenPipeError):
            for number in range(len(hosts)):
                os.write(fill, number.to_bytes(_NUMBER_BYTES))
        os.close(fill)
        codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
        if any(codes):
            return _failure(f"not all hosts could be asked; the processes that ask ended with {codes}")
        return {"on_controller": True}

    def _fork(self, hosts: Sequence[str], waiting: int, fill: int, answers: int) -> int:
        """The number of a process that asks the hosts whose numbers are waiting, as long as we live."""
        parent = os.getpid()
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            os.close(fill)
            while os.getppid() == parent and (number := os.read(waiting, _NUMBER_BYTES)):
                host = hosts[int.from_bytes(number)]
                line = {"task": self._task.get_name(), "host": host, "result": self._ask(host)}
                os.write(answers, (json.dumps(line) + "\n").encode())
            code = 0
        finally:
            os._exit(code)

    def _ask(self, host: str) -> Result:
        variables = self._variables["hostvars"][host]
        options = self._connection.option_definitions.values()
        names = [variable["name"] for option in options for variable in option.get("vars", ())]
        self._connection.set_options(
            var_options={name: variables[name] for name in names if name in variables}
        )
        try:
            return super()._work()
        except Exception as error:  # as Ansible does where a host has a process of its own
            return {"failed": True, "msg": f"Unexpected failure: {error!r}"}


def _failure(reason: str) -> Result:
    return {"failed": True, "on_controller": True, "msg": reason}
