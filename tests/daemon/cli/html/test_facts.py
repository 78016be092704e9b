"""The tables of a report: all that the receipt tells, and the attempts as the ledger knows them."""

from dataclasses import replace
from pathlib import Path

from tests.daemon.cli.html.reports import reported

from stylewatch_daemon.cli.html.facts import flat, subtitle, tables
from stylewatch_daemon.cli.html.painted import Painted

INPUT = {"role": "content", "name": "sea\n.jpg", "sha256": "a" * 64, "size": [48, 36],
         "converted": ["turned upright", "CMYK to RGB"]}  # fmt: skip


def told(painted: Painted) -> dict[str, list[tuple[str, ...]]]:
    return {one.title: [tuple(row) for row in one.rows] for one in tables(painted)}


def test_the_line_below_the_name_says_what_it_is(tmp_path: Path) -> None:
    line = subtitle(reported(tmp_path, seconds=75.0))
    assert line == (
        "recipe best · 32x24 pixels · torch on cpu · 1 min 15 s · 2015-08-26 12:00:01 UTC"
    )


def test_all_that_the_receipt_tells_has_its_table(tmp_path: Path) -> None:
    weights = {"name": "mine", "sha256": "d" * 64, "bits": 32}
    found = told(
        reported(
            tmp_path, inputs=[INPUT], weights=weights, retry_of="lake",
            color={"mode": "luminance", "space": "oklab"},
        )
    )  # fmt: skip
    assert list(found) == [
        "Made with", "Inputs", "Losses", "Attempts", "Settings of the recipe", "Files",
    ]  # fmt: skip
    made = {row[0]: row[1] for row in found["Made with"]}
    assert made["weights"] == f"mine, 32 bits, {'d' * 64}"
    assert (made["colors"], made["paints again"]) == ("luminance, in oklab", "lake")
    (one,) = found["Inputs"]
    assert one == ("content", "sea?.jpg", "48x36", "turned upright; CMYK to RGB", "a" * 64)
    assert found["Losses"] == [
        ("content conv4_2", "2", "0.5", "1"), ("style conv1_1", "2", "0.5", "1"),
        ("total", "", "", "1"),
    ]  # fmt: skip
    assert found["Files"] == [("final.png", "b" * 64)]


def test_a_column_in_which_nothing_stands_is_left_out_with_its_name(tmp_path: Path) -> None:
    (attempts,) = [one for one in tables(reported(tmp_path)) if one.title == "Attempts"]
    assert attempts.head == ["backend", "how it ended"]
    assert attempts.rows == [["torch", "done"]]


def test_a_table_without_rows_is_left_out(tmp_path: Path) -> None:
    assert "Inputs" not in told(reported(tmp_path))


def test_attempts_are_those_of_the_ledger_or_else_of_the_receipt(tmp_path: Path) -> None:
    attempts = [{"backend": "torch", "device": "cuda:0", "ended": "failed: it burnt"},
                {"backend": "torch", "ended": "done"}]  # fmt: skip
    painted = reported(tmp_path, attempts=attempts)
    assert told(painted)["Attempts"] == [
        ("torch (cuda:0)", "failed", "it burnt"), ("torch", "done", ""),
    ]  # fmt: skip
    noon = "2026-01-02T12:00:00+00:00"
    known = {"started": noon, "step": 4, "backend": "torch", "device": "cpu", "ended": noon,
             "how": "failed", "reason": "one\ntwo"}  # fmt: skip
    story = {"attempts": [known, {**known, "step": 0, "device": None, "ended": ""}]}
    assert told(replace(painted, story=story))["Attempts"] == [
        ("2026-01-02 12:00:00 UTC", "torch (cpu)", "step 4", "failed", "one; two"),
        ("2026-01-02 12:00:00 UTC", "torch", "the beginning", "not ended", "one; two"),
    ]


def test_settings_go_by_their_dotted_names_without_those_that_say_nothing() -> None:
    plain = {"a": {"b": 1, "c": None, "d": {}}, "e": False, "f": [], "g": [1]}
    assert dict(flat(plain)) == {"a.b": 1, "e": False, "g": [1]}
