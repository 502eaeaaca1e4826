"""Action plugin torc.remote.check_arguments: checks the variables of a role once for all hosts."""

DOCUMENTATION = r"""
---
module: check_arguments
short_description: Check the variables of a role, once
description:
  - Checks the play's variables against C(meta/argument_specs.yml) of a role of this collection. Ansible's own check
    costs each host as much as the rest of a task. The C(torc remote) command checks them itself.
  - No connection to the hosts is made.
options:
  role:
    description: The name of the role.
    type: str
    required: true
author: The torc-remote developers
"""

from pathlib import Path

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.torc.remote.plugins.plugin_utils.controller_task import ControllerTask
from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result

_ROLES = Path(__file__).parents[2] / "roles"


class ActionModule(ControllerTask):
    """The values of the first host stand for all."""

    _VALID_ARGS = frozenset(("role",))

    def _work(self) -> Result:
        if self.by_cli:
            return {}
        specs = yaml.safe_load((_ROLES / self._task.args["role"] / "meta/argument_specs.yml").read_text())
        options = specs["argument_specs"]["main"]["options"]
        given = {name: self._value(name) for name in options if name in self._variables}
        checked = ArgumentSpecValidator(options).validate(given)
        if checked.error_messages:
            return {"failed": True, "msg": "Wrong arguments: " + "; ".join(checked.error_messages)}
        return {}
