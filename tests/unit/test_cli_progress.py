"""The bar that is shown while hosts answer."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from torc_remote.cli.progress import _bar, _Steps
from torc_remote.remote.report import HostStep

HOSTS = [f"host{number}" for number in range(1, 6)]


def shown(bar: Progress, width: int = 100) -> str:
    """The bar as a terminal of this width shows it."""
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(bar.get_renderable())
    return capture.get()


@pytest.fixture
def bar() -> Progress:
    return _bar()


def test_the_last_hosts_are_named_and_the_failed_counted(bar: Progress) -> None:
    steps = _Steps(bar)
    assert "waiting" not in shown(bar)
    assert "?" not in shown(bar), "a number that nobody knows"
    steps.add(HostStep("Look", "host1", True, "", HOSTS))
    assert "1/5" in shown(bar)
    assert "waiting" not in shown(bar)
    steps.add(HostStep("Look", "host2", False, "", HOSTS))
    assert "Look, 1 failed, waiting for host3, host4, host5" in shown(bar)
    for host in HOSTS[2:]:
        steps.add(HostStep("Look", host, True, "", HOSTS))
    assert "waiting" not in shown(bar)
    steps.add(HostStep("Start", "host1", True, "", HOSTS))
    # host2 failed before, so that nobody waits for it
    assert "waiting for host3, host4, host5" in shown(bar)
    assert "2/5" in shown(bar)


def test_time_goes_on_from_step_to_step(bar: Progress) -> None:
    now = 100.0
    bar.get_time = lambda: now
    steps = _Steps(bar)
    now += 65
    assert "0:01:05" in shown(bar)
    steps.add(HostStep("Look", "host1", True, "", HOSTS))
    now += 5
    assert "0:01:10" in shown(bar)


def test_names_are_data_and_the_bar_stays_one_line(bar: Progress) -> None:
    hosts = ["[2001:db8::1]:22", "[red]x", "机器" * 30]
    steps = _Steps(bar)
    steps.add(HostStep("Look", hosts[2], True, "", hosts))
    assert "waiting for [2001:db8::1]:22, [red]x" in shown(bar, 120)
    steps.add(HostStep("Next", hosts[0], True, "", hosts))
    narrow = shown(bar, 40)
    assert len(narrow.splitlines()) == 1
    assert "1/3 0:00:00 Next" in narrow
