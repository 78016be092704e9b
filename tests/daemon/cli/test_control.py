"""Commands that leave requests, without a daemon; tests/line has them with one. And `prune`."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.cli.conftest import Ended, Run
from tests.daemon.cli.states import enter, entry, publish
from tests.daemon.faults import fill, tree
from tests.daemon.finished import finish

from stylewatch_daemon.cli import control
from stylewatch_daemon.files import lock
from stylewatch_daemon.model import Incomplete
from stylewatch_daemon.outbox.status_txt import Status
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger_writer import now

HAD = JobSettings(backend="sketch", recipe="gatys", steps=30, set={"start": "style"})
ROLES = {"content": "sea.jpg", "style": "wave.jpg"}


class Place:
    """A state folder with the job `trip`, and an outbox with its pictures."""

    def __init__(self, root: Path, run: Run) -> None:
        self.root, self.run = root, run
        fill(root / "out/trip/inputs", *ROLES.values())
        fill(root / "out/trip/stages", "0010.png", "0030.png")

    def enter(self, state: str = "done", job_file: str | None = None, **more: Any) -> None:
        inputs = [{"role": role, "name": name, "size": len(name)} for role, name in ROLES.items()]
        if job_file is not None:
            (self.root / "out/trip/inputs/trip.job.yaml").write_text(job_file)
            inputs.append({"role": "job", "name": "trip.job.yaml", "size": len(job_file)})
        values = {"id": "1", "inbox": str(self.root / "in"), "outbox": str(self.root / "out"),
                  "inputs": tuple(inputs), "settings": HAD.model_dump(mode="json")}  # fmt: skip
        attempts = (Attempt("2026-01-01T00:00:00"),)
        enter(self.root, entry("trip", state, **{**values, **more}), attempts=attempts)

    def __call__(self, verb: str, *words: object) -> Ended:
        return self.run(verb, *words, "--state", self.root)

    def retry(self, *words: object) -> int:
        return self("retry", "trip", *words).code

    @property
    def requests(self) -> list[tuple[str, dict[str, Any]]]:
        """The verbs and arguments of the requests that were left."""
        files = sorted((self.root / "requests").glob("*.json"))
        plain = [json.loads(file.read_bytes()) for file in files]
        return [(request["verb"], request["arguments"]) for request in plain]

    @property
    def changes(self) -> dict[str, Any]:
        """The settings of the request that differ from those that the job had."""
        ((_, arguments),) = self.requests
        had = HAD.model_dump(mode="json")
        assert arguments["settings"].keys() == had.keys()
        return {key: value for key, value in arguments["settings"].items() if value != had[key]}


@pytest.fixture
def place(tmp_path: Path, run: Run) -> Place:
    return Place(tmp_path, run)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["pause"], {}),
        (["resume"], {}),
        (["cancel", "trip"], {"job": "1"}),
        (["finish", "trip"], {"job": "1"}),
    ],
)
def test_a_request_is_recorded_for_the_next_start_or_a_busy_daemon(
    place: Place, monkeypatch: pytest.MonkeyPatch, words: list[str], arguments: dict[str, str]
) -> None:
    place.enter("running")
    message = (
        f"recorded for the next start: no daemon is running with the state folder {place.root}\n"
    )
    ended = place(*words)
    assert (ended.code, ended.out) == (0, message)
    assert place.requests == [(words[0], arguments)]
    monkeypatch.setattr(control, "ANSWER_WITHIN_S", 0.0)
    with lock.held(place.root / "lock"):
        ended = place(*words)
    assert ended.code == 0
    assert ended.out.startswith("requested; the daemon has not answered yet")


def test_without_a_daemon_there_is_nothing_to_drain(tmp_path: Path, run: Run) -> None:
    ended = run("drain", "--state", tmp_path / "mine")
    assert (ended.code, list(tmp_path.iterdir())) == (0, [])
    assert ended.out.startswith("there is nothing to drain: no daemon is running")


def test_a_folder_that_cannot_be_written_is_exit_code_73(tmp_path: Path, run: Run) -> None:
    (tmp_path / "requests").touch()
    assert run("pause", "--state", tmp_path).code == 73


@pytest.mark.parametrize("verb", ["cancel", "finish"])
@pytest.mark.parametrize("state", ["done", "refused", "failed", "cancelled"])
def test_a_job_that_has_ended_is_left_unchanged(place: Place, verb: str, state: str) -> None:
    place.enter(state, finished="2026-01-02T14:03:59+02:00")
    ended = place(verb, "1")
    assert (ended.code, place.requests) == (65, [])
    assert f"trip has ended ({state}, 2026-01-02 12:03 UTC)" in ended.err


def test_a_job_that_was_not_started_cannot_be_finished(tmp_path: Path, run: Run) -> None:
    enter(tmp_path, entry("trip", "queued"))
    ended = run("finish", "trip", "--state", tmp_path)
    assert ended.code == 65 and "trip was not started, so it has no picture yet" in ended.err
    assert not (tmp_path / "requests").exists()


@pytest.mark.parametrize("verb", ["cancel", "finish", "retry", "dismiss"])
def test_an_unknown_job_and_an_incomplete_pair_are_reported(place: Place, verb: str) -> None:
    place.enter("queued")
    ended = place(verb, "trap")
    assert ended.code == 64 and "trip" in ended.err
    publish(place.root, Status(incomplete=(Incomplete("sea", "a style"),)))
    ended = place(verb, "sea")
    assert ended.code == 65
    assert "sea is not a job yet: it waits in the inbox for a style; remove its files" in ended.err
    assert place.requests == []


@pytest.mark.parametrize("verb", ["cancel", "finish"])
def test_an_incomplete_pair_is_meant_rather_than_an_old_job_of_its_name(
    place: Place, verb: str
) -> None:
    place.enter("done")
    publish(place.root, Status(incomplete=(Incomplete("trip", "a style"),)))
    assert "waits in the inbox for a style" in place(verb, "trip").err


def test_refused_and_failed_jobs_are_dismissed_by_name_or_all(place: Place) -> None:
    place.enter("refused")
    assert place("dismiss", "trip", "1").code == 0
    assert place("dismiss", "--all").code == 0
    named, every = (arguments for _, arguments in place.requests)
    assert named == {"jobs": ["1", "1"], "until": ""}
    assert every["jobs"] == [] and every["until"] <= now()
    assert place("dismiss").code == place("dismiss", "trip", "--all").code == 64
    for state in ("queued", "done", "cancelled"):
        place.enter(state)
        ended = place("dismiss", "trip")
        assert ended.code == 65
        assert f"trip is {state}: only refused and failed jobs can be dismissed" in ended.err
    assert len(place.requests) == 2


def test_a_retry_names_the_new_job_and_all_its_settings(place: Place) -> None:
    place.enter()
    ended = place("retry", "trip")
    ((verb, arguments),) = place.requests
    assert (ended.code, verb, place.changes) == (0, "retry", {})
    assert (arguments["job"], arguments["from_stage"]) == ("1", None)
    assert ended.err.endswith(f"trip will run again as the job {arguments['new']}\n")


def test_new_settings_override_the_old_ones(place: Place) -> None:
    place.enter()
    sets = ["steps=40", "objective.strength=0.1", "start=noise", "format=jpg"]
    assert place.retry(*(word for text in sets for word in ("--set", text))) == 0
    fields = {"start": "noise", "objective.strength": 0.1}
    assert place.changes == {"steps": 40, "format": "jpg", "set": fields}


@pytest.mark.parametrize(
    ("had", "stage", "from_step"),
    [
        ({}, 10, 10),
        ({"from_step": 5, "steps": 100}, 10, 15),
        # a print has steps after those of its preview; only the worker knows how many
        ({"steps": 5, "preview": "100", "set": {"scales": []}}, 30, 30),
    ],
)
def test_from_a_stage_it_starts_from_a_picture_with_the_remaining_steps(
    place: Place, had: dict[str, Any], stage: int, from_step: int
) -> None:
    place.enter(settings=HAD.model_copy(update=had).model_dump(mode="json"))
    assert place.retry("--from-stage", stage) == 0
    assert place.changes["from_step"] == from_step
    assert place.changes["init"] == "picture"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--set", "stepz=1"], ["stepz", "steps"]),
        (["--set", "steps=-1", "--set", "format=gif"], ["steps", "format"]),
        (["--set", "watch.quiet_s=1", "--set", "log.level=debug", "--set", "recipe=a.yaml"],
         ["watch.quiet_s", "log.level", "recipe a.yaml"]),
        (["--set", "recipe=monet"], ["monet"]),
        (["--set", "objective.style.layers.conv9_9=1"], ["conv9_9"]),
        (["--from-stage", "7"], ["trip has no stage 7; there are 10, 30"]),
        (["--from-stage", "30"], ["--from-stage 30"]),
        (["--from-stage", "10", "--set", "init=noise"], ["--set init"]),
        (["--from-stage", "10", "--set", "start=noise"], ["--set set.start"]),
    ],
)  # fmt: skip
def test_every_mistake_in_a_retry_is_reported_and_nothing_requested(
    place: Place, words: list[str], parts: list[str]
) -> None:
    place.enter()
    ended = place("retry", "trip", *words)
    assert ended.code in (64, 65)
    assert all(part in ended.err for part in parts), ended.err
    assert place.requests == []


def test_an_open_job_and_one_without_its_pictures_cannot_be_retried(place: Place) -> None:
    for state in ("claimed", "queued", "running", "ending"):
        place.enter(state)
        assert place.retry() == 64
    place.enter()
    (place.root / "out/trip/inputs/wave.jpg").unlink()
    ended = place("retry", "trip")
    assert ended.code == 65 and "wave.jpg (style)" in ended.err
    assert place.requests == []


@pytest.mark.parametrize(
    ("text", "sets", "code"),
    [
        ("steps: 9", [], 0),
        ("steps: many", [], 78),
        ("steps: many", ["--set", "steps=9"], 0),
        ("recipe: /etc/painting.yaml", [], 64),
        ("recipe: /etc/painting.yaml", ["--set", "recipe=gatys", "--set", "steps=9"], 0),
    ],
)
def test_a_job_that_never_started_has_the_settings_of_its_job_yaml(
    place: Place, text: str, sets: list[str], code: int
) -> None:
    place.enter("refused", text, settings=None)
    assert place.retry(*sets) == code
    steps = [arguments["settings"]["steps"] for _, arguments in place.requests]
    assert steps == ([] if code else [9])


def test_a_recipe_file_that_the_daemons_settings_name_is_left_to_them(place: Place) -> None:
    recipe, config = place.root / "mine.yaml", place.root / "config.yaml"
    recipe.write_text("extends: gatys\nabout: mine\n")
    config.write_text(f"job: {{recipe: {recipe}}}\n")
    had = HAD.model_copy(update={"recipe": str(recipe)})
    place.enter(settings=had.model_dump(mode="json"))
    ended = place("retry", "trip")
    assert ended.code == 64 and "--set recipe=NAME" in ended.err
    assert place.retry("--config", config) == 0
    ((_, arguments),) = place.requests
    assert "recipe" not in arguments["settings"]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config.yaml that keeps stages for two days; two inboxes share an outbox."""
    (tmp_path / "config.yaml").write_text(
        "inboxes: [{path: a, outbox: out}, {path: b, outbox: out}]\nretention: {stages: 2 days}\n"
    )
    return tmp_path / "config.yaml"


def test_prune_removes_old_files_and_a_dry_run_only_lists_them(config: Path, run: Run) -> None:
    old = finish(config.parent / "out", "old\x1b", 3)
    finish(config.parent / "out", "new", 1)
    before = tree(config.parent)
    first, second, last = run("prune", "--dry-run", "--config", config).lines
    assert first == f" 20 bytes  {config.parent}/out/old?/stages/0001.png"
    assert second.endswith("0002.png") and last == "2 files would be removed: 40 bytes"
    assert tree(config.parent) == before
    ended = run("prune", "--config", config, "--set", "retention.inputs=3")
    assert ended.lines[-1].startswith("4 files removed: ")
    assert sorted(tree(old)) == ["final.png", "inputs/job.yaml", "losses.csv", "receipt.json"]
    assert run("prune", "--config", config).out == "0 files removed: 0 bytes\n"
    config.write_text("")
    assert run("prune", "--config", config).out.startswith("nothing: `retention` keeps all")


def test_prune_counts_the_jobs_that_the_daemon_will_forget(tmp_path: Path, run: Run) -> None:
    (tmp_path / "config.yaml").write_text("retention: {ledger: 30}\nstate: {path: .}\n")
    enter(tmp_path, entry("1", finished="2020-01-01T00:00:00+00:00"), entry("2", finished=now()),
          entry("3", "queued"))  # fmt: skip
    for dry in ([], ["--dry-run"]):
        *_, last = run("prune", "--config", tmp_path / "config.yaml", *dry).lines
        assert last.startswith("1 jobs in the ledger are for the daemon to forget")
