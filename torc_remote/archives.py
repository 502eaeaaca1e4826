"""Collected logs on the controller: names, checksums, and the rule that no archive is ever overwritten."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from torc_remote.errors import TorcError


class ArchiveError(TorcError):
    """An archive can't be kept as it should be."""


def archive_name(workflow_id: int, worker: str) -> str:
    """``torc_logs_42_bob@h1%3A2222.tar.gz``: different workers never share a name."""
    return f"torc_logs_{workflow_id}_{quote(worker, safe='@')}.tar.gz"


def checksum(path: Path) -> str:
    """The file's sha256 in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Shelf:
    """Where the archives of one worker and workflow are kept.

    Beside the newest archive lies a hidden note: which archive it is, its checksum, and the manifest of the files
    in it, by which the host can tell that nothing has changed.
    """

    directory: Path
    name: str

    @property
    def part(self) -> Path:
        """The file that an archive arrives in."""
        return self.directory / f".{self.name}.{os.getpid()}.part"

    @property
    def _note(self) -> Path:
        return self.directory / f".{self.name}.json"

    def prepare(self) -> None:
        """Make the directory. Raises ArchiveError when that can't be."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArchiveError(f"The directory {self.directory} can't be made: {error.strerror}.") from error

    def newest(self) -> tuple[Path, str] | None:
        """The archive that was collected last and its manifest, if it is still as it was."""
        try:
            note = json.loads(self._note.read_text())
            archive = self.directory / note["archive"]
            if checksum(archive) == note["sha256"]:
                return archive, note["manifest"]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no note, or a damaged one: nothing is known, so everything is fetched
        return None

    def keep(self, sha256: str, manifest: str) -> Path:
        """Give the complete part file its name, a free one (`….2`) where another archive has it.

        Raises ArchiveError when the file is not what the host sent.
        """
        arrived = checksum(self.part)
        if arrived != sha256:
            raise ArchiveError(
                f"the archive was damaged on its way (sha256 {arrived[:12]}… instead of {sha256[:12]}…). "
                "The logs are still on the host; collect them again"
            )
        archive = self._place(sha256)
        note = {"archive": archive.name, "sha256": sha256, "manifest": manifest}
        temporary = self._note.with_name(self._note.name + f".{os.getpid()}")
        temporary.write_text(json.dumps(note))
        temporary.replace(self._note)
        return archive

    def _place(self, sha256: str) -> Path:
        number = 1
        while True:
            archive = self.directory / (self.name if number == 1 else f"{self.name}.{number}")
            try:
                os.link(self.part, archive)  # unlike a rename it never replaces a file
            except FileExistsError:
                if checksum(archive) != sha256:
                    number += 1
                    continue
            return archive
