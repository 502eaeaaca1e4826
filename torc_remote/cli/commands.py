"""The classes of our commands and groups: global options at every level, modules loaded when used."""

import importlib
import re
import shutil
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from torc_remote.cli.app import App
from torc_remote.errors import UsageError

NARROW = 52
CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"]}

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep a global option in the App; one given further right wins."""
    if value is None or not param.name:
        return
    app = ctx.ensure_object(App)
    if param.name in ("skip_version_check", "prompt_password"):
        setattr(app, param.name, True)
    else:
        app.overrides[param.name] = value


def _option(*names: str, **attributes: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_remember, default=None, **attributes)


GLOBAL_OPTIONS = (
    _option("api_url", "--url", metavar="URL", help="Server, with its base path. [env: TORC_API_URL]"),
    _option(
        "format",
        "-f",
        "--format",
        type=click.Choice(["table", "json", "csv"]),
        help="Output format, csv only for lists. [default: table]",
    ),
    _option("password", "--password", metavar="TEXT", help="Password for the server. [env: TORC_PASSWORD]"),
    _option(
        "prompt_password", "--prompt-password", is_flag=True, help="Ask for the password on the terminal."
    ),
    _option(
        "cookie_header",
        "--cookie-header",
        metavar="TEXT",
        help="Sent as Cookie header. [env: TORC_COOKIE_HEADER]",
    ),
    _option(
        "tls_ca_cert",
        "--tls-ca-cert",
        metavar="FILE",
        help="PEM file of the server's CA. [env: TORC_TLS_CA_CERT]",
    ),
    _option(
        "tls_insecure",
        "--tls-insecure",
        is_flag=True,
        help="Don't verify the server's certificate. [env: TORC_TLS_INSECURE]",
    ),
    _option(
        "log_level",
        "--log-level",
        type=click.Choice(["error", "warn", "info", "debug", "trace"]),
        help="What is logged on stderr. [env: RUST_LOG; default: info]",
    ),
    _option(
        "skip_version_check",
        "--skip-version-check",
        is_flag=True,
        help="Go on with a server of another version.",
    ),
)


_LARGEST_ID = 2**63 - 1


class _WorkflowId(click.types.IntParamType):
    """A number; whoever gives something else may have another order of the arguments in mind."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            number = super().convert(value, param, ctx)
        except click.BadParameter:
            if ctx is None:
                raise
            self.fail(_wrong_order(str(value), ctx), param, ctx)
        if number > _LARGEST_ID:
            self.fail(f"{value} is larger than the ID of any workflow.", param, ctx)
        return number


WORKFLOW_ID = _WorkflowId()


def _wrong_order(value: str, ctx: click.Context) -> str:
    words = [word for word in ctx.command.collect_usage_pieces(ctx) if word != ctx.command.options_metavar]
    text = f"{value!r} is not a valid integer. The order is: {' '.join([ctx.command_path, *words])}"
    if any("--workers" in param.opts for param in ctx.command.params):
        text += ". A worker file is named with --workers FILE"
    return text


def list_options(function: _Function) -> _Function:
    """The options that every list command has: ``limit`` (None: all) and ``offset``."""
    limit = click.option("-l", "--limit", type=click.IntRange(min=1), help="Show at most this many.")
    offset = click.option("--offset", type=click.IntRange(min=0), default=0, help="Skip this many.")
    return limit(offset(function))


class TorcCommand(click.Command):
    """A command that also takes the global options; its own options win where a name is the same."""

    formats: tuple[str, ...] = ("table", "json")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["context_settings"] = CONTEXT_SETTINGS | kwargs.get("context_settings", {})
        super().__init__(*args, **kwargs)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        own = super().get_params(ctx)
        return own + [option for option in GLOBAL_OPTIONS if not _names(own) & set(option.opts)]

    def invoke(self, ctx: click.Context) -> Any:
        """Refuses a format on the command line that this command doesn't write; one of torc.toml is a preference."""
        wanted = ctx.ensure_object(App).overrides.get("format", "table")
        if wanted not in self.formats:
            raise UsageError(f"Only lists can be had as CSV. For '{ctx.command_path}' use -f json.")
        return super().invoke(ctx)

    def get_help(self, ctx: click.Context) -> str:
        """click writes 50 columns at least, which a narrower terminal breaks anywhere."""
        columns = shutil.get_terminal_size().columns
        if columns < NARROW:
            ctx.terminal_width = columns - 2
        return super().get_help(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options; the global ones in full on the root only, elsewhere by name."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        shared = [option for option in options if option in GLOBAL_OPTIONS]
        _write_options(ctx, formatter, "Options", [option for option in options if option not in shared])
        if ctx.parent is None:
            _write_options(ctx, formatter, "Global options, anywhere on the line", shared)
        else:
            with formatter.section(f"Global options (see '{ctx.find_root().info_name} --help')"):
                _write_names(formatter, [option.opts[-1] for option in shared])


class ListCommand(TorcCommand):
    """A command that shows a list, which it also writes as CSV."""

    formats = ("table", "json", "csv")


class TorcGroup(TorcCommand, click.Group):
    """A group of TorcCommands. An unknown subcommand is left to a native torc, if there is one."""

    # its commands know
    formats = ListCommand.formats

    command_class = TorcCommand
    group_class = type

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        TorcCommand.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self.short_helps(ctx), col_max=_first_column(formatter))

    def short_helps(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Each command with the first clause of its help, which click would cut off anywhere."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return [(name, _first_clause(command.help or "")) for name, command in found if command]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if (
            not ctx.resilient_parsing
            and self.get_command(ctx, args[0]) is None
            and not args[0].startswith("-")
        ):
            from torc_remote.cli.native import run_native

            run_native(ctx, args[0], self.list_commands(ctx))
        return super().resolve_command(ctx, args)


class LazyGroup(TorcGroup):
    """A group whose commands live in modules of torc_remote.cli that are imported when they are used.

    ``table`` maps a command's name to ``(module, short help)``; the module has the command under the same
    name, with ``_`` for ``-``.
    """

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        module = importlib.import_module(f"torc_remote.cli.{self.table[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def short_helps(self, ctx: click.Context) -> list[tuple[str, str]]:
        return [(name, short_help) for name, (_, short_help) in self.table.items()]


def _write_options(
    ctx: click.Context, formatter: click.HelpFormatter, heading: str, options: list[click.Option]
) -> None:
    with formatter.section(heading):
        records = [record for option in options if (record := option.get_help_record(ctx))]
        formatter.write_dl(records, col_max=_first_column(formatter))


def _write_names(formatter: click.HelpFormatter, names: list[str]) -> None:
    indent = " " * formatter.current_indent
    wrapped = textwrap.fill(
        " ".join(names),
        formatter.width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    formatter.write(f"{wrapped}\n")


def _first_clause(text: str) -> str:
    return " ".join(re.split(r"[.:;](?=\s|$)", text, maxsplit=1)[0].split()) + "."


def _first_column(formatter: click.HelpFormatter) -> int:
    """Its greatest width: click's own, less on narrow terminals, so that the explanations have room."""
    return min(30, max(12, formatter.width - 44))


def _names(params: list[click.Parameter]) -> set[str]:
    return {name for param in params for name in (*param.opts, *param.secondary_opts)}
