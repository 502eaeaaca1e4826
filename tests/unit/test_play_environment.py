"""The environment of a play: what is withheld, and the user's locale."""

import os
from pathlib import Path

import pytest

from torc_remote.remote import play_environment
from torc_remote.remote.play_environment import restore_locale


def test_foreign_settings_and_secrets_stay_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    foreign = ["ANSIBLE_STRATEGY", "_ANSIBLE_X", "RUNNER_X", "AWX_X", "JUNIT_X", "PYTHONPATH", "TORC_X"]
    for name in (*foreign, "TORC_PASSWORD", "TORC_COOKIE_HEADER", "HTTPS_PROXY", "PYTHONHOME"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("ANSIBLE_CONFIG", "/etc/x")
    made = play_environment.play_environment(tmp_path)
    assert not {*foreign, "TORC_PASSWORD", "TORC_COOKIE_HEADER"} & made.keys()
    assert (made["HTTPS_PROXY"], made["PYTHONHOME"]) == ("x", "x")
    head, *paths = Path(made["ANSIBLE_CONFIG"]).read_text().splitlines()
    assert head == "[defaults]"
    assert {path.partition("=")[2] for path in paths} == {f"{tmp_path}/none"}


def test_the_locale_is_one_that_the_system_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LC_ALL", "xx_XX.UTF-8")
    monkeypatch.setattr(play_environment, "_LOCALES", ("yy_YY.UTF-8", "C"))
    assert play_environment.play_environment(tmp_path)["LC_ALL"] == "C"


def test_the_users_locale_comes_back_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"LC_ALL": "C.UTF-8", "LC_TIME": "C", "HOME": "/home/u"})
    restore_locale({"LANG": "de_DE"})
    assert os.environ == {"LANG": "de_DE", "HOME": "/home/u"}


def test_the_collection_is_found_beside_the_package() -> None:
    found = play_environment._collections_path()
    assert (found / "ansible_collections/torc/remote/playbooks/run.yml").is_file()
