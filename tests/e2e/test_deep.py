"""Folder trees of any depth and any width stop no pair beside them, and fill no log."""

import shutil
import signal

import pytest
from tests.daemon.disks import SAME, deep_tree, same_folder
from tests.e2e.daemon import Place, until

from stylewatch_daemon.cli.main import call

DEEPEST = "/".join("d" * 32)
LONG = 4096
"""Bytes of the log that a tree may add."""


def drop(place: Place, name: str) -> None:
    folder = place.root / "inbox" / name
    folder.mkdir(parents=True)
    shutil.copy(place.root / "sea.jpg", folder / "content.jpg")
    shutil.copy(place.root / "wave.jpg", folder / "style.jpg")


def paints(place: Place, name: str) -> None:
    """Drop a pair, of which only file events tell, and wait for its painting."""
    drop(place, name)
    until((place.root / "outbox" / name / "receipt.json").exists)


def logged(place: Place) -> int:
    return (place.root / "daemon.log").stat().st_size


def test_a_deep_tree_at_the_start_or_later_stops_nothing_beside_it(place: Place) -> None:
    inbox = place.root / "inbox"
    with deep_tree(inbox / "before"):
        place.start()
        with deep_tree(inbox / "later"):
            paints(place, "a")
            until(lambda: len(place.published["health"]["notes"]) == 2)
        paints(place, DEEPEST)
    paints(place, "b")
    until(lambda: place.published["health"]["notes"] == [])
    assert place.published["health"]["observer"] is True
    assert place.end() == 0
    log = (place.root / "daemon.log").read_text()
    assert log.count("it is nested deeper than 32 folders") == 2
    assert "Traceback" not in log
    assert len(log) < LONG


@pytest.mark.parametrize("name", ["d" * 200, "\udce9" * 100], ids=["long", "no text"])
def test_a_tree_with_paths_that_are_too_long_or_no_text_stops_nothing(
    name: str, place: Place
) -> None:
    with deep_tree(place.root / "inbox/long", 40, name):
        place.start()
        paints(place, "a")
        assert place.end() == 0
    assert logged(place) < LONG


def test_many_folders_stop_nothing(place: Place) -> None:
    place.start()
    for number in range(2_000):
        (place.root / f"inbox/{number % 50}/{number}").mkdir(parents=True)
    paints(place, "a")
    paints(place, "7/7/b")
    shutil.rmtree(place.root / "inbox/7")
    paints(place, "c")
    assert place.end() == 0
    assert logged(place) < LONG


@pytest.mark.parametrize("how", [SAME])
def test_an_outbox_that_is_the_inbox_by_another_path_is_refused(
    how: str, place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    with same_folder(place.root / "inbox", place.root / "outbox"):
        drop(place, "a")
        assert call(["run", "--once", "--set", "backend=sketch"]) == 78
        told = capfd.readouterr().err
        assert "outbox lies in the inbox" in told
        assert "move it out" in told


def test_a_finished_job_in_an_inbox_is_not_painted_again(place: Place) -> None:
    place.start()
    paints(place, "a")
    shutil.move(place.root / "outbox/a", place.root / "inbox/a")
    paints(place, "b")
    until(lambda: place.published["health"]["notes"])
    assert place.end(signal.SIGTERM) == 0
    assert place.painted == ["b"]
    text = (place.root / "outbox/_status.txt").read_text()
    assert "Notes:\n  a is left alone: it has a receipt.json" in text
