"""`stylewatch pause`, `resume` and `drain`; with a daemon at work they are tested in the line."""

from pathlib import Path

import pytest

from stylewatch_daemon.cli import control
from stylewatch_daemon.cli.main import call
from stylewatch_daemon.files import lock


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_without_a_daemon_it_is_noted_for_the_next_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert call([verb, "--state", str(tmp_path / "mine")]) == 0
    assert capsys.readouterr().out == (
        f"noted for the next start: no daemon is at work with {tmp_path / 'mine'}\n"
    )
    assert len(list((tmp_path / "mine/requests").iterdir())) == 1


def test_without_a_daemon_there_is_nothing_to_drain_and_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["drain", "--state", str(tmp_path / "mine")]) == 0
    assert capsys.readouterr().out.startswith("there is nothing to drain: no daemon is at work")
    assert list(tmp_path.iterdir()) == []


def test_a_daemon_that_is_busy_is_not_waited_for_without_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "ANSWERS_WITHIN", 0.0)
    with lock.held(tmp_path / "lock"):
        assert call(["pause", "--state", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith("asked; the daemon has not answered yet")


def test_a_folder_that_cannot_be_written_is_exit_code_73(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "requests").touch()
    assert call(["pause", "--state", str(tmp_path)]) == 73
    assert "as the user whom the daemon runs as" in capsys.readouterr().err
