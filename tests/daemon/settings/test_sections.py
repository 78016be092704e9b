"""Allowed values of each section of config.yaml, and what they resolve to."""

import os
import traceback
from pathlib import Path

import pytest
from pydantic import SecretStr
from tests.daemon.settings.conftest import Load

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.settings import config, sections
from stylewatch_daemon.settings.config import SHORTEST_TOKEN, web_page
from stylewatch_daemon.settings.sections import AlertSettings, parse_address
from stylewatch_ray.demand import Demand
from stylewatch_ray.settings import RaySettings


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("watch.events", "yes", "yes"), ("retention.inputs", "30 days", 30),
        ("limits.free_bytes", "0", 0), ("web.hosts", "[A.Example]", ("a.example",)),
        ("web.url", "HTTPS://Nas.lan:8443/", "https://nas.lan:8443"),
    ],
)  # fmt: skip
def test_a_value_can_be_written_in_several_ways(
    key: str, text: str, value: object, load: Load
) -> None:
    section, name = key.split(".")
    assert getattr(getattr(load(f"{section}: {{{name}: {text}}}"), section), name) == value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("retention.stages", "-1"), ("executor.devices", "[]"), ("executor.devices", "[cpu, cpu]"),
        ("limits.memory", "6 GBs"), ("limits.memory", "0"), ("limits.memory", f"{'9' * 400}GB"),
        *(("web.path", text) for text in ("x", "/x/", "//x", "/../x")),
        *(("web.url", f"'{text}'") for text in ("", "nas.lan", "ftp://a", "http://a/b", "http://a:65536")),
        ("web.hosts", "['http://a.example']"), ("watch.rescan_s", ".inf"),
        ("retention.inputs", "no"), ("limits.memory", "yes"), ("limits.max_pixels", "on"),
        ("state.path", "~nobody-of-this-name/state"), ("job.recipe", f"{'a' * 3000}.yaml"),
        *(("web.listen", f"'{text}'")
          for text in (8787, "", "127.0.0.1:65536", "::1:8787", "example.org:80", "unix:web.sock")),
    ],
)  # fmt: skip
def test_another_value_is_refused_with_its_line(key: str, text: str, load: Load) -> None:
    section, name = key.split(".")
    with pytest.raises(SettingsError, match=rf"line 2: {section}\.{name}") as caught:
        load(f"{section}:\n  {name}: {text}\n")
    assert len(str(caught.value)) < 3000


# The executor


def test_an_executor_names_devices_or_a_cluster(load: Load) -> None:
    local = load("executor: {devices: [cpu]}").executor
    assert local.own.named_devices == ("cpu",)
    ray = load(
        "executor: {kind: ray, address: 'ray://head:10001', gpus_per_job: 0.25, "
        "resources: {vram_gb: 20}}\n"
    ).executor.own.settings
    assert isinstance(ray, RaySettings)
    assert ray.named_devices == ()
    assert ray.demand == Demand("ray://head:10001", 0.25, {"vram_gb": 20.0})
    for text, message in (
        ("{kind: ray, devices: [cuda:0]}", "devices: this is for kind: local"),
        ("{address: auto, gpus_per_job: 2}", "gpus_per_job: this is for kind: ray"),
        ("{kind: ray, gpus_per_job: 1.5}", "a share of a GPU"),
    ):
        with pytest.raises(SettingsError, match=message):
            load(f"executor: {text}\n")


def test_missing_packages_are_explained(monkeypatch: pytest.MonkeyPatch, load: Load) -> None:
    monkeypatch.setattr(sections, "find_spec", lambda name: None)
    monkeypatch.setattr(config, "find_spec", lambda name: None)
    assert not AlertSettings().targets().urls
    assert web_page(load("web: {path: /x}")) is None
    page = load("web: {listen: 127.0.0.1:8787}")
    for check, extra in (
        (AlertSettings(urls=(SecretStr(SECRET),)).targets, "notify"),
        (lambda: web_page(page), "web"),
    ):
        with pytest.raises(SettingsError, match=rf"not installed: `.*\[{extra}\]'`$") as caught:
            check()
        assert caught.value.exit_code == 78


# Alerts

SECRET, COMMAND = "json://ann:hushhush@example.org/", "curl -u ann:hushhush example.org"


def test_urls_of_the_settings_and_of_a_file_are_joined_and_a_wrong_file_is_not_quoted(
    load: Load, tmp_path: Path
) -> None:
    (tmp_path / "urls").write_text(f"# of Ann\n{SECRET}\n\n  json://b\n")
    alerts = load("alerts: {urls: [json://a, json://b], urls_file: urls}").alerts
    urls = [url.get_secret_value() for url in alerts.targets().urls]
    assert urls == ["json://a", "json://b", SECRET]
    (tmp_path / "urls").write_bytes(b"json://ann:hush\xff@example.org")
    with pytest.raises(SettingsError, match=r"urls_file: .*/urls ") as caught:
        alerts.targets()
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "text",
    [
        f"alerts: '{SECRET}'", f"alerts: {{urls: [{{a: '{SECRET}'}}]}}",
        f"alerts: {{'{SECRET}': 1}}", f"alerts: {{urls: ['{SECRET}'}}",
        f"alerts: {{urls: ['{SECRET}']}}\nwatch: {{quiet_s: soon}}",
        f"'{SECRET}': 1", f"alerts: {{'{SECRET}': 1, '{SECRET}': 2}}",
        *(f"hooks: {wrong}" for wrong in (
            f"{COMMAND}", f"{{done: {COMMAND}}}", f"[{COMMAND}]", f"{{failed: {{{COMMAND}: 1}}}}",
            f"{{failed: [curl, [{COMMAND}]]}}", f"{{{COMMAND}: 1}}", f"{{timeout_s: {COMMAND}}}",
        )),
    ],
    ids=range(14),
)  # fmt: skip
def test_no_mistake_and_no_trace_quotes_a_url_or_a_command(text: str, load: Load) -> None:
    with pytest.raises(SettingsError) as caught:
        load(text)
    assert "hush" not in "".join(traceback.format_exception(caught.value))
    loaded = load(f"alerts: {{urls: ['{SECRET}']}}")
    for shown in (loaded, loaded.alerts.targets(), loaded.model_dump(mode="json")):
        assert "hush" not in repr(shown)


# The web page

TOKEN = "t" * SHORTEST_TOKEN


NEAR = ("localhost:8787", "[::1]:8787", "unix:/run/web.sock")
FAR = ("0.0.0.0:8787", "[::]:80", "192.168.1.7:65535")


@pytest.mark.parametrize("listen", NEAR + FAR)
def test_an_address_that_other_machines_reach_needs_a_token(listen: str, load: Load) -> None:
    address = parse_address(listen)
    assert parse_address(str(address)) == address
    assert load(f"web: {{listen: '{listen}', token_file: t}}").web.listen
    if listen in NEAR:
        assert load(f"web: {{listen: '{listen}'}}").web.listen
    else:
        with pytest.raises(SettingsError, match=r"other machines can reach .*token_file"):
            load(f"web: {{listen: '{listen}'}}")


def test_the_token_is_read_from_a_private_file_and_not_quoted(load: Load, tmp_path: Path) -> None:
    text = "web: {listen: 127.0.0.1:8787, token_file: token}\nalerts: {urls: [json://a]}\n"
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    page = web_page(load(text))
    assert page is not None and page.token is not None
    assert page.token.get_secret_value() == TOKEN and TOKEN not in repr(page)
    assert page.settings.alerts.urls == (), "the process of the page gets no URLs"
    for content in (b"hush\xff", b"hushhush-short!", b"two words " * 9):
        token.write_bytes(content)
        with pytest.raises(SettingsError, match=r"has no token|is not text in UTF-8") as caught:
            web_page(load(text))
        assert "hush" not in "".join(traceback.format_exception(caught.value))
    for mode in (0o640, 0o604):
        token.chmod(mode)
        with pytest.raises(SettingsError, match="chmod 600"):
            web_page(load(text))


def test_a_secret_is_read_through_a_link_and_a_pipe_is_not_waited_for(
    load: Load, tmp_path: Path
) -> None:
    text = "web: {listen: 127.0.0.1:8787, token_file: token}\nalerts: {urls_file: token}\n"
    token, secret = tmp_path / "token", tmp_path / "secret"
    secret.write_text(TOKEN)
    secret.chmod(0o600)
    token.symlink_to(secret)  # as containers have them
    page = web_page(load(text))
    assert page is not None and page.token == SecretStr(TOKEN)
    token.unlink()
    os.mkfifo(token)
    with pytest.raises(SettingsError, match=r"web.token_file: .*/token is a pipe or a device"):
        web_page(load(text))
    with pytest.raises(SettingsError, match=r"alerts.urls_file: .*/token is a pipe or a device"):
        load(text).alerts.targets()
