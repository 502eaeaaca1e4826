"""What a worker that is gone had claimed on torc-server, which does not say whose a pending job is."""

from tests.interop.conftest import StartTorcServer
from tests.support.workers import FakeWorker
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings
from torc_remote.client.lifecycle import initialize_workflow
from torc_remote.client.release import release_compute_node
from torc_remote.spec import create_workflow, parse_spec

SPEC = "name: w\njobs:\n" + "".join(f"- {{name: j{n}, command: sleep 60}}\n" for n in range(3))


def test_claims_are_given_back_when_no_worker_is_left(torc_server: StartTorcServer) -> None:
    """Until then another may be about to start the job; and jobs that run or ended are never touched."""
    settings = Settings(api_url=torc_server().url, username="tester")
    client = TorcClient(settings)
    number = create_workflow(client, parse_spec(SPEC, "w.yaml"), "tester")
    initialize_workflow(client, number)
    gone, alive = (FakeWorker(settings, number, name) for name in ("gone", "alive"))
    [claimed] = gone.claim(1, compute_node_id=gone.node_id)
    [running] = alive.start(1)
    release_compute_node(client, number, gone.node_id)
    assert [client.get_job(job)["status"] for job in (claimed, running)] == ["pending", "running"]
    released = release_compute_node(client, number, alive.node_id)
    assert [job["id"] for job in released.unclaimed] == [claimed]
    assert [client.get_job(job)["status"] for job in (claimed, running)] == ["ready", "ready"]
    assert client.get_job(claimed)["attempt_id"] == 2
