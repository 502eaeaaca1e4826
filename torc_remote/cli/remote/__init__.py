"""The group `torc remote`, which is also the console script `torc-remote`."""

import click

from torc_remote.cli.commands import LazyGroup

# name: (module of torc_remote.cli, short help); in the order of `torc remote --help`
COMMANDS = {
    "add-workers": ("remote.workers", "Add workers to a workflow."),
    "add-workers-from-file": ("remote.workers", "Add the workers that a file lists."),
    "list-workers": ("remote.workers", "List a workflow's workers."),
    "remove-worker": ("remote.workers", "Remove a worker from a workflow."),
    "install": ("remote.install", "Put torc on the hosts."),
    "run": ("remote.run", "Start the workers."),
    "status": ("remote.status", "Show which workers are running."),
    "stop": ("remote.stop", "Stop the workers."),
    "collect-logs": ("remote.logs", "Collect the workers' logs here."),
    "delete-logs": ("remote.logs", "Delete the workers' logs on the hosts."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def remote() -> None:
    """Run a workflow on machines that you reach with ssh.

    The workers' addresses are kept on the server, with the workflow. ssh keys, jump hosts and aliases come from
    ~/.ssh/config; TORC_REMOTE_SSH_CONFIG names another file.

    \b
    Example:
      torc remote add-workers 42 worker1.example.com alice@worker2.example.com
      torc remote run 42
      torc remote status 42
      torc remote collect-logs 42 -l ./logs
    """
