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
