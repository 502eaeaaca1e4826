"""What one invocation of the CLI knows: the global options given, the settings, the client."""

import logging
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import click

from torc_remote.cli.output import say
from torc_remote.errors import UsageError

if TYPE_CHECKING:
    from torc_remote.client.api import TorcClient
    from torc_remote.client.config import Settings

_LOG_LEVELS = {"error": "ERROR", "warn": "WARNING", "info": "INFO", "debug": "DEBUG", "trace": "DEBUG"}


class App:
    """The object that click passes to the commands; settings and client are made when first asked for.

    ``argv`` holds the words after ``torc``, for the hand-over of commands that we don't know; ``overrides``
    holds the global options of the command line (filled by torc_remote.cli.commands).
    """

    def __init__(self, argv: Sequence[str] = ()) -> None:
        self.argv = list(argv)
        self.overrides: dict[str, object] = {}
        self.skip_version_check = False
        self.prompt_password = False

    @cached_property
    def settings(self) -> "Settings":
        """Command line, environment and files together; --prompt-password asks when this is first read."""
        from torc_remote.client.config import load_settings

        if self.prompt_password:
            self.overrides["password"] = _ask_for_password()
        settings = load_settings(self.overrides)
        logging.basicConfig(format="%(levelname)s: %(message)s")
        logging.getLogger("torc_remote").setLevel(_LOG_LEVELS[settings.log_level])
        return settings

    @property
    def format(self) -> str:
        """``table``, ``json`` or ``csv``."""
        return self.settings.format

    def client(self) -> "TorcClient":
        """The client of this invocation. The first call compares versions with the server (torc wire 5)."""
        return self._client

    @cached_property
    def _client(self) -> "TorcClient":
        from torc_remote.client.api import TorcClient

        client = TorcClient(self.settings)
        if not self.skip_version_check and (warning := client.check_version()):
            say(f"Warning: {warning}", err=True)
        return client


def _ask_for_password() -> str:
    import getpass

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return str(click.prompt("Password", hide_input=True, err=True))
    except getpass.GetPassWarning as error:
        raise UsageError(
            "--prompt-password needs a terminal to ask on. Put the password into TORC_PASSWORD instead."
        ) from error


pass_app = click.make_pass_decorator(App, ensure=True)
