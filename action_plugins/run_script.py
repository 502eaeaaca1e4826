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

import gc
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.torc.remote.plugins.plugin_utils.host_task import HostTask, regularly
from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result

from torc_remote.client.config import Settings
from torc_remote.client.play_settings import play_keys, play_settings, worker_environment
from torc_remote.errors import TorcError
from torc_remote.host import program
from torc_remote.host.answers import MAX_ANSWER, AnswerError, read_answer
from torc_remote.processes import kill_children
from torc_remote.ssh import script as frame
from torc_remote.ssh.errors import explain
from torc_remote.text import one_line, printable

# Ansible imports this in the process that forks one for each host. What is frozen is left alone by the children's
# garbage collector, so their pages stay shared.
gc.freeze()

# The pauses before another try, in seconds: a random part, so that many hosts behind one bastion don't come at once.
_PAUSES = ((0.2, 1.0), (1.0, 3.0))
# What this process may grow by for one host, in bytes. Ansible keeps all that a host says in memory.
_MAX_GROWTH = 64 * 1024 * 1024
_LONGEST_LINE = 300
_LONGEST_REASON = 1000
# what ssh says at the first connection
_OWN_WORDS = "Warning: Permanently added "


class LinkError(AnsibleConnectionFailure):
    """The host did not answer. ``unknown``: what was sent may have changed something there. ``hung``: time ran out."""

    def __init__(self, reason: str, unknown: bool = False, hung: bool = False) -> None:
        reason = one_line(reason[:_LONGEST_REASON])
        if unknown:
            reason += ". Whether the script ran is unknown; run the command again, it looks first"
        super().__init__(reason)
        self.hung = hung
        self.result = {"unreachable": True, "msg": reason, "state": "unknown" if unknown else "unreachable"}


class NoisyLoginError(TorcError):
    """What the login files print stands where sftp's first message should."""

    def __init__(self) -> None:
        super().__init__(
            "files can't be transferred because the account's login files (.bashrc, .cshrc, …) print something also "
            "when the session is not interactive; keep them silent there"
        )


class ActionModule(HostTask):
    """Runs a script of the calling role. The other plugins of the collection that talk to hosts build on this."""

    _VALID_ARGS = HostTask.COMMON_ARGS | {
        "script",
        "workflow",
        "known",
        "arguments",
        "flags",
        "worker_environment",
        "changes_in",
    }

    def _work(self) -> Result:
        """What the task does, or why it can't; a failed result has ``failed`` and ``msg``."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _unwind)
        try:
            with _time_limit(int(self._value("torc_host_timeout") or 0)):
                return self._act(self._task.args)
        except LinkError as error:
            return error.result
        except _LimitError as error:  # between two calls of the host
            return LinkError(str(error)).result
        except TorcError as error:
            return {"failed": True, "state": "failed", "msg": one_line(str(error))}

    def _act(self, args: Mapping[str, Any]) -> Result:
        changing = args.get("changes_in")
        names = args.get("arguments", ())
        known = [f"{args['known']}.workers"] if "known" in args else []
        if changing and self._task.check_mode:
            words = [*(self._arguments(known) or [""]), *self._arguments(names[:1])]
            status = self._run_script("status", words, workflow=True)
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
            self._earlier = {**self._earlier, args["known"]: {"workers": self._known_workers()}}
            answer = run()
        return answer

    def _known_workers(self) -> str:
        from torc_remote.client.api import TorcClient  # costs 0.1 s, and is hardly ever needed
        from torc_remote.client.registrations import known_workers

        return known_workers(TorcClient(self._settings()), int(self._value("torc_workflow_id")))

    def _settings(self) -> Settings:
        return play_settings(self._value)

    def _arguments(self, names: Iterable[str]) -> list[Any]:
        values = [self._value(name) for name in names]
        return [word for value in values for word in (value if isinstance(value, list) else [value])]

    def _run_script(
        self,
        script: str,
        arguments: Sequence[Any] = (),
        *,
        workflow: bool = False,
        with_server: bool = False,
        changes: bool = False,
    ) -> Result:
        """Run the host script with ``arguments`` and turn its answer into a result.

        Raises LinkError; for one that ``changes`` the host it tells whether that may have happened.
        """
        words = [_text(argument) for argument in arguments]
        if workflow:
            words = [*self._workflow_words(must=with_server), *words]
        environment = self._worker_environment() if with_server else {}
        nonce = frame.new_nonce()
        data = frame.compose(nonce, program(script), words, environment)
        return _result(nonce, self._execute(data, changes))

    def _workflow_words(self, must: bool = False) -> list[str]:
        """What tells a host's scripts which workflow is meant: its number and its keys (see play_keys)."""
        return [_text(self._value("torc_workflow_id")), play_keys(self._value, must)]

    def _worker_environment(self) -> dict[str, str]:
        """The server's address, and a password that is good for this host's worker alone where the server gives one."""
        settings = self._settings()
        environment = worker_environment(settings, self._value("torc_worker_url"))
        if settings.password:
            from torc_remote.client.api import TorcClient  # costs 0.1 s, and most servers have no password

            host = str(self._value("torc_worker") or self._variables["inventory_hostname"])
            workflow_id = int(self._value("torc_workflow_id"))
            if token := TorcClient(settings).create_worker_token(workflow_id, host):
                environment["TORC_PASSWORD"] = token
        return environment

    def _execute(self, data: bytes, changes: bool) -> Result:
        """Send the script; once more only where it never arrived."""
        with self._link(changes):
            for pause in _PAUSES:
                try:
                    return self._send(data)
                except AnsibleConnectionFailure as error:
                    failure = explain(str(error))
                    if not failure.transient:
                        raise
                    if failure.unexplained:
                        self._connect_alone()
                time.sleep(random.uniform(*pause))  # noqa: S311 - no secret
            return self._send(data)

    def _send(self, data: bytes) -> Result:
        # an empty executable: our command is one that every login shell understands as it is
        executed: Result = self._low_level_execute_command(frame.COMMAND, in_data=data, executable="")
        return executed

    @contextmanager
    def _link(self, changes: bool = False) -> Iterator[None]:
        """Ansible's exceptions of the connection as LinkError, and no ssh process left behind."""
        try:
            yield
        except AnsibleConnectionFailure as error:
            if "Received message too long" in str(error):
                raise NoisyLoginError from error
            failure = explain(str(error))
            raise LinkError(failure.reason, changes and not failure.never_ran) from error
        except _LimitError as error:
            kill_children()
            self._hang_up()
            raise LinkError(str(error), changes, hung=True) from error
        except BaseException:
            kill_children()
            raise

    @contextmanager
    def _leaving(self, clean: Callable[[], object]) -> Iterator[None]:
        """Whatever happens, clean up on the host in the end, unless it hangs."""
        hung = False
        try:
            yield
        except LinkError as error:
            hung = error.hung
            raise
        finally:
            if not hung:
                with suppress(LinkError):
                    clean()

    def _connect_alone(self) -> None:
        """Without a shared connection the next try, should it fail, tells why the jump host did."""
        extra = self._connection.get_option("ssh_extra_args") or ""
        self._connection.set_option("ssh_extra_args", f"{extra} -o ControlPath=none")

    def _hang_up(self) -> None:
        """End ssh's shared connection, which is in the background, so that the next task does not wait for it too."""
        path = getattr(self._connection, "control_path", None)
        if path:
            path = path % {"directory": self._connection.control_path_dir}
            command = ["ssh", "-F", "none", "-o", f"ControlPath={path}", "-O", "exit", "--", "any"]
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False)


class _LimitError(BaseException):
    """The host takes too long or says too much; no `except Exception` on the way may stop it."""


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """Raise _LimitError after so many seconds (0: never), or when what a host says makes this process grow too much.

    (A task's own timeout would be one more template, and Ansible has no bound on what a host says.)
    """
    deadline = time.monotonic() + seconds
    largest = _peak() + _MAX_GROWTH

    def look() -> None:
        nonlocal largest
        if seconds and time.monotonic() > deadline:
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise _LimitError(f"no answer within {seconds} s")
        if (peak := _peak()) > largest:
            largest = peak + _MAX_GROWTH
            raise _LimitError("the host says more than any answer could be; nothing of it was kept")

    with regularly(look):
        yield


def _peak() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return "" if value is None else str(value)


def _result(nonce: str, executed: Mapping[str, Any]) -> Result:
    said = str(executed["stdout"])
    if len(said) > MAX_ANSWER:
        return _bad(f"the host says {len(said)} characters, where no answer has more than {MAX_ANSWER}")
    answer = frame.parse_answer(nonce, said)
    if not answer.complete:
        return _bad(_incomplete(answer.noise, executed))
    try:
        values = read_answer(answer.values)
    except AnswerError as error:
        return _bad(str(error))
    return values | {"changed": "changed" in values, "failed": "failed" in values}


def _bad(reason: str) -> Result:
    return {"changed": False, "failed": True, "state": "failed", "msg": reason}


def _incomplete(noise: str, executed: Mapping[str, Any]) -> str:
    text = "\n".join(filter(None, (noise, str(executed["stderr"])[-MAX_ANSWER:]))).strip()
    if frame.WINDOWS.search(text):
        return "the host runs Windows, where workers can't run; use the sshd of a Linux system on it (WSL)"
    if frame.OTHER_SHELL.search(text):
        return (
            "a login file of the account (.bashrc, .profile, …) puts fish or csh in the place of /bin/sh; "
            "let it do so only where the session is interactive"
        )
    lines = [line for line in text.splitlines() if not line.startswith(_OWN_WORDS)]
    said = [printable(line[:_LONGEST_LINE], keep="\t") for line in lines[-3:]]
    return f"the host's shell did not run the script to its end (exit code {executed['rc']}). It said: " + (
        " / ".join(said) or "nothing"
    )


def _unwind(signum: int, frame: FrameType | None) -> NoReturn:
    """A task that is ended removes its unfinished files first. Once: ansible-playbook passes its signal on."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: None)
    raise KeyboardInterrupt
