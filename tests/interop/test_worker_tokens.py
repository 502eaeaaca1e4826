"""Torc's own worker with a token of the built-in server."""

from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.support.native import Native
from tests.support.workers import Rest
from torc_remote.client.api import TorcClient
from torc_remote.client.config import Settings

PASSWORD = "the user's own"


@pytest.mark.slow
@pytest.mark.parametrize("initialized", [True, False])
def test_a_native_worker_with_a_token(
    native: Native, start_server: StartServer, tmp_path: Path, initialized: bool
) -> None:
    server = start_server(password=PASSWORD)
    rest = Rest(server.url, PASSWORD)
    number = rest.create(
        [{"name": "a", "command": "true"}, {"name": "b", "command": "exit 3", "depends_on": ["a"]}]
    )
    if initialized:
        rest.initialize(number)
    client = TorcClient(Settings(api_url=server.url, username="tester", password=PASSWORD))
    token = client.create_worker_token(number, "h")
    assert token
    done = native.run("run", str(number), "-p", "0.5", url=server.url, cwd=tmp_path, TORC_PASSWORD=token)
    assert done.returncode == 0, done.stderr
    assert rest.states(number) == {"a": "completed", "b": "failed"}, done.stderr
    assert [node["is_active"] for node in rest.nodes(number)] == [False]
    refused = native.run("status", str(number), url=server.url, cwd=tmp_path, TORC_PASSWORD=token)
    assert "401" in refused.stderr + refused.stdout
