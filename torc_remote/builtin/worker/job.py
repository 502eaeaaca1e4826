"""One job's process: how it is started, signalled and looked after (torc wire 2.2, 4.3, 4.4)."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, Dict, List, Mapping, NamedTuple, Optional, Tuple

from . import processes
from .api import JSON
from .connection import SECRET_VARIABLES
from .errors import HostError
from .resources import Requirements
from .text import host_text

_GPU_JOB_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "TORC_GPU_VISIBLE_DEVICES",
)


class Setting(NamedTuple):
    """What all jobs of this worker share. ``output_dir`` is as the user gave it, perhaps relative."""

    workflow_id: int
    run_id: int
    output_dir: str
    api_url: str
    submission_dir: Optional[str] = None


def stdio_path(setting: Setting, job: JSON, kind: str) -> Path:
    """The file of a job's output (``kind`` o) or errors (``kind`` e)."""
    name = "job_wf{}_j{}_r{}_a{}.{}".format(
        setting.workflow_id, job["id"], setting.run_id, job.get("attempt_id") or 1, kind
    )
    return Path(setting.output_dir) / "job_stdio" / name


def command_line(job: JSON) -> List[str]:
    """The argument vector; ValueError when there can be none.

    A one-line invocation script is a prefix, a longer one precedes the command.
    """
    command = str(job["command"])
    script = str(job.get("invocation_script") or "")
    if script:
        command = script + ("\n" if "\n" in script.strip() else " ") + command
    return ["bash" if shutil.which("bash") else "sh", "-c", host_text(command)]


def environment(
    setting: Setting, job: JSON, gpus: Tuple[str, ...], inherited: Mapping[str, str]
) -> Dict[str, str]:
    """The worker's own variables without its secrets, then the job's, then torc's, which win."""
    result = {name: value for name, value in inherited.items() if name not in SECRET_VARIABLES}
    ours: Dict[str, str] = dict(job.get("env") or {})
    ours.update(
        TORC_WORKFLOW_ID=str(setting.workflow_id),
        TORC_RUN_ID=str(setting.run_id),
        TORC_JOB_ID=str(job["id"]),
        TORC_JOB_NAME=str(job["name"]),
        TORC_ATTEMPT_ID=str(job.get("attempt_id") or 1),
        TORC_API_URL=setting.api_url,
    )
    if setting.submission_dir:
        ours["TORC_WORKFLOW_SUBMISSION_DIR"] = setting.submission_dir
    if gpus:
        ours.update(dict.fromkeys(_GPU_JOB_VARIABLES, ",".join(gpus)))
    result.update((host_text(name), host_text(value)) for name, value in ours.items())
    result["TORC_OUTPUT_DIR"] = setting.output_dir  # an argument of this process: in the host's own bytes
    return result


class RunningJob:
    """A job and its process, which leads a process group of its own within the worker's session."""

    def __init__(self, job: JSON, need: Requirements, process: subprocess.Popen[bytes]) -> None:
        self.job = job
        self.need = need
        self.process = process
        self.out_of_memory = False
        self.stopped = False
        self._started = time.monotonic()
        self._known: Dict[int, str] = {}  # pid -> start of the processes that were signalled

    @property
    def id(self) -> int:
        """The job's id at the server."""
        return int(self.job["id"])

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started

    def poll(self) -> Optional[int]:
        """The return code, 128 + signal for a killed job; None while it runs."""
        code = self.process.poll()
        return 128 - code if code is not None and code < 0 else code

    def signal(self, number: int) -> None:
        """Send a signal to the group and to descendants that left it (``timeout`` makes itself a group, say).

        Those that were signalled once are signalled again even when their parent is gone.
        """
        self.stopped = True
        table = processes.snapshot()
        alive = self.process.returncode is None
        if alive:
            self._known.update(
                (member.pid, member.start) for member in processes.tree(table, self.process.pid)
            )
            _send(os.killpg, self.process.pid, number)
        for pid in self._survivors(table):
            if not alive or table[pid].group != self.process.pid:
                _send(os.kill, pid, number)

    def is_gone(self, table: processes.Table) -> bool:
        """Whether ``table`` holds nothing of what was signalled."""
        return self.process.returncode is not None and not self._survivors(table)

    def _survivors(self, table: processes.Table) -> List[int]:
        return [pid for pid, start in self._known.items() if pid in table and table[pid].start == start]


def _send(function: Any, target: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        function(target, number)


class Output(NamedTuple):
    """The open files of a job that is about to start."""

    out: BinaryIO
    err: BinaryIO

    def close(self) -> None:
        """The job has its own descriptors of them."""
        self.out.close()
        self.err.close()


def open_output(setting: Setting, job: JSON) -> Output:
    """Make the files that the job will write to, and see that they take a byte; HostError where they don't.

    On a full disk files can often be made all the same.
    """
    out_path, err_path = stdio_path(setting, job, "o"), stdio_path(setting, job, "e")
    try:
        out_path.parent.mkdir(parents=True, exist_ok=True)
        output = Output(out_path.open("wb"), err_path.open("wb"))
    except OSError as error:
        raise HostError("cannot write to {}: {}".format(setting.output_dir, error.strerror)) from None
    try:
        for stream in output:
            os.pwrite(stream.fileno(), b"\n", 0)
            os.ftruncate(stream.fileno(), 0)
    except OSError as error:
        output.close()
        raise HostError("cannot write to {}: {}".format(setting.output_dir, error.strerror)) from None
    return output


def start(
    setting: Setting, job: JSON, need: Requirements, gpus: Tuple[str, ...], output: Output
) -> RunningJob:
    """Start the job and close our side of its output.

    Raises HostError when this host can't start processes, and OSError or ValueError, with the reason in the job's error
    file, when nobody could start this command.
    """
    try:
        process = subprocess.Popen(
            command_line(job),
            stdin=subprocess.DEVNULL,
            stdout=output.out,
            stderr=output.err,
            env=environment(setting, job, gpus, os.environ),
            **_own_group(),
        )
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno != errno.E2BIG:
            raise HostError("cannot start a process: {}".format(error.strerror)) from None
        with contextlib.suppress(OSError):
            output.err.write(
                "torc: the job could not be started: {}\n".format(error).encode("utf-8", "replace")
            )
            output.err.flush()
        raise
    finally:
        with contextlib.suppress(OSError):
            output.close()
    return RunningJob(job, need, process)


def _own_group() -> Dict[str, Any]:
    """A process group of its own, but the worker's session: whoever ends the session ends the jobs too."""
    if sys.version_info >= (3, 11):
        return {"process_group": 0}
    return {"preexec_fn": os.setpgrp}
