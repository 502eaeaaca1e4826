"""Results on their way to the server: kept until it has them (torc wire 4.2)."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Dict, List

from .api import JSON, Api
from .errors import RefusedError, UnavailableError
from .job import Setting, stdio_path
from .times import modified, utc_now

log = logging.getLogger("torc.worker")

BATCH = 500


@dataclass
class Outcome:
    """How one job ended. ``usage``: the four resource fields; ``checked``: its files were looked at."""

    job: JSON
    return_code: int
    status: str
    seconds: float
    usage: JSON
    ended: str
    checked: bool = False


class Outbox:
    """The outcomes that the server does not have yet, oldest first.

    A job that was terminated, because the worker has to leave, is none of the server's failures: it is given back.
    """

    def __init__(self, api: Api, setting: Setting, compute_node_id: int) -> None:
        self._api = api
        self._setting = setting
        self._node_id = compute_node_id
        self._waiting: List[Outcome] = []
        self._interrupted: List[Outcome] = []
        self._file_paths: Dict[int, JSON] = {}
        self.failures = 0
        self.terminations = 0

    def __len__(self) -> int:
        return len(self._waiting) + len(self._interrupted)

    def add(self, job: JSON, return_code: int, status: str, seconds: float, usage: JSON) -> None:
        """A job has ended just now."""
        outcome = Outcome(job, return_code, status, seconds, usage, utc_now())
        (self._interrupted if status == "terminated" else self._waiting).append(outcome)
        self._note(outcome)

    def deliver(self) -> None:
        """Hand everything over. Raises UnavailableError; what was not taken stays."""
        for outcome in self._waiting:
            if not outcome.checked:
                self._check_files(outcome)
                outcome.checked = True
        while self._waiting:
            batch = self._waiting[:BATCH]
            self._hand_over(batch)
            del self._waiting[: len(batch)]

    def give_back(self) -> None:
        """Make the jobs that were terminated ready again; their processes must be gone. Raises UnavailableError."""
        while self._interrupted:
            self._give_back(self._interrupted[0])
            del self._interrupted[0]

    def _give_back(self, outcome: Outcome) -> None:
        """Only if it still is this attempt. Its record is a courtesy: a worker with a token may not write one."""
        completion = self._completion(outcome)
        attempt, job_id = completion["result"]["attempt_id"], completion["job_id"]
        with suppress(RefusedError, UnavailableError):
            self._api.post("/results", completion["result"])
        try:
            self._api.post(
                "/jobs/{}/retry/{}".format(job_id, self._setting.run_id),
                query={"max_retries": attempt + 1, "compute_node_id": self._node_id},
            )
        except RefusedError as error:
            log.warning("job_id=%s could not be given back: %s", job_id, error)

    def _note(self, outcome: Outcome) -> None:
        self.failures += outcome.status == "failed"
        self.terminations += outcome.status == "terminated"
        log.info(
            "Job completed workflow_id=%s job_id=%s run_id=%s compute_node_id=%s attempt_id=%s "
            "return_code=%s status=%s exec_time_s=%.3f",
            self._setting.workflow_id,
            outcome.job["id"],
            self._setting.run_id,
            self._node_id,
            outcome.job.get("attempt_id") or 1,
            outcome.return_code,
            outcome.status,
            outcome.seconds,
        )

    def _hand_over(self, batch: List[Outcome]) -> None:
        path = "/workflows/{}/batch_complete_jobs".format(self._setting.workflow_id)
        try:
            reply = self._api.post(path, {"completions": [self._completion(outcome) for outcome in batch]})
        except RefusedError as error:
            if len(batch) > 1:  # one bad entry spoils the batch
                for outcome in batch:
                    self._hand_over([outcome])
            else:
                log.warning("The server refused the result of job_id=%s: %s", batch[0].job["id"], error)
            return
        for rejection in reply.get("errors") or []:
            log.warning("The server did not take a result: %s", rejection.get("message", rejection))

    def _completion(self, outcome: Outcome) -> JSON:
        job_id, run_id = outcome.job["id"], self._setting.run_id
        result = dict(
            outcome.usage,
            job_id=job_id,
            workflow_id=self._setting.workflow_id,
            run_id=run_id,
            attempt_id=outcome.job.get("attempt_id") or 1,
            compute_node_id=self._node_id,
            return_code=outcome.return_code,
            exec_time_minutes=outcome.seconds / 60,
            completion_time=outcome.ended,
            status=outcome.status,
        )
        return {"job_id": job_id, "status": outcome.status, "run_id": run_id, "result": result}

    def _check_files(self, outcome: Outcome) -> None:
        if outcome.return_code == 0:
            self._check_outputs(outcome)
        elif outcome.status == "failed":
            self._explain(outcome)

    def _explain(self, outcome: Outcome) -> None:
        """What failed for want of an input file may not have said so itself."""
        try:
            job = self._api.get("/jobs/{}".format(outcome.job["id"]))  # a claim does not tell them
            paths = [str(self._file(int(number))["path"]) for number in job.get("input_file_ids") or []]
        except RefusedError as error:
            log.warning("The input files of job_id=%s are not known: %s", outcome.job["id"], error)
            return
        missing = [path for path in paths if modified(path) is None]
        if missing:
            self._say(outcome, "declared input files are missing here: {}".format(", ".join(missing)))

    def _check_outputs(self, outcome: Outcome) -> None:
        """A job that succeeded must have written the files that it declares."""
        missing = []
        for file_id in outcome.job.get("output_file_ids") or []:
            record = self._file(int(file_id))
            changed = modified(record["path"])
            if changed is None:
                missing.append(str(record["path"]))
            else:
                self._record_time(dict(record, st_mtime=changed))
        if missing:
            self._fail(outcome, "declared output files are missing: {}".format(", ".join(missing)))

    def _file(self, file_id: int) -> JSON:
        if file_id not in self._file_paths:
            self._file_paths[file_id] = self._api.get("/files/{}".format(file_id))
        return self._file_paths[file_id]

    def _record_time(self, record: JSON) -> None:
        try:
            self._api.put("/files/{}".format(record["id"]), record)
        except RefusedError as error:
            log.warning("The server did not take the time of file_id=%s: %s", record["id"], error)

    def _fail(self, outcome: Outcome, reason: str) -> None:
        outcome.return_code, outcome.status = 1, "failed"
        self._note(outcome)
        self._say(outcome, reason)

    def _say(self, outcome: Outcome, reason: str) -> None:
        """In the worker's log and the job's own."""
        log.warning("job_id=%s: %s", outcome.job["id"], reason)
        with suppress(OSError), stdio_path(self._setting, outcome.job, "e").open("ab") as stream:
            stream.write("torc: {}\n".format(reason).encode("utf-8", "backslashreplace"))
