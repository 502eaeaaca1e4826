"""What is sent to a host and what comes back: shell scripts by stdin, marked lines as the answer.

A script goes to ``/bin/sh -s`` as one brace group. The shell parses the group as a whole before it runs the
first command of it, so a transfer that was cut short does nothing. Values reach the script as positional parameters
and as exported variables, in single quotes; they are never spliced into shell text.

The answer consists of lines ``torc-NONCE key=value``; everything else (login files may print anything) is noise.
A key that occurs several times carries one value of several lines. Which keys there are: torc_remote/host/answers.py.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torc_remote.errors import UsageError

COMMAND = "/bin/sh -s"
"""The only command that is ever run on a host; whatever the login shell, it has nothing to quote."""

WINDOWS = re.compile(
    r"is not recognized as (an internal or external command|(the|a) name of a cmdlet)"
    r"|The system cannot find the path specified"
)
"""What cmd.exe and PowerShell say to COMMAND."""

OTHER_SHELL = re.compile(r"^fish: |^Missing '}'\.", re.MULTILINE)
"""What fish and csh say to a script, where a login file has put them in the place of COMMAND."""

_PRELUDE = r"""
\unalias -a
POSIXLY_CORRECT=${POSIXLY_CORRECT-1}
case ${ZSH_VERSION-} in ?*) \emulate sh ;; esac
"""
# Before the group is parsed: a login file may have put zsh or bash in our shell's place, or defined aliases. In bash,
# from the second line on, no function comes before a special built-in command. The library's account.sh does the rest.

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class ScriptValueError(UsageError):
    """A value can't be passed to a shell."""


def new_nonce() -> str:
    """A word that nothing printed by a host's login files can contain by accident."""
    return secrets.token_hex(8)


def quote(value: str) -> str:
    """The value as one single-quoted word of a POSIX shell."""
    if "\0" in value:
        raise ScriptValueError(f"the value {value[:40]!r} contains a NUL byte, which no command can receive")
    return "'" + value.replace("'", "'\\''") + "'"


def compose(
    nonce: str,
    parts: Sequence[str],
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """The whole text for the host's shell: prelude, then ``parts`` (library, script) in one brace group.

    Raises ScriptValueError for a NUL byte in a value and for a name that is no shell variable.
    """
    exports = []
    for name, value in (environment or {}).items():
        if not _VARIABLE.match(name):
            raise ScriptValueError(f"{name!r} is not the name of an environment variable")
        exports.append(f"export {name}={quote(value)}")
    prelude = [
        _PRELUDE.strip(),
        "{",
        f"torc_mark=torc-{nonce}",
        "set -- " + " ".join(quote(argument) for argument in arguments),
        *exports,
    ]
    text = "\n".join([*prelude, *(part.rstrip("\n") for part in parts), "} </dev/null", ""])
    return text.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Answer:
    """What a script said.

    ``values`` maps keys to text; ``complete`` tells whether the end marker came; ``noise`` is all other output.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False
    noise: str = ""


def parse_answer(nonce: str, stdout: str) -> Answer:
    """Separate the marked lines from the noise.

    A marker counts where it begins a line or follows noise that had no newline of its own.
    """
    mark = f"torc-{nonce} "
    lines: dict[str, list[str]] = {}
    noise: list[str] = []
    for line in stdout.split("\n"):
        before, found, marked = line.partition(mark)
        if before.strip():
            noise.append(before.rstrip("\r"))
        if not found:
            continue
        key, _, value = marked.partition("=")
        lines.setdefault(key, []).append(value)
    complete = lines.pop("end", None) == ["1"]
    return Answer({key: "\n".join(value) for key, value in lines.items()}, complete, "\n".join(noise))
