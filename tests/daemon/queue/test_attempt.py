"""An attempt: entered before it begins, ordered, its files published, wherever it runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.daemon.faults import announced, fill, tree
from tests.daemon.queue.test_states import attempts
from tests.daemon.queue.world import World
from tests.daemon.world import changed_settings, make_settings

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files.identity import Look
from stylewatch_daemon.model import CHECKPOINT, AttemptEnd, JobState, Progress, Started
from stylewatch_daemon.outbox import publish
from stylewatch_daemon.outbox.publish import CLIP_FOLDER, RECEIPT, Outbox
from stylewatch_daemon.outbox.status_txt import Running
from stylewatch_daemon.queue import attempt_dir
from stylewatch_daemon.queue.attempt import ActiveAttempt
from stylewatch_daemon.queue.attempt_dir import AttemptFiles
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.settings.sections import Demand, Executor
from stylewatch_daemon.store.journal import Attempt, File, Journal
from stylewatch_daemon.worker.messages import Done, Lost, Order, Saving, Stopped

STARTED = Started("sketch", "cpu", ((4, 4),), (2,))
FIRST, SECOND = "stages/0001.png", "stages/0002.png"


class Attempts(World):
    """A queued job, and the settings of the daemon by which attempts at it begin."""

    def __init__(self, root: Path, **values: Any) -> None:
        super().__init__(root, files=("album/photo.jpg", "album/style.jpg"))
        options = {"sketch": {"seconds_per_step": 1}}
        self.service = make_settings((), self.state.root, backends=options, **values)

    def job(self, **changes: Any) -> Journal:
        return self.state.save(self.jobs[0], **changes)

    def begin(self, job: Journal | None = None, **settings: Any) -> tuple[ActiveAttempt, Order]:
        attempt = ActiveAttempt(job or self.job(), self.state, self.reporter, self.service)
        attempt.apply(JobSettings.model_validate(settings))
        attempt.begin()
        return attempt, attempt.order()

    def retry(self, attempt: ActiveAttempt) -> tuple[ActiveAttempt, Order]:
        """Let the attempt fail, and begin the next one."""
        attempt.end(AttemptEnd.FAILED, JobState.QUEUED)
        return self.begin(attempt.job)

    @property
    def published(self) -> dict[str, str]:
        return tree(self.outbox)


@pytest.fixture
def world(tmp_path: Path) -> Attempts:
    return Attempts(tmp_path)


@pytest.fixture
def cluster(tmp_path: Path) -> Attempts:
    """A world whose jobs run on other machines."""
    return Attempts(tmp_path, cluster=Demand())


def test_an_attempt_that_runs_alone_is_entered_as_such_until_it_gets_further(
    world: Attempts,
) -> None:
    attempt, _ = world.begin(world.job(attempts=attempts(*[(AttemptEnd.CUT_OFF, 0)] * 3)))
    assert attempt.running == Running("album/photo", id="1")
    step = Progress(1, 6, (4, 4), loss=1.0, seconds=1.0)
    for event in (STARTED, step, Saving()):
        attempt.handle(event)
        assert (attempt.alone, attempt.job.attempts[-1].how) == (True, "cut off alone")
    attempt.handle(step)
    assert attempt.job.attempts[-1].how == "cut off"
    assert attempt.running == Running("album/photo", 1, 6, 1.0, (4, 4), None, "cpu", "1")


def test_the_progress_of_a_clip_counts_frames_from_its_start_on(world: Attempts) -> None:
    attempt, _ = world.begin(replace(world.job(), frames=8))
    attempt.handle(STARTED)
    assert attempt.running == Running("album/photo", 0, 2, device="cpu", id="1", unit="frame")
    attempt.handle(Progress(1, 2, (4, 4), 1.0, 1.0, "frame"))
    assert attempt.running.unit == "frame"


@pytest.mark.parametrize(
    ("had", "settings", "place", "final"),
    [
        (None, {"name": "{folder}-{seed}", "seed": 7, "final": "{stem}-{style}"},
         "album-7", "photo-style"),
        ("_jobs/album/photo", {"final": "{stem}"}, "_jobs/album/photo", "final"),
        ("album/photo", {"flat": True}, "album/photo", "final"),
    ],
)  # fmt: skip
def test_names_go_by_their_patterns_and_a_job_keeps_its_folder_and_layout(
    had: str | None, settings: dict[str, Any], place: str, final: str, world: Attempts
) -> None:
    _, order = world.begin(world.job(place=had), **settings)
    assert (order.name, order.final) == (place, final)
    assert (world.outbox / place).is_dir()


def test_the_order_has_earlier_attempts_masks_and_options(world: Attempts) -> None:
    earlier = Attempt("then", backend="torch", how="failed", reason="no memory")
    job = world.job(attempts=(earlier,))
    mask = File("content-mask", "mask.png", Path("/in/mask.png"), Look(1, 2, 3), own=True)
    limits = {"out_of_memory": "smaller", "memory": 5}
    world.service = changed_settings(world.service, executor=Executor(batch=3), **limits)
    _, order = world.begin(replace(job, files=(*job.files, mask)), backend="sketch")
    assert (order.out_of_memory, order.memory, order.batch) == ("smaller", 5, 3)
    assert order.attempts == ({"backend": "torch", "ended": "failed: no memory"},)
    assert order.backend_options == {"seconds_per_step": 1}
    assert order.masks == {"content-mask": world.state.jobs / "1/files/mask.png"}


@pytest.mark.parametrize(("failed", "resumes"), [(1, True), (2, False)])
def test_the_last_attempt_begins_at_the_beginning(
    failed: int, resumes: bool, world: Attempts
) -> None:
    fill(world.state.jobs / "1", CHECKPOINT)
    _, order = world.begin(world.job(attempts=attempts(*[(AttemptEnd.FAILED, 0)] * failed)))
    assert order.checkpoint is not None
    assert order.checkpoint.exists() is resumes


@pytest.mark.parametrize("how", [AttemptEnd.STOPPED, AttemptEnd.CUT_OFF])
@pytest.mark.parametrize("limit", [1, 3])
def test_the_last_attempt_continues_from_its_own_checkpoint_after_each_stop(
    limit: int, how: AttemptEnd, world: Attempts
) -> None:
    world.service = changed_settings(world.service, attempts=limit)
    fill(world.state.jobs / "1", CHECKPOINT)
    crashed = attempts(*[(AttemptEnd.FAILED, 0)] * (limit - 1))
    stopped = Attempt("then", device="cpu", how=how)
    _, order = world.begin(world.job(attempts=(*crashed, stopped, stopped)))
    assert order.checkpoint is not None and order.checkpoint.exists()


def test_the_last_attempt_begins_at_the_beginning_where_the_one_before_did_not_start(
    world: Attempts,
) -> None:
    fill(world.state.jobs / "1", CHECKPOINT)
    ends = [*[(AttemptEnd.FAILED, 0)] * 2, (AttemptEnd.PAUSED, 0)]
    _, order = world.begin(world.job(attempts=attempts(*ends)))
    assert order.checkpoint is not None and not order.checkpoint.exists()


def test_files_left_by_a_kill_are_published_once_they_are_announced_again(world: Attempts) -> None:
    fill(world.outbox / ".staging" / "1", FIRST, SECOND, ".half.tmp")
    attempt, _ = world.begin()
    assert world.published == {}
    attempt.handle(replace(STARTED, step=1))
    attempt.handle(announced(FIRST, 1))
    assert world.published == {f"album/photo/{FIRST}": FIRST}
    (world.outbox / "album/photo" / FIRST).unlink()
    assert attempt.handle(announced(FIRST, 1)) is None, "people may take away what is theirs"
    assert world.reporter.published == ["0001.png"]


def test_a_published_start_may_be_announced_again(world: Attempts) -> None:
    fill(world.outbox / ".staging" / "1", "stages/0000.png")
    attempt, _ = world.begin()
    attempt.handle(replace(STARTED, step=1))
    for _ in range(2):
        assert attempt.handle(announced("stages/0000.png", 0)) is None
    assert world.reporter.published == ["0000.png"]


def test_at_its_end_only_the_stages_of_the_receipt_are_left(world: Attempts) -> None:
    attempt, _ = world.begin()
    assert attempt.handle(Done({})) != Done({}), "there is no receipt"
    fill(world.outbox / ".staging/1", RECEIPT)
    fill(world.outbox / "album/photo", SECOND, "stages/0004.png")
    done = Done({"stages": [{"file": SECOND}]})
    assert attempt.handle(done) == done
    assert [path.name for path in (world.outbox / "album/photo/stages").iterdir()] == ["0002.png"]


# -- attempts on other machines


def test_a_file_that_is_not_the_announced_one_is_not_published(cluster: Attempts) -> None:
    attempt, order = cluster.begin()
    assert order.checkpoint is not None
    fill(order.staging, FIRST, RECEIPT, "losses.csv", order.checkpoint.name)
    (order.staging / FIRST).write_text("another")
    attempt.handle(announced(FIRST, 1))
    attempt.handle(replace(announced(RECEIPT), sha256="12ab"))
    attempt.handle(replace(announced("losses.csv", 1), sha256="12ab"))
    assert cluster.published == {}
    attempt.handle(announced("losses.csv", 2))  # it was written twice meanwhile
    assert cluster.published == {"album/photo/losses.csv": "losses.csv"}
    for end in (Done({}), Stopped(1)):
        lost = attempt.handle(end)
        paths = f"{RECEIPT}, {FIRST}"
        assert lost == Lost(f"what is in .staging is not what was announced: {paths}")
    assert not order.checkpoint.exists(), "it refers to that file"


def test_each_attempt_has_a_folder_of_its_own_and_takes_over_what_the_last_one_left(
    cluster: Attempts,
) -> None:
    attempt, first = cluster.begin()
    outbox = Outbox(cluster.outbox)
    assert cluster.outbox / ".staging" / attempt_dir.place(outbox, attempt.job) == first.staging
    fill(first.staging, publish.STAGED_CHECKPOINT, FIRST)
    other, second = cluster.retry(attempt)
    assert first.staging != second.staging and not first.staging.exists()
    assert second.checkpoint == second.staging / publish.STAGED_CHECKPOINT
    assert second.checkpoint.read_text() == publish.STAGED_CHECKPOINT
    assert cluster.published == {}
    other.handle(replace(STARTED, step=1))
    other.handle(announced(FIRST, 1))
    assert cluster.published == {f"album/photo/{FIRST}": FIRST}


def test_of_several_checkpoints_that_of_the_latest_attempt_is_taken_over(
    cluster: Attempts,
) -> None:
    staging = cluster.outbox / ".staging/1"
    for name in (".2-1-1", ".10-1-1", ".1-1-1"):
        fill(staging / name, publish.STAGED_CHECKPOINT)
        (staging / name / publish.STAGED_CHECKPOINT).write_text(name)
    checkpoint = AttemptFiles(Outbox(cluster.outbox), "1").begin(".11-1-1")
    assert checkpoint.read_text() == ".10-1-1"


def test_the_last_attempt_takes_over_no_frames_of_a_clip(cluster: Attempts) -> None:
    attempt, first = cluster.begin()
    fill(first.staging, publish.STAGED_CHECKPOINT, f"{CLIP_FOLDER}/part-0.npz")
    other, second = cluster.retry(attempt)
    assert (second.staging / CLIP_FOLDER / "part-0.npz").exists()
    _, third = cluster.retry(other)
    assert third.checkpoint is not None and not third.checkpoint.exists()
    assert not (third.staging / CLIP_FOLDER).exists()


def test_what_a_machine_writes_that_was_thought_dead_is_not_published(cluster: Attempts) -> None:
    attempt, first = cluster.begin()
    _, second = cluster.retry(attempt)
    with pytest.raises(OutputError, match="is gone"):
        publish.stage(first.staging, "stages/1.png", b"late")
    fill(first.staging, RECEIPT, SECOND, publish.STAGED_CHECKPOINT)  # it sees no change yet
    assert second.checkpoint is not None and not second.checkpoint.exists()
    assert not Outbox(cluster.outbox).has_receipt("1")
    assert cluster.published == {}


def test_an_announced_file_on_another_machine_is_no_link_and_in_its_folder(
    cluster: Attempts,
) -> None:
    attempt, order = cluster.begin()
    (order.staging / "final.png").symlink_to("/etc/hostname")
    with pytest.raises(OSError, match="not a regular file"):
        attempt.handle(announced("final.png"))
    for path in ("../2/final.png", "/etc/hostname"):
        with pytest.raises(OutputError, match="leads out"):
            attempt.handle(announced(path))
