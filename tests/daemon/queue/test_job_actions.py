"""Requests of people: to cancel, finish or dismiss a job, or to run it again as a new one."""

import hashlib
import json
import shutil
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import Mock

import pytest
import yaml
from tests.daemon.cli.states import entry
from tests.daemon.faults import fill, killed_at, tree
from tests.daemon.queue.world import World
from tests.daemon.world import DaemonWorld, make_finished_job, make_settings, run_jobs

from stylewatch_daemon.errors import InProgressError, InputError, OutputError, UsageError
from stylewatch_daemon.files import transfers
from stylewatch_daemon.files.atomic import Step
from stylewatch_daemon.outbox import job_files
from stylewatch_daemon.outbox.job_files import Input, Spot
from stylewatch_daemon.queue import job_actions
from stylewatch_daemon.queue.job_actions import JobActions, settings_for
from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.sections import LARGEST_PICTURE
from stylewatch_daemon.store import requests
from stylewatch_daemon.store.journal import Attempt
from stylewatch_daemon.store.ledger import Entry

NEW = "20990101T000000.000000-abcdef"
STEPS = {"steps": 7}
DIGEST = "ab" * 32


class Actions(World):
    """One job, and what was asked of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.running, self.ended = set[str](), list[str]()
        self.actions = JobActions(
            self.state,
            self.reporter,
            lambda: make_settings((), self.state.root),
            lambda: self.running,
            lambda job: self.ended.append(job.id),
            lambda: None,
        )

    @property
    def asked(self) -> tuple[str, list[str]]:
        """The wish in the ledger, and the jobs that were ended at once."""
        return self.state.ledger.wish("1"), self.ended


@pytest.fixture
def world(tmp_path: Path) -> Actions:
    return Actions(tmp_path)


def test_a_waiting_job_is_ended_at_once_and_a_running_one_by_its_worker(world: Actions) -> None:
    world.running = {"1"}
    for _ in range(2):
        world.actions.cancel("1")
    assert world.asked == ("cancel", [])
    world.running = set()
    world.actions.cancel("1")
    assert world.asked == ("cancel", ["1"])


@pytest.mark.parametrize("moved", [True, False], ids=["being claimed", "being inspected"])
def test_a_job_that_is_not_queued_yet_keeps_the_wish(moved: bool, world: Actions) -> None:
    world.state.ledger.change("1", state="claimed")
    if moved:
        (world.state.jobs / "1").rename(world.state.claims / "1")
    claimed = world.state.ledger.find("1")
    assert claimed is not None
    world.actions.cancel("1")
    world.state.ledger.enter([claimed])  # as a claim that was cut off is, at the next start
    assert world.asked == ("cancel", [])


def test_a_job_that_has_ended_or_is_not_there_stays_as_it_is(world: Actions) -> None:
    for job in ("2", "job"):  # a name may be that of another job by now
        world.actions.cancel(job)
        world.actions.finish(job)
        world.actions.dismiss([job])
    for state in ("done", "refused", "failed", "cancelled"):
        world.state.ledger.change("1", state=state)
        world.actions.cancel("1")
    assert world.asked == ("", [])


def test_only_a_job_that_was_begun_and_not_canceled_can_be_finished(world: Actions) -> None:
    world.actions.finish("1")
    assert world.asked == ("", [])
    world.state.ledger.write_attempts("1", (Attempt("2026-01-01T00:00:00+00:00"),))
    world.actions.finish("1")
    assert world.asked == ("finish", [])
    world.running = {"1"}
    world.actions.cancel("1")
    world.actions.finish("1")
    assert world.asked == ("cancel", [])


def test_only_refused_and_failed_jobs_are_dismissed(world: Actions) -> None:
    for state, dismissed in (("queued", False), ("done", False), ("refused", True)):
        world.state.ledger.change("1", state=state)
        for _ in range(2):  # a request may be acted on twice
            world.actions.dismiss(["1"])
        entered = world.state.ledger.find("job")
        assert entered is not None and (entered.state, entered.dismissed) == (state, dismissed)


# -- retries


class Retry(DaemonWorld):
    """An inbox with an album, of which `album/sea` is done."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        fill(self.inbox, "album/sea.jpg", "album/style.jpg")
        self.daemon = self.run()
        (self.first,) = self.state.ledger.latest("done", limit=2)
        content, style = self.first.inputs
        real = hashlib.sha256(b"album/sea.jpg").hexdigest()  # the fake worker reports another
        self.state.ledger.change(self.first.id, inputs=[{**content, "sha256": real}, style])

    def change(self, **values: Any) -> None:
        """Change the first job in the ledger."""
        self.state.ledger.change(self.first.id, **values)

    def publish(self) -> None:
        """Publish the first job again, with the files and the receipt of a real one."""
        shutil.rmtree(self.outbox / "album/sea")
        make_finished_job(self.outbox, "album/sea", days=1)
        pictures = [("content", "content.jpg"), ("style", "style.jpg")]
        inputs = [
            {"role": role, "name": name, "size": 1, "sha256": DIGEST} for role, name in pictures
        ]
        size = (self.outbox / "album/sea/inputs/job.yaml").stat().st_size
        self.change(inputs=[*inputs, {"role": "job", "name": "job.yaml", "size": size}])

    def delete(self) -> set[str]:
        """Delete the first job; return what is left in its folder."""
        self.daemon.control.acts["delete"](self.first.id)
        assert self.state.ledger.find(self.first.id) is None
        return set(tree(self.outbox / "album/sea"))

    def ask(self, new: str = NEW, **more: Any) -> None:
        """Ask for a retry."""
        self.daemon.control.acts["retry"](self.first.id, new, STEPS, **more)

    @property
    def entry(self) -> Entry:
        return self.find(NEW)

    @property
    def entry_of_first(self) -> Entry:
        return self.find(self.first.id)

    def find(self, job_id: str) -> Entry:
        entry = self.state.ledger.find(job_id)
        assert entry is not None
        return entry

    def check_nothing_is_left(self) -> None:
        assert list(self.state.jobs.iterdir()) == list(self.state.claims.iterdir()) == []
        for _ in range(2):
            self.daemon.scan()
            self.daemon.enter()
        assert self.daemon.next_job() is None


@pytest.fixture
def retry(tmp_path: Path) -> Retry:
    return Retry(tmp_path)


def test_long_files_are_copied_in_the_background(
    retry: Retry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_later(*args: Any) -> None:
        assert begun.wait(60)
        copy(*args)

    begun, copy = Event(), job_actions._copy
    monkeypatch.setattr(job_actions, "_copy", copy_later)
    content, style = retry.entry_of_first.inputs
    retry.change(inputs=[{**content, "size": 2 * LARGEST_PICTURE}, style])
    with pytest.raises(InProgressError):
        retry.ask()
    begun.set()
    while retry.state.ledger.find(NEW) is None:
        with suppress(InProgressError):
            retry.ask()
    assert (retry.state.jobs / NEW / "files/sea.jpg").read_text() == "album/sea.jpg"
    retry.change(inputs=[content, {**style, "size": 2 * LARGEST_PICTURE}])
    with pytest.raises(InputError, match=r"style\.jpg is 1\.1 GB: too large to copy"):
        retry.ask("another")


def test_a_retry_that_looks_for_its_files_stops_with_the_daemon(
    retry: Retry, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Mock()
    monkeypatch.setattr(job_actions, "_copy", copy)
    retry.daemon.close()
    with pytest.raises(OutputError, match="was stopped"):
        retry.ask()
    assert not copy.called


def test_a_job_runs_again_with_other_settings_under_the_same_name(retry: Retry) -> None:
    before = tree(retry.outbox / "album/sea")
    retry.ask()
    retry.ask()
    entered = retry.entry
    assert (entered.state, entered.name, entered.retry_of) == ("queued", "album/sea", "album/sea")
    run_jobs(retry.daemon)
    retry.ask()
    assert retry.state.ledger.counts()["done"] == 2, "repeating the request changes nothing"
    retry.check_nothing_is_left()
    assert (retry.entry.state, retry.entry.place) == ("done", "album/sea-2")
    order = retry.executor.orders[-1]
    assert (order.settings.steps, order.retry_of) == (7, "album/sea")
    assert tree(retry.outbox / "album/sea") == before
    archived = retry.outbox / "album/sea-2/inputs"
    assert yaml.safe_load((archived / "job.yaml").read_text()) == STEPS
    assert set(tree(archived)) == {"sea.jpg", "job.yaml"}, "the album's style is in the inbox"
    assert (retry.inbox / "album/style.jpg").exists()


def test_a_retry_may_start_from_a_stage_under_a_name_that_is_free(retry: Retry) -> None:
    fill(retry.outbox, "album/sea/stages/0005.png", "album/sea/inputs/stage-0005.png")
    content, style = retry.first.inputs
    content = {"role": content["role"], "name": "stage-0005.png", "size": 31}
    retry.state.ledger.change(retry.first.id, inputs=[content, style])
    retry.ask(from_stage=5)
    names = [record["name"] for record in retry.entry.inputs]
    assert names == ["stage-0005.png", "style.jpg", "stage-0005-2.png", "job.yaml"]
    run_jobs(retry.daemon)
    archived = retry.outbox / "album/sea-2/inputs/stage-0005-2.png"
    assert archived.read_text() == "album/sea/stages/0005.png"


def test_only_a_finished_job_is_retried_and_its_id_is_no_path(retry: Retry) -> None:
    for new in ("../../x", "", ".x", "a/b"):
        with pytest.raises(InputError, match="no job's id"):
            retry.ask(new=new)
    retry.state.ledger.change(retry.first.id, state="running")
    with pytest.raises(InputError, match="that has ended"):
        retry.ask()


def test_a_picture_that_changes_while_it_is_copied_is_not_used(
    retry: Retry, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Input.find

    def find_and_change(file: Input, step: Step) -> Spot:
        spot = find(file, step)
        spot.path.write_text("another")
        return spot

    monkeypatch.setattr(Input, "find", find_and_change)
    with pytest.raises(InputError, match="changed while it was being copied"):
        retry.ask()
    assert retry.state.ledger.counts()["waiting"] == 0


def test_an_outbox_that_is_away_is_waited_for(retry: Retry) -> None:
    retry.outbox.rename(retry.outbox.with_name("away"))
    with pytest.raises(OutputError, match="is not there"):
        retry.ask()
    retry.outbox.with_name("away").rename(retry.outbox)
    retry.ask()
    assert retry.entry.state == "queued"


def test_a_retry_that_is_put_off_is_canceled_once_it_is_a_job(retry: Retry) -> None:
    arguments = {"job": retry.first.id, "new": NEW, "settings": STEPS}
    files = [requests.leave(retry.state.root, "retry", **arguments)]
    files.append(requests.leave(retry.state.root, "cancel", job=NEW))
    retry.outbox.rename(retry.outbox.with_name("away"))
    retry.daemon.control.act()
    assert all(file.exists() for file in files)
    retry.outbox.with_name("away").rename(retry.outbox)
    retry.daemon.control.act()
    assert not any(file.exists() for file in files)
    assert retry.state.ledger.wish(NEW) == "cancel"
    run_jobs(retry.daemon)
    assert (retry.entry.state, len(retry.executor.orders)) == ("cancelled", 1)


@pytest.fixture
def uploads(retry: Retry) -> Path:
    """Two pictures that the page received for the new job."""
    folder = retry.state.root / "uploads"
    fill(folder / NEW, "fog.jpg", "job.yaml")
    return folder


def test_styles_are_left_out_and_added(retry: Retry, uploads: Path) -> None:
    content, style = retry.entry_of_first.inputs
    mask = {"role": "style-1-mask", "name": "mask.png", "size": 8}
    fill(retry.outbox / "album/sea/inputs", "mask.png")
    retry.change(inputs=[content, style, mask])
    retry.ask(without=[1], added=["fog.jpg", "job.yaml"])
    files = [(record["role"], record["name"]) for record in retry.entry.inputs]
    assert files == [
        ("content", "sea.jpg"), ("style", "fog.jpg"), ("style", "job-2.yaml"), ("job", "job.yaml"),
    ]  # fmt: skip
    assert list(uploads.iterdir()) == []
    run_jobs(retry.daemon)
    inputs = tree(retry.outbox / "album/sea-2/inputs")
    assert (inputs["fog.jpg"], inputs["job-2.yaml"]) == ("fog.jpg", "job.yaml")


def test_a_retry_without_room_copies_nothing_and_is_made_once_there_is_room(
    retry: Retry, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(retry.state.claims / NEW, "files/left by a try that failed")
    with monkeypatch.context() as patch:
        patch.setattr("stylewatch_daemon.files.disk_space.free", lambda folder: 0)
        with pytest.raises(OutputError, match="more must be free"):
            retry.ask()
    retry.check_nothing_is_left()
    retry.ask()
    assert retry.entry.state == "queued"


def test_uploads_of_a_retry_that_is_not_possible_are_removed(retry: Retry, uploads: Path) -> None:
    with pytest.raises(InputError, match=r"gone.jpg \(style\) is no longer"):
        retry.ask(added=["fog.jpg", "gone.jpg"])
    assert list(uploads.iterdir()) == []


def test_masks_stay_with_their_styles(retry: Retry, uploads: Path) -> None:
    content, style = retry.entry_of_first.inputs
    more = [{**style, "role": role} for role in ("style", "style-1-mask", "style-2-mask")]
    retry.change(inputs=[content, style, *more])
    retry.ask(without=[1], added=["fog.jpg"])
    roles = [record["role"] for record in retry.entry.inputs]
    assert roles == ["content", "style", "style-1-mask", "style", "job"]


def test_what_is_known_of_a_picture_is_known_of_its_copy(retry: Retry) -> None:
    content, style = retry.entry_of_first.inputs
    content = {**content, "pixels": [8, 6]}
    retry.change(inputs=[content, style])
    retry.ask()
    copied = retry.entry.inputs[0]
    assert (copied["sha256"], copied["pixels"]) == (content["sha256"], [8, 6])
    with_photo = retry.state.ledger.with_content(content["sha256"], 9)
    assert [entry.id for entry in with_photo] == [NEW, retry.first.id]
    assert retry.state.ledger.with_content(str(style.get("sha256") or "0" * 64), 9) == []


def test_a_retry_is_batched_if_the_sizes_of_all_its_pictures_are_known(
    retry: Retry, uploads: Path
) -> None:
    retry.ask(f"{NEW}-2")
    retry.ask(added=["fog.jpg"])
    assert (bool(retry.find(f"{NEW}-2").shape), retry.entry.shape) == (True, "")


# -- deletion


def test_a_deleted_job_leaves_only_what_others_put_there(retry: Retry) -> None:
    retry.publish()
    fill(retry.outbox, "album/sea/note.txt", "album/sea/stages/note.txt")
    fill(retry.state.root, f"previews/{DIGEST}-512.jpg", f"thumbs/{DIGEST}.jpg", "previews/b-1.jpg")
    for _ in range(2):
        retry.daemon.control.acts["delete"](retry.first.id)
    assert retry.state.ledger.find(retry.first.id) is None
    left = set(tree(retry.outbox))
    assert left == {"_status.txt", "album/sea/note.txt", "album/sea/stages/note.txt"}
    assert (retry.inbox / "album/style.jpg").exists()
    assert set(tree(retry.state.root / "previews")) == {"b-1.jpg"}
    assert set(tree(retry.state.root / "thumbs")) == set()
    assert retry.state.ledger.counts()["done"] == 0


def test_files_that_people_changed_or_added_are_not_deleted(retry: Retry) -> None:
    retry.publish()
    job = retry.outbox / "album/sea"
    changed = {"final.png", "losses.csv", "stages/0001.png", "inputs/style.jpg", "inputs/job.yaml"}
    for name in changed:
        (job / name).write_text("changed by hand")
    fill(job, "stages/2024.jpg", "inputs/mine.jpg")
    assert retry.delete() == changed | {"stages/2024.jpg", "inputs/mine.jpg"}


def test_an_input_that_changed_while_its_job_ran_is_deleted_as_it_was_archived(
    retry: Retry,
) -> None:
    retry.publish()
    job = retry.outbox / "album/sea"
    (job / "inputs/style.jpg").write_text("written since")
    receipt = json.loads((job / "receipt.json").read_text())
    receipt["inputs"][1]["changed"] = {"sha256": hashlib.sha256(b"written since").hexdigest()}
    (job / "receipt.json").write_text(json.dumps(receipt))
    assert retry.delete() == set()


def test_the_stages_and_losses_of_a_canceled_job_are_deleted(retry: Retry) -> None:
    retry.publish()
    job = retry.outbox / "album/sea"
    for name in ("receipt.json", "final.png"):
        (job / name).unlink()
    shutil.rmtree(job / "inputs")
    job_files.write_note(retry.outbox, "album/sea")
    fill(job, "stages/2024.jpg")
    retry.change(state="cancelled")
    assert retry.delete() == {"stages/2024.jpg"}


def test_long_files_of_a_job_are_compared_in_the_background(
    retry: Retry, monkeypatch: pytest.MonkeyPatch
) -> None:
    retry.publish()
    files = [file for file in (retry.outbox / "album/sea").rglob("*") if file.is_file()]
    monkeypatch.setattr(transfers, "SMALL", sum(file.stat().st_size for file in files))
    with pytest.raises(InProgressError):
        retry.delete()
    while retry.state.ledger.find(retry.first.id):
        with suppress(InProgressError):
            retry.delete()
    assert not (retry.outbox / "album/sea").exists()


def test_pictures_of_other_jobs_keep_their_thumbnails(retry: Retry) -> None:
    retry.ask()
    run_jobs(retry.daemon)
    retry.publish()
    retry.state.ledger.change(NEW, inputs=retry.entry_of_first.inputs)
    thumbs = (f"thumbs/{DIGEST}.jpg", f"previews/{DIGEST}-512.jpg")
    fill(retry.state.root, *thumbs)
    retry.daemon.control.acts["delete"](retry.first.id)
    assert all((retry.state.root / thumb).exists() for thumb in thumbs)
    assert not (retry.outbox / "album/sea").exists()
    assert (retry.outbox / "album/sea-2/receipt.json").exists()


def test_the_inputs_of_a_refused_job_are_deleted_and_its_folder(retry: Retry) -> None:
    fill(retry.inbox, "bad/content.jpg", "bad/style.jpg", "bad/job.yaml")
    retry.daemon = retry.run()
    (bad,) = retry.state.ledger.latest("refused", limit=2)
    assert (retry.outbox / "_refused/bad/reason.txt").exists()
    retry.daemon.control.acts["delete"](bad.id)
    assert not (retry.outbox / "_refused").exists()
    assert (retry.outbox / "album/sea/final.png").exists()


def test_only_a_job_that_has_ended_is_deleted_and_nothing_through_a_link(
    retry: Retry, tmp_path: Path
) -> None:
    before = tree(retry.outbox)
    retry.state.ledger.change(retry.first.id, state="running")
    for job in (retry.first.id, "album/sea", "nothing"):
        retry.daemon.control.acts["delete"](job)
    assert tree(retry.outbox) == before
    retry.state.ledger.change(retry.first.id, state="done")
    retry.outbox.rename(retry.outbox.with_name("away"))
    with pytest.raises(OutputError, match="is not there"):
        retry.daemon.control.acts["delete"](retry.first.id)
    retry.outbox.with_name("away").rename(retry.outbox)
    (retry.outbox / "album/sea").rename(tmp_path / "elsewhere")
    (retry.outbox / "album/sea").symlink_to(tmp_path / "elsewhere")
    retry.daemon.control.acts["delete"](retry.first.id)
    assert (tmp_path / "elsewhere/final.png").exists()


def test_a_receipt_of_others_leads_to_no_file_outside(retry: Retry) -> None:
    fill(retry.outbox, "other/final.png")
    digest = hashlib.sha256(b"other/final.png").hexdigest()
    names = ("../../other/final.png", "/etc/x", "", "a\0b", "a\0b/c", "x" * 5000)
    receipt = {"files": [7, *({"file": name, "sha256": digest} for name in names)]}
    receipt["files"].append({"file": "x", "sha256": "../ledger"})
    (retry.outbox / "album/sea/receipt.json").write_text(json.dumps(receipt))
    (retry.state.root / "previews").mkdir()
    fill(retry.state.root, "ledger.txt")
    retry.delete()
    assert (retry.outbox / "other/final.png").exists()
    assert (retry.state.root / "ledger.txt").exists()


def test_killed_at_any_moment_it_becomes_one_job(tmp_path: Path) -> None:
    for change in count(1):
        retry = Retry(tmp_path / str(change))
        before = tree(retry.outbox)
        with killed_at(change) as was_killed:
            retry.ask()
        retry.daemon = retry.start()
        retry.ask()  # the request is still there
        run_jobs(retry.daemon)
        assert retry.state.ledger.counts()["done"] == 2, change
        assert (retry.entry.place, retry.entry.retry_of) == ("album/sea-2", "album/sea"), change
        inputs = tree(retry.outbox / "album/sea-2/inputs")
        inputs.pop("job.yaml")
        assert inputs == {"sea.jpg": "album/sea.jpg"}, change
        after = {name: text for name, text in tree(retry.outbox).items() if "sea-2" not in name}
        after.pop("_status.txt"), before.pop("_status.txt")
        assert after == before, change
        retry.check_nothing_is_left()
        retry.state.close()
        if not was_killed():
            break


@pytest.mark.parametrize(
    "content", [b"name: caf\xe9\n", b"#" * 100_001, b"steps: many\n"], ids=["bytes", "long", "no"]
)
def test_a_retry_refuses_the_job_file_for_which_the_job_was_refused(
    content: bytes, retry: Retry
) -> None:
    fill(retry.inbox, "bad/content.jpg", "bad/style.jpg")
    (retry.inbox / "bad/job.yaml").write_bytes(content)
    retry.daemon = retry.run()
    (bad,) = retry.state.ledger.latest("refused", limit=2)
    with pytest.raises(InputError) as refusal:
        settings_for(bad, Config(), {}, None)
    assert str(refusal.value) == bad.reason


def test_a_job_keeps_the_settings_it_had_except_those_that_are_asked_for_now() -> None:
    had = entry("sea", settings={"steps": 999, "from_step": 100, "seed": 7})
    wanted = settings_for(had, Config(), {"job.seed": 8}, 5)
    assert (wanted["steps"], wanted["seed"]) == (999, 8)
    assert (wanted["init"], wanted["from_step"]) == ("picture", 105)
    with pytest.raises(UsageError, match="no steps are left"):
        settings_for(had, Config(), {}, 999_999)
    with pytest.raises(UsageError, match="where to start"):
        settings_for(had, Config(), {"job.init": "noise"}, 5)
    clip = replace(had, inputs=({"role": "content", "name": "sea.mp4", "frames": 48},))
    with pytest.raises(UsageError, match="sea is a clip, which cannot continue from a stage"):
        settings_for(clip, Config(), {}, 5)
    assert settings_for(clip, Config(), {}, None)["seed"] == 7
