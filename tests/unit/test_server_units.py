"""Durations."""

import pytest

from torc_remote.builtin.server.resource_requirements.units import duration_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT5M", 300), ("P0DT1M", 60), ("P1DT2H3M4.5S", 93784.5), ("P1W", 604800), ("PT0S", 0), ("P2D", 172800)],
)
def test_duration(text, seconds):
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "junk", "P1DT", "5M", "PT5", "PT-5M", "pt5m", "P1Y", "PT5M ", "PT5M\n"]
)
def test_no_duration(text):
    with pytest.raises(ValueError, match="Invalid ISO 8601 duration format"):
        duration_seconds(text)
