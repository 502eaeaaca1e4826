"""What a script wrote on a host, as the result of a task."""

from collections.abc import Mapping
from typing import Any

from ansible_collections.torc.remote.plugins.plugin_utils.play_task import Result

from torc_remote.host.answers import MAX_ANSWER, AnswerError, read_answer
from torc_remote.ssh.errors import NEWLY_KNOWN
from torc_remote.ssh.script import OTHER_SHELL, WINDOWS, parse_answer
from torc_remote.text import printable

_LONGEST_LINE = 300


def result(nonce: str, executed: Mapping[str, Any]) -> Result:
    """The values of a whole answer by their types; a failed result with the reason for anything else."""
    output = str(executed["stdout"])
    if len(output) > MAX_ANSWER:
        return _bad(f"the host says {len(output)} characters, where no answer has more than {MAX_ANSWER}")
    answer = parse_answer(nonce, output)
    if not answer.complete:
        return _bad(_incomplete(answer.noise, executed))
    try:
        values = read_answer(answer.values)
    except AnswerError as error:
        return _bad(str(error))
    return values | {"changed": "changed" in values, "failed": "failed" in values}


def _bad(reason: str) -> Result:
    return {"changed": False, "failed": True, "state": "failed", "msg": reason}


def _incomplete(noise: str, executed: Mapping[str, Any]) -> str:
    text = "\n".join(filter(None, (noise, str(executed["stderr"])[-MAX_ANSWER:]))).strip()
    if WINDOWS.search(text):
        return "the host runs Windows, where workers can't run; use the sshd of a Linux system on it (WSL)"
    if OTHER_SHELL.search(text):
        return (
            "a login file of the account (.bashrc, .profile, …) puts fish or csh in the place of /bin/sh; "
            "let it do so only where the session is interactive"
        )
    lines = [line for line in text.splitlines() if not line.startswith(NEWLY_KNOWN)]
    last = [printable(line[:_LONGEST_LINE], keep="\t") for line in lines[-3:]]
    return f"the host's shell did not run the script to its end (exit code {executed['rc']}). It said: " + (
        " / ".join(last) or "nothing"
    )
