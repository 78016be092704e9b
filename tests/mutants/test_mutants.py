"""The list of small faults fits the code."""

from tests.mutants.__main__ import misplaced, mutants


def test_every_fault_can_be_applied_and_names_are_unique() -> None:
    every = mutants()
    assert [f"{mutant.name}: {misplaced(mutant)}" for mutant in every if misplaced(mutant)] == []
    assert len({mutant.name for mutant in every}) == len(every) >= 60
