"""Commands that leave requests, without a daemon."""

import shutil
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.conftest import Place
from tests.daemon.faults import fill, replaced
from tests.daemon.states import incomplete

from stylewatch_daemon.base.model import End, Input, State
from stylewatch_daemon.cli import control, lookup
from stylewatch_daemon.client import operations
from stylewatch_daemon.files import lock
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.ledger.state_dir import LEDGER
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.settings.job import JobSettings

NOON = "2026-01-02T12:00:00+00:00"

SETTINGS = JobSettings(backend="sketch", recipe="gatys", steps=30).model_dump(mode="json")


@pytest.fixture
def trip(place: Place) -> dict[str, Any]:
    """The values of a job `trip`, with its pictures in an outbox."""
    fill(place.root / "out/trip", "inputs/sea.jpg", "inputs/wave.jpg", "stages/0010.png")
    inputs = (Input("content", "sea.jpg", "", 14), Input("style", "wave.jpg", "", 15))
    return {"outbox": str(place.root / "out"), "inputs": inputs, "settings": SETTINGS}


@pytest.mark.parametrize("verb", ["cancel", "finish", "retry", "dismiss", "show"])
def test_a_name_that_fits_two_jobs_is_refused_with_both(verb: str, place: Place) -> None:
    place.enter("Trip", "failed")
    place.enter("trip", "running")
    ended = place.run(verb, "TRIP")
    assert ended.code == 64 and "TRIP fits several jobs: Trip and trip, which differ" in ended.err
    assert place.requests == []
    place.enter("sky", "failed")
    assert place.run("dismiss", "SKY").code == 0
    assert place.requests == [{"verb": "dismiss", "jobs": ["id-sky"]}]


READING = ["status", "show trip", "retry trip", "cancel trip", "pause"]


@pytest.mark.parametrize(
    ("version", "code", "words", "commands"),
    [
        (99, 78, "was written by a newer stylewatch (version 99", [*READING, "run --once"]),
        (1, 75, "is of an earlier stylewatch: start the daemon", READING),
    ],
)
def test_a_ledger_of_another_version_is_refused_by_every_command(
    version: int, code: int, words: str, commands: list[str], place: Place, trip: dict[str, Any]
) -> None:
    """Its tables have what this version does not know, or lack what it needs."""
    place.enter("trip", "failed", **trip)
    file = place.state / LEDGER
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("ALTER TABLE jobs ADD COLUMN shelf TEXT")
        connection.execute("DROP TABLE hooks")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()
    before = file.read_bytes()
    for command in commands:
        ended = place.run(*command.split())
        said = ended.out + ended.err
        assert (ended.code, words in said, "damaged" in said) == (code, True, False), command
        assert file.read_bytes() == before


def test_a_request_stays_for_a_busy_daemon(
    place: Place, trip: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.enter("trip", "running", **trip)
    monkeypatch.setattr(control, "ANSWER_WITHIN_S", 0.0)
    with lock.held(place.state / "lock"):
        ended = place.run("finish", "trip")
    assert ended.code == 0 and ended.out.startswith("requested; the daemon has not answered yet")
    assert place.requests == [{"verb": "finish", "job": "id-trip"}]


def test_there_is_nothing_to_drain_without_a_daemon(place: Place) -> None:
    assert place.run("drain").out.startswith("there is nothing to drain: no daemon is running")
    assert place.requests == []


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        ("cancel trap", 64, "trip"),
        ("retry s:a", 65, "waits for a style; to end that, remove its files from /in/s_a\n"),
        ("cancel trip", 65, "trip is incomplete"),
        ("finish sea", 65, "sea will end (failed): there is nothing to finish"),
        ("finish sky", 65, "sky will end (canceled): there is nothing to finish"),
    ],
)
def test_what_has_no_job_or_ends_without_a_picture_is_reported(
    words: str, code: int, part: str, place: Place, trip: dict[str, Any]
) -> None:
    place.enter("trip", "done", **trip)
    place.enter("sea", "running", state=State.ENDING, end=End.FAILED)
    place.enter("sky", "running", asked=End.CANCELED)
    half = incomplete("s_a", "a style", "/in/s_a/content.jpg", "/in/s_a/init.jpg")
    place.publish(incomplete=[half, incomplete("trip", "a style")])
    ended = place.run(*words.split())
    assert ended.code == code and part in ended.err
    assert place.requests == []


def test_a_job_that_waits_to_run_again_is_meant_by_its_name(place: Place) -> None:
    place.enter("trip", "done")
    place.enter("trip", "waiting", id="id-trip-again", place=None, settings=SETTINGS)
    ended = place.run("finish", "trip")
    assert ended.code == 65 and "trip has no picture yet to finish with: cancel it" in ended.err
    assert place.run("cancel", "trip").code == 0
    assert place.requests == [{"verb": "cancel", "job": "id-trip-again"}]


@pytest.mark.parametrize(
    ("verb", "health", "answer"),
    [
        ("finish", {"opens": "2026-11-28T22:00:00+00:00"}, "Outside of executor.hours: jobs run"),
        ("finish", {"draining": True}, "Draining: running jobs are finished"),
        ("finish", {"trouble": ["trip: its disk is away"]}, "its disk is away"),
        ("finish", {}, ""),
        ("cancel", {"trouble": ["trip: its disk is away"]},
         "canceling: trip ends once that is possible: its disk is away"),
    ],
)  # fmt: skip
def test_the_answer_says_for_what_a_job_waits(
    verb: str, health: dict[str, Any], answer: str, place: Place
) -> None:
    job = {"state": State.ENDING, "end": End.CANCELED} if verb == "cancel" else {"step": 9}
    place.enter("trip", "waiting", **job)
    place.publish(health={"at_work": True, "since": NOON, **health})
    with lock.held(place.state / "lock"), replaced(requests, wait=lambda *_: True):
        ended = place.run(verb, "trip")
    assert ended.code == 0 and answer in ended.out
    assert ("once" in ended.out) is bool(answer)


def test_refused_and_failed_jobs_are_dismissed_by_name_or_all(place: Place) -> None:
    place.enter("trip", "refused")
    assert place.run("dismiss", "trip").code == place.run("dismiss", "--all").code == 0
    assert place.requests == 2 * [{"verb": "dismiss", "jobs": ["id-trip"]}]
    for words in ((), ("trip", "--all")):
        ended = place.run("dismiss", *words)
        assert ended.code == 64 and "name the jobs to dismiss" in ended.err


def test_refused_jobs_in_the_status_are_meant_before_others_of_their_name(
    place: Place, trip: dict[str, Any]
) -> None:
    place.enter("trip", "done", **trip)
    for number in (1, 2):
        refused = {"id": f"id-{number}", "place": None, "refused_as": f"_refused/trip-{number}"}
        place.enter("trip", "refused", **trip | refused)
    fill(place.root / "out/_refused", "trip-2/sea.jpg", "trip-2/wave.jpg")
    for verb in ("dismiss", "retry"):
        ended = place.run(verb, "trip")
        assert ended.code == 64 and "trip fits several jobs: id-1 (refused" in ended.err
    assert place.run("dismiss", "id-1").code == 0
    place.enter("trip", "refused", **trip | refused | {"id": "id-1", "dismissed": True})
    assert place.run("retry", "trip").code == 0
    dismiss, retry = place.requests
    assert (dismiss["jobs"], retry["job"]) == (["id-1"], "id-2")
    assert retry["settings"]["recipe"] == "gatys", "there is no job.yaml"


@pytest.mark.parametrize(
    ("seen", "words", "parts"),
    [
        ("done", ["--set", "watch.quiet_s=1", "--set", "recipe=a.yaml"], ["watch.quiet_s", "a.ya"]),
        ("done", ["--size", "wide", "--strength", "0.5"], ["size: should be 640"]),
        ("done", ["--mask", "m.png"], ["no such option: --mask"]),
        ("done", ["--init", "start.png"], ["leave out --init"]),
        ("done", ["--steps", "0"], ["steps: 0 only measures"]),
        ("failed", [], ["sea.jpg (content)", "wave.jpg (style)"]),
    ],
)
def test_every_mistake_in_a_retry_is_reported_and_nothing_requested(
    place: Place, seen: str, words: list[str], parts: list[str], trip: dict[str, Any]
) -> None:
    place.enter("trip", seen, **trip)
    if seen == "failed":
        shutil.rmtree(place.root / "out/trip/inputs")
    ended = place.run("retry", "trip", *words)
    assert ended.code in (64, 65) and place.requests == []
    assert all(part in ended.err for part in parts), ended.err


def test_a_retry_takes_the_options_of_submit_and_is_canceled_by_its_id(
    place: Place, trip: dict[str, Any]
) -> None:
    place.enter("trip", "done", **trip)
    assert place.run("retry", "trip", "--size", "64", "--stroke", "2", "--init", "noise").code == 0
    (request,) = place.requests
    settings = request["settings"]
    assert (request["verb"], settings["size"], settings["stroke"]) == ("retry", "64", 2.0)
    assert (settings["init"], settings["recipe"], settings["steps"]) == ("noise", "gatys", 30)
    ended = place.run("cancel", request["new"])
    assert ended.code == 0 and ended.out.startswith("recorded for the next start"), ended.err
    assert place.requests[1:] == [{"verb": "cancel", "job": request["new"]}]

    def withdraw(state: Path, ids: Collection[int], seconds: float) -> bool:
        with closing(LedgerWriter.open(state / LEDGER)) as ledger:
            for each in ledger.requests():
                ledger.remove_request(each.id)
        return True

    with lock.held(place.state / "lock"), replaced(requests, wait=withdraw):
        ended = place.run("cancel", request["new"])
    assert ended.code == 0 and ended.out == f"canceled: {request['new']} had not begun\n"


@pytest.mark.parametrize("had", [None, SETTINGS], ids=["before its start", "by the worker"])
def test_a_job_refused_for_its_job_file_is_corrected_there_or_by_options(
    place: Place, had: dict[str, Any] | None
) -> None:
    refused = place.root / "out/_refused/trip"
    fill(refused, "sea.jpg", "wave.jpg")
    (refused / "job.yaml").write_text("strength: 9\nsize: 64\n")
    names = {"content": "sea.jpg", "style": "wave.jpg", "job": "job.yaml"}
    inputs = tuple(
        Input(role, name, "", (refused / name).stat().st_size) for role, name in names.items()
    )
    where = {"outbox": str(place.root / "out"), "place": None, "refused_as": "_refused/trip"}
    place.enter("trip", "refused", inputs=inputs, settings=had, **where)
    ended = place.run("retry", "trip")
    assert ended.code == 65 and "line 1: strength" in ended.err
    assert f"correct {refused / 'job.yaml'}, and retry again" in ended.err
    assert place.run("retry", "trip", "--strength", "0.5").code == 0
    (refused / "job.yaml").write_text("strength: 0.9\nsize: 64\n")
    assert place.run("retry", "trip").code == 0
    settings = [request["settings"] for request in place.requests]
    assert [(each["strength"], each["size"]) for each in settings] == [(0.5, "64"), (0.9, "64")]


@pytest.mark.parametrize("is_begun", [False, True])
def test_to_cancel_a_job_that_has_ended_gives_up_its_deletion_unless_that_has_begun(
    is_begun: bool, place: Place
) -> None:
    place.enter("trip", "done")
    assert place.run("cancel", "trip").code != 0, "there is no deletion"
    operations.ask("delete", place.state, lookup.job_of(place.state, "trip"))

    def answer(state: Path, ids: Collection[int], seconds: float) -> bool:
        with closing(LedgerWriter.open(state / LEDGER)) as ledger:
            for each in ledger.requests():
                if not (is_begun and each.verb == "delete"):
                    ledger.remove_request(each.id)
        return True

    with lock.held(place.state / "lock"), replaced(requests, wait=answer):
        ended = place.run("cancel", "trip")
    said = "too late to keep" if is_begun else "not deleted"
    assert (ended.code, ended.out) == (0, f"{said}: trip\n")
