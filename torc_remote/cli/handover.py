"""Commands that we don't have are handed to a native torc elsewhere on PATH."""

import difflib
from typing import NoReturn

import click


def hand_over(ctx: click.Context, name: str, known: list[str]) -> NoReturn:
    """Replace this process by a native torc with the same words, or raise the error that says what is unknown."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise click.UsageError(f"No such command '{ctx.command_path} {name}'.{hint}", ctx)
