"""The tutorial's commands do what the page shows: all `console` blocks run in order in one shell."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import wait_until
from tests.support.packages import ROOT

PAGE = (ROOT / "docs/tutorial.md").read_text()
PORT = "8080"
# what differs from run to run
VARYING = re.compile(
    r"(?P<hash>[0-9a-f]{8}(?=\.log))|(?P<number>\d+(?:\.\d+)?)|(?P<unit>KiB|B\b)|(?P<any>…)|(?P<home>~)"
)


def files() -> dict[str, str]:
    """The files that the reader is told to write."""
    return dict(re.findall(r'```yaml title="(.+?)"\n(.*?)```', PAGE, re.DOTALL))


def steps() -> Iterator[tuple[str, str]]:
    """Each command with the output that the page shows."""
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = step.partition("\n")
            yield command, output


def pattern(output: str, home: Path) -> str:
    """The shape of an output: numbers vary, … stands for anything, ~ for the home."""
    shapes = {
        "hash": "[0-9a-f]{8}",
        "number": r"\d+(?:\.\d+)?",
        "unit": "(?:KiB|B)",
        "any": r"[\s\S]*?",
        "home": re.escape(str(home)),
    }
    parts, end = [], 0
    for match in VARYING.finditer(output):
        parts += [_literal(output[end : match.start()]), shapes[str(match.lastgroup)]]
        end = match.end()
    return "".join([*parts, _literal(output[end:])])


def _literal(text: str) -> str:
    # columns are as wide as their contents
    return re.sub(r"(?:\\ ){2,}", r"\\s+", re.escape(text))


class Shell:
    """A bash that takes one command after the other; stdout and stderr come together, as on a terminal."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.said = ""
        self.count = 0
        self.process = subprocess.Popen(
            ["bash", "--norc"],
            cwd=home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line

    def run(self, command: str, expected: str) -> None:
        """Wait for the command's end and for the expected output, of which a background process may write later."""
        assert self.process.stdin
        self.count += 1
        begin, done = len(self.said), f"<step {self.count} ended with "
        # ssh would read the commands that follow
        self.process.stdin.write(f"{{ {command}\n}} </dev/null\necho '{done}'$?'>'\n")
        self.process.stdin.flush()

        code, said = wait_until(lambda: self._ended(done, begin), 60)
        if command.endswith("&"):  # it may speak later
            wait_until(lambda: re.fullmatch(expected, self._ended(done, begin)[1]))
        elif code != "0" or not re.fullmatch(expected, said):
            pytest.fail(f"{command}\nended with {code} and showed\n{said}\nnot\n{expected}")

    def _ended(self, done: str, begin: int) -> tuple[str, str]:
        """Exit code and output of the command, once it has ended."""
        said = self.said[begin:]
        end = re.search(re.escape(done) + r"(\d+)>\n", said)
        assert end, said
        return end[1], said.replace(end[0], "")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """In a home of its own, without any configuration of ours."""
    kept = {name: os.environ[name] for name in ("LANG", "TZ") if name in os.environ}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
    running = Shell(tmp_path, {**kept, "HOME": str(tmp_path), "PATH": path, "TORC_USERNAME": "reader"})
    yield running
    if running.process.poll() is None:
        running.process.communicate("torc sandbox stop; kill $(jobs -p); exit\n", timeout=60)


def test_commands_of_the_tutorial_show_what_it_says(shell: Shell, tmp_path: Path) -> None:
    place = tmp_path / "torc-tutorial"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    for number, (command, output) in enumerate(steps()):
        shell.run(command.replace(PORT, port), pattern(output, tmp_path))
        if number == 0:
            for name, text in files().items():
                (place / name).write_text(text)
    assert number > 20
