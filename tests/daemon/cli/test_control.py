"""Commands that leave requests, without a daemon."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.conftest import Ended, Run
from tests.daemon.cli.states import a_job, enter, incomplete, publish
from tests.daemon.faults import fill

from stylewatch_daemon.base.model import Input, now
from stylewatch_daemon.cli import control
from stylewatch_daemon.files import lock
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.settings.job import JobSettings

SETTINGS = JobSettings(backend="sketch", recipe="gatys", steps=30).model_dump(mode="json")


class Place:
    """A state folder with the job `trip`, and an outbox with its pictures."""

    def __init__(self, root: Path, run: Run) -> None:
        self.root, self._run = root, run
        fill(root / "out/trip", "inputs/sea.jpg", "inputs/wave.jpg", "stages/0010.png")

    def enter(self, seen: str, **more: Any) -> None:
        inputs = (Input("content", "sea.jpg", "", 14), Input("style", "wave.jpg", "", 15))
        values = {"outbox": str(self.root / "out"), "inputs": inputs, "settings": SETTINGS}
        enter(self.root, a_job("trip", seen, **{**values, **more}))

    def run(self, *words: object) -> Ended:
        return self._run(*words, "--state", self.root)

    @property
    def requests(self) -> list[tuple[str, dict[str, Any]]]:
        """The verbs and arguments of the requests that were left."""
        return [(left.verb, dict(left.arguments)) for left in requests.waiting(self.root)]


@pytest.fixture
def place(tmp_path: Path, run: Run) -> Place:
    return Place(tmp_path, run)


def test_a_request_stays_for_a_busy_daemon(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.enter("running")
    monkeypatch.setattr(control, "ANSWER_WITHIN_S", 0.0)
    with lock.held(place.root / "lock"):
        ended = place.run("finish", "trip")
    assert ended.code == 0 and ended.out.startswith("requested; the daemon has not answered yet")
    assert place.requests == [("finish", {"job": "id-trip"})]


def test_the_status_has_a_pause_and_its_end_from_when_they_are_recorded(place: Place) -> None:
    place.enter("waiting")
    for verb, is_paused in (("pause", True), ("resume", False), ("pause", True)):
        place.run(verb)
        assert json.loads(place.run("status", "--json").out)["health"]["paused"] == is_paused


@pytest.mark.parametrize("verb", ["cancel", "finish", "retry", "dismiss"])
def test_an_ended_or_unknown_job_and_an_incomplete_pair_are_reported(
    place: Place, verb: str
) -> None:
    place.enter("done", finished="2026-01-02T14:03:59+02:00")
    if verb in ("cancel", "finish"):
        assert "trip has ended (done, 2026-01-02 12:03 UTC)" in place.run(verb, "id-trip").err
        publish(place.root, incomplete=[incomplete("trip")])
        ended = place.run(verb, "trip")
        assert "trip is incomplete" in ended.err, "the new pair of that name is meant rather"
    ended = place.run(verb, "trap")
    assert ended.code == 64 and "trip" in ended.err
    pair = incomplete("s_a", "a style", Path("/in/s_a/content.jpg"), Path("/in/s_a/init.jpg"))
    publish(place.root, incomplete=[pair])
    ended = place.run(verb, "s:a")
    assert (ended.code, place.requests) == (65, [])
    reason = "it waits for a style; to end that, remove its files from /in/s_a\n"
    assert ended.err.endswith(reason)


@pytest.mark.parametrize("verb", ["cancel", "finish"])
def test_a_job_that_waits_to_run_again_is_meant_by_its_name(place: Place, verb: str) -> None:
    place.enter("done")
    again = {"id": "id-trip-again", "place": None, "settings": SETTINGS}
    enter(place.root, a_job("trip", "waiting", **again))
    assert place.run(verb, "trip").code == 0
    assert place.requests == [(verb, {"job": "id-trip-again"})]


def test_refused_and_failed_jobs_are_dismissed_by_name_or_all(place: Place) -> None:
    place.enter("refused")
    assert place.run("dismiss", "trip").code == place.run("dismiss", "--all").code == 0
    named, every = (arguments for _, arguments in place.requests)
    assert named == {"jobs": ["id-trip"]} and every["until"] <= now()
    for words, part in (((), "name the jobs to dismiss"), (("trip", "--all"), "name the jobs")):
        ended = place.run("dismiss", *words)
        assert ended.code == 64 and part in ended.err
    place.enter("done")
    ended = place.run("dismiss", "trip")
    assert ended.code == 65
    assert "trip is done: only refused and failed jobs can be dismissed" in ended.err


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--set", "watch.quiet_s=1", "--set", "recipe=a.yaml"], ["watch.quiet_s", "a.yaml"]),
        (["--size", "wide", "--strength", "0.5"], ["size: should be 640"]),
        (["--mask", "m.png"], ["leave out --mask"]),
        (["--sweep", "seed=1,2"], ["--sweep"]),
        (["--init", "start.png"], ["leave out --init"]),
        (["--from-stage", "7"], ["trip has no stage 7; there are 10"]),
        (["--from-stage", "0"], ["trip has no stage 0; there are 10"]),
    ],
)
def test_every_mistake_in_a_retry_is_reported_and_nothing_requested(
    place: Place, words: list[str], parts: list[str]
) -> None:
    place.enter("running")
    ended = place.run("retry", "trip")
    assert ended.code == 65 and "trip has not ended, so it cannot be run again: " in ended.err
    place.enter("done")
    ended = place.run("retry", "trip", *words)
    assert ended.code in (64, 65)
    assert all(part in ended.err for part in parts), ended.err
    (place.root / "out/trip/inputs/wave.jpg").unlink()
    ended = place.run("retry", "trip")
    assert ended.code == 65 and "wave.jpg (style)" in ended.err
    assert place.requests == []


def test_a_retry_takes_the_options_of_submit(place: Place) -> None:
    place.enter("done")
    assert place.run("retry", "trip", "--size", "64", "--stroke", "2", "--init", "noise").code == 0
    ((verb, arguments),) = place.requests
    settings = arguments["settings"]
    assert (verb, settings["size"], settings["stroke"]) == ("retry", "64", 2.0)
    assert (settings["init"], settings["recipe"], settings["steps"]) == ("noise", "gatys", 30)


def test_a_job_refused_for_its_job_file_is_corrected_there_or_by_options(place: Place) -> None:
    fill(place.root / "out", "_refused/trip/sea.jpg", "_refused/trip/wave.jpg")
    file = place.root / "out/_refused/trip/job.yaml"
    file.write_text("strength: 9\nsize: 64\n")
    inputs = (
        Input("content", "sea.jpg", "", len("_refused/trip/sea.jpg")),
        Input("style", "wave.jpg", "", len("_refused/trip/wave.jpg")),
        Input("job", "job.yaml", "", 21, "5" * 64),
    )
    job = a_job("trip", "refused", outbox=str(place.root / "out"), inputs=inputs,
                place=None, refused_as="_refused/trip")  # fmt: skip
    enter(place.root, job)
    ended = place.run("retry", "trip")
    assert ended.code == 65 and "line 1: strength" in ended.err
    assert f"correct {file}, and retry again" in ended.err
    assert place.run("retry", "trip", "--strength", "0.5").code == 0
    file.write_text("strength: 0.9\nsize: 64\n")
    assert place.run("retry", "trip").code == 0
    settings = [arguments["settings"] for _, arguments in place.requests]
    assert [(each["strength"], each["size"]) for each in settings] == [(0.5, "64"), (0.9, "64")]


def test_a_retry_that_is_no_job_yet_is_canceled_by_its_id(place: Place) -> None:
    place.enter("done")
    assert place.run("retry", "trip").code == 0
    new = place.requests[0][1]["new"]
    ended = place.run("cancel", new)
    assert ended.code == 0 and ended.out.startswith("recorded for the next start"), ended.err
    assert place.requests[1:] == [("cancel", {"job": new})]
    assert place.run("cancel", "trip").code == 65


def test_a_retry_knows_no_sweep(place: Place) -> None:
    place.enter("done")
    ended = place.run("retry", "trip", "--set", "sweep={seed: [3]}")
    assert ended.code == 64 and "sweep" in ended.err
    assert place.requests == []


@pytest.mark.parametrize(("seen", "sentence"), [
    ("running", "canceling: trip ends after the current step"),
    ("canceled", "canceled: the inputs are in "),
])  # fmt: skip
def test_what_becomes_of_a_canceled_job_is_printed(
    seen: str, sentence: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(state: Path, request_id: int) -> bool:
        place.enter(seen, refused_as="_refused/trip")
        return False

    place.enter("running")
    monkeypatch.setattr(requests, "is_waiting", act)
    with lock.held(place.root / "lock"):
        ended = place.run("cancel", "trip")
    assert ended.code == 0 and ended.out.startswith(sentence)
