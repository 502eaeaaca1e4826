"""The table of faults in SECURITY.md, made of the docstrings of tests/faults."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SECURITY = ROOT / "SECURITY.md"
TABLE = re.compile(r"^\| No\. .*\n(?:\|.*\n)+", re.MULTILINE)
_NAME = re.compile(r"test_(?P<number>\d\d)(?P<letter>[a-z]?)_(?P<words>\w+)")


class Fault(NamedTuple):
    """One fault: its number in the list, a letter where a number has several tests, and what happens to the user."""

    number: int
    letter: str
    words: str
    happens: str


def faults() -> list[Fault]:
    """All that tests/faults holds, in the order of the numbers."""
    return sorted(
        fault for file in sorted((ROOT / "tests/faults").glob("test_*.py")) for fault in _faults(file)
    )


def _faults(file: Path) -> Iterator[Fault]:
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef) and (match := _NAME.fullmatch(node.name)):
            first = (ast.get_docstring(node) or "").partition("\n\n")[0]
            words = match["words"].replace("_", " ")
            yield Fault(int(match["number"]), match["letter"], words, " ".join(first.split()))


def table() -> str:
    """The faults as a Markdown table."""
    lines = ["| No. | Fault | What happens |", "|---|---|---|"]
    for fault in faults():
        happens = fault.happens.replace("|", r"\|")
        lines.append(f"| {fault.number}{fault.letter} | {fault.words} | {happens} |")
    return "\n".join(lines) + "\n"


def with_table(text: str) -> str:
    """A text with its table replaced by the current one."""
    if not TABLE.search(text):
        raise ValueError("there is no table of faults")
    return TABLE.sub(lambda match: table(), text, count=1)
