"""`torc completions`: what a shell needs to complete our commands."""

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from torc_remote.cli.commands import TorcCommand

PROGRAMS = ("torc", "torc-remote")
SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command(cls=TorcCommand)
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completions(shell: str) -> None:
    """Print the script by which a shell completes `torc` and `torc-remote`.

    Keep it in a file that the shell reads when it starts; zsh has to read it after `compinit`.

    \b
    Example:
      torc completions bash > ~/.torc.bash && echo . ~/.torc.bash >> ~/.bashrc
      torc completions zsh > ~/.torc.zsh && echo . ~/.torc.zsh >> ~/.zshrc
      torc completions fish > ~/.config/fish/conf.d/torc.fish
    """
    for program in PROGRAMS:
        click.echo(_script(program, shell))


def _script(program: str, shell: str) -> str:
    """It runs the program anew at each TAB, with the variable set that makes click answer."""
    variable = f"_{program}_complete".replace("-", "_").upper()
    return SHELLS[shell](click.Command(program), {}, program, variable).source()
