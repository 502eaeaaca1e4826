"""Tables, durations and questions."""

import csv
import io
import json
import time
from collections.abc import Iterator

import pytest
from rich.cells import cell_len

from torc_remote.cli.app import App
from torc_remote.cli.output import Columns, confirm, duration, moment, print_items, print_json, say, table
from torc_remote.errors import TorcError

ITEMS = [{"id": 1, "name": "a", "extra": None}, {"id": 20, "name": 'b,"c"', "on": True}]
COLUMNS: Columns = {"ID": "id", "Name": "name", "On": "on", "Twice": lambda item: 2 * item["id"]}


def test_json_holds_nothing_that_a_terminal_obeys(capsys: pytest.CaptureFixture[str]) -> None:
    """Letters stay as they are; a program reads the same."""
    value = {"é\x9b31m": ["\u202e\u2028\x7f\x1b", "\U000e0001 \ud800", "日本\n\t"]}
    print_json(value)
    said = capsys.readouterr().out
    assert all(char.isprintable() or char == "\n" for char in said)
    assert "é\\u009b31m" in said and "日本" in said
    assert json.loads(said) == value


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
    monkeypatch.setenv("NO_COLOR", "1")
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


@pytest.mark.parametrize("width", [None, 40])
def test_a_table_is_aligned_by_what_the_terminal_shows(width: int | None) -> None:
    """Chinese characters and emoji take two cells, combining characters none."""
    names = ["机器一号" * (1 if width is None else 9), "e\u0301te\u0301", "🚀 x", "plain"]
    lines = table(["Name", "Status"], [[name, "up"] for name in names], width).splitlines()
    ends = {cell_len(line.removesuffix("Status").removesuffix("up")) for line in lines}
    assert len(ends) == 1
    assert max(map(cell_len, lines)) <= (width or 80)


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Takes stdout's place: 30 columns, without colour."""
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    return stream


def test_a_message_is_broken_by_what_the_terminal_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    say("机器一号 " * 6)
    assert max(map(cell_len, terminal.getvalue().splitlines())) <= 30


def test_a_command_to_be_copied_stays_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    command = "    torc workflows reset-status 42 --failed-only --reinitialize"
    say(f"To run them again:\n{command}")
    assert terminal.getvalue().splitlines() == ["To run them again:", command]


def test_a_message_lets_no_control_character_through(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = on_terminal(monkeypatch)
    say("Error: it said \x1b]0;title\x07\r\n    and\tthen")
    say("\x9b31m\u202e", err=True)
    assert terminal.getvalue() == "Error: it said\n    \\x1b]0;title\\x07\\r\n    and then\n"
    assert capsys.readouterr().err == "\\x9b31m\\u202e\n"


@pytest.mark.parametrize("mark", ["  [OK]", "  [FAILED]", "Error:", "Warning:"])
def test_marks_have_colour_on_a_terminal_that_may_show_it(
    mark: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = on_terminal(monkeypatch)
    plain = f"{mark} some host\n"
    say(plain.rstrip())
    assert terminal.getvalue() == plain
    monkeypatch.delenv("NO_COLOR")
    say(plain.rstrip())
    assert "\x1b[3" in terminal.getvalue().removeprefix(plain)
    monkeypatch.setenv("TERM", "dumb")
    say(plain.rstrip())
    assert terminal.getvalue().endswith(f"\n{plain}")
    monkeypatch.setenv("TERM", "xterm")
    say(plain.rstrip(), err=True)
    assert capsys.readouterr().err == plain


def test_csv_keeps_lines_and_lets_no_other_control_character_through(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app = App()
    app.overrides["format"] = "csv"
    print_items(app, [{"id": 1, "name": 'two\nlines,\t"\x1b[2J\r\x00'}], {"ID": "id", "Name": "name"}, "none")
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows == [["ID", "Name"], ["1", 'two\nlines,\t"\\x1b[2J\\r\\x00']]


@pytest.fixture
def _kolkata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_kolkata")
@pytest.mark.parametrize(
    "value",
    [1_795_677_679, "2026-11-26T07:21:19.430Z", "2026-11-26T08:21:19+01:00", "2026-11-26T07:21:19"],
)
def test_every_time_is_local_and_names_its_zone(value: str | float) -> None:
    assert moment(value) == "2026-11-26 12:51:19+05:30"


@pytest.mark.parametrize("value", ["yesterday", "", 1e30])
def test_what_is_no_time_is_shown_as_it_is(value: str | float) -> None:
    assert moment(value) == str(value)
