"""Jobs that are at their end are painted again, by commands and daemons in their own processes."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.daemon import FAST, PAIR, SLOW, Place, lines, until
from tests.e2e.invariants import Place as Promised
from tests.e2e.plan import Plan
from tests.e2e.strike import ended

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.ingest.inbox import new_id
from stylewatch_daemon.store import requests
from stylewatch_daemon.store.ledger import reading


def receipt(place: Place, job: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((place.root / f"outbox/{job}/receipt.json").read_bytes())
    return read


def test_a_job_is_painted_again_and_again_with_other_settings(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.start()
    assert call([*PAIR, "--steps", "3"]) == 0
    until(lambda: place.painted == ["sea-wave"])
    until(lambda: place.published["counts"]["done"] == 1)
    lines(capfd)
    assert call(["retry", "sea-wave", "--set", "steps=4"]) == 0
    (line,) = lines(capfd)
    assert line.startswith("sea-wave is painted again, as the job ")
    until(lambda: place.published["counts"]["done"] == 2)
    assert call(["show", line.split()[-1]]) == 0
    told = "\n".join(lines(capfd))
    assert "job       sea-wave-2\n" in told and "retry of  sea-wave\n" in told
    assert call(["retry", "sea-wave-2", "--set", "seed=1"]) == 0
    until(lambda: place.published["counts"]["done"] == 3)
    assert place.painted == ["sea-wave", "sea-wave-2", "sea-wave-3"]
    first, second, third = (receipt(place, job) for job in place.painted)
    assert "retry_of" not in first
    assert (second["retry_of"], third["retry_of"]) == ("sea-wave", "sea-wave-2")
    steps = [one["recipe"]["schedule"]["steps"] for one in (first, second, third)]
    assert (steps, third["seed"]) == ([3, 4, 4], 1)
    assert first["inputs"] == second["inputs"] == third["inputs"]
    assert call(["render", "--from", "outbox/sea-wave-3", "-o", "same.png", "-q"]) == 0
    assert Path("same.png").read_bytes() == Path("outbox/sea-wave-3/final.png").read_bytes()


def test_what_was_refused_is_painted_with_the_mistake_set_right(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call([*PAIR, "--name", "trip", "--steps", "3"]) == 0
    (place.root / "inbox/trip/job.yaml").write_text("{backend: sketch, steps: 3, recipe: monet}")
    assert call(["run", "--once", *FAST]) == 65
    lines(capfd)
    assert call(["retry", "trip", "--set", "recipe=gatys"]) == 0
    assert lines(capfd)[0].startswith("noted for the next start: no daemon is at work")
    assert call(["run", "--once", *FAST]) == 0
    assert receipt(place, "trip")["recipe"]["name"] == "gatys"
    assert (place.root / "outbox/_refused/trip/content.jpg").exists()


def test_what_was_cancelled_goes_on_from_a_stage(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.start(*SLOW)
    passes = ["--set", "scales=[{scale: 0.5, steps: 6}]", "--set", "smallest=1"]
    assert call([*PAIR, "--steps", "10000", "--save-every", "4", *passes]) == 0
    until(lambda: place.step > 4)
    until((place.root / "outbox/sea-wave/stages/00004.png").exists)
    assert call(["cancel", "sea-wave"]) == 0
    until(lambda: place.published["counts"]["cancelled"] == 1)
    lines(capfd)
    sets = ["--set", "strength=0.9", "--set", "steps=9"]
    assert call(["retry", "sea-wave", "--from-stage", "4", *sets]) == 0
    until(lambda: place.published["counts"]["done"] == 1)
    (job,) = place.painted
    again = receipt(place, job)
    assert (job, again["retry_of"]) == ("sea-wave-2", "sea-wave")
    schedule = again["recipe"]["schedule"]
    assert (schedule["start"], schedule["steps"]) == ("picture", 9)
    assert (schedule["scales"], schedule["done"]) == ([{"scale": 0.5, "steps": 6}], 4)
    assert again["recipe"]["objective"]["strength"] == 0.9
    start = next(one for one in again["inputs"] if one["role"] == "init")
    assert start["name"] == "stage-00004.png"
    with (place.root / f"outbox/{job}/losses.csv").open(encoding="utf-8") as table:
        widths = [row["width"] for row in csv.DictReader(table)]
    assert widths == ["24"] * 2 + ["48"] * 9
    assert call(["retry", job]) == 0  # with the same start, and as many steps
    until(lambda: place.published["counts"]["done"] == 2)
    finals = [(place.root / f"outbox/{one}/final.png").read_bytes() for one in place.painted]
    assert finals[0] == finals[1]


def test_a_link_in_place_of_a_picture_is_not_followed(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call([*PAIR, "--steps", "3"]) == 0
    assert call(["run", "--once", *FAST]) == 0
    content = place.root / "outbox/sea-wave/inputs/content.jpg"
    content.rename(place.root / "away.jpg")
    content.symlink_to(place.root / "away.jpg")
    assert call(["retry", "sea-wave"]) == 65
    assert "content.jpg (content) is no longer as it was in" in capfd.readouterr().err
    with reading(place.root / "state/ledger.sqlite3") as ledger:
        entry = ledger.find("sea-wave")
        assert entry is not None
        requests.leave(place.root / "state", "retry", job=entry.id, new=new_id(), settings={})
    assert call(["run", "--once", *FAST]) == 0
    assert place.painted == ["sea-wave"]
    assert len(list((place.root / "state/damaged").iterdir())) == 1  # what cannot be acted on


@pytest.mark.parametrize("step", ["retry copied", "retry whole", "retry taken", "retried"])
def test_a_daemon_that_is_killed_meanwhile_makes_one_job_of_it(tmp_path: Path, step: str) -> None:
    place, plan = Promised(tmp_path), Plan(str(tmp_path))
    place.drop("a")
    assert ended(plan.start()) == 0
    undisturbed = {name.replace("a/", "a-2/"): there for name, there in place.pictures().items()}
    with reading(place.state / "ledger.sqlite3") as ledger:
        entry = ledger.find("a")
    assert entry is not None
    new = new_id()
    requests.leave(place.state, "retry", job=entry.id, new=new, settings=entry.settings)
    assert ended(Plan(str(tmp_path), step=step, fault="kill supervisor").start()) == -9
    assert list(place.wrong_now(undisturbed)) == []
    assert ended(plan.start()) == 0
    assert list(place.wrong_now(undisturbed)) == []
    assert place.done() == ["a", "a-2"]
    assert undisturbed.items() <= place.pictures().items()
    with reading(place.state / "ledger.sqlite3") as ledger:
        again = ledger.find(new)
        assert ledger.counts()["done"] == sum(ledger.counts().values()) == 2
    assert again is not None
    assert (again.place, again.retry_of) == ("a-2", "a")
    published = Counter((tmp_path / "steps").read_text().splitlines())
    assert published["receipt of a-2"] == 1
    rooms = ("jobs", "claims", "requests", "damaged")
    assert [path for room in rooms for path in (place.state / room).glob("*")] == []
