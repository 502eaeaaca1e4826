"""Run a bundled playbook with ansible-runner and gather what each host answered.

The only module that imports ansible_runner, and that as late as possible: it costs 0.2 s.
"""

import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

import torc_remote
from torc_remote.client.config import Settings
from torc_remote.client.handoff import write_credentials
from torc_remote.controller_locale import locale_for_ansible
from torc_remote.errors import TorcError
from torc_remote.family import end_descendants
from torc_remote.inventory import Inventory, as_data, to_yaml

# The user's settings of these programs belong to the user's own plays. Of torc's the play needs none, and some are
# secrets, which ansible-runner would store in a file. Python's change the interpreter that runs the play.
_FOREIGN_PREFIXES = ("ANSIBLE_", "_ANSIBLE_", "RUNNER_", "AWX_", "JUNIT_", "TORC_", "PYTHON")
# without it an interpreter that needs it would not even start
_KEPT = "PYTHONHOME"
# Whatever lies there would be part of every play, as a callback is.
_PLUGINS = (
    "action",
    "become",
    "cache",
    "callback",
    "connection",
    "filter",
    "inventory",
    "lookup",
    "strategy",
)
_PLUGIN_PATHS = (*(f"{kind}_plugins" for kind in (*_PLUGINS, "test", "vars")), "library", "module_utils")
_CLEANUP_SECONDS = 5.0
_POLL_SECONDS = 0.1


class PlayError(TorcError):
    """The play could not do its work, for a reason that no host is to blame for."""


class InterruptedPlayError(TorcError):
    """The user ended the play; what runs on the hosts goes on."""

    exit_code = 130


@dataclass
class HostAnswer:
    """What one host answered, all tasks together: the later task's values win.

    ``status`` is ``ok``, ``failed``, ``unreachable`` or ``silent`` (no task came to an end on it), ``role`` the role
    that it came from. ``cut_off``: the play was ended from outside, so that later tasks may have done something there.
    """

    status: str = "silent"
    role: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    cut_off: bool = False


@dataclass(frozen=True)
class Play:
    """What is to be run: a playbook of the collection, its extra variables and how.

    ``forks`` is the number of hosts that are worked on at a time. ``on_result(task, host, answer)`` is called in
    the caller's thread of control for each result, while the play runs.
    """

    playbook: str
    variables: Mapping[str, Any]
    forks: int
    on_result: Callable[[str, str, HostAnswer], None] | None = None


def run_play(play: Play, inventory: Inventory, settings: Settings) -> dict[str, HostAnswer]:
    """The answers by inventory name, one for each host of the inventory.

    Raises PlayError when the controller's part failed and InterruptedPlayError after SIGINT or SIGTERM.
    """
    with _own_environment(), _termination() as terminated:
        directory = _private_directory()
        try:
            return _run(play, inventory, settings, directory, terminated)
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _private_directory() -> Path:
    """A new directory with mode 0700. Raises PlayError when there is no place for it."""
    try:
        # with TMPDIR=. the path would mean another directory to each program
        return Path(tempfile.mkdtemp(prefix="torc-remote-")).absolute()
    except OSError as error:
        raise PlayError(
            f"There is no place for temporary files: {error.strerror}. Set TMPDIR to a directory of yours."
        ) from error


def _run(
    play: Play, inventory: Inventory, settings: Settings, directory: Path, terminated: threading.Event
) -> dict[str, HostAnswer]:
    import ansible_runner

    (directory / "project").mkdir()
    (directory / "ansible.cfg").write_text(_configuration(directory))
    hosts = directory / "hosts.yml"
    hosts.write_text(to_yaml(inventory))
    credentials = directory / "credentials.json"
    write_credentials(credentials, settings)
    answers = directory / "answers.jsonl"
    answers.touch()
    ours = {"torc_api_url": settings.api_url, "torc_credentials_file": str(credentials)}
    # not the runner's extravars, in which Ansible would look for templates
    variables = directory / "variables.yml"
    variables.write_text(as_data({**play.variables, **ours}))
    ended = threading.Event()
    gathered = _Gathered(inventory, play.on_result)
    _, runner = ansible_runner.run_async(
        private_data_dir=str(directory),
        playbook=f"torc.remote.{play.playbook}",
        inventory=str(hosts),
        cmdline=f"-e {shlex.quote(f'@{variables}')}",
        envvars=_environment(directory, answers),
        forks=play.forks,
        settings={"pexpect_timeout": 1},
        quiet=True,
        event_handler=gathered.note,
        finished_callback=lambda runner: ended.set(),
        cancel_callback=lambda: False,  # with one the runner leaves the signals to us
    )
    with answers.open("rb") as lines:
        while not ended.wait(_POLL_SECONDS):
            if terminated.is_set():
                # The runner would kill ansible-playbook alone; its tasks have their own sessions, and files to remove.
                end_descendants(_CLEANUP_SECONDS)
            gathered.read(lines)
        gathered.read(lines)
    if terminated.is_set():
        raise InterruptedPlayError("Interrupted. What was started on the hosts goes on.")
    if gathered.controller_error:
        raise PlayError(gathered.controller_error)
    if not gathered.any_host and runner.rc != 0 and (gathered.ended or not gathered.started):
        raise PlayError("Ansible could not run the playbook: " + _last_words(runner.stdout.read()))
    if not gathered.ended:
        for answer in gathered.answers.values():
            answer.cut_off = True
    return gathered.answers


class _Gathered:
    """Sorts the lines of the answers file by host."""

    def __init__(
        self, inventory: Inventory, on_result: Callable[[str, str, HostAnswer], None] | None
    ) -> None:
        self.answers = {name: HostAnswer() for name in inventory.hosts}
        self.controller_error: str | None = None
        self.any_host = False
        self.started = self.ended = False
        self._on_result = on_result
        self._unfinished = b""

    def note(self, event: Mapping[str, Any]) -> None:
        """How far the play came."""
        self.started |= event.get("event") == "playbook_on_task_start"
        self.ended |= event.get("event") == "playbook_on_stats"

    def read(self, lines: BinaryIO) -> None:
        """What has been added to the file since the last time."""
        *whole, self._unfinished = (self._unfinished + lines.read()).split(b"\n")
        for line in map(json.loads, whole):
            if line["host"] is None:
                self._add_controller(line["status"], line["result"])
            elif line["status"] != "skipped":
                self._add(line["task"], line["host"], line["status"], line["result"], line["role"])

    def _add_controller(self, status: str, result: Mapping[str, Any]) -> None:
        # a refusal is no error: the hosts' own answers say why
        if status == "failed" and not result.get("refused"):
            self.controller_error = str(result.get("msg", "unknown"))

    def _add(self, task: str, host: str, status: str, result: Mapping[str, Any], role: str) -> None:
        answer = self.answers[host]
        self.any_host = True
        answer.status, answer.role = status, role
        answer.values.update(result)
        if self._on_result:
            self._on_result(task.rpartition(" : ")[2], host, answer)


def _environment(directory: Path, answers: Path) -> dict[str, str]:
    """The same for everybody: the user's ansible.cfg belongs to the user's own plays."""
    return {
        "_TORC_REMOTE_ANSWERS": str(answers),
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_HOST_KEY_CHECKING": "True",  # the runner would turn it off
        "ANSIBLE_COLLECTIONS_PATH": str(_collections_path()),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_INVENTORY_ENABLED": "yaml",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        **locale_for_ansible(),
    }


def _configuration(directory: Path) -> str:
    """An ansible.cfg with which no plugins count but Ansible's own and ours."""
    return "\n".join(["[defaults]", *(f"{name}={directory}/none" for name in _PLUGIN_PATHS)])


def _collections_path() -> Path:
    """The directory that holds our ``ansible_collections``: beside the package (wheel) or in the checkout."""
    beside = Path(torc_remote.__file__).resolve().parent.parent
    for path in (beside, beside / "collections"):
        if (path / "ansible_collections/torc/remote/playbooks").is_dir():
            return path
    raise PlayError(f"The collection torc.remote is missing beside {beside}; install torc-remote again.")


def _last_words(stdout: str) -> str:
    lines = [line.strip() for line in stdout.splitlines() if line.strip()]
    return " ".join(lines[-5:]) or "it said nothing"


@contextmanager
def _own_environment() -> Iterator[None]:
    """Take out of the environment what would rule our play, and the secrets."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if _is_withheld(name)}
    try:
        yield
    finally:
        os.environ.update(kept)


def _is_withheld(name: str) -> bool:
    return name.startswith(_FOREIGN_PREFIXES) and name != _KEPT


@contextmanager
def _termination() -> Iterator[threading.Event]:
    """SIGINT and SIGTERM set the event instead of ending the program."""
    event = threading.Event()

    def remember(signum: int, frame: FrameType | None) -> None:
        event.set()

    previous = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
