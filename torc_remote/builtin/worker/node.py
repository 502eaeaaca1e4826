"""The compute node record that tells the server about this worker (torc wire 4.1, 4.7)."""

from __future__ import annotations

import os
import time
from typing import Any, List, Optional

from .api import JSON, Api
from .errors import RefusedError
from .resources import Resources
from .times import utc_now


class ComputeNode:
    """Registered on creation. Raises UnavailableError and RefusedError."""

    def __init__(self, api: Api, workflow_id: int, hostname: str, resources: Resources) -> None:
        self._api = api
        self._started = time.monotonic()
        self._mark: Optional[List[Any]] = None  # as the server shows it, which writes times in its own way
        self._record: JSON = api.post(
            "/compute_nodes",
            {
                "workflow_id": workflow_id,
                "hostname": hostname,
                "pid": os.getpid(),
                "start_time": utc_now(),
                "is_active": True,
                "num_cpus": resources.num_cpus,
                "memory_gb": resources.memory_gb,
                "num_gpus": len(resources.gpus),
                "num_nodes": 1,
                "compute_node_type": "local",
            },
        )

    @property
    def id(self) -> int:
        """The id that the server gave it."""
        return int(self._record["id"])

    def is_known(self) -> bool:
        """Whether the server still has this record: another database may have come behind its URL."""
        try:
            found = self._api.get("/compute_nodes/{}".format(self.id))
        except RefusedError as error:
            if error.status != 404:
                raise
            return False
        mark = [found.get(name) for name in ("workflow_id", "hostname", "pid", "start_time")]
        self._mark = self._mark or mark
        return mark == self._mark

    def deactivate(self, usage: JSON) -> None:
        """The worker leaves; ``usage`` is the monitoring's summary of the host."""
        duration = time.monotonic() - self._started
        record = dict(self._record, is_active=False, duration_seconds=duration, **usage)
        self._api.put("/compute_nodes/{}".format(self.id), record)
