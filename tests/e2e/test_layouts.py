"""Series, batches, file modes and retention on the whole pipeline."""

import json
import stat
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from tests.daemon.faults import fill, tree
from tests.daemon.world import (
    DaemonWorld,
    FakeExecutor,
    changed_settings,
    make_finished_job,
    make_inbox,
    make_settings,
    run_jobs,
)

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.processes.wakeup import Backoff
from stylewatch_daemon.queue import job_queue
from stylewatch_daemon.service.daemon import once
from stylewatch_daemon.settings import config, resolve
from stylewatch_daemon.settings.config import service_settings
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.worker.messages import Lost


@pytest.fixture
def place(tmp_path: Path) -> DaemonWorld:
    return DaemonWorld(tmp_path)


def test_a_series_is_canceled_as_a_whole(place: DaemonWorld) -> None:
    fill(place.inbox, "a/content.jpg", "a/style.jpg")
    (place.inbox / "a/job.yaml").write_text("sweep: {seed: [1, 2]}\n")
    line = place.start()
    line.scan()
    line.scan()
    line.enter()
    line.claim()
    line.start_jobs()  # it is divided, and its first job has started
    (job,) = place.state.ledger.divided()
    line.control.acts["cancel"](job)
    run_jobs(line, again=False)
    counts = {state: count for state, count in place.state.ledger.counts().items() if count}
    assert counts == {"cancelled": 3}
    assert "_refused/a/content.jpg" in tree(place.outbox)
    assert not list(place.outbox.rglob("receipt.json"))


def test_a_real_series_has_a_sheet_and_receipts_and_each_job_can_be_repeated(
    tmp_path: Path, pictures: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    (pictures / "job.yaml").write_text("sweep: {style_weights: [[1], [0.5]], seed: [2]}\n")
    pictures.rename(tmp_path / "in/holiday")
    inboxes = (make_inbox(tmp_path / "in", tmp_path / "out"),)
    job = JobSettings(backend="sketch", recipe="neural-style", size="24", steps=2)
    settings = make_settings(inboxes, tmp_path / "state", quiet_s=0.0, job=job, free_bytes=0)
    assert once(settings).exit_code == 0
    folder = tmp_path / "out/holiday"
    receipt = json.loads((folder / "receipt.json").read_bytes())
    assert receipt["sweep"] == {"style_weights": [[1], [0.5]], "seed": [2]}
    assert Counter(entry["state"] for entry in receipt["jobs"]) == {"done": 2}
    assert receipt["jobs"][0]["final"] == "holiday/style_weights=1,seed=2/final.png"
    with Image.open(folder / "sheet.png") as sheet:
        assert len(sheet.convert("L").getcolors() or []) > 20
    assert call(["show", "holiday", "--state", str(tmp_path / "state")]) == 0
    assert "style_weights=1,seed=2    done" in capfd.readouterr().out
    member = folder / "style_weights=0.5,seed=2"
    assert json.loads((member / "receipt.json").read_bytes())["seed"] == 2
    again = ["render", "--from", str(member), "--quiet", "-o", str(tmp_path / "again.png")]
    assert call(again) == 0
    assert (tmp_path / "again.png").read_bytes() == (member / "final.png").read_bytes()
    assert call(["render", "--from", str(folder)]) == 65
    assert "that of a series" in capfd.readouterr().err


def batch(place: DaemonWorld, names: str) -> None:
    """Drop pairs of one size, for a worker that runs several at once."""
    place.settings = changed_settings(place.settings, batch=8, attempts=1)
    place.executor = FakeExecutor(many=True)
    fill(place.inbox, *(f"{name}/{half}.jpg" for name in names for half in ("content", "style")))


def test_a_failed_batch_is_tried_again_job_by_job_and_costs_no_attempt(
    place: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queue, "RETRY", Backoff(first=0.0, most=0.0))
    batch(place, "abcd")
    place.executor.endings = [None, None, *[Lost("the worker died")] * 3]
    line = place.run()
    assert [len(tickets) for tickets in place.executor.submitted] == [1, 3, 1, 1, 1]
    assert [outcome.kind for outcome in line.outcomes.values()] == ["done"] * 4


def test_jobs_whose_device_changed_since_they_were_queued_go_to_another_worker(
    place: DaemonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch(place, "abc")
    devices = iter(["cpu"] * 3 + ["cpu", "cpu", "gpu"])  # when they are queued, then started
    monkeypatch.setattr(
        resolve.SettingsResolver, "resolve", lambda *_: JobSettings(device=next(devices))
    )
    place.run()
    assert [len(tickets) for tickets in place.executor.submitted] == [1, 1, 1]


@pytest.mark.usefixtures("any_file_is_a_picture")
def test_modes_and_retention_are_those_of_the_settings(tmp_path: Path) -> None:
    fill(tmp_path / "in/new", "content.jpg", "style.jpg")
    old = make_finished_job(tmp_path / "out", "old", 3)
    (tmp_path / "config.yaml").write_text(
        "{inboxes: [{path: in, outbox: out}], state: {path: state}, watch: {quiet_s: 0},"
        " outbox: {mode: 0664}, retention: {stages: 2}, job: {size: 64}}"
    )
    settings = service_settings(config.load(tmp_path / "config.yaml"), {})
    once(settings, executor=FakeExecutor())
    paths = [tmp_path / "out/_status.txt", *(tmp_path / "out/new").rglob("*")]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in paths}
    assert modes == {(False, 0o664), (True, 0o775)}
    assert not (old / "stages").exists() and (old / "final.png").exists()
    assert (tmp_path / "out/new/stages").exists()
