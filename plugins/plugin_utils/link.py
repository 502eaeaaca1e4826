"""The link to a host: a script that never arrived is sent again, and what goes wrong becomes one kind of exception."""

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.torc.remote.plugins.plugin_utils.host_task import HostTask
from ansible_collections.torc.remote.plugins.plugin_utils.limits import LimitError, time_limit
from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result

from torc_remote.errors import TorcError
from torc_remote.processes import kill_children
from torc_remote.ssh.errors import explain
from torc_remote.ssh.script import COMMAND
from torc_remote.text import one_line

# The pauses before another try, in seconds: a random part, so that many hosts behind one bastion don't come at once.
_PAUSES = ((0.2, 1.0), (1.0, 3.0))
_LONGEST_REASON = 1000


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


class LinkTask(HostTask):
    """A task that sends something to the host; subclasses have ``_act``."""

    def _work(self) -> Result:
        """What the task does, or why it can't; a failed result has ``failed`` and ``msg``."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _unwind)
        try:
            with time_limit(int(self._value("torc_host_timeout") or 0)):
                return self._act(self._task.args)
        except LinkError as error:
            return error.result
        except LimitError as error:  # between two calls of the host
            return LinkError(str(error)).result
        except TorcError as error:
            return {"failed": True, "state": "failed", "msg": one_line(str(error))}

    def _act(self, args: Mapping[str, Any]) -> Result:
        raise NotImplementedError

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
        executed: Result = self._low_level_execute_command(COMMAND, in_data=data, executable="")
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
        except LimitError as error:
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


def _unwind(signum: int, frame: FrameType | None) -> NoReturn:
    """A task that is ended removes its unfinished files first. Once: ansible-playbook passes its signal on."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: None)
    raise KeyboardInterrupt
