"""Somebody else's backend that is broken hurts the jobs that ask for it, and no other."""

from pathlib import Path
from shutil import copy

import pytest
from tests.daemon.settings_made import make_inbox, make_settings
from tests.plugins.strangers import install

from stylewatch_daemon.service.service import once
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_daemon.store.ledger import FILE_NAME, reading

FAILED = {
    "exits": "the worker process died (exit code 3)",
    "hangs": "the worker hung",
    "hangs-in-the-middle": "the worker hung",
    "raises-at-devices": "a fault of the backend 'raises-at-devices' of stranger-raises-at-devices",
    "raises-in-the-middle": "RuntimeError: the brush broke",
    "closes-files": "the worker process ",  # it may have ended, or had to be
}
WAIT = {
    "imports-nothing": "is broken: ModuleNotFoundError",
    "of-the-future": "does not fit: it keeps version 2 of the contract",
}
SKETCHED = range(0, len(FAILED), 2)
PAINT = ["well", "prints", "leaves-a-thread", "leaves-its-folder", "counts-in-numpy"]


@pytest.fixture
def root(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An inbox with a job for every stranger, and one for the sketch after some."""
    strangers = [*FAILED, *WAIT, *PAINT]
    install(tmp_path / "site", monkeypatch, *strangers)
    jobs = {f"{number:02}-{stranger}": stranger for number, stranger in enumerate(strangers)}
    jobs |= {f"{number:02}-z": "sketch" for number in SKETCHED}
    for job, backend in jobs.items():
        folder = tmp_path / "in" / job
        folder.mkdir(parents=True)
        for name in ("content.jpg", "style.jpg"):
            copy(pictures / name, folder)
        (folder / "job.yaml").write_text(f"backend: {backend}\n")
    return tmp_path


def test_each_is_told_in_words_and_the_others_are_painted(root: Path) -> None:
    inbox = make_inbox(root / "in", root / "out", "archive")
    job = JobSettings(backend="sketch", recipe="gatys", size="24", steps=2, save_every=2)
    summary = once(
        make_settings(
            (inbox,), root / "state", quiet_s=0.0, job=job, attempts=1, step_timeout_s=1.0
        )
    )
    done = sorted(path.parent.name[3:] for path in (root / "out").glob("*/receipt.json"))
    assert done == sorted([*PAINT, *["z"] * len(SKETCHED)])
    reasons = {
        path.parent.name[3:]: path.read_text() for path in (root / "out").rglob("reason.txt")
    }
    assert reasons.keys() == FAILED.keys()
    assert not {name: reasons[name] for name, why in FAILED.items() if why not in reasons[name]}
    with reading(root / "state" / FILE_NAME) as ledger:
        waiting = {entry.name[3:]: entry.reason for entry in ledger.latest("queued", limit=9)}
    assert waiting.keys() == WAIT.keys()
    assert all(why in waiting[name] for name, why in WAIT.items())
    assert summary.exit_code != 0
