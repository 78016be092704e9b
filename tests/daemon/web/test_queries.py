"""status.json is read when it is new; the ledger is opened once."""

import json
import os
from pathlib import Path

import pytest
from tests.daemon.web.world import Clock, enter, entry, publish_status

from stylewatch_daemon.errors import OutputError
from stylewatch_daemon.files import lock
from stylewatch_daemon.outbox import status_json
from stylewatch_daemon.store.requests import PAUSED
from stylewatch_daemon.web.queries import POLL_EVERY_S, Reader


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(tmp_path: Path, clock: Clock) -> Reader:
    (tmp_path / "state").mkdir()
    return Reader(tmp_path / "state", clock)


def test_without_a_status_every_key_is_there(reader: Reader) -> None:
    status = reader.published()
    assert status == status_json.nothing()
    assert status["counts"]["done"] == 0 and status["health"]["at_work"] is False


def test_a_new_status_is_read_now_and_then(reader: Reader, clock: Clock, tmp_path: Path) -> None:
    reader.published()
    publish_status(tmp_path, waiting=["sea"])
    assert reader.published()["waiting"] == []
    clock.now += POLL_EVERY_S
    assert reader.published()["waiting"] == ["sea"]
    assert set(reader.published()) == set(status_json.nothing())


def test_an_unchanged_status_is_not_read_again(
    reader: Reader, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_status(tmp_path, waiting=["sea"])
    reader.published()
    monkeypatch.setattr(status_json, "read", lambda state: {"waiting": ["read again"]})
    clock.now += POLL_EVERY_S
    assert reader.published()["waiting"] == ["sea"]


def test_whether_a_daemon_runs_is_checked(reader: Reader, clock: Clock, tmp_path: Path) -> None:
    publish_status(tmp_path)
    assert json.loads((tmp_path / "state/status.json").read_text())["health"]["at_work"]
    assert reader.published()["health"]["at_work"] is False
    with lock.held(tmp_path / "state" / status_json.LOCK_NAME):
        (tmp_path / "state" / PAUSED).touch()
        clock.now += POLL_EVERY_S
        health = reader.published()["health"]
    assert health["at_work"] and health["paused"] and health["pid"] == os.getpid()


def test_a_damaged_status_is_as_none(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "state/status.json").write_text("[1, 2")
    assert reader.published() == status_json.nothing()


def test_jobs_are_status_by_their_ids_alone(reader: Reader, tmp_path: Path) -> None:
    assert reader.job("id-sea") is None
    with reader.ledger() as ledger:
        assert ledger is None
    enter(tmp_path / "state", entry("sea"))
    assert reader.job("id-sea") == entry("sea")
    assert reader.job("sea") is None
    with reader.ledger() as ledger:
        assert ledger is not None and ledger.counts()["done"] == 1


def test_nothing_can_be_written(reader: Reader, tmp_path: Path) -> None:
    enter(tmp_path / "state", entry("sea"))
    with reader.ledger() as ledger:
        assert ledger is not None
        with pytest.raises(OutputError, match="readonly"):
            list(ledger._rows("DELETE FROM jobs"))


def test_a_ledger_is_opened_once_and_anew_where_another_takes_its_place(
    reader: Reader, tmp_path: Path
) -> None:
    enter(tmp_path / "state", entry("sea"))
    with reader.ledger() as first, reader.ledger() as second:
        assert first is not second
    with reader.ledger() as again:
        assert again in (first, second)
    enter(tmp_path / "other", entry("hill"))
    for path in (tmp_path / "other").iterdir():
        path.rename(tmp_path / "state" / path.name)
    assert (reader.job("id-sea"), reader.job("id-hill")) == (None, entry("hill"))


def test_a_failed_query_leaves_no_connection_behind(reader: Reader, tmp_path: Path) -> None:
    enter(tmp_path / "state", entry("sea"))
    with pytest.raises(ZeroDivisionError), reader.ledger() as first:
        raise ZeroDivisionError
    with reader.ledger() as second:
        assert second is not first
