"""SECURITY.md tells what happens in each of the first sixty faults, as the tests have it."""

from scripts.fault_table import faults


def test_every_fault_has_a_test_and_a_sentence() -> None:
    assert {fault.number for fault in faults()} >= set(range(1, 61))
    assert [fault for fault in faults() if not fault.happens.endswith(".")] == []
