"""The bench's own arithmetic: rows, medians, goals, turns, and what its probes report."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench import album, child, gpu_rows, limit, report, scaling, steps, whole
from bench.__main__ import MEASURES
from bench.rows import Figures, Measure, Reading, Row, Setting, in_turn, measures_with

GOALS = {  # what the table of goals asks for: key, must, aim
    "step_ratio": (0.40, 0.30),
    "step_ratio_fp32": (0.80, 0.65),
    "png_ratio": (0.12, 0.05),
    "float_ratio": (0.30, 0.15),
    "memory_ratio": (0.8, 0.5),
    "first_step_s": (2.5, 1.5),
    "best_s": (15, 7),
    "best_4mp_s": (300, 150),
    "pictures_per_hour": (250, 500),
    "devos_h200_s": (2, 0.8),
    "h200_fraction": (0.35, 0.6),
    "h200_pictures_per_hour": (3000, 10_000),
}


ROWS = [row for one in MEASURES for row in one.rows]
ROWS += [row for one in gpu_rows.MEASURES for row in one.rows]


def setting(folder: Path, **others: Any) -> Setting:
    return Setting(folder / "content.jpg", folder / "style.jpg", folder, folder, **others)


def test_there_is_a_row_for_every_goal_and_no_other_row_has_one() -> None:
    with_goals = {row.key: (row.must, row.aim) for row in ROWS if row.must is not None}
    assert with_goals == GOALS


def test_no_two_rows_share_a_key() -> None:
    keys = [row.key for row in ROWS]
    assert len(keys) == len({*keys})


def test_a_goal_is_met_by_the_median_whatever_the_worst_run_was() -> None:
    told = Figures(Row("a", "", must=2, aim=1), [9.0, 1.5, 2.0]).as_json()
    assert (told["median"], told["min"], told["max"]) == (2.0, 1.5, 9.0)
    assert (told["must_met"], told["aim_met"]) == (True, False)


def test_where_more_is_better_a_goal_is_the_least_that_will_do() -> None:
    told = Figures(Row("a", "", must=2, aim=3, higher=True), [2.5]).as_json()
    assert (told["must_met"], told["aim_met"]) == (True, False)


def test_a_row_without_a_goal_says_nothing_of_one() -> None:
    assert not {"must", "must_met", "aim", "aim_met"} & {*Figures(Row("a", ""), [1.0]).as_json()}


def counting(*keys: str, once: bool = False) -> tuple[Measure[list[str]], list[str]]:
    """A measure of `keys` that notes down each of its runs."""
    runs: list[str] = []

    def run(noted: list[str]) -> Iterator[Reading]:
        noted.append(keys[0])
        yield from ((key, float(len(noted))) for key in keys)

    return Measure(tuple(Row(key, "") for key in keys), run, once), runs


def test_measures_take_turns_run_by_run_and_long_ones_run_once() -> None:
    noted: list[str] = []
    measures = [counting("a")[0], counting("b", once=True)[0], counting("c", "d")[0]]
    *_, last = in_turn(measures, noted, runs=3)
    assert noted == ["a", "b", "c", "a", "c", "a", "c"]
    assert {key: one.values for key, one in last.items()} == {
        "a": [1, 4, 6], "b": [2], "c": [3, 5, 7], "d": [3, 5, 7]
    }  # fmt: skip


def test_a_measure_that_fails_is_told_and_stops_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: list[str]) -> Iterator[Reading]:
        yield "a", 1.0
        raise RuntimeError("out of breath")

    failing = Measure((Row("a", ""), Row("b", "")), fail)
    *_, last = in_turn([failing, counting("c")[0]], list[str](), runs=2)
    assert {key: one.values for key, one in last.items()} == {"a": [1, 1], "c": [1, 2]}
    assert capsys.readouterr().err == 2 * "a: out of breath\n"


def test_a_row_that_is_asked_for_brings_those_that_are_measured_with_it() -> None:
    measures = [counting("a")[0], counting("b", "c")[0]]
    assert measures_with(measures, ["c"]) == measures[1:]
    assert measures_with(measures, []) == measures


def test_the_time_of_a_step_is_the_median_between_two_ends() -> None:
    assert report.per_step([10.0, 11.0, 12.0, 19.0]) == 1.0


def test_steps_that_are_told_of_together_share_the_time_since_those_before() -> None:
    assert report.per_step([1.0, 1.001, 3.0, 3.001, 3.002, 3.003]) == pytest.approx(0.5, abs=0.01)


def test_the_peak_of_memory_counts_what_this_process_held() -> None:
    before = report.peak()
    held = bytearray(int((before + 50) * 2**20))
    assert report.peak() > before + 40
    del held


def test_the_work_of_a_step_is_what_the_layers_multiply_and_add() -> None:
    forward = 2 * 9 * 480 * 640 * (
        3 * 64 + 64 * 64 + (64 * 128 + 128 * 128) / 4 + (128 * 256 + 3 * 256 * 256) / 16
        + (256 * 512 + 3 * 512 * 512) / 64 + 512 * 512 / 256
    )  # fmt: skip
    assert limit.work(640, 480) == 2 * forward
    assert forward == pytest.approx(222e9, rel=0.01)


def test_convolutions_are_timed_in_every_type_and_layout() -> None:
    times = limit.alone(16, 16)
    assert len(times) == 4
    assert all(seconds > 0 for seconds in times.values())


def test_the_rate_of_an_album_is_told_for_each_fifth_of_it() -> None:
    done = [0.0, 10.0, 20.0, 21.0, 22.0, 24.0, 26.0, 29.0, 32.0, 36.0, 40.0]
    assert list(album.hourly(done)) == [2 * 3600 / seconds for seconds in (20, 2, 4, 6, 8)]


def test_an_album_of_fewer_pictures_has_fewer_parts() -> None:
    assert list(album.hourly([0.0, 36.0, 54.0])) == [100, 200]


def test_an_album_has_its_style_once_and_as_many_photographs_as_asked(pictures: Path) -> None:
    album.fill(pictures / "album", setting(pictures, album=3))
    names = sorted(path.name for path in (pictures / "album").iterdir())
    assert names == ["000.jpg", "001.jpg", "002.jpg", "style.jpg"]


@pytest.mark.parametrize(
    "measure",
    [*steps.MEASURES, *scaling.MEASURES, *whole.MEASURES],
    ids=lambda one: one.rows[0].key,
)
def test_a_measure_gives_a_figure_of_each_of_its_rows(
    measure: Measure[Setting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "told", lambda *_: {"step": 1.0, "peak": 2.0})
    monkeypatch.setattr(child, "whole", lambda *_: 3.0)
    readings = list(measure.run(setting(tmp_path)))
    assert sorted(key for key, _ in readings) == sorted(row.key for row in measure.rows)


def test_the_ratio_of_steps_is_ours_to_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"ours": {"step": 1.0, "peak": 300.0}, "theirs": {"step": 4.0, "peak": 400.0},
            "eager": {"step": 2.0, "peak": 1.0}}  # fmt: skip
    monkeypatch.setattr(steps, "told", lambda probe, *_: told[probe])
    readings = dict(steps.as_it_comes(setting(tmp_path)))
    wanted = {"step_ratio": 0.25, "memory_ratio": 0.75, "step_ratio_eager": 0.5}
    assert {key: readings[key] for key in wanted} == wanted


def test_in_fp32_the_better_backend_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(probe: str, *words: object) -> dict[str, float]:
        assert probe == "theirs" or '{"precision": "fp32"}' in words
        return {"step": 4.0 if probe == "theirs" else 3.0 if "torch" in words else 2.0}

    monkeypatch.setattr(steps, "told", told)
    assert dict(steps.in_fp32(setting(tmp_path)))["step_ratio_fp32"] == 0.5
