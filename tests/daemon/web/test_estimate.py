"""How long a job will take is said in the forms, if such jobs were painted before."""

import re
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.web.world import BROWSER, a_job, client, enter

from stylewatch_daemon.base.model import Attempt, End, Input

GATYS = "about 9 s, as the last job like this"


def painted(root: Path, name: str, seconds: int, how: str = End.DONE, **settings: Any) -> None:
    """Record a job that took so many seconds."""
    ended = f"2026-01-02T12:{seconds // 60:02}:{seconds % 60:02}+00:00"
    attempt = Attempt("2026-01-02T12:00:00+00:00", ended=ended, how=how)
    plain = {"recipe": "best", "backend": "sketch", **settings}
    frames = 40 if name == "clip" else 1
    photograph = Input("content", "content.jpg", "", 9, frames=frames)
    job = a_job(name, finished=ended, settings=plain, inputs=(photograph,))
    enter(root / "state", job, attempts=(attempt,))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "40 s to 2 min, as the last 3 jobs like this"),
        ({"recipe": "gatys", "strength": "0.2", "seed": "7", "name": "x"}, GATYS),
        ({"size": "64"}, "about 1 min 28 s, as the last job like this"),
        ({"size": "65"}, ""), ({"size": "large"}, ""), ({"job": "gatys"}, GATYS),
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
    painted(tmp_path, "small", 88, size="64")
    assert page.get("/estimate", params=fields).json() == {"estimate": words}


def test_the_forms_say_the_time_beside_the_button(tmp_path: Path) -> None:
    page = client(tmp_path)
    pattern = r'data-estimate="([^"]*)">([^<]*)<'
    assert re.findall(pattern, page.get("/", headers=BROWSER).text) == [("/estimate?job=", "")]
    painted(tmp_path, "sea", 40)
    words = "about 40 s, as the last job like this"
    for path, job in (("/", ""), ("/jobs/sea/again", "id-sea")):
        text = page.get(path, headers=BROWSER).text
        assert re.findall(pattern, text) == [(f"/estimate?job={job}", words)]
