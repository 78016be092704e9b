"""The files of an installation of version 0.1.0 work with the present version.

`version_0_1` was written by that version: one job done, one refused, one that waits, and one cut
off by SIGKILL after its first checkpoint; and the config.yaml that shipped with it.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from shutil import copytree

import pytest
from tests.e2e.daemon import Daemon, lines

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.store.ledger import FILE_NAME
from stylewatch_daemon.store.ledger_schema import MIGRATIONS

FILES = Path(__file__).with_name("version_0_1")
HOME = "/srv/stylewatch"
"""The folder in which the files were written; they hold absolute paths."""

CHECKPOINT = 50
"""The step of the checkpoint."""

CONFIG = ("--config", "config.yaml")


@pytest.fixture
def upgraded(daemon: Daemon) -> Daemon:
    """The folder of the old installation, as if it had always been here."""
    copytree(FILES, daemon.root, dirs_exist_ok=True)
    for path in daemon.root.glob("state/jobs/*/job.json"):
        record = json.loads(path.read_text("utf-8").replace(HOME, str(daemon.root)))
        record["device"] = daemon.root.stat().st_dev
        path.write_text(json.dumps(record), encoding="utf-8")
    with closing(sqlite3.connect(daemon.root / "state" / FILE_NAME)) as connection, connection:
        for column in ("inbox", "outbox", "inputs"):
            connection.execute(
                f"UPDATE jobs SET {column} = replace({column}, ?, ?)", [HOME, str(daemon.root)]
            )
    return daemon


def test_jobs_of_0_1_are_listed_finished_and_continued(
    upgraded: Daemon, capfd: pytest.CaptureFixture[str]
) -> None:
    upgraded.start("--once", *CONFIG)
    assert upgraded.process is not None
    assert upgraded.process.wait() == 0, upgraded.log
    assert upgraded.painted == ["cut", "done", "waiting"]
    cut_off, last = upgraded.receipt("cut")["attempts"]
    assert (cut_off["ended"], last["ended"]) == ("cut off", "done")
    call(["status", "--json", *CONFIG])
    status = json.loads(lines(capfd)[0])
    assert (status["counts"]["done"], status["counts"]["refused"]) == (3, 1)
    for job in ("cut", "done", "broken"):
        assert call(["show", job, *CONFIG]) == 0
    assert "holds text, not a picture" in capfd.readouterr().out
    with closing(sqlite3.connect(upgraded.root / "state" / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        (step,) = connection.execute("SELECT max(step) FROM attempts").fetchone()
    assert step == CHECKPOINT


def test_a_job_of_0_1_can_be_run_again(upgraded: Daemon) -> None:
    assert call(["retry", "done", *CONFIG]) == 0
    upgraded.start("--once", *CONFIG)
    assert upgraded.process is not None
    assert upgraded.process.wait() == 0, upgraded.log
    first, second = upgraded.receipt("done"), upgraded.receipt("done-2")
    assert second["retry_of"] == "done" and second["inputs"] == first["inputs"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("artifacts: []", "keep: []"),
        ("events: [refused", "tell: [refused"),
        ("max_pixels:", "most_pixels:"),
    ],
)
def test_a_key_that_this_version_does_not_have_is_refused_with_a_sentence(
    upgraded: Daemon, old: str, new: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config = upgraded.root / "config.yaml"
    text = config.read_text("utf-8")
    assert old in text
    config.write_text(text.replace(old, new), encoding="utf-8")
    assert call(["status", *CONFIG]) == 78
    words = capfd.readouterr().err
    name, present = new.partition(":")[0], old.partition(":")[0]
    assert "config.yaml" in words and f"'{name}'" in words and f"'{present}'" in words
