"""Action plugin torc.remote.run_script: runs one of the collection's shell scripts on the host, through stdin."""

DOCUMENTATION = r"""
---
module: run_script
short_description: Run one of the collection's shell scripts on the host
description:
  - Sends a POSIX shell script of the calling role, together with the collection's shell library, to C(/bin/sh -s)
    on the host and turns the marked lines of its answer into the task's result.
  - Needs neither Python nor a POSIX login shell on the host. No value stands on any command line.
options:
  script:
    description: File name below C(files/) of the calling role.
    type: str
    required: true
  workflow_id:
    description: When given, the script's first two arguments are this ID and a short name for the server.
    type: int
  arguments:
    description: The arguments that follow, as text.
    type: list
    elements: raw
    default: []
  api_url:
    description: The server's URL; by default what torc's environment and configuration files say.
    type: str
  credentials_file:
    description: A private JSON file with the server's credentials; by default torc's environment.
    type: path
  worker_environment:
    description: Export the server's address and credentials to the script.
    type: bool
    default: false
  worker_url:
    description: The server's URL as the host sees it, when it differs.
    type: str
  changes:
    description: The script changes the host, so in check mode the status is asked for instead.
    type: bool
    default: false
author: The torc-remote developers
"""

RETURN = r"""
state:
  description: What the script found or did, for example V(running).
  type: str
  returned: always
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

try:
    from torc_remote import script as frame
    from torc_remote.client.handoff import play_settings, server_key, worker_environment
    from torc_remote.errors import TorcError
except ImportError as error:
    raise AnsibleActionFail(
        "The collection torc.remote needs its Python package in Ansible's own interpreter: pip install torc-remote"
    ) from error

Result = dict[str, Any]


class ActionModule(ActionBase):
    """Runs a script of the calling role. The other plugins of the collection that talk to hosts build on this."""

    _VALID_ARGS = frozenset(
        (
            "script",
            "workflow_id",
            "arguments",
            "api_url",
            "credentials_file",
            "worker_environment",
            "worker_url",
            "changes",
        )
    )
    _requires_connection = True
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: Mapping[str, Any] | None = None) -> Result:
        """The task's result; a failed one has ``failed`` and ``msg``."""
        result: Result = super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            return result | self._act(self._task.args, variables)
        except TorcError as error:
            return result | {"failed": True, "msg": str(error)}

    def _act(self, args: Mapping[str, Any], variables: Mapping[str, Any]) -> Result:
        arguments = args.get("arguments", ())
        if args.get("changes") and self._task.check_mode:
            return self._run_script(variables, "status.sh", arguments[:1], role="status")
        return self._run_script(
            variables, str(args["script"]), arguments, bool(args.get("worker_environment"))
        )

    def _run_script(
        self,
        variables: Mapping[str, Any],
        script: str,
        arguments: Sequence[Any] = (),
        with_server: bool = False,
        role: str | None = None,
    ) -> Result:
        """Run ``script`` of the calling role (or of ``role``) with ``arguments`` and turn its answer into a result."""
        args = self._task.args
        settings = play_settings(args.get("api_url"), args.get("credentials_file"))
        words = [_text(argument) for argument in arguments]
        if args.get("workflow_id") is not None:
            words = [str(args["workflow_id"]), server_key(settings.api_url), *words]
        environment = worker_environment(settings, args.get("worker_url")) if with_server else {}
        nonce = frame.new_nonce()
        roles = Path(str(variables["role_path"])).parent
        files = [*sorted((roles / "_common/files").glob("*.sh"))]
        files.append((roles / role if role else Path(str(variables["role_path"]))) / "files" / script)
        data = frame.compose(nonce, [file.read_text() for file in files], words, environment)
        return _result(nonce, self._execute(data))

    def _execute(self, data: bytes) -> Result:
        try:
            # an empty executable: our command is one that every login shell understands as it is
            executed: Result = self._low_level_execute_command(frame.COMMAND, in_data=data, executable="")
        except AnsibleConnectionFailure:
            raise
        except BaseException:  # the task's timeout arrives as such; it would leave our ssh process behind
            _kill_children()
            raise
        return executed


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return "" if value is None else str(value)


def _result(nonce: str, executed: Mapping[str, Any]) -> Result:
    answer = frame.parse_answer(nonce, executed["stdout"])
    values = {key: frame.printable(value) for key, value in answer.values.items()}
    if not answer.complete:
        return values | {"failed": True, "state": "failed", "msg": _incomplete(answer.noise, executed)}
    return values | {"changed": values.get("changed") == "1", "failed": values.get("failed") == "1"}


def _incomplete(noise: str, executed: Mapping[str, Any]) -> str:
    said = frame.printable("\n".join(filter(None, (noise, executed["stderr"])))).strip().splitlines()[-3:]
    return f"the host's shell did not run the script to its end (exit code {executed['rc']}). It said: " + (
        " / ".join(said) or "nothing"
    )


def _kill_children() -> None:
    """End the ssh processes that this task started (Ansible runs each task in a process of its own)."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False)
    for line in listed.stdout.splitlines():
        pid, parent = map(int, line.split())
        if parent == os.getpid():
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
