"""What people ask of a job that has ended: which settings and files a retry gets, and its claim."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.daemon.faults import fill, tree

from stylewatch_daemon.base.errors import FullError, InputError, OutputError, UsageError
from stylewatch_daemon.base.model import End, Input, Job, State
from stylewatch_daemon.files import disks
from stylewatch_daemon.jobs import retries
from stylewatch_daemon.ledger.claim import Claim, load
from stylewatch_daemon.ledger.state_dir import StateDir
from stylewatch_daemon.ledger.writer import LedgerWriter
from stylewatch_daemon.outbox.job_files import SourceFile, Spot
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.sections import LARGEST_PICTURE, Limits

NEW = "20990101T000000.000000-abcdef"
STEPS = {"steps": 7}
Step = Callable[[], object]


def an_input(role: str, name: str, path: Path, *, is_known: bool = True) -> Input:
    """The file at `path` as an input; its digest is in the ledger, or not."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if is_known else ""
    return Input(role, name, str(path), path.stat().st_size, digest)


class World:
    """A job that is done; its content is in the outbox, its style in an album of the inbox."""

    def __init__(self, root: Path) -> None:
        self.inbox, self.outbox, self.state = root / "in", root / "out", StateDir(root / "state")
        self.state.make()
        fill(self.inbox, "album/style.jpg")
        fill(self.outbox, "album/sea/inputs/sea.jpg", "album/sea/stages/0005.png")
        content = an_input("content", "sea.jpg", self.outbox / "album/sea/inputs/sea.jpg")
        style = an_input("style", "style.jpg", self.inbox / "album/style.jpg", is_known=False)
        self.uploads = self.state.uploads / NEW
        self.job = Job(
            id="20260102T000000.000000-000000",
            name="album/sea",
            inbox=str(self.inbox),
            outbox=str(self.outbox),
            entered="2026-01-02T12:00:00+00:00",
            state=State.ENDED,
            end=End.DONE,
            place="album/sea",
            inputs=(content, style),
        )

    def with_inputs(self, *more: Input, **changes: Any) -> Job:
        content, style = self.job.inputs
        return replace(self.job, inputs=(replace(content, **changes), style, *more))

    def make(self, files: Sequence[SourceFile] | None = None, job: Job | None = None) -> Claim:
        """Make a retry, of all files unless some are given."""
        job = job or self.job
        files = retries.needed(job, None) if files is None else files
        return retries.make_retry(
            self.state, job, NEW, "album/sea-2", STEPS, files, "archive", Limits(), lambda: None
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def names_of(claim: Claim) -> list[tuple[str, str, bool]]:
    return [(file.role, file.name, file.own) for file in claim.files]


# -- the files of a retry


def test_a_retry_has_copies_of_the_files_and_its_settings(world: World) -> None:
    before = tree(world.outbox)
    claim = world.make()
    assert (claim.name, claim.retry_of, claim.is_copy) == ("album/sea-2", "album/sea", True)
    assert names_of(claim) == [
        ("content", "sea.jpg", True), ("style", "style.jpg", False), ("job", "job.yaml", True),
    ]  # fmt: skip
    files = tree(world.state.files(NEW))
    assert yaml.safe_load(files.pop("job.yaml")) == STEPS
    assert files == {"sea.jpg": "album/sea/inputs/sea.jpg", "style.jpg": "album/style.jpg"}
    assert load(world.state.jobs / NEW) == claim == world.make(), "it is made once"
    assert tree(world.outbox) == before and list(world.state.claims.iterdir()) == []


def test_a_retry_has_the_name_of_its_job_with_the_next_free_number(world: World) -> None:
    with closing(LedgerWriter.open(world.state.ledger)) as ledger:
        assert retries.free_name(world.job, ledger) == "album/sea-2"
        (world.outbox / "album/sea-2").mkdir()
        assert retries.free_name(world.job, ledger) == "album/sea-3"
        again = replace(world.job, name="album/sea-2", retry_of="album/sea")
        assert retries.free_name(again, ledger) == "album/sea-3"
        ledger.put(replace(world.job, id="other", name="album/sea-3", place="album/sea-3"))
        assert retries.free_name(again, ledger) == "album/sea-4"


def test_a_stage_to_start_from_gets_a_name_that_is_free(world: World) -> None:
    fill(world.outbox, "album/sea/inputs/stage-0005.png")
    path = world.outbox / "album/sea/inputs/stage-0005.png"
    job = world.with_inputs(an_input("style", path.name, path))
    claim = world.make(retries.needed(job, 5))
    assert names_of(claim)[2:4] == [("style", path.name, True), ("init", "stage-0005-2.png", True)]
    copied = world.state.files(NEW) / "stage-0005-2.png"
    assert copied.read_text() == "album/sea/stages/0005.png"
    with pytest.raises(InputError, match="album/sea has no stage 6; there are 5"):
        retries.needed(job, 6)


def test_styles_are_left_out_with_their_masks_and_added(world: World) -> None:
    mask = world.outbox / "album/sea/inputs/mask.png"
    fill(mask.parent, mask.name)
    more = [("style", "second.jpg"), ("style-1-mask", "mask.png"), ("style-2-mask", "other.png")]
    job = world.with_inputs(*(an_input(role, name, mask, is_known=False) for role, name in more))
    left = retries.needed(job, None, without=[1])
    assert [(file.role, file.name) for file in left] == [
        ("content", "sea.jpg"), ("style", "second.jpg"), ("style-1-mask", "other.png"),
    ]  # fmt: skip
    fill(world.uploads, "fog.jpg", "job.yaml")
    added = retries.uploaded(world.state, NEW, ["fog.jpg", "job.yaml"])
    claim = world.make((*left[:1], *added))
    assert names_of(claim)[1:] == [
        ("style", "fog.jpg", True), ("style", "job-2.yaml", True), ("job", "job.yaml", True),
    ]  # fmt: skip


# -- a retry that cannot be made


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("large", r"sea\.jpg is 1\.1 GB: too large to copy"),
        ("gone", r"gone\.jpg \(style\) is no longer as it was"),
        ("changed", r"sea\.jpg \(content\) is no longer as it was"),
        ("changing", r"sea\.jpg changed while it was being copied"),
    ],
)
def test_a_file_that_is_gone_or_too_large_or_changes_is_not_used(
    fault: str, reason: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_and_change(file: SourceFile, step: Step) -> Spot:
        spot = find(file, step)
        spot.path.write_text("another")
        return spot

    find, files, job = SourceFile.find, None, world.job
    fill(world.uploads, "fog.jpg")
    if fault == "large":
        job = world.with_inputs(role="style", size=2 * LARGEST_PICTURE)
    elif fault == "gone":
        files = retries.uploaded(world.state, NEW, ["gone.jpg"])
    elif fault == "changed":
        (world.outbox / "album/sea/inputs/sea.jpg").write_text("changed")
    else:
        monkeypatch.setattr(SourceFile, "find", find_and_change)
    with pytest.raises(InputError, match=reason):
        world.make(files, job)
    assert not world.uploads.exists(), "the request is given up"
    assert list(world.state.jobs.iterdir()) == list(world.state.claims.iterdir()) == []


def test_an_outbox_that_is_away_and_a_full_disk_are_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(world.uploads, "fog.jpg")
    fill(world.state.claims / NEW, "files/left by a try that failed")
    world.outbox.rename(world.outbox.with_name("away"))
    with pytest.raises(OutputError, match="is not there"):
        world.make()
    world.outbox.with_name("away").rename(world.outbox)
    with monkeypatch.context() as patch:
        patch.setattr(disks, "free", lambda folder: 0)
        with pytest.raises(FullError, match="more must be free"):
            world.make()
    assert tree(world.state.claims) == {}
    assert world.uploads.exists() and names_of(world.make())


# -- the settings of a retry


def test_a_job_keeps_the_settings_it_had_except_those_that_are_asked_for_now(world: World) -> None:
    had = replace(world.job, settings={"steps": 999, "set": {"done": 100}, "seed": 7})
    wanted = retries.settings_for(had, Config(), {"job.seed": 8}, 5)
    assert (wanted.steps, wanted.seed) == (999, 8)
    assert (wanted.init, wanted.set) == ("picture", {"done": 105})
    with pytest.raises(UsageError, match="no steps are left"):
        retries.settings_for(had, Config(), {}, 999_999)
    with pytest.raises(UsageError, match="where to start"):
        retries.settings_for(had, Config(), {"job.init": "noise"}, 5)
    clip = replace(world.with_inputs(frames=48), settings=had.settings)
    with pytest.raises(UsageError, match="sea is a clip, which cannot continue from a stage"):
        retries.settings_for(clip, Config(), {}, 5)
    assert retries.settings_for(clip, Config(), {}, None).seed == 7


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"name: caf\xe9\n", "job.yaml"), (b"#" * 100_001, "the limit of settings"), (b"", "steps")],
    ids=["bytes", "long", "no number"],
)
def test_a_job_file_with_mistakes_is_refused_unless_they_are_corrected(
    content: bytes, reason: str, world: World
) -> None:
    path = world.outbox / "album/sea/inputs/job.yaml"
    path.write_bytes(content or b"steps: x\nseed: 7\n")
    job = world.with_inputs(an_input("job", "job.yaml", path))
    with pytest.raises(InputError, match=reason):
        retries.settings_for(job, Config(), {}, None)
    if not content:
        wanted = retries.settings_for(job, Config(), {"job.steps": 9}, None)
        assert (wanted.steps, wanted.seed) == (9, 7)
