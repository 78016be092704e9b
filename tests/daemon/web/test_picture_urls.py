"""Addresses of pictures carry their digests, and what is too large or foreign is shown smaller."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.daemon.web.jobs import lay, painted, picture, sha256

from stylewatch_daemon.web import picture_urls
from stylewatch_daemon.web.picture_urls import Shower


def test_a_light_picture_is_shown_itself(tmp_path: Path) -> None:
    image = Shower(tmp_path).large(painted(tmp_path), "final", "sea")
    assert image is not None
    assert image.src == f"/jobs/id-sea/pictures/final?d={sha256(picture(15))[:32]}"


def test_a_heavy_one_and_one_that_browsers_do_not_show_are_shown_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiff = painted(tmp_path, "tiff", final="final.tiff")
    heavy = painted(tmp_path)
    monkeypatch.setattr(picture_urls, "LIGHT", 10)
    for job in (tiff, heavy):
        image = Shower(tmp_path).large(job, "final", "")
        assert image is not None and f"/jobs/{job.id}/small/1600/final?d=" in image.src


def test_what_is_not_there_is_not_shown(tmp_path: Path) -> None:
    job = painted(tmp_path)
    (tmp_path / "out/sea/final.png").unlink()
    assert Shower(tmp_path).large(job, "final", "") is None
    assert Shower(tmp_path).small(job, "final", "") is None


def test_inputs_are_said_with_what_they_were_called(tmp_path: Path) -> None:
    (photograph,) = Shower(tmp_path).inputs(painted(tmp_path), "content")
    assert photograph.alt == "the photograph harbour.jpg"
    assert (photograph.width, photograph.height) == (8, 6)


def test_names_that_say_no_more_than_the_role_are_no_names(tmp_path: Path) -> None:
    job = painted(tmp_path)
    assert picture_urls.parents(job, "style") == ["wave.jpg"]
    plain = replace(job, inputs=tuple({**one, "source": ""} for one in job.inputs))
    assert picture_urls.parents(plain, "style") == []


def test_a_flat_job_is_called_as_its_painting(tmp_path: Path) -> None:
    lay(tmp_path / "out/waves/a.png", picture(1))
    assert picture_urls.name_of(painted(tmp_path, "_jobs/waves/a")) == "waves/a"
