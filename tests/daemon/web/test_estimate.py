"""How long a job will take is said in the forms, if such jobs were painted before."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.web.world import BROWSER, a_job, client, enter

from stylewatch_daemon.base.model import Attempt, End, Input

GATYS = "about 9 s, by the last job like this"


def painted(root: Path, name: str, seconds: int, how: str = End.DONE, **settings: Any) -> None:
    """Record a job with a photograph of 640x480 that took so many seconds."""
    ended = f"2026-01-02T12:{seconds // 60:02}:{seconds % 60:02}+00:00"
    attempt = Attempt("2026-01-02T12:00:00+00:00", ended=ended, how=how)
    plain = {"recipe": "best", "backend": "sketch", **settings}
    frames = 40 if name == "clip" else 1
    photograph = Input("content", "content.jpg", "", 9, pixels=(640, 480), frames=frames)
    job = a_job(name, finished=ended, settings=plain, inputs=(photograph,))
    enter(root / "state", job, attempts=(attempt,))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "40 s to 2 min, by the last 3 jobs like this"),
        ({"recipe": "gatys", "strength": "0.2", "seed": "7", "name": "x"}, GATYS),
        ({"recipe": "nnst"}, ""), ({"recipe": "gatys", "stroke": "2"}, ""),
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
    wanted = {"recipe": "gatys", "size": "1280", **fields}
    said = page.get("/estimate", params=wanted).json()["estimate"]
    time = re.fullmatch("about (?:([0-9]+) min ?)?(?:([0-9]+) s)?, by the last job like this", said)
    assert time, said
    minutes, rest = (int(number or 0) for number in time.groups())
    assert 60 * minutes + rest == pytest.approx(seconds, abs=35 if seconds > 90 else 3)


def test_jobs_of_other_sizes_count_only_beside_fewer_than_five_of_this_size(
    tmp_path: Path,
) -> None:
    page = client(tmp_path)
    for number in range(5):
        painted(tmp_path, f"large-{number}", 50)
    for number in range(5):
        painted(tmp_path, f"small-{number}", 50, size="64")
    said = page.get("/estimate", params={"size": "64"}).json()["estimate"]
    assert said == "about 50 s, by the last 5 jobs like this"
    assert page.get("/estimate").json()["estimate"] == said


def test_the_forms_say_the_time_beside_the_button(tmp_path: Path) -> None:
    page = client(tmp_path)
    pattern = r'data-estimate="([^"]*)">([^<]*)<'
    assert re.findall(pattern, page.get("/", headers=BROWSER).text) == [("/estimate?job=", "")]
    painted(tmp_path, "sea", 40)
    words = "about 40 s, by the last job like this"
    for path, job in (("/", ""), ("/jobs/sea/again", "id-sea")):
        text = page.get(path, headers=BROWSER).text
        assert re.findall(pattern, text) == [(f"/estimate?job={job}", words)]
