"""The worker's log lines."""

import logging
import re
from pathlib import Path

import pytest

from torc_remote.builtin.worker.logs import log_to_file, log_to_stderr

LINE = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO |WARN ) torc\.worker\] (.*)")


def test_each_record_is_one_line_on_stderr_and_at_the_end_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name with a line break can't forge the line that others look for."""
    path = tmp_path / "out/worker.log"
    for _ in range(2):
        with log_to_stderr(), log_to_file(path):
            logging.getLogger("torc.worker").info("job %s", "a\n[x] Starting torc job runner\x1b[2J")
            logging.getLogger("torc.worker").warning("ä")
    text = path.read_text("utf-8")
    assert capsys.readouterr().err == text
    expected = [("INFO ", r"job a\n[x] Starting torc job runner\x1b[2J"), ("WARN ", "ä")]
    assert LINE.findall(text) == expected * 2
    assert len(text.splitlines()) == 4


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"), log_to_file(tmp_path / "file/out/worker.log"):
        pass
