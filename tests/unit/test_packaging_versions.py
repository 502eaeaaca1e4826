"""One version, in each place that has to name it; and the links that make the checkout a collection."""

import re
from pathlib import Path

import yaml

from torc_remote import __version__

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = ROOT / "collections/ansible_collections/torc/remote"


def test_one_version() -> None:
    released = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    assert galaxy["version"] == released[0] == __version__


def test_checkout_is_the_collection() -> None:
    targets = {
        "galaxy.yml": "galaxy.yml",
        "meta": "meta",
        "playbooks": "playbooks",
        "roles": "roles",
        "plugins/action": "action_plugins",
        "plugins/inventory": "inventory_plugins",
        "plugins/modules": "action_plugins",
    }
    assert {name: (COLLECTION / name).resolve() for name in targets} == {
        name: ROOT / target for name, target in targets.items()
    }


def test_ansible_versions_agree() -> None:
    wanted = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["requires_ansible"]
    packaged = re.search(r'"ansible-core(>=[\d.]+)"', (ROOT / "pyproject.toml").read_text())
    roles = {
        yaml.safe_load(path.read_text())["galaxy_info"]["min_ansible_version"]
        for path in ROOT.glob("roles/*/meta/main.yml")
    }
    assert packaged
    assert wanted == f"{packaged[1]}.0"
    assert roles == {packaged[1].removeprefix(">=")}
