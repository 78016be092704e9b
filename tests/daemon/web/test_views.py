"""What the first page shows is what was published, what lies in the outbox, and the ledger."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.daemon.web.jobs import lay, painted
from tests.daemon.web.visitors import enter, entry, publish, settings

from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.outbox.status_txt import Running, Status
from stylewatch_daemon.web.queries import Reader
from stylewatch_daemon.web.views import RECENT, Views


def views(root: Path) -> Views:
    return Views(settings(root), Reader(root / "state"))


def running(name: str, **more: Any) -> Running:
    return replace(Running(name, 7, 60, 0.5, (8, 6), 75.0, "cpu", id=f"id-{name}"), **more)


def test_a_painting_is_shown_with_its_newest_stage_and_its_time_left(tmp_path: Path) -> None:
    enter(tmp_path / "state", replace(painted(tmp_path), state="running", finished=None))
    publish(tmp_path / "state", Status(running=[running("sea")]), running=1)
    (one,) = views(tmp_path).now().running
    assert (one.words, one.left, one.percent) == ("step 7 of 60", "1 min 15 s left", 11)
    assert one.begun and one.image is not None and "stage-15" in one.image.src
    assert one.curve is not None and one.curve.last == (7, 0.5)


def test_before_the_first_stage_the_photograph_stands_there(tmp_path: Path) -> None:
    job = replace(painted(tmp_path), state="running", finished=None)
    for stage in (tmp_path / "out/sea/stages").iterdir():
        stage.unlink()
    enter(tmp_path / "state", job)
    waits = running("sea", step=0, steps=0, loss=None, size=None, seconds_left=None)
    publish(tmp_path / "state", Status(running=[waits]), running=1)
    (one,) = views(tmp_path).now().running
    assert not one.begun and one.image is not None and "input-0" in one.image.src
    assert (one.words, one.left) == ("being prepared", "")


def test_what_waits_is_told_with_how_much_more_there_is(tmp_path: Path) -> None:
    halves = [Incomplete("dusk", "a style picture")]
    publish(tmp_path / "state", Status(waiting=["a", "b"], incomplete=halves), waiting=9)
    now = views(tmp_path).now()
    assert (now.waiting, now.more) == (("a", "b"), 7)
    assert now.incomplete[0]["waits_for"] == "a style picture"


def test_jobs_that_ended_stand_on_cards_the_good_and_the_bad_apart(tmp_path: Path) -> None:
    bad = entry("bad", "refused", finished="2026-01-02T14:00:00+00:00", reason="no picture")
    enter(tmp_path / "state", painted(tmp_path), bad)
    now = views(tmp_path).now()
    ((good,), (wrong,)) = now.recent, now.wrong
    enter(tmp_path / "state", replace(bad, dismissed=True))
    assert views(tmp_path).now().wrong == ()
    assert (good.name, good.made_from) == ("sea", "harbour.jpg in the manner of wave.jpg")
    assert good.image is not None and good.image.alt == "sea, the finished painting"
    assert (wrong.reason, wrong.image) == ("no picture", None)


def test_the_first_page_shows_the_latest_alone(tmp_path: Path) -> None:
    ended = [entry(f"{n:02}", finished=f"2026-01-02T12:00:{n:02}+00:00") for n in range(20)]
    enter(tmp_path / "state", *ended)
    names = [one.name for one in views(tmp_path).now().recent]
    assert names == [f"{n:02}" for n in range(19, 19 - RECENT, -1)]


def test_throughput_is_what_was_done_in_the_last_hour(tmp_path: Path) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    long_ago = "2026-01-02T12:00:00+00:00"
    enter(tmp_path / "state", entry("a", finished=now), entry("b", finished=long_ago))
    assert views(tmp_path).health().hour == 1


def test_the_daemon_is_in_a_word_what_matters_most(tmp_path: Path) -> None:
    publish(tmp_path / "state", Status(trouble=["the disk is full"]))
    health = views(tmp_path).health()
    assert health.word == "not running"
    at_work = replace(health, at_work=True)
    assert at_work.word == "held up"
    assert replace(at_work, paused=True).word == "paused"
    assert replace(at_work, trouble=()).word == "ready"


def test_where_there_is_nothing_yet_nothing_is_shown(tmp_path: Path) -> None:
    lay(tmp_path / "state/x", b"")
    now = views(tmp_path).now()
    assert (now.running, now.waiting, now.recent, now.wrong) == ((), (), (), ())
