"""The base of the tasks that run scripts on hosts."""

import gc
from collections.abc import Sequence
from typing import Any

from ansible_collections.torc.remote.plugins.plugin_utils import script_answer
from ansible_collections.torc.remote.plugins.plugin_utils.link import LinkTask
from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result

from torc_remote.client.config import Settings
from torc_remote.client.play_settings import play_keys, play_settings, worker_environment
from torc_remote.host import program
from torc_remote.ssh.script import compose, new_nonce

# Ansible imports this in the process that forks one for each host. What is frozen is left alone by the children's
# garbage collector, so their pages stay shared.
gc.freeze()


class ScriptTask(LinkTask):
    """A task that runs scripts of torc_remote/host on the host."""

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
        texts = [_text(argument) for argument in arguments]
        if workflow:
            texts = [*self._workflow_arguments(must=with_server), *texts]
        environment = self._worker_environment() if with_server else {}
        nonce = new_nonce()
        data = compose(nonce, program(script), texts, environment)
        return script_answer.result(nonce, self._execute(data, changes))

    def _workflow_arguments(self, must: bool = False) -> list[str]:
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

    def _settings(self) -> Settings:
        return play_settings(self._value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return "" if value is None else str(value)
