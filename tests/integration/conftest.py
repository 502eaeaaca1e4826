"""Fixtures with real processes behind them."""

from collections.abc import Iterator

import pytest

from torc_remote.sandbox import Sandbox, start


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Three ssh hosts for the whole session: sandbox1, sandbox2, sandbox3."""
    with start(3, tmp_path_factory.mktemp("sandbox")) as running:
        yield running
