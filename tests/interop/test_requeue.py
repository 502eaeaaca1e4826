"""Jobs of workers that died or were stopped run again: with the real server and native workers."""

import pytest

from tests.integration.test_client_release import *  # noqa: F403  # its tests are what runs here
from tests.integration.test_remote_requeue import *  # noqa: F403  # and these
from tests.interop.conftest import StartTorcServer
from tests.interop.fleets import native_fleet
from tests.support.native import Native, TorcServer
from tests.support.remote import SandboxFleet
from torc_remote.sandbox import Sandbox

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(torc_server: StartTorcServer) -> TorcServer:
    return torc_server()


@pytest.fixture(scope="module")
def fleet(
    sandbox: Sandbox, server: TorcServer, native: Native, tmp_path_factory: pytest.TempPathFactory
) -> SandboxFleet:
    return native_fleet(sandbox, server.url, tmp_path_factory.mktemp("controller"), native)
