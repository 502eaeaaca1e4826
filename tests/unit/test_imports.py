"""Imports run one way: cli, then remote, then client and ssh; the built-in engine and the remote layer stay apart."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "torc_remote"
# Folders of the package, and what a module there must not import.
FORBIDDEN = {
    "host": ("cli", "remote", "client", "ssh", "spec", "builtin", "sandbox"),
    "ssh": ("cli", "remote", "client", "spec", "builtin", "sandbox"),
    "client": ("cli", "remote", "ssh", "host", "spec", "builtin", "sandbox"),
    "spec": ("cli", "remote", "ssh", "host", "builtin", "sandbox"),
    "sandbox": ("cli", "remote", "client", "spec", "builtin"),
    "remote": ("cli", "spec", "builtin", "sandbox"),
    "builtin": ("cli", "remote", "client", "ssh", "host", "spec", "sandbox"),
}


def imported(file: Path) -> Iterator[str]:
    """The modules that a file names, also within functions and for types alone."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_no_module_imports_from_above(folder: str) -> None:
    bad = tuple(f"torc_remote.{name}" for name in FORBIDDEN[folder])
    found = {
        (str(file.relative_to(PACKAGE)), name)
        for file in (PACKAGE / folder).rglob("*.py")
        for name in imported(file)
        if name in bad or name.startswith(tuple(f"{one}." for one in bad))
    }
    assert found == set()


def test_one_module_launches_ansible() -> None:
    """And only plugins import Ansible, beside the program that is launched."""
    users = {
        str(file.relative_to(PACKAGE)): {name.partition(".")[0] for name in imported(file)}
        & {"ansible", "ansible_runner"}
        for file in PACKAGE.rglob("*.py")
    }
    assert {file: names for file, names in users.items() if names} == {
        "remote/play_process.py": {"ansible_runner"},
        "remote/launcher.py": {"ansible"},
    }
