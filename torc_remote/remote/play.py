"""Run a bundled playbook and gather what each host answered."""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from torc_remote.client.config import Settings
from torc_remote.client.play_settings import settings_for_play
from torc_remote.errors import TorcError, shortage
from torc_remote.remote.inventory import Inventory, as_data, to_yaml
from torc_remote.remote.play_environment import user_locale
from torc_remote.remote.play_process import PlayProcess, held_signals, launched

_POLL_SECONDS = 0.1
_LAST_LINES = 5
_ANSIBLE_ERROR = re.compile(r"^(?:\[ERROR\]: |ERROR! )", re.MULTILINE)
_TRACEBACK = "Traceback (most recent call last):"


class PlayError(TorcError):
    """The play could not do its work, for a reason that no host is to blame for."""


class InterruptedPlayError(TorcError):
    """The user ended the play; ``answers`` has what hosts had answered by then."""

    exit_code = 130

    def __init__(self, answers: "Mapping[str, HostAnswer]", message: str = "Interrupted.") -> None:
        super().__init__(message)
        self.answers = answers


@dataclass
class HostAnswer:
    """What one host answered, all tasks together: the later task's values win.

    ``status`` is ``ok``, ``failed``, ``unreachable`` or ``silent`` (no task came to an end on it), ``role`` the role
    that it came from. ``cut_off``: why the play did not come to its end, so that later tasks may have done something
    there; empty when it did.
    """

    status: str = "silent"
    role: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    cut_off: str = ""


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


def run_play(
    play: Play, inventory: Inventory, settings: Settings, process: PlayProcess | None = None
) -> dict[str, HostAnswer]:
    """The answers by inventory name, one for each host of the inventory.

    ``process``: the launched program that waits for this play; without one it is started now. Raises PlayError when
    the controller's part failed and InterruptedPlayError after SIGINT or SIGTERM.
    """
    gathered = _Gathered(inventory, play.on_result)
    with nullcontext(process) if process else launched() as process, held_signals() as interrupted:
        answers = _order(process, play, inventory, settings)
        with answers.open("rb") as lines:
            while not process.wait(_POLL_SECONDS) and not interrupted.is_set():
                gathered.read(lines)
            gathered.read(lines)
        if interrupted.is_set():
            raise InterruptedPlayError(gathered.answers)
        last_output = process.last_output
    if gathered.controller_error:
        raise PlayError(gathered.controller_error)
    if not gathered.ended:
        gathered.cut_off(_reason(last_output, gathered.begun))
    return gathered.answers


def _order(process: PlayProcess, play: Play, inventory: Inventory, settings: Settings) -> Path:
    """Let the launcher run the play; the file of its answers. Secrets go through the launcher's pipe alone."""
    hosts, variables, answers = (
        process.directory / name for name in ("hosts.yml", "variables.yml", "answers")
    )
    try:
        hosts.write_text(to_yaml(inventory))
        variables.write_text(as_data(play.variables))
        answers.touch()
    except OSError as error:
        raise PlayError(f"Cannot write into {process.directory}: {error.strerror}.") from error
    files = ["--inventory", str(hosts), "--extra-vars", f"@{variables}"]
    process.order(
        {
            "arguments": [f"torc.remote.{play.playbook}", *files, "--forks", str(play.forks)],
            "answers": str(answers),
            "settings": settings_for_play(settings),
            "locale": user_locale(),
        }
    )
    return answers


def _reason(last_output: str, begun: bool) -> str:
    """Why a play did not come to its end, in one line. Raises PlayError when it did not even begin."""
    *_, error = _ANSIBLE_ERROR.split(last_output)
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    lack = shortage(error)
    reason = lack or " ".join(lines[-1 if _TRACEBACK in error else -_LAST_LINES :]) or "it said nothing"
    if begun:
        return reason
    if not lack and _TRACEBACK in last_output:  # nobody's fault but ours: it is kept in a file
        raise RuntimeError(lines[-1]) from RuntimeError(last_output)
    raise PlayError(f"Ansible could not run the playbook: {reason}")


class _Gathered:
    """Sorts the lines of the answers file by host."""

    def __init__(
        self, inventory: Inventory, on_result: Callable[[str, str, HostAnswer], None] | None
    ) -> None:
        self.answers = {name: HostAnswer() for name in inventory.hosts}
        self.controller_error: str | None = None
        self.begun = False
        self._last_line = self._damaged = False
        self._on_result = on_result
        self._unfinished = b""

    def read(self, lines: BinaryIO) -> None:
        """What has been added to the file since the last time."""
        *whole, self._unfinished = (self._unfinished + lines.read()).split(b"\n")
        for text in whole:
            self.begun = True
            try:
                self._add_line(json.loads(text))
            except ValueError:  # half a line and another: the disk was full
                self._damaged = True

    @property
    def ended(self) -> bool:
        """Whether the play came to its end, and no answer is missing."""
        return self._last_line and not self._damaged

    def _add_line(self, line: Mapping[str, Any]) -> None:
        self._last_line |= line["status"] == "ended"
        if line["host"] is None:
            self._add_controller(line["status"], line["result"])
        elif line["status"] != "skipped":
            self._add(line["task"], line["host"], line["status"], line["result"], line["role"])

    def cut_off(self, reason: str) -> None:
        """The play did not come to its end."""
        for answer in self.answers.values():
            answer.cut_off = reason

    def _add_controller(self, status: str, result: Mapping[str, Any]) -> None:
        # a refusal is no error: the hosts' own answers say why
        if status == "failed" and not result.get("refused"):
            self.controller_error = str(result.get("msg", "unknown"))

    def _add(self, task: str, host: str, status: str, result: Mapping[str, Any], role: str) -> None:
        answer = self.answers[host]
        answer.status, answer.role = status, role
        answer.values.update(result)
        if self._on_result:
            self._on_result(task.rpartition(" : ")[2], host, answer)
