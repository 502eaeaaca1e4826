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
    description: The script's name, as in torc_remote/host/scripts of the Python package.
    type: str
    required: true
  workflow:
    description:
      - The script's first two arguments are torc_workflow_id and the workflow's key, which tells it apart from others
        that had its number.
      - The key is torc_workflow_key, else that of the inventory's torc_workflow_keys, else what the server says.
    type: bool
    default: false
  known:
    description:
      - The variable that M(torc.remote.known_workers) registered; the lines are the script's third argument.
      - A worker may register between that and the script. So should the host take one for another server's, the server
        is asked once more.
    type: str
  arguments:
    description:
      - The names of the variables whose values are the arguments that follow; a list stands for its elements, an
        undefined variable for an empty argument.
      - They are names because a template costs each host as much as all the rest of a task.
    type: list
    elements: str
    default: []
  flags:
    description: The names of boolean variables, whose values follow as 1 or 0.
    type: list
    elements: str
    default: []
  worker_environment:
    description:
      - Export the server's address and credentials to the script. In place of the password that is a token for this
        host's worker alone, where the server gives one.
    type: bool
    default: false
  needs:
    description:
      - The variable that an earlier task registered. A host that has no answer to that task is left out.
    type: str
  state:
    description: With O(needs), the state that the host must have answered; other hosts are left out.
    type: str
  changes_in:
    description:
      - The script changes the host, unless its worker is in another state than these. In check mode it is not sent;
        the worker's status is asked for instead.
    type: list
    elements: str
notes:
  - The variables torc_api_url, torc_worker_url and torc_host_timeout are read directly; for O(worker_environment) also
    torc_username, torc_password, torc_cookie_header, torc_tls_ca_cert and torc_tls_insecure, which may be vaulted.
author: The torc-remote developers
"""

RETURN = r"""
state:
  description: What the script found or did, for example V(running).
  type: str
  returned: always
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result
from ansible_collections.torc.remote.plugins.plugin_utils.script_task import ScriptTask


class ActionModule(ScriptTask):
    """One script, with the values of the variables that the task names."""

    _VALID_ARGS = ScriptTask.COMMON_ARGS | {
        "script",
        "workflow",
        "known",
        "arguments",
        "flags",
        "worker_environment",
        "changes_in",
    }

    def _act(self, args: Mapping[str, Any]) -> Result:
        changing = args.get("changes_in")
        names = args.get("arguments", ())
        known = [f"{args['known']}.workers"] if "known" in args else []
        if changing and self._task.check_mode:
            arguments = [*(self._arguments(known) or [""]), *self._arguments(names[:1])]
            status = self._run_script("status", arguments, workflow=True)
            return status | {"changed": status["state"] in changing}

        def run() -> Result:
            return self._run_script(
                str(args["script"]),
                [*self._arguments([*known, *names]), *(self._flag(name) for name in args.get("flags", ()))],
                workflow=bool(args.get("workflow")),
                with_server=bool(args.get("worker_environment")),
                changes=bool(changing),
            )

        answer = run()
        if known and answer.get("state") == "foreign":
            self._earlier = {**self._earlier, args["known"]: {"workers": self._ask_known_workers()}}
            answer = run()
        return answer

    def _arguments(self, names: Iterable[str]) -> list[Any]:
        values = [self._value(name) for name in names]
        return [one for value in values for one in (value if isinstance(value, list) else [value])]
