"""Where the client's settings come from (torc wire 1.1).

Precedence, highest first: command-line flag, ``TORC_API_URL`` and its siblings, ``TORC_CLIENT__API_URL``
(nested names, two underscores), ``./torc.toml``, ``~/.config/torc/config.toml``, ``/etc/torc/config.toml``,
built-in default.
"""

import grp
import os
import pwd
import shlex
import stat
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from torc_remote.errors import UsageError
from torc_remote.values import read_flag
from torc_remote.worker_options import DECLARATIONS, WorkerOptions

DEFAULT_API_URL = "http://localhost:8080/torc-service/v1"
SYSTEM_CONFIG = Path("/etc/torc/config.toml")

_RUN_DEFAULTS = WorkerOptions()
_Files = list[tuple[Path, dict[str, Any]]]


@dataclass(frozen=True)
class Settings:
    """How to talk to the server, and as whom. ``api_url`` has no user name, password or last slash.

    ``run`` is for `torc run` alone: what holds for this machine must not reach the workers on others.
    """

    api_url: str = DEFAULT_API_URL
    username: str = "unknown"
    password: str | None = field(default=None, repr=False)
    cookie_header: str | None = field(default=None, repr=False)
    tls_ca_cert: str | None = None
    tls_insecure: bool = False
    format: str = "table"
    log_level: str = "info"
    run: WorkerOptions = _RUN_DEFAULTS


@dataclass(frozen=True)
class _Key:
    """One setting: its name in torc.toml (none for secrets), its plain environment variable, its parser."""

    toml: str | None
    env: str | None = None
    parse: Callable[[str], object] = str

    @property
    def nested_env(self) -> str | None:
        return self.toml and "TORC_" + self.toml.upper().replace(".", "__")


def _format(text: str) -> str:
    if text not in ("table", "json", "csv"):
        raise ValueError("not table, json or csv")
    return text


def _log_level(text: str) -> str:
    """RUST_LOG may hold filters for Rust modules (``torc=debug``); only a plain level counts here."""
    level = text.strip().lower()
    return level if level in ("error", "warn", "info", "debug", "trace") else "info"


_KEYS = {
    "api_url": _Key("client.api_url", "TORC_API_URL"),
    "password": _Key(None, "TORC_PASSWORD"),
    "cookie_header": _Key(None, "TORC_COOKIE_HEADER"),
    "tls_ca_cert": _Key("client.tls.ca_cert", "TORC_TLS_CA_CERT"),
    "tls_insecure": _Key("client.tls.insecure", "TORC_TLS_INSECURE", read_flag),
    "format": _Key("client.format", None, _format),
    "log_level": _Key("client.log_level", "RUST_LOG", _log_level),
}
_RUN_KEYS = {name: _Key(f"client.run.{name}", None, option.read) for name, option in DECLARATIONS.items()}


def load_settings(
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: str | Path | None = None,
) -> Settings:
    """The settings that hold now.

    ``overrides`` (names of Settings' fields) are the command line's and win; None in it means "not given".
    Raises UsageError that names the source for a file that is no TOML or a value of the wrong type or range.
    """
    environ = os.environ if environ is None else environ
    files = [(path, _read_toml(path)) for path in _config_files(environ, Path(cwd or "."))]
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    values = _found(_KEYS, environ, files) | {"username": _user_name(environ)}
    run = WorkerOptions(**_found(_RUN_KEYS, environ, files))
    if "tls_insecure" not in given and values.get("tls_insecure") and not _same_source(given, environ, files):
        values["tls_insecure"] = False
    return Settings(**_split_url(values | given), run=run)


def _config_files(environ: Mapping[str, str], cwd: Path) -> list[Path]:
    home = environ.get("HOME")
    user = [Path(home) / ".config/torc/config.toml"] if home else []
    return [cwd / "torc.toml", *user, SYSTEM_CONFIG]


def _read_toml(path: Path) -> dict[str, Any]:
    """What the file says; nothing when others than this user and root decide what stands in it."""
    try:
        with path.open("rb") as file:
            if reason := _distrust(path, os.fstat(file.fileno())):
                print(f"Warning: {path} is not read: {reason}.", file=sys.stderr)
                return {}
            return tomllib.loads(file.read().decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except tomllib.TOMLDecodeError as error:  # its text ends in "(at line 3, column 7)"
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read the configuration file {path}: {error}.") from error


def _distrust(path: Path, found: os.stat_result) -> str | None:
    """Why others could choose the server that gets the user's password."""
    if found.st_uid not in (os.geteuid(), 0):
        return "it belongs to another user"
    alone = _is_private(found.st_gid) and not _has_acl(path)
    others = stat.S_IWOTH if alone else stat.S_IWOTH | stat.S_IWGRP
    if found.st_mode & others:
        return f"other users may write it (chmod go-w {shlex.quote(str(path))})"
    return None


def _is_private(gid: int) -> bool:
    """Whether a group is this user's own, of the same name and without another member, as most systems make them."""
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    own = (user.pw_gid, user.pw_name) == (group.gr_gid, group.gr_name)
    return own and set(group.gr_mem) <= {user.pw_name}


def _has_acl(path: Path) -> bool:
    """Whether more users than owner and group may have rights, of which the group's bits show the sum."""
    try:
        return bool(os.getxattr(path, "system.posix_acl_access"))
    except (OSError, AttributeError):  # no list, no such lists here
        return False


def _found(keys: Mapping[str, _Key], environ: Mapping[str, str], files: _Files) -> dict[str, Any]:
    found = {name: _lookup(key, environ, files) for name, key in keys.items()}
    return {name: value for name, value in found.items() if value is not None}


def _lookup(key: _Key, environ: Mapping[str, str], files: _Files) -> Any:
    """The value of the highest source that has one; an empty environment variable counts as not set."""
    for name in (key.env, key.nested_env):
        if name and (text := environ.get(name)):
            return _parsed(key, text, name)
    if key.toml is None:
        return None
    for path, data in files:
        value: Any = data
        for part in key.toml.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            return _parsed(key, _toml_text(value), f"{key.toml} in {path}")
    return None


def _same_source(given: Collection[str], environ: Mapping[str, str], files: _Files) -> bool:
    """Is the URL from where the word to trust any certificate is? Command line and environment count as one."""
    url = None if "api_url" in given else _source(_KEYS["api_url"], environ, files)
    return url == _source(_KEYS["tls_insecure"], environ, files)


def _source(key: _Key, environ: Mapping[str, str], files: _Files) -> Path | None:
    """The file that rules a key; None: the environment (or the default)."""
    if _lookup(key, environ, []) is not None:
        return None
    return next((path for path, data in files if _lookup(key, {}, [(path, data)]) is not None), None)


def _toml_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parsed(key: _Key, text: str, source: str) -> object:
    try:
        return key.parse(text)
    except ValueError as error:
        raise UsageError(f"{source} has the value '{text}', which can't be used: {error}.") from error


def _user_name(environ: Mapping[str, str]) -> str:
    names = (environ.get(name) for name in ("TORC_USERNAME", "USER", "USERNAME"))
    return next((name for name in names if name), "") or _account()


def _account() -> str:
    """The account's name, where torc would say "unknown": cron and containers often set no USER."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "unknown"


def _split_url(values: dict[str, Any]) -> dict[str, Any]:
    """Take a user name and password out of the URL, so that no message, log or worker sees them in it."""
    url = str(values.get("api_url", DEFAULT_API_URL)).strip()
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  (the property checks the port)
    except ValueError as error:
        raise UsageError(f"The server's URL can't be used: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        raise UsageError(f"The server's URL must begin with http:// or https:// and name a host: '{shown}'.")
    host = parts.netloc.rpartition("@")[2]
    values = values | {"api_url": parts._replace(netloc=host).geturl().rstrip("/")}
    if parts.username:
        values["username"] = unquote(parts.username)
    if parts.password and not values.get("password"):
        values["password"] = unquote(parts.password)
    return values
