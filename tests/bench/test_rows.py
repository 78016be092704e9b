"""Rows of the benchmark: medians, goals, the JSON and the table."""

import json
from pathlib import Path

from bench import __main__ as bench
from bench import common, gpu, rows
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
