"""Collected logs on the controller: names, checksums, and the rule that no archive is ever overwritten."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from torc_remote.errors import TorcError
from torc_remote.remote.tar_check import look_through

_SUFFIX = ".tar.gz"
# A file's name has 255 bytes at most, with a number or what hidden files have besides.
_LONGEST = 242
_LONGEST_HIDDEN = 230
_HASH = 16
_NUMBERED = re.compile(r"\.([0-9]+)\Z")
_IPV4 = re.compile(r"(.*@)?[0-9]+(\.[0-9]+){3}")


class ArchiveError(TorcError):
    """An archive can't be kept as it should be."""


def archive_name(workflow_id: int, worker: str) -> str:
    """``torc_logs_42_bob@h1%3A2222.tar.gz``: different workers never share a name, nor do their later archives.

    The second archive of ``a`` is ``….a.2.tar.gz``, so the first of a worker ``a.2`` is ``….a%2E2.tar.gz``. A name that
    would be too long is cut, and ends in ``+`` and a hash.
    """
    plain = quote(worker, safe="@")
    if not _IPV4.fullmatch(worker):
        plain = _NUMBERED.sub(r"%2E\1", plain)
    stem = f"torc_logs_{workflow_id}_{plain}"
    return _shortened(stem, _LONGEST) + _SUFFIX


def _shortened(stem: str, longest: int) -> str:
    if len(stem) <= longest:
        return stem
    return f"{stem[: longest - _HASH - 1]}+{hashlib.sha256(stem.encode()).hexdigest()[:_HASH]}"


def checksum(path: Path) -> str:
    """The file's sha256 in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Kept:
    """An archive, the manifest of the files in it, and what was found in it (the details of reports, by key)."""

    path: Path
    manifest: str
    findings: Mapping[str, str]


@dataclass(frozen=True)
class WorkerArchives:
    """Where the archives of one worker and workflow are kept.

    Beside the newest archive lies a hidden note: which archive it is, its checksum, what was found in it, and the
    manifest by which the host can tell that nothing has changed.
    """

    directory: Path
    name: str

    @property
    def part(self) -> Path:
        """The file that an archive arrives in."""
        return self.directory / f"{self._hidden}.{os.getpid()}.part"

    @property
    def _note(self) -> Path:
        return self.directory / f"{self._hidden}.json"

    @property
    def _hidden(self) -> str:
        return "." + _shortened(self.name.removesuffix(_SUFFIX), _LONGEST_HIDDEN)

    def prepare(self) -> None:
        """Make the directory. Raises ArchiveError when that can't be."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArchiveError(f"The directory {self.directory} can't be made: {error.strerror}.") from error

    def newest(self) -> Kept | None:
        """The archive that was collected last, if it is still as it was."""
        try:
            note = json.loads(self._note.read_text())
            archive = self.directory / note["archive"]
            if checksum(archive) == note["sha256"]:
                return Kept(archive, note["manifest"], note["findings"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no note, or a damaged one: nothing is known, so everything is fetched
        return None

    def keep(self, sha256: str, manifest: str) -> Kept:
        """Look through the complete part file and give it its name, a free one (`….2.tar.gz`) where that is taken.

        Raises ArchiveError when the file is not what the host sent, or can't be kept.
        """
        arrived = checksum(self.part)
        if arrived != sha256:
            raise ArchiveError(
                f"the archive was damaged on its way (sha256 {arrived[:12]}… instead of {sha256[:12]}…). "
                "The logs are still on the host; collect them again"
            )
        findings = look_through(self.part)
        try:
            kept = Kept(self._place(sha256), manifest, findings)
            self._write_note(
                {"archive": kept.path.name, "sha256": sha256, "manifest": manifest, "findings": findings}
            )
        except OSError as error:
            raise ArchiveError(f"the archive can't be kept in {self.directory}: {error.strerror}") from error
        return kept

    def _place(self, sha256: str) -> Path:
        number = 1
        while True:
            archive = self.directory / (self.name if number == 1 else self._numbered(number))
            try:
                _give_name(self.part, archive)
            except FileExistsError:
                if checksum(archive) != sha256:
                    number += 1
                    continue
            return archive

    def _numbered(self, number: int) -> str:
        return f"{self.name.removesuffix(_SUFFIX)}.{number}{_SUFFIX}"

    def _write_note(self, note: Mapping[str, Any]) -> None:
        temporary = self._note.with_name(f"{self._note.name}.{os.getpid()}")
        temporary.write_text(json.dumps(note))
        temporary.replace(self._note)


def _give_name(part: Path, archive: Path) -> None:
    """The name for the file, unless it is taken: FileExistsError."""
    try:
        os.link(part, archive)  # unlike a rename it never replaces a file
    except FileExistsError:
        raise
    except OSError:  # exFAT, some CIFS and FUSE have no hard links
        archive.open("xb").close()  # ours from now on, so that nobody's file is replaced
        try:
            part.replace(archive)
        except OSError:
            archive.unlink()
            raise
