"""The list of small faults fits the code, and `python -m tests.mutants` finds caught ones."""

import subprocess
from pathlib import Path

from tests.mutants.__main__ import Mutant, Trial, misplaced, mutants

MUTANTS = mutants()


def test_every_fault_can_be_applied_and_names_are_unique() -> None:
    assert [f"{mutant.name}: {misplaced(mutant)}" for mutant in MUTANTS if misplaced(mutant)] == []
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 60


def test_a_fault_is_caught_exactly_if_its_tests_fail(tmp_path: Path) -> None:
    (tmp_path / "total.py").write_text("def total(a: int, b: int) -> int:\n    return a + b\n")
    (tmp_path / "test_sum.py").write_text(
        "from total import total\n\ndef test_sum():\n    assert total(2, 1) == 3\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    trial = Trial(tmp_path)
    for replace, expected in (
        ("return a - b", (True, "test_sum.py::test_sum")),
        ("return b + a", (False, "not caught")),
    ):
        mutant = Mutant("sum", "total.py", "return a + b", replace, ("test_sum.py",))
        assert trial.result(mutant) == expected
    assert "a + b" in (tmp_path / "total.py").read_text()
