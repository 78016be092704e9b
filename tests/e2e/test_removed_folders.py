"""Claimed pairs whose inbox folder is removed lose no picture."""

import os
import shutil
from pathlib import Path

import pytest
from tests.daemon.claim_world import JOB, ClaimWorld
from tests.daemon.faults import fill, killed_at, tree

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.ingest.claim import Claimer
from stylewatch_daemon.ingest.scan import scan


@pytest.fixture
def place(tmp_path: Path) -> ClaimWorld:
    return ClaimWorld(tmp_path)


def claim_half(place: ClaimWorld) -> None:
    """Kill the daemon when it has claimed the content, and not yet the style."""
    fill(place.inbox, *JOB)
    with killed_at(9):
        place.hold()
    assert set(tree(place.inbox)) == {"trip/style.jpg", "trip/job.yaml"}


def test_half_a_pair_whose_folder_was_removed_is_refused_with_the_reason(place: ClaimWorld) -> None:
    claim_half(place)
    shutil.rmtree(place.inbox / "trip")
    assert Claimer(place.state).recover() == {}
    job = place.state.load("1")
    assert job.state == "refusing"
    assert "its folder is gone" in job.reason
    (content,) = place.state.own_files(job)
    assert content.read_text() == "trip/content.jpg"


def test_half_a_pair_waits_for_an_inbox_that_is_not_there(place: ClaimWorld) -> None:
    claim_half(place)
    place.inbox.rename(place.inbox.with_name("away"))
    assert set(Claimer(place.state).recover()) == {"trip"}
    place.inbox.with_name("away").rename(place.inbox)
    claimer = Claimer(place.state)
    assert claimer.recover() == {}
    assert list(claimer.claimed) == ["1"]


def test_a_folder_that_is_removed_while_its_pair_is_claimed_costs_no_picture(
    place: ClaimWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place.inbox, *JOB)
    rename = os.rename

    def gone_after_the_first(source: Path, target: Path, **more: int) -> None:
        rename(source, target, **more)
        if Path(source).name == "content.jpg":
            shutil.rmtree(place.inbox / "trip")

    monkeypatch.setattr(os, "rename", gone_after_the_first)
    claimer = Claimer(place.state)
    (pair,), files = place.pairs(), scan(place.inbox).files
    with pytest.raises(OutputError):
        claimer.claim(pair, files, place.terms(), "1")
    assert claimer.claimed == {}
    assert place.state.load("1").state == "refusing"
    assert place.held() == [{"content.jpg": "trip/content.jpg"}]
