"""How the server's address and credentials travel: CLI → play → worker, never on a command line.

The CLI gives them to its play through a pipe, so that they are in no file; in every other play (an admin's own, AWX)
the action plugins take the play's variables, which may be vaulted, then torc's environment variables and
configuration files. The worker gets them as exported variables by stdin.
"""

import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from torc_remote.client.config import Settings, load_settings
from torc_remote.errors import TorcError
from torc_remote.values import read_flag

_OF_PLAYS = ("api_url", "username", "password", "cookie_header", "tls_ca_cert", "tls_insecure")
# what plays have as variables with the prefix torc_, beside torc_tls_insecure
_VARIABLES = ("api_url", "username", "password", "cookie_header", "tls_ca_cert")

_of_the_command: Settings | None = None


def settings_for_play(settings: Settings) -> dict[str, Any]:
    """The settings as values for JSON, which use_settings takes. The play has another working directory."""
    values = {name: getattr(settings, name) for name in _OF_PLAYS}
    if settings.tls_ca_cert:
        values["tls_ca_cert"] = str(Path(settings.tls_ca_cert).absolute())
    return values


def use_settings(values: Mapping[str, Any]) -> None:
    """Let the settings of the command that launched the play of this process be those of the play."""
    global _of_the_command
    _of_the_command = Settings(**values)


def play_settings(variable: Callable[[str], object]) -> Settings:
    """The settings inside a play: those of the CLI that started it, else the play's variables, else the environment's.

    ``variable`` gives a variable's value, which may be a vaulted one, or None.
    """
    if _of_the_command:
        return _of_the_command
    # as plain text, which for a vaulted one means that it is decrypted here
    given: dict[str, object] = {
        name: str(value) for name in _VARIABLES if (value := variable(f"torc_{name}"))
    }
    if (insecure := variable("torc_tls_insecure")) not in (None, ""):
        given["tls_insecure"] = _flag("torc_tls_insecure", insecure)
    return load_settings(given)


def _flag(name: str, value: object) -> bool:
    try:
        return read_flag(str(value))
    except ValueError as error:
        raise TorcError(
            f"The variable {name} has the value '{value}', which can't be used: {error}."
        ) from error


def play_url(variable: Callable[[str], object]) -> str:
    """The server's URL inside a play."""
    # each host asks, and the CLI has read the configuration files already
    if _of_the_command:
        return _of_the_command.api_url
    return load_settings({"api_url": variable("torc_api_url")}).api_url


def server_key(api_url: str) -> str:
    """What earlier versions had in the place of a workflow's key (api.workflow_key); their workers may still run."""
    parts = urlsplit(api_url)
    port = parts.port or {"https": 443}.get(parts.scheme, 80)
    host = "localhost" if parts.hostname in ("127.0.0.1", "::1") else (parts.hostname or "")
    return hashlib.sha256(f"{host}:{port}{parts.path.rstrip('/')}".encode()).hexdigest()[:8]


def play_keys(variable: Callable[[str], object], must: bool) -> str:
    """The workflow's key inside a play, then the one that an earlier version made of the server's URL.

    The key is a variable of the play or of the inventory; else the server is asked. When it does not answer or does not
    know the workflow, the key is empty, unless there ``must`` be one: then TorcError is raised.
    """
    number = int(str(variable("torc_workflow_id")))
    of_inventory = variable("torc_workflow_keys")
    key = variable("torc_workflow_key")
    if key is None and isinstance(of_inventory, Mapping):
        key = of_inventory.get(str(number))
    if key is None:
        key = _asked_key(number, play_settings(variable), must)
    return f"{key} {server_key(play_url(variable))}"


@functools.cache
def _asked_key(workflow_id: int, settings: Settings, must: bool) -> str:
    from torc_remote.client.api import TorcClient  # costs each play 0.1 s, and mostly the key is known

    try:
        return TorcClient(settings).workflow_key(workflow_id)
    except TorcError:
        if must:
            raise
        return ""


def worker_environment(settings: Settings, worker_url: str | None = None) -> dict[str, str]:
    """What a worker needs to reach the server (torc wire 1.1), to be sent through stdin only.

    ``_torc_ca_pem`` holds the CA's certificate itself: the host has no such file until the script writes it.
    """
    environment = client_environment(settings)
    environment.pop("TORC_TLS_CA_CERT", None)
    if worker_url:
        environment["TORC_API_URL"] = worker_url
    if pem := _read_ca(settings.tls_ca_cert):
        environment["_torc_ca_pem"] = pem
    return environment


def client_environment(settings: Settings) -> dict[str, str]:
    """What a torc on this machine needs to reach the same server as the same user (torc wire 1.1)."""
    environment = {
        "TORC_API_URL": settings.api_url,
        "TORC_USERNAME": settings.username,
        "TORC_PASSWORD": settings.password,
        "TORC_COOKIE_HEADER": settings.cookie_header,
        "TORC_TLS_CA_CERT": settings.tls_ca_cert,
        "TORC_TLS_INSECURE": "true" if settings.tls_insecure else None,
    }
    return {name: value for name, value in environment.items() if value}


def _read_ca(path: str | None) -> str | None:
    if not path:
        return None
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise TorcError(f"The CA certificate {path} can't be read: {error}.") from error
