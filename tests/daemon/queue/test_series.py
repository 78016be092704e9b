"""A series is divided: its jobs are entered at once, each with its own files, and only once."""

from pathlib import Path
from typing import Literal

import pytest
import yaml
from tests.daemon.faults import fill
from tests.daemon.world import DaemonWorld, changed_settings, make_inbox

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.events import Reporter
from stylewatch_daemon.model import JobState
from stylewatch_daemon.queue.attempt import ActiveAttempt
from stylewatch_daemon.queue.series import Series
from stylewatch_daemon.settings.resolve import SettingsResolver
from stylewatch_daemon.store.journal import load
from stylewatch_daemon.store.ledger import Entry

After = Literal["archive", "keep", "delete"]
SWEEP = "sweep: {seed: [1, 2]}"


class SeriesWorld(DaemonWorld):
    """A claimed series, which has its folder in the outbox."""

    def __init__(
        self, root: Path, settings: str = SWEEP, *more: str, after: After = "archive"
    ) -> None:
        super().__init__(root)
        inboxes = (make_inbox(self.inbox, self.outbox, after),)
        self.settings = changed_settings(self.settings, inboxes=inboxes)
        fill(self.inbox, "a/content.jpg", "a/style.jpg", *more)
        (self.inbox / "a/job.yaml").write_text(settings)
        line = self.start()
        line.scan()
        line.scan()
        line.enter()
        line.claim()
        (job_id,) = self.state.ledger.open_jobs()
        self.job = self.state.save(self.state.load(job_id), place="a")
        self.job_settings = SettingsResolver(self.settings).resolve(self.state.job_file(self.job))
        self.series = Series(self.state, self.settings)

    def divide(self) -> list[Entry]:
        assert self.series.divide(self.job, self.job_settings) == 2
        return self.state.ledger.members(self.job.id)


def test_every_member_is_entered_with_a_job_file_of_its_own(tmp_path: Path) -> None:
    sweep = "sweep: {strength: [0.2], seed: [1, 2]}\nname: all/{name}\nset: {steps: 3}"
    world = SeriesWorld(tmp_path, sweep)
    members = world.divide()
    assert [member.name for member in members] == ["a/strength=0.2,seed=1", "a/strength=0.2,seed=2"]
    assert {member.state for member in members} == {"queued"}
    for number, member in enumerate(members, start=1):
        job = load(world.state.jobs / member.id)
        path = world.state.job_file(job)
        assert path is not None
        assert yaml.safe_load(path.read_text()) == {
            "strength": 0.2, "seed": number, "name": "{name}", "set": {"steps": 3},
        }  # fmt: skip
        assert [file.own for file in job.files] == [False, False, True]
        assert all("sha256" in file for file in member.inputs if file["role"] != "job")


@pytest.mark.parametrize(("mask", "is_batched"), [([], True), (["a/content.mask.png"], False)])
def test_members_are_batched_unless_they_have_masks(
    mask: list[str], is_batched: bool, tmp_path: Path
) -> None:
    first, second = SeriesWorld(tmp_path, SWEEP, *mask).divide()
    assert (first.shape == second.shape, bool(first.shape)) == (True, is_batched)


@pytest.mark.parametrize(
    ("after", "folder"), [("archive", "out/a/inputs"), ("delete", "in/a"), ("keep", "in/a")]
)
def test_the_source_of_a_picture_is_the_archive_where_there_is_one(
    after: After, folder: str, tmp_path: Path
) -> None:
    member, _ = SeriesWorld(tmp_path, after=after).divide()
    sources = [file["source"] for file in member.inputs if file["role"] != "job"]
    assert sources == [f"{tmp_path}/{folder}/{name}.jpg" for name in ("content", "style")]


def test_divided_twice_as_after_a_kill_nothing_is_made_twice(tmp_path: Path) -> None:
    world = SeriesWorld(tmp_path)
    first, _ = world.divide()
    assert world.state.ledger.divided() == [world.job.id]
    world.state.finish((load(world.state.jobs / first.id), JobState.DONE))
    assert [member.state for member in world.divide()] == ["done", "queued"]
    assert not (world.state.jobs / first.id).exists()
    world.state.ledger.expire("9999")
    parts = world.series.parts(world.job, world.job_settings)
    assert [part.state for part in parts] == ["no longer known", "queued"]


@pytest.mark.parametrize(
    ("sweep", "mistakes"),
    [
        ("{steps: [3, -1, many]}",
         ["steps=-1: the settings: steps: should be greater",
          "steps=many: the settings: steps: should be a whole number"]),
        ("{mask: [5], mask.feather: [3]}",
         ["mask=5,mask.feather=3: job.mask.feather: 'mask' holds no keys"]),
    ],
)  # fmt: skip
def test_the_mistakes_of_all_members_are_reported_at_once(
    sweep: str, mistakes: list[str], tmp_path: Path
) -> None:
    world = SeriesWorld(tmp_path, f"sweep: {sweep}")
    attempt = ActiveAttempt(world.job, world.state, Reporter(), world.settings)
    attempt.apply(world.job_settings)
    with pytest.raises(SettingsError) as caught:
        world.series.begin(attempt)
    for line, mistake in zip(str(caught.value).splitlines(), mistakes, strict=True):
        assert line.startswith(f"sweep, {mistake}")
