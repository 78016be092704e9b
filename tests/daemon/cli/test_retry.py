"""`stylewatch retry`: all that is wrong is told before a request is left for the daemon."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill

from stylewatch_daemon.cli import control
from stylewatch_daemon.cli.main import call
from stylewatch_daemon.files import lock
from stylewatch_daemon.model import JobState
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.ledger import FILE_NAME, Entry
from stylewatch_daemon.store.ledger_writer import LedgerWriter

HAD = JobSettings(backend="sketch", recipe="gatys", steps=30, set={"start": "style"})
ROLES = {"content": "sea.jpg", "style": "wave.jpg"}


class Place:
    """A state folder where the job `trip` is at its end, and an outbox with its pictures."""

    def __init__(self, root: Path) -> None:
        self.root = root
        fill(root / "out/trip/inputs", *ROLES.values())
        fill(root / "out/trip/stages", "0010.png", "0030.png")

    def enter(self, state: str = "done", job_file: str | None = None, **more: Any) -> None:
        inputs = [{"role": role, "name": name, "size": len(name)} for role, name in ROLES.items()]
        if job_file is not None:
            (self.root / "out/trip/inputs/trip.job.yaml").write_text(job_file)
            inputs.append({"role": "job", "name": "trip.job.yaml", "size": len(job_file)})
        entry = Entry(
            "1", "trip", str(self.root / "in"), str(self.root / "out"), state, "", (*inputs,), 0,
            **{"place": "trip", "settings": HAD.model_dump(mode="json"), **more},
        )  # fmt: skip
        ledger = LedgerWriter.open(self.root / FILE_NAME)
        ledger.enter([entry])
        ledger.close()

    def retry(self, *more: str) -> int:
        return call(["retry", "trip", "--state", str(self.root), *more])

    @property
    def asked(self) -> dict[str, Any] | None:
        """The arguments of the request that was left."""
        files = list((self.root / "requests").glob("*.json"))
        assert len(files) <= 1
        return json.loads(files[0].read_bytes())["arguments"] if files else None

    @property
    def settings(self) -> dict[str, Any]:
        """What of the settings that are asked for is not what the job had."""
        assert self.asked is not None
        had = HAD.model_dump(mode="json")
        asked: dict[str, Any] = self.asked["settings"]
        assert asked.keys() == had.keys()
        return {key: value for key, value in asked.items() if value != had[key]}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_request_names_the_new_job_and_all_its_settings(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.enter()
    assert place.retry() == 0
    assert place.asked is not None
    assert (place.asked["job"], place.asked["from_stage"]) == ("1", None)
    assert place.settings == {}
    told = capsys.readouterr()
    assert told.out.startswith("noted for the next start: no daemon is at work with ")
    assert told.err.endswith(f"trip will be painted again as the job {place.asked['new']}\n")


def test_what_is_set_now_goes_before_what_was_set_then(place: Place) -> None:
    place.enter()
    sets = ["steps=40", "objective.strength=0.1", "start=noise", "format=jpg"]
    assert place.retry(*(word for one in sets for word in ("--set", one))) == 0
    fields = {"start": "noise", "objective.strength": 0.1}
    assert place.settings == {"steps": 40, "format": "jpg", "set": fields}


def test_from_a_stage_it_starts_from_a_picture_with_the_steps_behind_it(place: Place) -> None:
    place.enter()
    assert place.retry("--from-stage", "10") == 0
    assert place.asked is not None
    assert place.asked["from_stage"] == 10
    assert place.settings == {"init": "picture", "from_step": 10, "set": {}}


def test_the_stages_of_one_that_began_at_a_stage_count_from_there(place: Place) -> None:
    began = HAD.model_copy(update={"from_step": 5, "steps": 100})
    place.enter(settings=began.model_dump(mode="json"))
    assert place.retry("--from-stage", "10") == 0
    assert place.settings["from_step"] == 15


def test_a_print_has_steps_after_those_of_its_preview(place: Place) -> None:
    """How many, only its sizes tell: the worker sees to it."""
    had = HAD.model_copy(update={"steps": 5, "preview": "100", "set": {"scales": []}})
    place.enter(settings=had.model_dump(mode="json"))
    assert place.retry("--from-stage", "30") == 0
    assert place.settings["from_step"] == 30


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "stepz=1"], ["stepz", "steps"]),
        (["--set", "steps=-1", "--set", "format=gif"], ["steps", "format"]),
        (["--set", "watch.quiet_s=1", "--set", "log.level=debug", "--set", "recipe=a.yaml"],
         ["watch.quiet_s", "log.level", "recipe a.yaml"]),
        (["--set", "recipe=monet"], ["monet"]),
        (["--set", "objective.style.layers.conv9_9=1"], ["conv9_9"]),
        (["--from-stage", "7"], ["trip has no stage 7; there are 10, 30"]),
        (["--from-stage", "30"], ["after it there is nothing to do"]),
        (["--from-stage", "10", "--set", "init=noise"], ["leave out --set init"]),
        (["--from-stage", "10", "--set", "start=noise"], ["leave out --set set.start"]),
    ],
)  # fmt: skip
def test_every_mistake_is_told_and_nothing_is_asked(
    place: Place, capsys: pytest.CaptureFixture[str], words: list[str], told: list[str]
) -> None:
    place.enter()
    assert place.retry(*words) in (64, 65)
    said = capsys.readouterr().err
    assert all(one in said for one in told), said
    assert place.asked is None


@pytest.mark.parametrize("state", ["claimed", "queued", "running", "ending"])
def test_what_is_not_at_its_end_is_to_be_cancelled_or_finished_first(
    place: Place, capsys: pytest.CaptureFixture[str], state: JobState
) -> None:
    place.enter(state)
    assert place.retry() == 64
    assert "`stylewatch cancel` ends it" in capsys.readouterr().err
    assert place.asked is None


def test_a_picture_that_is_gone_is_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.enter()
    (place.root / "out/trip/inputs/wave.jpg").unlink()
    assert place.retry() == 65
    said = capsys.readouterr().err
    assert said.startswith(f"stylewatch: wave.jpg (style) is no longer as it was in {place.root}")
    assert "put it there again" in said
    assert place.asked is None


def test_one_that_was_never_begun_has_the_settings_of_its_job_yaml(place: Place) -> None:
    text = "{backend: sketch, steps: 9, size: 40, set: {objective.strength: 0.1}}"
    place.enter("cancelled", text, settings=None)
    assert place.retry("--set", "steps=8") == 0
    assert place.asked is not None
    asked = JobSettings.model_validate(place.asked["settings"])
    assert (asked.backend, asked.steps, asked.size) == ("sketch", 8, "40")
    assert asked.set == {"objective.strength": 0.1}


@pytest.mark.parametrize(
    ("text", "sets", "code"),
    [
        ("steps: many", [], 78),
        ("steps: many", ["--set", "steps=8"], 0),
        ("recipe: /etc/painting.yaml", [], 64),
        ("recipe: /etc/painting.yaml", ["--set", "recipe=gatys"], 0),
    ],
)
def test_a_mistake_in_its_job_yaml_is_told_or_set_right(
    place: Place, text: str, sets: list[str], code: int
) -> None:
    place.enter("refused", text, settings=None)
    assert place.retry(*sets) == code
    assert (place.asked is None) == (code != 0)


def test_a_recipe_that_the_daemons_settings_name_by_file_is_left_to_them(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = place.root / "mine.yaml"
    recipe.write_text("extends: gatys\nabout: mine\n")
    config = place.root / "config.yaml"
    config.write_text(f"job: {{recipe: {recipe}}}\n")
    had = HAD.model_copy(update={"recipe": str(recipe)})
    place.enter(settings=had.model_dump(mode="json"))
    assert place.retry() == 64
    assert "--set recipe=NAME" in capsys.readouterr().err
    assert place.retry("--config", str(config)) == 0
    assert place.asked is not None
    assert "recipe" not in place.asked["settings"]


def test_a_daemon_that_is_busy_is_not_waited_for_without_end(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ANSWERS_WITHIN", 0.0)
    place.enter()
    with lock.held(place.root / "lock"):
        assert place.retry() == 0
    assert capsys.readouterr().out.startswith("asked; the daemon has not answered yet")


def test_of_a_job_that_there_is_not_the_nearest_is_told(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.enter()
    assert call(["retry", "trap", "--state", str(place.root)]) == 64
    assert "trip" in capsys.readouterr().err
