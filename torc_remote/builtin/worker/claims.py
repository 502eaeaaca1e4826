"""Getting jobs from the server; each one claimed is started or given back (torc wire 4.2)."""

from __future__ import annotations

import logging
from typing import Dict, List, Optional

from .api import JSON, Api
from .errors import DeniedError, RefusedError, UnavailableError, WorkerError
from .resources import Pool, Requirements, requirements_from_wire

log = logging.getLogger("torc.worker")


class Claims:
    """The jobs that were claimed here and are not yet running.

    The built-in server learns with each claim whose it is: it gives a job whose claim's answer was lost once more to
    the same worker, and lets no other start or change it. Torc's own takes no notice of the name. There such a job
    stays pending until all workers are gone: its `ready` would also take a job that runs elsewhere or is complete.
    """

    def __init__(self, api: Api, workflow: JSON, node_id: int, max_parallel_jobs: Optional[int]) -> None:
        self._api = api
        self._workflow_id = int(workflow["id"])
        self._run_id = int(workflow["run_id"])
        self._node_id = node_id
        self._max_parallel_jobs = max_parallel_jobs
        self._needs: Dict[int, Requirements] = {}
        self._unsure: List[int] = []  # jobs whose start was asked for and not answered
        self.waiting: List[JSON] = []

    def claim(self, pool: Pool, running: int) -> bool:
        """Ask for as many jobs as fit; whether the server says that the workflow is canceled."""
        try:
            reply = self._ask(pool, running)
        except DeniedError:  # a token is not good for the jobs of another run
            self._check_run()
            raise
        known = {job["id"] for job in self.waiting}
        self.waiting.extend(job for job in reply.get("jobs") or [] if job["id"] not in known)
        return "cancel" in str(reply.get("reason", "")).lower()

    def _ask(self, pool: Pool, running: int) -> JSON:
        base = "/workflows/{}/".format(self._workflow_id)
        if self._max_parallel_jobs is not None:
            free = self._max_parallel_jobs - running
            query = {"limit": free, "labels": "", "compute_node_id": self._node_id}
            return self._api.post(base + "claim_next_jobs", query=query) if free > 0 else {}
        if not pool.has_room:
            return {}
        body = {
            "num_cpus": pool.free_cpus,
            "memory_gb": pool.free_memory_gb,
            "num_gpus": len(pool.free_gpus),
            "num_nodes": 1,
        }
        path = "{}claim_jobs_based_on_resources/{}".format(base, pool.free_cpus)
        query = {"strict_scheduler_match": "false", "compute_node_id": self._node_id}
        reply: JSON = self._api.post(path, body, query=query)
        return reply

    def requirements(self, job: JSON) -> Requirements:
        """What the job needs; records are read once."""
        record_id = job.get("resource_requirements_id")
        if not record_id:
            return Requirements()
        if record_id not in self._needs:
            try:
                record = self._api.get("/resource_requirements/{}".format(record_id))
                self._needs[record_id] = requirements_from_wire(record)
            except (RefusedError, ValueError) as error:
                log.warning("resource_requirements_id=%s counts as one CPU: %s", record_id, error)
                self._needs[record_id] = Requirements()
        return self._needs[record_id]

    def confirm(self, job: JSON) -> bool:
        """Tell the server that the job runs here; False when it is no longer ours to start."""
        job_id = int(job["id"])
        if job_id in self._unsure:
            current = self._api.get("/jobs/{}".format(job_id))
            self._unsure.remove(job_id)
            if current["status"] != "pending":
                node_id = current.get("compute_node_id") or self._node_id
                return bool(current["status"] == "running" and node_id == self._node_id)
            self._check_run()
        try:
            self._api.put("/jobs/{}/start_job/{}/{}".format(job_id, self._run_id, self._node_id))
        except UnavailableError:
            self._unsure.append(job_id)
            raise
        except RefusedError as error:
            self._check_run()
            log.warning("job_id=%s is not started here: %s", job_id, error)
            return False
        return True

    def _check_run(self) -> None:
        """Raises WorkerError when the workflow was reset: the jobs that are waiting belong to the new run."""
        run_id = int(self._api.get("/workflows/{}".format(self._workflow_id))["run_id"])
        if run_id != self._run_id:
            self._run_id = run_id
            raise WorkerError(
                "workflow {} was reset: run {} needs a new worker".format(self._workflow_id, run_id)
            )

    def give_back(self, job_id: int) -> None:
        """Make a claimed job ready again. Raises UnavailableError."""
        path = "/jobs/{}/manage_status_change/ready/{}?compute_node_id={}"
        try:
            self._api.put(path.format(job_id, self._run_id, self._node_id))
        except RefusedError as error:
            log.warning("job_id=%s could not be given back: %s", job_id, error)

    def give_back_all(self) -> None:
        """Give back what is not started. Raises UnavailableError; what was not given back stays."""
        while self.waiting:
            self.give_back(int(self.waiting[0]["id"]))
            del self.waiting[0]
