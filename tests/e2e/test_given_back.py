"""What was claimed goes on or goes back, whatever is killed or removed while it is looked at."""

import os
import shutil
from itertools import count
from pathlib import Path

import pytest
from tests.daemon.claims import BOTH, JOB, TAKEN, Layout, Place
from tests.daemon.faults import fill, killed_at, tree

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.ingest.scan import scan


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_is_held_is_not_taken_again_unless_it_has_changed(place: Place) -> None:
    fill(place.inbox, *JOB)
    claimer, _ = place.hold("keep")
    (one,) = place.pairs()
    assert claimer.is_claimed(one, scan(place.inbox).files)
    (place.inbox / "trip/content.jpg").write_text("longer than it was before")
    assert not claimer.is_claimed(one, scan(place.inbox).files)


def test_what_was_being_looked_at_is_held_again_by_the_next_start(place: Place) -> None:
    fill(place.inbox, *JOB)
    with place.mounts():
        place.hold()
        assert set(tree(place.inbox)) == set(JOB)
        (held,) = place.start().claimed.values()
    assert tree(place.inbox) == {}
    assert place.state.load(held.id).state == "queued"


@pytest.mark.parametrize("after", ["archive", "keep"])
@BOTH
def test_killed_while_it_is_given_back_nothing_is_lost_or_doubled(
    layout: Layout, after: str, tmp_path: Path
) -> None:
    for change in count(1):
        place = Place(tmp_path / str(change))
        fill(place.inbox, *JOB)
        with layout(place):
            claimer, job = place.hold(after)
            with killed_at(change) as died:
                claimer.give_back(job, "it is cut off")
            if died():
                place.start()
            else:
                assert (set(tree(place.inbox)), place.held()) == (set(JOB), [])
        if after == "archive":
            whole = {name: name for name in JOB}
            assert (tree(place.inbox), place.held()) in [(whole, []), ({}, [TAKEN])]
        else:
            assert set(tree(place.inbox)) == set(JOB)
        assert list(place.state.claims.iterdir()) == []
        if not died():
            break


def half_taken(place: Place) -> None:
    """Kill it when it has the content, and not yet the style."""
    fill(place.inbox, *JOB)
    with killed_at(9):
        place.hold()
    assert set(tree(place.inbox)) == {"trip/style.jpg", "trip/job.yaml"}


def test_half_a_pair_whose_folder_was_removed_is_refused_with_the_reason(place: Place) -> None:
    half_taken(place)
    shutil.rmtree(place.inbox / "trip")
    assert Claimer(place.state).recover() == {}
    job = place.state.load("1")
    assert job.state == "refusing"
    assert "its folder is gone" in job.reason
    (content,) = place.state.own_files(job)
    assert content.read_text() == "trip/content.jpg"


def test_half_a_pair_waits_for_an_inbox_that_is_not_there(place: Place) -> None:
    half_taken(place)
    place.inbox.rename(place.inbox.with_name("away"))
    assert set(Claimer(place.state).recover()) == {"trip"}
    place.inbox.with_name("away").rename(place.inbox)
    claimer = Claimer(place.state)
    assert claimer.recover() == {}
    assert list(claimer.claimed) == ["1"]


def test_a_folder_that_is_removed_while_its_pair_is_taken_costs_no_picture(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.inbox, *JOB)
    rename = os.rename

    def gone_after_the_first(source: Path, target: Path, **more: int) -> None:
        rename(source, target, **more)
        if Path(source).name == "content.jpg":
            shutil.rmtree(place.inbox / "trip")

    monkeypatch.setattr(os, "rename", gone_after_the_first)
    claimer = Claimer(place.state)
    (one,), files = place.pairs(), scan(place.inbox).files
    with pytest.raises(OutputError):
        claimer.claim(one, files, place.terms(), "1")
    assert claimer.claimed == {}
    assert place.state.load("1").state == "refusing"
    assert place.held() == [{"content.jpg": "trip/content.jpg"}]
