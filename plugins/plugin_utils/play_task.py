"""What all action plugins of the collection have in common."""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

Result = dict[str, Any]


class PlayTask(ActionBase):
    """A task of a play; subclasses have ``_work``."""

    _supports_check_mode = True
    _supports_async = False

    _variables: Mapping[str, Any]

    def _work(self) -> Result:
        raise NotImplementedError

    def _value(self, name: str) -> Any:
        """A variable's value, None for an undefined one. Secrets are no options of the task, which Ansible shows."""
        return self._templar.template(self._variables.get(name))

    def _flag(self, name: str) -> bool:
        return bool(boolean(self._value(name) or False))

    def _ask_known_workers(self) -> str:
        """What the server knows of the workflow's workers. Raises TorcError."""
        from torc_remote.client.api import TorcClient  # costs 0.1 s, and is mostly not needed
        from torc_remote.client.play_settings import play_settings
        from torc_remote.client.registrations import known_workers

        client = TorcClient(play_settings(self._value))
        return known_workers(client, client.get_workflow(int(self._value("torc_workflow_id"))))
