"""Attempts are counted so that progress forgives, and a job that kills does not go on for ever."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import fill, tree, waiting

from stylewatch_daemon import journal
from stylewatch_daemon.attempt import CHECKPOINT, Try, crashes
from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.execute.contract import Done, Started
from stylewatch_daemon.journal import Attempt, File, Journal
from stylewatch_daemon.reporter import Reporter
from stylewatch_daemon.scan import Look
from stylewatch_daemon.service_settings import ServiceSettings
from stylewatch_daemon.settings import JobSettings
from stylewatch_daemon.state import State, entry_of


def attempts(*ends: tuple[str, int]) -> tuple[Attempt, ...]:
    return tuple(Attempt("then", step=step, how=how) for how, step in ends)


@pytest.mark.parametrize(
    ("ends", "count"),
    [
        ([], 0),
        ([("failed", 0), ("cut off", 0)], 2),
        ([("stopped", 0), ("paused", 0)], 0),
        ([("failed", 0), ("stopped", 0), ("failed", 0)], 2),
        ([("failed", 0), ("failed", 0), ("failed", 50)], 1),
        ([("failed", 50), ("failed", 50), ("failed", 50)], 3),
        ([("failed", 50), ("failed", 0)], 2),
    ],
)
def test_crashes_in_a_row_count_until_a_later_checkpoint(
    ends: list[tuple[str, int]], count: int
) -> None:
    assert crashes(attempts(*ends)) == count


def test_what_went_wrong_beside_others_counts_for_none_of_them() -> None:
    beside = Attempt("then", how="failed", together=8)
    assert crashes((beside, *attempts(("failed", 0), ("cut off", 0)))) == 2


@pytest.fixture
def service(tmp_path: Path) -> ServiceSettings:
    return ServiceSettings((), tmp_path / "state", backends={"sketch": {"seconds_per_step": 1}})


def job(service: ServiceSettings, **changes: Any) -> tuple[Journal, State]:
    state = State(service.state)
    state.make()
    look = Look(1, 2, 3)
    content = File("content", "photo.jpg", Path("/in/photo.jpg"), look, own=True)
    style = File("style", "wave.jpg", Path("/in/wave.jpg"), look, own=True)
    inbox, outbox = Path("/in"), service.state.parent / "out"
    made = Journal("1", "album/photo", inbox, outbox, "archive", (content, style))
    made = replace(made, state="queued", **changes)
    fill(state.jobs / "1" / "files", "photo.jpg", "wave.jpg")
    journal.save(made, state.jobs / "1")
    state.ledger.enter([entry_of(made)])
    return made, state


def begun(service: ServiceSettings, settings: JobSettings, **changes: Any) -> Try:
    made, state = job(service, **changes)
    one = Try(made, state, Reporter())
    one.begin(settings, service)
    assert waiting(state) == [one.journal]
    return one


def test_an_attempt_is_written_down_before_it_begins(service: ServiceSettings) -> None:
    (now,) = begun(service, JobSettings(backend="sketch")).journal.attempts
    assert (now.ended, now.how, now.backend) == (None, "cut off", "sketch")
    assert (now.pid, bool(now.started)) == (os.getpid(), True)


@pytest.mark.parametrize(
    ("pattern", "place"),
    [
        ("{name}", "album/photo"),
        ("{folder}-{content}-{style}-{recipe}-{seed}", "album-photo-wave-gatys-7"),
        ("flat/{stem}", "flat/photo"),
    ],
)
def test_the_folder_goes_by_the_name_pattern(
    pattern: str, place: str, service: ServiceSettings
) -> None:
    settings = JobSettings(name=pattern, recipe="gatys", seed=7)
    assert begun(service, settings).name == place


def test_a_wrong_pattern_is_a_mistake_in_the_settings(service: ServiceSettings) -> None:
    with pytest.raises(SettingsError, match="unknown key 'nam'"):
        begun(service, JobSettings(name="{nam}"))


def test_a_job_goes_on_in_the_folder_it_had(service: ServiceSettings) -> None:
    assert begun(service, JobSettings(), place="elsewhere").name == "elsewhere"
    assert (service.state.parent / "out/elsewhere").is_dir()


def test_the_order_names_earlier_attempts_and_the_backends_options(
    service: ServiceSettings,
) -> None:
    earlier = Attempt("then", backend="torch", how="failed", reason="no memory")
    made, state = job(service, attempts=(earlier,))
    service = replace(service, out_of_memory="smaller", memory=5)
    order = Try(made, state, Reporter()).begin(JobSettings(backend="sketch"), service)
    assert (order.out_of_memory, order.memory) == ("smaller", 5)
    assert order.attempts == ({"backend": "torch", "ended": "failed: no memory"},)
    assert order.backend_options == {"seconds_per_step": 1}
    assert order.staging.is_dir()


def test_the_last_try_begins_at_the_beginning(service: ServiceSettings) -> None:
    made, state = job(service, attempts=attempts(("failed", 0)))
    for earlier, there in ((1, True), (2, False)):
        fill(state.jobs / "1", CHECKPOINT)
        one = Try(replace(made, attempts=attempts(("failed", 0)) * earlier), state, Reporter())
        order = one.begin(JobSettings(), service)
        assert order.checkpoint is not None
        assert order.checkpoint.exists() is there


def test_what_was_finished_before_a_kill_is_published(service: ServiceSettings) -> None:
    out = service.state.parent / "out"
    fill(out / ".staging" / "1", "stages/1.png", ".half.tmp")
    begun(service, JobSettings())
    assert tree(out) == {"album/photo/stages/1.png": "stages/1.png"}


def test_when_it_is_done_only_stages_of_that_painting_are_left(service: ServiceSettings) -> None:
    """Others were published of one that was begun before, larger, and given up."""
    out = service.state.parent / "out"
    one = begun(service, JobSettings())
    fill(out / ".staging" / "1", "receipt.json")
    fill(out / "album/photo", "stages/0002.png", "stages/0004.png")
    done = Done({"stages": [{"file": "stages/0002.png"}]})
    assert one.hear(done) == done
    assert [path.name for path in (out / "album/photo/stages").iterdir()] == ["0002.png"]


def test_pauses_that_repeat_are_kept_once(service: ServiceSettings) -> None:
    one = begun(service, JobSettings(), attempts=attempts(("paused", 0), ("paused", 0)))
    assert [attempt.how for attempt in one.journal.attempts] == ["paused", "cut off"]


def test_the_order_has_the_masks_by_whose_they_are(service: ServiceSettings) -> None:
    made, state = job(service)
    masks = [
        File(role, f"{role}.png", Path("/in/m"), Look(1, 2, 3), own=True)
        for role in ("content-mask", "style-1-mask")
    ]
    masked = replace(made, files=(*made.files, *masks))
    order = Try(masked, state, Reporter()).begin(JobSettings(), service)
    files = state.jobs / made.id / "files"
    assert order.masks == {one.role: files / one.name for one in masks}


def test_how_many_were_painted_at_once_is_written_down_and_told_later(
    service: ServiceSettings,
) -> None:
    made, state = job(service)
    one = Try(made, state, Reporter())
    one.begin(JobSettings(backend="sketch"), service, together=8)
    assert state.ledger.story("1")[0].together == 8
    one.hear(Started("sketch", "cpu", ((4, 4),), (2,), together=3))
    one.end("stopped")
    order = Try(one.journal, state, Reporter()).begin(JobSettings(backend="sketch"), service)
    record = {"backend": "sketch", "device": "cpu", "decided": {"batch": 3}, "ended": "stopped"}
    assert order.attempts == (record,)
    assert [one.together for one in state.ledger.story("1")] == [3, 1]
