"""`stylewatch alerts test`."""

from pathlib import Path

import pytest
from tests.daemon.alert_server import alert_server

from stylewatch_daemon.cli.main import call


def test_each_url_gets_a_message_and_is_told_by_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.yaml"
    with alert_server() as posts:
        file.write_text(f"alerts: {{urls: ['{posts.url}']}}\n")
        assert call(["alerts", "test", "--config", str(file)]) == 0
        assert capsys.readouterr().out == "URL 1 of 1: sent\n"
        assert posts.got[0]["title"] == "stylewatch: a try"
        posts.statuses = [500]
        assert call(["alerts", "test", "--config", str(file)]) == 69
    told = capsys.readouterr()
    assert told.out.startswith("URL 1 of 1: not sent")
    assert told.err == "stylewatch: 1 of 1 URLs were not reached\n"
    assert "hush" not in told.out + told.err


def test_without_urls_there_is_nothing_to_try(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("alerts: {}\n")
    assert call(["alerts", "test", "--config", str(tmp_path / "config.yaml")]) == 78
    assert "name nobody" in capsys.readouterr().err
