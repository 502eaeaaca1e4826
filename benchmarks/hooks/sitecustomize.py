"""Read by each Python of a command that is profiled: notes in the file PROFILE_NOTES when it does what.

What is noted are lines of JSON: ``what``, the time, and the processor time that the process has used so far.
"""

import atexit
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NoReturn

_WORKER = "ansible.executor.process.worker"


def _note(what: str, who: int = resource.RUSAGE_SELF) -> None:
    usage = resource.getrusage(who)
    line = {
        "what": what,
        "time": time.time(),
        "user": usage.ru_utime,
        "system": usage.ru_stime,
        "faults": usage.ru_minflt,
    }
    with open(os.environ["PROFILE_NOTES"], "a") as notes:  # noqa: PTH123 - the less is imported here the better
        notes.write(json.dumps(line) + "\n")


# the number of the process that Ansible has forked for this task
_task_process: list[int] = []


def _exit_noted(status: int) -> NoReturn:
    """How the launcher's Ansible ends, and a process that a task has forked in turn."""
    if _task_process and os.getpid() != _task_process[0]:
        _note("asking ends")
        _note("asking child's children", resource.RUSAGE_CHILDREN)
    elif not _task_process and _WORKER in sys.modules:
        _note("ansible ends")
    _exit(status)


def _noted(method: Callable[[Any], Any], before: str, after: str) -> Callable[[Any], Any]:
    def run(self: Any) -> Any:
        _task_process[:] = [os.getpid()]
        _note(before)
        try:
            return method(self)
        finally:
            _note(after)
            _note("child's children", resource.RUSAGE_CHILDREN)

    return run


def _watch_tasks(module: Any) -> None:
    """Note when Ansible begins to fork for a host, and what the host's process does."""
    process = module.WorkerProcess
    process._run = _noted(process._run, "child begins", "child ends")
    start = process.start

    def noted_start(self: Any) -> None:
        _note("fork")
        start(self)

    process.start = noted_start


def _let_us_through(module: Any) -> None:
    """The command keeps the user's variables for Python from its play; the one that leads here has to pass."""
    module._KEPT = "PYTHONPATH"


class _Finder(importlib.abc.MetaPathFinder):
    """Changes a module once it has been loaded."""

    def __init__(self, name: str, change: Callable[[Any], None]) -> None:
        self._name, self._change = name, change

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec and spec.loader:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                self._change(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # for this one module
        return spec


def _is_started_as(*names: str) -> bool:
    return any(word.endswith(names) for word in sys.orig_argv[:4])


if os.environ.get("PROFILE_NOTES") and _is_started_as("ansible-playbook", "torc_remote.remote.launcher"):
    _note("ansible begins")
    _exit, os._exit = os._exit, _exit_noted
    atexit.register(_note, "ansible ends")  # its forks and the launcher's end otherwise
    sys.meta_path.insert(0, _Finder(_WORKER, _watch_tasks))
elif os.environ.get("PROFILE_NOTES") and _is_started_as("/torc"):
    sys.meta_path.insert(0, _Finder("torc_remote.remote.play_environment", _let_us_through))
