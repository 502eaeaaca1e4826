"""An archive is what a host made of it, and users unpack it: what would go elsewhere is named, at a bounded cost."""

import gzip
import io
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torc_remote.remote.tar_check import look_through

MIB = 1024 * 1024


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def packed(*members: tarfile.TarInfo, form: int = tarfile.GNU_FORMAT) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        for info in members:
            tar.addfile(info, io.BytesIO(b"x" * info.size))
    return data.getvalue()


def found(directory: Path, data: bytes, seconds: float = 60) -> dict[str, str]:
    path = directory / "archive"
    path.write_bytes(gzip.compress(data, 1))
    return look_through(path, seconds)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_what_would_be_written_elsewhere_is_named(tmp_path: Path, form: int) -> None:
    data = packed(
        member("."),
        member("./torc_worker_1.log", size=1000),
        member("./a/../../x"),
        member("/etc/cron.d/x"),
        member("./" + "long/" * 15 + "../x\x1b\n"),
        member("./hard", tarfile.LNKTYPE, "../y"),
        member("./fine", tarfile.LNKTYPE, "./torc_worker_1.log"),
        member("./disk", tarfile.BLKTYPE),
        member("./link", tarfile.SYMTYPE, "/etc"),
        member("./link/passwd"),
        member("./inside", tarfile.SYMTYPE, "a/../b"),
        member("./up", tarfile.SYMTYPE, "a/../../b"),
        member("./..fine/x..", size=512),
        form=form,
    )
    said = found(tmp_path, data)
    assert [line.rpartition(": ")[2] for line in said["unsafe"].splitlines()] == [
        *("a name with ..", "an absolute name", "a name with .."),
        *("a hard link to '../y'", "a device", "it lies behind a link"),
    ]
    assert "long/../x\\x1b\\n'" in said["unsafe"]
    assert said["outside_links"].splitlines() == ["'./link' -> '/etc'", "'./up' -> 'a/../../b'"]
    assert "unchecked" not in said


def test_what_programs_read_differently_is_told(tmp_path: Path) -> None:
    """Garbage in between, which tar skips and Python does not; and more than the first ten names are not listed."""
    good, bad = packed(member("good", size=700)), packed(*(member(f"../{number}") for number in range(1000)))
    body = good[:1536]
    hidden = [body + b"garbage!" * 64 + bad, good + bad, body + bad[:512].replace(b"..", b".,") + bad]
    assert all("something follows that is no member" in found(tmp_path, data)["unchecked"] for data in hidden)
    assert len(found(tmp_path, body + bad)["unsafe"].splitlines()) == 10
    assert found(tmp_path, good) == {}


def bomb(name: str, size: int) -> bytes:
    """The header of a member, or of a name, of this size."""
    return member(name, size=size).tobuf(tarfile.GNU_FORMAT)


def long_name(size: int) -> bytes:
    info = member("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=size)
    return info.tobuf(tarfile.GNU_FORMAT)


BOMBS: dict[str, Callable[[], bytes]] = {
    "a name of 4 GiB": lambda: long_name(4096 * MIB),
    "a pax header of 4 GiB": lambda: member("x", tarfile.XHDTYPE, size=4096 * MIB).tobuf(tarfile.GNU_FORMAT),
    "names of names": lambda: (long_name(1) + b"x" + b"\0" * 511) * 5000,
    "many links": lambda: b"".join(
        member(f"{n}", tarfile.SYMTYPE, "y").tobuf(tarfile.GNU_FORMAT) for n in range(10_001)
    ),
    "a member that ends nowhere": lambda: bomb("x", 4096 * MIB),
    "a negative size": lambda: bomb("x", 0)[:124] + b"\xff" * 12 + bomb("x", 0)[136:],
    "nothing": lambda: b"",
    "half a header": lambda: bomb("x", 0)[:100],
    "noise": lambda: bytes(range(256)) * 100,
}


@pytest.mark.parametrize("make", BOMBS.values(), ids=BOMBS)
def test_no_archive_costs_more_than_it_may(tmp_path: Path, make: Callable[[], bytes]) -> None:
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert found(tmp_path, make())["unchecked"]
    assert time.monotonic() - began < 20
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 * 1024 or sys.platform == "darwin"


def test_what_expands_without_end_is_left_after_a_time(tmp_path: Path) -> None:
    """A thousand times as large unpacked."""
    with gzip.open(tmp_path / "archive", "wb", 1) as file:
        file.write(bomb("x", 1 << 40))
        for _ in range(200):
            file.write(bytes(MIB))
    began = time.monotonic()
    said = look_through(tmp_path / "archive", 0.05)["unchecked"]
    assert said.startswith("only its first ")
    assert time.monotonic() - began < 5


@given(st.binary(max_size=2000), st.integers(0, 1535))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_looked_through(data: bytes, place: int) -> None:
    archive = packed(member("a", size=3), member("b", tarfile.SYMTYPE, "c"), form=tarfile.PAX_FORMAT)
    broken = archive[:place] + data + archive[place + len(data) :]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "archive")
        for content in (gzip.compress(broken, 1), broken, gzip.compress(archive)[: place % 100] + data):
            path.write_bytes(content)
            said = look_through(path)
            assert set(said) <= {"unsafe", "outside_links", "unchecked"}
            assert all(char.isprintable() or char == "\n" for text in said.values() for char in text)
