"""SECURITY.md tells what happens in each of the sixty faults, as the tests have it."""

from tests.fault_table import SECURITY, faults, with_table


def test_the_table_is_up_to_date() -> None:
    text = SECURITY.read_text()
    assert text == with_table(text), "run: python -m tests.fault_table"


def test_every_fault_has_a_test_and_a_sentence() -> None:
    assert {fault.number for fault in faults()} >= set(range(1, 61))
    assert [fault for fault in faults() if not fault.happens.endswith(".")] == []
