"""Faults are drawn by a seed, and each changes the code into other code."""

import ast
from pathlib import Path

import pytest
from pytest import MonkeyPatch
from tests.mutants import __main__ as mutants
from tests.mutants.__main__ import PACKAGES, ROOT, Outcome, draw


def test_a_seed_draws_the_same_faults_from_all_packages_and_each_changes_its_line() -> None:
    drawn = draw([*PACKAGES], 12, 1)
    assert drawn == draw([*PACKAGES], 12, 1) != draw([*PACKAGES], 12, 2)
    assert [mutant.package for mutant in drawn] == [name for name in PACKAGES for _ in range(2)]
    for mutant in drawn:
        source = (ROOT / mutant.file).read_text(encoding="utf-8")
        changed = mutant.applied(source)
        ast.parse(changed)
        lines = zip(source.splitlines(), changed.splitlines(), strict=False)
        first = next(number for number, (old, new) in enumerate(lines, 1) if old != new)
        blank = 2  # a decorator goes with the blank lines above it
        assert mutant.line - blank <= first <= mutant.line


@pytest.mark.parametrize(
    ("passes", "is_fast", "outcome"),
    [
        (False, True, Outcome.KILLED),
        (True, True, Outcome.SURVIVED),
        (None, True, Outcome.KILLED),  # they hang
        (None, False, Outcome.SURVIVED),  # they would have needed longer anyway
    ],
)
def test_a_fault_is_killed_if_tests_fail_or_hang_and_is_taken_back(
    passes: bool | None, is_fast: bool, outcome: Outcome, tmp_path: Path, monkeypatch: MonkeyPatch
) -> None:
    (mutant,) = draw(["scene"], 1, 1)
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    file = tmp_path / mutant.file
    file.parent.mkdir(parents=True)
    file.write_text(source, encoding="utf-8")
    seen = []

    def run(tree: Path, tests: str, seconds: float) -> bool | None:
        seen.append((tree / mutant.file).read_text(encoding="utf-8"))
        return passes

    monkeypatch.setattr(mutants, "pass_in", run)
    assert mutants.try_out(mutant, tmp_path, 1, is_fast=is_fast) is outcome
    assert seen == [mutant.applied(source)] != [source]
    assert file.read_text(encoding="utf-8") == source
