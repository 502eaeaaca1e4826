"""The state machine on a real database, without HTTP."""

import pytest

from torc_remote.builtin.server import states
from torc_remote.builtin.server.claims import claim_fitting, claim_next
from torc_remote.builtin.server.data import create_named
from torc_remote.builtin.server.database import Database, insert
from torc_remote.builtin.server.errors import ApiError
from torc_remote.builtin.server.holders import give_back
from torc_remote.builtin.server.jobs import create_jobs
from torc_remote.builtin.server.models import (
    Completion,
    ComputeNodeBody,
    FileBody,
    FreeResources,
    JobBody,
    ResourceRequirementsBody,
    ResultBody,
    UserDataBody,
)
from torc_remote.builtin.server.requirements import create_requirements, default_requirements
from torc_remote.builtin.server.status import workflow_status


class Workflow:
    """One workflow in one open write transaction."""

    def __init__(self, connection):
        self.connection = connection
        values = {"name": "w", "user": "alice", "timestamp": "2026-01-01T00:00:00.000Z"}
        self.id = insert(connection, "workflow", values)
        create_requirements(connection, default_requirements(self.id))
        node = ComputeNodeBody(
            workflow_id=self.id, hostname="h", pid=1, start_time="", num_cpus=8, memory_gb=8.0, num_gpus=0,
            num_nodes=1, compute_node_type="local",
        )  # fmt: skip
        self.node = insert(connection, "compute_node", node.given())

    def job(self, name, **more):
        return self.jobs({"name": name, **more})[0]

    def jobs(self, *bodies):
        made = create_jobs(
            self.connection, [JobBody(workflow_id=self.id, command="true", **body) for body in bodies]
        )
        return [job["id"] for job in made]

    def file(self, name):
        return create_named(self.connection, "file", [FileBody(workflow_id=self.id, name=name, path=name)])[
            0
        ]["id"]

    def needs(self, name, **more):
        body = ResourceRequirementsBody(workflow_id=self.id, name=name, **more)
        return create_requirements(self.connection, body)["id"]

    def begin(self):
        states.reset_workflow(self.connection, self.id, force=False)
        states.initialize(self.connection, self.id, only_uninitialized=False, clear_ephemeral=False)

    def another_node(self):
        row = dict(self.connection.execute("SELECT * FROM compute_node WHERE id = ?", [self.node]).fetchone())
        return insert(self.connection, "compute_node", {**row, "id": None})

    def claim(self, limit=10, holder=None, **free):
        free = {"num_cpus": 8, "memory_gb": 8.0, "num_gpus": 0, "num_nodes": 1, **free}
        answer = claim_fitting(self.connection, self.id, FreeResources(**free), limit, holder)
        return [job["id"] for job in answer["jobs"]]

    def start(self, job, node=None):
        states.start_job(self.connection, job, self.run, node or self.node)

    @property
    def run(self):
        return self.connection.execute("SELECT run_id FROM workflow WHERE id = ?", [self.id]).fetchone()[0]

    def finish(self, job, return_code=0, status=None, run_id=None, node=None, attempt=None):
        """The end of a job, which starts first if it was only claimed; why it is refused, or an empty text."""
        if self.status(job) == "pending":
            self.start(job)
        return self.report(job, return_code, status, run_id or self.run, node, attempt)

    def report(self, job, return_code=0, status=None, run_id=1, node=None, attempt=None):
        status = status or ("failed" if return_code else "completed")
        result = self.result(
            job, run_id=run_id, compute_node_id=node or self.node, attempt_id=attempt, return_code=return_code,
            status=status,
        )  # fmt: skip
        entry = Completion(job_id=job, status=status, run_id=run_id, result=result)
        row = self.connection.execute("SELECT * FROM workflow WHERE id = ?", [self.id]).fetchone()
        if why := states.rejection(self.connection, row, entry):
            return why
        states.complete(self.connection, result)
        states.unblock(self.connection, self.id, [job])
        return ""

    def result(self, job, **more):
        values = {"workflow_id": self.id, "run_id": 1, "compute_node_id": self.node, "return_code": 143}
        values |= {
            "exec_time_minutes": 0.5,
            "completion_time": "2026-01-01T00:01:00Z",
            "status": "terminated",
        }
        return ResultBody(job_id=job, **values | more)

    def status(self, job):
        return self.connection.execute("SELECT status FROM job WHERE id = ?", [job]).fetchone()[0]

    def summary(self):
        return workflow_status(self.connection, self.id)


@pytest.fixture
def workflow(tmp_path):
    database = Database(tmp_path / "torc.db")
    with database.write() as connection:
        yield Workflow(connection)
    database.close()


def test_the_last_dependency_makes_a_job_ready_at_once(workflow):
    first, second = workflow.jobs({"name": "a"}, {"name": "b"})
    last = workflow.job("c", depends_on_job_ids=[first, second])
    workflow.begin()
    assert workflow.claim() == [first, second]
    workflow.finish(first)
    assert workflow.status(last) == "blocked"
    workflow.finish(second)
    assert workflow.status(last) == "ready"


@pytest.mark.parametrize(
    ("return_code", "status", "asks", "becomes"),
    [
        (3, "failed", True, "canceled"),
        (3, "failed", False, "ready"),
        (0, "failed", True, "ready"),  # torc wire 4.6: failed counts only with a return code
        (143, "terminated", True, "canceled"),
        (143, "terminated", False, "ready"),
        (0, "completed", True, "ready"),
    ],
)
def test_what_becomes_of_a_dependant(workflow, return_code, status, asks, becomes):
    job = workflow.job("a")
    dependant = workflow.job("b", depends_on_job_ids=[job], cancel_on_blocking_job_failure=asks)
    workflow.begin()
    workflow.claim()
    workflow.finish(job, return_code, status)
    assert workflow.status(dependant) == becomes


def test_a_cancellation_goes_down_the_line_until_a_job_that_does_not_mind(workflow):
    first = workflow.job("a")
    second = workflow.job("b", depends_on_job_ids=[first])
    third = workflow.job("c", depends_on_job_ids=[second])
    fourth = workflow.job("d", depends_on_job_ids=[third], cancel_on_blocking_job_failure=False)
    fifth = workflow.job("e", depends_on_job_ids=[fourth])
    workflow.begin()
    workflow.claim()
    workflow.finish(first, 1)
    assert [workflow.status(job) for job in (second, third, fourth, fifth)] == [
        "canceled", "canceled", "ready", "blocked",
    ]  # fmt: skip
    assert not workflow.summary()["is_complete"]


def test_files_and_user_data_imply_dependencies(workflow):
    file = workflow.file("f")
    datum = create_named(workflow.connection, "user_data", [UserDataBody(workflow_id=workflow.id, name="d")])[
        0
    ]["id"]
    maker = workflow.job("make", output_file_ids=[file], output_user_data_ids=[datum])
    reads_file = workflow.job("file", input_file_ids=[file])
    reads_data = workflow.job("data", input_user_data_ids=[datum])
    rewrites = workflow.job("rewrite", input_file_ids=[file], output_file_ids=[workflow.file("g")])
    workflow.begin()
    assert workflow.claim() == [maker]
    workflow.finish(maker)
    assert workflow.claim() == [reads_file, reads_data, rewrites]


def test_a_job_that_reads_its_own_output_does_not_wait_for_itself(workflow):
    file = workflow.file("f")
    job = workflow.job("a", input_file_ids=[file], output_file_ids=[file])
    workflow.begin()
    assert workflow.claim() == [job]


def test_claims_come_by_priority_then_size_then_age(workflow):
    small = workflow.needs("small", num_cpus=1, memory="1m", runtime="PT1M")
    long = workflow.needs("long", num_cpus=1, memory="1m", runtime="PT1H")
    fat = workflow.needs("fat", num_cpus=1, memory="1g", runtime="PT1M")
    wide = workflow.needs("wide", num_cpus=2, memory="1m", runtime="PT1M")
    gpu = workflow.needs("gpu", num_cpus=1, num_gpus=1, memory="1m", runtime="PT1M")
    jobs = workflow.jobs(
        *(
            {"name": f"{n}", "resource_requirements_id": needs}
            for n, needs in enumerate([small, wide, fat, long, gpu])
        ),
        {"name": "first", "priority": 5},
        {"name": "young", "resource_requirements_id": small},
    )
    workflow.begin()
    order = [jobs[5], jobs[4], jobs[3], jobs[2], jobs[1], jobs[0], jobs[6]]
    assert workflow.claim(num_gpus=1) == order


def test_claimed_jobs_fit_together(workflow):
    needs = workflow.needs("half", num_cpus=2, memory="1g", runtime="PT1M")
    jobs = workflow.jobs(*({"name": f"{n}", "resource_requirements_id": needs} for n in range(5)))
    workflow.begin()
    assert workflow.claim(num_cpus=1) == []
    assert workflow.claim(memory_gb=0.9) == []
    assert workflow.claim(num_nodes=0) == []
    assert workflow.claim(time_limit="PT59S") == []
    assert workflow.claim(num_cpus=5, time_limit="PT1M") == jobs[:2]
    assert workflow.claim(memory_gb=1.5) == jobs[2:3]
    assert workflow.claim(limit=1) == jobs[3:4]
    assert workflow.claim() == jobs[4:]


def test_a_large_job_does_not_hold_up_a_small_one(workflow):
    large = workflow.needs("large", num_cpus=4, runtime="PT1H")
    jobs = workflow.jobs({"name": "a"}, {"name": "b", "resource_requirements_id": large})
    workflow.begin()
    assert workflow.claim(num_cpus=2) == jobs[:1]


def test_labeled_jobs_go_to_workers_with_all_their_labels(workflow):
    plain, one, two = workflow.jobs(
        {"name": "a"}, {"name": "b", "labels": ["gpu"]}, {"name": "c", "labels": ["gpu", "big"]}
    )
    workflow.begin()
    assert workflow.claim() == [plain]
    assert workflow.claim(labels=["gpu"]) == [one]
    answer = claim_next(workflow.connection, workflow.id, "big,gpu,other", 10)
    assert [job["id"] for job in answer["jobs"]] == [two]


def test_a_canceled_workflow_gives_no_jobs_and_takes_no_results(workflow):
    held, ready = workflow.jobs({"name": "a"}, {"name": "b"})
    workflow.begin()
    workflow.claim(limit=1)
    states.cancel_workflow(workflow.connection, workflow.id)
    assert (workflow.status(held), workflow.status(ready)) == ("canceled", "ready")
    assert workflow.summary()["is_complete"]
    free = FreeResources(num_cpus=8, memory_gb=8.0, num_gpus=0, num_nodes=1)
    answer = claim_fitting(workflow.connection, workflow.id, free, 10)
    assert answer == {"jobs": [], "reason": "Workflow is canceled"}
    assert workflow.finish(held) == f"job_id={held} is already complete with status=canceled"


def test_completions_that_are_refused(workflow):
    job, other = workflow.jobs({"name": "a"}, {"name": "b"})
    workflow.begin()
    assert "is not running (status=ready)" in workflow.finish(job)
    workflow.claim(limit=1)
    assert "is not running (status=pending)" in workflow.report(job)
    assert "run_id=7 is not the current run_id=1" in workflow.finish(job, run_id=7)
    assert "is not a completion status" in workflow.finish(job, status="ready")
    assert "is not in workflow" in workflow.report(other + 1)
    assert f"runs on compute node {workflow.node}, not on" in workflow.finish(
        job, node=workflow.another_node()
    )
    assert "is at attempt 1, not at 2" in workflow.finish(job, attempt=2)
    assert workflow.finish(job) == ""
    assert workflow.finish(job, 1) == f"job_id={job} is already complete with status=completed"
    assert workflow.summary()["jobs_by_status"]["failed"] == 0


def test_only_a_claimed_job_starts(workflow):
    job = workflow.job("a")
    workflow.begin()
    with pytest.raises(ApiError, match="invalid status=ready"):
        states.start_job(workflow.connection, job, 1, workflow.node)
    workflow.claim()
    with pytest.raises(ApiError, match="not the current run_id=1"):
        states.start_job(workflow.connection, job, 2, workflow.node)
    with pytest.raises(ApiError, match="Compute node not found"):
        states.start_job(workflow.connection, job, 1, workflow.node + 1)
    states.start_job(workflow.connection, job, 1, workflow.node)
    assert workflow.status(job) == "running"
    with pytest.raises(ApiError, match="invalid status=running"):
        states.start_job(workflow.connection, job, 1, workflow.node)


def test_a_claim_names_its_holder(workflow):
    """Only the holder starts the job and gives it back, and what it holds comes again with its next claim."""
    first, second = workflow.jobs({"name": "a"}, {"name": "b"})
    workflow.begin()
    node, other = workflow.node, workflow.another_node()
    change = lambda *more: states.change_status(workflow.connection, first, "ready", 1, *more)  # noqa: E731  (short)
    assert workflow.claim(limit=1, holder=node) == [first]
    assert workflow.claim(limit=1, holder=node, num_cpus=1) == [first], "its answer was lost"
    assert workflow.claim(holder=other) == [second]
    for no_holder in (other, None):
        with pytest.raises(ApiError, match=f"is held by compute node {node}"):
            change(no_holder)
    with pytest.raises(ApiError, match=f"is held by compute node {node}"):
        workflow.start(first, other)
    workflow.start(first)
    for no_holder in (other, None):
        with pytest.raises(ApiError, match=f"is held by compute node {node}"):
            change(no_holder)
    change(node)
    assert [job for job in (first, second) if workflow.status(job) == "ready"] == [first]
    with pytest.raises(ApiError, match="is held by no compute node"):
        change(node)


def test_a_claim_of_nobody_knows_whom(workflow):
    """Torc's own worker does not name itself: any may start such a job, and it can be given back until then."""
    job = workflow.job("a")
    workflow.begin()
    workflow.claim()
    states.change_status(workflow.connection, job, "ready", 1)
    assert workflow.claim() == [job]
    workflow.start(job, workflow.another_node())
    with pytest.raises(ApiError, match="which alone changes it"):
        states.change_status(workflow.connection, job, "ready", 1)
    states.change_status(workflow.connection, job, "uninitialized", 1)  # `torc jobs reset-status --force`
    assert "is not running (status=uninitialized)" in workflow.report(job)


def test_what_a_node_that_is_gone_held_becomes_ready(workflow):
    mine, others, unknown = workflow.jobs({"name": "a"}, {"name": "b"}, {"name": "c"})
    workflow.begin()
    node, other = workflow.node, workflow.another_node()
    workflow.claim(limit=1, holder=node)
    workflow.claim(limit=1, holder=other)
    workflow.claim()
    leave(workflow.connection, node)
    assert [workflow.status(job) for job in (mine, others, unknown)] == ["ready", "pending", "pending"]
    for act in (lambda: workflow.claim(holder=node), lambda: workflow.start(unknown, node)):
        with pytest.raises(ApiError, match="is inactive"):
            act()
    leave(workflow.connection, other)
    assert [workflow.status(job) for job in (mine, others, unknown)] == ["ready"] * 3


def leave(connection, node):
    connection.execute("UPDATE compute_node SET is_active = 0 WHERE id = ?", [node])
    give_back(connection, connection.execute("SELECT * FROM compute_node WHERE id = ?", [node]).fetchone())


def test_a_retry_is_done_once(workflow):
    job = workflow.job("a")
    workflow.begin()
    workflow.claim()
    retry = lambda *more: states.retry(workflow.connection, job, *more)  # noqa: E731  (short)
    with pytest.raises(ApiError, match="status is pending"):
        retry(1, 9)
    workflow.start(job)
    for arguments, why in (
        ((2, 9), "not the current run"),
        ((1, 1), "attempt_id=1 >= max"),
        ((1, 9, 10**9), "held"),
    ):
        with pytest.raises(ApiError, match=why):
            retry(*arguments)
    retry(1, 2)
    assert workflow.status(job) == "ready"
    with pytest.raises(ApiError, match="status is ready"):
        retry(1, 2)
    assert workflow.claim() == [job]
    workflow.start(job)
    assert "is at attempt 2, not at 1" in workflow.finish(job, attempt=1)
    assert workflow.finish(job, 3, attempt=2) == ""
    retry(1, 3)
    row = workflow.connection.execute("SELECT status, attempt_id, origin FROM job").fetchone()
    assert tuple(row) == ("ready", 3, "retry")


def test_only_the_attempt_that_runs_can_be_fenced(workflow):
    """A controller whose knowledge is old does no harm to what other workers do meanwhile."""
    job, other = workflow.jobs({"name": "a"}, {"name": "b"})
    workflow.begin()
    assert workflow.claim() == [job, other]
    fence = lambda job=job, **more: states.fence(workflow.connection, workflow.result(job, **more))  # noqa: E731  (short)
    refused = lambda why, **more: refuses("Failed to create result record: .*" + why, lambda: fence(**more))  # noqa: E731
    refused("is not running .status=pending")
    workflow.start(job)
    refused("runs on compute node", compute_node_id=workflow.another_node())
    refused("is at attempt 1, not at 2", attempt_id=2)
    refused("not the current run_id", run_id=2)
    refused("status=ready is not a completion status", status="ready")
    foreign = Workflow(workflow.connection)
    refused("is in another workflow", workflow_id=foreign.id)
    fence()
    refused("attempt 1 has a result already")
    assert "attempt 1 has a result already" in workflow.finish(job)
    workflow.start(other)
    assert workflow.finish(other) == ""
    refused("already complete", job=other)


def test_a_fenced_attempt_that_its_worker_gives_back_is_made_again(workflow):
    job = workflow.job("a")
    workflow.begin()
    workflow.claim(holder=workflow.node)
    workflow.start(job)
    states.fence(workflow.connection, workflow.result(job))
    states.change_status(workflow.connection, job, "ready", 1, workflow.node)
    assert workflow.claim(holder=workflow.node) == [job]
    workflow.start(job)
    assert workflow.finish(job, attempt=1) == ""


def refuses(why, call):
    with pytest.raises(ApiError, match=why):
        call()


def test_a_reset_does_not_touch_jobs_that_a_worker_holds(workflow):
    held, _ = workflow.jobs({"name": "a"}, {"name": "b"})
    workflow.begin()
    workflow.claim(limit=1)
    with pytest.raises(ApiError, match="currently running or pending") as refused:
        states.reset_workflow(workflow.connection, workflow.id, force=False)
    assert refused.value.status == 422
    with pytest.raises(ApiError, match="stop their workers first"):
        states.reset_jobs(workflow.connection, workflow.id, failed_only=False)
    states.initialize(workflow.connection, workflow.id, only_uninitialized=False, clear_ephemeral=False)
    assert workflow.status(held) == "pending"


def test_a_forced_reset_makes_the_way_free_and_shuts_the_old_worker_out(workflow):
    job = workflow.job("a")
    workflow.begin()
    workflow.claim()
    states.reset_workflow(workflow.connection, workflow.id, force=True)
    assert states.reset_jobs(workflow.connection, workflow.id, failed_only=False) == 1
    states.initialize(workflow.connection, workflow.id, only_uninitialized=False, clear_ephemeral=False)
    assert workflow.claim() == [job]
    assert "run_id=1 is not the current run_id=2" in workflow.finish(job, run_id=1)
    assert workflow.finish(job, run_id=2) == ""


def test_resetting_the_failed_jobs_keeps_what_is_done(workflow):
    good, bad = workflow.jobs({"name": "a"}, {"name": "b"})
    after = workflow.job("c", depends_on_job_ids=[good, bad])
    workflow.begin()
    workflow.claim()
    workflow.finish(good)
    workflow.finish(bad, 1)
    assert workflow.summary()["total_exec_time_minutes"] == 1.0
    states.reset_workflow(workflow.connection, workflow.id, force=False)
    assert states.reset_jobs(workflow.connection, workflow.id, failed_only=True) == 2
    states.initialize(workflow.connection, workflow.id, only_uninitialized=True, clear_ephemeral=False)
    assert [workflow.status(job) for job in (good, bad, after)] == ["completed", "ready", "blocked"]
    assert workflow.summary()["total_exec_time_minutes"] == 0.5
    assert workflow.claim() == [bad]
    workflow.finish(bad, run_id=2)
    assert workflow.claim() == [after]


def test_making_a_job_uninitialized_undoes_what_came_after_it(workflow):
    first = workflow.job("a")
    second = workflow.job("b", depends_on_job_ids=[first])
    third = workflow.job("c", depends_on_job_ids=[second])
    bystander = workflow.job("d")
    workflow.begin()
    workflow.claim()
    workflow.finish(bystander)
    workflow.finish(first, 1)
    assert workflow.status(third) == "canceled"
    states.change_status(workflow.connection, first, "uninitialized", 1)
    assert [workflow.status(job) for job in (first, second, third)] == ["uninitialized"] * 3
    assert workflow.status(bystander) == "completed"
    with pytest.raises(ApiError, match="Use complete_job API instead"):
        states.change_status(workflow.connection, first, "completed", 1)
    with pytest.raises(ApiError, match="A worker's claim does that"):
        states.change_status(workflow.connection, first, "running", 1)


def test_ephemeral_user_data_is_cleared_when_asked(workflow):
    bodies = [
        UserDataBody(workflow_id=workflow.id, name="keep", data=[1], is_ephemeral=False),
        UserDataBody(workflow_id=workflow.id, name="drop", data=[2], is_ephemeral=True),
    ]
    create_named(workflow.connection, "user_data", bodies)
    states.initialize(workflow.connection, workflow.id, only_uninitialized=False, clear_ephemeral=True)
    rows = workflow.connection.execute("SELECT name, data FROM user_data ORDER BY name").fetchall()
    assert [tuple(row) for row in rows] == [("drop", None), ("keep", "[1]")]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"name": "b", "depends_on_job_ids": [10**9]}, "has no job with ID"),
        ({"name": "b", "input_file_ids": [10**9]}, "has no file with ID"),
        ({"name": "b", "resource_requirements_id": 10**9}, "has no resource_requirements with ID"),
        ({"name": "a"}, "already exists"),
        ({"name": "b", "priority": -1}, "negative priority"),
        ({"name": "b", "env": {"1X": ""}}, "no name for an environment variable"),
        ({"name": "b", "labels": ["x,y"]}, "no label"),
        ({"name": "b", "status": "running"}, "cannot be created with status"),
    ],
)
def test_jobs_that_are_refused(workflow, body, reason):
    workflow.job("a")
    with pytest.raises(ApiError, match=reason) as refused:
        workflow.job(**body)
    assert refused.value.status == 422


def test_a_workflow_takes_everything_with_it(workflow):
    job = workflow.job("a", output_file_ids=[workflow.file("f")])
    workflow.job("b", depends_on_job_ids=[job])
    workflow.begin()
    workflow.claim()
    workflow.finish(job)
    workflow.connection.execute("DELETE FROM workflow WHERE id = ?", [workflow.id])
    tables = [
        row[0] for row in workflow.connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    ]
    left = {
        name: workflow.connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables
    }
    assert {name for name, count in left.items() if count} == {"sqlite_sequence"}
