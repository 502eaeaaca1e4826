"""The group `torc remote`, which is also the console script `torc-remote`."""

import click

from torc_remote.cli.options import LazyGroup

# name: (module of torc_remote.cli, short help); in the order of `torc remote --help`
COMMANDS = {
    "add-workers": ("remote_workers", "Add workers to a workflow."),
    "add-workers-from-file": ("remote_workers", "Add the workers that a file lists."),
    "list-workers": ("remote_workers", "List a workflow's workers."),
    "remove-worker": ("remote_workers", "Remove a worker from a workflow."),
    "install": ("remote_hosts", "Put torc on the hosts."),
    "run": ("remote_run", "Start the workers."),
    "status": ("remote_hosts", "Show which workers are running."),
    "stop": ("remote_hosts", "Stop the workers."),
    "collect-logs": ("remote_logs", "Collect the workers' logs here."),
    "delete-logs": ("remote_logs", "Delete the workers' logs on the hosts."),
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
