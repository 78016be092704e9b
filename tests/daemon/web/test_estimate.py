"""How long a job will take is said in the forms, if such jobs were painted before."""

import re
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.daemon.web.world import BROWSER, a_job, client, enter, finished_job

from stylewatch_daemon.base.model import Attempt, End, Input

HOURS = count()
"""Jobs end in the order in which they are recorded."""

GATYS = "about 9 s, by the last job like this"


def painted(
    root: Path,
    name: str,
    seconds: int,
    how: str = End.DONE,
    device: str = "cpu",
    start_s: float = 0,
    **settings: Any,
) -> None:
    """Record a job with a photograph of 640x480 that took so many seconds, also to start."""
    ended = f"2026-01-02T12:{seconds // 60:02}:{seconds % 60:02}+00:00"
    attempt = Attempt(
        "2026-01-02T12:00:00+00:00",
        ended=ended,
        how=how,
        device=device,
        painted_s=seconds - start_s,
    )
    plain = {"recipe": "best", "backend": "sketch", **settings}
    frames = 40 if name == "clip" else 1
    photograph = Input("content", "content.jpg", "", 9, pixels=(640, 480), frames=frames)
    finished = (datetime(2026, 1, 3, tzinfo=UTC) + timedelta(hours=next(HOURS))).isoformat()
    job = a_job(name, finished=finished, settings=plain, inputs=(photograph,))
    enter(root / "state", job, attempts=(attempt,))


def said(page: TestClient, **fields: str) -> str:
    """The sentence about a job with these settings."""
    return str(page.get("/estimate", params=fields).json()["estimate"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "40 s to 2 min, by the last 3 jobs like this"),
        ({"recipe": "gatys", "strength": "0.2", "seed": "7", "name": "x"}, GATYS),
        ({"recipe": "nnst"}, ""), ({"recipe": "gatys", "stroke": "2"}, ""),
        ({"recipe": "gatys", "several": "yes"}, GATYS.replace(",", " for each photograph,")),
        ({"size": "large"}, ""), ({"job": "gatys"}, GATYS),
    ],
)  # fmt: skip
def test_the_time_of_a_job_is_that_of_the_last_jobs_with_its_settings(
    fields: dict[str, str], words: str, tmp_path: Path
) -> None:
    page = client(tmp_path)
    for name, seconds in (("one", 40), ("two", 44), ("three", 122)):
        painted(tmp_path, name, seconds)
    painted(tmp_path, "again", 1, how="daemon")
    painted(tmp_path, "clip", 900)
    painted(tmp_path, "gatys", 9, recipe="gatys", color="match")
    assert page.get("/estimate", params=fields).json() == {"estimate": words}


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, 100),
        ({"pixels": "6400x4800"}, 400),  # at most 1280 pixels are painted
        ({"pixels": "1280x480"}, 200),
        ({"pixels": "480x640"}, 100),
        ({"pixels": "0x1"}, 100),  # nothing that a browser sends
        ({"size": "320"}, 27),
        ({"size": "320", "pixels": "1280x960"}, 27),
        ({"enlarge": "yes"}, 400),
        ({"job": "sea", "pixels": "9x9"}, 100),
    ],
)
def test_the_time_follows_from_the_size_of_the_photograph_and_of_the_painting(
    fields: dict[str, str], seconds: float, tmp_path: Path
) -> None:
    page = client(tmp_path)
    painted(tmp_path, "sea", 100, recipe="gatys", size="1280")
    phrase = said(page, **{"recipe": "gatys", "size": "1280", **fields})
    time = re.fullmatch(
        "about (?:([0-9]+) min ?)?(?:([0-9]+) s)?, by the last job like this", phrase
    )
    assert time, phrase
    minutes, rest = (int(number or 0) for number in time.groups())
    assert 60 * minutes + rest == pytest.approx(seconds, abs=35 if seconds > 90 else 3)


def test_jobs_of_about_this_size_count_before_others_and_late_ones_before_early_ones(
    tmp_path: Path,
) -> None:
    page = client(tmp_path)
    painted(tmp_path, "early", 80, size="64")
    for number in range(5):
        painted(tmp_path, f"small-{number}", 4, size=f"{60 + number}")
    for number in range(5):
        painted(tmp_path, f"large-{number}", 50)
    assert said(page) == "about 50 s, by the last 5 jobs like this"
    assert said(page, size="62") == "about 4 s, by the last 5 jobs like this"


def test_a_worker_that_had_to_start_and_another_device_tell_nothing_of_the_next_job(
    tmp_path: Path,
) -> None:
    page = client(tmp_path)
    painted(tmp_path, "first", 60, start_s=50)
    assert said(page) == "about 12 s, by the last job like this"
    painted(tmp_path, "faster", 3, device="cuda:0", start_s=1)
    assert said(page) == "about 3 s, by the last job like this"


def test_the_forms_say_the_time_beside_the_button(tmp_path: Path) -> None:
    page = client(tmp_path)
    pattern = r'data-estimate="([^"]*)">([^<]*)<'
    assert re.findall(pattern, page.get("/", headers=BROWSER).text) == [("/estimate?job=", "")]
    painted(tmp_path, "sea", 40)
    painted(tmp_path, "clip", 900)
    words = "about 40 s, by the last job like this"
    for path, job, time in (
        ("/", "", words), ("/jobs/sea/again", "id-sea", words), ("/jobs/clip/again", "id-clip", ""),
    ):  # fmt: skip
        text = page.get(path, headers=BROWSER).text
        assert re.findall(pattern, text) == [(f"/estimate?job={job}", time)]
        assert said(page, job=job) == time
    enter(tmp_path / "state", finished_job(tmp_path, "boat"))
    larger = page.get("/jobs/boat/again?print", headers=BROWSER).text
    assert '/estimate?job=id-boat" data-ask>' in larger, "the script asks for the time"
