"""The compute node record that tells the server about this worker (torc wire 4.1, 4.7)."""

from __future__ import annotations

import os
import time

from .api import JSON, Api
from .resources import Resources
from .times import utc_now


class ComputeNode:
    """Registered on creation. Raises UnavailableError and RefusedError."""

    def __init__(self, api: Api, workflow_id: int, hostname: str, resources: Resources) -> None:
        self._api = api
        self._started = time.monotonic()
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

    def deactivate(self, usage: JSON) -> None:
        """The worker leaves; ``usage`` is the monitoring's summary of the host."""
        duration = time.monotonic() - self._started
        record = dict(self._record, is_active=False, duration_seconds=duration, **usage)
        self._api.put("/compute_nodes/{}".format(self.id), record)
