"""The list of small faults fits the code, and `python -m tests.mutants` finds caught ones."""

import subprocess
from pathlib import Path

import pytest
from tests.mutants.__main__ import MisplacedError, Mutant, Trial, misplaced, mutants

MUTANTS = mutants()


def test_every_fault_can_be_applied_and_names_are_unique() -> None:
    assert [f"{mutant.name}: {misplaced(mutant)}" for mutant in MUTANTS if misplaced(mutant)] == []
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 60


def test_a_fault_is_caught_exactly_if_its_tests_fail(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "total.py").write_text("def total(a: int, b: int) -> int:\n    return a + b\n")
    (tmp_path / "test_sum.py").write_text(
        "from total import total\n\ndef test_sum():\n    assert total(2, 1) == 3\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    trial = Trial(tmp_path)
    request.addfinalizer(trial.close)
    for becomes, expected in (
        ("a - b", (True, "test_sum.py::test_sum")),
        ("b + a", (False, "not caught")),
        (None, (True, "test_sum.py::test_sum")),
    ):
        line = "a + b" if becomes else "return"
        mutant = Mutant("sum", "total.py", "total", line, becomes, ("test_sum.py",))
        assert trial.result(mutant) == expected
    assert "a + b" in (tmp_path / "total.py").read_text()


SHOP = """
class Shop:
    PRICE = 3

    def open(self):
        if self.PRICE:
            sell()

def open():
    sell()
"""


def test_a_fault_is_found_by_its_symbol_and_a_line_within() -> None:
    def applied(symbol: str, line: str, becomes: str | None) -> str:
        return Mutant("x", "shop.py", symbol, line, becomes, ()).applied(SHOP)

    assert applied("open", "sell()", None) == SHOP.removesuffix("sell()\n") + "pass\n"
    assert applied("Shop.PRICE", "3", "4") == SHOP.replace("3", "4")
    assert applied("Shop.open", "if self.PRICE", None).count("sell()") == 1
    for symbol, line in (("Shop.close", "sell()"), ("Shop", "PRICE"), ("open", "buy()")):
        with pytest.raises(MisplacedError):
            applied(symbol, line, None)
