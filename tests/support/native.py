"""The real torc, as scripts/install-torc puts it into the user's cache."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

TORC_VERSION = "1.0.0"


@dataclass(frozen=True)
class Native:
    """The programs of the real torc."""

    torc: Path
    server: Path
    htpasswd: Path

    def run(
        self, *words: str | Path, url: str, cwd: Path, timeout: float = 60, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """One native `torc` command as the user "tester"; `cwd` is its home too. Whatever it exits with."""
        return subprocess.run(
            [self.torc, *words],
            cwd=cwd,
            env=native_environment(cwd) | {"TORC_API_URL": url} | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


@dataclass(frozen=True)
class TorcServer:
    """A real torc-server in its own process; `url` includes the base path."""

    url: str
    process: subprocess.Popen[bytes]
    database: Path
    log: Path


def cache_directory() -> Path:
    """Where scripts/install-torc installs to."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "torc-remote" / f"torc-{TORC_VERSION}"


def crate_directory() -> Path | None:
    """The source that cargo built torc of, None where cargo's cache was cleaned."""
    cargo = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    return next(cargo.glob(f"registry/src/*/torc-{TORC_VERSION}"), None)


def native_environment(home: Path) -> dict[str, str]:
    """The environment of a native program: no settings of the developer's, the user "tester"."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TORC_")}
    return kept | {"HOME": str(home), "TORC_USERNAME": "tester"}
