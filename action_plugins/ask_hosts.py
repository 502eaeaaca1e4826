"""Action plugin torc.remote.ask_hosts: runs one of the collection's shell scripts on all hosts, from one task."""

DOCUMENTATION = r"""
---
module: ask_hosts
short_description: Run one of the collection's shell scripts, which asks, on all hosts from one task
description:
  - For the C(torc remote) command, whose questions need none of what Ansible keeps for each host and task. Ansible's
    own way is a process for each host and task, which costs more than the question itself.
  - As many processes as Ansible has forks ask one host after the other through Ansible's connection, as
    M(torc.remote.run_script) does. A host that fails is no failure of the task. The hosts' answers go to a file as they
    come.
options:
  script:
    description: File name below C(files/) of the calling role. It must be one that starts and ends nothing.
    type: str
    required: true
  workflow:
    description: As for M(torc.remote.run_script).
    type: bool
    default: false
  arguments:
    description: As for M(torc.remote.run_script).
    type: list
    elements: str
    default: []
  flags:
    description: As O(arguments), for boolean variables.
    type: list
    elements: str
    default: []
  answers:
    description: The variable that an earlier task registered, whose state has to be O(state) for a host to be asked.
    type: str
  state:
    description: See O(answers).
    type: str
notes:
  - The variable torc_answers_file names the file on the controller that gets a line of JSON for each host, an object
    with the names of task, role and host, the status (V(ok), V(failed) or V(unreachable)) and the host's result.
author: The torc-remote developers
"""

RETURN = r"""
failed_hosts:
  description: The hosts that failed or did not answer. Besides, whatever all others answered alike.
  type: list
  elements: str
  returned: always
"""

import json
import os
from collections import ChainMap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible_collections.torc.remote.plugins.action.run_script import ActionModule as RunScript

Result = dict[str, Any]

_NUMBER_BYTES = 4


class ActionModule(RunScript):
    """One task for all hosts of the play."""

    BYPASS_HOST_LOOP = True

    _VALID_ARGS = frozenset(("script", "workflow", "arguments", "flags", "answers", "state"))

    def _work(self) -> Result:
        path = self._value("torc_answers_file")
        if not path:
            return _failure("torc_answers_file names no file; leave the tag at_once to the CLI")
        answers = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        before = os.lseek(answers, 0, os.SEEK_END)
        codes = self._share(self._variables["ansible_play_hosts"], answers)
        if any(codes):
            return _failure(f"not all hosts could be asked; the processes that ask ended with {codes}")
        lines = Path(path).read_bytes()[before:].splitlines()
        return {"on_controller": True, **_summary([json.loads(line) for line in lines])}

    def _share(self, hosts: Sequence[str], answers: int) -> list[int]:
        """Ask the hosts; the exit codes of the processes that did."""
        waiting, fill = os.pipe()
        forks = min(int(self._variables["ansible_forks"]), len(hosts))
        processes = [self._fork(hosts, waiting, fill, answers) for _ in range(forks)]
        os.close(waiting)
        with suppress(BrokenPipeError):
            for number in range(len(hosts)):
                os.write(fill, number.to_bytes(_NUMBER_BYTES))
        os.close(fill)
        return [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]

    def _fork(self, hosts: Sequence[str], waiting: int, fill: int, answers: int) -> int:
        """The number of a process that asks the hosts whose numbers are waiting, as long as we live."""
        parent = os.getpid()
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            os.close(fill)
            everyone = self._variables
            while os.getppid() == parent and (number := os.read(waiting, _NUMBER_BYTES)):
                host = hosts[int.from_bytes(number)]
                if line := self._line(host, everyone):
                    os.write(answers, (json.dumps(line) + "\n").encode())
            code = 0
        finally:
            os._exit(code)

    def _line(self, host: str, everyone: Any) -> Mapping[str, Any] | None:
        """What the file gets of a host, None when it is not to be asked."""
        own = everyone["hostvars"][host]
        args = self._task.args
        if "answers" in args and own.get(args["answers"], {}).get("state") != args["state"]:
            return None
        self._variables = ChainMap(own, everyone)
        result = self._ask(own)
        bad = [status for status in ("unreachable", "failed") if result.get(status)]
        return {
            "task": self._task.get_name(),
            "role": self._task._role.get_name(include_role_fqcn=False),
            "host": host,
            "status": bad[0] if bad else "ok",
            "result": result,
        }

    def _ask(self, own: Mapping[str, Any]) -> Result:
        """The result of the host that has these variables."""
        options = self._connection.option_definitions.values()
        names = [variable["name"] for option in options for variable in option.get("vars", ())]
        self._connection.set_options(var_options={name: own[name] for name in names if name in own})
        try:
            return super()._work()
        except Exception as error:  # as Ansible does where a host has a process of its own
            return {"failed": True, "msg": f"Unexpected failure: {error!r}"}


def _summary(lines: Sequence[Mapping[str, Any]]) -> Result:
    """What later tasks need to know of all hosts."""
    well = [line["result"].items() for line in lines if line["status"] == "ok"]
    alike = set(well[0]).intersection(*well) if well else ()
    return {**dict(alike), "failed_hosts": [line["host"] for line in lines if line["status"] != "ok"]}


def _failure(reason: str) -> Result:
    return {"failed": True, "on_controller": True, "msg": reason}
