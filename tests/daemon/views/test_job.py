"""The view of a job has what ledger, receipt, outbox and status.json know."""

import shlex
from pathlib import Path
from typing import Any

from tests.daemon.web.world import a_job, finished_job

from stylewatch_daemon.base.model import Attempt, End, Input, Job
from stylewatch_daemon.cli.build_order import overrides_of
from stylewatch_daemon.settings import config, yaml_lines
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.views.formatting import losses
from stylewatch_daemon.views.job import (
    JobView,
    heading,
    in_a_line,
    job_view,
    made_from,
    submit_command,
)

NOON = "2026-01-02T12:00:00+00:00"


def _view(job: Job, *attempts: Attempt) -> JobView:
    return job_view(job, Path("/no/state"), attempts)


def test_the_log_of_a_job_has_its_entry_attempts_warnings_and_end(tmp_path: Path) -> None:
    failed = Attempt(NOON, 0, "torch", "cuda:0", 7, NOON, "bug", "it broke\nin two")
    stopped = Attempt(NOON, 4, "torch", "cpu", 7, NOON)
    going_on = Attempt("2026-01-02T12:01:00+00:00", 4, "torch", "cpu")
    job = finished_job(tmp_path, retry_of="lake", end=End.STOPPED_EARLY)
    assert [text for _, text in _view(job, failed, stopped, going_on).log] == [
        "added to the queue, to run lake again",
        "attempt 1 started on torch (cuda:0)",
        "attempt 1 ended: it broke; in two",
        "attempt 2 started on torch (cpu) from step 4",
        "attempt 2 ended: stylewatch was stopped",
        "attempt 3 started on torch (cpu) from step 4",
        "warning: the filters are not normalized",
        "stopped early",
    ]
    refused = a_job("bad", "refused", place=None, reason="no picture", finished=NOON)
    assert _view(refused).log[-1] == (NOON, "refused: no picture")


def test_a_job_is_told_by_the_names_of_its_pictures_but_for_their_roles() -> None:
    for content, style, told in (
        ("sea.jpg", "wave.png", "sea in the style of wave"),
        ("sea.content.jpg", "sea.style.png", "sea in the style of sea"),
        ("sea/content.jpg", "sea/style.png", ""),
        ("sea/content.jpg", "styles/wave.png", "in the style of wave"),
        ("trip/one.jpg", "trip/style.png", "one"),
    ):
        sides = (("content", content), ("style", style))
        inputs = tuple(Input(side, Path(name).name, f"/in/{name}", 1) for side, name in sides)
        assert made_from(a_job("sea", inputs=inputs)) == told


def test_a_heading_has_the_names_of_the_pictures_unless_the_name_says_more() -> None:
    for name, content, style, read in (
        ("sea-wave", "sea.jpg", "wave.png", "sea in the style of wave"),
        ("sea-wave-2", "sea.jpg", "wave.png", "sea in the style of wave (2)"),
        ("sea", "sea.jpg", "wave.png", "sea in the style of wave"),
        ("sea-calm", "sea.jpg", "wave.png", "sea-calm"),
        ("sea", "sea.content.jpg", "sea.style.png", "sea"),
        ("sea", "content.jpg", "style.png", "sea"),
        ("a+b-c.d", "a+b.jpg", "c.d.png", "a+b in the style of c.d"),
        ("trip/one", "trip/one.jpg", "trip/style.png", "trip/one"),
    ):
        sides = (("content", content), ("style", style))
        inputs = tuple(Input(side, Path(name).name, f"/in/{name}", 1) for side, name in sides)
        assert heading(a_job(name, inputs=inputs)) == read


def test_settings_are_named_if_they_differ_from_the_defaults_and_values_are_one_safe_line() -> None:
    settings = {**JobSettings().model_dump(mode="json"), "strength": 0.5, "set": {"start": "noise"}}
    settings |= {"mask": {**settings["mask"], "feather": "3%"}, "file_names": {"a.jpg": "b.jpg"}}
    view = _view(a_job("sea", settings=settings))
    assert dict(view.changes) == {"strength": "0.5", "start": "noise", "mask.feather": "3%"}
    assert in_a_line([{"x": [1, 2]}, "a\n\x1b[2Jb"]) == "x 1; 2; a; ?[2Jb"


def test_losses_are_a_table_of_every_term_with_the_total_last() -> None:
    term = {"value": 4.0, "weight": 0.5}
    tv = {"value": 3.0, "weight": 0.0, "gradient_weight": 0.001}
    plain = {"total": 2.5, "content": {"a": term}, "style": {"style-1": {"b": term}}, "tv": tv}
    assert [line.split(maxsplit=1) for line in losses(plain).splitlines()] == [
        ["term", "value  weight  value x weight"],
        ["content", "a        4      0.5     2"],
        ["style", "style-1 b  4      0.5     2"],
        ["tv", "3      0.001   on the gradient only"],
        ["total", "2.5"],
    ]


ASKED: dict[str, Any] = {
    "recipe": "gatys", "size": "640", "strength": 0.5, "color": "match", "enlarge": True,
    "style_weights": [2.0, 1.0], "style_size": ["50%", "640"], "name": "{name} it's $HOME",
    "mask": {"feather": "3%", "outside": "free"}, "artifacts": ["sheet.png"], "stroke": 2.0,
    "set": {"objective.tv.weight": 0.1, "objective.content": None}, "init": "noise",
    "file_names": {"a.jpg": "my sea.jpg"},
}  # fmt: skip


def test_the_command_of_a_job_gives_the_same_settings(tmp_path: Path) -> None:
    settings = {**JobSettings().model_dump(mode="json"), **ASKED}
    inputs = (("content", "a.jpg"), ("style", "b.jpg"), ("style", "c.jpg"))
    files = tuple(Input(role, name, name, 1) for role, name in (*inputs, ("style-2-mask", "m.png")))
    words = shlex.split(submit_command(a_job("sea", settings=settings, inputs=files)))
    assert words[:5] == ["stylewatch", "submit", "my sea.jpg", "b.jpg", "c.jpg"]
    assert words[-4:] == ["--style-mask", "none", "--style-mask", "m.png"]
    given = list(zip(words[5:-4:2], words[6:-4:2], strict=True))
    sets = [value for flag, value in given if flag == "--set"]
    flags = {flag[2:].replace("-", "_"): value for flag, value in given if flag != "--set"}
    assert set(flags) == {"recipe", "size", "strength", "stroke", "color", "init"}
    asked = overrides_of(
        {**{key: yaml_lines.value(text) for key, text in flags.items()}, "sets": sets}
    )
    job = config.override(Config(), asked).job.model_dump(mode="json")
    del settings["file_names"]
    assert job == settings
    init = Input("init", "i.png", "i.png", 1)
    start = a_job("sea", settings={"init": "picture"}, inputs=(init,))
    assert submit_command(start) == "stylewatch submit --init i.png"
