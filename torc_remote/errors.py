"""The family of expected errors: one clear sentence for the user, with what to do next, and an exit code."""


class TorcError(Exception):
    """Something that is expected to go wrong; the CLI prints it as ``Error: <text>`` and leaves with ``exit_code``."""

    exit_code = 1


class UsageError(TorcError):
    """The user's input can't be used (exit code 2)."""

    exit_code = 2
