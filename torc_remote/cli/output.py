"""Results on stdout: tables for people, JSON and CSV for programs."""

import csv
import datetime
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from torc_remote.errors import TorcError
from torc_remote.text import printable

if TYPE_CHECKING:
    from torc_remote.cli.app import App

Json = Mapping[str, Any]
# Heading -> the field of the item, or a function of the item
Columns = Mapping[str, str | Callable[[Json], Any]]

NARROWEST = 8
_COLOURS = {"[OK]": "green", "[FAILED]": "red", "Error:": "red", "Warning:": "yellow"}
_MARK = re.compile(rf"^( *)({'|'.join(map(re.escape, _COLOURS))})")


def print_json(value: Any) -> None:
    """Pretty-printed JSON, as torc prints it; what a terminal may obey is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    click.echo(
        "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)
    )


def print_items(app: "App", items: Sequence[Json], columns: Columns, empty: str) -> None:
    """A list in the format that the user wants; JSON holds the whole items, the others the columns."""
    if app.format == "json":
        print_json({"items": list(items)})
        return
    rows = [[_text(item, field) for field in columns.values()] for item in items]
    if app.format == "csv":
        file = io.StringIO()
        # a cell may have several lines: programs that read CSV expect that
        cells = [[printable(cell, keep="\n\t") for cell in row] for row in rows]
        csv.writer(file, lineterminator="\n").writerows([list(columns), *cells])
        click.echo(file.getvalue(), nl=False)
    elif rows:
        click.echo(table(list(columns), rows, _terminal_width(sys.stdout)))
    else:
        click.echo(empty)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """Aligned columns, two blanks apart; cut down to ``width`` cells of the terminal, the widest column first.

    Where that can't be done, a block of lines for each row. (rich's tables have neither such blocks nor this order of
    cutting, and importing them takes longer than the rest of most commands; only its width of characters is used.)
    """
    cells = [[printable(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(_width(row[column]) for row in cells) for column in range(len(headings))]
    gaps = 2 * (len(widths) - 1)
    if width and sum(min(size, NARROWEST) for size in widths) + gaps > width:
        return _blocks(cells[0], cells[1:], width)
    while width and sum(widths) + gaps > width:
        widths[widths.index(max(widths))] -= 1
    lines = ("  ".join(_fit(cell, size) for cell, size in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def _blocks(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    size = max(map(_width, headings))
    return "\n\n".join(
        "\n".join(
            _fit(f"{heading:<{size}}  {cell}", width).rstrip()
            for heading, cell in zip(headings, row, strict=True)
        )
        for row in rows
    )


def say(text: str, indent: int = 4, err: bool = False) -> None:
    """A message for people. On a terminal its lines are broken between words and go on ``indent`` columns inside.

    A line that begins with four blanks is a command to be copied, or another program's, and stays whole.
    """
    stream = sys.stderr if err else sys.stdout
    lines = [printable(line.expandtabs()) for line in text.split("\n")]
    if width := _terminal_width(stream):
        lines = [line if line.startswith("    ") else _wrapped(line, width, indent) for line in lines]
        if not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
            lines = [_MARK.sub(_coloured, line) for line in lines]
    click.echo("\n".join(lines), err=err)


def _wrapped(line: str, width: int, indent: int) -> str:
    """Words stay whole, however long: paths and options are there to be copied."""
    indentation = " " * min(indent, width // 2)
    lines = [""]
    for word in re.findall(r"\s*\S+", line):
        if lines[-1] and _width(lines[-1] + word) > width:
            lines.append(indentation + word.lstrip())
        else:
            lines[-1] += word
    return "\n".join(lines)


def _coloured(mark: re.Match[str]) -> str:
    return mark[1] + click.style(mark[2], fg=_COLOURS[mark[2]])


def confirm(question: str, no_prompts: bool) -> None:
    """Ask before something is lost. Raises TorcError when the answer is no or when there is nobody to ask."""
    if no_prompts:
        return
    if not sys.stdin.isatty():
        raise TorcError(
            f"{printable(question)} Nobody can answer, because stdin is not a terminal: give --no-prompts."
        )
    if not click.confirm(printable(question), err=True):
        raise TorcError("Nothing was changed.")


def duration(seconds: float) -> str:
    """A length of time for people: ``3.2s``, ``5m 7s``, ``2h 3m``, ``4d 2h``."""
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {rest}s"


def moment(time: str | float) -> str:
    """A point in time for people: local time with its offset from UTC, ``2026-11-22 21:14:38+01:00``.

    ``time`` is RFC 3339 or seconds since 1970; what is neither is shown as it is.
    """
    try:
        if isinstance(time, str):
            found = datetime.datetime.fromisoformat(time)
        else:
            found = datetime.datetime.fromtimestamp(time, datetime.UTC)
        # the server's times are in UTC, also those without a zone
        found = found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
        return found.astimezone().isoformat(" ", "seconds")
    except (ValueError, OverflowError, OSError):
        return str(time)


def _text(item: Json, field: str | Callable[[Json], Any]) -> str:
    value = item.get(field) if isinstance(field, str) else field(item)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _width(text: str) -> int:
    """In cells of the terminal: a Chinese character takes two, a combining one none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _fit(text: str, width: int) -> str:
    from rich.cells import set_cell_size

    return set_cell_size(text, width) if _width(text) <= width else set_cell_size(text, width - 1) + "…"


def _terminal_width(stream: TextIO) -> int | None:
    return shutil.get_terminal_size().columns if stream.isatty() else None
