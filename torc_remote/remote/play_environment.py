"""The environment of a play: the user's, without what would rule it, and a locale that Ansible accepts."""

import locale
import os
from collections.abc import Mapping
from pathlib import Path

import torc_remote
from torc_remote.errors import TorcError

# The user's settings of these programs belong to the user's own plays. Of torc's the play needs none, and some are
# secrets, which ansible-runner would store in a file. Python's change the interpreter that runs the play.
_WITHHELD = ("ANSIBLE_", "_ANSIBLE_", "RUNNER_", "AWX_", "JUNIT_", "TORC_", "PYTHON")
# without it an interpreter that needs it would not even start
_KEPT = "PYTHONHOME"
# Whatever lies there would be part of every play, as a callback is.
_PLUGINS = (
    "action",
    "become",
    "cache",
    "callback",
    "connection",
    "filter",
    "inventory",
    "lookup",
    "strategy",
)
_PLUGIN_PATHS = (*(f"{kind}_plugins" for kind in (*_PLUGINS, "test", "vars")), "library", "module_utils")
# The first that the system has. Ansible wants UTF-8, whatever the user has.
_LOCALES = ("C.UTF-8", "C.utf8", "en_US.UTF-8")


def play_environment(directory: Path) -> dict[str, str]:
    """The variables of a play whose private directory this is."""
    kept = {name: value for name, value in os.environ.items() if not _is_withheld(name)}
    (directory / "ansible.cfg").write_text(_configuration(directory))
    return {
        **kept,
        # the user's ansible.cfg and ~/.ansible belong to the user's own plays as well
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_HOME": str(directory / "home"),
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_COLLECTIONS_PATH": str(_collections_path()),
        "ANSIBLE_INVENTORY_ENABLED": "yaml",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "LC_ALL": _locale(),
    }


def _is_withheld(name: str) -> bool:
    return name.startswith(_WITHHELD) and name != _KEPT


def _configuration(directory: Path) -> str:
    """An ansible.cfg with which no plugins count but Ansible's own and ours."""
    return "\n".join(["[defaults]", *(f"{name}={directory}/none" for name in _PLUGIN_PATHS)])


def _collections_path() -> Path:
    """The directory that holds our ``ansible_collections``: beside the package (wheel) or in the checkout."""
    beside = Path(torc_remote.__file__).resolve().parent.parent
    for path in (beside, beside / "collections"):
        if (path / "ansible_collections/torc/remote/playbooks").is_dir():
            return path
    raise TorcError(f"The collection torc.remote is missing beside {beside}; install torc-remote again.")


def _locale() -> str:
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        return next((name for name in _LOCALES if _is_installed(name)), _LOCALES[0])
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def _is_installed(name: str) -> bool:
    try:
        locale.setlocale(locale.LC_CTYPE, name)
    except locale.Error:
        return False
    return True


def user_locale() -> dict[str, str]:
    """What ssh is to see (SendEnv): LANG and LC_* as this process got them.

    Python itself sets LC_CTYPE where it finds the C locale (PEP 538).
    """
    return {name: value for name, value in _first_environment().items() if _is_of_locale(name)}


def restore_locale(values: Mapping[str, str]) -> None:
    """Give the programs that this process starts the user's locale."""
    for name in filter(_is_of_locale, list(os.environ)):
        del os.environ[name]
    os.environ.update(values)


def _is_of_locale(name: str) -> bool:
    return name == "LANG" or name.startswith("LC_")


def _first_environment() -> Mapping[str, str]:
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environ
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, _, value in pairs if name}
