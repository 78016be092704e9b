"""Rows of the benchmark: medians, goals, the JSON and the table."""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench import __main__ as bench
from bench import common, cpu, gpu, rows
from bench.rows import Row

ROWS = [
    (Row("good_s", "what is quick", "s", must=2, aim=1), [1.5, 1.0, 1.75]),
    (Row("slow", "what is slow", must=0.5, aim=0.75, higher=True), [0.4, 0.6, 2]),
    (Row("memory", "for information", "MB"), [1234.5]),
]


def test_a_table_has_medians_spreads_and_goals() -> None:
    lines = [row.line(values) for row, values in ROWS]
    assert [line.count("|") for line in lines] == 3 * [rows.HEAD.splitlines()[0].count("|")]
    assert lines == [
        "| `good_s` | what is quick | 1.5 s (1 .. 1.75, 3) | 2 ✓ | 1 ✗ |",
        "| `slow` | what is slow | 0.6 (0.4 .. 2, 3) | 0.5 ✓ | 0.75 ✗ |",
        "| `memory` | for information | 1,234 MB (1,234 .. 1,234, 1) |  |  |",
    ]
    plain = [row.as_json(values) for row, values in ROWS]
    assert [(row.get("must_met"), row.get("aim_met")) for row in plain] == [
        (True, False), (True, False), (None, None),
    ]  # fmt: skip
    assert plain[0]["values"] == [1.5, 1.0, 1.75] and plain[0]["median"] == 1.5


def test_every_row_has_its_own_key_and_a_real_one_is_measured(
    pictures: Path, tmp_path: Path
) -> None:
    keys = [row.key for measure in bench.MEASURES for row in measure.rows]
    keys += [row.key for measure in gpu.MEASURES for row in measure.rows]
    assert len(set(keys)) == len(keys)
    words = ["--runs", "1", "--pixels", "600", "--results", str(tmp_path), "--only", "best_s"]
    words += ["--content", str(pictures / "content.jpg"), "--style", str(pictures / "style.jpg")]
    assert bench.main([*words, "--kept", str(common.STYLEWATCH)]) == 0
    found = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert found["best_s"]["median"] > 0 and found["best_s_kept_ratio"]["median"] > 0
    assert found["about"]["pictures"] == "content.jpg + style.jpg"


@pytest.mark.parametrize("error", [RuntimeError, OSError, statistics.StatisticsError])
def test_a_measure_that_fails_stops_no_other(
    error: type[Exception], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: object) -> Iterator[rows.Reading]:
        raise error("it fails")

    measures = [
        rows.Measure((Row("bad", "what fails"),), fails),
        rows.Measure((Row("good", "what is measured"),), lambda _: iter([("good", 2.5)])),
    ]
    words = ["--runs", "1", "--results", str(tmp_path)]
    options = rows.command_line("bench", None, measures).parse_args(words)
    assert rows.measured(measures, options, lambda *_: None, "rows.json") == rows.FAILED
    told = capsys.readouterr()
    assert "bad: it fails" in told.err and "| `good` | what is measured | 2.5 " in told.out


def test_steps_at_megapixels_have_these_at_every_size_of_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sizes = []

    def seconds(setting: cpu.Setting) -> tuple[float, float]:
        sizes.append(setting.pixels)
        return 1.0, 1.0

    monkeypatch.setattr(cpu, "ours", seconds)
    monkeypatch.setattr(cpu, "theirs", seconds)
    setting = cpu.Setting((tmp_path, tmp_path), tmp_path, pixels=600)
    assert [*cpu.larger(1, setting)] == [("step_ratio_1mp", 1.0)] and sizes == 2 * [10**6]
