"""How commands find the daemon."""

from pathlib import Path

import pytest
from tests.daemon.cli.states import enter, entry, publish

from stylewatch_daemon.cli.client import Daemon, daemon
from stylewatch_daemon.errors import OutputError, SettingsError
from stylewatch_daemon.files import lock
from stylewatch_daemon.outbox.status_txt import Status


def test_its_folder_is_that_of_the_settings_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert daemon(None, None).state == tmp_path / "state"
    (tmp_path / "config.yaml").write_text("state: {path: mine}\n")
    assert daemon(Path("config.yaml"), None).state == tmp_path / "mine"
    assert daemon(Path("config.yaml"), Path("other")).state == tmp_path / "other"
    with pytest.raises(SettingsError):
        daemon(Path("absent.yaml"), None)


def test_what_it_leaves_in_its_folder_is_read(tmp_path: Path) -> None:
    here = Daemon(tmp_path)
    assert here.published() is None
    with here.ledger() as ledger:
        assert ledger is None
    publish(tmp_path, Status(), done=1)
    enter(tmp_path, entry("sea"))
    assert (here.published() or {})["counts"]["done"] == 1
    with here.ledger() as ledger:
        assert ledger is not None and ledger.counts()["done"] == 1


def test_it_is_at_work_while_it_holds_its_folder(tmp_path: Path) -> None:
    here = Daemon(tmp_path)
    assert not here.is_at_work()
    with lock.held(tmp_path / "lock"):
        assert here.is_at_work()


def test_it_is_asked_by_files(tmp_path: Path) -> None:
    request = Daemon(tmp_path).ask("retry", job="sea")
    assert request.parent == tmp_path / "requests"
    assert '"job": "sea"' in request.read_text()


def test_a_ledger_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_text("no ledger at all")
    with (
        pytest.raises(OutputError, match="is damaged"),
        Daemon(tmp_path).ledger() as ledger,
    ):
        assert ledger is not None
        ledger.counts()
