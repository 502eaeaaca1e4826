"""Tables, durations and questions."""

import io
import json

import pytest

from torc_remote.cli.app import App
from torc_remote.cli.output import Columns, confirm, duration, print_items, say, table
from torc_remote.errors import TorcError

ITEMS = [{"id": 1, "name": "a", "extra": None}, {"id": 20, "name": 'b,"c"', "on": True}]
COLUMNS: Columns = {"ID": "id", "Name": "name", "On": "on", "Twice": lambda item: 2 * item["id"]}


def test_a_table_is_aligned() -> None:
    assert table(["ID", "Name"], [["1", "a"], ["20", "bcdef"]], None) == "ID  Name\n1   a\n20  bcdef"


@pytest.mark.parametrize("width", [40, 80])
def test_a_table_is_cut_to_the_width(width: int) -> None:
    rows = [["1", "short", "x" * 200], ["2", "y" * 60, "z"]]
    lines = table(["ID", "Name", "Command"], rows, width).splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) == width
    assert lines[1].startswith("1   short")
    assert lines[1].endswith("…")


def test_a_table_that_can_not_be_cut_to_the_width_becomes_blocks() -> None:
    headings, rows = (
        ["ID", "Host", "Memory GB", "Started"],
        [["1", "h" * 40, "23.5", "2026"], ["2", "i", "", "2027"]],
    )
    shown = table(headings, rows, 28)
    assert shown.split("\n") == [
        "ID         1",
        "Host       hhhhhhhhhhhhhhhh…",
        "Memory GB  23.5",
        "Started    2026",
        "",
        "ID         2",
        "Host       i",
        "Memory GB",
        "Started    2027",
    ]
    assert len(table(headings, rows, 31).split("\n")) == 3


def test_a_table_lets_no_control_character_through() -> None:
    shown = table(["Name"], [["a\nb\x1b[31mc\u202e"]], None)
    assert shown == "Name\na\\nb\\x1b[31mc\\u202e"


@pytest.mark.parametrize(
    ("output_format", "shown"),
    [
        ("table", 'ID  Name   On   Twice\n1   a           2\n20  b,"c"  yes  40\n'),
        ("csv", 'ID,Name,On,Twice\n1,a,,2\n20,"b,""c""",yes,40\n'),
        ("json", json.dumps({"items": ITEMS}, indent=2) + "\n"),
    ],
)
def test_items_in_each_format(output_format: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    app = App()
    app.overrides["format"] = output_format
    print_items(app, ITEMS, COLUMNS, "none")
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("output_format", "shown"),
    [("table", "none\n"), ("csv", "ID,Name,On,Twice\n"), ("json", '{\n  "items": []\n}\n')],
)
def test_no_items(output_format: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    app = App()
    app.overrides["format"] = output_format
    print_items(app, [], COLUMNS, "none")
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (3.24, "3.2s"), (59.99, "1m 0s"), (65, "1m 5s"), (7380, "2h 3m"), (352_800, "4d 2h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(TorcError, match=r"Delete it\? .*--no-prompts"):
        confirm("Delete it?", no_prompts=False)
    confirm("Delete it?", no_prompts=True)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_message_is_broken_between_words_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "30")
    say("  [FAILED] host: it said no, and gave\n  no reason @/a/path/that-is-longer-than-any-line", err=True)
    assert terminal.getvalue().splitlines() == [
        "  [FAILED] host: it said no,",
        "    and gave",
        "  no reason",
        "    @/a/path/that-is-longer-than-any-line",
    ]


def test_a_message_is_left_whole_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    say("word " * 100)
    assert capsys.readouterr().out == "word " * 100 + "\n"
