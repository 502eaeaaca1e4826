"""Ansible runs in a UTF-8 locale only; ssh passes on (SendEnv) the locale that the user has."""

import json
import locale
import os
from collections.abc import Mapping
from pathlib import Path

_KEPT = "_torc_locale"


def locale_for_ansible() -> dict[str, str]:
    """The variables that a play is launched with: the user's locale, kept aside, and one that Ansible accepts."""
    kept = {_KEPT: json.dumps(_of(_first_environment()))}
    return kept if _is_utf8() else {**kept, "LC_ALL": "C.UTF-8"}


def restore_locale() -> None:
    """Give the programs that this process starts the user's locale; without effect in an admin's own play."""
    kept = os.environ.pop(_KEPT, None)
    if kept is None:
        return
    for name in _of(os.environ):
        del os.environ[name]
    os.environ.update(json.loads(kept))


def _first_environment() -> Mapping[str, str]:
    """As this process got it: Python itself sets LC_CTYPE where it finds the C locale (PEP 538)."""
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environ
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, _, value in pairs if name}


def _of(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name == "LANG" or name.startswith("LC_")}


def _is_utf8() -> bool:
    """What Ansible will ask; the C locale is not what Python makes of it for itself."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, "")
        return (locale.getlocale()[1] or "").lower() in ("utf-8", "utf8")
    except (locale.Error, ValueError):
        return False
    finally:
        locale.setlocale(locale.LC_ALL, before)
