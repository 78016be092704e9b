"""A job that has ended runs again as a new one: with which files, and by which settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.daemon.faults import fill, replaced
from tests.daemon.world import DaemonWorld, changed_settings, make_inbox, run_jobs

from stylewatch_daemon.base.model import End
from stylewatch_daemon.client.retries import settings_for
from stylewatch_daemon.files import disks, strangers
from stylewatch_daemon.files.system import system
from stylewatch_daemon.jobs import retries
from stylewatch_daemon.jobs.waits import PAUSE
from stylewatch_daemon.ledger import requests
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.worker.messages import Refused

NEW = "20990101T000000.000000-abcdef"


class World(DaemonWorld):
    """The job `a` is done; it had a mask and two styles, the second one with a mask."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        names = ("content.jpg", "content.mask.png", "style.jpg", "style-2.jpg", "style-2.mask.png")
        fill(self.inbox, *(f"a/{name}" for name in names))
        self.run()
        self.old = self.job("a")

    def retry(self, **more: Any) -> None:
        """Ask for a retry, and do all that follows; no worker is free for it."""
        self.executor.at_once = 0
        self.ask("retry", "a", new=NEW, settings={"steps": 7}, **more)
        run_jobs(self.loop)

    @property
    def inputs(self) -> dict[str, str]:
        """The files of the retry by their names, with what they hold."""
        return {path.name: path.read_text() for path in self.state.files(NEW).iterdir()}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# -- files


@pytest.mark.parametrize(
    ("asked", "roles"),
    [
        ({}, {"content.jpg": "content", "content.mask.png": "content-mask", "style.jpg": "style",
              "style-2.jpg": "style", "style-2.mask.png": "style-2-mask"}),
        ({"without": [1]}, {"content.jpg": "content", "content.mask.png": "content-mask",
                            "style-2.jpg": "style", "style-2.mask.png": "style-1-mask"}),
        ({"without": [2], "added": ["style.jpg", "job.yaml"], "from_stage": 5},
         {"content.jpg": "content", "content.mask.png": "content-mask", "style.jpg": "style",
          "style-2.jpg": "style", "job-2.yaml": "style", "stage-0005.png": "init"}),
    ],
    ids=["all", "without a style", "with others, from a stage"],
)  # fmt: skip
def test_a_retry_has_copies_of_the_wanted_files_under_names_of_their_own(
    asked: dict[str, Any], roles: dict[str, str], world: World
) -> None:
    fill(world.state.uploads, f"{NEW}/style.jpg", f"{NEW}/job.yaml")
    fill(world.outbox, "a/stages/0005.png")
    before = world.published
    world.retry(**asked)
    job = world.job(NEW)
    assert {file.name: file.role for file in job.inputs} == {**roles, "job.yaml": "job"}
    assert yaml.safe_load(world.inputs["job.yaml"]) == {"steps": 7}
    assert world.inputs["content.jpg"] == "a/content.jpg"
    assert (job.name, job.retry_of, job.seen) == ("a-2", "a", "waiting")
    assert ("a is painted again, as " + NEW,) in world.record.of("requested")
    world.retry(**asked)  # the same request again, as after a kill
    assert (world.counts, world.published) == ({"done": 1, "waiting": 1}, before)
    assert world.left == [NEW]


def test_what_a_kill_left_of_a_retry_counts_once_it_is_durable(world: World) -> None:
    """The kill may have come before the rename was synced, and its request is about to go."""
    world.retry()
    synced = list[Path]()
    job, limits, guard = world.job("a"), world.settings.limits, disks.MountGuard()
    (inbox,) = world.settings.inboxes
    with replaced(system, fsync=lambda handle: synced.append(shown_path(handle))):
        claim = retries.make_retry(
            world.state, job, NEW, "a-2", {}, [], inbox, (), limits, guard, lambda: None
        )
    assert claim.id == NEW and synced == [world.state.jobs]


def shown_path(handle: int) -> Path:
    return Path(f"/proc/self/fd/{handle}").readlink()


def test_a_huge_or_slow_file_is_not_copied_without_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = world.outbox / "a/stages/0005.png"
    with stage.open("wb") as file:  # a sparse file takes no space
        file.truncate(1 << 40)
    world.retry(from_stage=5)
    assert not world.state.retry(NEW).exists()
    assert requests.waiting(world.state.root) == [], "it is refused"
    stage.write_bytes(b"of a slow disk")
    monkeypatch.setattr(strangers, "PATIENCE_S", -1.0)
    world.retry()
    assert "reading it took longer" in world.record.of("waits")[-1][1]
    monkeypatch.undo()
    world.wait(2 * PAUSE.most)
    run_jobs(world.loop)
    assert world.job(NEW).seen == "waiting"


def test_what_a_power_cut_brought_back_of_a_retry_is_removed(world: World) -> None:
    """It has copies alone, so that nobody misses it: neither its request nor its claim is there."""
    fill(world.state.retry(NEW), "files/content.jpg")
    world.start()
    assert list(world.state.claims.iterdir()) == []


def test_an_outbox_that_is_away_and_a_full_disk_are_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(world.state.retry(NEW), "files/left by a try that failed")
    world.drop("gone")
    world.work()
    away = world.outbox.rename(world.root / "away")
    world.ask("delete", "gone")
    world.retry()
    away.rename(world.outbox)
    world.wait(2 * PAUSE.most)
    with monkeypatch.context() as patch:
        patch.setattr(disks, "free", lambda folder: 0)
        run_jobs(world.loop)
    reasons = [reason for _, reason in world.record.of("waits")]
    assert "is not there" in reasons[0]
    assert list(world.state.claims.iterdir()) == []
    assert "retry" in [request.verb for request in requests.waiting(world.state.root)]
    world.wait(2 * PAUSE.most)
    run_jobs(world.loop)
    assert world.counts == {"done": 1, "waiting": 1}
    assert not (world.outbox / "gone").exists()


@pytest.mark.parametrize("after", ["archive", "keep", "delete"])
@pytest.mark.parametrize("ending", [None, Refused("no")], ids=["painted", "refused"])
def test_an_upload_for_a_retry_is_published_unless_it_is_to_be_deleted(
    after: Any, ending: Refused | None, world: World
) -> None:
    inboxes = [make_inbox(world.inbox, world.outbox, after)]
    world.settings = changed_settings(world.settings, inboxes=tuple(inboxes))
    world.start()
    fill(world.state.uploads, f"{NEW}/uploaded.jpg")
    world.executor.endings = [ending]
    world.retry(added=["uploaded.jpg"])
    world.executor.at_once = 1
    run_jobs(world.loop)
    folder = world.outbox / ("a-2/inputs" if ending is None else "_refused/a-2")
    is_there = (folder / "uploaded.jpg").is_file()
    assert (is_there, world.left) == (ending is not None or after != "delete", [])
    has_content = (folder / "content.jpg").is_file()
    assert has_content == is_there, "the earlier job that has it may be deleted"


# -- settings


def test_a_retry_takes_no_recipe_fields_from_the_settings_of_the_daemon(world: World) -> None:
    job = world.settings.job.model_copy(update={"set": {"done": 1}})
    world.settings = changed_settings(world.settings, job=job)
    world.start()
    world.retry()
    world.executor.at_once = 1
    run_jobs(world.loop)
    assert world.executor.orders[-1].settings.set == {}
    retry = replace(world.job(NEW), place=None, end=End.REFUSED, refused_as="a-2/inputs")
    assert settings_for(retry, Config(job=job), {}, None).set == {}


def test_a_job_keeps_the_settings_it_had_except_those_that_are_asked_for_now(
    world: World,
) -> None:
    had = replace(world.old, settings={"steps": 999, "set": {"done": 100}, "seed": 7})
    wanted = settings_for(had, Config(), {"job.seed": 8}, 5)
    assert (wanted.steps, wanted.seed) == (999, 8)
    assert (wanted.init, wanted.set) == ("picture", {"done": 105})
    clip = replace(had, inputs=tuple(replace(file, frames=48) for file in had.inputs))
    assert settings_for(clip, Config(), {}, None).seed == 7


def test_a_retry_by_another_backend_does_not_learn(world: World) -> None:
    had = replace(world.old, settings={"learn": True, "backend": "learned"})
    assert settings_for(had, Config(), {"job.seed": 8}, None).learn
    wanted = settings_for(had, Config(), {"job.backend": "sketch"}, None)
    assert (wanted.backend, wanted.learn) == ("sketch", False)


@pytest.mark.parametrize("learns", ["job.yaml", "config.yaml"])
def test_a_job_that_learns_and_never_began_learns_when_it_is_run_again(
    learns: str, world: World
) -> None:
    """The backend of config.yaml is for other jobs."""
    settings = Config()
    if learns == "job.yaml":
        (world.inbox / "b").mkdir()
        (world.inbox / "b/job.yaml").write_text("learn: true")
    else:
        learning = settings.job.model_copy(update={"learn": True})
        settings = settings.model_copy(update={"job": learning})
    world.executor.at_once = 0
    world.drop("b")
    world.work()
    world.ask("cancel", "b")
    run_jobs(world.loop)
    canceled = world.job("b")
    assert (canceled.end, canceled.settings) == (End.CANCELED, None)
    wanted = settings_for(canceled, settings, {}, None)
    assert (wanted.learn, wanted.backend) == (True, "learned")
