"""What is expected of our server's answers, asked of the real one: the same requests, the same checks."""

from collections.abc import Iterator

import pytest

from tests.integration.test_server_contract import *  # noqa: F403  # its tests and fixtures are what runs here
from tests.integration.test_server_requeue import *  # noqa: F403  # and these
from tests.interop.conftest import StartTorcServer
from tests.support.native import TorcServer

pytestmark = pytest.mark.slow

# Where our server answers otherwise on purpose.
DIFFERENT = {
    "test_an_unknown_column_to_sort_by_is_named": "torc-server sorts by the ID then, and doesn't say so",
    "test_resource_requirements": "torc-server takes a second record of a name; a job can't say which it wants",
    "test_files_and_user_data": "torc-server breaks off at user data without a value",
    "test_jobs_whose_input_data_changed": "torc-server breaks off at user data without a value",
    "test_what_must_exist_before_a_start": "torc-server breaks off at user data without a value",
}


@pytest.fixture(scope="module")
def server(torc_server: StartTorcServer) -> TorcServer:
    return torc_server()


@pytest.fixture(autouse=True)
def different(request: pytest.FixtureRequest) -> Iterator[None]:
    if reason := DIFFERENT.get(request.node.name):
        request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
    yield
