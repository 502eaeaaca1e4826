"""`torc results`."""

from typing import Any

import click

from torc_remote.cli.app import App, pass_app
from torc_remote.cli.commands import WORKFLOW_ID, ListCommand, TorcGroup, list_options
from torc_remote.cli.output import Columns, Json, duration, print_items, say
from torc_remote.cli.selection import resolve_workflow_id


@click.group(cls=TorcGroup)
def results() -> None:
    """List the results of jobs: return codes, times, and where they ran.

    \b
    Example:
      torc results list 42
    """


@results.command("list", cls=ListCommand)
@click.argument("workflow_id", type=WORKFLOW_ID, required=False)
@click.option("-j", "--job-id", type=int, help="Only the results of this job.")
@click.option("-r", "--run-id", type=int, help="Only the results of this run.")
@click.option("--return-code", type=int, help="Only results with this return code.")
@click.option("--failed", is_flag=True, help="Only results with a return code other than 0.")
@click.option("--all-runs", is_flag=True, help="Earlier runs of the workflow as well.")
@list_options
@pass_app
def list_(app: App, /, workflow_id: int | None, failed: bool, **filters: Any) -> None:
    """List the results of a workflow's jobs, with the host that each ran on.

    \b
    Example:
      torc results list 42
      torc results list 42 --failed
    """
    workflow_id = resolve_workflow_id(app, workflow_id)
    client = app.client()
    found = client.list_results(workflow_id, **filters)
    if failed:
        found = [result for result in found if result["return_code"] != 0]
    hosts: dict[int, str] = {}
    if app.format != "json":
        hosts = {node["id"]: node["hostname"] for node in client.list_compute_nodes(workflow_id)}
    print_items(app, found, _columns(hosts), "No results.")
    bad = [result for result in found if result["status"] == "failed"]
    if bad and app.format == "table":
        say(_where_it_says_why(bad[0], len(bad) - 1), err=True)


def _where_it_says_why(result: Json, others: int) -> str:
    """For one of the jobs that failed, as its result says no more than the return code."""
    name = "job_wf{workflow_id}_j{job_id}_r{run_id}_a{attempt_id}.e".format_map({"attempt_id": 1, **result})
    likewise = f", and likewise of {others} more" if others else ""
    return (
        f"Why job {result['job_id']} failed is in job_stdio/{name} in the output directory of its worker{likewise}. "
        f"To bring that here from remote workers:\n    torc remote collect-logs {result['workflow_id']}"
    )


def _columns(hosts: dict[int, str]) -> Columns:
    return {
        "Job": "job_id",
        "Name": "job_name",
        "Run": "run_id",
        "Status": "status",
        "RC": "return_code",
        "Time": lambda result: duration(60 * result["exec_time_minutes"]),
        "Host": lambda result: hosts.get(result["compute_node_id"], result["compute_node_id"]),
    }
