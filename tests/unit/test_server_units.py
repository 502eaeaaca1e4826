"""Memory sizes and durations."""

import pytest

from torc_remote.builtin.server.resource_requirements.units import duration_seconds, memory_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("100", 100),
        ("1k", 1024),
        ("100m", 104857600),
        ("2G", 2**31),
        ("1t", 2**40),
        (" 5MB ", 5 * 2**20),
    ],
)
def test_memory(text, size):
    assert memory_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "m", "-1m", "1.5g", "1x", "1 g", "9999999999999999", "99999999t", "1m\n2", "٣m"]
)
def test_no_memory(text):
    with pytest.raises(ValueError, match="Invalid memory size"):
        memory_bytes(text)


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
