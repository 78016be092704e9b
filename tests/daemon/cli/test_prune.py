"""`stylewatch prune`."""

from pathlib import Path

import pytest
from tests.daemon.faults import tree
from tests.daemon.world import make_finished_job

from stylewatch_daemon.cli.main import call
from stylewatch_daemon.store.ledger import FILE_NAME, Entry
from stylewatch_daemon.store.ledger_writer import LedgerWriter, now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A config.yaml by which stages are kept for two days; two inboxes share an outbox."""
    (tmp_path / "config.yaml").write_text(
        "inboxes: [{path: a, outbox: out}, {path: b, outbox: out}]\nretention: {stages: 2 days}\n"
    )
    return tmp_path / "config.yaml"


def test_it_tells_what_would_go_and_removes_nothing(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_finished_job(file.parent / "out", "old\x1b", 3)
    make_finished_job(file.parent / "out", "new", 1)
    before = tree(file.parent)
    assert call(["prune", "--dry-run", "--config", str(file)]) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == f" 20 bytes  {file.parent}/out/old?/stages/0001.png"
    assert second.endswith("0002.png")
    assert last == "2 files would be removed: 40 bytes"
    assert tree(file.parent) == before


def test_it_removes_what_is_kept_no_longer(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_finished_job(file.parent / "out", "old", 3)
    assert call(["prune", "--config", str(file), "--set", "retention.inputs=3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("4 files removed: ")
    assert sorted(tree(job)) == ["final.png", "inputs/job.yaml", "losses.csv", "receipt.json"]
    assert call(["prune", "--config", str(file)]) == 0
    assert capsys.readouterr().out == "0 files removed: 0 bytes\n"


def test_it_tells_how_many_jobs_the_ledger_will_forget_and_leaves_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("retention: {ledger: 30}\nstate: {path: .}\n")
    ledger = LedgerWriter.open(tmp_path / FILE_NAME)
    for job, finished in (("1", "2020-01-01T00:00:00+00:00"), ("2", now()), ("3", None)):
        state = "done" if finished else "queued"
        entry = Entry(job, job, "in", "out", state, "2020-01-01", (), 0, finished=finished)
        ledger.enter([entry])
    for dry in ([], ["--dry-run"]):
        assert call(["prune", "--config", str(tmp_path / "config.yaml"), *dry]) == 0
        *_, last = capsys.readouterr().out.splitlines()
        assert last.startswith("1 jobs in the ledger are for the daemon to forget")
    assert ledger.expire("2021-01-01") == 1
    ledger.close()


def test_where_all_is_kept_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text("")
    assert call(["prune", "--config", str(tmp_path / "config.yaml")]) == 0
    assert "are kept" in capsys.readouterr().out
