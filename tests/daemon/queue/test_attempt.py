"""Attempts are counted so that progress forgives, and a job that kills does not go on for ever."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import announced, fill, tree, waiting
from tests.daemon.settings_made import changed_settings, make_settings

from stylewatch_daemon.events import Reporter
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.model import CHECKPOINT, Progress, Started
from stylewatch_daemon.outbox.publish import RECEIPT
from stylewatch_daemon.queue.attempt import Try, Verdict, crashes, verdict
from stylewatch_daemon.settings.config import ServiceSettings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.resources import Demand
from stylewatch_daemon.store import journal
from stylewatch_daemon.store.journal import Attempt, File, Journal
from stylewatch_daemon.store.state import State, entry_of
from stylewatch_daemon.worker.contract import Done, Lost, Order, Saving, Stopped

CUT, ALONE, FAILED, STOPPED = "cut off", "cut off alone", "failed", "stopped"
STARTED = Started("sketch", "cpu", ((4, 4),), (2,))


def attempts(*ends: tuple[str, int]) -> tuple[Attempt, ...]:
    return tuple(Attempt("then", step=step, how=how) for how, step in ends)


@pytest.mark.parametrize(
    ("ends", "count"),
    [
        ([], 0),
        ([("failed", 0), ("failed", 0)], 2),
        ([("failed", 0), ("cut off", 0)], 1),
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
    assert crashes((beside, *attempts(("failed", 0), ("failed", 0)))) == 2
    assert verdict((replace(beside, how=CUT),) * 9, 3) is Verdict.AS_ANY


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([], Verdict.AS_ANY),
        ([(CUT, 0)] * 2, Verdict.AS_ANY),
        ([(CUT, 0)] * 3, Verdict.ALONE),
        ([(CUT, 0)] * 9, Verdict.ALONE),
        ([(FAILED, 0)] * 3, Verdict.GIVEN_UP),
        ([(FAILED, 0)] * 2 + [(CUT, 0)] * 2, Verdict.AS_ANY),
        ([(FAILED, 0)] * 2 + [(CUT, 0)] * 3, Verdict.ALONE),
        ([(CUT, 0), (STOPPED, 0), (CUT, 0), ("paused", 0), (CUT, 0)], Verdict.ALONE),
        ([(CUT, 0)] * 3 + [(CUT, 50)], Verdict.AS_ANY),
        ([(CUT, 50)] * 3, Verdict.ALONE),
        ([(CUT, 0)] * 3 + [(ALONE, 0)], Verdict.GIVEN_UP),
        ([(CUT, 0)] * 3 + [(ALONE, 0), (CUT, 50)], Verdict.AS_ANY),
        ([(CUT, 0)] * 3 + [(STOPPED, 0)], Verdict.ALONE),
        ([(CUT, 0)] * 3 + [(FAILED, 0)], Verdict.ALONE),
        ([(CUT, 0)] * 3 + [(FAILED, 0)] * 3, Verdict.GIVEN_UP),
        ([(CUT, 50)] * 3 + [(ALONE, 20)], Verdict.GIVEN_UP),
    ],
)
def test_a_job_that_goes_down_with_the_daemon_is_run_alone_before_it_is_given_up(
    ends: list[tuple[str, int]], expected: Verdict
) -> None:
    assert verdict(attempts(*ends), 3) is expected


def test_an_attempt_alone_is_written_down_as_such_until_it_gets_further(
    service: ServiceSettings,
) -> None:
    one = begun(service, JobSettings(), attempts=attempts(*[(CUT, 0)] * 3))
    assert one.alone
    assert one.journal.attempts[-1].how == ALONE
    step = Progress(1, 6, (4, 4), loss=1.0, seconds=1.0)
    for event in (STARTED, step, Saving()):
        one.hear(event)
    assert one.journal.attempts[-1].how == ALONE
    one.hear(step)
    assert one.journal.attempts[-1].how == CUT
    one.end("stopped")
    assert one.journal.attempts[-1].how == STOPPED


def test_any_other_attempt_is_not(service: ServiceSettings) -> None:
    one = begun(service, JobSettings(), attempts=attempts(*[(CUT, 0)] * 2))
    assert not one.alone
    assert one.journal.attempts[-1].how == CUT


@pytest.fixture
def service(tmp_path: Path) -> ServiceSettings:
    return make_settings((), tmp_path / "state", backends={"sketch": {"seconds_per_step": 1}})


def job(service: ServiceSettings, **changes: Any) -> tuple[Journal, State]:
    state = State(service.state.path)
    state.make()
    look = Look(1, 2, 3)
    content = File("content", "photo.jpg", Path("/in/photo.jpg"), look, own=True)
    style = File("style", "wave.jpg", Path("/in/wave.jpg"), look, own=True)
    inbox, outbox = Path("/in"), service.state.path.parent / "out"
    made = Journal("1", "album/photo", inbox, outbox, "archive", (content, style))
    made = replace(made, state="queued", **changes)
    fill(state.jobs / "1" / "files", "photo.jpg", "wave.jpg")
    journal.save(made, state.jobs / "1")
    state.ledger.enter([entry_of(made)])
    state.ledger.write_attempts("1", made.attempts)
    return made, state


def order_of(one: Try, settings: JobSettings, service: ServiceSettings) -> Order:
    """The order for an attempt that is begun now."""
    one.begin(settings, service)
    return one.order(settings, service)


def begun(service: ServiceSettings, settings: JobSettings, **changes: Any) -> Try:
    made, state = job(service, **changes)
    one = Try(made, state, Reporter())
    one.begin(settings, service)
    assert waiting(state) == [one.journal]
    one.order(settings, service)
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


def ordered(service: ServiceSettings, settings: JobSettings, **changes: Any) -> Order:
    made, state = job(service, **changes)
    return order_of(Try(made, state, Reporter()), settings, service)


def test_the_last_picture_goes_by_its_pattern(service: ServiceSettings) -> None:
    assert ordered(service, JobSettings(final="{stem}-{style}")).final == "photo-wave"


def test_the_folder_of_a_flat_album_is_apart(service: ServiceSettings) -> None:
    order = ordered(service, JobSettings(flat=True))
    assert (order.name, order.final) == ("_jobs/album/photo", "final")


def test_a_flat_job_stays_flat_whatever_settings_say_later(service: ServiceSettings) -> None:
    """Its folder, which it keeps, has reserved the name."""
    order = ordered(service, JobSettings(final="{stem}"), place="_jobs/album/photo")
    assert (order.name, order.final) == ("_jobs/album/photo", "final")
    order = ordered(service, JobSettings(flat=True), place="album/photo")
    assert (order.name, order.final) == ("album/photo", "final")


def test_a_series_keeps_a_folder_of_its_own_in_a_flat_album(service: ServiceSettings) -> None:
    series = JobSettings.model_validate({"flat": True, "sweep": {"seed": [1, 2]}})
    assert begun(service, series).name == "album/photo"


def test_a_job_goes_on_in_the_folder_it_had(service: ServiceSettings) -> None:
    assert begun(service, JobSettings(), place="elsewhere").name == "elsewhere"
    assert (service.state.path.parent / "out/elsewhere").is_dir()


def test_the_order_names_earlier_attempts_and_the_backends_options(
    service: ServiceSettings,
) -> None:
    earlier = Attempt("then", backend="torch", how="failed", reason="no memory")
    made, state = job(service, attempts=(earlier,))
    service = changed_settings(service, out_of_memory="smaller", memory=5)
    order = order_of(Try(made, state, Reporter()), JobSettings(backend="sketch"), service)
    assert (order.out_of_memory, order.memory) == ("smaller", 5)
    assert order.attempts == ({"backend": "torch", "ended": "failed: no memory"},)
    assert order.backend_options == {"seconds_per_step": 1}
    assert order.staging.is_dir()


def test_the_last_try_begins_at_the_beginning(service: ServiceSettings) -> None:
    made, state = job(service, attempts=attempts(("failed", 0)))
    for earlier, there in ((1, True), (2, False)):
        fill(state.jobs / "1", CHECKPOINT)
        one = Try(replace(made, attempts=attempts(("failed", 0)) * earlier), state, Reporter())
        order = order_of(one, JobSettings(), service)
        assert order.checkpoint is not None
        assert order.checkpoint.exists() is there


FIRST, SECOND = "stages/0001.png", "stages/0002.png"


def test_what_was_finished_before_a_kill_is_published_once_it_is_told_of_again(
    service: ServiceSettings,
) -> None:
    out = service.state.path.parent / "out"
    fill(out / ".staging" / "1", FIRST, SECOND, ".half.tmp")
    one = begun(service, JobSettings())
    assert tree(out) == {}
    one.hear(replace(STARTED, step=1))
    one.hear(announced(FIRST, 1))
    assert tree(out) == {f"album/photo/{FIRST}": FIRST}


class Telling(Reporter):
    """Remembers what is there, by name."""

    def __init__(self) -> None:
        self.there: list[str] = []

    def staged(self, job: str, path: Path) -> None:
        self.there.append(path.name)


def test_what_is_told_of_again_is_reported_once(service: ServiceSettings) -> None:
    made, state = job(service)
    telling = Telling()
    one = Try(made, state, telling)
    fill(order_of(one, JobSettings(), service).staging, FIRST)
    one.hear(STARTED)
    one.hear(announced(FIRST, 1))
    one.end("stopped")
    other = Try(one.journal, state, telling)
    order_of(other, JobSettings(), service)
    other.hear(replace(STARTED, step=1))
    other.hear(announced(FIRST, 1))
    assert telling.there == ["0001.png"]
    (service.state.path.parent / "out/album/photo" / FIRST).unlink()
    assert other.hear(announced(FIRST, 1)) is None, "people may take away what is theirs"


def elsewhere(service: ServiceSettings) -> tuple[Try, Order]:
    """An attempt that another machine makes."""
    made, state = job(service)
    one = Try(made, state, Reporter())
    return one, order_of(one, JobSettings(), changed_settings(service, cluster=Demand()))


def test_a_file_that_is_not_what_was_announced_is_published_by_nobody(
    service: ServiceSettings,
) -> None:
    one, order = elsewhere(service)
    assert order.checkpoint is not None
    fill(order.staging, FIRST, RECEIPT, order.checkpoint.name)
    (order.staging / FIRST).write_text("another")
    one.hear(announced(FIRST, 1))
    one.hear(announced(RECEIPT, 1))
    assert tree(service.state.path.parent / "out") == {}
    for end in (Done({}), Stopped(1)):
        lost = one.hear(end)
        assert isinstance(lost, Lost)
        assert lost.reason == f"what lies in .staging is not what was announced: {FIRST}"
    assert not order.checkpoint.exists(), "it tells of that file, too"


def test_so_it_is_with_a_receipt(service: ServiceSettings) -> None:
    one, order = elsewhere(service)
    fill(order.staging, RECEIPT)
    one.hear(replace(announced(RECEIPT), sha256="12ab"))
    assert isinstance(one.hear(Done({})), Lost)


def test_a_worker_may_be_ahead_of_its_words(service: ServiceSettings) -> None:
    """Of losses that it wrote twice the first word is heard when the second ones lie there."""
    one, order = elsewhere(service)
    fill(order.staging, "losses.csv", RECEIPT)
    one.hear(replace(announced("losses.csv", 1), sha256="12ab"))
    assert tree(service.state.path.parent / "out") == {}
    one.hear(announced("losses.csv", 2))
    assert tree(service.state.path.parent / "out") == {"album/photo/losses.csv": "losses.csv"}
    assert one.hear(Done({})) == Done({})


def test_when_it_is_done_only_stages_of_that_painting_are_left(service: ServiceSettings) -> None:
    """Others were published of one that was begun before, larger, and given up."""
    out = service.state.path.parent / "out"
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
    order = order_of(Try(masked, state, Reporter()), JobSettings(), service)
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
    order = order_of(Try(one.journal, state, Reporter()), JobSettings(backend="sketch"), service)
    record = {"backend": "sketch", "device": "cpu", "decided": {"batch": 3}, "ended": "stopped"}
    assert order.attempts == (record,)
    assert [one.together for one in state.ledger.story("1")] == [3, 1]
