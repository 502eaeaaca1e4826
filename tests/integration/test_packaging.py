"""The sdist and the wheel hold what they should, and nothing else."""

import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.support.packages import ROOT, build, run, source_files

COLLECTION = "ansible_collections/torc/remote"
PLACES = {
    "torc_remote/": "torc_remote/",
    "playbooks/": f"{COLLECTION}/playbooks/",
    "roles/": f"{COLLECTION}/roles/",
    "meta/": f"{COLLECTION}/meta/",
    "galaxy.yml": f"{COLLECTION}/galaxy.yml",
    "action_plugins/": f"{COLLECTION}/plugins/action/",
    "inventory_plugins/": f"{COLLECTION}/plugins/inventory/",
    "plugins/filter/": f"{COLLECTION}/plugins/filter/",
    "plugins/plugin_utils/": f"{COLLECTION}/plugins/plugin_utils/",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_wheel_is_the_package_and_the_collection(wheel: Path) -> None:
    expected = {
        name.replace(top, place, 1) for top, place in PLACES.items() for name in source_files(top.rstrip("/"))
    }
    expected |= {name.replace("/action/", "/modules/") for name in expected}
    found = {name for name in content(wheel) if ".dist-info/" not in name}
    assert found == expected
    # the test itself must not be blind
    assert {
        "torc_remote/py.typed",
        "torc_remote/host/lib/worker.sh",
        f"{COLLECTION}/plugins/action/run_script.py",
    } <= found


def test_wheel_has_license_and_commands(wheel: Path) -> None:
    info = {name.partition(".dist-info/")[2]: data.decode() for name, data in content(wheel).items()}
    assert "Redistribution and use" in info["licenses/LICENSE"]
    assert "torc = torc_remote.cli.entry:torc" in info["entry_points.txt"]
    assert "torc-remote = torc_remote.cli.entry:torc_remote" in info["entry_points.txt"]
    metadata = Parser().parsestr(info["METADATA"])
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "server" in metadata.get_all("Provides-Extra", [])


def test_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("sdist", "unpacked", "wheel")]
    for place in places:
        place.mkdir()
    # not tarfile: what Python 3.11.4 and newer want said in its extractall, 3.11.2 does not know
    run("tar", "xzf", build("sdist", ROOT, places[0]), "-C", places[1], cwd=tmp_path)
    unpacked = next(iter(places[1].iterdir()))
    rebuilt = build("wheel", unpacked, places[2])
    # RECORD lists the others with their checksums
    assert content(rebuilt) == content(wheel)
    for name in ("tests/conftest.py", "molecule/default/molecule.yml", "scripts/test", "CHANGELOG.md"):
        assert (unpacked / name).is_file()
