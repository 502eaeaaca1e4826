"""Filter torc.remote.workflow_hosts: the group of the workflow that a play is for."""

from collections.abc import Iterable
from typing import Any

from ansible.errors import AnsibleFilterError

_PREFIX = "torc_workflow_"


def workflow_hosts(groups: Iterable[str], workflow_id: Any = None) -> str:
    """``torc_workflow_42`` for 42; without an ID the only such group. Raises AnsibleFilterError where there is none."""
    if workflow_id is not None:
        group = f"{_PREFIX}{workflow_id}"
        if group not in groups:
            raise AnsibleFilterError(f"The inventory has no workflow {workflow_id}")
        return group
    found = [group for group in groups if group.startswith(_PREFIX)]
    if len(found) != 1:
        raise AnsibleFilterError("Name the workflow: -e torc_workflow_id=ID")
    return found[0]


class FilterModule:
    """Ansible looks for this name."""

    def filters(self) -> dict[str, Any]:
        """The filters of this file by name."""
        return {"workflow_hosts": workflow_hosts}
