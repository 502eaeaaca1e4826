"""The family of expected errors: one clear sentence for the user, with what to do next, and an exit code."""

_SHORTAGES = {
    "Resource temporarily unavailable": "This account may start no more processes on this machine (ulimit -u)",
    "can't start new thread": "This account may start no more threads on this machine (ulimit -u)",
    "Too many open files": "This process may have no more files open (ulimit -n)",
    "Cannot allocate memory": "This machine has no memory left",
}


class TorcError(Exception):
    """Something that is expected to go wrong; the CLI prints it as ``Error: <text>`` and leaves with ``exit_code``."""

    exit_code = 1


class UsageError(TorcError):
    """The user's input can't be used (exit code 2)."""

    exit_code = 2


def shortage(text: str) -> str | None:
    """What this machine has no more of, where that is what the words of an error say."""
    return next((told for words, told in _SHORTAGES.items() if words in text), None)
