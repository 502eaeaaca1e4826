"""The base of the tasks that talk to hosts: it decides how they are scheduled.

By hand Ansible forks a process for each host and task. That costs the controller more than all the rest, so in a play
that the CLI launched one task serves all hosts: as many processes as there are forks share them, each taking the next
host when it is done with one. A task sees no difference: it works on one host, with that host's variables, connection
and privileges.
"""

import copy
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Self

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import become_loader, connection_loader
from ansible_collections.torc.remote.plugins.plugin_utils import answers
from ansible_collections.torc.remote.plugins.plugin_utils.play_task import PlayTask, Result

from torc_remote.errors import shortage

_NUMBER_BYTES = 4
_LOOK_SECONDS = 0.2
_CLEANUP_SECONDS = 10.0


class HostTask(PlayTask):
    """A task on each host of the play; subclasses have ``_work``.

    Two arguments are common: ``needs`` names the variable that an earlier task registered, and a host without an answer
    to that task is left out; so is one that answered another ``state`` than the one named.
    """

    BYPASS_HOST_LOOP = answers.FILE is not None
    _requires_connection = True
    COMMON_ARGS = frozenset(("needs", "state"))

    _earlier: Mapping[str, answers.Result]

    def run(self, tmp: str | None = None, task_vars: Mapping[str, Any] | None = None) -> Result:
        """The task's result: that of the host, or in a play of the CLI that of the task as a whole."""
        result: Result = super().run(tmp, task_vars)
        self._variables = self._earlier = task_vars or {}
        with regularly():
            return result | (self._on_all_hosts() if self.BYPASS_HOST_LOOP else self._on_host())

    def _value(self, name: str) -> Any:
        """A variable's value, None for an undefined one; ``NAME.KEY`` is part of an earlier task's answer."""
        earlier, dot, key = name.partition(".")
        if dot:
            return self._earlier.get(earlier, {}).get(key)
        return super()._value(name)

    def _on_host(self) -> Result:
        return self._work() if self._is_wanted() else {"skipped": True}

    def _is_wanted(self) -> bool:
        needed, state = self._task.args.get("needs"), self._task.args.get("state")
        if needed is None:
            return True
        answer = self._earlier.get(needed)
        return answer is not None and answers.status(answer) == "ok" and state in (None, answer.get("state"))

    # --- all hosts from one task -----------------------------------------------------------------------------

    def _on_all_hosts(self) -> Result:
        """Work on all hosts that have not failed; by hand the result names those that fail here."""
        if answers.FILE is not None:
            earlier = answers.Earlier()
            hosts = [host for host in self._variables["ansible_play_batch"] if host not in earlier.failed]
            answers.append_begin(answers.FILE, self._task)
            try:
                self._share(hosts, earlier, answers.FILE)
            except AnsibleActionFail as error:
                answers.append_failure(answers.FILE, self._task, str(error))
                raise
            return {}
        with tempfile.NamedTemporaryFile() as file:
            self._share(self._variables["ansible_play_batch"], None, file.name)
            return _summary(answers.lines(file.name))

    def _share(self, hosts: Sequence[str], earlier: answers.Earlier | None, path: str) -> None:
        """Work on the hosts; the answers go to a file. Raises AnsibleActionFail when not all were worked on."""
        waiting, fill = os.pipe()
        forks = min(int(self._variables["ansible_forks"]), len(hosts))
        processes: list[int] = []
        while len(processes) < forks:
            try:
                processes.append(self._fork(hosts, earlier, path, waiting, fill))
            except OSError as error:
                if not processes:
                    raise AnsibleActionFail(shortage(str(error)) or str(error)) from None
                break  # those that there are share the hosts
        os.close(waiting)
        with suppress(BrokenPipeError):
            for number in range(len(hosts)):
                os.write(fill, number.to_bytes(_NUMBER_BYTES))
        os.close(fill)
        codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
        if any(codes):
            raise AnsibleActionFail(
                f"not all hosts could be asked; the processes that ask ended with {codes}"
            )

    def _fork(
        self, hosts: Sequence[str], earlier: answers.Earlier | None, path: str, waiting: int, fill: int
    ) -> int:
        """The number of a process that works on the hosts whose numbers are waiting, as long as we live."""
        parent = os.getpid()
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            os.close(fill)
            while os.getppid() == parent and (number := os.read(waiting, _NUMBER_BYTES)):
                host = hosts[int.from_bytes(number)]
                answers.append(path, self._task, host, self._for_host(host, earlier)._answer())
            code = 0
        finally:
            os._exit(code)

    def _answer(self) -> Result:
        try:
            return self._on_host()
        except Exception as error:  # as Ansible does where a host has a process of its own
            return {"failed": True, "msg": shortage(str(error)) or f"Unexpected failure: {error!r}"}

    def _for_host(self, name: str, earlier: answers.Earlier | None) -> Self:
        """This task as Ansible would set it up for that host."""
        manager = self._task.get_variable_manager()
        variables = manager.get_vars(
            play=self._task.get_play(),
            host=manager._inventory.get_host(name),
            task=self._task,
            # the same for all; without them each host would look through the whole inventory
            _hosts=self._variables["ansible_play_hosts"],
            _hosts_all=self._variables["ansible_play_hosts_all"],
        )
        own = copy.copy(self)
        own._variables = variables
        own._earlier = earlier.of(name) if earlier else variables
        own._templar = self._templar.copy_with_new_env(available_variables=variables)
        own._connection = own._connect()
        return own

    def _connect(self) -> Any:
        kind = self._value("ansible_connection") or self._task.connection
        connection = connection_loader.get(kind, self._play_context)
        connection.set_options(task_keys=self._task_keys(), var_options=self._options_of(connection))
        become = self._value("ansible_become")
        if boolean(self._task.become if become is None else become):
            plugin = become_loader.get(self._value("ansible_become_method") or self._task.become_method)
            connection.set_become_plugin(plugin)
            plugin.set_options(task_keys=self._task_keys(), var_options=self._options_of(plugin))
        return connection

    def _options_of(self, plugin: Any) -> dict[str, Any]:
        """The variables of this host that the plugin reads."""
        declared = plugin.option_definitions.values()
        names = {variable["name"] for option in declared for variable in option.get("vars", ())}
        return {name: self._value(name) for name in names & self._variables.keys()}

    def _task_keys(self) -> dict[str, Any]:
        keys: dict[str, Any] = self._task.dump_attrs()
        # a task's timeout and retries are not those of the connection, whose options have the same names
        del keys["timeout"], keys["retries"]
        return keys


@contextmanager
def regularly(look: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Call ``look`` five times a second; raise KeyboardInterrupt when the parent process, which waits, is gone.

    Inside of another such block this one's ``look`` replaces the other's until it ends.
    """
    parent = os.getppid()

    def tick(signum: int, frame: FrameType | None) -> None:
        if os.getppid() != parent:
            # once: what is to be cleaned up has a while without another interrupt, by whatever ended the parent either
            signal.setitimer(signal.ITIMER_REAL, _CLEANUP_SECONDS, _CLEANUP_SECONDS)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda signum, frame: None)
            raise KeyboardInterrupt
        look()

    handler = signal.signal(signal.SIGALRM, tick)
    timer = signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def _summary(lines: Sequence[Mapping[str, Any]]) -> Result:
    """The result, for Ansible alone, of a task that works on all hosts in a play by hand."""
    bad = [f"{line['host']}: {line['result'].get('msg')}" for line in lines if line["status"] in answers.BAD]
    changed = any(line["result"].get("changed") for line in lines)
    return {"changed": changed, "failed": bool(bad), "msg": "; ".join(bad)}
