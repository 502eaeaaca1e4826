"""Which workers `--limit` names."""

from pathlib import Path

import pytest

from torc_remote.errors import UsageError
from torc_remote.remote.limit import select

WORKERS = ["node1", "node2", "alice@gpu1:2222", "[2001:db8::1]:22", "-oProxyCommand=x"]


@pytest.mark.parametrize(
    ("limit", "selected"),
    [
        (None, WORKERS),
        ("node2", ["node2"]),
        ("NODE2", ["node2"]),
        ("gpu1", ["alice@gpu1:2222"]),
        ("alice@gpu1:2222", ["alice@gpu1:2222"]),
        ("alice@*", ["alice@gpu1:2222"]),
        ("node*", ["node1", "node2"]),
        ("gpu?, node1", ["node1", "alice@gpu1:2222"]),
        ("node*,!node1", ["node2"]),
        ("!node*,!-oProxyCommand=x", ["alice@gpu1:2222", "[2001:db8::1]:22"]),
        ("[2001:db8::1]:22", ["[2001:db8::1]:22"]),
        ("2001:db8::1", ["[2001:db8::1]:22"]),
        ("-oProxyCommand=x", ["-oProxyCommand=x"]),
    ],
)
def test_patterns(limit: str | None, selected: list[str]) -> None:
    assert select(WORKERS, limit) == selected


@pytest.mark.parametrize("limit", ["node3", "node1,nod", "", "node1,", "node1,!node1", "!other", "-o*"])
def test_a_pattern_that_names_nothing_is_an_error(limit: str) -> None:
    with pytest.raises(UsageError, match="--limit"):
        select(WORKERS, limit)


def test_a_file_is_a_worker_file(tmp_path: Path) -> None:
    file = tmp_path / "failed"
    file.write_text("# two of them\nalice@gpu1:2222\nnode1\n")
    assert select(WORKERS, f"@{file}") == ["node1", "alice@gpu1:2222"]
    assert select(WORKERS, f"@{file},!node1") == ["alice@gpu1:2222"]
    file.write_text("node1\nnode9\n")
    with pytest.raises(UsageError, match="'node9'"):
        select(WORKERS, f"@{file}")
    file.write_text("")
    with pytest.raises(UsageError, match="lists no worker"):
        select(WORKERS, f"@{file}")
    with pytest.raises(UsageError, match="no-such-file"):
        select(WORKERS, f"@{tmp_path}/no-such-file")
