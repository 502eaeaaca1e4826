"""The file through which a play answers the command that launched it: a line of JSON for whatever a task learns.

Each line is ``{"task", "role", "name", "host", "status", "result"}``. ``name`` is the variable that the task registers;
``host`` is None for what concerns the whole play. ``status`` is ``ok``, ``failed``, ``unreachable`` or ``skipped``,
``begun`` where a task begins and ``ended`` in the last line, which says that the play came to its end.
"""

import errno
import json
import os
from collections.abc import Mapping
from typing import Any

path: str | None = None
"""The file, set before Ansible loads a plugin. A play that nobody of ours launched has none."""

_END: Mapping[str, Any] = {"task": "", "role": "", "name": "", "host": None, "status": "ended", "result": {}}


def append(file: str, line: Mapping[str, Any]) -> None:
    """Add one line: one write, so that lines of processes don't mix. Raises OSError unless all of it was written."""
    data = (json.dumps(line) + "\n").encode()
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)
    finally:
        os.close(descriptor)


def append_end(file: str) -> None:
    """Add the last line."""
    append(file, _END)
