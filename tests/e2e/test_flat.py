"""A flat album: paintings side by side, each under a name of its own, all else of them apart."""

from pathlib import Path

import pytest
from tests.daemon.faults import fill, killed_at, tree
from tests.daemon.lines import Place
from tests.daemon.painters import go_on

from stylewatch_daemon.events import Reporter

KINDS = ("receipt.json", "stages/1.png", "stages/2.png")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def album(place: Place, said: str, *photographs: str) -> None:
    fill(place.inbox, "waves/style.jpg", *(f"waves/{name}" for name in photographs))
    (place.inbox / "waves/job.yaml").write_text(f"flat: yes\n{said}\n")


def outbox(place: Place) -> set[str]:
    """All that lies there but inputs and the status."""
    names = (name for name in tree(place.outbox) if "/inputs/" not in name)
    return {name for name in names if name != "_status.txt"}


def apart(*places: str) -> set[str]:
    return {f"_jobs/{place}/{kind}" for place in places for kind in KINDS}


def test_paintings_lie_side_by_side_and_all_else_of_their_jobs_apart(place: Place) -> None:
    album(place, 'name: "{folder}/{stem}"', "a.jpg", "b.jpg", "calm/c.jpg")
    place.run()
    paintings = {"waves/a.png", "waves/b.png", "waves/calm/c.png"}
    assert outbox(place) == paintings | apart("waves/a", "waves/b", "waves/calm/c")
    assert tree(place.outbox)["_jobs/waves/a/inputs/a.jpg"] == "waves/a.jpg"


class Ends(Reporter):
    """Where paintings are, as it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Path]] = []

    def done(self, job: str, folder: Path) -> None:
        self.told.append((job, folder))


def test_it_is_told_where_the_painting_lies(place: Place) -> None:
    album(place, "", "a.jpg")
    ends = Ends()
    line = place.line(ends)
    line.scan()
    line.scan()
    line.enter()
    go_on(line, again=False)
    assert ends.told == [("_jobs/waves/a", place.outbox / "waves")]


def test_of_jobs_that_want_one_name_each_gets_its_own(place: Place) -> None:
    album(place, "name: sea", "a.jpg", "b.jpg")
    fill(place.outbox, "sea-2.jpg")
    place.run()
    assert outbox(place) == {"sea.png", "sea-2.jpg", "sea-3.png"} | apart("sea", "sea-3")
    painted = {tree(place.outbox)[name] for name in ("sea.png", "sea-3.png")}
    assert len(painted) == 2


def test_the_paintings_of_a_series_lie_beside_its_sheet(place: Place) -> None:
    album(place, "sweep: {seed: [1, 2]}", "a.jpg")
    place.run()
    *_, last = place.painter.orders
    assert [one.place for one in last.parts] == ["_jobs/waves/a/seed=1", "_jobs/waves/a/seed=2"]
    there = outbox(place)
    assert {"waves/a/seed=1.png", "waves/a/seed=2.png", "waves/a/receipt.json"} <= there
    assert apart("waves/a/seed=1", "waves/a/seed=2") <= there
    assert "waves/a.png" not in there


def test_a_pattern_that_makes_no_sense_is_refused_with_its_line(place: Place) -> None:
    album(place, 'name: "{stm}"', "a.jpg")
    place.run()
    reason = (place.outbox / "_refused/waves/a/reason.txt").read_text()
    assert "job.yaml line 2: name: {stm} is unknown; the fields are {name}, " in reason
    assert place.painter.orders == []


@pytest.mark.parametrize("first", range(3))
def test_killed_at_any_change_each_painting_lies_there_once_and_whole(
    first: int, tmp_path: Path
) -> None:
    """Every change of a file or of the ledger is one; a third of them for each of three."""
    for change in range(1 + first, 10_000, 3):
        place = Place(tmp_path / str(change))
        album(place, "", "a.jpg")
        with killed_at(change) as was_killed:
            place.run()
        place.run()
        assert outbox(place) == {"waves/a.png"} | apart("waves/a"), f"killed at {change}"
        assert tree(place.outbox)["waves/a.png"].startswith("final.png of waves/a.jpg")
        place.state.close()
        if not was_killed():
            break


def test_a_file_of_others_in_the_place_of_a_painting_is_told_and_waited_for(place: Place) -> None:
    album(place, "", "a.jpg")
    line = place.line()
    line.scan()
    line.scan()
    line.enter()
    line.claim()
    line.start_jobs()
    fill(place.outbox, "waves/a.png")
    go_on(line, again=False)
    (told,) = line.outcomes.values()
    assert told.kind == "paused"
    assert "waves/a.png, which was not there before" in told.reason
    assert tree(place.outbox)["waves/a.png"] == "waves/a.png"
    (place.outbox / "waves/a.png").rename(place.outbox / "mine.png")
    place.run()
    assert outbox(place) == {"waves/a.png", "mine.png"} | apart("waves/a")
    assert len(place.painter.orders) == 1
