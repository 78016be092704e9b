"""The doctor's look at alerts."""

from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.daemon.posts import posted

from stylewatch_daemon.doctor.alerts import look
from stylewatch_daemon.settings import sections
from stylewatch_daemon.settings.sections import Alerts


def test_nothing_is_said_where_none_are_wanted() -> None:
    assert list(look(Alerts())) == []


def test_urls_that_apprise_knows_are_fine_and_are_not_tried() -> None:
    with posted() as posts:
        (found,) = look(Alerts(urls=(SecretStr(posts.url),)))
    assert (found.verdict, posts.got) == ("ok", [])
    assert "stylewatch alerts test" in found.words


def test_a_url_that_apprise_does_not_know_is_to_be_mended_and_not_shown() -> None:
    (found,) = look(Alerts(urls=(SecretStr("hushhush"),)))
    assert (found.verdict, found.exit_code) == ("mend", 78)
    assert found.words.startswith("URL 1 of 1: ") and "hush" not in found.words


def test_without_apprise_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sections, "find_spec", lambda name: None)
    (found,) = look(Alerts(urls=(SecretStr("json://a"),)))
    assert (found.verdict, found.exit_code) == ("mend", 78)
    assert "pip install" in found.words


@pytest.mark.parametrize(("mode", "verdicts"), [(0o644, ["note", "ok"]), (0o640, ["ok"])])
def test_a_file_of_secrets_that_everybody_can_read_is_told(
    mode: int, verdicts: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "urls"
    file.write_text("json://a\n")
    file.chmod(mode)
    assert [one.verdict for one in look(Alerts(urls_file=file))] == verdicts
