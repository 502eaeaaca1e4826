"""What a host has, what is free, and what its processes use."""

import os
from pathlib import Path

import pytest

from torc_remote.builtin.worker import processes
from torc_remote.builtin.worker.monitor import MonitorConfig, Usage, monitor_config
from torc_remote.builtin.worker.resources import (
    GIB,
    Pool,
    Requirements,
    Resources,
    detect,
    requirements_from_wire,
)


def test_requirements_as_the_server_has_them() -> None:
    record = {"id": 2, "name": "small", "num_cpus": 2, "num_gpus": 1, "num_nodes": 1, "memory": "1g"}
    assert requirements_from_wire(record) == Requirements("small", 2, 1024**3, 1)


def test_the_host_is_detected_and_options_override() -> None:
    found = detect({"CUDA_VISIBLE_DEVICES": ""})
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024 / GIB
    assert found == Resources(os.cpu_count(), pytest.approx(total, rel=0.01), ())
    assert detect({}, 3, 1.5, 2) == Resources(3, 1.5, ("0", "1"))


@pytest.mark.parametrize(
    ("environ", "gpus"),
    [
        ({"CUDA_VISIBLE_DEVICES": "2, 5", "SLURM_JOB_GPUS": "0"}, ("2", "5")),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1a,MIG-2b"}, ("GPU-1a", "MIG-2b")),
        ({"SLURM_STEP_GPUS": "1", "SLURM_JOB_GPUS": "0,1"}, ("1",)),
        ({"SLURM_JOB_GPUS": "0,1"}, ("0", "1")),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
    ],
)
def test_the_gpu_pool_of_the_environment(environ: dict[str, str], gpus: tuple[str, ...]) -> None:
    assert detect(environ, num_gpus=7).gpus == gpus


def test_a_pool_hands_out_and_takes_back() -> None:
    pool = Pool(Resources(3, 2.0, ("a", "b", "c")))
    assert pool.reserve(1, Requirements("x", 2, 100 * 1024**2, 2)) == ("a", "b")
    assert (pool.free_cpus, pool.free_memory_gb, pool.free_gpus) == (1, 1.90234375, ["c"])
    assert pool.has_room
    pool.reserve(2, Requirements("x", 1, 0, 0))
    assert not pool.has_room  # no CPU
    pool.release(1)
    pool.release(1)
    assert (pool.free_cpus, pool.free_gpus) == (2, ["a", "b", "c"])
    pool.reserve(3, Requirements("x", 0, int(1.95 * GIB), 0))
    assert not pool.has_room  # no memory


@pytest.mark.parametrize(
    ("text", "seconds"), [("00:01", 1), ("01:02:03", 3723), ("2-00:00:01", 172801), ("0:01.25", 1.25)]
)
def test_times_of_ps(text: str, seconds: float) -> None:
    assert processes._seconds(text) == seconds


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (None, MonitorConfig()),
        ({}, MonitorConfig()),
        ({"enabled": True}, MonitorConfig(jobs="summary")),
        ({"enabled": True, "granularity": "time_series"}, MonitorConfig(jobs="time_series")),
        (
            {"enabled": False, "jobs": {"enabled": True, "granularity": "summary"}},
            MonitorConfig(jobs="summary"),
        ),
        ({"enabled": True, "jobs": {"enabled": False}}, MonitorConfig()),
        (
            {
                "sample_interval_seconds": 5,
                "flush_interval_seconds": 7,
                "compute_node": {"enabled": True, "granularity": "time_series", "cpu": False},
            },
            MonitorConfig(None, "time_series", False, True, 5.0, 7.0),
        ),
    ],
)
def test_both_forms_of_the_monitoring_configuration(
    wire: dict[str, object] | None, expected: MonitorConfig
) -> None:
    assert monitor_config(wire) == expected


def test_usage_is_peak_and_mean() -> None:
    usage = Usage()
    usage.add(50.0, 100)
    usage.add(100.0, 301)
    assert usage.as_wire() == {
        "peak_memory_bytes": 301,
        "avg_memory_bytes": 200,
        "peak_cpu_percent": 100.0,
        "avg_cpu_percent": 75.0,
    }
