"""All pages of an application share one look at the disk, and know when it looks otherwise."""

from dataclasses import replace
from pathlib import Path
from typing import cast

from starlette.applications import Starlette
from tests.daemon.web.jobs import lay, painted, picture
from tests.daemon.web.visitors import enter, publish, visitor

from stylewatch_daemon.outbox.status_txt import Running, Status
from stylewatch_daemon.web.app_state import JOB_PARTS, NOW, NOW_PARTS, Studio, look, parts, when


def studio_of(root: Path) -> Studio:
    page = visitor(root)
    assert page.get("/gallery").status_code == 200
    found: Studio = cast(Starlette, page.app).state.studio
    return found


def test_it_is_set_up_once(tmp_path: Path) -> None:
    page = visitor(tmp_path)
    page.get("/gallery")
    first = cast(Starlette, page.app).state.studio
    page.get("/gallery")
    assert cast(Starlette, page.app).state.studio is first


def test_each_page_has_its_parts(tmp_path: Path) -> None:
    enter(tmp_path / "state", painted(tmp_path))
    here = studio_of(tmp_path)
    assert set(parts(here.context, here.views, NOW)) == set(NOW_PARTS)
    assert set(parts(here.context, here.views, "id-sea")) == set(JOB_PARTS)
    assert parts(here.context, here.views, "sea") == {}


def test_what_others_wrote_is_no_markup(tmp_path: Path) -> None:
    bad = replace(painted(tmp_path), state="refused", reason="<script>alert(1)</script>")
    enter(tmp_path / "state", bad)
    here = studio_of(tmp_path)
    shown = parts(here.context, here.views, NOW)["wrong"]
    assert "&lt;script&gt;" in shown and "<script" not in shown


def test_a_stage_and_an_entry_are_seen(tmp_path: Path) -> None:
    enter(tmp_path / "state", replace(painted(tmp_path), state="running"))
    publish(tmp_path / "state", Status(running=[Running("sea", 1, 9, 0.5, id="id-sea")]))
    here = studio_of(tmp_path)
    seen = [look(here.context)]
    lay(tmp_path / "out/sea/stages/0020.png", picture(1))
    seen.append(look(here.context))
    enter(tmp_path / "state", painted(tmp_path, "more"))
    seen.append(look(here.context))
    assert len(set(seen)) == 3 and look(here.context) == seen[-1]


def test_what_was_published_is_news_once_it_is_read(tmp_path: Path) -> None:
    """It is read now and then: a page that was made of the one before must be made again."""
    publish(tmp_path / "state", Status())
    here = studio_of(tmp_path).context
    here.reader.published()
    here.reader._clock = lambda: here.reader._looked
    before = look(here)
    publish(tmp_path / "state", Status(waiting=["sea"]))
    assert look(here) == before and here.reader.published()["waiting"] == []
    here.reader._clock = lambda: here.reader._looked + 1
    assert look(here) != before and here.reader.published()["waiting"] == ["sea"]


def test_times_are_short_and_what_is_none_stays_as_it_is() -> None:
    assert when("2026-01-02T12:05:09+00:00") == "2 Jan 2026, 12:05 UTC"
    assert when("then") == "then"
