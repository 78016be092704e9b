"""Where the page is served, as the settings say it, and what is refused there at once."""

from pathlib import Path

import pytest

from stylewatch_daemon.errors import SettingsError
from stylewatch_daemon.settings import config
from stylewatch_daemon.settings import web as settings
from stylewatch_daemon.settings.web import SHORTEST, Served, address, served

TOKEN = "t" * SHORTEST


def load(folder: Path, web: str) -> config.Config:
    (folder / "config.yaml").write_text(f"web: {{{web}}}\n")
    return config.load(folder / "config.yaml")


@pytest.mark.parametrize(
    ("listen", "near"),
    [
        ("127.0.0.1:8787", True),
        ("localhost:8787", True),
        ("127.9.9.9:1", True),
        ("[::1]:8787", True),
        ("unix:/run/stylewatch/web.sock", True),
        ("systemd", True),
        ("0.0.0.0:8787", False),
        ("[::]:80", False),
        ("192.168.1.7:65535", False),
        ("[::ffff:1.2.3.4]:80", False),
    ],
)
def test_an_address_is_near_or_far(listen: str, near: bool) -> None:
    assert address(listen).is_near is near
    assert address(str(address(listen))) == address(listen)


@pytest.mark.parametrize(
    "listen", ["", "8787", ":8787", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:8787",
               "[127.0.0.1:1", "example.org:80", "unix:web.sock", "unix:", "http://127.0.0.1:1",
               "127.0.0.1:8787/x", "127.0.0.1:٨"]
)  # fmt: skip
def test_what_is_no_address_is_a_mistake_with_its_line(listen: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"line 1: web\.listen: .*127\.0\.0\.1:8787"):
        load(tmp_path, f"listen: '{listen}'")


@pytest.mark.parametrize("listen", ["0.0.0.0:8787", "'[::]:8787'", "192.168.1.7:8787"])
def test_beyond_this_machine_a_token_is_needed(listen: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"other machines reach .*token_file"):
        load(tmp_path, f"listen: {listen}")
    assert load(tmp_path, f"listen: {listen}, token_file: t").web.listen


@pytest.mark.parametrize("path", ["x", "/x/", "//x", "/", "/../x", "/a b", "/<x>", "/.x"])
def test_a_wrong_path_is_a_mistake(path: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="should begin with a slash"):
        load(tmp_path, f"path: '{path}'")


def test_a_wrong_name_is_a_mistake_and_names_do_not_mind_letters(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no name of a machine"):
        load(tmp_path, "hosts: ['http://a.example']")
    assert load(tmp_path, "hosts: [A.Example]").web.hosts == ("a.example",)


def test_no_page_is_served_unless_somebody_says_where(tmp_path: Path) -> None:
    assert served(load(tmp_path, "path: /x")) is None


def test_without_the_extra_a_page_is_a_mistake_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    assert served(load(tmp_path, "")) is None
    with pytest.raises(SettingsError, match=r"pip install 'stylewatch\[web\]'") as caught:
        served(load(tmp_path, "listen: 127.0.0.1:8787"))
    assert caught.value.exit_code == 78


def with_token(folder: Path, content: bytes, mode: int = 0o600) -> Served | None:
    (folder / "token").write_bytes(content)
    (folder / "token").chmod(mode)
    return served(load(folder, "listen: 127.0.0.1:8787, token_file: token"))


def test_the_token_is_read_from_beside_the_settings(tmp_path: Path) -> None:
    found = with_token(tmp_path, f"{TOKEN}\n".encode())
    assert found is not None and found.token is not None
    assert found.token.get_secret_value() == TOKEN
    assert TOKEN not in repr(found)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_token_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="chmod 600"):
        with_token(tmp_path, TOKEN.encode(), mode)


@pytest.mark.parametrize(
    "content", [b"", b"secret-but-short", TOKEN[1:].encode(), b"two words " * 9, b"\xff" * 99,
                TOKEN.encode() + b"\n" + TOKEN.encode()]
)  # fmt: skip
def test_what_is_no_token_is_refused_and_not_quoted(content: bytes, tmp_path: Path) -> None:
    if content == b"secret-but-short":
        content = content[:-1]
    with pytest.raises(SettingsError, match="holds no token") as caught:
        with_token(tmp_path, content)
    assert "secret" not in str(caught.value)


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"token_file: .*/none cannot be read"):
        served(load(tmp_path, "listen: 127.0.0.1:8787, token_file: none"))


def test_the_pages_process_is_told_no_secret_of_alerts(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "web: {listen: 127.0.0.1:8787}\nalerts: {urls: ['json://hush@x']}\n"
    )
    found = served(config.load(tmp_path / "config.yaml"))
    assert found is not None and found.settings.alerts.urls == ()
