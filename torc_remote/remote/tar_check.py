"""What is in an archive that a host made, and that a user will unpack: only names are looked at, with bounds on all.

The archive is never unpacked here. It may expand to any size, so it is read for a limited time, in pieces; a single
member's header may have any size too.
"""

import gzip
import posixpath
import tarfile
import time
from pathlib import Path
from typing import BinaryIO

from torc_remote.text import printable

SECONDS = 60.0
"""How long one archive is looked at; about 10 GB of logs are read in this time."""

_PIECE = 1024 * 1024
_HEADER = 1024 * 1024
_MOST_LINKS = 10_000
_NAMED = 10
_LONGEST = 200


class _BoundError(Exception):
    """The archive takes more than anybody should spend on it."""


def look_through(path: Path, seconds: float = SECONDS) -> dict[str, str]:
    """The findings by key of reports: ``unsafe``, ``outside_links``, ``unchecked``; each only where there are any."""
    found = _Findings()
    try:
        with gzip.open(path) as file:
            window = _Window(file, seconds)
            found.read(window)
    except _BoundError as error:
        found.unchecked = str(error)
    except Exception as error:  # what tarfile and zlib raise for nonsense has no common class
        found.unchecked = f"it is no archive as tar makes them: {printable(str(error))[:_LONGEST]}"
    findings = {
        "unsafe": "\n".join(found.unsafe),
        "outside_links": "\n".join(found.outside_links),
        "unchecked": found.unchecked,
    }
    return {key: text for key, text in findings.items() if text}


class _Window:
    """A compressed file that tarfile reads forwards only, and no more at a time than a header may have."""

    def __init__(self, file: BinaryIO | gzip.GzipFile, seconds: float) -> None:
        self._file = file
        self._end = time.monotonic() + seconds
        self._position = 0
        self._of_header = 0

    def begin_header(self) -> None:
        self._of_header = 0

    def read(self, size: int = -1) -> bytes:
        self._of_header += size
        if not 0 <= size <= self._of_header <= _HEADER:
            raise _BoundError("a member's header is larger than 1 MiB")
        return self._piece(size)

    def seek(self, position: int) -> None:
        if position < self._position:
            raise _BoundError("a member's size is no number")
        while self._position < position:
            if not self._piece(min(_PIECE, position - self._position)):
                raise tarfile.ReadError("it ends in the middle of a member")

    def tell(self) -> int:
        return self._position

    def only_zeros_follow(self) -> bool:
        while piece := self._piece(_PIECE):
            if piece.strip(b"\0"):
                return False
        return True

    def _piece(self, size: int) -> bytes:
        if time.monotonic() > self._end:
            raise _BoundError(
                f"only its first {self._position >> 20} MiB were read, in the time that there is for one"
            )
        piece = self._file.read(size)
        self._position += len(piece)
        return piece


class _Findings:
    """What was found so far."""

    def __init__(self) -> None:
        self.unsafe: list[str] = []
        self.outside_links: list[str] = []
        self.unchecked = ""
        self._links: set[str] = set()

    def read(self, window: _Window) -> None:
        with tarfile.open(fileobj=window, mode="r:") as tar:  # type: ignore[call-overload]  # what it uses of a file
            while member := self._next(tar, window):
                self._look_at(member)
        if not window.only_zeros_follow():
            self.unchecked = (
                "something follows that is no member, and that some programs may unpack all the same"
            )

    @staticmethod
    def _next(tar: tarfile.TarFile, window: _Window) -> tarfile.TarInfo | None:
        window.begin_header()
        member = tar.next()
        tar.members = []  # type: ignore[attr-defined]  # it would keep them all
        return member

    def _look_at(self, member: tarfile.TarInfo) -> None:
        name = member.name
        if why := self._outside(member):
            self._note(self.unsafe, f"{name!r}: {why}")
        if member.issym():
            if len(self._links) == _MOST_LINKS:
                raise _BoundError(f"it has more than {_MOST_LINKS} links")
            self._links.add(posixpath.normpath(name))
            if _leaves(posixpath.join(posixpath.dirname(name), member.linkname)):
                self._note(self.outside_links, f"{name!r} -> {member.linkname!r}")

    def _outside(self, member: tarfile.TarInfo) -> str:
        """Why unpacking this member would write elsewhere."""
        if member.name.startswith("/"):
            return "an absolute name"
        if ".." in member.name.split("/"):
            return "a name with .."
        if member.islnk() and _leaves(member.linkname):
            return f"a hard link to {member.linkname!r}"
        if member.isblk() or member.ischr():
            return "a device"
        parents = posixpath.normpath(member.name).split("/")[:-1]
        if any("/".join(parents[: depth + 1]) in self._links for depth in range(len(parents))):
            return "it lies behind a link"
        return ""

    @staticmethod
    def _note(notes: list[str], text: str) -> None:
        if len(notes) < _NAMED:
            notes.append(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def _leaves(path: str) -> bool:
    """Whether the path, seen from where the archive is unpacked, is outside."""
    normal = posixpath.normpath(path)
    return normal.startswith("/") or normal.split("/")[0] == ".."
