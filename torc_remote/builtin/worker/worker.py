"""The worker: claims jobs, runs them and reports, until the workflow is complete (torc wire 4)."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import List, NamedTuple, Optional

from ... import __version__
from ...worker_options import WorkerOptions
from . import job as jobs
from .api import JSON, Api
from .claims import Claims
from .connection import Connection
from .errors import HostError, RefusedError, RevokedError, UnavailableError, WorkerError
from .job import Output, RunningJob, Setting
from .logs import log_to_file
from .monitor import NO_USAGE, Monitor, monitor_config
from .node import ComputeNode
from .outage import Outage
from .outbox import Outbox
from .resources import Pool, Requirements, Resources, detect
from .sickness import Sickness
from .signals import GRACE_SECONDS, Signals
from .startup import at_start, prepare

log = logging.getLogger("torc.worker")

FAREWELL_SECONDS = 5.0
"""Time for the last results when the server is away at the end."""
TORC_DEFAULT_IDLE_SECONDS = 90
"""What torc's client sends when the user did not choose (torc wire 2.1): it counts as not chosen."""
SESSION_STOP_SECONDS = 0.3
"""A job that ended by SIGTERM may have got it from a `stop`, which signals the worker too: so long to wait for that."""
_NO_DATA = "the workflow was deleted, or the database is another one"
CANNOT_EXECUTE = 126
"""Return code of a job that could not be started, as shells have it."""


class Options(NamedTuple):
    """What the user chose. ``max_parallel_jobs`` replaces the claim by resources; the interval is seconds."""

    workflow_id: int
    hostname: str
    resources: Resources
    output_dir: str
    poll_interval: float
    max_parallel_jobs: Optional[int]

    def path(self, pattern: str, run_id: int) -> Path:
        """A file of this worker in the output directory; the pattern names ``host``, ``wf`` and ``run``."""
        host = re.sub(r"[^\w.-]", "_", self.hostname)
        return Path(self.output_dir) / pattern.format(host=host, wf=self.workflow_id, run=run_id)


def options_here(workflow_id: int, chosen: WorkerOptions) -> Options:
    """The options of a worker on this machine. It registers as TORC_WORKER_NAME, else under the host's name."""
    return Options(
        workflow_id,
        os.environ.get("TORC_WORKER_NAME") or socket.gethostname(),
        detect(os.environ, chosen.num_cpus, chosen.memory_gb, chosen.num_gpus),
        chosen.output_dir,
        chosen.poll_interval,
        chosen.max_parallel_jobs,
    )


def stop_was_asked() -> bool:
    """Whether `torc remote stop` ends this worker: it sees to the jobs itself, once all workers that it stops are gone.

    Else those of the first would be taken, and interrupted again, by the next.
    """
    directory = os.environ.get("_TORC_REMOTE_WORKER", "")
    try:
        return bool(directory) and (Path(directory) / "stopping").read_text().split()[0] == str(os.getpid())
    except (OSError, ValueError, IndexError):
        return False


def run_worker(connection: Connection, options: Options) -> int:
    """Work on the workflow until it is complete or canceled, or a signal asks to stop.

    Returns the exit code: 0, or 128 + signal. Raises WorkerError.
    """
    with ExitStack() as stack:
        api = Api(connection)
        stack.callback(api.close)
        try:
            workflow, server_version = at_start(lambda: prepare(api, options.workflow_id))
            try:
                log_path = options.path("job_runner_{host}_wf{wf}_r{run}.log", workflow["run_id"])
                stack.enter_context(log_to_file(log_path))
            except OSError as error:
                reason = error.strerror or str(error)
                raise WorkerError("cannot write to {}: {}".format(options.output_dir, reason)) from None
            signals = stack.enter_context(Signals())
            worker = _Worker(api, connection.url, workflow, options, signals)
            worker.announce(server_version)
            return worker.run()
        except RefusedError as error:
            raise WorkerError(str(error)) from None


class _Worker:
    """One worker from its registration to its farewell."""

    def __init__(self, api: Api, url: str, workflow: JSON, options: Options, signals: Signals) -> None:
        self._api = api
        self._workflow = workflow
        self._options = options
        self._signals = signals
        self._setting = Setting(
            options.workflow_id,
            int(workflow["run_id"]),
            options.output_dir,
            url,
            workflow.get("submission_directory"),
        )
        self._execution = workflow.get("execution_config") or {}
        self._pool = Pool(options.resources)
        self._outage = Outage(60.0 * workflow.get("compute_node_wait_for_healthy_database_minutes", 20))
        self._node = at_start(
            lambda: ComputeNode(api, options.workflow_id, options.hostname, options.resources)
        )
        self._outbox = Outbox(api, self._setting, self._node.id)
        self._claims = Claims(api, workflow, self._node.id, options.max_parallel_jobs)
        self._monitor = Monitor(
            monitor_config(workflow.get("resource_monitor_config")),
            options.path(
                "resource_utilization/resource_metrics_wf{wf}_h{host}_r{run}.db", workflow["run_id"]
            ),
            bool(self._execution.get("limit_resources", True)),
        )
        self._sickness = Sickness(Path(options.output_dir) / "job_stdio")
        self._checked = float("-inf")
        self._recognized = -1  # the connection on which the server last showed our compute node
        self._busy_at = time.monotonic()
        self._canceled = self._over = self._foreign = self._hanging = False

    def announce(self, server_version: str) -> None:
        """The line by which others see that the server has accepted this worker."""
        resources = self._options.resources
        log.info(
            "Starting torc job runner version=%s server_version=%s workflow_id=%s run_id=%s hostname=%s "
            "output_dir=%s compute_node_id=%s num_cpus=%s memory_gb=%.2f num_gpus=%s max_parallel_jobs=%s",
            __version__,
            server_version,
            self._setting.workflow_id,
            self._setting.run_id,
            self._options.hostname,
            self._options.output_dir,
            self._node.id,
            resources.num_cpus,
            resources.memory_gb,
            len(resources.gpus),
            self._options.max_parallel_jobs,
        )

    def run(self) -> int:
        """Work, then leave in order whatever happened."""
        try:
            self._work()
        finally:
            self._leave()
        return 128 + self._signals.stop_signal if self._signals.stop_signal else 0

    def _work(self) -> None:
        due = 0.0
        while not self._over and self._signals.stop_signal is None:
            if self._reap() and not self._outage.active:
                due = 0.0
            pause = due - time.monotonic()
            if pause > 0:
                self._signals.wait(pause)
            else:
                due = time.monotonic() + self._ask_server()

    def _ask_server(self) -> float:
        """One round of requests; seconds until the next is due if no job ends before."""
        try:
            self._round()
        except RevokedError:
            raise self._disowned("it was released or replaced, " + _NO_DATA) from None
        except UnavailableError as error:
            if self._outage.hopeless and not self._signals.jobs:
                raise WorkerError("the server has been away for too long: {}".format(error)) from None
            return self._outage.failed(error)
        self._outage.over()
        if len(self._outbox):
            return 0.0
        pause = max(0.0, self._checked + self._options.poll_interval - time.monotonic())
        return pause if self._sickness.pause is None else min(pause, self._sickness.pause)

    def _round(self) -> None:
        polling = time.monotonic() >= self._checked + self._options.poll_interval
        if polling or self._api.opened != self._recognized:
            self._recognize()
        self._outbox.deliver()
        if polling:
            self._check_end()
        if self._over:
            return
        canceled = self._fill()
        if self._signals.jobs or len(self._outbox):
            self._busy_at = time.monotonic()
        else:
            self._check_idle()
        if canceled or not (polling or self._signals.jobs):
            self._check_end()

    def _recognize(self) -> None:
        """Raises WorkerError when another database has come behind the URL: its jobs and numbers are not ours."""
        if not self._node.is_known():
            raise self._disowned(_NO_DATA)
        self._recognized = self._api.opened

    def _disowned(self, reason: str) -> WorkerError:
        """What this worker does is nothing to the server any more, so it says no farewell."""
        self._foreign = True
        return WorkerError(
            "the server at {} does not know this worker any more (compute node {} of workflow {}): {}. {} result(s) "
            "were not reported".format(
                self._setting.api_url, self._node.id, self._setting.workflow_id, reason, len(self._outbox)
            )
        )

    def _fill(self) -> bool:
        """Take as many jobs as fit and start them; whether the server says that the workflow is canceled."""
        if self._sickness.pause is not None:
            self._claims.give_back_all()
        if not self._sickness.is_over(bool(self._signals.jobs)):
            return False
        self._start_claimed()
        if self._sickness.pause is not None:
            return False
        canceled = self._claims.claim(self._pool, len(self._signals.jobs))
        self._start_claimed()
        return canceled

    def _check_end(self) -> None:
        state = self._api.get("/workflows/{}/is_complete".format(self._setting.workflow_id))
        self._checked = time.monotonic()
        self._canceled = bool(state["is_canceled"])
        stays = self._workflow.get("compute_node_ignore_workflow_completion")
        if self._canceled or (state["is_complete"] and not stays):
            log.info("The workflow is %s", "canceled" if self._canceled else "complete")
            self._over = True

    def _check_idle(self) -> None:
        limit = self._workflow.get("compute_node_wait_for_new_jobs_seconds")
        if limit in (None, 0, TORC_DEFAULT_IDLE_SECONDS):
            return
        if time.monotonic() - self._busy_at >= limit:
            log.info("No jobs claimed for %s seconds (limit: %s seconds). Exiting job runner.", limit, limit)
            self._over = True

    def _start_claimed(self) -> None:
        """Start what was claimed; a job that this host can't start is another's, and so are those after it."""
        waiting = self._claims.waiting
        try:
            while waiting and self._signals.stop_signal is None:
                self._start_next(waiting)
        except HostError as error:
            self._sickness.begin(error)
            self._claims.give_back_all()

    def _start_next(self, waiting: List[JSON]) -> None:
        job = waiting[0]
        need = self._claims.requirements(job)
        output = jobs.open_output(self._setting, job)
        try:
            ours = self._claims.confirm(job)
        except BaseException:
            output.close()
            raise
        if ours:
            self._start(job, need, output)
        else:
            output.close()
        del waiting[0]

    def _start(self, job: JSON, need: Requirements, output: Output) -> None:
        gpus = self._pool.reserve(int(job["id"]), need)
        try:
            running = jobs.start(self._setting, job, need, gpus, output)
        except HostError:
            self._pool.release(int(job["id"]))
            raise
        except (OSError, ValueError) as error:
            log.warning("job_id=%s could not be started: %s", job["id"], error)
            self._pool.release(int(job["id"]))
            self._outbox.add(job, CANNOT_EXECUTE, "failed", 0.0, NO_USAGE)
            return
        self._signals.add(running)
        self._monitor.watch(running)
        log.info(
            "Job started workflow_id=%s job_id=%s run_id=%s compute_node_id=%s attempt_id=%s pid=%s",
            self._setting.workflow_id,
            job["id"],
            self._setting.run_id,
            self._node.id,
            job.get("attempt_id") or 1,
            running.process.pid,
        )

    def _reap(self) -> bool:
        """Take note of the jobs that have ended; whether there were any."""
        ended = [job for job in self._signals.jobs.values() if job.poll() is not None]
        if any(job.poll() == 128 + signal.SIGTERM for job in ended) and self._signals.stop_signal is None:
            time.sleep(SESSION_STOP_SECONDS)
        for job in ended:
            self._finish(job, job.poll() or 0)
        return bool(ended)

    def _finish(self, job: RunningJob, return_code: int) -> None:
        del self._signals.jobs[job.id]
        self._pool.release(job.id)
        if job.out_of_memory:
            return_code = int(self._execution.get("oom_exit_code", 128 + signal.SIGKILL))
        self._outbox.add(
            job.job, return_code, self._status(job, return_code), job.seconds, self._monitor.forget(job.id)
        )

    def _status(self, job: RunningJob, return_code: int) -> str:
        if return_code == 0:
            return "completed"
        if job.out_of_memory:
            return "failed"
        if job.stopped and self._canceled:
            return "canceled"
        by_signal = self._signals.stop_signal is not None and return_code == 128 + self._signals.stop_signal
        return "terminated" if job.stopped or by_signal else "failed"

    def _leave(self) -> None:
        self._end_jobs()
        usage = self._monitor.stop()
        if not self._foreign:
            self._say_farewell(usage)
        log.info(
            "Job runner completed workflow_id=%s had_failures=%s had_terminations=%s",
            self._setting.workflow_id,
            str(self._outbox.failures > 0).lower(),
            str(self._outbox.terminations > 0).lower(),
        )

    def _end_jobs(self) -> None:
        if self._signals.stop_signal is None:
            self._signals.stop_jobs(signal.SIGKILL if self._canceled else signal.SIGTERM)
        give_up = time.monotonic() + GRACE_SECONDS + FAREWELL_SECONDS
        self._reap()
        while not self._signals.jobs_are_gone() and time.monotonic() < give_up:
            self._signals.wait(0.1)
            self._reap()
        # not even SIGKILL ends a process that hangs in the kernel; its job must not run elsewhere as well
        self._hanging = not self._signals.jobs_are_gone()

    def _say_farewell(self, usage: JSON) -> None:
        give_up = time.monotonic() + FAREWELL_SECONDS
        while True:
            try:
                self._recognize()
                self._outbox.deliver()
                if not self._hanging and not stop_was_asked():
                    self._outbox.give_back()
                self._claims.give_back_all()
                self._node.deactivate(usage)
            except (RefusedError, RevokedError, WorkerError) as error:
                log.warning("The server did not take the farewell: %s", error)
            except UnavailableError as error:
                if time.monotonic() < give_up:
                    self._signals.wait(0.25)
                    continue
                log.warning("%s; %s results could not be delivered", error, len(self._outbox))
            return
