"""Collected archives: names that tell workers apart, and files that are never overwritten."""

import hashlib
import json
import os
from itertools import combinations
from pathlib import Path

import pytest

from torc_remote.remote.archives import ArchiveError, WorkerArchives, archive_name

WORKERS = (
    *(
        "a",
        "a.2",
        "a.2.2",
        "a.02",
        "a%2E2",
        "a_2",
        "a.b",
        "A",
        "10.0.0",
        "10.0.0.2",
        "10.0.0.2.2",
        "bob@10.0.0.2",
    ),
    *(
        "a:22",
        "bob@a",
        "bob@a:22",
        "[fe80::1%eth0]:22",
        "fe80::1",
        "é",
        "a/b",
        "../a",
        "a\nb",
        "a+b",
        "v" * 229,
    ),
    *("v" * 253, "v" * 252 + "w", "v" * 242 + "+0123456789abcdef"),
)


def archives(directory: Path, worker: str = "a", workflow_id: int = 42) -> WorkerArchives:
    return WorkerArchives(directory, archive_name(workflow_id, worker))


def collect(archives: WorkerArchives, data: bytes) -> Path:
    archives.part.write_bytes(data)
    try:
        return archives.keep(hashlib.sha256(data).hexdigest(), "manifest").path
    finally:
        archives.part.unlink(missing_ok=True)


def test_names_tell_workers_and_their_archives_apart(tmp_path: Path) -> None:
    names = {
        worker: {archives.name, *(archives._numbered(number) for number in (2, 3, 22))}
        for worker in WORKERS
        if (archives := WorkerArchives(tmp_path, archive_name(42, worker)))
    }
    for one, other in combinations(names, 2):
        assert not names[one] & names[other], (one, other)
    assert all(len(name.encode()) <= 255 and "/" not in name for each in names.values() for name in each)
    assert archive_name(42, "10.0.0.2") == "torc_logs_42_10.0.0.2.tar.gz"
    assert archive_name(42, "n" * 229) == f"torc_logs_42_{'n' * 229}.tar.gz"


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "none, as on exFAT"])
@pytest.mark.parametrize("worker", ["a", "n" * 229, "bob@" + "n" * 253 + ":2222"])
def test_a_different_archive_gets_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool, worker: str
) -> None:
    if not links:  # no file system without them can be mounted everywhere

        def link(source: Path, target: Path) -> None:
            if os.path.lexists(target):
                raise FileExistsError
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", link)
    own = archives(tmp_path, worker, 4_000_000_000)
    first, second, again = collect(own, b"one"), collect(own, b"two"), collect(own, b"two")
    assert (first.name, second) == (own.name, again)
    assert second.name == own.name.replace(".tar.gz", ".2.tar.gz")
    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [first.name, second.name, own._note.name]
    )
    kept = own.newest()
    assert kept
    assert (kept.path, kept.manifest) == (second, "manifest")
    assert "no archive as tar makes them" in kept.findings["unchecked"]


def test_where_nothing_can_be_written_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(ArchiveError, match=r"can't be kept in .*: No space left on device"):
        collect(archives(tmp_path), b"one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "note", ["", "{}", "[]", "null", json.dumps({"archive": "x"}), json.dumps({"archive": 7})]
)
def test_a_damaged_note_says_nothing(tmp_path: Path, note: str) -> None:
    own = archives(tmp_path)
    own._note.write_text(note)
    assert own.newest() is None
