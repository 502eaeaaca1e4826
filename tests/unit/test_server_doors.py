"""The names under which the server is asked without a password."""

from pathlib import Path

import pytest

from torc_remote.builtin.server.http import doors


def test_aliases_of_loopback_count_from_the_moment_they_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aliases = tmp_path / "hosts"
    monkeypatch.setattr(doors, "_ALIASES", aliases)
    names = doors.OwnNames("127.0.0.5", "Tunnel")
    assert {"localhost", "::1", "127.0.0.5", "tunnel"} <= {name for name in names._fixed if name in names}
    assert "lab-head" not in names
    aliases.write_text("127.0.1.1 lab-head.example Lab-Head  # this machine\n192.0.2.7 other\n\n")
    assert "lab-head" in names
    assert "other" not in names
    assert "this" not in names
