"""Many clients that claim, start and complete jobs of one workflow, of which very many are ready."""

import http.client
import json
import statistics
import threading
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

AT_ONCE = 4
ROUNDS = 10
"""How often each client claims so many jobs."""

_PART = 5000
_SIZES = ("1m", "100m", "1g")
"""The memory that jobs need: a workflow has few kinds of jobs."""
_FREE = {"num_cpus": AT_ONCE, "memory_gb": 64.0, "num_gpus": 0, "num_nodes": 1}
_NODE = {
    "pid": 1, "start_time": "2026-01-01T00:00:00Z", "is_active": True, "num_cpus": AT_ONCE, "memory_gb": 64.0,
    "num_gpus": 0, "num_nodes": 1, "compute_node_type": "local",
}  # fmt: skip


def measure(url: str, ready: int, clients: int) -> tuple[float, float]:
    """Make a workflow of `ready` jobs on this server and let the clients work on it.

    How many jobs ended in a second, and how long the median claim took, in milliseconds.
    """
    workflow = _workflow(_Connection(url), ready)
    workers = [_Client(_Connection(url), workflow, number) for number in range(clients)]
    together = threading.Barrier(clients + 1)
    with ThreadPoolExecutor(clients) as pool:
        working = [pool.submit(worker.work, together) for worker in workers]
        together.wait()
        start = time.monotonic()
        ended = sum(one.result() for one in working)
        seconds = time.monotonic() - start
    samples = [sample for worker in workers for sample in worker.claims]
    return ended / seconds, statistics.median(samples) * 1000


def _workflow(server: "_Connection", ready: int) -> int:
    number = int(server.call("POST", "/workflows", {"name": "many", "user": "benchmark"})["id"])
    ours = {"workflow_id": number}
    needs = [server.call("POST", "/resource_requirements", {**ours, **_needs(size)})["id"] for size in _SIZES]
    for part in _parts(ready):
        jobs = [
            {**ours, "name": f"j{n}", "command": "true", "resource_requirements_id": needs[n % len(needs)]}
            for n in part
        ]
        server.call("POST", "/bulk_jobs", {"jobs": jobs})
    server.call("POST", f"/workflows/{number}/reset_status")
    server.call("POST", f"/workflows/{number}/initialize_jobs")
    return number


def _needs(size: str) -> dict[str, Any]:
    return {"name": size, "num_cpus": 1, "num_gpus": 0, "num_nodes": 1, "memory": size, "runtime": "PT1M"}


def _parts(count: int) -> Iterator[range]:
    return (range(start, min(start + _PART, count)) for start in range(0, count, _PART))


class _Connection:
    """One connection to a server, kept open."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self._path = parts.path
        self._http = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=300)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The decoded answer of one request."""
        payload = None if body is None else json.dumps(body)
        self._http.request(method, self._path + path, payload, {"Content-Type": "application/json"})
        answer = self._http.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)


@dataclass
class _Client:
    """A worker's requests, without its processes."""

    server: _Connection
    workflow: int
    number: int
    claims: list[float] = field(default_factory=list)

    def work(self, together: threading.Barrier) -> int:
        """Claim, start and complete; how many jobs ended."""
        node = self.server.call("POST", "/compute_nodes", {**_NODE, **self._names(f"host{self.number}")})[
            "id"
        ]
        together.wait()
        ended = 0
        for _ in range(ROUNDS):
            for job in self._claim():
                self.server.call("PUT", f"/jobs/{job}/start_job/1/{node}")
                ended += self._complete(job, node)
        return ended

    def _names(self, hostname: str) -> dict[str, Any]:
        return {"workflow_id": self.workflow, "hostname": hostname}

    def _claim(self) -> list[int]:
        start = time.monotonic()
        path = f"/workflows/{self.workflow}/claim_jobs_based_on_resources/{AT_ONCE}"
        jobs = self.server.call("POST", path, _FREE)["jobs"]
        self.claims.append(time.monotonic() - start)
        return [job["id"] for job in jobs]

    def _complete(self, job: int, node: int) -> int:
        ids = {"job_id": job, "run_id": 1, "status": "completed"}
        result = {
            **ids,
            "workflow_id": self.workflow,
            "compute_node_id": node,
            "attempt_id": 1,
            "return_code": 0,
        }
        result |= {"exec_time_minutes": 0.1, "completion_time": "2026-01-01T00:01:00Z"}
        completions = {"completions": [{**ids, "result": result}]}
        return len(
            self.server.call("POST", f"/workflows/{self.workflow}/batch_complete_jobs", completions)[
                "completed"
            ]
        )
