"""The whole bench, tiny: one row, measured by real processes."""

import json
from pathlib import Path

import pytest
from bench import __main__ as bench
from bench import child


def test_a_row_is_measured_and_told(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--only", "best_s", "--runs", "2", "--pixels", "1200"]
    words += ["--content", str(pictures / "content.jpg"), "--style", str(pictures / "style.jpg")]
    assert bench.main([*words, "--results", str(tmp_path / "build")]) == 0
    told = json.loads((tmp_path / "build" / "bench.json").read_text("utf-8"))
    best = told["best_s"]
    assert len(best["values"]) == 2 and 0 < best["min"] <= best["median"] <= best["max"]
    assert (best["must"], best["aim"]) == (15, 7)
    assert told["about"]["pictures"] == "content.jpg + style.jpg"
    assert "best_s " in capsys.readouterr().out


def test_a_row_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["--only", "step_rat"])
    assert "no row step_rat; there are best_4mp_s, best_s" in capsys.readouterr().err


def test_the_pair_is_the_samples_where_none_is_named(tmp_path: Path) -> None:
    asked = bench.arguments(["--results", str(tmp_path), "--album", "7"])
    setting = bench.prepare(asked, tmp_path)
    assert setting.content.is_file() and setting.style.is_file()
    assert setting.album == 7
    assert bench.names(asked) == "the sample pair's + the sample pair's"


def test_a_probe_that_fails_is_told_with_what_it_said() -> None:
    with pytest.raises(RuntimeError, match=r"bench\.limit wide ended with 1: (?s:.*)'wide'"):
        child.told("limit", "wide")


def test_a_command_that_fails_is_not_timed() -> None:
    with pytest.raises(RuntimeError, match="false ended with 1"):
        child.whole("false")
