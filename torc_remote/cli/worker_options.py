"""The options of workers, as `torc run` and `torc remote run` have them."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from torc_remote.worker_options import DECLARATIONS, shown_default

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def worker_options(function: Decorated) -> Decorated:
    """Add the options. One that is left out is None, since its default is known where the worker is started."""
    for name, option in reversed(list(DECLARATIONS.items())):
        function = click.option(
            *option.flags(name),
            name,
            callback=_read,
            metavar=option.unit,
            show_default=shown_default(name),
            help=option.meaning,
        )(function)
    return function


def _read(ctx: click.Context, param: click.Parameter, text: str | None) -> Any:
    try:
        return None if text is None else DECLARATIONS[str(param.name)].read(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error


def given_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those among a worker's options that the user gave. Raises TypeError for another, which would be lost."""
    if others := options.keys() - DECLARATIONS.keys():
        raise TypeError(f"no options of workers: {others}")
    return {name: value for name, value in options.items() if value is not None}
