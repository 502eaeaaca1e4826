"""What a host may answer: each key with its type, and what becomes of it in reports.

The scripts' words are data of somebody who is not trusted. From this table are made the check of every answer, the
details of reports, report.schema.json and the table of the page on reports.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torc_remote.errors import TorcError
from torc_remote.text import printable

MAX_ANSWER = 1024 * 1024
"""Characters of a whole answer with all that login files print; what is packed into an answer is the longest."""
MAX_PACKED = 65536
"""Bytes of the largest archive that comes with an answer (pack_logs.sh)."""

_SHOWN = 60


class AnswerError(TorcError):
    """A host's answer is none that the scripts give."""


@dataclass(frozen=True)
class Number:
    """An integer of ASCII digits."""

    low: int
    high: int

    def read(self, text: str) -> int:
        if not re.fullmatch("[0-9]{1,20}", text) or not self.low <= int(text) <= self.high:
            raise ValueError(f"is no number from {self.low} to {self.high}")
        return int(text)

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Text:
    """Text for people, and paths that users choose: it is shown, and never part of another language.

    Control characters are escaped. Of several ``lines`` or one; of ``size`` characters at most.
    """

    size: int
    lines: bool = True

    def read(self, text: str) -> str:
        if not self.lines and "\n" in text:
            raise ValueError("has several lines")
        if len(text) > self.size:
            raise ValueError(f"is longer than {self.size} characters")
        return printable(text, keep="\n\t")

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


@dataclass(frozen=True)
class Word:
    """Text of certain characters only; ``about`` says which."""

    pattern: str
    about: str

    def read(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"is not {self.about}")
        return text

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{self.pattern}$"}


@dataclass(frozen=True)
class Flag:
    """True where the script says 1; otherwise it says nothing."""

    def read(self, text: str) -> bool:
        if text != "1":
            raise ValueError("is not 1")
        return True

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True)
class Key:
    """One key: its type and, where reports have it, what it says. ``host``: the host says it, not this machine."""

    type: Number | Text | Word | Flag
    about: str = ""
    host: bool = True


_SHA256 = Word("[0-9a-f]{64}", "a sha256 checksum")
_BASE64 = Word(f"[A-Za-z0-9+/=]{{0,{(MAX_PACKED + 2) // 3 * 4}}}", "a small archive in base64")
_PATH = Text(8192)

KEYS: dict[str, Key] = {
    # of the worker
    "pid": Key(Number(2, 2**31 - 1), "Of the worker's process."),
    "since": Key(Number(0, 2**33), "Its start, in seconds since 1970."),
    "exit_code": Key(Number(0, 511), "Of the worker; 128 + N after signal N."),
    "version": Key(Text(200, lines=False), "Of torc."),
    "output_dir": Key(_PATH, "Absolute path on the host."),
    "executable": Key(_PATH, "Path of torc on the host."),
    "log": Key(Text(16384), "The last lines of the worker's log."),
    "jobs_requeued": Key(
        Number(0, 2**31 - 1), "Jobs that the worker was running and that are ready again.", host=False
    ),
    "jobs_terminated": Key(
        Number(0, 2**31 - 1),
        "Jobs that the worker was running and that were terminated: by `stop --terminate`, or as too many workers have "
        "died of them.",
        host=False,
    ),
    "jobs_unassigned": Key(
        Number(0, 2**31 - 1),
        "Jobs of the workflow that some worker had claimed and not started when this one was released. The server does "
        "not note whose they are; those of a worker that is gone stay pending until all of them are stopped.",
        host=False,
    ),
    # of its logs
    "archive": Key(_PATH, "Path of the archive on this machine.", host=False),
    "size": Key(Number(0, 2**50), "Of the archive, in bytes."),
    "unsafe": Key(
        Text(16384),
        "What in the archive would be written outside of the directory in which it is unpacked: names with `..`, "
        "absolute ones, members behind a link, hard links to elsewhere, devices; one a line, the first ten.",
        host=False,
    ),
    "outside_links": Key(
        Text(16384),
        "Symbolic links in the archive that point out of it, `NAME -> TARGET`, one a line, the first ten.",
        host=False,
    ),
    "unchecked": Key(Text(1000), "Why the archive was not looked through to its end.", host=False),
    "deleted": Key(Flag(), "The logs were deleted after they had been collected.", host=False),
    "removed": Key(_PATH, "What was deleted on the host."),
    "kept": Key(
        Text(16384), "What was left there because others made it, one path a line, the first ten by name."
    ),
    "kept_more": Key(Number(0, 2**31 - 1), "How much more was left there."),
    # for the plugins alone
    "asked": Key(Flag()),
    "changed": Key(Flag()),
    "content": Key(_BASE64),
    "failed": Key(Flag()),
    "held": Key(Text(65536)),
    "lost": Key(Flag()),
    "manifest": Key(_SHA256),
    "msg": Key(Text(32768)),
    "node_names": Key(Text(1000, lines=False)),
    "nodes": Key(Text(65536)),
    "place": Key(Number(1, 3)),
    "reason": Key(Text(8192)),
    "replaced_sha256": Key(_SHA256),
    "replaced_version": Key(Text(1000, lines=False)),
    "sha256": Key(_SHA256),
    "state": Key(Word("[a-z_]{1,30}", "a state")),
    "unread": Key(Text(16384)),
}
DETAILS = tuple(name for name, key in KEYS.items() if key.about)
"""What reports have besides a host's state and reason."""

# The states in which a script ends, and what has to come with them.
STATES: dict[str, tuple[str, ...]] = {
    "absent": (),
    "ambiguous": (),
    "already_running": ("pid",),
    "broken": (),
    "busy": (),
    "deleted": ("removed",),
    "died": (),
    "discarded": (),
    "exited": (),
    "failed": (),
    "finished": (),
    "foreign": (),
    "installed": ("executable",),
    "lent": ("place",),
    "live": (),
    "mismatch": (),
    "missing": (),
    "none": (),
    "not_running": (),
    "ok": (),
    "packed": ("manifest", "sha256", "size"),
    "reachable": (),
    "ready": (),
    "refused": (),
    "registered": ("pid",),
    "running": ("pid",),
    "stale": (),
    "started": ("pid",),
    "still_running": (),
    "stopped": (),
    "unchanged": (),
    "uncollected": (),
    "unknown": (),
    "unregistered": ("pid",),
}

OK_STATES: dict[str, tuple[str, ...]] = {
    "add-workers": ("added", "already_stored"),
    "list-workers": ("stored",),
    "remove-worker": ("removed",),
    "install": ("installed", "unchanged"),
    "run": ("registered", "unregistered", "finished", "already_running"),
    "status": ("running", "exited", "none", "stale", "foreign"),
    "stop": ("stopped", "not_running", "stale", "foreign"),
    "collect-logs": ("collected", "unchanged", "absent"),
    "delete-logs": ("deleted", "absent"),
    "reach": ("reachable",),
}
"""By operation, the states of hosts that are well."""

FAILED_STATES = (
    *(
        "failed",
        "unreachable",
        "unknown",
        "invalid",
        "not_started",
        "missing",
        "broken",
        "mismatch",
        "busy",
        "died",
        "foreign",
    ),
    *(
        "still_running",
        "live",
        "refused",
        "ambiguous",
        "incomplete",
        "not_deleted",
        "stopped",
        "not_running",
        "stale",
    ),
)
"""The states of hosts that are not."""


def read_answer(values: Mapping[str, str]) -> dict[str, Any]:
    """The values of an answer by their types. What is no key of ours is left out, and so is what is empty.

    Other words than ours mean something to Ansible in the result of a task. Raises AnswerError with a sentence.
    """
    read: dict[str, Any] = {}
    for name, text in values.items():
        key = KEYS.get(name)
        if key is None or not key.host or not text:
            continue
        try:
            read[name] = key.type.read(text)
        except ValueError as error:
            raise AnswerError(f"the host's answer can't be used: {name} {_shown(text)} {error}") from None
    state = read.get("state", "")
    if state and state not in STATES:
        raise AnswerError(f"the host's answer can't be used: no script ends in the state {_shown(state)}")
    if missing := [name for name in STATES.get(state, ()) if name not in read and "failed" not in read]:
        raise AnswerError(f"the host's answer can't be used: it is {state!r} without {' and '.join(missing)}")
    return read


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def schema() -> dict[str, Any]:
    """The JSON schema of reports: what report.schema.json holds."""
    operations = [name for name in OK_STATES if name != "reach"]
    host = {
        "worker": {"description": "The address as it is stored.", "type": "string"},
        "host": {"description": "What reports for people call it.", "type": "string"},
        "state": {"type": "string"},
        "ok": {"type": "boolean"},
        "reason": {
            "description": "Why it is not ok, or what else is to be said, in one line.",
            "type": "string",
        },
    }
    details = {name: {"description": KEYS[name].about, **KEYS[name].type.schema()} for name in DETAILS}
    count = {"type": "integer", "minimum": 0}
    failed = {"description": "Not ok, unreachable ones aside.", **count}
    summary = {"total": count, "ok": count, "failed": failed, "unreachable": count}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Report of a torc remote command",
        "description": "What every command of `torc -f json remote` prints on stdout: each worker once, in the order "
        "of the list.",
        **_object(
            {
                "operation": {"enum": operations},
                "workflow_id": {"type": "integer"},
                "hosts": {"type": "array", "items": {"$ref": "#/$defs/host"}},
                "summary": _object(summary),
            }
        ),
        "$comment": "What a host that is ok may say, by operation:",
        "allOf": [
            {
                "if": {"properties": {"operation": {"const": name}}},
                "then": {"properties": {"hosts": {"items": {"$ref": f"#/$defs/{name}"}}}},
            }
            for name in operations
        ],
        "$defs": {
            "host": {
                **_object(host, details),
                "if": {"properties": {"ok": {"const": False}}},
                "then": {"properties": {"state": {"enum": list(FAILED_STATES)}, "reason": {"minLength": 1}}},
            },
            **{
                name: {
                    "if": {"properties": {"ok": {"const": True}}},
                    "then": {"properties": {"state": {"enum": list(OK_STATES[name])}}},
                }
                for name in operations
            },
        },
    }


def _object(required: Mapping[str, Any], optional: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }
