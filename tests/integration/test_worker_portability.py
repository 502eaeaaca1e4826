"""The worker must run on hosts with nothing but Python 3.8: syntax, imports, the packed file."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import torc_remote
from tests.support.workers import old_python
from torc_remote.builtin.worker.zipapp_builder import OUTSIDE, build_zipapp

ROOT = Path(torc_remote.__file__).parent
PACKED = [*(ROOT / name for name in OUTSIDE), *(ROOT / "builtin/worker").glob("*.py")]
BUILDER = ROOT / "builtin/worker/zipapp_builder.py"

# Names that the standard library has had only since 3.9 or later.
NEWER = {"removeprefix", "removesuffix", "is_relative_to", "readlink", "with_stem", "hardlink_to", "cache"}
NEWER |= {"bit_count", "pairwise", "batched", "to_thread", "randbytes", "add_note", "UTC", "StrEnum"}


@pytest.mark.parametrize("path", PACKED, ids=lambda path: path.name)
def test_the_syntax_is_that_of_python_3_8(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    assert not {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & NEWER


@pytest.mark.parametrize("path", PACKED, ids=lambda path: path.name)
def test_only_the_standard_library_and_itself_are_imported(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= sys.stdlib_module_names
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert (node.module or "").split(".")[0] in sys.stdlib_module_names


def test_the_packed_file_depends_on_the_sources_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    first, second = tmp_path / "torc", tmp_path / "elsewhere/other"
    assert build_zipapp(first) == build_zipapp(second)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "torc"]
    with zipfile.ZipFile(first) as archive:
        names = archive.namelist()
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    packed = {str(path.relative_to(ROOT.parent)) for path in PACKED if path != BUILDER}
    assert set(names) == packed | {"__main__.py"}
    assert names == sorted(names)


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13"])
def test_the_packed_file_tells_its_version(tmp_path: Path, version: str) -> None:
    build_zipapp(tmp_path / "torc")
    command = [old_python(version), tmp_path / "torc", "--version"]
    assert subprocess.check_output(command, text=True) == f"torc {torc_remote.__version__}\n"


def test_the_packed_file_runs_by_itself(tmp_path: Path) -> None:
    build_zipapp(tmp_path / "torc")
    environment = {"PATH": str(Path(sys.executable).parent), "_TORC_REMOTE_HANDOVER": "1"}
    output = subprocess.check_output(
        [tmp_path / "torc", "--version"], env=environment, text=True, cwd=tmp_path
    )
    assert output == f"torc {torc_remote.__version__}\ntorc-remote\n"


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7"])
def test_an_older_python_is_told_what_is_needed(tmp_path: Path, version: str) -> None:
    build_zipapp(tmp_path / "torc")
    python = old_python(version)
    done = subprocess.run(
        [python, tmp_path / "torc", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: torc needs Python 3.8 or newer on this host; {python} is Python ")
    assert done.stderr.count("\n") == 1
