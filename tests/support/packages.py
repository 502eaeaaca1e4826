"""What is made of the checkout for others: sdist, wheel, Galaxy tarball."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program that must succeed; its stdout."""
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_ansible(
    program: str, *words: str | Path, cwd: Path, env: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run one of Ansible's programs without colours and without questions, however it ends."""
    return subprocess.run(
        [BIN / program, *words],
        cwd=cwd,
        env={**env, "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def build(kind: str, source: Path, directory: Path) -> Path:
    """Build ``wheel`` or ``sdist`` of a source tree with the build tools of this environment."""
    # the environment of its own that a build has otherwise would be downloaded each time
    run(
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        f"--{kind}",
        "--outdir",
        directory,
        source,
        cwd=directory,
    )
    return next(iter(directory.iterdir()))


def build_collection(directory: Path) -> Path:
    """Build the Galaxy tarball."""
    run(BIN / "ansible-galaxy", "collection", "build", "--output-path", directory, cwd=ROOT)
    return next(directory.glob("*.tar.gz"))


def source_files(*tops: str) -> set[str]:
    """The files of the checkout below these folders, without what git ignores; links to folders are one entry."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *tops, cwd=ROOT)
    return {name for name in listed.splitlines() if (ROOT / name).exists()}
