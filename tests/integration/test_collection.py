"""The collection for those who use Ansible alone: from a checkout, an editable install, the wheel, a Galaxy tarball."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.support.packages import BIN, ROOT, build, build_collection, run, source_files
from tests.support.remote import SandboxFleet
from torc_remote import __version__

INVENTORY = {"plugin": "torc.remote.torc_workers"}
WAYS = ("checkout", "editable", "wheel", "tarball")


@dataclass(frozen=True)
class Way:
    """How an admin came by the collection: which Python runs Ansible, with which environment, in which directory."""

    place: Path
    """Where Ansible has to find the collection."""
    python: Path = Path(sys.executable)
    environment: dict[str, str] = field(default_factory=dict)
    directory: Path | None = None

    def ansible(self, directory: Path, program: str, *args: str | Path) -> subprocess.CompletedProcess[str]:
        """Run `ansible-PROGRAM ARGS` in ``directory``, or in the way's own."""
        hidden = ("TORC_", "ANSIBLE_", "PYTHON")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        return subprocess.run(
            [self.python, "-m", "ansible", program, *map(str, args)],
            cwd=self.directory or directory,
            env=inherited | {"ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"} | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_collection(tmp_path_factory.mktemp("tarball"))


@pytest.fixture(scope="module")
def installed_tarball(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("collections")
    install = ("collection", "install", "--offline", "--force", "-p", directory, tarball)
    run(BIN / "ansible-galaxy", *install, cwd=directory)
    return directory


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; what it depends on is lent by ours, except the editable install."""
    directory = tmp_path_factory.mktemp("wheel")
    wheel = build("wheel", ROOT, directory)
    environment = directory / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=directory)
    python = environment / "bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel, cwd=directory)
    # as a plain directory: what stands in the .pth files of a directory that is lent this way does not count
    site = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    (site / "lent.pth").write_text(sysconfig.get_path("purelib"))
    return python


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    links = ROOT / "collections"
    if request.param == "checkout":  # by its ansible.cfg
        return Way(place=links, directory=ROOT)
    if request.param == "editable":
        return Way(place=links)
    if request.param == "wheel":
        python: Path = request.getfixturevalue("clean_python")
        return Way(place=python.parents[1], python=python)
    installed: Path = request.getfixturevalue("installed_tarball")
    return Way(place=installed, environment={"ANSIBLE_COLLECTIONS_PATH": str(installed)})


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "torc.yml"
    path.write_text(yaml.safe_dump(INVENTORY))
    return path


@pytest.mark.parametrize("kind", ["inventory", "module"])
def test_documentation(kind: str, way: Way, tmp_path: Path) -> None:
    """Ansible takes an action plugin's documentation for that of a module."""
    plugins = {"inventory": "inventory", "module": "action"}[kind]
    names = [f"torc.remote.{path.stem}" for path in (ROOT / f"{plugins}_plugins").glob("*.py")]
    done = way.ansible(tmp_path, "doc", "-t", kind, "--json", *names)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    pages = json.loads(done.stdout)
    assert sorted(pages) == sorted(names)
    for page in pages.values():
        assert page["doc"]["short_description"]
        assert page["doc"]["filename"].startswith(str(way.place))


def test_status_of_the_hosts(way: Way, fleet: SandboxFleet, inventory: Path, tmp_path: Path) -> None:
    workflow = fleet.sleeping()
    environment = {"TORC_API_URL": fleet.url, **fleet.sandbox.environment, **way.environment}
    theirs = Way(way.place, way.python, environment, way.directory)
    done = theirs.ansible(
        tmp_path, "playbook", "torc.remote.status", "-i", inventory, "-e", f"torc_workflow_id={workflow}"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for host in fleet.sandbox.hosts:
        assert f"ok: [{host.name}]" in done.stdout
    graph = theirs.ansible(tmp_path, "inventory", "-i", inventory, "--graph", f"torc_workflow_{workflow}")
    assert [line.strip(" |-") for line in graph.stdout.splitlines()[1:]] == [
        h.name for h in fleet.sandbox.hosts
    ]


@pytest.mark.slow  # gets all dependencies from the package index
def test_pipx(fleet: SandboxFleet, inventory: Path, tmp_path: Path) -> None:
    """Brings ansible-playbook along, which finds the collection; nothing else is on the PATH."""
    (tmp_path / "wheel").mkdir()
    wheel = build("wheel", ROOT, tmp_path / "wheel")
    places = {
        "PIPX_HOME": tmp_path / "pipx",
        "PIPX_BIN_DIR": tmp_path / "bin",
        "PIPX_MAN_DIR": tmp_path / "man",
    }
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIPX_", "PYTHON"))
    }
    install = ["pipx", "install", "--quiet", "--include-deps", "--python", sys.executable, wheel]
    done = subprocess.run(
        [sys.executable, "-m", *install],
        env=inherited | {name: str(place) for name, place in places.items()},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert run(tmp_path / "bin/torc", "--version", cwd=tmp_path) == f"torc {__version__}\n"
    workflow = fleet.sleeping()
    own = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path), "TORC_API_URL": fleet.url}
    command = ["ansible-playbook", "torc.remote.status", "-i", str(inventory)]
    played = subprocess.run(
        [tmp_path / "bin" / command[0], *command[1:], "-e", f"torc_workflow_id={workflow}"],
        env=own | fleet.sandbox.environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    for host in fleet.sandbox.hosts:
        assert f"ok: [{host.name}]" in played.stdout


def test_version_of_the_wheel(clean_python: Path, tmp_path: Path) -> None:
    torc = clean_python.with_name("torc")
    assert run(torc, "--version", cwd=tmp_path) == f"torc {__version__}\n"
    where = "import torc_remote; print(torc_remote.__file__)"
    assert run(clean_python, "-c", where, cwd=tmp_path).startswith(str(clean_python.parents[1]))


def test_tarball_holds_the_collection_alone(tarball: Path) -> None:
    tops = ("meta", "playbooks", "roles", "action_plugins", "inventory_plugins", "plugins")
    expected = source_files(*tops, "README.md", "CHANGELOG.md", "LICENSE", "SECURITY.md") | {
        "MANIFEST.json",
        "FILES.json",
    }
    with tarfile.open(tarball) as archive:
        assert {member.name for member in archive if not member.isdir()} == expected


def test_installed_tarball_has_the_plugins_where_ansible_looks(installed_tarball: Path) -> None:
    collection = installed_tarball / "ansible_collections/torc/remote"
    for plugin in ("action/run_script.py", "inventory/torc_workers.py"):
        kind = plugin.partition("/")[0]
        original = ROOT / f"{kind}_plugins" / plugin.partition("/")[2]
        assert (collection / "plugins" / plugin).read_bytes() == original.read_bytes()


@pytest.mark.parametrize("playbook", ["status", "start_worker", "install_torc", "fetch_logs"])
def test_without_the_python_package_one_line_says_what_to_install(
    playbook: str, installed_tarball: Path, tmp_path: Path
) -> None:
    blocker = tmp_path / "blocked/torc_remote"
    blocker.mkdir(parents=True)
    (blocker / "__init__.py").write_text("raise ImportError('no torc_remote here')\n")
    (tmp_path / "hosts.yml").write_text(
        yaml.safe_dump(
            {
                "torc_workflow_1": {
                    "hosts": {"localhost": {"ansible_connection": "local"}},
                    "vars": {"torc_workflow_id": 1},
                }
            }
        )
    )
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(installed_tarball), "PYTHONPATH": str(blocker.parent)}
    way = Way(installed_tarball, environment=environment)
    done = way.ansible(tmp_path, "playbook", f"torc.remote.{playbook}", "-i", "hosts.yml")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "pip install torc-remote" in said
    assert "Traceback" not in said
