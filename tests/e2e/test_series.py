"""A series: one pair becomes several jobs and a sheet of them, whatever is killed when."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.faults import fill, killed_at, tree
from tests.daemon.lines import Place
from tests.daemon.painters import go_on
from tests.daemon.settings_made import make_inbox, make_settings

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.errors import DaemonError
from stylewatch_daemon.service.service import once
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.contract import Order

MEMBERS = ["a/seed=1", "a/seed=2"]
KINDS = ["final.png", "inputs/job.yaml", "receipt.json", "stages/1.png", "stages/2.png"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def drop(place: Place, sweep: str = "{seed: [1, 2]}") -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    (place.inbox / "a/job.yaml").write_text(f"sweep: {sweep}\n")


def painted(orders: list[Order]) -> list[str]:
    return [order.name for order in orders if not order.parts]


def test_each_value_is_a_job_and_the_sheet_comes_when_all_are_done(place: Place) -> None:
    drop(place)
    line = place.run()
    assert [order.name for order in place.painter.orders] == [*MEMBERS, "a"]
    assert [order.settings.seed for order in place.painter.orders[:-1]] == [1, 2]
    *_, last = place.painter.orders
    assert [(one.name, one.state, one.place) for one in last.parts] == [
        (name.removeprefix("a/"), "done", name) for name in MEMBERS
    ]
    assert {one.job for one in line.outcomes.values() if one.kind == "done"} == {*MEMBERS, "a"}


def test_the_inputs_are_archived_once_with_the_series(place: Place) -> None:
    drop(place)
    place.run()
    assert {name for name in tree(place.outbox) if name.startswith("a/inputs/")} == {
        "a/inputs/content.jpg", "a/inputs/job.yaml", "a/inputs/style.jpg",
    }  # fmt: skip
    assert not list(place.outbox.glob("a/seed=1/inputs/*.jpg"))


def everything_once(place: Place) -> Iterator[str]:
    """What is wrong once all should be done."""
    there = {name for name in tree(place.outbox) if name != "_status.txt"}
    wanted = {f"{name}/{kind}" for name in MEMBERS for kind in KINDS}
    wanted |= {f"a/{kind}" for kind in (*KINDS, "inputs/content.jpg", "inputs/style.jpg")}
    yield from (f"{name} should not be, or is missing" for name in sorted(there ^ wanted))
    yield from (f"{name} was left" for name in tree(place.inbox))
    counts = {state: count for state, count in place.state.ledger.counts().items() if count}
    if counts != {"done": 3}:
        yield f"the ledger counts {counts}"
    yield from (f"{path} was left" for path in place.state.jobs.iterdir())
    yield from (f"{path} was left" for path in place.state.claims.iterdir())


@pytest.mark.parametrize("first", range(3))
def test_killed_at_any_change_nothing_is_lost_and_nothing_made_twice(
    first: int, tmp_path: Path
) -> None:
    """Every change of a file or of the ledger is one; a few of them are tried."""
    for change in range(10 + 17 * first, 10_000, 51):
        place = Place(tmp_path / str(change))
        drop(place)
        with killed_at(change) as was_killed:
            place.run()
        if not was_killed():
            break
        everywhere = {**tree(place.inbox), **tree(place.outbox), **tree(place.state.root)}
        assert {"a/content.jpg", "a/style.jpg"} <= set(everywhere.values()), f"killed at {change}"
        place.run()
        assert list(everything_once(place)) == [], f"killed at {change}"
        place.state.close()


def test_a_series_with_a_member_that_cannot_be_is_refused_as_a_whole(place: Place) -> None:
    drop(place, "{strength: [0.5, 7], seed: [1]}")
    place.run()
    assert place.painter.orders == []
    reason = (place.outbox / "_refused/a/reason.txt").read_text()
    assert "sweep, strength=7,seed=1" in reason and "less than or equal to 1" in reason
    assert (place.outbox / "_refused/a/content.jpg").exists()


def test_more_jobs_than_a_series_has_are_refused_with_both_numbers(place: Place) -> None:
    drop(place, f"{{seed: {list(range(65))}}}")
    place.run()
    reason = (place.outbox / "_refused/a/reason.txt").read_text()
    assert "job.yaml line 1: sweep: this makes 65 jobs, and a series has at most 64" in reason


def test_cancelled_as_a_whole_no_job_of_it_is_painted(place: Place) -> None:
    drop(place)
    line = place.line()
    line.scan()
    line.scan()
    line.enter()
    line.claim()
    line.start_jobs()  # it is divided, and its first job is begun
    (series,) = place.state.ledger.divided()
    line.control.acts["cancel"](series)
    go_on(line, again=False)
    counts = {state: count for state, count in place.state.ledger.counts().items() if count}
    assert counts == {"cancelled": 3}
    assert (place.outbox / "_refused/a/content.jpg").exists()
    assert not list(place.outbox.rglob("receipt.json"))


def test_painted_for_real_it_has_a_sheet_with_labels_and_receipts(
    tmp_path: Path, pictures: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    (pictures / "job.yaml").write_text("sweep: {style_weights: [[1], [0.5]], seed: [1, 2]}\n")
    pictures.rename(inbox / "holiday")
    settings = make_settings(
        (make_inbox(inbox, tmp_path / "out"),),
        tmp_path / "state",
        quiet_s=0.0,
        job=JobSettings(backend="sketch", recipe="neural-style", size="24", steps=2),
        free_bytes=0,
    )
    try:
        assert once(settings).exit_code == 0
    except DaemonError as error:
        pytest.fail(str(error))
    folder = tmp_path / "out/holiday"
    receipt = json.loads((folder / "receipt.json").read_bytes())
    assert receipt["sweep"] == {"style_weights": [[1], [0.5]], "seed": [1, 2]}
    assert Counter(one["state"] for one in receipt["jobs"]) == {"done": 4}
    assert receipt["jobs"][0]["final"] == "holiday/style_weights=1,seed=1/final.png"
    with Image.open(folder / "sheet.png") as sheet:
        assert len(sheet.convert("L").getcolors() or []) > 20
    one = json.loads((folder / "style_weights=0.5,seed=2/receipt.json").read_bytes())
    assert one["seed"] == 2 and one["job"] == "holiday/style_weights=0.5,seed=2"
    assert call(["show", "holiday", "--state", str(tmp_path / "state")]) == 0
    assert "style_weights=1,seed=2    done" in capfd.readouterr().out
    again = ["render", "--from", str(folder / "style_weights=0.5,seed=2"), "--quiet"]
    assert call([*again, "-o", str(tmp_path / "again.png")]) == 0
    first = (folder / "style_weights=0.5,seed=2/final.png").read_bytes()
    assert (tmp_path / "again.png").read_bytes() == first
    assert call(["render", "--from", str(folder)]) == 65
    assert "that of a series" in capfd.readouterr().err
