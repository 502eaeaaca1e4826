"""Which jobs a claim gives: the best that fit, as if it had looked at all; and it does not look at all."""

import random

import pytest

from tests.support.server_workflow import open_workflow
from torc_remote.builtin.server.jobs.claims import claim_next
from torc_remote.builtin.server.workflows import lifecycle

GIB = 2**30
LABELS = ([], [], ["big"], ["big", "gpu"], ["gpu", "big"])


@pytest.fixture
def workflow(tmp_path):
    with open_workflow(tmp_path) as opened:
        yield opened


def fill(workflow, dice, count):
    """Ready jobs of some kinds, two of which need the same."""
    needs = [
        {"num_cpus": 1, "memory": "1g"}, {"num_cpus": 1, "memory": "1g"}, {"num_cpus": 2, "memory": "1g"},
        {"num_cpus": 1, "memory": "3g", "runtime": "PT1H"}, {"num_cpus": 1, "num_gpus": 1},
    ]  # fmt: skip
    ids = [workflow.needs(f"n{number}", **one) for number, one in enumerate(needs)]
    workflow.jobs(
        *(
            {
                "name": f"j{number}",
                "resource_requirements_id": dice.choice(ids),
                "priority": dice.choice([0, 0, 1, 5]),
                "labels": dice.choice(LABELS),
            }
            for number in range(count)
        )
    )
    workflow.begin()


def candidates(workflow, labels, holder):
    """All jobs that this node may claim by their labels, with what they need; first what it has claimed already."""
    rows = workflow.connection.execute(
        """SELECT job.*, num_cpus, num_gpus, memory_bytes, runtime_seconds
           FROM job JOIN resource_requirements needs ON needs.id = resource_requirements_id
           WHERE status = 'ready' OR status = 'pending' AND compute_node_id = ?""",
        [holder],
    )
    return [
        row
        for row in rows
        if (row["labels"] == "[]") == (not labels)
        and set(labels) >= set(row["labels"][1:-1].replace('"', "").split(", ")) - {""}
    ]


def by_size(row):
    return (
        row["status"], -row["priority"], -row["num_gpus"], -row["runtime_seconds"], -row["memory_bytes"],
        -row["num_cpus"], row["id"],
    )  # fmt: skip


def packed(rows, limit, cpus, gpus, memory):
    chosen = []
    for row in sorted(rows, key=by_size):
        fits = row["num_cpus"] <= cpus and row["num_gpus"] <= gpus and row["memory_bytes"] <= memory
        if fits and len(chosen) < limit:
            cpus, gpus, memory = cpus - row["num_cpus"], gpus - row["num_gpus"], memory - row["memory_bytes"]
            chosen.append(row["id"])
    return chosen


@pytest.mark.parametrize("seed", range(4))
def test_a_claim_gives_what_it_would_if_it_looked_at_all(workflow, seed):
    dice = random.Random(seed)
    fill(workflow, dice, 150)
    nodes = [workflow.node, workflow.another_node()]
    given = []
    for _ in range(60):
        labels, holder, limit = dice.choice(LABELS[1:]), dice.choice(nodes), dice.choice([0, 1, 3, 8])
        rows = candidates(workflow, labels, holder)
        if dice.random() < 0.3:
            wanted = sorted(rows, key=lambda row: (row["status"], -row["priority"], row["id"]))[:limit]
            wanted = [row["id"] for row in wanted]
            answer = claim_next(workflow.connection, workflow.id, ",".join(labels), limit, holder)
            claimed = [job["id"] for job in answer["jobs"]]
        else:
            cpus, gpus, memory = dice.choice([1, 4, 8]), dice.choice([0, 1]), dice.choice([1, 4, 9])
            wanted = packed(rows, limit, cpus, gpus, memory * GIB)
            free = {"num_cpus": cpus, "num_gpus": gpus, "memory_gb": float(memory), "labels": labels}
            claimed = workflow.claim(limit, holder, **free)
        assert claimed == wanted
        given += claimed
        for job in claimed[: dice.choice([0, 8])]:
            workflow.start(job, holder)
    assert len(set(given)) > 50


def test_many_ready_jobs_make_a_claim_no_slower(workflow):
    """Counted in steps of SQLite's machine, with a thousand jobs and with five times as many."""
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    def claimed_in():
        nonlocal steps
        steps = 0
        workflow.connection.set_progress_handler(count, 1)
        assert len(workflow.claim(4)) == 4
        assert len(claim_next(workflow.connection, workflow.id, "big", 4)["jobs"]) == 4
        workflow.connection.set_progress_handler(None, 0)
        return steps

    dice = random.Random(1)
    fill(workflow, dice, 1000)
    few = claimed_in()
    workflow.jobs(*({"name": f"more{number}", "priority": number % 3} for number in range(4000)))
    lifecycle.initialize(workflow.connection, workflow.id, only_uninitialized=True, clear_ephemeral=False)
    many = claimed_in()
    assert many < 1.5 * few, (few, many)
