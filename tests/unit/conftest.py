"""Tests of this folder start no process: what does, belongs to tests/host, tests/integration or another folder."""

import os
import subprocess
from typing import NoReturn

import pytest

from torc_remote.ssh import options


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> NoReturn:
        pytest.fail(f"a unit test starts a process: {args[1:] or args}")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    for name in ("fork", "posix_spawn", "system"):
        monkeypatch.setattr(os, name, refuse)
    # the ssh of this machine would be asked for its version
    monkeypatch.setattr(options, "_options_of_new_clients", dict)
