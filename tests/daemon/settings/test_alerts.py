"""Where alerts go, as the settings say it; what is secret there is never shown."""

import importlib.util
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings import alerts as settings
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings.alerts import Addressed, Alerts, addressed

SECRET = "json://ann:hushhush@example.org/"


def load(folder: Path, text: str) -> config.Config:
    (folder / "config.yaml").write_text(text)
    return config.load(folder / "config.yaml")


def test_urls_of_the_settings_and_of_a_file_are_put_together_each_once(tmp_path: Path) -> None:
    (tmp_path / "urls").write_text(f"# of Ann\n{SECRET}\n\n  json://b\n")
    alerts = load(tmp_path, "alerts: {urls: [json://a, json://b], urls_file: urls}").alerts
    urls = [url.get_secret_value() for url in addressed(alerts).urls]
    assert urls == ["json://a", "json://b", SECRET]


def test_nobody_is_told_by_default_and_apprise_need_not_be_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    assert addressed(Alerts()) == Addressed(kinds=frozenset({"refused", "failed", "paused"}))


def test_without_apprise_alerts_are_a_mistake_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'stylewatch\[notify\]'") as caught:
        addressed(Alerts(urls=(SecretStr(SECRET),)))
    assert caught.value.exit_code == 78
    assert importlib.util.find_spec("apprise"), "which the other tests need"


@pytest.mark.parametrize("content", [None, b"json://ann:hush\xff@example.org"])
def test_a_file_that_cannot_be_read_is_named_and_not_quoted(
    content: bytes | None, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "urls").write_bytes(content)
    with pytest.raises(SettingsError, match=r"urls_file: .*/urls ") as caught:
        addressed(Alerts(urls_file=tmp_path / "urls"))
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "wrong",
    [
        f"alerts: {{urls: '{SECRET}'}}",
        f"alerts: '{SECRET}'",
        f"alerts: ['{SECRET}']",
        f"alerts: {{urls: [{{a: '{SECRET}'}}]}}",
        f"alerts: {{'{SECRET}': 1}}",
        f"alerts: {{every_s: 0, tell: ['{SECRET}']}}",
        f"alerts: {{urls: ['{SECRET}'}}",
        f"alerts: {{urls: ['{SECRET}']}}\nwatch: {{quiet_s: soon}}",
    ],
)
def test_no_mistake_quotes_a_url_nor_does_its_trace(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, wrong)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_what_is_shown_of_the_settings_holds_no_url(tmp_path: Path) -> None:
    loaded = load(tmp_path, f"alerts: {{urls: ['{SECRET}']}}")
    for shown in (loaded, addressed(loaded.alerts), loaded.model_dump(mode="json")):
        assert "hush" not in repr(shown)
